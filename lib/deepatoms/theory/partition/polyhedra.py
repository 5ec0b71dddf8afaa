r"""Convex polyhedra by the thousand, cut by planes all at once.

A polyhedron is its corners, its edges (two corners each) and its faces, which are known by their edges: each edge lies on two.
Nothing is ordered, so a cut only relabels. An edge that crosses the plane ends there in a new corner, a face that crosses it gets
a new edge, and the cut itself is a new face.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from deepatoms.theory.partition.cells import ROUNDING, Cells, ragged


@dataclass(frozen=True, eq=False)
class Polyhedra(Cells):
    """Convex polyhedra.

    Attributes:
        points: Corners, shape (corners of all polyhedra, 3).
        counts: Number of corners of each polyhedron.
        edges: The two corners of every edge, as places in ``points``, shape (edges of all polyhedra, 2).
        sides: The two faces on which it lies, shape (edges of all polyhedra, 2).
        edge_counts: Number of edges of each polyhedron.
        face_counts: Number of its faces.

    >>> cube = Polyhedra.cube()
    >>> [part.sizes.round(9).tolist() for part, _ in cube.cut(cube.points[:, 0] - 0.25)]
    [[0.75], [0.25]]
    """

    points: np.ndarray
    counts: np.ndarray
    edges: np.ndarray
    sides: np.ndarray
    edge_counts: np.ndarray
    face_counts: np.ndarray

    @classmethod
    def cube(cls) -> Self:
        """Return the cube [0, 1]^3."""
        points = np.stack(np.meshgrid(*[[0.0, 1.0]] * 3, indexing="ij"), -1).reshape(-1, 3)
        edges = np.array([(a, b) for a in range(8) for b in range(a) if (points[a] != points[b]).sum() == 1])
        fixed = points[edges[:, 0]] == points[edges[:, 1]]
        faces = 2 * np.arange(3) + points[edges[:, 0]].astype(int)
        return cls(points, np.array([8]), edges, faces[fixed].reshape(-1, 2), np.array([12]), np.array([6]))

    @cached_property
    def edge_cells(self) -> np.ndarray:
        """Return the polyhedron of each edge."""
        return np.repeat(np.arange(len(self)), self.edge_counts)

    @cached_property
    def face_cells(self) -> np.ndarray:
        """Return the polyhedron of each face."""
        return np.repeat(np.arange(len(self)), self.face_counts)

    @cached_property
    def face_centres(self) -> np.ndarray:
        """Return the mean of each face's corners, shape (faces, 3)."""
        # Around a face every corner ends two edges, so the mean over the ends of the edges is that over the corners.
        middles = np.repeat(self.points[self.edges].sum(1) / 2, 2, 0)
        return _sums(self.sides.ravel(), middles, self.face_counts.sum()) / self.edges_of_faces[:, None]

    @cached_property
    def edges_of_faces(self) -> np.ndarray:
        """Return how many edges each face has."""
        return np.bincount(self.sides.ravel(), minlength=self.face_counts.sum())

    @cached_property
    def face_vectors(self) -> np.ndarray:
        """Return the outward normal of each face with the length of its area, shape (faces, 3)."""
        ends = self.points[self.edges][:, None] - self.face_centres[self.sides][:, :, None]
        outward = self.face_centres[self.sides] - self.centres[self.edge_cells][:, None]
        triangles = np.cross(ends[:, :, 0], ends[:, :, 1]) / 2
        triangles *= np.where((triangles * outward).sum(2, keepdims=True) < 0, -1.0, 1.0)
        return _sums(self.sides.ravel(), triangles.reshape(-1, 3), self.face_counts.sum())

    @property
    def sizes(self) -> np.ndarray:
        """Return the volume of each polyhedron: of the pyramids on its faces, with their tips at its centre."""
        heights = self.face_centres - self.centres[self.face_cells]
        pyramids = (self.face_vectors * heights).sum(1) / 3
        return np.bincount(self.face_cells, pyramids, len(self))

    def loops(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the corners around each face, face after face, counterclockwise from outside, and how many each has."""
        faces, corners = np.unique(np.stack([self.sides[:, [0, 0, 1, 1]].ravel(), self.edges[:, [0, 1, 0, 1]].ravel()]), axis=1)
        counts = np.bincount(faces, minlength=len(self.face_cells))
        arms = self.points[corners] - self.face_centres[faces]
        first = np.repeat(arms[np.cumsum(counts) - counts], counts, 0)
        normals = self.face_vectors[faces]
        across = np.cross(normals, first) / np.maximum(np.linalg.norm(normals, axis=1), 1e-300)[:, None]
        angles = np.arctan2((arms * across).sum(1), (arms * first).sum(1))
        return corners[np.lexsort([angles, faces])], counts

    def take(self, rows: np.ndarray) -> Self:
        """Return some of the polyhedra."""
        counts, edge_counts, face_counts = self.counts[rows], self.edge_counts[rows], self.face_counts[rows]
        edges = ragged((np.cumsum(self.edge_counts) - self.edge_counts)[rows], edge_counts)
        corner_shift = np.repeat(np.cumsum(counts) - counts - self.starts[rows], edge_counts)
        face_shift = np.repeat(np.cumsum(face_counts) - face_counts - (np.cumsum(self.face_counts) - self.face_counts)[rows],
                               edge_counts)
        return type(self)(self.points[ragged(self.starts[rows], counts)], counts, self.edges[edges] + corner_shift[:, None],
                          self.sides[edges] + face_shift[:, None], edge_counts, face_counts)

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Return several sets of polyhedra as one."""
        corners = np.cumsum([0] + [len(part.points) for part in parts])
        faces = np.cumsum([0] + [int(part.face_counts.sum()) for part in parts])
        return cls(np.concatenate([part.points for part in parts]), np.concatenate([part.counts for part in parts]),
                   np.concatenate([part.edges + shift for part, shift in zip(parts, corners, strict=False)]),
                   np.concatenate([part.sides + shift for part, shift in zip(parts, faces, strict=False)]),
                   np.concatenate([part.edge_counts for part in parts]), np.concatenate([part.face_counts for part in parts]))

    def halved(self, values: np.ndarray, scale: np.ndarray, tolerance: float = ROUNDING) -> list[tuple[Self, np.ndarray]]:
        """Cut; where rounding makes the cut end in no polyhedron, with corners that count as on the plane from farther off."""
        cut = _Cut(self, values)
        parts = [cut.part(side) for side in (1, -1)]
        sound = cut.sound & np.logical_and.reduce([part.is_sound for part in parts])
        rows = np.arange(len(self))
        if sound.all():
            return [(part, rows) for part in parts]
        near = np.where(abs(values) <= np.repeat(10 * tolerance * scale, self.counts), 0.0, values)
        bad = np.flatnonzero(~sound)
        again = self.take(bad)._snapped(near[np.repeat(~sound, self.counts)], scale[bad], 10 * tolerance)
        good = np.flatnonzero(sound)
        return [(self.join([part.take(good), other]), np.concatenate([good, bad[kept]]))
                for part, (other, kept) in zip(parts, again, strict=True)]

    def _snapped(self, values, scale, tolerance):
        """Cut where both signs are left; a polyhedron on one side of the plane is whole there."""
        low, high = self.extremes(np.arange(len(self)), values)
        both = np.flatnonzero((low < 0) & (high > 0))
        whole = [np.flatnonzero(low >= 0), np.flatnonzero((high <= 0) & (low < 0))]
        part = self.take(both)
        halves = part.halved(values[np.repeat((low < 0) & (high > 0), self.counts)], scale[both], tolerance)
        return [(self.join([half, self.take(rest)]), np.concatenate([both[kept], rest]))
                for (half, kept), rest in zip(halves, whole, strict=True)]

    @property
    def is_sound(self) -> np.ndarray:
        """Tell which are polyhedra: Euler's formula, at least three edges around each face and at each corner."""
        euler = self.counts - self.edge_counts + self.face_counts == 2
        faces = np.bincount(self.face_cells, self.edges_of_faces < 3, len(self)) == 0
        degree = np.bincount(self.edges.ravel(), minlength=len(self.points))
        corners = np.bincount(np.repeat(np.arange(len(self)), self.counts), degree < 3, len(self)) == 0
        return euler & faces & corners


def _sums(groups, values, count):
    """Add rows up, group by group, shape (rows, 3) -> (count, 3)."""
    return np.stack([np.bincount(groups, column, count) for column in values.T], 1)


class _Cut:
    """Polyhedra cut by one plane each.

    Args:
        cells: Polyhedra.
        values: An affine function at their corners that has both signs on each of them.
    """

    def __init__(self, cells, values):
        self.cells = cells
        self.signs = np.sign(values).astype(np.int8)
        ends = self.signs[cells.edges]
        self.ends, self.crosses = ends, ends[:, 0] * ends[:, 1] < 0
        start, end = cells.edges[self.crosses].T
        share = values[start] / (values[start] - values[end])
        crossings = cells.points[start] + share[:, None] * (cells.points[end] - cells.points[start])
        faces = len(cells.face_cells)
        self.above, self.below = np.zeros(faces, bool), np.zeros(faces, bool)
        self.above[cells.sides[(ends[:, 0] > 0) | (ends[:, 1] > 0)]] = True
        self.below[cells.sides[(ends[:, 0] < 0) | (ends[:, 1] < 0)]] = True
        # Old corners and faces with the new ones, sorted by polyhedron.
        self.corner_cells, self.corner_order = _merged(np.repeat(np.arange(len(cells)), cells.counts),
                                                       cells.edge_cells[self.crosses])
        self.face_cells, self.face_order = _merged(cells.face_cells, np.arange(len(cells)))
        self.points = np.concatenate([cells.points, crossings])
        self.new = np.full(len(self.crosses), -1)
        self.new[self.crosses] = len(cells.points) + np.arange(len(start))
        self._traces()

    def _traces(self):
        """Find the edge that each face that crosses the plane leaves in it, and whether there is exactly one."""
        cells, faces = self.cells, self.above & self.below
        on = self.ends == 0
        groups = [cells.sides[self.crosses].ravel(), cells.sides[on[:, 0]].ravel(), cells.sides[on[:, 1]].ravel()]
        places = [np.repeat(self.new[self.crosses], 2), np.repeat(cells.edges[on[:, 0], 0], 2),
                  np.repeat(cells.edges[on[:, 1], 1], 2)]
        groups, places = np.concatenate(groups), np.concatenate(places)
        groups, places = groups[faces[groups]], places[faces[groups]]
        low, high = np.full(len(faces), len(self.points)), np.full(len(faces), -1)
        np.minimum.at(low, groups, places)
        np.maximum.at(high, groups, places)
        wrong = (places != low[groups]) & (places != high[groups]) | (low[groups] == high[groups])
        flat = np.flatnonzero(on[:, 0] & on[:, 1])  # an edge in the plane parts a face above from a face below
        odd = flat[(self.above[cells.sides[flat]].sum(1) != 1) | (self.below[cells.sides[flat]].sum(1) != 1)]
        self.sound = np.ones(len(cells), bool)
        self.sound[cells.face_cells[groups[wrong]]] = False
        self.sound[cells.edge_cells[odd]] = False
        self.traced = np.flatnonzero(faces)
        self.traces = np.stack([low[faces], high[faces]], 1)

    def part(self, side):
        """Return what lies on one side of the plane."""
        cells, faces = self.cells, len(self.cells.face_cells)
        mine = self.above if side > 0 else self.below
        corners = np.concatenate([side * self.signs >= 0, np.ones(len(self.points) - len(self.signs), bool)])
        corner_place, corner_counts = _numbered(corners, self.corner_order, self.corner_cells, len(cells))
        face_place, face_counts = _numbered(np.concatenate([mine, np.ones(len(cells), bool)]), self.face_order,
                                            self.face_cells, len(cells))
        start, end = self.ends.T
        here = (side * start >= 0) & (side * end >= 0)
        kept = here & (mine[cells.sides[:, 0]] | mine[cells.sides[:, 1]]) | self.crosses
        ends = np.where(side * self.ends[kept] < 0, self.new[kept][:, None], cells.edges[kept])
        sides = np.where(mine[cells.sides[kept]], cells.sides[kept], faces + cells.edge_cells[kept][:, None])
        caps = np.stack([self.traced, faces + cells.face_cells[self.traced]], 1)
        owner, order = _merged(cells.edge_cells[kept], cells.face_cells[self.traced])
        edges, sides = np.concatenate([ends, self.traces])[order], np.concatenate([sides, caps])[order]
        return type(cells)(self.points[self.corner_order[corners[self.corner_order]]], corner_counts,
                           corner_place[edges], face_place[sides], np.bincount(owner, minlength=len(cells)), face_counts)


def _merged(old, new):
    """Return the polyhedra of old and new parts, and the order that sorts both by polyhedron."""
    owner = np.concatenate([old, new])
    return owner, np.argsort(owner, kind="stable")


def _numbered(kept, order, owner, cells):
    """Return the new number of every part that is kept, and how many each polyhedron keeps."""
    place = np.zeros(len(kept), np.int64)
    chosen = order[kept[order]]
    place[chosen] = np.arange(len(chosen))
    return place, np.bincount(owner[kept], minlength=cells)
