"""Sections 2.1 to 2.4: the deep coding problem, uniqueness and stability."""

import functools
import math

import numpy as np
import scipy.linalg

from deepatoms.claims.checking import EXACT, Measurement, check, experiment, instances
from deepatoms.studies.skip_dictionaries import comparison
from deepatoms.theory import dictionaries, recovery
from deepatoms.theory import skip_dictionaries as skip

# ---- rsc.dcp and rsc.dlp ----


@check("rsc.dcp/feasible_as_printed", instances(200))
def feasible_as_printed(setting):
    """Take the share of inputs whose T_1 = D_1 X has at most n/2 nonzeros; a permutation and sparse X are the control."""
    draw = setting.numpy("dcp")
    D, X = skip.gaussian(64, 1.0, draw), draw.normal(size=(200, 64))
    sparse = X * (draw.random(X.shape).argsort(1) < 16)
    permutation = np.eye(64)[draw.permutation(64)]
    return Measurement(*(((signals @ matrix.T != 0).sum(1) <= 32).mean()
                         for signals, matrix in ((X, D), (sparse, permutation))))


@check("rsc.dcp/inequalities_only", EXACT)
def inequalities_only(setting):
    """Count inputs for which keeping the largest entries violates the problem; halved tolerances are the control."""
    draw = setting.numpy("dcp inequalities")
    D, X, sparsities = list(skip.gaussian(32, 1.0, draw, 3)), draw.normal(size=(200, 32)), [16, 12, 8]
    codes, distances = skip.deep_coding(X, D, sparsities)
    return Measurement(*((~skip.is_feasible(X, codes, D, sparsities, tolerances)).sum()
                         for tolerances in ([d + 1e-9 for d in distances], [d / 2 for d in distances])))


@check("rsc.dlp/learnable", experiment(5))
def learnable(setting):
    """Take the mean test accuracy of the nets that keep the 16 largest entries; shuffled labels are the control."""
    return Measurement(*(comparison.accuracies(setting, nets).mean()
                         for nets in (comparison.networks(setting, "sparse"), comparison.misled(setting))))


# ---- rsc.uniq and rsc.uniq_layers ----

def _is_unique(D, code):
    """Tell by exhaustive search that no other support, at most as large, represents the code's signal."""
    support = np.flatnonzero(code)
    found = recovery.representations(D, D @ code, len(support))
    return bool((found == support).all())


def _sparse_code(draw, atoms, nonzeros):
    code = np.zeros(atoms)
    code[draw.choice(atoms, nonzeros, replace=False)] = 0.1 * draw.choice((-1, 1), nonzeros)
    return code


@check("rsc.uniq/infinity_norm", instances(200))
def infinity_norm(setting):
    """Search exhaustively for second representations of codes with small entries; the control bounds their number."""
    draw, ambiguous, bounded = setting.numpy("uniq"), 0, 0
    for nonzeros in np.repeat(np.arange(1, 9), 25):
        D = dictionaries.normalize(draw.normal(size=(8, 12)))
        code = _sparse_code(draw, 12, nonzeros)
        bound = dictionaries.uniqueness_threshold(float(dictionaries.mutual_coherence(D)))
        second = abs(code).max() < bound and not _is_unique(D, code)
        ambiguous += second
        bounded += second and nonzeros < bound
    return Measurement(ambiguous, bounded)


@functools.lru_cache
def _ambiguous_below_the_bound(setting):
    draw, count = setting.numpy("uniq count"), 0
    union = dictionaries.identity_hadamard(16)
    for trial in range(100):
        D = dictionaries.normalize(draw.normal(size=(8, 12)))
        count += not _is_unique(D, _sparse_code(draw, 12, 1))
        count += not _is_unique(union, _sparse_code(draw, 32, 1 + trial % 2))
    return count


@functools.lru_cache
def _ambiguous_picket_fences():
    fence = np.isin(np.arange(32), (0, 4, 8, 12)).astype(float)
    return int(not _is_unique(dictionaries.identity_hadamard(16), fence))


@check("rsc.uniq/count", instances(200))
def count(setting):
    """Search exhaustively for second representations of codes below the bound; a picket fence is the control."""
    return Measurement(_ambiguous_below_the_bound(setting), _ambiguous_picket_fences())


@check("rsc.uniq_layers/half_bound", instances(200))
def half_bound(setting):
    """Count the ambiguous instances below (1 + 1/mu)/2; a picket fence is the control."""
    return Measurement(_ambiguous_below_the_bound(setting), _ambiguous_picket_fences())


@check("rsc.uniq_layers/allows_a_nonzero", EXACT)
def allows_a_nonzero(setting):
    """Take the largest whole number below the printed bound, over four coherences; the right bound is the control."""
    return Measurement(*(max(math.ceil(bound(mu)) - 1 for mu in (0.01, 0.1, 0.5, 1.0))
                         for bound in (skip.printed_sparsity_bound, dictionaries.uniqueness_threshold)))


# ---- rsc.stab ----

def _pairs(setting, no_denser):
    """Draw 3,000 pairs of codes on identity + Hadamard; return squared error, half the outputs' distance, both counts."""
    draw, D = setting.numpy(f"stab {no_denser}"), dictionaries.identity_hadamard(16)
    counts = draw.integers(1, 3, (3000, 2))
    counts = np.sort(counts, axis=1)[:, ::-1] if no_denser else counts
    codes = draw.normal(size=(3000, 2, 32)) * (draw.random((3000, 2, 32)).argsort(-1) < counts[..., None])
    difference = codes[:, 0] - codes[:, 1]
    return (difference**2).sum(1), np.linalg.norm(difference @ D.T, axis=1) / 2, counts


