r"""The partition that a piecewise affine network makes of its input space: codes, neighbours, exact slices, walls.

The equations are those of Balestriero and Baraniuk, *A Spline Theory of Deep Networks* (ICML 2018), Section 7, under the
paper's numbers. Every unit of a nonlinearity selects one of its affine pieces; the selections, unit by unit, are the *code*
of an input (Eq. 14), and the inputs with one code form a convex *region*. (Of an entry at some rank, such as a median, the
code counts with the set of entries above it: the inputs where it has its place behind any set need not be convex.) What follows
from it is here: a distance between codes (Eq. 15) with exact nearest neighbours, exact partitions of a segment, of a plane and of
space, and the exact distance to the nearest wall of a region.
"""

from deepatoms.theory.partition.codes import LayerCodes, distance, region_codes
from deepatoms.theory.partition.counting import most_regions, planar_regions
from deepatoms.theory.partition.neighbours import Neighbours, neighbours
from deepatoms.theory.partition.planar import PlanarSlice, slice_plane
from deepatoms.theory.partition.segment import slice_segment
from deepatoms.theory.partition.spatial import Mesh, SpaceSlice, slice_space
from deepatoms.theory.partition.walls import Wall, in_radius, nearest_walls

__all__ = ["LayerCodes", "Mesh", "Neighbours", "PlanarSlice", "SpaceSlice", "Wall", "distance", "in_radius",
           "most_regions", "nearest_walls", "neighbours", "planar_regions", "region_codes",
           "slice_plane", "slice_segment", "slice_space"]
