r"""The graph of a planar partition: its regions, joined where they share a side."""

import numpy as np

from deepatoms.theory.arguments import refuse
from deepatoms.theory.partition.planar import PlanarSlice
from deepatoms.theory.signatures import named

DECIMALS = 9  # corners of neighbouring polygons agree to rounding; two corners nearer than this count as one


def region_graph(found: PlanarSlice) -> np.ndarray:
    """Return the pairs of regions that share a side, shape (pairs, 2).

    A common corner is no common side.

    Args:
        found: An exact partition.

    Raises:
        ValueError: If a side inside the slice does not lie between exactly two regions (a wall ends on another one).

    Source:
        The connectivity graph of Gaines and Bi, Characterizing the Discrete Geometry of ReLU Networks (ICLR 2026).

    >>> import torch
    >>> from deepatoms.theory.partition import slice_plane
    >>> box = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
    >>> region_graph(slice_plane(torch.nn.ReLU(), box)).shape
    (4, 2)
    """
    owners, corners = _sides(found)
    points, labels = np.unique(corners.reshape(-1, 2).round(DECIMALS), axis=0, return_inverse=True)
    ends = np.sort(labels.reshape(-1, 2), 1)
    inner = (ends[:, 0] != ends[:, 1]) & ~_on_the_frame(points[ends])
    _, side, shared = np.unique(ends[inner], axis=0, return_inverse=True, return_counts=True)
    if (shared != 2).any():
        refuse("found", found, f"has {int((shared != 2).sum())} sides that are not between two regions",
               "move the slice a little, or draw other weights: a wall ends on another one")
    return np.sort(owners[inner][np.argsort(side.ravel(), kind="stable")].reshape(-1, 2), 1)


def average_degree(found: PlanarSlice) -> float:
    r"""Return the average number of neighbours of a region, :math:`2\,|E| / |V|` of the region graph.

    Args:
        found: An exact partition.

    Raises:
        ValueError: As :func:`region_graph` does.

    Source:
        Standard; at most twice the dimension for fully connected ReLU networks (Gaines and Bi, ICLR 2026).

    >>> import torch
    >>> from deepatoms.theory.partition import slice_plane
    >>> box = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
    >>> average_degree(slice_plane(torch.nn.ReLU(), box))
    2.0
    """
    return 2 * len(region_graph(found)) / len(found)


def _sides(found):
    """Return the owner of every side, and its two corners, shape (sides, 2, 2)."""
    polygons = found.polygons()
    corners = np.concatenate([np.stack([polygon, np.roll(polygon, -1, axis=0)], 1) for polygon in polygons])
    return np.repeat(np.arange(len(polygons)), [len(polygon) for polygon in polygons]), corners


def _on_the_frame(sides):
    """Return which sides lie on the border of the slice, [0, 1]^2."""
    return ((sides == 0).all(1) | (sides == 1).all(1)).any(1)

named(__name__)
