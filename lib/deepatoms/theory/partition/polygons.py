"""Convex polygons by the thousand, cut by lines all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from deepatoms.theory.partition.cells import Cells, ragged
from deepatoms.theory.signatures import named


@dataclass(frozen=True, eq=False)
class Polygons(Cells):
    """Convex polygons.

    Attributes:
        points: Corners, in order around each polygon, shape (corners of all polygons, 2).
        counts: Number of corners of each polygon.

    >>> square = Polygons.square()
    >>> [part.sizes.tolist() for part, _ in square.cut(square.points[:, 0] - 0.25)]
    [[0.75], [0.25]]
    """

    points: np.ndarray
    counts: np.ndarray

    @classmethod
    def square(cls) -> Self:
        """Return the square [0, 1]^2."""
        return cls(np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]), np.array([4]))

    @classmethod
    def of(cls, vertices: np.ndarray, counts: np.ndarray) -> Self:
        """Return polygons that are padded to equal numbers of corners, shape (polygons, most corners, 2)."""
        return cls(vertices[valid(vertices, counts)], counts)

    def padded(self) -> np.ndarray:
        """Return the corners of each polygon, shape (polygons, most corners, 2); 0 beyond its own."""
        vertices = np.zeros((len(self), max(int(self.counts.max(initial=0)), 3), 2))
        vertices[valid(vertices, self.counts)] = self.points
        return vertices

    @property
    def following(self) -> np.ndarray:
        """Return the place of each corner's successor."""
        after = np.arange(1, len(self.points) + 1)
        after[self.starts + self.counts - 1] = self.starts
        return after

    @property
    def sizes(self) -> np.ndarray:
        """Return the area of each polygon (shoelace formula, about its first corner, which keeps small areas' digits)."""
        shifted = self.points - np.repeat(self.points[self.starts], self.counts, 0)
        after = shifted[self.following]
        return abs(np.add.reduceat(shifted[:, 0] * after[:, 1] - shifted[:, 1] * after[:, 0], self.starts)) / 2

    def take(self, rows: np.ndarray) -> Self:
        """Return some of the polygons."""
        counts = self.counts[rows]
        return type(self)(self.points[ragged(self.starts[rows], counts)], counts)

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Return several sets of polygons as one."""
        return cls(np.concatenate([part.points for part in parts]), np.concatenate([part.counts for part in parts]))

    def halved(self, values: np.ndarray, scale: np.ndarray) -> list[tuple[Self, np.ndarray]]:
        """Cut polygons that all have both parts: clipping by a half-plane (Sutherland and Hodgman, 1974), both sides at once."""
        after = self.following
        crosses = values * values[after] < 0
        slots = np.empty((len(values), 2, 2))
        slots[:, 0] = self.points
        start, end = np.flatnonzero(crosses), after[crosses]
        share = values[start] / (values[start] - values[end])
        slots[start, 1] = self.points[start] + share[:, None] * (self.points[end] - self.points[start])
        return [(self._kept(slots, side * values >= 0, crosses), np.arange(len(self))) for side in (1, -1)]

    def _kept(self, slots, kept, crosses):
        """Gather each polygon's kept corners and crossings, in order."""
        wanted = np.stack([kept, crosses], 1)
        return type(self)(slots[wanted], np.add.reduceat(wanted.sum(1), self.starts) if len(self) else self.counts)


def valid(vertices: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return which entries of a padded array are vertices, shape (polygons, most vertices).

    Source:
        Standard.

    >>> valid(np.zeros((1, 4, 2)), np.array([3])).tolist()
    [[True, True, True, False]]
    """
    return np.arange(vertices.shape[1]) < counts[:, None]


def following(vertices: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the index of each vertex's successor in a padded array, shape (polygons, most vertices).

    Source:
        Standard.

    >>> following(np.zeros((1, 4, 2)), np.array([3])).tolist()
    [[1, 2, 0, 0]]
    """
    successor = np.arange(1, vertices.shape[1] + 1)
    return np.where(successor >= counts[:, None], 0, successor)

named(__name__)
