r"""Convex cells by the thousand, as flat arrays: what polygons and polyhedra share.

The corners of all cells stand in one array, cell after cell, with the number of corners of each. A corner closer to a wall than
rounding lies on it, so that a wall through a corner does not cut off a sliver.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np

ROUNDING = 1e-13
SAME = 1e-9  # corners of neighbouring cells agree to rounding: coordinates nearer than this are one


class AffineFunctions(NamedTuple):
    """One affine function for each of some cells.

    Attributes:
        offsets: Values at the origin of the slice, shape (cells,).
        slopes: Shape (dimension, cells).
    """

    offsets: np.ndarray
    slopes: np.ndarray

    @classmethod
    def about(cls, at: np.ndarray, slopes: np.ndarray, centres: np.ndarray) -> AffineFunctions:
        """Return the functions with these values at centres of shape (cells, dimension)."""
        return cls(at - np.einsum("dn,nd->n", slopes, centres), slopes)


class Cells(ABC):
    """Convex cells.

    Attributes:
        points: Corners, shape (corners of all cells, dimension).
        counts: Number of corners of each cell, shape (cells,).
    """

    points: np.ndarray
    counts: np.ndarray

    def __len__(self) -> int:
        return len(self.counts)

    @cached_property
    def starts(self) -> np.ndarray:
        """Return the place of each cell's first corner."""
        return self.counts.cumsum() - self.counts

    @property
    def centres(self) -> np.ndarray:
        """Return the mean of each cell's corners, which lies inside; shape (cells, dimension)."""
        return np.add.reduceat(self.points, self.starts) / self.counts[:, None] if len(self) else self.points[:0]

    def reach(self, centres: np.ndarray) -> np.ndarray:
        """Return how far each cell reaches from a point along each axis, shape (cells, dimension)."""
        return np.maximum.reduceat(abs(self.points - np.repeat(centres, self.counts, 0)), self.starts)

    @property
    def spans(self) -> np.ndarray:
        """Return how far, along the axes together, two of each cell's corners lie apart: a rough size, for little; (cells,)."""
        return abs(self.points[self.starts] - self.points[self.starts + self.counts // 2]).sum(1)

    def inside(self, random: np.random.Generator) -> np.ndarray:
        """Return a random point inside each cell, shape (cells, dimension)."""
        weights = random.uniform(0.1, 1.0, (len(self.points), 1))
        return np.add.reduceat(weights * self.points, self.starts) / np.add.reduceat(weights, self.starts)

    def evaluate(self, rows: np.ndarray, function: AffineFunctions) -> np.ndarray:
        """Return one affine function for each of some cells at its corners, cell after cell."""
        counts = self.counts[rows]
        corners = self.points[ragged(self.starts[rows], counts)]
        values = function.offsets.repeat(counts)
        for axis, slopes in enumerate(function.slopes):
            values += corners[:, axis] * slopes.repeat(counts)
        return values

    def extremes(self, rows: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the lowest and the highest of such values on each of these cells."""
        if not len(rows):
            return values, values
        counts = self.counts[rows]
        starts = counts.cumsum() - counts
        return np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)

    def spread(self, rows: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Return one number for each of some cells, once for each of its corners."""
        return numbers.repeat(self.counts[rows])

    @property
    @abstractmethod
    def sizes(self) -> np.ndarray:
        """Return the area or volume of each cell."""

    @abstractmethod
    def take(self, rows: np.ndarray) -> Self:
        """Return some of the cells."""

    @classmethod
    @abstractmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Return several sets of cells as one."""

    def cut(self, values: np.ndarray) -> list[tuple[Self, np.ndarray]]:
        """Return the parts above and below zero of the cells that have both, each with the rows of its cells.

        Args:
            values: An affine function for each cell at its corners; exact zeros lie on the wall.
        """
        low, high = self.extremes(np.arange(len(self)), values)
        both = (low < 0) & (high > 0)
        if both.all():
            return self.halved(values, np.maximum(high, -low))
        rows = np.flatnonzero(both)
        parts = self.take(rows).cut(values[np.repeat(both, self.counts)])
        return [(part, rows[kept]) for part, kept in parts]

    @abstractmethod
    def halved(self, values: np.ndarray, scale: np.ndarray) -> list[tuple[Self, np.ndarray]]:
        """Cut cells that all have both parts; ``scale`` is the largest of a cell's values."""


def ragged(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the numbers start, start + 1, ... of several runs, one run after the other.

    Source:
        Standard.

    >>> ragged(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    ends = counts.cumsum()
    return np.arange(ends[-1] if len(ends) else 0) + (starts - ends + counts).repeat(counts)


def firsts(points: np.ndarray, gap: float) -> np.ndarray:
    """Return the rows of points of which none before is the same; coordinates nearer than the gap are one.

    Args:
        points: Shape (points, dimension).
        gap: Distance along an axis.

    Returns:
        Row numbers, ascending.

    Source:
        Standard.

    >>> firsts(np.array([[0.0, 1.0], [0.5, 0.5], [1e-12, 1.0]]), 1e-9).tolist()
    [0, 1]
    """
    order = points.argsort(0)
    apart = np.diff(np.take_along_axis(points, order, 0), axis=0, prepend=0.0) > gap
    labels = np.empty(points.shape, np.int64)
    np.put_along_axis(labels, order, apart.cumsum(0), 0)
    return np.sort(np.unique(labels, axis=0, return_index=True)[1])


def settle(values: np.ndarray, scale: np.ndarray | float) -> np.ndarray:
    """Set to zero what rounding cannot tell from it.

    Source:
        Standard.

    >>> settle(np.array([1e-16, 0.5]), 1.0).tolist()
    [0.0, 0.5]
    """
    return np.where(abs(values) <= ROUNDING * scale, 0.0, values)
