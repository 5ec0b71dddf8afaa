"""How a claim is measured: the register of check functions, and what running one of them yields."""

import importlib
import math
import re
import zlib
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch

from deepatoms.claims import catalogue
from deepatoms.runs import results
from deepatoms.theory.arguments import refuse


class ControlError(AssertionError):
    """A control came out like the claim itself: the check cannot tell right from wrong."""


@dataclass(frozen=True)
class Setting:
    """Seed, device and profile of a run; hashable, so that checks can share costly work through ``functools.lru_cache``."""

    seed: int = 0
    device: str = "cpu"
    profile: str = "laptop"

    def numpy(self, label):
        """Return a numpy generator of its own for each label, so that checks do not disturb each other's draws."""
        return np.random.default_rng([self.seed, zlib.crc32(label.encode())])

    def torch(self, label):
        """Return a torch generator (on the CPU, so that draws agree between devices) of its own for each label."""
        return torch.Generator().manual_seed(int(self.numpy(label).integers(2**62)))


@dataclass(frozen=True)
class Measurement:
    """One measured number and its control, each with a 95 % interval where the catalogue asks for one.

    ``count`` is the number of instances or seeds that were measured, counted where they are: what the evidence says.
    """

    measured: float
    control: float
    interval: tuple[float, float] | None = None
    control_interval: tuple[float, float] | None = None
    vacuous: bool = False
    count: int | None = None


# What one of several is called, where it is not the word without its s.
SINGULAR = {"dictionaries": "dictionary", "matrices": "matrix", "minima": "minimum"}


@dataclass(frozen=True)
class Evidence:
    """What a check rests on: an identity, an exhaustive search, N instances (chosen, random, a benchmark's), or N seeds.

    Instances are those that the statement is about: for a statement about networks, ``of="networks"``. An identity has no
    drawn numbers in it; one that is compared on drawn networks rests on these networks.
    """

    kind: str
    count: int | None = None
    of: str = "seeds"

    def __str__(self):
        if self.kind == "chosen examples":
            return f"{self.count:,} {self._unit}, chosen, not drawn"
        if self.kind == "random instances":
            return f"{self.count:,} random {self._unit}"
        if self.kind == "benchmark":
            return f"{self.count:,} {self._unit} of a benchmark"
        return f"experiment, {self.count} seed{'s' * (self.count != 1)}" if self.kind == "experiment" else self.kind

    @property
    def _unit(self):
        if self.count != 1:
            return self.of
        counted, *rest = self.of.partition(" of ")
        *before, noun = counted.split(" ")
        return " ".join([*before, SINGULAR.get(noun, noun.removesuffix("s"))]) + "".join(rest)

    def counted(self, count):
        """Return the evidence with the number measured; raise ValueError where none was counted, or fewer than promised."""
        if self.count is None:
            return self
        if count is None:
            refuse("count", count, f"says nothing of the {self.of} measured", "count them where they are: Measurement(count=...)")
        if count < self.count:
            raise ValueError(f"count = {count} {self.of} measured, but the evidence promises {self.count}; "
                             "draw until there are as many, or promise what is measured")
        return replace(self, count=int(count))


EXACT = Evidence("exact identity")
EXHAUSTIVE = Evidence("exhaustive")


def instances(count, of):
    """Return the evidence of a check on random instances (of networks, signals ...: what the statement is about)."""
    return Evidence("random instances", count, of)


def examples(count, of):
    """Return the evidence of a check on examples that somebody chose, such as a counterexample."""
    return Evidence("chosen examples", count, of)


def benchmark(count, of):
    """Return the evidence of a check on what others made and published, such as a benchmark's trained networks."""
    return Evidence("benchmark", count, of)


def experiment(seeds):
    """Return the evidence of an experiment repeated over seeds."""
    return Evidence("experiment", seeds)


@dataclass(frozen=True)
class Outcome:
    """A check that has run: the numbers, and how they compare with its criterion."""

    check: str
    measured: float
    control: float
    result: str
    evidence: str
    scale: str
    seed: int
    recorded: bool = False
    interval: tuple[float, float] | None = None
    control_interval: tuple[float, float] | None = None
    vacuous: bool = False

    def as_dict(self):
        """Return plain data for a notebook's metadata."""
        return asdict(self)


@dataclass(frozen=True)
class Registered:
    """A check's function, what it rests on, and the recorded experiment it reads, if it reads one."""

    id: str
    function: object
    evidence: Evidence
    scale: str
    records: str | None


_register: dict[tuple[str, str], Registered] = {}


