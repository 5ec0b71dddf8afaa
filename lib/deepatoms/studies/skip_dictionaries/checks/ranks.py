"""Section 1.5, rank and zero eigenvalues: every small integer matrix, and matrices of known Jordan form."""

import functools
import itertools

import numpy as np

from deepatoms.claims.checking import EXACT, EXHAUSTIVE, Measurement, check, instances
from deepatoms.theory import skip_dictionaries as skip

EYE = np.eye(3, dtype=np.int64)


@functools.lru_cache
def small():
    """Return all 19,683 matrices 3 x 3 with entries -1, 0, 1, their ranks, and the ranks after adding the identity."""
    every = np.array(list(itertools.product((-1, 0, 1), repeat=9))).reshape(-1, 3, 3)
    return every, skip.exact_rank(every), skip.exact_rank(every + EYE)


def raised_rank(D):
    """Return the numerical rank of I + D."""
    return np.linalg.matrix_rank(skip.residual_dictionary(D))


@functools.lru_cache
def _reflections(setting):
    return skip.reflection(setting.numpy("reflections").normal(size=(50, 64)))


@functools.lru_cache
def _gaussian_of_rank(setting, ranks):
    """Draw 1,000 matrices, n = 8, of given ranks in turn; full rank by a Gaussian matrix, less by Gaussian factors."""
    draw = setting.numpy("factors")
    rank = np.resize(ranks, 1000)
    left, right = draw.normal(size=(2, 1000, 8, 8))
    product = left * (np.arange(8) < rank[:, None])[:, None, :] @ right
    return np.where(rank[:, None, None] == 8, left, product), rank


def _contractions(setting, ranks):
    D, rank = _gaussian_of_rank(setting, ranks)
    norms = setting.numpy("norms").uniform(0, 1, len(D))
    return D * (norms / np.linalg.norm(D, 2, axis=(1, 2)))[:, None, None], rank


@check("rsc.rank_zero/exact", EXACT)
def zero(setting):
    """Take the rank of I + 0 for every n up to 64; I - I is the control."""
    sizes = range(1, 65)
    return Measurement(max(abs(raised_rank(np.zeros((n, n))) - n) for n in sizes),
                       max(abs(raised_rank(-np.eye(n)) - n) for n in sizes))


@check("rsc.rank_full/violations", EXHAUSTIVE)
def full_violations(setting):
    """Count invertible D with singular I + D: integer matrices by exact elimination, reflections numerically."""
    _, before, after = small()
    gaussian, _ = _gaussian_of_rank(setting, (8,))
    return Measurement(((before == 3) & (after < 3)).sum() + (raised_rank(_reflections(setting)) < 64).sum(),
                       (raised_rank(gaussian) < 8).sum())


@check("rsc.rank_full/contraction", instances(1000, "matrices"))
def full_contraction(setting):
    """Count singular I + D over invertible contractions; reflections are the control."""
    D, _ = _contractions(setting, (8,))
    return Measurement((raised_rank(D) < 8).sum(), (raised_rank(_reflections(setting)) < 64).sum(), count=len(D))


@check("rsc.rank_deficient/violations", EXHAUSTIVE)
def deficient_violations(setting):
    """Count singular nonzero D whose rank does not rise, by exact elimination; Gaussian products are the control."""
    _, before, after = small()
    products, rank = _gaussian_of_rank(setting, tuple(range(1, 8)))
    return Measurement((np.isin(before, (1, 2)) & (after <= before)).sum(), (raised_rank(products) <= rank).sum())


@check("rsc.rank_deficient/contraction", instances(1000, "matrices"))
def deficient_contraction(setting):
    """Count singular contractions whose rank does not rise; minus the projections of rank 32 to 63 are the control."""
    D, rank = _contractions(setting, tuple(range(1, 8)))
    bases = skip.orthogonal(64, setting.numpy("projections"))
    kept = [bases[:, :r] for r in range(32, 64)]
    return Measurement((raised_rank(D) <= rank).sum(),
                       sum(raised_rank(-basis @ basis.T) <= basis.shape[1] for basis in kept), count=len(D))


@check("rsc.rank_deficient/bound", EXHAUSTIVE)
def bound(setting):
    """Count violations of rank(I + D) >= n - rank(D); of rank(I + D) >= rank(D) as control."""
    _, before, after = small()
    return Measurement((after < 3 - before).sum(), (after < before).sum())


