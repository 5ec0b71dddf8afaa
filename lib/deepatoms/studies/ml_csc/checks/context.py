"""What the poster takes from the long papers: uniqueness, stability, hard thresholding, basis pursuit, and which is better."""

import functools
import itertools
from dataclasses import replace

import numpy as np
import torch

from deepatoms.claims.checking import Measurement, check, instances
from deepatoms.runs.prefetch import Remembered
from deepatoms.studies.ml_csc.checks.samples import certified, group, noises, thresholded
from deepatoms.theory import convolutional, multilayer, pursuit, recovery, stability
from deepatoms.theory.multilayer import CONFIGURATIONS, SparseLayer

# ---- uniqueness by exhaustive search ----

RING, SECOND = 12, np.zeros((3, 2, 2))
SECOND[0, 0, 0] = SECOND[1, 1, 0] = 1
SECOND[2, 0, 0] = SECOND[2, 1, 1] = np.sqrt(0.5)


@check("csc.uniq/exhaustive", instances(200, of="signals"))
def exhaustive(setting):
    """Search all admissible supports of both layers for a second solution; the control doubles the second layer's limit."""
    draw = setting.numpy("exhaustive")
    designs = [convolutional.matrix(filters, RING) for filters in multilayer.first_layer(2, (6,), setting.seed)]
    inside, second = _supports(1), convolutional.matrix(SECOND, RING)
    found = []
    for i in range(200):
        code = _admissible_code(draw, inside, second)
        D = designs[i % len(designs)]
        candidates = _first_codes(D, D @ second @ code)
        found.append([_not_unique(candidates, code, search) for search in (_search(1), _search(2, most=2))])
    return Measurement(*np.sum(found, axis=0), count=len(found))


@functools.lru_cache(maxsize=4)
def _supports(limit, most=4):
    """Return by size all supports of the second code (three atoms on the ring) with at most ``limit`` in a stripe."""
    singles = np.arange(3 * RING)
    found = {1: singles[:, None]}
    for size in range(2, most + 1):
        chosen = np.array(list(itertools.combinations(singles, size))) if limit > 1 else _grown(found[size - 1])
        codes = np.zeros((len(chosen), 3 * RING))
        np.put_along_axis(codes, chosen, 1.0, axis=1)
        found[size] = chosen[convolutional.stripe_count(codes.reshape(-1, 3, RING), (2,)) <= limit]
    return found


def _grown(smaller):
    """Return all supports with one atom more (each once): subsets of an admissible support are admissible."""
    larger = np.concatenate([smaller.repeat(3 * RING, 0), np.tile(np.arange(3 * RING), len(smaller))[:, None]], axis=1)
    return larger[larger[:, -1] > larger[:, -2]]


def _admissible_code(draw, inside, second):
    while True:
        supports = inside[int(draw.integers(1, 3))]
        code = np.zeros(3 * RING)
        chosen = supports[draw.integers(len(supports))]
        code[chosen] = draw.choice([-1, 1], len(chosen)) * draw.uniform(0.5, 2, len(chosen))
        if convolutional.stripe_count((second @ code).reshape(2, RING), (6,)) <= 2:
            return code


@functools.lru_cache(maxsize=4)
def _search(limit, most=4):
    """Return for each size the supports, the second dictionary's atoms on them, and the pseudoinverses of these."""
    atoms = convolutional.matrix(SECOND, RING).T
    bases = {size: (supports, atoms[supports].transpose(0, 2, 1)) for size, supports in _supports(limit, most).items()}
    return [(supports, basis, np.linalg.pinv(basis)) for supports, basis in bases.values()]


def _first_codes(D, x):
    """Return all codes of the first layer with at most two nonzeros in a stripe."""
    # At most two nonzeros in a stripe of 11 positions of a ring of 12 means at most two in all.
    return _distinct([_on_support(D, x, chosen) for size in (1, 2) for chosen in recovery.representations(D, x, size)])


def _not_unique(candidates, code, search):
    """Tell whether the search finds anything but the true codes, or does not find them."""
    deeper = _distinct([solution for candidate in candidates for part in search for solution in _solutions(candidate, *part)])
    return not (len(candidates) == 1 and len(deeper) == 1 and np.abs(deeper[0] - code).max() < 1e-8)


def _solutions(x, supports, bases, inverses):
    coefficients = inverses @ x
    exact = np.abs((bases @ coefficients[..., None])[..., 0] - x).max(1) < 1e-9
    codes = np.zeros((exact.sum(), 3 * RING))
    np.put_along_axis(codes, supports[exact], coefficients[exact], axis=1)
    return list(codes)


def _on_support(D, x, chosen):
    code = np.zeros(D.shape[1])
    code[chosen] = np.linalg.lstsq(D[:, chosen], x, rcond=None)[0]
    return code


