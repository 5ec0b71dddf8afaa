"""Sections 2.1 to 2.4: the deep coding problem, uniqueness and stability."""

import functools
import math

import numpy as np
import scipy.linalg

from deepatoms.claims.checking import Measurement, check, examples, experiment, instances
from deepatoms.studies.skip_dictionaries import comparison
from deepatoms.theory import dictionaries, recovery
from deepatoms.theory import skip_dictionaries as skip

# ---- rsc.dcp and rsc.dlp ----


@check("rsc.dcp/feasible_as_printed", instances(200, of="inputs of one layer"))
def feasible_as_printed(setting):
    """Take the share of inputs whose T_1 = D_1 X has at most n/2 nonzeros; a permutation and sparse X are the control."""
    draw = setting.numpy("dcp")
    D, X = skip.gaussian(64, 1.0, draw), draw.normal(size=(200, 64))
    sparse = X * (draw.random(X.shape).argsort(1) < 16)
    permutation = np.eye(64)[draw.permutation(64)]
    return Measurement(*(((signals @ matrix.T != 0).sum(1) <= 32).mean()
                         for signals, matrix in ((X, D), (sparse, permutation))), count=len(X))


@check("rsc.dcp/inequalities_only", instances(200, of="inputs of one chain"))
def inequalities_only(setting):
    """Take the share of inputs that have codes within half their mean size in every layer; with the equalities as control."""
    draw = setting.numpy("dcp inequalities")
    D, X, sparsities = list(skip.gaussian(32, 1.0, draw, 3)), draw.normal(size=(200, 32)), [16, 12, 8]
    codes, _ = skip.deep_coding(X, D, sparsities)
    return Measurement(*(skip.is_feasible(X, codes, D, sparsities, [math.sqrt(32) / 2] * 3, equalities).mean()
                         for equalities in (False, True)), count=len(X))


@check("rsc.dcp/greedy_can_miss", examples(1, of="problems"))
def greedy_can_miss(setting):
    """Count the layers of the smallest example that greedy codes miss and others meet; with D_2 = I as control."""
    x, other = np.array([1.0, 0.9]), [np.array([0.0, 0.9]), np.array([0.9, 0.0])]
    return Measurement(*(int(_meets(x, other, D2)) - int(_meets(x, skip.deep_coding(x, [np.eye(2), D2], [1, 1])[0], D2))
                         for D2 in (np.array([[1.0, 1.0], [1.0, 0.0]]), np.eye(2))), count=1)


def _meets(x, codes, D2):
    return skip.is_feasible(x, codes, [np.eye(2), D2], [1, 1], [1.05, 0.5])


@check("rsc.dlp/learnable", experiment(5))
def learnable(setting):
    """Take the mean test accuracy of the nets that keep the 16 largest entries; shuffled labels are the control."""
    honest, misled = (comparison.accuracies(setting, nets)
                      for nets in (comparison.networks(setting, "sparse"), comparison.misled(setting)))
    return Measurement(honest.mean(), misled.mean(), count=len(honest))


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


@check("rsc.uniq/infinity_norm", instances(200, "codes"))
def infinity_norm(setting):
    """Search exhaustively for second representations of codes with small entries; the control bounds their number."""
    draw, ambiguous, bounded, numbers = setting.numpy("uniq"), 0, 0, np.repeat(np.arange(1, 9), 25)
    for nonzeros in numbers:
        D = dictionaries.normalize(draw.normal(size=(8, 12)))
        code = _sparse_code(draw, 12, nonzeros)
        bound = dictionaries.uniqueness_threshold(float(dictionaries.mutual_coherence(D)))
        second = not _is_unique(D, code)
        demand(abs(code).max() < bound, "the code's entries are below the bound")
        ambiguous += second
        bounded += second and nonzeros < bound
    return Measurement(ambiguous, bounded, count=len(numbers))


def demand(premise, what):
    """Raise when an instance does not meet what the statement assumes."""
    if not premise:
        raise ValueError(f"not an instance of the statement: it assumes that {what}; draw another")


