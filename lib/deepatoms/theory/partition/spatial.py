r"""The exact partition of a three-dimensional slice of a network's input space: polyhedra with their codes and affine maps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from deepatoms.theory.partition.cells import SAME, firsts, ragged
from deepatoms.theory.partition.polyhedra import Polyhedra
from deepatoms.theory.partition.refine import demand_corners, refined, winners
from deepatoms.theory.partition.slices import Slice, Told
from deepatoms.theory.piecewise import Model
from deepatoms.theory.signatures import named

DECIMALS = 9  # corners of neighbouring polyhedra agree to rounding; two corners nearer than this count as one


@dataclass(frozen=True, eq=False)
class Mesh:
    """A surface of triangles.

    Attributes:
        points: Shape (points, 3).
        triangles: Three points each, shape (triangles, 3).
        facets: The flat facet of each triangle, numbered from 0; its triangles share their first point, in order around it.

    >>> mesh = Mesh(np.eye(3), np.array([[0, 1, 2]]), np.array([0]))
    >>> print(mesh.obj())
    v 1 0 0
    v 0 1 0
    v 0 0 1
    f 1 2 3
    >>> mesh.ply().splitlines()[-1]
    '3 0 1 2'
    """

    points: np.ndarray
    triangles: np.ndarray
    facets: np.ndarray

    @property
    def area(self) -> float:
        """Return the area of the surface."""
        a, b, c = self.points[self.triangles].swapaxes(0, 1)
        return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)

    def obj(self) -> str:
        """Return the text of a Wavefront ``.obj`` file."""
        return "\n".join([*(f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in self.points),
                          *(f"f {a} {b} {c}" for a, b, c in self.triangles + 1)])

    def ply(self) -> str:
        """Return the text of a Stanford ``.ply`` file."""
        header = ["ply", "format ascii 1.0", f"element vertex {len(self.points)}",
                  *(f"property double {axis}" for axis in "xyz"), f"element face {len(self.triangles)}",
                  "property list uchar int vertex_indices", "end_header"]
        return "\n".join([*header, *(f"{x:.17g} {y:.17g} {z:.17g}" for x, y, z in self.points),
                          *(f"3 {a} {b} {c}" for a, b, c in self.triangles)])


@dataclass(frozen=True, eq=False)
class SpaceSlice(Slice):
    """The regions of a parallelepiped cut out of a network's input space.

    Attributes:
        polyhedral: The regions, as flat arrays of corners, edges and faces, in the slice's own coordinates [0, 1]^3.
        corners: The four corners that span the slice, shape (4, ...), float64.
        model: The network.
    """

    polyhedral: Polyhedra
    corners: torch.Tensor
    model: Model

    @property
    def cells(self) -> Polyhedra:
        """Return the regions, as flat arrays of corners, edges and faces."""
        return self.polyhedral

    @property
    def volumes(self) -> np.ndarray:
        """Return each region's share of the slice; they sum to 1."""
        return self.cells.sizes

    def polyhedra(self) -> list[list[np.ndarray]]:
        """Return a list with the faces of each region: the corners of each, counterclockwise from outside, shape (corners, 3)."""
        corners, counts = self.cells.loops()
        faces = np.split(self.cells.points[corners], np.cumsum(counts)[:-1])
        ends = np.cumsum(self.cells.face_counts)
        return [faces[start:end] for start, end in zip(ends - self.cells.face_counts, ends, strict=True)]

    def decision_surface(self) -> Mesh:
        """Return the surface on which the two highest outputs tie, in the slice's coordinates.

        Each triangle is there once, and seen counterclockwise from the class of the higher number.

        Raises:
            ValueError: If the network has a single output.
        """
        slopes, offsets = self.affine_maps()
        cells, parents = winners(self.cells, slopes, offsets, self.model)
        corners, counts = cells.loops()
        regions = np.repeat(parents[cells.face_cells], counts)
        values = offsets[regions] + np.einsum("nod,nd->no", slopes[regions], cells.points[corners])
        chosen, own, turned = _tied(cells, values, counts)
        order = own.argsort(kind="stable")  # of a face that both sides have, the lower class's is taken: it looks at the higher
        once = order[firsts(_middles(cells.points[corners], counts, chosen[order]), SAME)]
        return _mesh(cells.points[corners], counts, chosen[once], turned[once])