def _largest_ratio(setting, no_denser, sparsities, factor=4.0):
    """Return the largest error / bound; ``sparsities(k, other)`` gives the two counts in the bound."""
    errors, noises, counts = _pairs(setting, no_denser)
    return max(error / skip.stability_bound(noise, 0.25, *sparsities(int(k), int(other)), factor)
               for error, noise, (k, other) in zip(errors, noises, counts, strict=True))


def example():
    """Return the unit atoms with inner products -0.3, T = e1 and T^ = -(e2 + e3): the smallest counterexample."""
    gram = np.full((3, 3), -0.3) + 1.3 * np.eye(3)
    return np.linalg.cholesky(gram).T, np.array([1.0, 0.0, 0.0]), np.array([0.0, -1.0, -1.0])


def _example_ratio(other):
    D, T, second = example()
    noise = np.linalg.norm(D @ (T - second)) / 2
    return ((T - second) ** 2).sum() / skip.stability_bound(noise, 0.3, 1, other)


def _printed(k, other):
    return k, k


def _both(k, other):
    return k, other


@check("rsc.stab/violations", instances(3000))
def stab_violations(setting):
    """Take the largest error / printed bound over random pairs and one example; in the control T^ is no denser."""
    return Measurement(max(_largest_ratio(setting, False, _printed), _example_ratio(1)),
                       _largest_ratio(setting, True, _printed))


@check("rsc.stab/no_denser", instances(3000))
def no_denser(setting):
    """Take the largest error / printed bound where T^ is no denser than T; factor 1 in place of 4 is the control."""
    return Measurement(*(_largest_ratio(setting, True, _printed, factor) for factor in (4.0, 1.0)))


@check("rsc.stab/both_counts", instances(3000))
def both_counts(setting):
    """Take the largest error / bound with both counts; with twice the count of T as control."""
    return Measurement(max(_largest_ratio(setting, False, _both), _example_ratio(2)),
                       max(_largest_ratio(setting, False, _printed), _example_ratio(1)))


# ---- rsc.stab_recursion and rsc.global ----

def blocks(draw, n, scale, largest_coherence=1 / 3, unit=True):
    """Draw a block-diagonal dictionary: 2 x 2 blocks I + scale Gaussian, unit columns, each redrawn until incoherent."""
    drawn = _perturbed(draw, n // 2, scale)
    while unit and (coherent := _cosines(drawn) >= largest_coherence).any():
        drawn[coherent] = _perturbed(draw, coherent.sum(), scale)
    return scipy.linalg.block_diag(*(drawn / np.linalg.norm(drawn, axis=1, keepdims=True) if unit else drawn))


def _perturbed(draw, count, scale):
    return np.eye(2) + scale * draw.normal(size=(count, 2, 2))


def _cosines(drawn):
    """Return the coherence of each 2 x 2 block."""
    return abs((drawn[..., 0] * drawn[..., 1]).sum(1)) / np.linalg.norm(drawn, axis=1).prod(1)


def block_code(draw, n):
    """Draw a code with one or two Gaussian nonzeros in one block."""
    code, start = np.zeros(n), 2 * int(draw.integers(n // 2))
    code[start:start + 2] = draw.normal(size=2)
    if draw.random() < 0.5:
        code[start + int(draw.integers(2))] = 0
    return code


@check("rsc.stab_recursion/violations", instances(1000))
def recursion(setting):
    """Take the largest squared difference of T_1 over the bound that the recursion gives; factor 1 is the control."""
    draw, ratios = setting.numpy("recursion"), []
    for _ in range(1000):
        D2, D3 = blocks(draw, 16, 0.1), blocks(draw, 16, 0.1)
        T1, other = block_code(draw, 16), block_code(draw, 16)
        noise = np.linalg.norm(D3 @ D2 @ (T1 - other)) / 2
        coherences = [float(dictionaries.mutual_coherence(D)) for D in (D3, D2)]
        counts = [int((D2 @ T1 != 0).sum()), int((T1 != 0).sum())]
        error = ((T1 - other) ** 2).sum()
        ratios.append([error / skip.stability_recursion(noise, coherences, counts, factor)[-1] for factor in (4.0, 1.0)])
    return Measurement(*np.max(ratios, axis=0))


@check("rsc.global/no_growth", EXACT)
def no_growth(setting):
    """Take the growth of the recursion's bound over four steps with denominators 0.5; no step is the control."""
    return Measurement(skip.stability_recursion(1.0, [0.5] * 4, [1] * 4)[-1], 1.0)


@check("rsc.global/growth", EXACT)
def growth(setting):
    """Divide the growth of the recursion's bound by 4^(l-1); by 8^(l-1) as control."""
    draw, ratios = setting.numpy("growth"), []
    for steps in range(1, 8):
        for denominators in (np.ones(steps), *(1 - draw.random((50, steps)))):
            grown = skip.stability_recursion(1.0, [float(1 - d) for d in denominators], [1] * steps)[-1]
            ratios.append((grown / 4**steps, grown / 8**steps))
    return Measurement(*np.min(ratios, axis=0))
