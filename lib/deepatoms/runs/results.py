"""Recorded results: registered experiments, their runs and their records."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from deepatoms.runs import record_files
from deepatoms.runs.record_files import FOLDER, folder, key, provenance
from deepatoms.runs.sweeps import Configuration, Effort, RunError, Summary, part, sweep
from deepatoms.theory.arguments import refuse
from deepatoms.theory.signatures import named

__all__ = ["FOLDER", "Configuration", "Effort", "Experiment", "RunError", "Summary", "all_records", "complete", "experiment",
           "experiments", "folder", "key", "part", "provenance", "records", "run", "sweep"]

Function = Callable[[Configuration, str], Any]


class Setting(Protocol):
    """What a run must say: its profile, ``laptop`` or ``full``, and its device."""

    @property
    def profile(self) -> str: ...

    @property
    def device(self) -> str: ...


@dataclass(frozen=True)
class Experiment:
    """A costly computation over several configurations, run by ``make full`` and read by checks and chapters."""

    name: str
    configurations: tuple[Configuration, ...]
    function: Function
    minutes: float
    claims: tuple[str, ...]
    title: str


_experiments: dict[str, Experiment] = {}


def experiment(name: str, configurations: Iterable[Configuration], minutes: float, claims: Iterable[str] = (),
               title: str = "") -> Callable[[Function], Function]:
    """Register the decorated ``function(configuration, device)``, which returns plain data, as a recorded experiment.

    ``configurations`` are plain dictionaries (JSON), ``minutes`` the estimated time of all of them on two cores,
    ``claims`` the IDs of the claims that read the records.
    """
    def decorate(function):
        _experiments[name] = Experiment(name, tuple(configurations), function, minutes, tuple(claims), title)
        return function

    return decorate


def also_read_by(name: str, claims: Iterable[str]) -> None:
    """Name claims that came to read an experiment's records later; its own module, which the records name, stays as it is.

    Raises:
        ValueError: There is no such experiment.

    >>> also_read_by("no such", ["dfp.eq2"])
    Traceback (most recent call last):
    ...
    ValueError: name = 'no such' is no recorded experiment; make full lists them
    """
    if name not in _experiments:
        refuse("name", name, "is no recorded experiment", "make full lists them")
    known = _experiments[name]
    _experiments[name] = replace(known, claims=(*known.claims, *(claim for claim in claims if claim not in known.claims)))


def experiments() -> dict[str, Experiment]:
    """Return all registered experiments by name."""
    return dict(_experiments)


def run(name: str, configurations: Sequence[Configuration], function: Function, claims: Iterable[str] = (),
        device: str = "cpu", minutes: float | None = None, jobs: int = 1) -> list[dict[str, Any]]:
    """Run ``function(configuration, device)`` on every configuration that has no record yet; return all records.

    A kill loses at most the configurations at work. Records that are still missing at the end, since ``minutes`` were
    over, are told in a warning. The arguments are those of ``sweep``.

    Raises:
        RunError: if some configurations failed, after the others; it names each and its cause.
    """
    place = folder().absolute()
    summary = sweep(name, configurations, function, claims, device, Effort(minutes, jobs))
    if summary.failed:
        error = RunError(str(summary))
        for trace in summary.traces:
            error.add_note(trace)
        raise error
    if summary.missing:
        warnings.warn(str(summary), RuntimeWarning, stacklevel=2)
    return _existing(place / name, configurations)


def records(name: str, configurations: Iterable[Configuration] | None = None) -> list[dict[str, Any]]:
    """Return the records of an experiment, in the order of its configurations; those not yet run are left out.

    Raises:
        ValueError: if the experiment is not registered, or a record is damaged.
    """
    return _existing(folder() / name, _planned(name).configurations if configurations is None else configurations)


def _existing(place, configurations):
    paths = [place / f"{key(configuration)}.json" for configuration in configurations]
    return [record_files.read(path) for path in paths if path.exists()]


def _planned(name):
    if name not in _experiments:
        refuse("experiment", name, "is not registered",
               "import the module of its study first, or read what is there with all_records")
    return _experiments[name]


def all_records(name: str) -> list[dict[str, Any]]:
    """Return every record in an experiment's folder, registered or not, in the order of their configurations' JSON."""
    found = [record_files.read(path) for path in (folder() / name).glob("*.json")]
    return sorted(found, key=lambda record: json.dumps(record["configuration"], sort_keys=True))


def complete(name: str, setting: Setting) -> list[dict[str, Any]] | None:
    """Return all records of an experiment, or None while some are missing; under the full profile, run those first."""
    planned = _planned(name)
    if setting.profile == "full":
        run(name, planned.configurations, planned.function, planned.claims, setting.device)
    found = records(name)
    return found if len(found) == len(planned.configurations) else None


named(__name__)
