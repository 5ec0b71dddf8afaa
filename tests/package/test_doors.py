"""The front door: quick to open, with every name it promises; and what it says of a package that is not installed."""

import ast
import importlib
import pathlib
import re
import statistics
import subprocess
import sys
import tomllib

import pytest

import deepatoms
from deepatoms import _doors

ROOT = pathlib.Path(__file__).parents[2]
LIB = ROOT / "lib" / "deepatoms"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ROOMS = sorted(path.parent.name for path in LIB.glob("*/__init__.py"))
THEORY = sorted(path.stem for path in LIB.glob("theory/*") if path.suffix == ".py" and path.stem != "__init__" or
                (path / "__init__.py").exists())


def python(source):
    """Run source in a new process and return what it printed."""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_opening_the_door_takes_no_time_and_brings_nothing_heavy():
    source = ("import sys, time; t = time.perf_counter(); import deepatoms; print(time.perf_counter() - t); "
              "assert not {'torch', 'numpy', 'scipy', 'IPython', 'matplotlib'} & set(sys.modules)")
    assert statistics.median(float(python(source)) for _ in range(5)) < 0.3


@pytest.mark.parametrize("name", deepatoms.__all__)
def test_every_name_at_the_door_is_there_and_listed(name):
    assert name in dir(deepatoms)
    assert getattr(deepatoms, name) is vars(deepatoms)[name]


def test_star_gives_the_names_of_the_door():
    found = {}
    exec("from deepatoms import *", found)
    assert set(found) - {"__builtins__"} == set(deepatoms.__all__)


def test_type_checkers_see_the_names_that_python_gives():
    tree = ast.parse((LIB / "__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: getattr(importlib.import_module(node.module), alias.name) for node in block.body for alias in node.names}
    assert seen == {name: getattr(deepatoms, name) for name in deepatoms.__all__}


@pytest.mark.parametrize(("package", "names"), [("deepatoms", ROOMS), ("deepatoms.theory", THEORY)])
def test_every_module_is_an_attribute_without_an_import_of_its_own(package, names):
    module = importlib.import_module(package)
    assert set(names) <= set(dir(module))
    for name in names:
        assert getattr(module, name) is importlib.import_module(f"{package}.{name}")


def test_a_first_line_reaches_the_theory():
    assert python("import deepatoms; print(deepatoms.theory.splines.affine_map is deepatoms.affine_map)") == "True"


def test_an_unknown_name_is_refused_with_those_like_it():
    with pytest.raises(AttributeError, match=r"no attribute 'afine_map'; did you mean affine_map\?$"):
        deepatoms.afine_map  # noqa: B018
    with pytest.raises(AttributeError, match=r"^module 'deepatoms.theory' has no attribute 'qqqq'$"):
        deepatoms.theory.qqqq  # noqa: B018


# ---- packages that are not always there ----

MISSING = [("deepatoms.explore", "matplotlib", "book"), ("deepatoms.explore", "IPython", "book"),
           ("deepatoms.data.load", "sklearn", "data"), ("deepatoms.data.load", "pooch", "data"),
           ("deepatoms.studies.atoms", "sklearn", "data"), ("deepatoms.press.notebooks", "papermill", "book"),
           ("deepatoms.site.scoreboard", "sphinx", "book")]


@pytest.mark.parametrize(("asked", "module", "extra"), MISSING)
def test_a_missing_extra_is_refused_by_name_with_the_line_that_brings_it(asked, module, extra):
    said = python(f"import sys; sys.modules[{module!r}] = None\nimport deepatoms\n"
                  f"try:\n    {asked}\nexcept ModuleNotFoundError as missing:\n    print(missing)")
    package = _doors.EXTRAS[extra][module]
    assert re.match(rf"{package} is not installed, and deepatoms\.\w+ needs it; pip install 'deepatoms\[{extra}\]'$", said)


def test_neighbours_without_faiss_say_what_brings_it():
    said = python("import sys; sys.modules['faiss'] = None\nimport numpy as np\nimport deepatoms\n"
                  "from deepatoms.theory.partition import LayerCodes\n"
                  "codes = LayerCodes(np.array([[0], [128]], np.uint8), 2, 2)\n"
                  "try:\n    deepatoms.neighbours(codes, codes, 1)\nexcept ModuleNotFoundError as missing:\n    print(missing)")
    assert said == "faiss-cpu is not installed, and neighbours needs it; pip install 'deepatoms[faiss]'"


def test_every_package_that_a_module_needs_is_declared():
    own = {re.split(r"[><=\[]", line)[0].replace("pyyaml", "yaml").replace("-", "_") for line in PROJECT["dependencies"]}
    own |= {module for known in _doors.EXTRAS.values() for module in known} | {"cycler"}  # a part of matplotlib
    for path in LIB.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            names = ([alias.name for alias in node.names] if isinstance(node, ast.Import) else
                     [node.module] if isinstance(node, ast.ImportFrom) else [])
            needed = {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - {"deepatoms"}
            assert needed <= own, path


def test_every_extra_that_a_message_names_is_one_of_the_package():
    extras = PROJECT["optional-dependencies"]
    assert set(_doors.EXTRAS) <= set(extras)
    assert all(any(line.startswith(package) for line in extras[extra])
               for extra in ("faiss", "data") for package in _doors.EXTRAS[extra].values())
