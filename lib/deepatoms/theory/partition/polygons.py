"""Convex polygons by the thousand, cut by lines all at once.

A set of polygons is an array of vertices, shape (polygons, most vertices, 2), in order around each polygon, with the number
of vertices of each; entries beyond it are not used. A vertex closer to a line than rounding lies on it, so a line through
a corner does not cut off a sliver.
"""

import numpy as np

ROUNDING = 1e-13


def valid(vertices, counts):
    """Return which entries of the array are vertices, shape (polygons, most vertices)."""
    return np.arange(vertices.shape[1]) < counts[:, None]


def following(vertices, counts):
    """Return the index of each vertex's successor, shape (polygons, most vertices)."""
    successor = np.arange(1, vertices.shape[1] + 1)
    return np.where(successor >= counts[:, None], 0, successor)


def areas(vertices, counts):
    """Return the area of each polygon (shoelace formula, about its first vertex, which keeps small areas' digits).

    >>> areas(np.array([[[0.0, 0.0], [2.0, 0.0], [2.0, 1.0], [0.0, 1.0]]]), np.array([4])).tolist()
    [2.0]
    """
    shifted = np.where(valid(vertices, counts)[..., None], vertices - vertices[:, :1], 0.0)
    after = np.take_along_axis(shifted, following(vertices, counts)[..., None], 1)
    return abs((shifted[..., 0] * after[..., 1] - shifted[..., 1] * after[..., 0]).sum(1)) / 2


def centres(vertices, counts):
    """Return the mean of each polygon's vertices, which lies inside; shape (polygons, 2)."""
    return np.where(valid(vertices, counts)[..., None], vertices, 0.0).sum(1) / counts[:, None]


def cut(vertices, counts, values):
    """Cut polygons along the zero line of an affine function given by its values at the vertices.

    Args:
        vertices, counts: Polygons.
        values: The function at the vertices, shape (polygons, most vertices); exact zeros lie on the line.

    Returns:
        Polygons where the function is >= 0, and where it is <= 0 (with fewer than three vertices where there are none).
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


def join(parts):
    """Return several sets of polygons as one."""
    widest = max(vertices.shape[1] for vertices, _ in parts)
    padded = [np.pad(vertices, ((0, 0), (0, widest - vertices.shape[1]), (0, 0))) for vertices, _ in parts]
    return np.concatenate(padded), np.concatenate([counts for _, counts in parts])


def settle(values, scale):
    """Set to zero what rounding cannot tell from it."""
    return np.where(abs(values) <= ROUNDING * scale, 0.0, values)
