"""The network under report, and the networks drawn for its nulls: each with its inputs, what lenses share computed once."""

from __future__ import annotations

import copy
import itertools
import math
import sysconfig
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from deepatoms.reports import nulls, tracing
from deepatoms.reports.entries import NULLS, Entry
from deepatoms.reports.verdicts import judge
from deepatoms.theory.partition import LayerCodes, region_codes
from deepatoms.theory.signatures import named
from deepatoms.theory.splines import affine_map

BUDGET = 6e10  # multiply-adds that the networks of a measure's nulls may take together
MOST = 1.5e11  # multiply-adds that one network may take
FEWEST = 8  # inputs below which a budget does not go
KEPT = 2_000_000  # parameters of a network above which those of its nulls are drawn again for each measure
ROOM = 2**28  # bytes of activations at a time


class View:
    """One network with inputs and labels: the caller's, or one drawn for a null. What lenses share is computed once."""

    def __init__(self, model: torch.nn.Module, x: torch.Tensor | None, y: torch.Tensor | None = None) -> None:
        self.model, self.x, self.y = model, x, y
        self._kept: dict[tuple, Any] = {}

    def inputs(self, count: int | None = None) -> torch.Tensor:
        """Return the first inputs; where there are none, the lens does not apply."""
        if self.x is None:
            raise NoDataError("no data were given; pass inputs as x")
        return self.x[:count]

    def labels(self, count: int | None = None) -> torch.Tensor:
        """Return the first labels."""
        self.inputs()
        if self.y is None:
            raise NoDataError("no labels were given; pass them as y")
        return self.y[:count]

    @cached_property
    def passage(self) -> tracing.Passage:
        """What one pass over two inputs met."""
        return tracing.passage(self.model, self.inputs(2))

    @cached_property
    def layers(self) -> tuple[tracing.Layer, ...]:
        """The layers in the order of their use; without inputs, those of the usual modules as they are registered."""
        return tracing.registered(self.model) if self.x is None else self.passage.layers

    @cached_property
    def double(self) -> torch.nn.Module:
        """The network in float64: a copy, where it is not in it already."""
        same = all(each.dtype == torch.float64 for each in [*self.model.parameters(), *self.model.buffers()]
                   if each.is_floating_point())
        return self.model if same else copy.deepcopy(self.model).double()

    @cached_property
    def work(self) -> float:
        """Multiply-adds of one input, those of a grouped convolution at their price; without inputs every weight is used once."""
        return max(1.0, sum(layer.weight.numel() * layer.positions * price(layer) for layer in self.layers))

    def chunk(self, copies: int = 1) -> int:
        """Return how many inputs' activations fit at a time, each in some copies."""
        return max(2, int(ROOM * min(2, len(self.inputs())) / max(1, self.passage.bytes * copies)))

    def kept(self, name: str, count: int, compute: Callable[[], Any]) -> Any:
        """Return what was computed under this name for so many inputs, or compute it."""
        if (name, count) not in self._kept:
            self._kept[name, count] = compute()
        return self._kept[name, count]

    def maps(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return :func:`deepatoms.theory.splines.affine_map` of the first inputs."""
        return self.kept("maps", count, lambda: affine_map(self.model, self.inputs(count), self.chunk()))

    def codes(self, count: int) -> tuple[LayerCodes, ...]:
        """Return :func:`deepatoms.theory.partition.region_codes` of the first inputs."""
        return self.kept("codes", count, lambda: region_codes(self.model, self.inputs(count), self.chunk()))

    @cached_property
    def outputs(self) -> int:
        """Return how many numbers the network puts out for one input."""
        output = self.passage.output
        if not isinstance(output, torch.Tensor) or output.ndim != 2:
            shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
            raise ValueError(f"the network puts out {shape}, not one vector for each input; wrap it so that it returns one")
        return output.shape[1]


DEAREST = 50.0  # measured: what a multiply-add of a depthwise convolution takes, in those of an ordinary one


def price(layer: tracing.Layer) -> float:
    """Return what a multiply-add of a layer takes: many small groups use neither the caches nor the vector units.

    >>> price(tracing.Layer("a", torch.zeros(8, 1, 3, 3), "convolution", None, {"groups": 8}))
    2.6666666666666665
    """
    return max(1.0, min(DEAREST, layer.options.get("groups", 1) / 3))


class NoDataError(ValueError):
    """A lens needs inputs or labels that were not given."""


class TooLongError(ValueError):
    """A lens would take more time or memory than a report may."""


@dataclass(frozen=True)
class Found:
    """A number with what only its computing shows: a threshold, why it is saturated, what stands in its way, another rule.

    ``curve`` is the row of numbers that it is read from, where there is one.
    """

    value: float
    threshold: float | None = None
    saturated: str = ""
    reason: str = ""
    rule: str = ""
    curve: tuple[float, ...] = ()


@dataclass(frozen=True)
class Yardstick:
    """What a number is held against: a rule of :mod:`deepatoms.reports.verdicts`, and whether there are nulls."""

    rule: str = "null"
    nulls: bool = True


class Subject:
    """What a report is about: the caller's network and inputs, and the networks drawn for the nulls.

    Args:
        model: A module in evaluation mode.
        x: Inputs, or None.
        y: Labels or targets, or None.
        draws: How many networks are drawn for each null.
        progress: Called with a sentence before each long step.
    """

    def __init__(self, model: torch.nn.Module, x: torch.Tensor | None, y: torch.Tensor | None, draws: int = 9,
                 progress: Callable[[str], object] | None = None) -> None:
        self.own, self.draws, self._progress = View(model, x, y), draws, progress
        self._drawn: dict[tuple[str, int], View] = {}

    def say(self, text: str) -> None:
        """Tell whoever listens what is being done."""
        if self._progress is not None:
            self._progress(text)

    def drawn(self, null: str, seed: int) -> View:
        """Return a network of a null, with the caller's inputs."""
        if (null, seed) in self._drawn:
            return self._drawn[null, seed]
        own = self.own
        statistics = None if own.x is None else own.x[:max(2, min(256, int(BUDGET / 20 / own.work)))]
        view = View(nulls.draw(own.model, null, seed, statistics), own.x, own.y)
        if sum(each.numel() for each in own.model.parameters()) <= KEPT:
            self._drawn[null, seed] = view
        return view

    def count(self, passes: float = 1.0, most: int = 256, fewest: int = FEWEST) -> int:
        """Return how many inputs a measure takes, so that it stays within its budget on all networks.

        Args:
            passes: What one input costs, in forward passes.
            most: The largest number.
            fewest: The least number; where even that is too much, fewer networks are drawn.
        """
        fit = BUDGET / (self.own.work * passes * (2 * self.draws + 1))
        return max(1, min(len(self.own.inputs()), most, max(fewest, int(fit))))

    def measure(self, entries: Mapping[str, tuple[Entry, Yardstick]], compute: Callable[[View], Mapping[str, Found | ValueError]],
                cost: Callable[[], float] = lambda: 0.0, parts: int = 1) -> Iterator[Entry]:
        """Measure some numbers on the network and on those of its nulls, and judge them.

        Args:
            entries: For each name an entry without its numbers, and its yardstick.
            compute: Returns for a network the number of each name, or the error that says why this one has none; raises
                ``ValueError`` with the reason where there is no number at all.
            cost: Returns how many multiply-adds one network takes.
            parts: How many measures of a kind share one budget for their nulls, such as one a block.
        """
        begun = time.perf_counter()
        self.say(f"{next(iter(entries.values()))[0].lens}: {', '.join(entries)}")
        try:
            needed = cost()
            _demand_time(needed)
            own = compute(self.own)
        except (*FAILURES, KeyboardInterrupt) as error:
            yield from (missing(entry, error, time.perf_counter() - begun) for entry, _ in entries.values())
            if isinstance(error, KeyboardInterrupt):
                raise
            return
        found: dict[str, list] = {null: [] for null in NULLS}
        end = None
        try:
            if any(stick.nulls for _, stick in entries.values()):
                self._draw_nulls(found, compute, needed * parts)
        except KeyboardInterrupt as error:
            end = error
        seconds = (time.perf_counter() - begun) / max(1, len(own))
        for name, (entry, stick) in entries.items():
            if name in own:
                those, curves = _values(found, name), _curves(found, name)
                yield _judged(replace(entry, seconds=seconds, null_curves=curves), stick, own[name], those, cut=end is not None)
        if end is not None:
            raise end

    def _draw_nulls(self, found, compute, needed):
        """Fill in the numbers of one network after another, so that an interruption leaves those that are through."""
        draws = min(self.draws, int(BUDGET / (2 * needed))) if needed else self.draws
        for seed, null in itertools.product(range(draws), NULLS):
            self.say(f"  {null}, {seed + 1} of {draws}")
            try:
                found[null].append(compute(self.drawn(null, seed)))
            except FAILURES:
                continue  # such a draw has no number (a unit that is off everywhere, say), as its list's length shows


def _values(found, name):
    """Return a number's values over the networks of each null that has any."""
    return {null: [one[name].value for one in ones if isinstance(one.get(name), Found) and not math.isnan(one[name].value)]
            for null, ones in found.items() if ones}


def _curves(found, name):
    """Return the rows that a number is read from over the networks of each null that has any."""
    rows = {null: [one[name].curve for one in ones if isinstance(one.get(name), Found) and one[name].curve]
            for null, ones in found.items()}
    return {null: some for null, some in rows.items() if some}


def _judged(entry, stick, own, those, cut):
    if isinstance(own, ValueError):
        return missing(entry, own, entry.seconds)
    if math.isnan(own.value):
        return missing(entry, ValueError("it is not a number here: it divides by zero, or overflows"), entry.seconds)
    given = {key: value for key, value in vars(own).items() if key != "rule" and value not in (None, "", ())}
    if cut and stick.nulls:
        drawn = sum(map(len, those.values()))
        given["reason"] = "; ".join(filter(None, [own.reason, f"interrupted when {drawn} networks of its nulls were through"]))
    return judge(replace(entry, **given, nulls=those if stick.nulls else {}), own.rule or stick.rule)


FAILURES = (ValueError, TypeError, RuntimeError, MemoryError, ImportError, AttributeError, IndexError, ArithmeticError)


def _demand_time(needed):
    if needed > MOST:
        raise too_long("it", needed)


def too_long(what: str, needed: float) -> TooLongError:
    """Return the error of something that takes more multiply-adds than a report spends on it.

    >>> str(too_long("it", 1e12))[:78]
    'it would take 1.0e+12 multiply-adds, more than the 1.5e+11 that a report spend'
    """
    return TooLongError(f"{what} would take {needed:.1e} multiply-adds, more than the {MOST:.1e} that a report spends on one "
                        "number; call the theory's function yourself, or pass a smaller network or input")


def missing(entry: Entry, error: BaseException, seconds: float = 0.0) -> Entry:
    """Return an entry without a number: the verdict and the reason follow from the error."""
    if isinstance(error, KeyboardInterrupt):
        return replace(entry, verdict="skipped", reason="it was interrupted", seconds=seconds)
    skipped = isinstance(error, (TooLongError, MemoryError, ImportError, torch.OutOfMemoryError))
    line = place(error)
    reason = (str(error).splitlines() or [type(error).__name__])[0] + (f" ({line})" if line else "")
    return replace(entry, verdict="skipped" if skipped else "does not apply", reason=reason, seconds=seconds)


OURS = (str(Path(__file__).parents[1]), str(Path(torch.__file__).parent), sysconfig.get_path("stdlib"))


def place(error: BaseException) -> str:
    """Return file and line of the caller's own code where an error came up, or "".

    >>> place(ValueError("raised nowhere"))
    ''
    """
    chain: BaseException | None = error
    while chain is not None:
        for frame in reversed(traceback.extract_tb(chain.__traceback__)):
            if not frame.filename.startswith((*OURS, "<")) and "site-packages" not in frame.filename:
                return f"{frame.filename}:{frame.lineno}"
        chain = chain.__cause__
    return ""


named(__name__)
