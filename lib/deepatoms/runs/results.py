"""Recorded results: one small JSON file for each configuration, written whole or not at all, with its provenance."""

import datetime
import functools
import hashlib
import json
import os
import pathlib
import platform
import subprocess
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version

import joblib
import torch

from deepatoms import _doors

FOLDER = "DEEPATOMS_RESULTS"


@dataclass(frozen=True)
class Experiment:
    """A costly computation over several configurations, run by ``make full`` and read by checks and chapters."""

    name: str
    configurations: tuple
    function: object
    minutes: float
    claims: tuple[str, ...]
    title: str


_experiments: dict[str, Experiment] = {}


def experiment(name, configurations, minutes, claims=(), title=""):
    """Register the decorated ``function(configuration, device)``, which returns plain data, as a recorded experiment.

    ``configurations`` are plain dictionaries (JSON), ``minutes`` the estimated time of all of them on two cores,
    ``claims`` the IDs of the claims that read the records.
    """
    def decorate(function):
        _experiments[name] = Experiment(name, tuple(configurations), function, minutes, tuple(claims), title)
        return function

    return decorate


def experiments():
    """Return all registered experiments by name."""
    return dict(_experiments)


def folder():
    """Return the folder of recorded results: ``DEEPATOMS_RESULTS``, else the book's, in the package or the checkout."""
    named = os.environ.get(FOLDER)
    return pathlib.Path(named) if named else _doors.book("results", f"set {FOLDER}, or pip install --editable")


def key(configuration):
    """Return the name of a configuration's file: a hash of its canonical JSON.

    >>> key({"seed": 0, "width": 4}) == key({"width": 4, "seed": 0})
    True
    """
    canonical = json.dumps(configuration, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def run(name, configurations, function, claims=(), device="cpu", minutes=None, jobs=1, progress=False):
    """Run ``function(configuration, device)`` on every configuration that has no record yet; return all records.

    Each record is written under its final name only when it is whole (temporary file, then rename), so a kill loses
    at most the configuration at work. ``minutes`` stops cleanly before a configuration that would start too late.
    Parallel runs go through ``joblib.Parallel``.
    """
    deadline = time.monotonic() + 60 * minutes if minutes is not None else None
    todo = [configuration for configuration in configurations if not _path(name, configuration).exists()]
    work = joblib.delayed(_record)
    joblib.Parallel(n_jobs=jobs, verbose=5 if progress else 0)(
        work(name, configuration, function, tuple(claims), device, deadline) for configuration in todo)
    return records(name, configurations)


def _record(name, configuration, function, claims, device, deadline):
    if deadline is not None and time.monotonic() > deadline:
        return
    started = time.perf_counter()
    result = function(configuration, device)
    seconds = time.perf_counter() - started
    _write(_path(name, configuration), {"experiment": name, "configuration": configuration, "result": result,
                                        "provenance": provenance(claims, device, seconds)})


def _path(name, configuration):
    return folder() / name / f"{key(configuration)}.json"


def _write(path, record):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(record, indent=1, sort_keys=True, allow_nan=False) + "\n"
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".part", delete=False) as part:
        part.write(text)
        part.flush()
        os.fsync(part.fileno())
    os.replace(part.name, path)


def provenance(claims, device, seconds):
    """Return what a reader needs to trust and repeat a record: claims, device, versions, commit, date, duration."""
    return {"claims": list(claims), "device": _device_name(device), "seconds": round(seconds, 2),
            "date": datetime.date.today().isoformat(), "commit": _commit(), "python": platform.python_version(),
            **{package: version(package) for package in ("torch", "numpy", "scipy", "deepatoms")}}


def _device_name(device):
    return torch.cuda.get_device_name(device) if str(device).startswith("cuda") else f"cpu ({platform.machine()})"


@functools.lru_cache(maxsize=1)
def _commit():
    git = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=pathlib.Path(__file__).parent,
                         capture_output=True, text=True, check=False)
    return git.stdout.strip() or "unknown"


def records(name, configurations=None):
    """Return the records of an experiment, in the order of its configurations; those not yet run are left out."""
    wanted = configurations if configurations is not None else _experiments[name].configurations
    paths = [_path(name, configuration) for configuration in wanted]
    return [json.loads(path.read_text()) for path in paths if path.exists()]


def all_records(name):
    """Return every record of an experiment's folder, in the order of the files, whether it is registered or not."""
    return [json.loads(path.read_text()) for path in sorted((folder() / name).glob("*.json"))]


def complete(name, setting):
    """Return all records of an experiment, or None while some are missing; under the full profile, run those first."""
    planned = _experiments[name]
    if setting.profile == "full":
        run(name, planned.configurations, planned.function, planned.claims, setting.device)
    found = records(name)
    return found if len(found) == len(planned.configurations) else None