def _tied(cells, values, counts):
    """Return the faces of class cells on which the cell's output ties with another's, its class, and if it is the highest."""
    per_cell = np.bincount(cells.face_cells, counts, len(cells)).astype(int)
    starts = np.cumsum(per_cell) - per_cell
    own = np.repeat(np.add.reduceat(values, starts).argmax(1), per_cell)
    size = np.repeat(np.maximum.reduceat(abs(values), starts).max(1), per_cell)
    near = abs(values - np.take_along_axis(values, own[:, None], 1)) <= 1e-9 * (1 + size[:, None])
    near &= ~np.repeat(np.logical_and.reduceat(near, starts), per_cell, 0)  # a tie on a whole region is no surface
    first = np.cumsum(counts) - counts
    ties = np.logical_and.reduceat(near, first)
    chosen = ties.any(1).nonzero()[0]
    own = own[first[chosen]]
    return chosen, own, ~(ties[chosen] & (np.arange(values.shape[1]) > own[:, None])).any(1)


def _middles(corners, counts, chosen):
    """Return the centre of mass of each chosen face: no two faces share it."""
    starts, fans = (np.cumsum(counts) - counts)[chosen], counts[chosen] - 2
    second = ragged(starts + 1, fans)
    base = np.repeat(corners[starts], fans, 0)
    sides = corners[second] - base, corners[second + 1] - base
    weights = np.linalg.norm(np.cross(*sides), axis=1)[:, None] + 1e-300
    firsts_of = np.cumsum(fans) - fans
    total = np.add.reduceat(weights * (base + sum(sides) / 3), firsts_of) if len(fans) else corners[:0]
    return total / np.add.reduceat(weights, firsts_of) if len(fans) else total


def _mesh(corners, counts, chosen, turned):
    """Return the chosen faces as triangles around their first corners, some turned over, with corners of neighbours as one."""
    starts = (np.cumsum(counts) - counts)[chosen]
    fans = counts[chosen] - 2
    second = ragged(starts + 1, fans)
    triangles = np.stack([np.repeat(starts, fans), second, second + 1], 1)
    over = np.repeat(turned, fans)
    triangles[over] = triangles[over][:, [0, 2, 1]]
    used, places = np.unique(triangles, return_inverse=True)
    _, first, labels = np.unique(corners[used].round(DECIMALS), axis=0, return_index=True, return_inverse=True)
    triangles = labels.ravel()[places].reshape(-1, 3)
    whole = (triangles != np.roll(triangles, 1, 1)).all(1)
    return Mesh(corners[used][first], triangles[whole], np.repeat(np.arange(len(fans)), fans)[whole])


def slice_space(model: Model, corners: torch.Tensor, layers: int | None = None, limit: int = 1_000_000,
                progress: Told = None) -> SpaceSlice:
    r"""Return the exact partition of a three-dimensional slice of the input space.

    The slice is :math:`c_0 + u\,(c_1 - c_0) + v\,(c_2 - c_0) + w\,(c_3 - c_0)` with u, v, w in [0, 1]. Everything that
    :func:`slice_plane` says holds here: regions are told apart by their codes, walls that rounding cannot tell apart (1e-13
    of the numbers compared) are one, a unit that is constant on a region makes none there. A network whose code is constant on
    the slice has one region.

    Args:
        model: A module in evaluation mode and float64: affine operations, skips, ReLU-like activations, max-pooling,
            sorting.
        corners: Four corners c0, c1, c2, c3, shape (4, ...), float64.
        layers: Number of nonlinearities to take part; None for all.
        limit: The largest number of regions.
        progress: Called from time to time with a sentence on how far it has come, such as ``print``.

    Returns:
        A :class:`SpaceSlice`.

    Raises:
        deepatoms.theory.piecewise.NotPiecewiseAffineError: If an operation is not piecewise affine or its walls are
            not known, samples are mixed, or the model computes something else than its pieces.
        ValueError: If the corners lie in one plane, do not fit, are not float64 or so near that rounding blurs the slice;
            if there are more regions than the limit; or if a unit cuts the slice whose numbers are less than 1e-12 of the
            layer's largest or of the numbers that cancel
            in it (what is less than 1e-15, or than a hundred roundings, of them counts as constant).

    Source:
        Section 7.1, :eq:`spl-refine`.

    >>> box = torch.tensor([[-1.0, -1.0, -1.0], [1.0, -1.0, -1.0], [-1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]], dtype=torch.float64)
    >>> found = slice_space(torch.nn.ReLU(), box)
    >>> len(found), found.volumes.round(9).tolist()[0], len(found.polyhedra()[0])
    (8, 0.125, 6)
    """
    corners = demand_corners(corners, 3)
    return SpaceSlice(refined(model, corners, Polyhedra.cube(), layers, (limit, progress)), corners, model)

named(__name__)
