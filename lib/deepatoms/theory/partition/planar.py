r"""The exact partition of a two-dimensional slice of a network's input space: polygons with their codes and affine maps."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike

from deepatoms.theory.arguments import integer, real_array, refuse
from deepatoms.theory.partition import polygons
from deepatoms.theory.partition.codes import LayerCodes, region_codes
from deepatoms.theory.partition.extension import demand_double, demand_pieces, observe, rehearse
from deepatoms.theory.partition.guards import undisturbed
from deepatoms.theory.partition.segment import demand_apart
from deepatoms.theory.piecewise import Model
from deepatoms.theory.signatures import named

NOISE = 1e-15  # what is so small beside a layer's other numbers is their rounding
CHUNK = 4_000_000  # numbers held at once while regions are refined
USUAL = 2**28  # bytes of activations at once
CHECKED = 1000  # regions whose affine map is compared with the function


@dataclass(frozen=True, eq=False)
class PlanarSlice:
    """The regions of a parallelogram cut out of a network's input space.

    Attributes:
        vertices: Corners of each region in the slice's own coordinates [0, 1]^2, shape (regions, most corners, 2), in order.
        counts: Number of corners of each region.
        corners: The three corners that span the slice, shape (3, ...), float64.
        model: The network.
    """

    vertices: np.ndarray
    counts: np.ndarray
    corners: torch.Tensor
    model: Model

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def areas(self) -> np.ndarray:
        """Return each region's share of the slice; they sum to 1."""
        return polygons.areas(self.vertices, self.counts)

    @property
    def centres(self) -> np.ndarray:
        """Return a point inside each region, in the slice's coordinates, shape (regions, 2)."""
        return polygons.centres(self.vertices, self.counts)

    def polygons(self) -> list[np.ndarray]:
        """Return a list with each region's corners, shape (corners, 2), in the slice's coordinates."""
        return [corners[:count] for corners, count in zip(self.vertices, self.counts, strict=True)]

    def points(self, coordinates: ArrayLike) -> torch.Tensor:
        """Return the inputs at coordinates of the slice, shape (points, 2) -> (points, ...), float64."""
        return _points(self.corners, coordinates)

    def codes(self) -> tuple[LayerCodes, ...]:
        """Return the code of each region at every nonlinearity, as :func:`region_codes` does."""
        with undisturbed(self.model):
            return region_codes(self.model, self.points(self.centres))

    def affine_maps(self) -> tuple[np.ndarray, np.ndarray]:
        r"""Return each region's map in the slice's coordinates: f = slopes u + offsets.

        Returns:
            Slopes, shape (regions, outputs, 2), and offsets, shape (regions, outputs).
        """
        with undisturbed(self.model):
            return _maps(self.model, self.corners, self.centres)

    def decision_boundary(self) -> np.ndarray:
        """Return the segments on which the two highest outputs tie, shape (segments, 2, 2), in the slice's coordinates.

        Raises:
            ValueError: If the network has a single output.
        """
        slopes, offsets = self.affine_maps()
        if slopes.shape[1] < 2:
            refuse("model", self.model, f"has {slopes.shape[1]} output, so no two of them can tie", "use two outputs or more")
        functions = Functions(offsets[:, None], np.moveaxis(slopes, -1, 0)[:, :, None], np.zeros((len(self), 2)))
        unlimited = Budget(sys.maxsize, None, 0, 1)
        vertices, counts, parents = _compete(self.vertices, self.counts, np.arange(len(self)), functions, unlimited)
        values = offsets[parents][:, None] + np.einsum("rod,rvd->rvo", slopes[parents], vertices)
        return _tied_edges(vertices, counts, values)


