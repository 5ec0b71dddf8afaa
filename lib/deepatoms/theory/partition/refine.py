r"""The refinement of a partition into convex cells, nonlinearity by nonlinearity, in any dimension that has its cells.

Each cell so far lies in one region of the nonlinearities before, so the next one compares *affine* functions on it. Every cell
keeps a list of what may still cut it; the first entry cuts, and each of the two parts keeps of the list what crosses it. So no
function is evaluated on a cell that it has missed before, and all cells are cut at once.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
import torch
from numpy.typing import ArrayLike

from deepatoms.theory.arguments import integer, real_array, refuse
from deepatoms.theory.partition.cells import AffineFunctions, Cells, ragged, settle
from deepatoms.theory.partition.chains import Chain
from deepatoms.theory.partition.extension import EXACT, demand_double, demand_pieces, observe, rehearse
from deepatoms.theory.partition.guards import DOUBT, refuse_doubtful
from deepatoms.theory.partition.segment import NOISE, ROUNDING, demand_apart
from deepatoms.theory.piecewise import Model, NotPiecewiseAffineError
from deepatoms.theory.untouched import untouched

AT_ONCE = 2**16  # numbers that stay in the cache
USUAL = 2**28  # bytes of activations at once
PAIRS = 2**14  # pairs of a region and a unit whose values are held at once
CHECKED = 1000  # regions whose affine map is compared with the function
Many = TypeVar("Many", bound=Cells)
Count = Callable[[int], object]


class Functions(NamedTuple):
    """AffineFunctions functions on regions, each about the region's centre.

    Attributes:
        at: Values at the centres, shape (regions, units) or (regions, windows, cells).
        slopes: Slopes in the slice's coordinates, shape (dimension, *at.shape).
        centres: Shape (regions, dimension).
    """

    at: np.ndarray
    slopes: np.ndarray
    centres: np.ndarray


class Budget:
    """How many regions there may be, and who wants to hear of them.

    Args:
        limit: The largest number of regions.
        progress: Called with a sentence at most once a second, or None.
        layer: The nonlinearity at work.
        layers: Number of nonlinearities.
    """

    def __init__(self, limit: int, progress: Callable[[str], object] | None, layer: int, layers: int) -> None:
        self.limit, self.progress, self.layer, self.layers = integer("limit", limit), progress, layer, layers
        self.before, self.ahead, self.told = 0, 0, time.monotonic()

    def regions(self, count: int) -> None:
        """Take note of how many regions there are while some are being cut; refuse more than the limit.

        Raises:
            ValueError: If there are more.
        """
        regions, late = self.before + count + self.ahead, self.progress is not None and time.monotonic() - self.told > 1
        if regions <= self.limit and not late:
            return
        so_far = f"{regions:,} regions so far, in nonlinearity {self.layer + 1} of {self.layers}"
        if regions > self.limit:
            refuse("limit", self.limit, f"is less than the {so_far}",
                   "pass a larger limit, a smaller slice, or fewer layers=")
        if self.progress is not None:
            self.progress(so_far)
            self.told = time.monotonic()


# ---- slices ----

def refined(model: Model, corners: torch.Tensor, cells: Many, layers: int | None,
            told: tuple[int, Callable[[str], object] | None]) -> Many:
    """Return the cells of a slice that lie in one region each.

    Args:
        model: The network.
        corners: A corner of the slice and its neighbours, shape (1 + dimension, ...), float64.
        cells: The whole slice as one cell, [0, 1]^dimension.
        layers: Number of nonlinearities to take part; None for all.
        told: The largest number of regions, and who is told of progress (or None).

    Raises:
        deepatoms.theory.piecewise.NotPiecewiseAffineError: If an operation is not piecewise affine or its walls are
            not known, samples are mixed, or the model computes something else than its pieces.
        ValueError: If there are more regions than the limit, or fewer nonlinearities than layers.

    Source:
        Section 7.1, :eq:`spl-refine`.

    >>> from deepatoms.theory.partition.polygons import Polygons
    >>> box = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
    >>> len(refined(torch.nn.ReLU(), box, Polygons.square(), None, (10, None)))
    4
    """
    with torch.inference_mode(False), torch.no_grad():
        chain = Chain.of(model, corners)
        if chain is None:
            return _observed(model, corners, cells, layers, (0, told))
        # Plain modules of torch's change nothing that would have to be restored.
        wanted = _wanted(layers, chain.nonlinearities)
        found, done = chain.refined(wanted, lambda layer: Budget(*told, layer, wanted).regions)
        if done < wanted:
            return _observed(model, corners, cast(Many, found), layers, (done, told))
        if layers is None:
            _demand_maps(model, corners, found, chain.maps)
        elif wanted:
            _demand_units(model, corners, found, chain, wanted - 1)
    return cast(Many, found)


def _observed(model, corners, cells, layers, done_and_told):
    """Cut cells by the nonlinearities that have not cut them yet."""
    done, told = done_and_told
    with untouched(model), torch.no_grad():
        walk = Observed(model, corners)
        wanted = _wanted(layers, walk.known)
        for layer in range(done, wanted):
            cells = walk.refine(cells, layer, Budget(*told, layer, wanted))
        if layers is None:
            _demand_maps(model, corners, cells, partial(affine_maps, model, corners))
    return cells


def _wanted(layers, known):
    """Return how many nonlinearities take part."""
    wanted = known if layers is None else integer("layers", layers, 0)
    if wanted > known:
        refuse("layers", wanted, f"exceeds the {known} nonlinearities of the model", f"pass at most {known}")
    return wanted


class Observed:
    """Any network on a slice: run from its beginning for each nonlinearity, as many regions at a time as memory allows.

    Attributes:
        known: Number of nonlinearities.

    Raises:
        deepatoms.theory.piecewise.NotPiecewiseAffineError: If an operation is not piecewise affine or its walls are
            not known, or samples are mixed.
    """

    def __init__(self, model: Model, corners: torch.Tensor) -> None:
        self.model, self.corners = model, corners
        self.known, sample, self.noise = rehearse(model, corners)
        self.most = max(1, int(USUAL // (len(corners) * sample + 1)))

    def refine(self, cells: Many, layer: int, budget: Budget) -> Many:
        """Cut every region by the units of one nonlinearity."""
        directions, found = self.corners[1:] - self.corners[:1], list[Many]()
        for start in range(0, len(cells), self.most):
            part = cells.take(np.arange(start, min(start + self.most, len(cells))))
            budget.before, budget.ahead = sum(map(len, found)), len(cells) - start - len(part)
            centres = part.centres
            pieces = observe(self.model, located(self.corners, centres), directions, layer, self.noise)[0][layer]
            functions = Functions(pieces.at.cpu().numpy(), pieces.slopes.cpu().numpy(), centres)
            split = Contest.of(functions, pieces.ranks) if pieces.competing else Units.of(functions, pieces.noise)
            if isinstance(split, Units) and len(units := split.doubtful(part)):
                refuse_doubtful(self.model, layer, units[0] // pieces.walls, "cuts the slice")
            found.append(sweep(part, split, budget)[0])
        return type(cells).join(found)


def located(corners: torch.Tensor, coordinates: ArrayLike) -> torch.Tensor:
    """Return the inputs at coordinates of a slice, shape (points, dimension) -> (points, ...).

    Source:
        Standard.

    >>> located(torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 3.0]], dtype=torch.float64), [[0.5, 1.0]]).tolist()
    [[1.0, 3.0]]
    """
    u = torch.as_tensor(coordinates, dtype=corners.dtype, device=corners.device).reshape(-1, len(corners) - 1)
    return corners[0] + (u @ (corners[1:] - corners[0]).flatten(1)).reshape(-1, *corners.shape[1:])


def affine_maps(model: Model, corners: torch.Tensor, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the affine maps, in the slice's coordinates, of the regions around some points: slopes and offsets.

    Source:
        Theorem 1, :eq:`spl-thm-1`, on a slice.

    >>> box = torch.tensor([[0.0], [2.0]], dtype=torch.float64)
    >>> [each.tolist() for each in affine_maps(torch.nn.ReLU(), box, np.array([[0.5]]))]
    [[[[2.0]]], [[0.0]]]
    """
    directions = corners[1:] - corners[:1]
    parts = [observe(model, part, directions)[1] for part in located(corners, centres).split(4096)]
    values = torch.cat(parts, 1).cpu().numpy()
    slopes = np.moveaxis(values[1:], 0, -1)
    return slopes, values[0] - np.einsum("rod,rd->ro", slopes, centres)