@check("rsc.rank/violations", EXHAUSTIVE)
def violations(setting):
    """Count falling ranks over all small integer matrices; Gaussian matrices are the control."""
    _, before, after = small()
    gaussian, _ = _gaussian_of_rank(setting, (8,))
    return Measurement((after < before).sum(), (raised_rank(gaussian) < 8).sum())


@check("rsc.rank/contraction", instances(1000, "matrices"))
def contraction(setting):
    """Count falling ranks over contractions of rank 1 to 8; D = -I is the control."""
    D, rank = _contractions(setting, tuple(range(1, 9)))
    return Measurement((raised_rank(D) < rank).sum(), int(raised_rank(-np.eye(8)) < 8), count=len(D))


@functools.lru_cache
def jordan(setting):
    """Draw 1,000 integer matrices P J P^-1, n = 6, and the (eigenvalue, size) pairs of their Jordan blocks."""
    draw, matrices, forms = setting.numpy("jordan"), [], []
    for _ in range(1000):
        form, J = _jordan_form(draw)
        P, inverse = _unimodular(draw)
        matrices.append(P @ J @ inverse)
        forms.append(form)
    return np.array(matrices), forms


def _jordan_form(draw):
    n = 6
    form, J = [], np.zeros((n, n), dtype=np.int64)
    while (done := sum(size for _, size in form)) < n:
        size, value = min(int(draw.integers(1, 4)), n - done), int(draw.integers(-1, 3))
        J[done:done + size, done:done + size] = value * np.eye(size, dtype=int) + np.eye(size, k=1, dtype=int)
        form.append((value, size))
    return form, J


def _unimodular(draw):
    """Draw a product of elementary row operations and, step by step, its inverse."""
    n = 6
    P, inverse = np.eye(n, dtype=np.int64), np.eye(n, dtype=np.int64)
    for _ in range(12):
        i, j = draw.choice(n, 2, replace=False)
        factor = int(draw.choice((-1, 1)))
        P[i] += factor * P[j]
        inverse[:, j] -= factor * inverse[:, i]
    return P, inverse


@functools.lru_cache
def _jordan_ranks(setting):
    matrices, _ = jordan(setting)
    return skip.exact_rank(matrices), skip.exact_rank(matrices + np.eye(6, dtype=np.int64))


def _multiplicities(setting, value, algebraic=False):
    return np.array([sum(size if algebraic else 1 for root, size in form if root == value)
                     for form in jordan(setting)[1]])


@check("rsc.rank_full/identity", instances(1000, "matrices"))
def identity(setting):
    """Compare the exact rank of I + D with n minus the number of Jordan blocks of -1 (control: their total size)."""
    _, after = _jordan_ranks(setting)
    return Measurement(*((after != 6 - _multiplicities(setting, -1, algebraic)).sum() for algebraic in (False, True)),
                       count=len(after))


@check("rsc.rank/iff", instances(1000, "matrices"))
def iff(setting):
    """Compare "the rank does not fall" with "no more Jordan blocks of -1 than of 0" (control: of +1 than of 0)."""
    before, after = _jordan_ranks(setting)
    kernel = _multiplicities(setting, 0)
    return Measurement(*(((after >= before) != (_multiplicities(setting, value) <= kernel)).sum() for value in (-1, 1)),
                       count=len(after))


@check("rsc.zero_eigenvalues/violations", EXHAUSTIVE)
def zero_violations(setting):
    """Count D with fewer zero eigenvalues than I + D, from integer characteristic polynomials."""
    D, _, _ = small()
    before, after = (skip.root_multiplicity(skip.characteristic_polynomial(A), 0) for A in (D, D + EYE))
    gaussian, _ = _gaussian_of_rank(setting, (8,))
    zeros = [(abs(np.linalg.eigvals(A)) < 1e-10).sum(1) for A in (gaussian, skip.residual_dictionary(gaussian))]
    return Measurement((before < after).sum(), (zeros[0] < zeros[1]).sum())


@check("rsc.zero_eigenvalues/shift", EXHAUSTIVE)
def shift(setting):
    """Compare the multiplicity of 0 in I + D with that of -1 in D (control: of +1), from two polynomials."""
    D, _, _ = small()
    after = skip.root_multiplicity(skip.characteristic_polynomial(D + EYE), 0)
    polynomials = skip.characteristic_polynomial(D)
    return Measurement(*((after != skip.root_multiplicity(polynomials, value)).sum() for value in (-1, 1)))
