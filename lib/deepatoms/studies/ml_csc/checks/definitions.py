"""Equation 1, Definition 1 and the local norms."""

import numpy as np
import torch
import torch.nn.functional as F

from deepatoms.claims.checking import Measurement, check, instances
from deepatoms.studies.ml_csc.checks.samples import chunks, pool
from deepatoms.theory import convolutional, pursuit, stability

NETS = {(40,): [(3, 1, 7), (4, 3, 5), (3, 4, 4)], (12, 10): [(3, 1, 3, 3), (4, 3, 3, 2), (3, 4, 2, 2)]}
THRESHOLD = 0.1


@check("csc.eq1/equal", instances(20, of="networks"))
def equal(setting):
    """Compare torch's circular CNN with layered thresholding by explicit dictionary matrices."""
    draw = setting.torch("equal")
    found = [_forward_difference(grid, shapes[:depth], draw) for grid, shapes in NETS.items() for depth in (2, 3)
             for _ in range(5)]
    return Measurement(max(same for same, _ in found), min(flipped for _, flipped in found), count=len(found))


def _forward_difference(grid, shapes, draw):
    filters = [convolutional.normalize_filters(torch.randn(shape, dtype=torch.float64, generator=draw)) for shape in shapes]
    x = torch.randn((1, 1, *grid), dtype=torch.float64, generator=draw)
    passed = x
    for weight in filters:
        passed = forward_layer(passed, weight, -THRESHOLD)
    flipped = [weight.flip(tuple(range(2, weight.ndim))) for weight in filters]
    return [float((_by_matrices(x, given, grid) - passed.flatten(1)).abs().max()) for given in (filters, flipped)]


def _by_matrices(x, filters, grid):
    matrices = [torch.from_numpy(convolutional.matrix(weight.numpy(), grid)) for weight in filters]
    return pursuit.layered_thresholding(x.flatten(1), matrices, [THRESHOLD] * len(filters), "nonnegative")[-1]


def forward_layer(x, weight, bias):
    """Return one layer of torch's circular CNN: convolution, bias (a number), ReLU."""
    overhang = [side for n in reversed(weight.shape[2:]) for side in (0, n - 1)]
    convolve = F.conv1d if weight.ndim == 3 else F.conv2d
    return F.relu(convolve(F.pad(x, overhang, mode="circular"), weight) + bias)


@check("csc.def1/sampled", instances(260, of="signals"))
def sampled(setting):
    """Recompute every product by FFT for signals whose codes were placed tap by tap, and count their stripes."""
    found = []
    for name, count in (("K2-1D", 100), ("K3-1D", 100), ("K2-2D", 30), ("K3-2D", 30)):
        drawn = pool(setting, name, False)[np.arange(count)]
        for rows in chunks(drawn):
            found.append(_violations(drawn[rows]))
    measured, moved = np.concatenate(found, axis=1)
    return Measurement(measured.max(), moved.min(), count=len(measured))


def _violations(drawn):
    """Return each signal's largest residual (1 for too many nonzeros), and the same with one coefficient moved."""
    signals, deepest = drawn.signals, drawn.signals.codes[-1]
    residuals = [_residual(signals, i, code) for i, code in enumerate(signals.codes)]
    crowded = [layer.stripes >= stability.uniqueness_limit(layer) for layer in drawn.layers]
    flat = deepest.flatten(1)
    place = flat.abs().argmax(1, keepdim=True)
    spike = torch.zeros_like(flat).scatter(1, place, flat.gather(1, place))
    spike = spike.reshape(deepest.shape)
    moved = _residual(signals, len(signals.codes) - 1, deepest - spike + spike.roll(1, -1))
    return np.maximum(np.max(residuals, axis=0), np.any(crowded, axis=0)), moved


def _residual(signals, i, code):
    above = signals.codes[i - 1] if i else signals.signal
    return (signals.dictionaries[i].synthesize(code) - above).abs().flatten(1).amax(1).cpu().numpy()


@check("csc.norms/loops", instances(200, of="maps"))
def loops(setting):
    """Compare counts and norms with direct loops over all windows of 200 random maps."""
    draw = setting.numpy("loops")
    found = np.array([_disagreements(draw, axes) for axes in (1, 2) for _ in range(100)])
    return Measurement(*found.sum(0), count=len(found))


def _disagreements(draw, axes):
    grid = tuple(draw.integers(8, 31, 1)) if axes == 1 else tuple(draw.integers(6, 13, 2))
    n = int(draw.integers(2, 6))
    code = draw.normal(size=(3, *grid)) * (draw.random((3, *grid)) < draw.uniform(0.05, 0.3))
    stripe, patch = list(_windows(code, 2 * n - 1)), list(_windows(code, n))
    stripes, patches = (max(np.count_nonzero(window) for window in windows) for windows in (stripe, patch))
    norm = max(np.linalg.norm(window) for window in patch)
    kernel = (n,) * axes
    differs = (convolutional.stripe_count(code, kernel) != stripes or convolutional.patch_count(code, kernel) != patches
               or abs(convolutional.patch_norm(code, kernel) - norm) > 1e-12)
    return differs, convolutional.patch_count(code, kernel) != stripes


def _windows(code, length):
    """Yield the entries of every circular window, each position once."""
    grid = code.shape[1:]
    for start in np.ndindex(*grid):
        places = [(s + np.arange(min(length, size))) % size for s, size in zip(start, grid, strict=True)]
        yield code[np.ix_(range(len(code)), *places)]
