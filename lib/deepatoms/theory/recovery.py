r"""Which codes a dictionary determines: every representation of a given sparsity, and the one of least :math:`\ell_1` norm."""

import itertools
import math
from functools import lru_cache

import numpy as np
from scipy.optimize import linprog

from deepatoms.theory import arguments
from deepatoms.theory.signatures import named

LARGEST_SEARCH = 200_000


def representations(D: np.ndarray, x: np.ndarray, sparsity: int, tolerance: float = 1e-9) -> np.ndarray:
    r"""Return every support of the given size on which the dictionary represents x, by exhaustive search.

    Args:
        D: matrix of shape (dimension, atoms).
        x: signal of shape (dimension,).
        sparsity: size of the supports.
        tolerance: largest residual, relative to the norm of x.

    Returns:
        The supports, each sorted, as an integer array of shape (found, sparsity).

    Raises:
        ValueError: when there are more supports than an exhaustive search should visit (says how many).

    Source: standard, exhaustive search.

    >>> representations(np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]), np.array([2.0, 2.0]), 1)
    array([[2]])
    """
    arguments.dictionary("D", D)
    arguments.real_array("x", x, rank=1)
    if len(x) != D.shape[0]:
        arguments.refuse("x", x, f"does not match the {D.shape[0]} rows of D", "pass one number for each row")
    arguments.number("tolerance", tolerance, 0)
    supports = _supports(D.shape[1], arguments.integer("sparsity", sparsity))
    bases = np.linalg.qr(D.T[supports].transpose(0, 2, 1))[0]
    explained = (bases @ (bases.transpose(0, 2, 1) @ x)[..., None])[..., 0]
    return supports[np.linalg.norm(x - explained, axis=1) < tolerance * np.linalg.norm(x)]


@lru_cache(maxsize=8)
def _supports(atoms, sparsity):
    count = math.comb(atoms, sparsity)
    if not 0 < count <= LARGEST_SEARCH:
        arguments.refuse("sparsity", sparsity, f"makes {count:,} supports of {atoms} atoms",
                         f"stay between 1 and {LARGEST_SEARCH:,} supports")
    return np.array(list(itertools.combinations(range(atoms), sparsity)))


def least_l1(D: np.ndarray, x: np.ndarray) -> np.ndarray:
    r"""Return a code of least :math:`\ell_1` norm among those with :math:`D w = x`, by linear programming.

    Args:
        D: matrix of shape (dimension, atoms).
        x: signal of shape (dimension,), in the span of the atoms.

    Returns:
        Code of shape (atoms,); where several are least, one of them.

    Raises:
        ValueError: when no code represents x.

    Source: Chen, Donoho and Saunders (1998).

    >>> code = least_l1(np.array([[1.0, 0.0, 0.8], [0.0, 1.0, 0.6]]), np.array([0.8, 0.6]))
    >>> abs(code).round(6)
    array([0., 0., 1.])
    """
    arguments.dictionary("D", D)
    if len(arguments.real_array("x", x, rank=1)) != D.shape[0]:
        arguments.refuse("x", x, f"does not match the {D.shape[0]} rows of D", "pass one number for each row")
    found = linprog(np.ones(2 * D.shape[1]), A_eq=np.hstack([D, -D]), b_eq=x, method="highs")
    if not found.success:
        arguments.refuse("x", x, "has no representation: " + found.message, "pass a signal in the span of the atoms")
    positive, negative = np.split(found.x, 2)
    return positive - negative

named(__name__)
