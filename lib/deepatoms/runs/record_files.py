"""One small JSON file for each record: written whole or not at all, read only if it is whole, with its provenance."""

from __future__ import annotations

import datetime
import functools
import hashlib
import json
import os
import pathlib
import platform
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from importlib.metadata import version
from typing import Any

import torch

from deepatoms import _doors
from deepatoms.runs import origins
from deepatoms.theory.arguments import refuse

FOLDER = "DEEPATOMS_RESULTS"
PACKAGE = pathlib.Path(__file__).parents[1]


def folder() -> pathlib.Path:
    """Return the folder of recorded results: ``DEEPATOMS_RESULTS``, else the book's.

    Raises:
        FileNotFoundError: if neither is there, as beside an installed package.
    """
    named = os.environ.get(FOLDER)
    if named:
        return pathlib.Path(named).absolute()
    return _doors.book("results", f"set {FOLDER}, or pip install --editable a checkout")


def key(configuration: Any) -> str:
    """Return the name of a configuration's file: a hash of its canonical JSON.

    >>> key({"seed": 0, "width": 4}) == key({"width": 4, "seed": 0})
    True
    """
    try:
        return _digest(configuration)[:16]
    except (TypeError, ValueError) as fault:
        return refuse("configuration", configuration, f"is no plain data ({fault})", "use numbers, text, lists and dictionaries",
                      type(fault))


def _digest(value):
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def read(path: pathlib.Path) -> dict[str, Any]:
    """Return a record, if it is whole and in its place.

    Raises:
        ValueError: if it is cut off, or was edited so that it no longer fits its name or the digest of its result.
    """
    try:
        record = json.loads(path.read_text(), parse_constant=_no_number)
        fault = _fault(path, record)
    except ValueError as error:
        fault = f"is not whole JSON ({error})"
    if fault:
        refuse("record", f"{path.parent.name}/{path.name}", f"in {path.parents[1]} {fault}",
               f"restore it (git checkout), or delete it and run make full EXPERIMENT={path.parent.name} again")
    return record


def _no_number(text):
    raise ValueError(f"it holds {text}")


def _fault(path, record):
    parts = {"experiment", "configuration", "result", "provenance"}
    if not isinstance(record, dict) or not parts <= set(record):
        return "lacks " + ", ".join(sorted(parts - set(record))) if isinstance(record, dict) else "is no record"
    if record["experiment"] != path.parent.name or key(record["configuration"]) != path.stem:
        return "holds another experiment or configuration than its name says"
    digest = record["provenance"].get("digest")  # records made before there were digests have none
    return "" if digest in (None, _digest(record["result"])) else "holds another result than was recorded"


def write(path: pathlib.Path, name: str, configuration: Any, result: Any, provenance: dict[str, Any]) -> None:
    """Write a record under its final name only when it is whole: to a temporary file, then renamed."""
    digest = _digest(json.loads(json.dumps(result, allow_nan=False)))  # of the result as it will be read
    text = json.dumps({"experiment": name, "configuration": configuration, "result": result,
                       "provenance": provenance | {"digest": digest}}, indent=1, sort_keys=True, allow_nan=False)
    part = write_part(path, (text + "\n").encode())
    os.replace(part, path)


def write_part(path: pathlib.Path, content: bytes) -> str:
    """Return the name of a temporary file beside ``path`` that holds the content; nothing is left of it on a full disk."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f"{path.stem}.", suffix=".part", delete=False) as part:
        try:
            part.write(content)
            part.flush()
            os.fsync(part.fileno())
        except OSError:
            pathlib.Path(part.name).unlink()
            raise
    return part.name


def demand_room(place: pathlib.Path) -> None:
    """Refuse a folder that takes no file, before anything is computed for it.

    Raises:
        OSError: if the folder is read-only or its disk full.
    """
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=place, suffix=".part") as probe:
            probe.write(bytes(1 << 16))
            probe.flush()
    except OSError as error:
        refuse("folder", str(place), f"cannot be written: {error.strerror}",
               f"free it, or set {FOLDER} to a folder of your own", OSError)


def provenance(claims: Iterable[str], device: str, seconds: float, function: Callable | None = None) -> dict[str, Any]:
    """Return what a reader needs to trust and repeat a record: claims, device, versions, commit, date, duration ...

    ``code`` has the digests of the modules that ``function``, the experiment, rests on (``origins.code``);
    ``uncommitted`` tells whether the package differed from the commit (None outside a checkout), ``threads`` and ``cpu``
    what else moves the last digits: torch's threads and the instructions that it used.
    """
    return {"claims": list(claims), "seconds": round(seconds, 2), "date": datetime.date.today().isoformat(),
            "uncommitted": _uncommitted(), "code": origins.code(function) if function else {},
            "python": platform.python_version(), **place(device),
            **{package: version(package) for package in ("numpy", "scipy", "deepatoms")}}


def place(device: str) -> dict[str, Any]:
    """Return what moves the last digits of a computation: device, threads, instructions, torch's version and the commit."""
    return {"device": _device_name(device), "threads": torch.get_num_threads(), "cpu": torch.backends.cpu.get_cpu_capability(),
            "torch": version("torch"), "commit": _git("rev-parse", "--short=12", "HEAD") or "unknown"}


def age(record: dict[str, Any]) -> str:
    """Return in words whether the code that made a record has changed since; nothing if it has not."""
    code = record["provenance"].get("code")
    if not code:
        return "made before code was noted"
    changed = origins.changed(code)
    return f"made before {', '.join(changed)} changed" if changed else ""


def _device_name(device):
    return torch.cuda.get_device_name(device) if str(device).startswith("cuda") else f"cpu ({platform.machine()})"


def _uncommitted():
    changes = _git("status", "--porcelain", "--", ".")
    return None if changes is None else bool(changes)


@functools.cache
def _git(*words):
    try:
        git = subprocess.run(["git", *words], cwd=PACKAGE, capture_output=True, text=True, check=False)
    except FileNotFoundError:  # no git on this machine
        return None
    return git.stdout.strip() if git.returncode == 0 else None
