"""The smallest counterexample to each statement about ranks and singular values, found by exhaustive search."""

import itertools

import numpy as np

from deepatoms.theory import skip_dictionaries as skip


def _rank(D):
    return int(skip.exact_rank(D)), int(skip.exact_rank(D + np.eye(len(D), dtype=D.dtype)))


def _zeros(D):
    polynomials = (skip.characteristic_polynomial(A) for A in (D, D + np.eye(len(D), dtype=D.dtype)))
    return tuple(int(skip.root_multiplicity(polynomial, 0)) for polynomial in polynomials)


def _nonzeros(D):
    return int((D != 0).sum()), int((D + np.eye(len(D), dtype=D.dtype) != 0).sum())


def _smallest_singular_value(D):
    D = D.astype(float)
    return float(skip.printed_lower_bound(D)[-1]), float(skip.singular_values(skip.residual_dictionary(D))[-1])


STATEMENTS = {
    "rank D = n gives rank(I + D) = n": (_rank, lambda n, pair: pair[0] == n and pair[1] != n),
    "0 < rank D < n gives rank(I + D) > rank D": (_rank, lambda n, pair: 0 < pair[0] < n and pair[1] <= pair[0]),
    "rank(I + D) ≥ rank D": (_rank, lambda n, pair: pair[1] < pair[0]),
    "I + D has no more zero eigenvalues than D": (_zeros, lambda n, pair: pair[1] > pair[0]),
    "I + D has fewer nonzeros than D": (_nonzeros, lambda n, pair: pair[1] >= pair[0]),
    "σₙ(I + D) ≥ 1 − σₙ(D)": (_smallest_singular_value, lambda n, pair: pair[1] < pair[0] - 1e-9)}


def smallest(measure, breaks):
    """Return the smallest integer matrix, by size and then by number of nonzeros, that breaks a statement; and its numbers."""
    for n in (1, 2):
        every = np.array(list(itertools.product((0, -1, 1), repeat=n * n))).reshape(-1, n, n)
        for D in sorted(every, key=lambda D: (D != 0).sum()):
            if breaks(n, measure(D)):
                return D, measure(D)
    return None


def listed():
    """Return each statement with its smallest counterexample and the two numbers that break it."""
    return [(statement, *smallest(measure, breaks)) for statement, (measure, breaks) in STATEMENTS.items()]
