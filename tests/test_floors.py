"""The house by subject: rooms import only downwards, no study imports another, and only what draws imports what draws."""

import ast
import pathlib

import pytest

LIB = pathlib.Path(__file__).parents[1] / "lib" / "deepatoms"
# From the ground up; rooms of one floor do not import each other.
FLOORS = (("theory",), ("runs", "data"), ("learning", "claims"), ("pages",), ("reports",), ("studies",), ("site", "press"))
HEIGHT = {room: height for height, floor in enumerate(FLOORS) for room in floor}
DRAWING = ("matplotlib", "IPython", "anywidget", "traitlets", "sphinx", "docutils", "deepatoms.pages")
MODULES = sorted(LIB.rglob("*.py"))


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{name.name}" for name in node.names)


def parts(path):
    return path.relative_to(LIB).parts


def rooms(path):
    """The rooms of the house that a module imports, but its own."""
    found = {name.split(".")[1] for name in imported(path) if name.startswith("deepatoms.")}
    return found - {parts(path)[0]}


def draws(path):
    """Studies draw in ``drawing``, reports in ``page`` and ``panel``; pages, site and press may as well."""
    inside = {"studies": ("drawing",), "reports": ("page", "panel")}
    return parts(path)[0] in ("pages", "site", "press") or path.stem in inside.get(parts(path)[0], ())


INSIDE = [path for path in MODULES if parts(path)[0] in HEIGHT]


def test_every_folder_is_a_room_of_the_house():
    assert {path.name for path in LIB.iterdir() if path.is_dir() and path.name != "__pycache__"} == set(HEIGHT)


@pytest.mark.parametrize("path", INSIDE, ids=lambda path: str(path.relative_to(LIB)))
def test_a_room_imports_only_downwards(path):
    own = HEIGHT[parts(path)[0]]
    assert not [room for room in rooms(path) & set(HEIGHT) if HEIGHT[room] >= own]


@pytest.mark.parametrize("path", [path for path in INSIDE if parts(path)[0] == "studies"],
                         ids=lambda path: str(path.relative_to(LIB)))
def test_no_study_imports_another(path):
    others = [name for name in imported(path) if name.startswith("deepatoms.studies.")]
    assert not [name for name in others if name.split(".")[2] != parts(path)[1]]


@pytest.mark.parametrize("path", [path for path in INSIDE if not draws(path)], ids=lambda path: str(path.relative_to(LIB)))
def test_only_what_draws_imports_what_draws(path):
    assert not [name for name in imported(path) if name.startswith(DRAWING)]


@pytest.mark.parametrize("path", sorted((LIB / "theory").rglob("*.py")), ids=lambda path: path.name)
def test_theory_neither_plots_nor_reads_files(path):
    barred = ("matplotlib", "pathlib", "IPython", "os.path", "json", "yaml")
    assert not [name for name in imported(path) if name.startswith(barred)]
