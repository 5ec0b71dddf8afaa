r"""The exact partition of a two-dimensional slice of a network's input space: polygons with their codes and affine maps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from deepatoms.theory.partition.cells import SAME, firsts
from deepatoms.theory.partition.polygons import Polygons, following, valid
from deepatoms.theory.partition.refine import demand_corners, refined, winners
from deepatoms.theory.partition.slices import Slice, Told
from deepatoms.theory.piecewise import Model
from deepatoms.theory.signatures import named


@dataclass(frozen=True, eq=False)
class PlanarSlice(Slice):
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

    @cached_property
    def cells(self) -> Polygons:
        """Return the regions as flat arrays of corners."""
        return Polygons.of(self.vertices, self.counts)

    @property
    def areas(self) -> np.ndarray:
        """Return each region's share of the slice; they sum to 1."""
        return self.cells.sizes

    def polygons(self) -> list[np.ndarray]:
        """Return a list with each region's corners, shape (corners, 2), in the slice's coordinates."""
        return [corners[:count] for corners, count in zip(self.vertices, self.counts, strict=True)]

    def decision_boundary(self) -> np.ndarray:
        """Return the segments where the two highest outputs tie, each once, shape (segments, 2, 2), in the slice's coordinates.

        Raises:
            ValueError: If the network has a single output.
        """
        slopes, offsets = self.affine_maps()
        cells, parents = winners(self.cells, slopes, offsets, self.model)
        vertices = cells.padded()
        values = offsets[parents][:, None] + np.einsum("rod,rvd->rvo", slopes[parents], vertices)
        return _tied_edges(vertices, cells.counts, values)


def _tied_edges(vertices, counts, values):
    """Return the edges of class cells along which the cell's own output ties with another's, each once."""
    inside, after = valid(vertices, counts), following(vertices, counts)
    own = np.where(inside[..., None], values, 0.0).sum(1).argmax(1)
    mine = np.take_along_axis(values, own[:, None, None], 2)
    near = abs(values - mine) <= 1e-9 * (1 + abs(values).max((1, 2), keepdims=True))
    near &= ~(near | ~inside[..., None]).all(1, keepdims=True)  # a tie on a whole region is no boundary; so nor is one's own
    edges = inside & (near & np.take_along_axis(near, after[..., None], 1)).any(2)
    ends = np.stack([vertices[edges], np.take_along_axis(vertices, after[..., None], 1)[edges]], 1)
    # Either side may have the edge, or both: who is largest beyond it, this side's map does not tell. No two share a middle.
    return ends[firsts(ends.mean(1), SAME)]


def slice_plane(model: Model, corners: torch.Tensor, layers: int | None = None, limit: int = 1_000_000,
                progress: Told = None) -> PlanarSlice:
    r"""Return the exact partition of a planar slice of the input space.

    The slice is :math:`c_0 + u\,(c_1 - c_0) + v\,(c_2 - c_0)` with u, v in [0, 1]. Nonlinearity by nonlinearity, each region
    so far carries the affine map of everything before it, and is cut where a unit changes sign; under max-pooling where the
    *winner* changes, so that crossings below the maximum make no wall; under sorting where two entries tie, under ``topk``,
    ``kthvalue`` and ``median`` where a selected one does. Regions are told apart by their codes; neighbours
    may share an affine map (a wall seen by no active unit). Walls nearer to each other than rounding (1e-13 of the numbers
    compared) are one; a unit that is constant on a region makes none there.

    Args:
        model: A module in evaluation mode and float64: affine operations, skips, ReLU-like activations, max-pooling,
            sorting.
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
            if there are more regions than the limit; or if a unit cuts the slice whose numbers are less than 1e-12 of the
            layer's largest or of the numbers that cancel
            in it (what is less than 1e-15, or than a hundred roundings, of them counts as constant).

    Source:
        Section 7.1, :eq:`spl-refine`.

    >>> box = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
    >>> found = slice_plane(torch.nn.ReLU(), box)
    >>> len(found), found.areas.tolist()
    (4, [0.25, 0.25, 0.25, 0.25])
    """
    corners = demand_corners(corners, 2)
    found = refined(model, corners, Polygons.square(), layers, (limit, progress))
    return PlanarSlice(found.padded(), found.counts, corners, model)

named(__name__)
