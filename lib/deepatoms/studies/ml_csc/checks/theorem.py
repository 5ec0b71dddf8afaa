"""Theorem 2: supports, bound, thresholds, and which of its two thresholdings the network computes."""

import functools
from dataclasses import replace

import numpy as np
import torch

from deepatoms.claims.checking import Measurement, check, instances
from deepatoms.studies.ml_csc.checks.samples import certified, chunks, noises, thresholded
from deepatoms.theory import multilayer, stability
from deepatoms.theory.convolutional import ConvolutionalDictionary

HARNESS = {"K2-1D": 350, "K3-1D": 300, "K2-compact": 270, "K2-2D": 40, "K3-2D": 40}


# ---- support and bound on 1,000 certified instances ----

@functools.lru_cache(maxsize=2)
def harness(setting):
    """Return for each configuration what Theorem 2's two noises did to its certified instances, at 0.9 of the limit."""
    return {name: _trials(setting, name, count) for name, count in HARNESS.items()}


def _trials(setting, name, count):
    drawn = certified(setting, name, count)
    parts = [_trial(setting, drawn[rows], f"{name} {rows[0]}") for rows in chunks(drawn)]
    return {key: np.concatenate([part[key] for part in parts], axis=-1) for key in parts[0]}


def _trial(setting, drawn, label):
    """Return arrays of shape (noises, [layers,] signals): wrong supports, the control's, errors over bounds."""
    size = 0.9 * stability.largest_certified_noise(drawn.layers)
    promised = stability.soft_thresholding_bounds(drawn.layers, size)
    thresholds, above = [bound.threshold for bound in promised], [1.01 * bound.upper for bound in promised]
    quiet = [replace(layer, coherence=0 * layer.coherence) for layer in drawn.layers]
    bounds = {"ratio": promised, "without threshold": stability.hard_thresholding_bounds(drawn.layers, size, thresholds),
              "without interference": stability.soft_thresholding_bounds(quiet, size, thresholds)}
    found = {"wrong": [], "wrong above": [], **{name: [] for name in bounds}}
    for noise in noises(setting, drawn, size, label):
        codes = thresholded(drawn.signals, noise, thresholds)
        found["wrong"].append(np.any(drawn.signals.wrong_supports(codes), axis=0))
        above_codes = thresholded(drawn.signals, noise, above)
        found["wrong above"].append(np.any(drawn.signals.wrong_supports(above_codes), axis=0))
        errors = drawn.signals.errors(codes)
        for name, bound in bounds.items():
            found[name].append([error / layer.error for error, layer in zip(errors, bound, strict=True)])
    return {name: np.array(values) for name, values in found.items()}


@check("csc.thm2/support", instances(1000, of="signals"))
def support(setting):
    """Count certified instances with a wrong support at some layer, under Gaussian noise or the shrinking one."""
    trials = harness(setting).values()
    return Measurement(*(sum(trial[name].any(0).sum() for trial in trials) for name in ("wrong", "wrong above")),
                       count=_signals(trials))


def _signals(trials):
    """Return how many signals were tried, each once however many noises there were."""
    return sum(trial["wrong"].shape[-1] for trial in trials)


@check("csc.thm2/interval", instances(100_000, of="sets of parameters"))
def interval_and_condition(setting):
    """Compare the printed condition on the stripe count with the threshold interval, for random parameters."""
    draw, count = setting.numpy("interval"), 100_000
    largest = draw.uniform(0.5, 2, count)
    layer = stability.LayerNumbers(draw.uniform(0.01, 0.5, count), draw.integers(1, 9, count), 1,
                            largest * draw.uniform(0.05, 1, count), largest)
    noise = draw.uniform(0, 0.5, count) * layer.smallest
    lower, upper = stability.threshold_interval(layer, noise)
    printed = layer.stripes < stability.stripe_limit(layer, noise)
    return Measurement(np.sum((lower < upper) != printed), np.sum((lower < upper + noise) != printed), count=len(printed))


@check("csc.thm2_bound/ratio", instances(1000, of="signals"))
def ratio(setting):
    """Divide the errors of the same instances by the bound, and by the bound without the threshold."""
    trials = harness(setting).values()
    return Measurement(*(max(trial[name].max() for trial in trials) for name in ("ratio", "without threshold")),
                       count=_signals(trials))


@check("csc.thm2_bound/interference", instances(270, of="signals"))
def interference(setting):
    """Divide the errors of the instances with two nonzeros a stripe by the bound, and by it without interference."""
    trial = harness(setting)["K2-compact"]
    return Measurement(trial["ratio"].max(), trial["without interference"].max(), count=_signals([trial]))


# ---- the threshold ----

@functools.lru_cache(maxsize=2)
def _spread(setting, name="K2-1D", least=1e-3):
    """Return 200 certified instances, noise sizes from ``least`` to 0.9 of their limits, and the two noises."""
    drawn = certified(setting, name, HARNESS[name])[np.arange(200)]
    limit = 0.9 * stability.largest_certified_noise(drawn.layers)
    size = least * (limit / least) ** np.linspace(0, 1, 200)
    return drawn, size, noises(setting, drawn, size, "spread")