def _tied_edges(vertices, counts, values):
    """Return the edges of class cells along which the cell's own output ties with another's, each once."""
    inside, after = polygons.valid(vertices, counts), polygons.following(vertices, counts)
    sums = np.where(inside[..., None], values, 0.0).sum(1)
    own = sums.argmax(1)
    mine = np.take_along_axis(values, own[:, None, None], 2)
    near = abs(values - mine) <= 1e-9 * (1 + abs(values).max((1, 2), keepdims=True))
    both = near & np.take_along_axis(near, after[..., None], 1)
    both &= np.arange(values.shape[2]) > own[:, None, None]  # the other side has the pair as well
    edges = inside & both.any(2)
    ends = np.take_along_axis(vertices, after[..., None], 1)
    return np.stack([vertices[edges], ends[edges]], 1)


def _maps(model, corners, centres):
    """Return the affine maps of the regions around some points: slopes and offsets."""
    directions = corners[1:] - corners[:1]
    parts = [observe(model, part, directions)[1] for part in _points(corners, centres).split(4096)]
    values = torch.cat(parts, 1).cpu().numpy()
    slopes = np.moveaxis(values[1:], 0, -1)
    return slopes, values[0] - np.einsum("rod,rd->ro", slopes, centres)


def slice_plane(model: Model, corners: torch.Tensor, layers: int | None = None, limit: int = 1_000_000,
                progress: Callable[[str], object] | None = None) -> PlanarSlice:
    r"""Return the exact partition of a planar slice of the input space.

    The slice is :math:`c_0 + u\,(c_1 - c_0) + v\,(c_2 - c_0)` with u, v in [0, 1]. Nonlinearity by nonlinearity, each region
    so far carries the affine map of everything before it, and is cut where a unit changes sign; under max-pooling where the
    *winner* changes, so that crossings below the maximum make no wall. Regions are told apart by their codes; neighbours
    may share an affine map (a wall seen by no active unit). Walls nearer to each other than rounding (1e-13 of the numbers
    compared) are one; a unit that is constant on a region makes none there.

    Args:
        model: A module in evaluation mode and float64: affine operations, skips, ReLU-like activations, max-pooling.
        corners: Three corners c0, c1, c2, shape (3, ...), float64.
        layers: Number of nonlinearities to take part; None for all.
        limit: The largest number of regions.
        progress: Called from time to time with a sentence on how far it has come, such as ``print``.

    Returns:
        A :class:`PlanarSlice`.

    Raises:
        deepatoms.theory.piecewise.NotPiecewiseAffineError: If an operation is not piecewise affine or its walls are
            not known, samples are mixed, or the model computes something else than its pieces.
        ValueError: If the corners lie on one line, do not fit, are not float64 or so near that rounding blurs the slice;
            or if there are more regions than the limit.

    Source:
        Section 7.1, :eq:`spl-refine`.

    >>> box = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
    >>> found = slice_plane(torch.nn.ReLU(), box)
    >>> len(found), found.areas.tolist()
    (4, [0.25, 0.25, 0.25, 0.25])
    """
    corners = _demand_plane(corners).clone()
    known, sample = rehearse(model, corners[:1])
    wanted = known if layers is None else integer("layers", layers, 0)
    if wanted > known:
        refuse("layers", wanted, f"exceeds the {known} nonlinearities of the model", f"pass at most {known}")
    vertices, counts = np.array([[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]]), np.array([4])
    with undisturbed(model):
        for layer in range(wanted):
            budget = Budget(integer("limit", limit), progress, layer, wanted)
            work = _Work(model, corners, layer, max(1, int(USUAL // (3 * sample + 1))))
            vertices, counts = _refine(work, vertices, counts, budget)
        if layers is None:
            _demand_plane_maps(model, corners, vertices, counts)
    return PlanarSlice(vertices, counts, corners, model)


class Budget:
    """How many regions there may be, and who wants to hear of them.

    Args:
        limit: The largest number of regions.
        progress: Called with a sentence at most once a second, or None.
        layer: The nonlinearity at work.
        layers: Number of nonlinearities.
    """

    def __init__(self, limit: int, progress: Callable[[str], object] | None, layer: int, layers: int) -> None:
        self.limit, self.progress, self.layer, self.layers = limit, progress, layer, layers
        self.before, self.ahead, self.told = 0, 0, time.monotonic()

    def regions(self, count: int) -> None:
        """Take note of how many regions there are while some are being cut; refuse more than the limit.

        Raises:
            ValueError: If there are more.
        """
        so_far = f"{self.before + count + self.ahead:,} regions so far, in nonlinearity {self.layer + 1} of {self.layers}"
        if self.before + count + self.ahead > self.limit:
            refuse("limit", self.limit, f"is less than the {so_far}",
                   "pass a larger limit, a smaller slice, or fewer layers=")
        if self.progress is not None and time.monotonic() - self.told > 1:
            self.progress(so_far)
            self.told = time.monotonic()


class _Work(NamedTuple):
    """What is refined: a model on a plane, at one nonlinearity, with so many regions at once at most."""

    model: Model
    corners: torch.Tensor
    layer: int
    most: int


def _demand_plane_maps(model, corners, vertices, counts):
    """Compare the affine maps of some regions, the largest among them, with the function at a point inside of each."""
    areas = polygons.areas(vertices, counts)
    largest = np.argsort(-areas, kind="stable")[:CHECKED // 2]
    chosen = np.union1d(largest, np.linspace(0, len(counts) - 1, CHECKED // 2).round().astype(int))
    chosen = chosen[areas[chosen] > 1e-12]  # in a sliver, rounding decides on which side of a wall its centre lies
    corner = np.random.default_rng(0).uniform(0.1, 1.0, (len(chosen), vertices.shape[1]))
    weights = np.where(polygons.valid(vertices[chosen], counts[chosen]), corner, 0.0)
    inside = np.einsum("rv,rvd->rd", weights / weights.sum(1, keepdims=True), vertices[chosen])
    slopes, offsets = _maps(model, corners, polygons.centres(vertices[chosen], counts[chosen]))
    values = torch.as_tensor(offsets + np.einsum("rod,rd->ro", slopes, inside), device=corners.device)
    scale = torch.as_tensor((abs(offsets) + abs(slopes).sum(2)).max(1), device=corners.device)
    demand_pieces(model, _points(corners, inside), values, scale)


def _demand_plane(corners):
    real_array("corners", corners)
    if not isinstance(corners, torch.Tensor) or corners.ndim < 2 or len(corners) != 3:
        refuse("corners", corners, "are not three inputs", "pass a tensor of shape (3, ...): a corner and its two neighbours")
    corners = demand_double("corners", corners).detach()
    sides = (corners[1:] - corners[:1]).flatten(1)
    if bool((sides == 0).all(1).any()):
        refuse("corners", corners, "lie on one line, so they span no plane", "move one of them off the line")
    demand_apart("corners", corners, sides, corners)
    first, second = sides / sides.abs().amax(1, keepdim=True)
    gram = first.dot(first) * second.dot(second)
    if float(gram - first.dot(second) ** 2) <= 1e-16 * float(gram):
        refuse("corners", corners, "lie on one line, so they span no plane", "move one of them off the line")
    return corners


def _points(corners, coordinates):
    u = torch.as_tensor(coordinates, dtype=corners.dtype, device=corners.device)
    u = u.reshape(-1, 2, *[1] * (corners.ndim - 1))
    return corners[0] + u[:, 0] * (corners[1] - corners[0]) + u[:, 1] * (corners[2] - corners[0])


def _refine(work, vertices, counts, budget):
    """Cut every region by the units of one nonlinearity, as many regions at a time as memory allows."""
    directions, found, start, size = work.corners[1:] - work.corners[:1], [], 0, min(64, work.most)
    while start < len(counts):
        part = vertices[start:start + size], counts[start:start + size]
        budget.before, budget.ahead = sum(len(each[1]) for each in found), len(counts) - start - len(part[1])
        centres = polygons.centres(*part)
        pieces = observe(work.model, _points(work.corners, centres), directions, work.layer)[0][work.layer]
        split = _compete if pieces.competing else _divide
        functions = Functions(pieces.at.cpu().numpy(), pieces.slopes.cpu().numpy(), centres)
        found.append(split(*part, np.arange(len(centres)), functions, budget)[:2])
        start, size = start + size, max(1, min(work.most, CHUNK // (functions.at[0].size * vertices.shape[1])))
    return polygons.join(found)


class Functions(NamedTuple):
    """Affine functions on regions, each about the region's centre.

    Attributes:
        at: Values at the centres, shape (regions, units) or (regions, windows, cells).
        slopes: Slopes in the slice's two coordinates, shape (2, *at.shape).
        centres: Shape (regions, 2).
    """

    at: np.ndarray
    slopes: np.ndarray
    centres: np.ndarray


def _divide(vertices, counts, parents, functions, budget):
    """Cut regions where their units change sign; the j-th unit that crosses a region is dealt with in round j."""
    at, slopes, centres = functions
    scale = abs(at) + abs(slopes).sum(0)
    # What is small beside all other units of the layer is the rounding of a unit that is constant at 0.
    scale = np.maximum(scale, NOISE / polygons.ROUNDING * scale.max(initial=0.0))
    crossing = _crossing(vertices, counts, at, slopes, centres, scale)
    order = np.argsort(~crossing, axis=1, kind="stable")[:, :int(crossing.sum(1).max(initial=0))]
    rounds, done = crossing.sum(1), []
    for turn in range(order.shape[1]):
        more = rounds[parents] > turn
        if not more.all():
            done.append((vertices[~more], counts[~more], parents[~more]))
            vertices, counts, parents = vertices[more], counts[more], parents[more]
        unit = order[parents, turn]
        values = _values(vertices, parents, at[parents, unit], slopes[:, parents, unit], centres)
        values = polygons.settle(values, scale[parents, unit][:, None])
        vertices, counts, parents = _halve(vertices, counts, parents, values)
        budget.regions(len(counts) + sum(len(each[1]) for each in done))
    return _gather([*done, (vertices, counts, parents)])


def _crossing(vertices, counts, at, slopes, centres, scale):
    """Return which units take both signs on each region, shape (regions, units)."""
    offset = vertices - centres[:, None]
    values = at[:, None] + offset[..., :1] * slopes[0][:, None] + offset[..., 1:] * slopes[1][:, None]
    inside, near = polygons.valid(vertices, counts)[..., None], polygons.ROUNDING * scale[:, None]
    return ((values > near) & inside).any(1) & ((values < -near) & inside).any(1)


def _values(vertices, parents, at, slopes, centres):
    """Return one affine function a polygon at its vertices, shape (polygons, most vertices)."""
    offset = vertices - centres[parents][:, None]
    return at[:, None] + offset[..., 0] * slopes[0][:, None] + offset[..., 1] * slopes[1][:, None]


def _halve(vertices, counts, parents, values):
    inside = polygons.valid(vertices, counts)
    both = (inside & (values > 0)).any(1) & (inside & (values < 0)).any(1)
    halves = polygons.cut(vertices[both], counts[both], values[both])
    return _gather([(vertices[~both], counts[~both], parents[~both]), *((*half, parents[both]) for half in halves)])


def _gather(parts):
    vertices, counts = polygons.join([part[:2] for part in parts])
    return vertices, counts, np.concatenate([part[2] for part in parts])


@dataclass(frozen=True, eq=False)
class Contest:
    """The affine functions that compete for the maximum of windows, each about the centre of its region.

    The parts of a region that its competitors win form a power diagram (Aurenhammer, 1987): where one is at least another
    is a half-plane, so a winner's part is what clipping by the lines against all its rivals leaves.

    Attributes:
        at: Values at the centres, shape (regions, windows, cells), 0 in the padding.
        slopes: Slopes in the slice's two coordinates, shape (2, regions, windows, cells).
        finite: Which cells compete; those in the padding stand at minus infinity and never win.
        scale: Size of the numbers that a window compares, shape (regions, windows): what rounding is measured by.
        centres: Shape (regions, 2).
    """

    at: np.ndarray
    slopes: np.ndarray
    finite: np.ndarray
    scale: np.ndarray
    centres: np.ndarray

    @classmethod
    def of(cls, at: np.ndarray, slopes: np.ndarray, centres: np.ndarray) -> Contest:
        """Return the contest of values that are minus infinity in the padding."""
        finite = np.isfinite(at)
        # Minus infinity times zero is no number: the padding competes as 0 and is told apart by ``finite``.
        at, slopes = np.where(finite, at, 0.0), np.where(finite, slopes, 0.0)
        return cls(at, slopes, finite, (abs(at) + abs(slopes).sum(0)).max(2, initial=1e-300), centres)

    def one(self, parents: np.ndarray, window: np.ndarray) -> Contest:
        """Return the contest of one window for each polygon, without the axis of windows."""
        return Contest(self.at[parents, window], self.slopes[:, parents, window], self.finite[parents, window],
                       self.scale[parents, window], self.centres[parents])


def _compete(vertices, counts, parents, functions, budget):
    """Cut regions where the winner of a window changes; the j-th window contested on a region is dealt with in round j."""
    contest = Contest.of(*functions)
    # A window that one cell wins at every corner it wins everywhere, for the region is convex: no cut, and no work.
    contested = _contested(vertices, counts, contest)
    rounds = contested.sum(1)
    order = np.argsort(~contested, axis=1, kind="stable")[:, :int(rounds.max(initial=0))]
    done = []
    for turn in range(order.shape[1]):
        # The pieces of a region stay in play until its own contested windows are used up.
        more = rounds[parents] > turn
        done.append((vertices[~more], counts[~more], parents[~more]))
        vertices, counts, parents = vertices[more], counts[more], parents[more]
        vertices, counts, parents = _win(vertices, counts, parents, contest.one(parents, order[parents, turn]))
        budget.regions(len(counts) + sum(len(each[1]) for each in done))
    return _gather([*done, (vertices, counts, parents)])


def _contested(vertices, counts, contest):
    """Return the windows of which no cell is largest at all corners of the region, shape (regions, windows)."""
    offset, slopes = vertices - contest.centres[:, None], contest.slopes
    values = contest.at[:, None] + offset[..., :1, None] * slopes[0][:, None] + offset[..., 1:, None] * slopes[1][:, None]
    values = np.where(contest.finite[:, None], values, -np.inf)
    largest = values >= values.max(3, keepdims=True) - polygons.ROUNDING * contest.scale[:, None, :, None]
    return ~(largest | ~polygons.valid(vertices, counts)[..., None, None]).all(1).any(2)


def _win(vertices, counts, parents, contest):
    """Give each cell of one window a region the part that it wins; the first of equal cells takes it all."""
    won = []
    for cell in range(contest.at.shape[1]):
        alive = contest.finite[:, cell]
        part, rows = (vertices[alive], counts[alive]), np.flatnonzero(alive)
        for rival in range(contest.at.shape[1]):
            if rival != cell and len(rows):
                part, rows = _against(part, rows, cell, rival, contest)
        won.append((*part, parents[rows]))
    return _gather(won)


def _against(part, rows, cell, rival, contest):
    """Keep the part of each polygon on which ``cell`` is at least ``rival``; on a draw everywhere the first keeps it."""
    difference = contest.at[rows, cell] - contest.at[rows, rival]
    tilt = contest.slopes[:, rows, cell] - contest.slopes[:, rows, rival]
    values = polygons.settle(_values(part[0], rows, difference, tilt, contest.centres), contest.scale[rows][:, None])
    values = np.where(contest.finite[rows, rival][:, None], values, 1.0)  # nobody loses to the padding
    inside = polygons.valid(*part)
    wins, loses = (inside & (values > 0)).any(1), (inside & (values < 0)).any(1)
    # Equal on the whole polygon: as torch's pooling does, the first takes it, so that no part is given out twice.
    whole = wins & ~loses | (~wins & ~loses & (cell < rival))
    both = wins & loses
    upper = polygons.cut(part[0][both], part[1][both], values[both])[0]
    kept = polygons.join([(part[0][whole], part[1][whole]), upper])
    return kept, np.concatenate([rows[whole], rows[both]])

named(__name__)