def check(identifier, evidence, scale="laptop", records=None):
    """Register the decorated function as the one that measures a check of the catalogue at a scale.

    The function takes a ``Setting`` and returns a ``Measurement``. With ``records`` it takes a second argument, the
    list of records of that experiment (``results.records``), and is shown as recorded.
    """
    catalogue.load().check(identifier)

    def decorate(function):
        if (identifier, scale) in _register and _register[identifier, scale].function.__module__ != function.__module__:
            raise ValueError(f"check = {identifier!r} is registered twice at scale {scale}; keep one of the functions")
        _register[identifier, scale] = Registered(identifier, function, evidence, scale, records)
        return function

    return decorate


def registered(chapter):
    """Return all registered checks of a chapter (importing its module), in the catalogue's order."""
    module = f"deepatoms.studies.{chapter.replace('-', '_')}.checks"
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as missing:
        if not module.startswith(missing.name or "?"):
            raise
        return []
    wanted = [check.id for claim in catalogue.load().chapter(chapter) for check in claim.checks]
    known = sorted(_register.items())
    return sorted((entry for (name, _), entry in known if name in wanted), key=lambda entry: wanted.index(entry.id))


def run(entry, setting):
    """Measure one registered check and compare it with its criterion; None when it reads records that are not there.

    Raises ControlError when the control does not come out as the catalogue demands, ValueError on a measurement that
    is not a number.
    """
    found = _measure(entry, setting)
    return None if found is None else outcome(entry, found, setting.seed)


def outcome(entry, found, seed):
    """Return what a measurement means: how it compares with the catalogue's criterion, and what it rests on.

    Raises ControlError and ValueError as ``run`` does.
    """
    planned = catalogue.load().check(entry.id)
    _demand_number(planned, found)
    _demand_control(planned, found)
    return Outcome(entry.id, float(found.measured), float(found.control),
                   planned.criterion.judge(found.measured, found.interval), _evidence(entry, found), entry.scale,
                   seed, entry.records is not None, _pair(found.interval), _pair(found.control_interval),
                   found.vacuous)


def read(entry, stored):
    """Return a stored outcome, given as plain data, judged anew by today's catalogue: no stored word is believed.

    Only the numbers and the count of what was measured come from what is stored; the verdict on them, and what kind of
    evidence they are, do not.

    Raises:
        ControlError: if the control no longer comes out as the catalogue demands.
        ValueError: on what is not a number, on a scale that is not the check's, or on fewer instances than it promises.
    """
    if stored["scale"] != entry.scale:
        refuse(f"{entry.id}: scale", stored["scale"], f"is not the check's, {entry.scale}", "make store the chapter again")
    numbers = (stored["measured"], stored["control"], *(stored.get("interval") or ()), *(stored.get("control_interval") or ()))
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            refuse(f"{entry.id}: measured", number, "is not a number", "make store the chapter again", TypeError)
    counted = re.search(r"[\d,]*\d", str(stored["evidence"]))
    count = int(counted[0].replace(",", "")) if counted else 0
    return outcome(entry, Measurement(stored["measured"], stored["control"], stored.get("interval"),
                                      stored.get("control_interval"), bool(stored.get("vacuous")), count), stored["seed"])


def _evidence(entry, found):
    try:
        return str(entry.evidence.counted(found.count))
    except ValueError as fault:
        raise ValueError(f"{entry.id}: {fault}") from None


def _measure(entry, setting):
    if entry.records is None:
        return entry.function(setting)
    recorded = results.complete(entry.records, setting)
    return None if recorded is None else entry.function(setting, recorded)


def _pair(interval):
    return None if interval is None else (float(interval[0]), float(interval[1]))


def _demand_number(planned, found):
    for name, value in (("measured", found.measured), ("control", found.control)):
        if math.isnan(value):
            raise ValueError(f"{planned.id}: {name} = {value} is not a number; a check must return one")
    for name, interval in (("interval", found.interval), ("control_interval", found.control_interval)):
        if interval is not None and not interval[0] <= interval[1]:
            raise ValueError(f"{planned.id}: {name} = {interval} is no interval; give its lower end, then its upper end")


def _demand_control(planned, found):
    """A control that must fail may be inconclusive, never hold; one that must pass has to hold."""
    came_out = planned.criterion.judge(found.control, found.control_interval)
    must = _control_must(planned, found)
    if (must == "fail" and came_out == "holds") or (must == "pass" and came_out != "holds"):
        raise ControlError(
            f"{planned.id}: control = {found.control:g} {came_out} the criterion {planned.criterion}, but it must "
            f"{must} ({planned.control}); the check cannot tell right from wrong: mend it")


def _control_must(planned, found):
    """Where both controls are named, the one that opposes what was measured counts."""
    if planned.control_must != "oppose":
        return planned.control_must
    return {"holds": "fail", "fails": "pass"}.get(planned.criterion.judge(found.measured, found.interval))
