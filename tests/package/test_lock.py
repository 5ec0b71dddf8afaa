"""The lock names what the extras need, each at the version that is installed, and nothing else."""

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, requires

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deepatoms.press import checkout

PROJECT = tomllib.loads((checkout.ROOT / "pyproject.toml").read_text("utf-8"))["project"]
LOCKED = {canonicalize_name(name) for name in
          re.findall(r"^([\w.\-]+)==", (checkout.ROOT / "requirements.lock").read_text("utf-8"), re.MULTILINE)}
TOOLS = {"pip", "setuptools", "wheel"}  # pip freeze leaves them out: a virtual environment has its own


def needed(roots):
    """Return the names of all packages that requirements need on this machine, however many steps away."""
    queue, seen = [Requirement(root) for root in roots], set()
    while queue:
        wanted = queue.pop()
        known = canonicalize_name(wanted.name), frozenset(wanted.extras)
        if known not in seen:
            seen.add(known)
            further = map(Requirement, PROJECT["dependencies"] if known[0] == "deepatoms" else _requires(wanted.name))
            queue += [each for each in further if _applies(each, wanted.extras)]
            queue += [Requirement(line) for extra in wanted.extras if known[0] == "deepatoms"
                      for line in PROJECT["optional-dependencies"][extra]]
    return {name for name, _ in seen} - {"deepatoms"}


def _requires(name):
    try:
        return requires(name) or []
    except PackageNotFoundError:
        return []


def _applies(requirement, extras):
    return requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras or {""})


def test_all_that_is_needed_is_locked():
    assert needed(["deepatoms[book,lab,pdf,test]"]) - LOCKED <= TOOLS


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="made on 3.11; newer Pythons need fewer packages")
def test_nothing_else_is_locked():
    assert LOCKED - needed(["deepatoms[book,lab,pdf,test]"]) == set()


def test_a_requirement_of_a_requirement_and_of_an_extra_is_seen():
    assert {"iniconfig", "markupsafe"} <= needed(["jinja2", "pytest"]) and "pluggy" in needed(["deepatoms[test]"])
    assert "pluggy" not in needed(["deepatoms"])