def _demand_maps(model, corners, cells, maps):
    """Compare the affine maps of some regions, large ones among them, with the function at a point inside of each."""
    chosen, inside = _some(cells)
    slopes, offsets = maps(chosen.centres)
    values = torch.as_tensor(offsets + np.einsum("rod,rd->ro", slopes, inside), device=corners.device)
    scale = torch.as_tensor(abs(offsets) + abs(slopes).sum(2), device=corners.device)
    demand_pieces(model, located(corners, inside), values, scale)


def _demand_units(model, corners, cells, chain, layer):
    """Compare the last units that cut, inside of some regions, with those that the model is seen to rectify."""
    _, inside = _some(cells)
    seen = observe(model, located(corners, inside), corners[1:] - corners[:1], layer)[0][layer].at
    units = torch.as_tensor(chain.units(inside, layer))
    if seen.shape != units.shape or bool(((seen - units).abs() > EXACT * (units.abs() + units.abs().max())).any()):
        raise NotPiecewiseAffineError(f"{type(model).__name__} rectifies other numbers, in nonlinearity {layer + 1}, than its "
                                      "layers say: a mode or a hook changes them; call it without")


def _some(cells):
    """Return some regions, large ones among them, and a point inside of each."""
    looked_at = np.zeros(len(cells), bool)
    looked_at[np.argpartition(-cells.spans, min(CHECKED // 2, len(cells) - 1))[:CHECKED // 2]] = True
    looked_at[np.linspace(0, len(cells) - 1, CHECKED // 2).round().astype(int)] = True
    chosen = cells.take(np.flatnonzero(looked_at))
    chosen = chosen.take(np.flatnonzero(chosen.sizes > 1e-12))  # of a sliver, rounding decides where its centre lies
    return chosen, chosen.inside(np.random.default_rng(0))


SPANNED = {2: ("three inputs", "two", "lie on one line, so they span no plane", "move one of them off the line"),
           3: ("four inputs", "three", "lie in one plane, so they span no box", "move one of them off the plane")}


def demand_corners(corners: torch.Tensor, dimension: int) -> torch.Tensor:
    """Refuse corners that do not span a slice of this dimension in float64; return a copy of them.

    Raises:
        ValueError: If they are too few, not float64, so near that rounding blurs the slice, or dependent.

    Source:
        Standard.

    >>> demand_corners(torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 3.0]], dtype=torch.float64), 2).shape
    torch.Size([3, 2])
    """
    count, others, dependent, remedy = SPANNED[dimension]
    real_array("corners", corners)
    if not isinstance(corners, torch.Tensor) or corners.ndim < 2 or len(corners) != dimension + 1:
        refuse("corners", corners, f"are not {count}",
               f"pass a tensor of shape ({dimension + 1}, ...): a corner and its {others} neighbours")
    corners = demand_double("corners", corners).detach().clone()
    sides = (corners[1:] - corners[:1]).flatten(1)
    if bool((sides == 0).all(1).any()):
        refuse("corners", corners, dependent, remedy)
    demand_apart("corners", corners, sides, corners)
    sides = sides / sides.abs().amax(1, keepdim=True)
    singular = torch.linalg.svdvals(sides / sides.norm(dim=1, keepdim=True))
    if len(singular) < dimension or float(singular[-1]) <= 1e-8:
        refuse("corners", corners, dependent, remedy)
    return corners


# ---- what cuts ----

def sweep(cells: Many, rival: Units | Contest, budget: Budget) -> tuple[Many, np.ndarray]:
    """Cut cells by all units (or windows) of one nonlinearity; return the parts, and the row of the cell each comes from.

    Args:
        cells: :class:`Cells`.
        rival: :class:`Units` or :class:`Contest`: what may cut, what does, and how.
        budget: Hears how many there are.

    Raises:
        ValueError: If there are more than the budget's limit.

    Source:
        Section 7.1, :eq:`spl-refine`; the lists are ours.

    >>> from deepatoms.theory.partition.polygons import Polygons
    >>> units = Units.of(Functions(np.zeros((1, 1)), np.array([[[1.0]], [[0.0]]]), np.array([[0.5, 0.5]])))
    >>> sweep(Polygons.square(), units, Budget(10, None, 0, 1))[0].sizes.tolist()
    [0.5, 0.5]
    """
    parents, (rows, places) = np.arange(len(cells)), rival.possible(cells)
    done, ready = [], 0
    rows, places, known = _cutting(cells, rival, rows, places)
    while len(rows):
        first = np.concatenate([[True], rows[1:] != rows[:-1]]).nonzero()[0]
        busy, entries = rows[first], np.diff(first, append=len(rows))
        idle = np.ones(len(cells), bool)
        idle[busy] = False
        done.append((cells.take(idle.nonzero()[0]), parents[idle]))
        ready += len(done[-1][1])
        values = known if known is None else known[ragged(_starts(cells.counts[rows])[first], cells.counts[busy])]
        cells, origin = rival.split(cells.take(busy), places[first], values, partial(_also, budget, ready))
        parents = parents[busy][origin]
        budget.regions(ready + len(cells))
        left = entries[origin] - 1
        rows, places = np.arange(len(origin)).repeat(left), places[ragged(first[origin] + 1, left)]
        rows, places, known = _cutting(cells, rival, rows, places)
    done.append((cells, parents))
    return type(cells).join([part for part, _ in done]), np.concatenate([rows for _, rows in done])


def _cutting(cells, rival, rows, places):
    """Return the pairs that cut, and what is known of them: some pairs at a time, for each takes memory at every corner."""
    found = []
    for start in range(0, max(1, len(rows)), PAIRS):
        part = slice(start, start + PAIRS)
        keep, known = rival.splits(cells, rows[part], places[part])
        found.append((rows[part][keep], places[part][keep], known))
    if len(found) == 1:
        return found[0]
    rows, places, known = zip(*found, strict=True)
    return np.concatenate(rows), np.concatenate(places), None if known[0] is None else np.concatenate(known)


def _also(budget, ready, parts):
    """Count parts while some are still being cut."""
    budget.regions(ready + parts)


def _starts(counts):
    return counts.cumsum() - counts


@dataclass(frozen=True, eq=False)
class Units:
    """Affine functions that cut where they change sign.

    Attributes:
        offsets: Value of each unit of each region at the origin of the slice, shape (regions, units).
        slopes: Shape (dimension, regions, units).
        noise: What rounding leaves of units whose numbers cancel, shape (units,); 0 for all others.
    """

    offsets: np.ndarray
    slopes: np.ndarray
    noise: np.ndarray

    @classmethod
    def of(cls, functions: Functions, noise: Any = 0.0) -> Units:
        """Return the units of some functions."""
        at, slopes, centres = functions
        left = np.broadcast_to(noise.cpu().numpy() if isinstance(noise, torch.Tensor) else noise, at.shape[1:])
        return cls(at - np.einsum("dru,rd->ru", slopes, centres), slopes, left)

    @cached_property
    def largest(self) -> float:
        """Return the size of the largest numbers that make up a unit."""
        return max((scale.max(initial=0.0) for scale in self._scales()), default=0.0)

    def _scales(self):
        return itertools.starmap(_size, self._blocks())

    def _blocks(self):
        """Yield the functions of some regions after the other: as many as stay in the cache."""
        size = max(1, AT_ONCE // max(1, self.offsets.shape[1]))
        for start in range(0, len(self.offsets), size):
            yield self.offsets[start:start + size], self.slopes[:, start:start + size]

    def one(self, places: np.ndarray) -> tuple[AffineFunctions, np.ndarray]:
        """Return one unit of a region at each place, and what rounding cannot tell from 0."""
        function = AffineFunctions(self.offsets.ravel()[places], self.slopes.reshape(len(self.slopes), -1)[:, places])
        scale = _size(function.offsets, function.slopes)
        # What is small beside all other units of the layer is the rounding of a unit that is constant at 0.
        return function, np.maximum(ROUNDING * scale, self._low(places))

    def _low(self, places):
        """Return below what the unit of a region at each place counts as constant."""
        return np.maximum(NOISE * self.largest, self.noise[places % self.offsets.shape[1]])

    def doubtful(self, cells: Cells) -> np.ndarray:
        """Return the units that cut a region and are so small that rounding moves their walls, or makes them."""
        low = np.maximum(NOISE * self.largest, self.noise)
        if not any(((scale > low) & (scale <= low / NOISE * DOUBT)).any() for scale in self._scales()):
            return np.zeros(0, int)
        rows, places = self.possible(cells)
        function = self.one(places)[0]
        scale, low = _size(function.offsets, function.slopes), self._low(places)
        high = low / NOISE * DOUBT
        least, most = cells.extremes(rows, cells.evaluate(rows, function))
        near = ROUNDING * scale
        return places[(scale > low) & (scale <= high) & (least < -near) & (most > near)] % self.offsets.shape[1]

    def possible(self, cells: Cells) -> tuple[np.ndarray, np.ndarray]:
        """Return the regions and places of units that a bounding box does not rule out."""
        centres, done, found = cells.centres, 0, []
        reaches = cells.reach(centres)
        for at, slopes in self._blocks():
            part = slice(done, done + len(at))
            farthest = sum(abs(slope) * reach[:, None] for slope, reach in zip(slopes, reaches[part].T, strict=True))
            at = at + sum(slope * centre[:, None] for slope, centre in zip(slopes, centres[part].T, strict=True))
            found.append((abs(at) < farthest).ravel().nonzero()[0] + done * at.shape[1])
            done += len(at)
        places = np.concatenate(found) if found else np.zeros(0, np.int64)
        return places // max(1, self.offsets.shape[1]), places

    def splits(self, cells: Cells, rows: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tell which units take both signs on which cells, pair by pair, and their values at the cells' corners."""
        function, near = self.one(places)
        values = cells.evaluate(rows, function)
        low, high = cells.extremes(rows, values)
        keep = (low < -near) & (high > near)
        return keep, values[cells.spread(rows, keep)]

    def split(self, cells: Many, places: np.ndarray, values: Any, told: Count) -> tuple[Many, np.ndarray]:
        """Cut each cell by one unit."""
        values[abs(values) <= cells.spread(np.arange(len(cells)), self.one(places)[1])] = 0.0
        parts = cells.cut(values)
        return type(cells).join([part for part, _ in parts]), np.concatenate([rows for _, rows in parts])


def _size(offsets, slopes):
    """Return the size of the numbers that make up affine functions: what rounding is measured by."""
    return sum(map(abs, slopes), abs(offsets))


@dataclass(frozen=True, eq=False)
class Contest:
    """The affine functions that compete for the maximum (or for another rank) of windows, each about the centre of its region.

    The parts of a region that its competitors win form a power diagram (Aurenhammer, 1987): where one is at least another
    is a half-space, so a winner's part is what clipping by the walls against all its rivals leaves. The second of them, or the
    third, has as many rivals ahead of it: its parts are what cutting by the same walls leaves with so many, one for each set of
    rivals ahead.

    Attributes:
        functions: Values 0 in the padding.
        finite: Which cells compete; those in the padding stand at minus infinity and never win.
        scale: Size of the numbers that a window compares, shape (regions, windows): what rounding is measured by.
        ranks: The rank that is sought in each window, 0 for the largest; shape (windows,).
    """

    functions: Functions
    finite: np.ndarray
    scale: np.ndarray
    ranks: np.ndarray

    @classmethod
    def of(cls, functions: Functions, ranks: Any = None) -> Contest:
        """Return the contest of values that are minus infinity in the padding."""
        at, slopes, centres = functions
        finite = np.isfinite(at)
        # Minus infinity times zero is no number: the padding competes as 0 and is told apart by ``finite``.
        at, slopes = np.where(finite, at, 0.0), np.where(finite, slopes, 0.0)
        ranks = np.zeros(at.shape[1], int) if ranks is None else ranks.cpu().numpy()
        return cls(Functions(at, slopes, centres), finite, (abs(at) + abs(slopes).sum(0)).max(2, initial=1e-300), ranks)

    def one(self, places: np.ndarray) -> Contest:
        """Return the contest of the window of a region at each place, without the axis of windows."""
        at, slopes, centres = self.functions
        region, window = np.divmod(places, at.shape[1])
        return Contest(Functions(at[region, window], slopes[:, region, window], centres[region]),
                       self.finite[region, window], self.scale[region, window], self.ranks[window])

    def between(self, rows: np.ndarray, cell: int, rival: int) -> AffineFunctions:
        """Return the lead of one cell of a single window over another on some regions."""
        at, slopes, centres = self.functions
        return AffineFunctions.about(at[rows, cell] - at[rows, rival],
                                     slopes[:, rows, cell] - slopes[:, rows, rival], centres[rows])

    def possible(self, cells: Cells) -> tuple[np.ndarray, np.ndarray]:
        """Return the regions and places of windows of which a bounding box does not name the winner."""
        at, slopes, centres = self.functions
        winner = np.moveaxis(_holder(np.moveaxis(np.where(self.finite, at, -np.inf), 2, 0), self.ranks), 0, 2)
        lead = abs(np.take_along_axis(at, winner, 2) - at)
        farthest = sum(abs(slope - np.take_along_axis(slope, winner, 2)) * reach[:, None, None]
                       for slope, reach in zip(slopes, cells.reach(centres).T, strict=True))
        rows, windows = np.nonzero((self.finite & (lead < farthest)).any(2))
        return rows, rows * at.shape[1] + windows

    def splits(self, cells: Cells, rows: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, None]:
        """Tell of which windows no cell has its rank, behind the same rivals, at all corners of the region, pair by pair.

        Where one has it at every corner it has it everywhere, for the region is convex: no cut, and no work.
        """
        one = self.one(places)
        at, slopes, centres = one.functions
        values = np.array([np.where(cells.spread(rows, one.finite[:, cell]), cells.evaluate(
            rows, AffineFunctions.about(at[:, cell], slopes[..., cell], centres)), -np.inf) for cell in range(at.shape[1])])
        best, near = np.take_along_axis(values, _holder(values, cells.spread(rows, one.ranks)), 0)[0], ROUNDING * one.scale
        low, high = np.array([cells.extremes(rows, each - best) for each in values]).swapaxes(0, 1)
        above, below = low >= -near, high <= near
        ahead, level = (above & ~below).sum(0), (above & below).sum(0)
        return ~((above | below).all(0) & (ahead <= one.ranks) & (one.ranks < ahead + level)), None

    def split(self, cells: Many, places: np.ndarray, values: None, told: Count) -> tuple[Many, np.ndarray]:
        """Give each cell of one window a region the parts where it has the rank; the first of equal cells takes all."""
        one, won = self.one(places), []
        for cell in range(one.finite.shape[1]):
            rows = np.flatnonzero(one.finite[:, cell])
            part, ahead = cells.take(rows), np.zeros(len(rows), int)
            for rival in range(one.finite.shape[1]):
                if rival != cell and len(rows):
                    part, rows, ahead = one.against(part, rows, ahead, cell, rival)
            has = np.flatnonzero(ahead == one.ranks[rows])
            won.append((part.take(has), rows[has]))
            told(sum(len(part) for part, _ in won))  # a wide window takes long: the limit holds inside of it as well
        return type(cells).join([part for part, _ in won]), np.concatenate([rows for _, rows in won])

    def against(self, part: Many, rows: np.ndarray, ahead: np.ndarray, cell: int,
                rival: int) -> tuple[Many, np.ndarray, np.ndarray]:
        """Part each region where ``rival`` goes ahead of ``cell``, and drop where too many are ahead; on a draw the first is."""
        every = np.arange(len(part))
        values = settle(part.evaluate(every, self.between(rows, cell, rival)), part.spread(every, self.scale[rows]))
        values = np.where(part.spread(every, self.finite[rows, rival]), values, 1.0)  # nobody loses to the padding
        low, high = part.extremes(every, values)
        # Equal on the whole region: as torch's pooling does, the first takes it, so that no part is given out twice.
        first = (high > 0) & (low >= 0) | ((high <= 0) & (low >= 0) & (cell < rival))
        whole = np.flatnonzero(first), np.flatnonzero((high <= 0) & ~first)
        cut, found = part.cut(values), list[tuple[Many, np.ndarray, np.ndarray]]()
        for also in range(1 + bool(self.ranks.any())):  # behind no more rivals than before, and behind one more
            for half, origin in ((part.take(whole[also]), whole[also]), cut[also]):
                few = np.flatnonzero(ahead[origin] + also <= self.ranks[rows[origin]])
                found.append((half.take(few), rows[origin[few]], ahead[origin[few]] + also))
        halves, origins, counts = zip(*found, strict=True)
        return type(part).join(halves), np.concatenate(origins), np.concatenate(counts)


def _holder(values, ranks):
    """Return which cell, along the first axis, has a rank."""
    if not ranks.any():
        return values.argmax(0)[None]
    return np.take_along_axis((-values).argsort(0, kind="stable"), np.broadcast_to(ranks, values.shape[1:])[None], 0)


def winners(cells: Many, slopes: np.ndarray, offsets: np.ndarray, model: Model) -> tuple[Many, np.ndarray]:
    """Cut cells where the highest output changes; return the parts, and the cell of each.

    Args:
        cells: Regions.
        slopes: Of each region's map, shape (regions, outputs, dimension).
        offsets: Shape (regions, outputs).
        model: The network, to be named.

    Raises:
        ValueError: If there is a single output.

    Source:
        Standard.

    >>> from deepatoms.theory.partition.polygons import Polygons
    >>> slopes, offsets = np.array([[[1.0, 0.0], [0.0, 1.0]]]), np.zeros((1, 2))
    >>> winners(Polygons.square(), slopes, offsets, torch.relu)[0].sizes.tolist()
    [0.5, 0.5]
    """
    if slopes.shape[1] < 2:
        refuse("model", model, f"has {slopes.shape[1]} output, so no two of them can tie", "use two outputs or more")
    functions = Functions(offsets[:, None], np.moveaxis(slopes, -1, 0)[:, :, None], np.zeros((len(cells), slopes.shape[2])))
    centred = Functions(functions.at + np.einsum("rod,rd->ro", slopes, cells.centres)[:, None], functions.slopes, cells.centres)
    return sweep(cells, Contest.of(centred), Budget(sys.maxsize, None, 0, 1))
