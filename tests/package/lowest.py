"""Print the lowest versions that pyproject.toml admits, as pip's constraints; with a name, that one alone."""

import pathlib
import re
import sys
import tomllib


def lowest(project):
    """Return the constraints of a project table, one a requirement."""
    lines = [*project["dependencies"], *sum(project["optional-dependencies"].values(), [])]
    found = [re.match(r"([\w.-]+)\s*>=\s*([\w.]+)", line) for line in lines]
    return sorted({f"{bound[1]}=={bound[2]}" for bound in found if bound})


if __name__ == "__main__":
    table = tomllib.loads((pathlib.Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    print(*[line for line in lowest(table) if sys.argv[1:] in ([], [line.split("==")[0]])], sep="\n")
