r"""The exact partition of a two-dimensional slice of a network's input space: polygons with their codes and affine maps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike

from deepatoms.theory.arguments import integer, real_array, refuse
from deepatoms.theory.partition import polygons
from deepatoms.theory.partition.codes import LayerCodes, region_codes
from deepatoms.theory.partition.extension import demand_double, demand_known, observe
from deepatoms.theory.piecewise import Model

CHUNK = 4_000_000  # numbers held at once while regions are refined


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
        return region_codes(self.model, self.points(self.centres))

    def affine_maps(self) -> tuple[np.ndarray, np.ndarray]:
        r"""Return each region's map in the slice's coordinates: f = slopes u + offsets.

        Returns:
            Slopes, shape (regions, outputs, 2), and offsets, shape (regions, outputs).
        """
        centres = self.centres
        directions = self.corners[1:] - self.corners[:1]
        parts = [observe(self.model, part, directions)[1] for part in self.points(centres).split(4096)]
        values = torch.cat(parts, 1).cpu().numpy()
        slopes = np.moveaxis(values[1:], 0, -1)
        return slopes, values[0] - np.einsum("rod,rd->ro", slopes, centres)

    def decision_boundary(self) -> np.ndarray:
        """Return the segments on which the two highest outputs tie, shape (segments, 2, 2), in the slice's coordinates.

        Raises:
            ValueError: If the network has a single output.
        """
        slopes, offsets = self.affine_maps()
        if slopes.shape[1] < 2:
            refuse("model", self.model, f"has {slopes.shape[1]} output, so no two of them can tie", "use two outputs or more")
        vertices, counts, parents = _compete(self.vertices, self.counts, np.arange(len(self)), offsets[:, None],
                                             np.moveaxis(slopes, -1, 0)[:, :, None], np.zeros((len(self), 2)))
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


def slice_plane(model: Model, corners: torch.Tensor, layers: int | None = None) -> PlanarSlice:
    r"""Return the exact partition of a planar slice of the input space.

    The slice is :math:`c_0 + u\,(c_1 - c_0) + v\,(c_2 - c_0)` with u, v in [0, 1]. Nonlinearity by nonlinearity, each region
    so far carries the affine map of everything before it, and is cut where a unit changes sign; under max-pooling where the
    *winner* changes, so that crossings below the maximum make no wall. Regions are told apart by their codes; neighbours
    may share an affine map (a wall seen by no active unit).

    Args:
        model: A module in evaluation mode and float64: affine operations, skips, ReLU-like activations, max-pooling.
        corners: Three corners c0, c1, c2, shape (3, ...), float64.
        layers: Number of nonlinearities to take part; None for all.

    Returns:
        A :class:`PlanarSlice`.

    Raises:
        deepatoms.theory.piecewise.NotPiecewiseAffineError: If an operation is not piecewise affine.
        ValueError: If the corners lie on one line, do not fit, or are not float64.

    Source:
        Section 7.1, :eq:`spl-refine`.

    >>> box = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
    >>> found = slice_plane(torch.nn.ReLU(), box)
    >>> len(found), found.areas.tolist()
    (4, [0.25, 0.25, 0.25, 0.25])
    """
    corners = _demand_plane(corners)
    known = demand_known(model, corners[:1])
    layers = known if layers is None else integer("layers", layers, 0)
    if layers > known:
        refuse("layers", layers, f"exceeds the {known} nonlinearities of the model", f"pass at most {known}")
    vertices, counts = np.array([[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]]), np.array([4])
    for layer in range(layers):
        vertices, counts = _refine(model, corners, layer, vertices, counts)
    return PlanarSlice(vertices, counts, corners, model)


def _demand_plane(corners):
    real_array("corners", corners)
    if not isinstance(corners, torch.Tensor) or corners.ndim < 2 or len(corners) != 3:
        refuse("corners", corners, "are not three inputs", "pass a tensor of shape (3, ...): a corner and its two neighbours")
    demand_double("corners", corners)
    first, second = (corners[1:] - corners[:1]).flatten(1)
    gram = first.dot(first) * second.dot(second)
    if float(gram - first.dot(second) ** 2) <= 1e-16 * float(gram):
        refuse("corners", corners, "lie on one line, so they span no plane", "move one of them off the line")
    return corners


def _points(corners, coordinates):
    u = torch.as_tensor(coordinates, dtype=corners.dtype, device=corners.device)
    u = u.reshape(-1, 2, *[1] * (corners.ndim - 1))
    return corners[0] + u[:, 0] * (corners[1] - corners[0]) + u[:, 1] * (corners[2] - corners[0])


def _refine(model, corners, layer, vertices, counts):
    """Cut every region by the units of one nonlinearity, as many regions at a time as memory allows."""
    directions, found, start, size = corners[1:] - corners[:1], [], 0, 64
    while start < len(counts):
        part = vertices[start:start + size], counts[start:start + size]
        centres = polygons.centres(*part)
        pieces = observe(model, _points(corners, centres), directions, layer)[0][layer]
        at, slopes = pieces.at.cpu().numpy(), pieces.slopes.cpu().numpy()
        parents = np.arange(len(centres))
        split = _compete if pieces.competing else _divide
        found.append(split(*part, parents, at, slopes, centres)[:2])
        start, size = start + size, max(1, CHUNK // (at[0].size * vertices.shape[1]))
    return polygons.join(found)


def _divide(vertices, counts, parents, at, slopes, centres):
    """Cut regions where their units change sign; the j-th unit that crosses a region is dealt with in round j."""
    scale = abs(at) + abs(slopes).sum(0)
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


def _compete(vertices, counts, parents, at, slopes, centres):
    """Cut regions where the winner of a window changes; the j-th window contested on a region is dealt with in round j."""
    contest = Contest.of(at, slopes, centres)
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
