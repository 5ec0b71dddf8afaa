"""What must import where nothing but a room's own packages is there; these tests need pytest and the plain package alone."""

import subprocess
import sys

import pytest

from deepatoms import _doors

EXTRA = {module for modules in _doors.EXTRAS.values() for module in modules}


def python(source):
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


BLOCKER = """
import importlib, importlib.abc, pkgutil, sys

class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"{name} is not to be imported here", name=name)

sys.meta_path.insert(0, Blocker())
import deepatoms.ROOM as room
for found in pkgutil.walk_packages(room.__path__, room.__name__ + "."):
    importlib.import_module(found.name)
"""


def blocked(room, modules):
    return BLOCKER.replace("BLOCKED", repr(set(modules))).replace("ROOM", room)


def test_the_theory_imports_with_its_four_packages_alone():
    python(blocked("theory", [*EXTRA, "joblib", "yaml", "tqdm"]))


@pytest.mark.parametrize("room", ["runs", "learning", "claims"])
def test_rooms_of_the_plain_package_import_without_extras(room):
    python(blocked(room, EXTRA))


def test_the_blocker_blocks():
    with pytest.raises(AssertionError, match="scipy is not to be imported here"):
        python(blocked("theory", ["scipy"]))
