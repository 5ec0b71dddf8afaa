r"""The graph of an exact partition, in the plane or in space: its regions, joined where they share a side or a face."""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, shortest_path
from scipy.spatial import cKDTree

from deepatoms.theory.arguments import integer, refuse
from deepatoms.theory.partition.planar import PlanarSlice
from deepatoms.theory.partition.spatial import SpaceSlice
from deepatoms.theory.signatures import named

NEAR = 1e-9  # sides of neighbours agree to rounding; what is smaller than this, or nearer, rounding may have made


def region_graph(found: PlanarSlice | SpaceSlice) -> np.ndarray:
    """Return the pairs of regions that share a side (in space, a face), shape (pairs, 2).

    A common corner, or in space a common edge, is no common side.

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
    owners, centres, framed = _sides(found)
    owners, centres = owners[~framed], centres[~framed]
    pairs = cKDTree(centres).query_pairs(NEAR, output_type="ndarray") if len(centres) else np.zeros((0, 2), int)
    pairs = pairs[owners[pairs[:, 0]] != owners[pairs[:, 1]]]
    met = np.bincount(pairs.ravel(), minlength=len(owners))
    if (met != 1).any():
        refuse("found", found, f"has {int((met != 1).sum())} sides that are not between two regions",
               "move the slice a little, or draw other weights: a wall ends on another one")
    return np.sort(owners[pairs], 1)


def average_degree(found: PlanarSlice | SpaceSlice) -> float:
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


def inner_regions(found: PlanarSlice | SpaceSlice) -> np.ndarray:
    """Tell which regions do not touch the frame of the slice: these are bounded, whatever lies outside; shape (regions,).

    Args:
        found: An exact partition.

    Source:
        Standard.

    >>> import torch
    >>> from deepatoms.theory.partition import slice_plane
    >>> box = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
    >>> inner_regions(slice_plane(torch.nn.Hardtanh(-0.5, 0.5), box)).sum()
    np.int64(1)
    """
    owners, _, framed = _sides(found)
    return np.bincount(owners[framed], minlength=len(found)) == 0


def walls_between(found: PlanarSlice | SpaceSlice, start: int) -> np.ndarray:
    """Return how many walls lie at least between one region and each other, shape (regions,): their distance in the graph.

    Args:
        found: An exact partition.
        start: The number of the region.

    Raises:
        ValueError: If there is no such region, or as :func:`region_graph` does.

    Source:
        Breadth-first search, standard.

    >>> import torch
    >>> from deepatoms.theory.partition import slice_plane
    >>> box = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
    >>> sorted(walls_between(slice_plane(torch.nn.ReLU(), box), 0).tolist())
    [0, 1, 1, 2]
    """
    if integer("start", start, 0) >= len(found):
        refuse("start", start, f"is not one of the {len(found)} regions", f"pass at most {len(found) - 1}")
    return shortest_path(_adjacency(region_graph(found), len(found)), unweighted=True, indices=start).astype(int)


def affine_pieces(found: PlanarSlice | SpaceSlice, tolerance: float = 1e-9) -> np.ndarray:
    """Return which maximal affine piece each region belongs to, numbered from 0, shape (regions,).

    A region is a set of inputs with one *code*. Neighbours whose maps are equal to a tolerance, relative to the largest
    number in the two maps, are one *piece*: a wall that no active unit sees parts codes, not pieces. Pieces need not be
    convex, and two pieces that do not touch count as two.

    Args:
        found: An exact partition.
        tolerance: How far equal maps may lie apart.

    Raises:
        ValueError: As :func:`region_graph` does.

    Source:
        Two of the definitions in Stargalla, Hertrich and Reichman (2025).

    >>> import torch
    >>> from deepatoms.theory.partition import slice_plane
    >>> box = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
    >>> sum_of_first = lambda x: torch.relu(x)[:, :1]
    >>> affine_pieces(slice_plane(sum_of_first, box)).max() + 1
    np.int32(2)
    """
    pairs, (slopes, offsets) = region_graph(found), found.affine_maps()
    maps = np.concatenate([slopes.reshape(len(found), -1), offsets], 1)
    size = abs(maps).max(1)
    equal = abs(maps[pairs[:, 0]] - maps[pairs[:, 1]]).max(1) <= tolerance * size[pairs].max(1)
    return connected_components(_adjacency(pairs[equal], len(found)), directed=False)[1]


def _adjacency(pairs, count):
    both = np.concatenate([pairs, pairs[:, ::-1]])
    return coo_array((np.ones(len(both)), both.T), (count, count)).tocsr()


def _sides(found):
    """Return the owner of every side, its centre, and whether it lies on the frame, [0, 1]^dimension; dots are left out."""
    cells = found.cells
    if isinstance(found, SpaceSlice):
        owners, centres = cells.face_cells, cells.face_centres
        groups = cells.sides.ravel()
        ends = np.repeat(cells.points[cells.edges], 2, 0)
        low, high = np.full((len(owners), 3), np.inf), np.full((len(owners), 3), -np.inf)
        np.minimum.at(low, groups, ends.min(1))
        np.maximum.at(high, groups, ends.max(1))
    else:
        ends = np.stack([cells.points, cells.points[cells.following]])
        owners, centres = np.repeat(np.arange(len(cells)), cells.counts), ends.mean(0)
        low, high = ends.min(0), ends.max(0)
    framed = ((high == 0) | (low == 1)).any(1)
    whole = (high - low).max(1) > NEAR
    return owners[whole], centres[whole], framed[whole]

named(__name__)
