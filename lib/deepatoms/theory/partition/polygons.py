"""Convex polygons by the thousand, cut by lines all at once.

A set of polygons is an array of vertices, shape (polygons, most vertices, 2), in order around each polygon, with the number
of vertices of each; entries beyond it are not used. A vertex closer to a line than rounding lies on it, so a line through
a corner does not cut off a sliver.
"""

from collections.abc import Sequence

import numpy as np

from deepatoms.theory.signatures import named

ROUNDING = 1e-13


def valid(vertices: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return which entries of the array are vertices, shape (polygons, most vertices).

    Source:
        Standard.

    >>> valid(np.zeros((1, 4, 2)), np.array([3])).tolist()
    [[True, True, True, False]]
    """
    return np.arange(vertices.shape[1]) < counts[:, None]


def following(vertices: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the index of each vertex's successor, shape (polygons, most vertices).

    Source:
        Standard.

    >>> following(np.zeros((1, 4, 2)), np.array([3])).tolist()
    [[1, 2, 0, 0]]
    """
    successor = np.arange(1, vertices.shape[1] + 1)
    return np.where(successor >= counts[:, None], 0, successor)


def areas(vertices: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the area of each polygon (shoelace formula, about its first vertex, which keeps small areas' digits).

    Source:
        The shoelace formula, standard.

    >>> areas(np.array([[[0.0, 0.0], [2.0, 0.0], [2.0, 1.0], [0.0, 1.0]]]), np.array([4])).tolist()
    [2.0]
    """
    shifted = np.where(valid(vertices, counts)[..., None], vertices - vertices[:, :1], 0.0)
    after = np.take_along_axis(shifted, following(vertices, counts)[..., None], 1)
    return abs((shifted[..., 0] * after[..., 1] - shifted[..., 1] * after[..., 0]).sum(1)) / 2


def centres(vertices: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the mean of each polygon's vertices, which lies inside; shape (polygons, 2).

    Source:
        Standard.

    >>> centres(np.array([[[0.0, 0.0], [2.0, 0.0], [2.0, 1.0], [0.0, 1.0]]]), np.array([4])).tolist()
    [[1.0, 0.5]]
    """
    return np.where(valid(vertices, counts)[..., None], vertices, 0.0).sum(1) / counts[:, None]


def cut(vertices: np.ndarray, counts: np.ndarray, values: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cut polygons along the zero line of an affine function given by its values at the vertices.

    Args:
        vertices, counts: Polygons.
        values: The function at the vertices, shape (polygons, most vertices); exact zeros lie on the line.

    Returns:
        Polygons where the function is >= 0, and where it is <= 0 (with fewer than three vertices where there are none).

    Source:
        Clipping by a half-plane (Sutherland and Hodgman, 1974), both sides at once.

    >>> square = np.array([[[0.0, 0.0], [2.0, 0.0], [2.0, 1.0], [0.0, 1.0]]])
    >>> [areas(*half).tolist() for half in cut(square, np.array([4]), square[..., 0] - 0.5)]
    [[1.5], [0.5]]
    """
    inside, after = valid(vertices, counts), following(vertices, counts)
    values_after = np.take_along_axis(values, after, 1)
    crosses = inside & (values * values_after < 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(crosses, values / (values - values_after), 0.0)
    crossings = vertices + share[..., None] * (np.take_along_axis(vertices, after[..., None], 1) - vertices)
    return [_collect(vertices, crossings, inside & (side * values >= 0), crosses) for side in (1, -1)]


def _collect(vertices, crossings, kept, crosses):
    """Gather each polygon's kept vertices and crossings, in order, at the front of a new array."""
    slots = np.stack([vertices, crossings], 2).reshape(len(vertices), 2 * vertices.shape[1], 2)
    wanted = np.stack([kept, crosses], 2).reshape(len(vertices), 2 * vertices.shape[1])
    counts = wanted.sum(1)
    gathered = np.zeros((len(vertices), max(int(counts.max(initial=0)), 3), 2))
    polygon, slot = wanted.nonzero()
    gathered[polygon, (wanted.cumsum(1) - 1)[polygon, slot]] = slots[polygon, slot]
    return gathered, counts


def join(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Return several sets of polygons as one.

    Source:
        Standard.

    >>> triangle, square = (np.zeros((1, 3, 2)), np.array([3])), (np.zeros((1, 4, 2)), np.array([4]))
    >>> join([triangle, square])[0].shape
    (2, 4, 2)
    """
    widest = max(vertices.shape[1] for vertices, _ in parts)
    padded = [np.pad(vertices, ((0, 0), (0, widest - vertices.shape[1]), (0, 0))) for vertices, _ in parts]
    return np.concatenate(padded), np.concatenate([counts for _, counts in parts])


def settle(values: np.ndarray, scale: np.ndarray | float) -> np.ndarray:
    """Set to zero what rounding cannot tell from it.

    Source:
        Standard.

    >>> settle(np.array([1e-16, 0.5]), 1.0).tolist()
    [0.0, 0.5]
    """
    return np.where(abs(values) <= ROUNDING * scale, 0.0, values)

named(__name__)
