"""Wheels for a machine without a network: all that the book needs, in the versions that are installed here."""

import importlib.metadata
import pathlib
import subprocess
import sys

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

NEEDED = "deepatoms[book]"
PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in (39, 35, 34, 31, 28, 27, 24, 17, 12, 5)] + ["manylinux2014_x86_64"]


def closure(needed, without=()):
    """Return the distributions that a requirement needs, each with its installed version: ``{"numpy": "2.0.0", ...}``.

    Args:
        needed: as in a requirements file, extras included.
        without: names that are left out, with all that they alone need.

    Raises:
        PackageNotFoundError: one of them is not installed here.

    >>> sorted(closure("pyyaml"))
    ['pyyaml']
    """
    skipped, found, seen, todo = {canonicalize_name(name) for name in without}, {}, set(), [Requirement(needed)]
    while todo:
        one = todo.pop()
        name = canonicalize_name(one.name)
        if name in skipped or (name, *sorted(one.extras)) in seen:
            continue
        seen.add((name, *sorted(one.extras)))
        found[name] = importlib.metadata.version(name)
        todo += [each for each in map(Requirement, importlib.metadata.requires(name) or ()) if _counts(each, one.extras)]
    return found


def _counts(requirement, extras):
    return requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in ("", *extras))


def fetch(folder, python, without):
    """Download the wheels for a version of Python (``"3.12"``) on 64-bit Intel Linux; return their size in bytes.

    Raises:
        CalledProcessError: pip found no wheel of one of them; it says of which.
    """
    pins = {name: version for name, version in closure(NEEDED, without).items() if name != "deepatoms"}
    wanted = [f"{name}=={version.split('+')[0]}" for name, version in sorted(pins.items())]
    place = ["--dest", str(folder), "--no-deps", "--only-binary=:all:", "--implementation", "cp", "--python-version", python]
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *place, *platforms, *wanted], check=True)
    return sum(path.stat().st_size for path in pathlib.Path(folder).glob("*.whl"))
