"""What a recorded experiment still costs: by the steps it has taken, else by its records, else as its author estimated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deepatoms.runs import partial_states, record_files, results, sweeps
from deepatoms.theory.signatures import named

CORES = 2  # those that the authors of experiments reckon with


@dataclass(frozen=True)
class Price:
    """How far an experiment has come, and the seconds that the rest takes on two cores, one process on each.

    >>> print(Price("squares", 3, 1, ("step 2 of 8",), 5400, "by its own steps"))
    squares                            1 of   3 recorded, 1 begun (step 2 of 8)
        about 1.5 hours of two cores left by its own steps: make full EXPERIMENT=squares MINUTES=60
    """

    name: str
    total: int
    done: int
    begun: tuple[str, ...]
    seconds: float
    basis: str

    def __str__(self) -> str:
        said = f"{self.name:32} {self.done:3} of {self.total:3} recorded"
        if self.begun:
            said += f", {len(self.begun)} begun ({', '.join(self.begun)})"
        if self.done == self.total:
            return said
        left = f"about {duration(self.seconds)} of two cores left {self.basis}"
        return f"{said}\n    {left}: make full EXPERIMENT={self.name} MINUTES=60"


def duration(seconds: float) -> str:
    """Return a duration in words, to two digits.

    >>> duration(40), duration(600), duration(18000)
    ('40 seconds', '10 minutes', '5 hours')
    """
    for size, unit in ((3600, "hours"), (60, "minutes")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.2g} {unit}"
    return f"{seconds:.2g} seconds"


def price(experiment: results.Experiment) -> Price:
    """Return what an experiment still costs on a machine like those that it ran on so far.

    Raises:
        ValueError: a record is damaged.
    """
    place = results.folder() / experiment.name
    keys = [record_files.key(configuration) for configuration in experiment.configurations]
    found = results.records(experiment.name)
    headers = [header for key in keys if not (place / f"{key}.json").exists()
               if (header := partial_states.progress(sweeps.partial_path(place, key)))]
    each, basis = _each(experiment, found, headers)
    steps = len(keys) - len(found) - sum(header["done"] / header["total"] for header in headers)
    begun = tuple(f"step {header['done']} of {header['total']}" for header in headers)
    return Price(experiment.name, len(keys), len(found), begun, each * steps / CORES, basis)


def _each(experiment, found, headers):
    """Return the mean seconds of one configuration, and where the number comes from."""
    if headers:
        sittings = [(sitting, header["total"]) for header in headers for sitting in header["sittings"][-1:]]
        shares = [_per_step(sitting) * total for sitting, total in sittings]
        return sum(shares) / len(shares), "by its own steps"
    if found:
        return sum(record["provenance"]["seconds"] for record in found) / len(found), "by its records"
    return CORES * 60 * experiment.minutes / len(experiment.configurations), "as estimated"


def _per_step(sitting: dict[str, Any]) -> float:
    return sitting["seconds"] / max(1, sitting["to"] - sitting["from"])


named(__name__)