def _distinct(codes):
    kept = []
    for code in codes:
        if all(np.abs(code - other).max() > 1e-8 for other in kept):
            kept.append(code)
    return kept


# ---- stability of the deep coding problem ----

@check("csc.stab/ratio", instances(1000, of="pairs of solutions"))
@Remembered
def stable(setting):
    """Construct pairs of solutions half-way between which the noisy signal lies, and divide distance by bound."""
    own = SparseLayer(1, (200,), 4, 49, own_channels=True)
    found = [_constructed_pairs(setting, 496, "pairs"), _constructed_pairs(setting, 496, "orthonormal", layers=(own,)),
             _coherent_pairs(setting)]
    ratios, controls, counts = zip(*found, strict=True)
    return Measurement(max(ratios), max(controls), count=sum(counts))


def _constructed_pairs(setting, count, label, **changes):
    drawn = group(setting, "K2-1D", count, label, spikes=1, amplitudes=(1.0, 1.0), **changes)
    (first, second), (upper, lower) = drawn.signals.dictionaries, drawn.signals.codes
    move = drawn.signals.aligned(setting.numpy(label).uniform(0.05, 0.3, count)) * lower.sign()
    change = second.synthesize(move)
    noise = first.synthesize(change) / 4
    noisy, estimate = drawn.signals.signal + noise, upper + change / 2
    stripes = [np.maximum(layer.stripes, _count(code, D)) for layer, code, D in
               zip(drawn.layers, (estimate, lower + move), drawn.signals.dictionaries, strict=True)]
    layers = [replace(layer, stripes=s) for layer, s in zip(drawn.layers, stripes, strict=True)]
    bounds = stability.deep_coding_bounds(layers, _norm(noise))
    residuals = (_norm(noisy - first.synthesize(estimate)), _norm(estimate - second.synthesize(lower + move)))
    feasible = all((residual <= bound * (1 + 1e-9)).all()
                   for residual, bound in zip(residuals, [_norm(noise), bounds[0]], strict=True))
    distances = [_norm(change / 2), _norm(move)]
    # One factor 4 a layer, so without it the bound on layer i shrinks by 2 to the i.
    ratios = [((d / b) ** 2).max() for d, b in zip(distances, bounds, strict=True)]
    return (max(ratios) if feasible else np.inf), max(4 * ratios[0], 16 * ratios[1]), len(drawn)


def _coherent_pairs(setting):
    """Return the ratio for the two most coherent atoms of each design: one atom explained as the other."""
    found = []
    for filters in multilayer.first_layer(4, (25,), setting.seed):
        D = convolutional.matrix(filters, 60)
        gram = D.T @ D - np.eye(D.shape[1])
        one, other = np.unravel_index(np.abs(gram).argmax(), gram.shape)
        change = np.eye(D.shape[1])[one] - np.sign(gram[one, other]) * np.eye(D.shape[1])[other]
        layer = stability.LayerNumbers(np.abs(gram).max(), 1, 1, 1.0, 1.0)
        bound = stability.deep_coding_bounds([layer], np.linalg.norm(D @ change) / 2)[0]
        found.append((change @ change) / bound**2)
    return max(found), 4 * max(found), len(found)


def _norm(values):
    return values.flatten(1).norm(dim=1).cpu().numpy()


def _count(code, D):
    return convolutional.stripe_count(code, D.kernel).cpu().numpy()


# ---- hard thresholding ----

@check("csc.lht/support_and_bound", instances(500, of="signals"))
def hard(setting):
    """Divide the errors of hard thresholding by the bound without thresholds; a wrong support counts as 2."""
    found = [_hard_trial(setting, name, count) for name, count in (("K2-1D", 200), ("K3-1D", 150), ("K2-compact", 150))]
    ratios, controls, counts = zip(*found, strict=True)
    return Measurement(max(ratios), max(controls), count=sum(counts))


def _hard_trial(setting, name, count):
    drawn = certified(setting, name, count, kind="hard")
    size = 0.9 * stability.largest_certified_noise(drawn.layers, kind="hard")
    promised = stability.hard_thresholding_bounds(drawn.layers, size)
    worst = {"hard": 0.0, "soft": 0.0}
    for noise, kind in itertools.product(noises(setting, drawn, size, f"hard {name}"), worst):
        codes = thresholded(drawn.signals, noise, [bound.threshold for bound in promised], kind)
        ratio = max((error / bound.error).max() for error, bound in zip(drawn.signals.errors(codes), promised, strict=True))
        wrong = np.any(drawn.signals.wrong_supports(codes))
        worst[kind] = max(worst[kind], 2.0 if wrong and kind == "hard" else 0.0, ratio)
    return worst["hard"], worst["soft"], len(drawn)


