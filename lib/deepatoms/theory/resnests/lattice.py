"""A continuous piecewise affine function as a maximum of minima of its affine pieces, and as the ReLU network that follows."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from deepatoms.theory import arguments
from deepatoms.theory.signatures import named


def lattice_sets(slopes: np.ndarray, offsets: np.ndarray, polygons: Sequence[np.ndarray],
                 tolerance: float = 1e-9) -> list[np.ndarray]:
    r"""Return, for each piece i, the pieces j whose affine function lies nowhere on piece i below that of i.

    Then :math:`f(x) = \max_i \min_{j \in S_i} f_j(x)` for continuous f. Functions are compared at the corners; of pieces
    that share one (equal to nine digits) only the first is kept.

    Args:
        slopes: of the pieces, shape (pieces, inputs).
        offsets: of the pieces, shape (pieces,).
        polygons: the corners of each piece, arrays of shape (corners, inputs).
        tolerance: what counts as equal.

    Returns:
        A list of integer arrays, one a piece.

    Raises:
        ValueError: when the numbers of slopes, offsets and polygons differ, or any of them is not finite.

    Source:
        The lattice representation, Algorithm 1 of Chen, Garudadri and Rao (2022).

    >>> sets = lattice_sets(np.array([[-1.0], [1.0]]), np.zeros(2), [np.array([[-1.0], [0.0]]), np.array([[0.0], [1.0]])])
    >>> [each.tolist() for each in sets]
    [[0], [1]]
    """
    arguments.matrix("slopes", slopes)
    if not len(slopes) == len(offsets) == len(polygons):
        arguments.refuse("polygons", (len(slopes), len(offsets), len(polygons)),
                         "are the numbers of slopes, offsets and polygons, which differ", "pass one of each a piece")
    found, first = [], components(slopes, offsets)
    for own, corners in enumerate(polygons):
        values = arguments.real_array(f"polygons[{own}]", corners, 2) @ slopes.T + offsets
        found.append(first[(values[:, first] >= values[:, own:own + 1] - tolerance).all(0)])
    return found


def components(slopes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return the first piece of each distinct affine function (equal to nine digits).

    Args:
        slopes: of the pieces, shape (pieces, inputs).
        offsets: of the pieces, shape (pieces,).

    Returns:
        Indices of pieces, one a distinct function.

    Raises:
        ValueError: when a slope or an offset is not finite.

    Source:
        The distinct linear components of Chen, Garudadri and Rao (2022).

    >>> components(np.array([[1.0], [1.0], [2.0]]), np.zeros(3)).tolist()
    [0, 2]
    """
    arguments.real_array("slopes", slopes, 2)
    arguments.real_array("offsets", offsets, 1)
    return np.unique(np.round(np.column_stack([slopes, offsets]), 9), axis=0, return_index=True)[1]


def relu_maximum(values: np.ndarray, chain: bool = False) -> tuple[np.ndarray, int]:
    r"""Return the maximum over the first axis by ReLU layers alone, and the number of hidden neurons they take.

    A layer joins pairs, :math:`\max(a, b) = \operatorname{relu}(b - a) + \operatorname{relu}(a) - \operatorname{relu}(-a)`,
    three neurons each, and carries what is left over by two.

    Args:
        values: shape (count, ...).
        chain: join one pair a layer and carry all others, not all pairs at once.

    Returns:
        The maximum, of the shape of one entry, and the number of neurons.

    Raises:
        ValueError: when there are no values.

    Source:
        Standard; the layers of Chen, Garudadri and Rao (2022).

    >>> largest, neurons = relu_maximum(np.array([3.0, -1.0, 5.0]))
    >>> float(largest), neurons
    (5.0, 8)
    """
    if not len(values):
        arguments.refuse("values", values, "is empty", "pass at least one value")
    arguments.real_array("values", values)
    neurons = 0
    while len(values) > 1:
        pairs = 1 if chain else len(values) // 2
        first, second, rest = values[:2 * pairs:2], values[1:2 * pairs:2], values[2 * pairs:]
        joined = np.maximum(second - first, 0) + np.maximum(first, 0) - np.maximum(-first, 0)
        values = np.concatenate([joined, np.maximum(rest, 0) - np.maximum(-rest, 0)])
        neurons += 3 * pairs + 2 * len(rest)
    return values[0], neurons


def lattice_network(slopes: np.ndarray, offsets: np.ndarray, sets: Sequence[np.ndarray],
                    chain: bool = False) -> Callable[[np.ndarray], tuple[np.ndarray, int]]:
    r"""Return the ReLU network :math:`\max_i \min_{j \in S_i} f_j` as a function of points (points, inputs).

    Its minima have different depths; the shallow ones are carried on, two neurons a layer.

    Args:
        slopes: of the pieces, shape (pieces, inputs).
        offsets: of the pieces, shape (pieces,).
        sets: :math:`S_i`, as :func:`lattice_sets` returns them.
        chain: as for :func:`relu_maximum`.

    Returns:
        A function that returns the values, shape (points,), and the number of hidden neurons.

    Raises:
        ValueError: when slopes and offsets do not fit; in the function returned, when a set is empty.

    Source:
        Algorithm 1 of Chen, Garudadri and Rao (2022).

    >>> absolute = lattice_network(np.array([[-1.0], [1.0]]), np.zeros(2), [np.array([0]), np.array([1])])
    >>> absolute(np.array([[-2.0], [3.0]]))
    (array([2., 3.]), 3)
    """
    arguments.matrix("slopes", slopes)
    if len(arguments.real_array("offsets", offsets, rank=1)) != len(slopes):
        arguments.refuse("offsets", offsets, f"does not match the {len(slopes)} slopes", "pass one offset a piece")
    if isinstance(sets, str) or not len(sets):
        arguments.refuse("sets", sets, "holds no set", "pass what lattice_sets returns")

    def network(points):
        affine = slopes @ points.T + offsets[:, None]
        minima = [relu_maximum(-affine[each], chain) for each in sets]
        depths = [len(each) - 1 if chain else math.ceil(math.log2(len(each))) for each in sets]
        value, last = relu_maximum(np.stack([-low for low, _ in minima]), chain)
        return value, last + sum(count for _, count in minima) + 2 * sum(max(depths) - depth for depth in depths)

    return network


def neuron_bound(components: int, pieces: int) -> int:
    r"""Return the most hidden neurons that the network needs, for k distinct affine components and q pieces.

    .. math:: (3 \cdot 2^{\lceil \log_2 k \rceil} + 2 \lceil \log_2 k \rceil - 3)\, q
        + 3 \cdot 2^{\lceil \log_2 q \rceil} - 2 \lceil \log_2 k \rceil - 3

    Args:
        components: k.
        pieces: q.

    Raises:
        ValueError: when a count is no positive integer.

    Source:
        Theorem 2 of Chen, Garudadri and Rao (2022), as their code computes it.

    >>> neuron_bound(2, 2)
    11
    """
    k, q = (math.ceil(math.log2(arguments.integer(name, value)))
            for name, value in (("components", components), ("pieces", pieces)))
    return (3 * 2**k + 2 * k - 3) * pieces + 3 * 2**q - 2 * k - 3

named(__name__)
