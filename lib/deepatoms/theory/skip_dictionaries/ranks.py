r"""Exact ranks and multiplicities of integer matrices: counterexamples that no rounding can explain away."""

from typing import Any

import numpy as np

from deepatoms.theory import arguments
from deepatoms.theory.signatures import named


def exact_rank(matrices: np.ndarray) -> Any:
    """Return the ranks of integer matrices by fraction-free elimination in unlimited precision.

    What Equation :eq:`rsc-rank` says of I + D can then be tested without rounding.

    Args:
        matrices: integer array of shape (..., rows, columns).

    Returns:
        Integer array of shape (...,).

    Raises:
        TypeError: on entries that are not integers, of which no exact rank can be said.

    >>> exact_rank(np.diag([-1, -1, 0])), exact_rank(np.eye(3, dtype=int) + np.diag([-1, -1, 0]))
    (np.int64(2), np.int64(1))
    """
    given = _integers(matrices)
    work = given.reshape(-1, *given.shape[-2:]).astype(object)
    rank, every = np.zeros(len(work), dtype=np.int64), np.arange(len(work))
    previous = np.ones(len(work), dtype=object)
    for column in range(work.shape[2]):
        free = (work[:, :, column] != 0) & (np.arange(work.shape[1]) >= rank[:, None])
        found = every[free.any(1)]
        if len(found):
            _eliminate(work, found, free[found].argmax(1), rank[found], column, previous)
            rank[found] += 1
    return rank.reshape(given.shape[:-2])[()]


def _eliminate(work, found, pivots, ranks, column, previous):
    """Swap each pivot row up and clear the column below it (Bareiss: all divisions are exact)."""
    work[found, pivots], work[found, ranks] = work[found, ranks], work[found, pivots]
    rows = work[found, ranks]
    pivot = rows[:, column]
    below = np.arange(work.shape[1]) > ranks[:, None]
    cleared = work[found] * pivot[:, None, None] - work[found][:, :, column, None] * rows[:, None, :]
    work[found] = np.where(below[:, :, None], cleared // previous[found][:, None, None], work[found])
    previous[found] = pivot


def characteristic_polynomial(matrices: np.ndarray) -> np.ndarray:
    r"""Return the integer coefficients of :math:`\det(\lambda I - A)`, highest power first (Faddeev and LeVerrier).

    Args:
        matrices: integer array of shape (..., n, n).

    Returns:
        Integer array of shape (..., n + 1), int64.

    Raises:
        TypeError: On entries that are not integers.
        ValueError: On matrices that are not square, or coefficients beyond 64 bits.

    Source:
        Faddeev and LeVerrier, standard.

    >>> characteristic_polynomial(np.array([[2, 1], [0, 3]]))
    array([ 1, -5,  6])
    """
    n = _integers(matrices).shape[-1]
    if matrices.ndim < 2 or matrices.shape[-2] != n:
        arguments.refuse("matrices", matrices, "is not square", "pass shape (..., n, n)")
    A = _wide(matrices, n, n)
    one = np.eye(n, dtype=A.dtype)
    coefficients = [np.ones(A.shape[:-2], dtype=A.dtype)]
    M = np.zeros_like(A)
    for power in range(1, n + 1):
        M = A @ M + coefficients[-1][..., None, None] * one
        coefficients.append(np.asarray(-np.trace(A @ M, axis1=-2, axis2=-1) // power, dtype=A.dtype))
    return _narrow("matrices", np.stack(coefficients, axis=-1))


def root_multiplicity(coefficients: np.ndarray, root: int) -> Any:
    """Return how often an integer is a root of integer polynomials: the algebraic multiplicity of an eigenvalue.

    Args:
        coefficients: integer array of shape (..., n + 1), highest power first.
        root: integer.

    Raises:
        TypeError: On coefficients or a root that are not integers.

    Source:
        Horner's division, standard.

    >>> root_multiplicity(characteristic_polynomial(np.array([[2, 1], [0, 2]])), 2)
    np.int64(2)
    """
    root = arguments.integer("root", root, minimum=-(2**31))
    quotient = _wide(_integers(coefficients), 1 + abs(root), coefficients.shape[-1]).copy()
    multiplicity, still = np.zeros(quotient.shape[:-1], dtype=np.int64), np.ones(quotient.shape[:-1], dtype=bool)
    while quotient.shape[-1] > 1:
        for power in range(1, quotient.shape[-1]):
            quotient[..., power] += root * quotient[..., power - 1]
        still = still & (quotient[..., -1] == 0)
        multiplicity += still
        quotient = quotient[..., :-1]
    return multiplicity[()]


def _wide(values, factor, power):
    """Return integers in 64 bits where sums of products of ``power`` of them stay within, else without a limit."""
    largest = max((abs(int(end)) for end in (values.min(), values.max())), default=0) if values.size else 0
    return values.astype(np.int64 if (2 * factor * (1 + largest)) ** power < 2**62 else object)


def _narrow(name, values):
    if values.dtype == object and any(abs(value) >= 2**63 for value in values.ravel()):
        arguments.refuse(name, values, "needs more than 64 bits", "pass smaller entries")
    return values.astype(np.int64)


def _integers(values):
    if not isinstance(values, np.ndarray) or not np.issubdtype(values.dtype, np.integer):
        arguments.refuse("matrices", values, "does not hold integers", "pass an integer numpy array", TypeError)
    return values

named(__name__)