# ---- basis pursuit without noise ----

@check("csc.lbp_noiseless/recovery", instances(100, of="signals"))
@Remembered
def noiseless(setting):
    """Recover both layers by linear programmes; the control has more nonzeros at layer 1 than samples."""
    errors, dense = [], []
    for i, signals in enumerate(itertools.islice(_noiseless(setting), 100)):
        first, second = (convolutional.matrix(D.filters[0].numpy(), 100) for D in signals.dictionaries)
        above = recovery.least_l1(first, signals.signal.numpy().ravel())
        below = recovery.least_l1(second, above)
        errors.append(max(np.abs(found - code.numpy().ravel()).max()
                          for found, code in zip((above, below), signals.codes, strict=True)))
        if i < 5:
            dense.append(_dense_error(first, setting.numpy(f"dense {i}")))
    return Measurement(max(errors), min(dense), count=len(errors))


def _noiseless(setting, batches=20):
    """Yield single signals inside the condition: about six of a hundred drawn are, so they are drawn until there are enough."""
    for batch in range(batches):
        drawn = group(replace(setting, device="cpu"), "K2-1D", 400, f"noiseless {batch}", grid=(100,), atoms=2,
                      layers=(SparseLayer(3, (30,), 4, 1),), gap=40, amplitudes=(1.0, 100.0), logarithmic=True)
        yield from (drawn.signals[[row]] for row in np.flatnonzero(stability.unique(drawn.layers)))


def _dense_error(D, draw):
    code = np.zeros(D.shape[1])
    chosen = draw.choice(D.shape[1], D.shape[0] + 1, replace=False)
    code[chosen] = draw.normal(size=len(chosen))
    return np.abs(recovery.least_l1(D, D @ code) - code).max()


# ---- basis pursuit with noise ----

@Remembered
def pursued(setting):
    """Return for the two noises errors over bounds, false positives and missed entries, and the control's numbers."""
    wide = replace(CONFIGURATIONS["K2-1D"].layers[0], spacing=25)
    drawn = group(setting, "K2-1D", 200, "pursued", layers=(wide,), amplitudes=(1e-3, 1.0), logarithmic=True)
    promised = stability.basis_pursuit_bounds(drawn.layers, np.full(200, 1e-3))
    weights = [bound.weight for bound in promised]
    trials = [_pursuit_trial(drawn, noise, weights, promised) for noise in noises(setting, drawn, 1e-3, "pursued")]
    misleading = multilayer.misleading_noise(drawn.signals, 1e-3)
    small = _pursuit_trial(drawn, misleading, [bound.noise / 10 for bound in promised], promised)
    if not all(bound.holds.all() for bound in promised):
        raise ValueError("a drawn signal is outside the condition that the check assumes; draw others")
    return np.array(trials), np.array(small), len(drawn)


def _pursuit_trial(drawn, noise, weights, promised):
    codes = sparse_layers(drawn.signals, noise, weights)
    found = []
    for code, true, error, bound in zip(codes, drawn.signals.codes, drawn.signals.errors(codes), promised, strict=True):
        false = bool(((code != 0) & (true == 0)).any())
        missed = [int(((code == 0) & (true.abs() > drawn.signals.aligned(factor * bound.noise))).sum())
                  for factor in (7.5, 0.5)]
        found.append((max(2.0 * false, (error / bound.error).max()), *missed))
    return found


def sparse_layers(signals, noise, weights):
    """Return exact layered basis pursuit of noisy sparse signals, weights one for each signal."""
    code, codes = signals.signal + noise, []
    for D, weight in zip(signals.dictionaries, weights, strict=True):
        code = pursuit.sparse_basis_pursuit(code, D, torch.as_tensor(weight, device=code.device), tolerance=1e-10)
        codes.append(code)
    return codes


@check("csc.lbp/contained_and_bound", instances(200, of="signals"))
def contained(setting):
    """Divide the errors of exact basis pursuit by the bound; a false positive counts as 2."""
    trials, small, count = pursued(setting)
    return Measurement(trials[..., 0].max(), small[..., 0].max(), count=count)


@check("csc.lbp/finds_large_entries", instances(200, of="signals"))
def finds_large(setting):
    """Count the entries above 7.5 times the noise that exact basis pursuit misses, and those above half of it."""
    trials, _, count = pursued(setting)
    return Measurement(trials[..., 1].sum(), trials[..., 2].sum(), count=count)


# ---- in which sense basis pursuit is better ----

@check("csc.better/no_contrast_condition", instances(50, of="signals"))
def no_contrast(setting):
    """Compare exact supports of basis pursuit with soft thresholding at the best threshold of each signal."""
    contrasted = _contrasted(setting)
    return Measurement(_support_gain(setting, contrasted),
                       _support_gain(setting, certified(setting, "K2-1D", 50).signals), count=len(contrasted))