@functools.lru_cache
def _ambiguous_below_the_bound(setting):
    draw, found = setting.numpy("uniq count"), []
    union = dictionaries.identity_hadamard(16)
    for trial in range(100):
        D = dictionaries.normalize(draw.normal(size=(8, 12)))
        found += [_is_ambiguous(D, _sparse_code(draw, 12, 1)), _is_ambiguous(union, _sparse_code(draw, 32, 1 + trial % 2))]
    return found


def _is_ambiguous(D, code):
    threshold = dictionaries.uniqueness_threshold(float(dictionaries.mutual_coherence(D)))
    demand((code != 0).sum() < threshold, "the code has fewer nonzeros than the bound")
    return not _is_unique(D, code)


@functools.lru_cache
def _ambiguous_picket_fences():
    fence = np.isin(np.arange(32), (0, 4, 8, 12)).astype(float)
    return int(not _is_unique(dictionaries.identity_hadamard(16), fence))


@check("rsc.uniq/count", instances(200, "codes"))
def count(setting):
    """Search exhaustively for second representations of codes below the bound; a picket fence is the control."""
    found = _ambiguous_below_the_bound(setting)
    return Measurement(sum(found), _ambiguous_picket_fences(), count=len(found))


@check("rsc.uniq_layers/half_bound", instances(200, "codes"))
def half_bound(setting):
    """Count the ambiguous instances below (1 + 1/mu)/2; a picket fence is the control."""
    found = _ambiguous_below_the_bound(setting)
    return Measurement(sum(found), _ambiguous_picket_fences(), count=len(found))


@check("rsc.uniq_layers/allows_a_nonzero", examples(4, of="coherences"))
def allows_a_nonzero(setting):
    """Take the largest whole number below the printed bound, over four coherences; the right bound is the control."""
    found, control = ([math.ceil(bound(mu)) - 1 for mu in (0.01, 0.1, 0.5, 1.0)]
                      for bound in (skip.printed_sparsity_bound, dictionaries.uniqueness_threshold))
    return Measurement(max(found), max(control), count=len(found))


# ---- rsc.stab ----

def _pairs(setting, no_denser):
    """Draw 3,000 pairs of codes on identity + Hadamard; return squared error, half the outputs' distance, both counts."""
    draw, D = setting.numpy(f"stab {no_denser}"), dictionaries.identity_hadamard(16)
    counts = draw.integers(1, 3, (3000, 2))
    counts = np.sort(counts, axis=1)[:, ::-1] if no_denser else counts
    codes = draw.normal(size=(3000, 2, 32)) * (draw.random((3000, 2, 32)).argsort(-1) < counts[..., None])
    difference = codes[:, 0] - codes[:, 1]
    return (difference**2).sum(1), np.linalg.norm(difference @ D.T, axis=1) / 2, counts


def _largest_ratio(setting, no_denser, sparsities):
    """Return the largest error / bound; ``sparsities(k, other)`` gives the two counts in the bound."""
    errors, noises, counts = _pairs(setting, no_denser)
    ratios = [error / skip.stability_bound(noise, 0.25, *sparsities(int(k), int(other)))
              for error, noise, (k, other) in zip(errors, noises, counts, strict=True)]
    return max(ratios), len(ratios)


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


@check("rsc.stab/violations", instances(3000, "pairs"))
def stab_violations(setting):
    """Take the largest error / printed bound over random pairs and one example; in the control T^ is no denser."""
    found, count = _largest_ratio(setting, False, _printed)
    return Measurement(max(found, _example_ratio(1)), _largest_ratio(setting, True, _printed)[0], count=count)


@check("rsc.stab/no_denser", instances(3000, "pairs"))
def no_denser(setting):
    """Take the largest error / printed bound where T^ is no denser than T; the denser ones are the control."""
    found, count = _largest_ratio(setting, True, _printed)
    return Measurement(found, max(_largest_ratio(setting, False, _printed)[0], _example_ratio(1)), count=count)


