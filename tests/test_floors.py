"""The floors of the house: theory knows nothing of experiments, experiments nothing of pages, no chapter of the press."""

import ast
import pathlib

import pytest

LIB = pathlib.Path(__file__).parents[1] / "lib" / "deepatoms"
FLOORS = ("theory", "experiments", "pages")
MODULES = sorted(LIB.rglob("*.py"))


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{name.name}" for name in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(LIB)))
def test_a_floor_imports_only_downwards(path):
    floor = path.relative_to(LIB).parts[0]
    if floor not in FLOORS:
        return
    above = tuple(f"deepatoms.{name}" for name in FLOORS[FLOORS.index(floor) + 1:])
    assert not [name for name in imported(path) if name.startswith(above)]


@pytest.mark.parametrize("path", sorted((LIB / "theory").rglob("*.py")), ids=lambda path: path.name)
def test_theory_neither_plots_nor_reads_files(path):
    barred = ("matplotlib", "pathlib", "IPython", "os.path", "json", "yaml")
    assert not [name for name in imported(path) if name.startswith(barred)]