def _contrasted(setting):
    """Return signals of one layer: three groups, 200 apart, of an entry 1 and an entry 1/20 within 24 positions."""
    draw = setting.numpy("contrasted")
    pool = multilayer.first_layer(4, (25,), setting.seed)
    filters, code = pool[np.arange(50) % len(pool)], np.zeros((50, 4, 600))
    for row in code:
        for place in int(draw.integers(600)) + 200 * np.arange(3):
            near = place + draw.choice([-1, 1]) * draw.integers(1, 25)
            for where, size in ((place, 1.0), (near, 0.05)):
                row[draw.integers(4), where % 600] = size * draw.choice([-1, 1])
    D = convolutional.ConvolutionalDictionary(torch.from_numpy(filters), (600,))
    code = torch.from_numpy(code)
    return multilayer.Signals([D], [code], D.synthesize(code)).to(setting.device)


def _support_gain(setting, signals):
    signals = _first(signals)
    noise = multilayer.gaussian_noise(signals, 1e-3, setting.numpy("no contrast"))
    exact = ~signals.wrong_supports(sparse_layers(signals, noise, [4e-3]))[0]
    return exact.mean() - separable(signals, noise).mean()


def _first(signals):
    return multilayer.Signals(signals.dictionaries[:1], signals.codes[:1], signals.signal)


def separable(signals, noise):
    """Tell for which signals some threshold of layer 1 finds the support."""
    products = signals.dictionaries[0].analyze(signals.signal + noise).abs().flatten(1)
    present = (signals.codes[0] != 0).flatten(1)
    absent, found = torch.where(present, 0.0, products).amax(1), torch.where(present, products, torch.inf).amin(1)
    return (absent < found).cpu().numpy()


@check("csc.better/error_proportional", instances(50, of="signals"))
def error_proportional(setting):
    """Divide the error of basis pursuit at noise 0.001 by that at 0.01, same direction; soft thresholding beside it."""
    drawn = certified(setting, "K2-1D", 50)
    signals, errors = _first(drawn.signals), {"basis": [], "soft": []}
    for size in (0.001, 0.01):
        noise = multilayer.gaussian_noise(signals, size, setting.numpy("proportional"))
        promised = stability.soft_thresholding_bounds(drawn.layers[:1], np.full(50, size))
        errors["basis"].append(signals.errors(sparse_layers(signals, noise, [4 * size]))[0])
        errors["soft"].append(signals.errors(thresholded(signals, noise, [promised[0].threshold]))[0])
    return Measurement(*(np.median(small / large) for small, large in errors.values()), count=len(signals))


@check("csc.better/theory_weights", instances(50, of="signals"))
def theory_weights(setting):
    """Compare exact supports at layer 2 of basis pursuit, with both choices of weights, and soft thresholding."""
    drawn, size = certified(setting, "K2-1D", 50), 0.02
    noise = multilayer.gaussian_noise(drawn.signals, size, setting.numpy("weights"))
    theory = [bound.weight for bound in stability.basis_pursuit_bounds(drawn.layers, np.full(50, size))]
    soft = stability.soft_thresholding_bounds(drawn.layers, np.full(50, size))
    codes = thresholded(drawn.signals, noise, [bound.threshold for bound in soft])
    found = [sparse_layers(drawn.signals, noise, weights) for weights in (theory, [4 * size] * 2)]
    lost = [drawn.signals.wrong_supports(given)[1].mean() for given in (*found, codes)]
    return Measurement(lost[2] - lost[0], lost[2] - lost[1], count=len(drawn))


@check("csc.better/against_hard", instances(50, of="signals"))
def against_hard(setting):
    """Divide the error of basis pursuit by that of hard thresholding, where both work and where hard thresholding fails."""
    drawn = certified(setting, "K2-1D", 50)
    promised = stability.hard_thresholding_bounds(drawn.layers, np.full(50, 0.04))
    measured = _error_ratio(setting, drawn.signals, 0.04, [bound.threshold for bound in promised])
    crowded = group(setting, "K2-fail", 20, "crowded")
    first = crowded.layers[0]
    level = (first.smallest + first.coherence * first.largest) / 2
    return Measurement(measured, _error_ratio(setting, _first(crowded.signals), 0.01, [level]), count=len(drawn))


def _error_ratio(setting, signals, size, thresholds):
    noise = multilayer.gaussian_noise(signals, size, setting.numpy("against hard"))
    basis = signals.errors(sparse_layers(signals, noise, [4 * size] * len(thresholds)))[-1]
    return np.median(basis / signals.errors(thresholded(signals, noise, thresholds, "hard"))[-1])
