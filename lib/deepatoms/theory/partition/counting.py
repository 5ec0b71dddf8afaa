"""How many regions there can be."""

import math

from deepatoms.theory.arguments import integer
from deepatoms.theory.signatures import named


def most_regions(units: int, dimension: int) -> int:
    r"""Return the largest number of regions into which hyperplanes can cut a space.

    .. math:: \sum_{i=0}^{\min(d, n)} \binom{n}{i}

    It is :math:`2^n` only while the n units do not outnumber the d dimensions.

    Args:
        units: Number of hyperplanes n.
        dimension: Dimension d of the space.

    Raises:
        ValueError: If a number is negative.

    Source:
        Zaslavsky (1975); corrects Section 7.1, :eq:`spl-regions`.

    >>> most_regions(3, 3), most_regions(3, 2), most_regions(150, 2)
    (8, 7, 11326)
    """
    integer("units", units, 0)
    return sum(math.comb(units, i) for i in range(min(integer("dimension", dimension, 0), units) + 1))


def planar_regions(lines: int) -> int:
    r"""Return the number of regions that lines in general position make of the plane, :math:`1 + n + \tfrac{n(n-1)}{2}`.

    Raises:
        ValueError: If the number is negative.

    Source:
        Zaslavsky (1975), in the plane.

    >>> [planar_regions(n) for n in (0, 1, 2, 10)]
    [1, 2, 4, 56]
    """
    return most_regions(lines, 2)

named(__name__)