@check("rsc.stab/both_counts", instances(3000, "pairs"))
def both_counts(setting):
    """Take the largest error / bound with both counts; with twice the count of T as control."""
    (found, count), (printed, _) = (_largest_ratio(setting, False, sparsities) for sparsities in (_both, _printed))
    return Measurement(max(found, _example_ratio(2)), max(printed, _example_ratio(1)), count=count)


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


def _pair_ratios(D3, D2, T1, other):
    """Return the squared differences of T_2 and of T_1 over the bounds that the recursion gives them."""
    differences = D2 @ (T1 - other), T1 - other
    noise = np.linalg.norm(D3 @ differences[0]) / 2
    coherences = [float(dictionaries.mutual_coherence(D)) for D in (D3, D2)]
    bounds = skip.stability_recursion(noise, coherences, [int((T != 0).sum()) for T in (D2 @ T1, T1)])
    return [float((difference**2).sum() / bound) for difference, bound in zip(differences, bounds, strict=True)]


@functools.lru_cache
def _recursion(setting, no_denser):
    """Return both ratios of 1,000 pairs, in every second of which D_2 is the identity and T_2 has one or two nonzeros."""
    draw, ratios = setting.numpy("recursion"), []
    for trial in range(1000):
        D3, D2 = blocks(draw, 16, 0.1), np.eye(16) if trial % 2 else blocks(draw, 16, 0.1)
        pair = [block_code(draw, 16) for _ in range(2)]
        if no_denser and (D2 @ pair[0] != 0).sum() < (D2 @ pair[1] != 0).sum():
            pair.reverse()
        ratios.append(_pair_ratios(D3, D2, *pair))
    return np.array(ratios)


def _recursion_example():
    D, T, second = example()
    return _pair_ratios(D, np.eye(3), T, second)


@check("rsc.stab_recursion/violations", instances(1000, "pairs"))
def recursion(setting):
    """Take the largest squared difference over its bound, at T_2 and T_1; in the control no second code is denser."""
    found = _recursion(setting, False)
    return Measurement(max(found.max(), *_recursion_example()), _recursion(setting, True).max(), count=len(found))


@check("rsc.stab_recursion/no_denser", instances(1000, "pairs"))
def recursion_no_denser(setting):
    """Take the same where no second code is denser than the first; pairs with denser ones are the control."""
    found = _recursion(setting, True)
    return Measurement(found.max(), max(_recursion(setting, False).max(), *_recursion_example()), count=len(found))


@check("rsc.stab_recursion/second_step", instances(1000, "pairs"))
def recursion_second_step(setting):
    """Take the largest squared difference of T_1 over its bound, whatever the sparsities; that of T_2 is the control."""
    found, example_ratios = _recursion(setting, False), _recursion_example()
    return Measurement(max(found[:, 1].max(), example_ratios[1]), max(found[:, 0].max(), example_ratios[0]), count=len(found))


@check("rsc.global/no_growth", examples(1, of="chains"))
def no_growth(setting):
    """Take the growth of the recursion's bound over four steps; for orthonormal atoms and factor 1 as control."""
    return Measurement(*(skip.stability_recursion(1.0, [mu] * 4, [1] * 4, factor)[-1] for mu, factor in ((0.5, 4.0), (0.0, 1.0))),
                       count=1)


@check("rsc.global/growth", instances(357, "chains"))
def growth(setting):
    """Divide the growth of the recursion's bound by 4^(l-1); by 8^(l-1) as control."""
    draw, ratios = setting.numpy("growth"), []
    for steps in range(1, 8):
        for denominators in (np.ones(steps), *(1 - draw.random((50, steps)))):
            grown = skip.stability_recursion(1.0, [float(1 - d) for d in denominators], [1] * steps)[-1]
            ratios.append((grown / 4**steps, grown / 8**steps))
    return Measurement(*np.min(ratios, axis=0), count=len(ratios))