@check("csc.threshold/proportional", instances(200, of="signals"))
def proportional(setting):
    """Take the best of 400 factors c for thresholds c eps_0, judged by the supports of the first layer."""
    drawn, size, (gaussian, _) = _spread(setting)
    signals = drawn.signals
    products = signals.dictionaries[0].analyze(signals.signal + gaussian).abs().flatten(1)
    present = (signals.codes[0] != 0).flatten(1)
    absent = torch.where(present, -1.0, products).amax(1).cpu().numpy()
    found = torch.where(present, products, torch.inf).amin(1).cpu().numpy()
    levels = np.geomspace(0.5, 600, 400)[:, None] * size
    wrong = ((absent > levels) | (found <= levels)).sum(1)
    lower, upper = stability.threshold_interval(drawn.layers[0], size)
    codes = thresholded(drawn[np.arange(200)].signals, gaussian, [lower + 0.01 * (upper - lower), 1.0])
    return Measurement(wrong.min(), signals.wrong_supports(codes)[0].sum(), count=len(drawn))


@check("csc.threshold/two_in_a_stripe", instances(200, of="signals"))
def two_in_a_stripe(setting):
    """Count supports lost at layer 1 with a multiple of the error bound, and with the same multiple of the noise alone."""
    drawn, size, both = _spread(setting, "K2-compact", 1e-9)
    layer = drawn.layers[0]
    if not (layer.stripes == 2).all():
        raise ValueError(f"stripes = {sorted(set(layer.stripes))}, but the check is about two nonzeros in a stripe")
    lost = [[drawn.signals.wrong_supports(thresholded(drawn.signals, noise, [threshold, 1.0]))[0] for noise in both]
            for threshold in (2 * (size + layer.interference), 2 * size)]
    return Measurement(*np.any(lost, axis=1).sum(-1), count=len(drawn))


@check("csc.threshold/interval", instances(200, of="signals"))
def interval(setting):
    """Count wrong supports with thresholds one percent above the lower end of the derived interval."""
    drawn, size, (gaussian, worst) = _spread(setting)
    promised = stability.soft_thresholding_bounds(drawn.layers, size)
    thresholds = [bound.threshold for bound in promised]
    wrong = [np.any(drawn.signals.wrong_supports(thresholded(drawn.signals, noise, thresholds)), axis=0)
             for noise in (gaussian, worst)]
    beyond = thresholded(drawn.signals, worst, [1.001 * promised[0].upper, thresholds[1]])
    return Measurement(np.any(wrong, axis=0).sum(), np.any(drawn.signals.wrong_supports(beyond), axis=0).sum(),
                       count=len(drawn))


# ---- two-sided and one-sided thresholding ----

def _one_sided(setting, nonnegative):
    """Return for two configurations 100 instances each, Gaussian noise at 0.9 of the limit, and thresholds."""
    for name in ("K2-1D", "K3-1D"):
        drawn = certified(setting, name, 100, nonnegative=nonnegative, signed=not nonnegative)
        size = 0.9 * stability.largest_certified_noise(drawn.layers)
        noise = multilayer.gaussian_noise(drawn.signals, size, setting.numpy(f"one-sided {name}"))
        yield drawn.signals, noise, [bound.threshold for bound in stability.soft_thresholding_bounds(drawn.layers, size)]


def _wrong(setting, nonnegative, kind):
    """Tell for each signal whether a support is wrong."""
    return np.concatenate([np.any(signals.wrong_supports(thresholded(signals, noise, thresholds, kind)), axis=0)
                           for signals, noise, thresholds in _one_sided(setting, nonnegative)])


def _counted(measured, control):
    return Measurement(measured.sum(), control.sum(), count=len(measured))


@check("csc.nonnegative/signed", instances(200, of="signals"))
def signed(setting):
    """Count wrong supports of nonnegative thresholding, the network's, on certified instances with negative entries."""
    return _counted(_wrong(setting, False, "nonnegative"), _wrong(setting, False, "soft"))


@check("csc.nonnegative/nonnegative_codes", instances(200, of="signals"))
def nonnegative_codes(setting):
    """Count them on certified instances whose codes are all nonnegative."""
    return _counted(_wrong(setting, True, "nonnegative"), _wrong(setting, False, "nonnegative"))


@check("csc.nonnegative/doubled_network", instances(200, of="signals"))
def doubled_network(setting):
    """Compare the halves' difference of the ReLU network with doubled filters to two-sided thresholding."""
    found, count = [], 0
    for signals, noise, thresholds in _one_sided(setting, nonnegative=False):
        count += len(signals)
        expected = thresholded(signals, noise, thresholds)
        for half in (False, True):
            doubled = multilayer.Signals(_doubled(signals.dictionaries, half), signals.codes, signals.signal)
            codes = thresholded(doubled, noise, thresholds, "nonnegative")
            found.append(max(float((_difference(code) - true).abs().max()) for code, true in
                             zip(codes, expected, strict=True)))
    return Measurement(max(found[::2]), max(found[1::2]), count=count)


def _doubled(dictionaries, positive_only):
    """Return the dictionaries of the doubled network; ``positive_only``: deeper layers read the positive half alone."""
    first, *deeper = [D.filters for D in dictionaries]
    grid, filters = dictionaries[0].grid, [torch.cat([first, -first], dim=1)]
    for weight in deeper:
        other = 0 * weight if positive_only else -weight
        filters.append(torch.cat([torch.cat([weight, other], dim=2), torch.cat([-weight, -other], dim=2)], dim=1))
    return [ConvolutionalDictionary(weight, grid) for weight in filters]


def _difference(code):
    positive, negative = code.chunk(2, dim=1)
    return positive - negative
