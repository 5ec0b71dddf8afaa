"""Section 2.5: noise on the input, layer after layer."""

import functools
import math

import numpy as np

from deepatoms.claims.checking import Measurement, check, examples, instances
from deepatoms.studies.skip_dictionaries import comparison
from deepatoms.studies.skip_dictionaries.checks.coding import blocks, demand
from deepatoms.theory import dictionaries
from deepatoms.theory import skip_dictionaries as skip


@check("rsc.input_noise/violations", instances(3000, "matrices"))
def input_noise(setting):
    """Divide ‖D E‖^2 by ‖D‖^2 ‖E‖^2, E Gaussian and leading singular vectors; the radius is the control."""
    draw = setting.numpy("input noise")
    D, E = skip.gaussian(8, 1.0, draw, 3000), draw.normal(size=(3000, 8))
    leading = np.linalg.svd(D)[2][:, 0]
    gains = np.max([np.linalg.norm(np.einsum("kij,kj->ki", D, noise), axis=1) / np.linalg.norm(noise, axis=1)
                    for noise in (E, leading)], axis=0)
    sizes = np.linalg.norm(D, 2, axis=(1, 2)), abs(np.linalg.eigvals(D)).max(1)
    return Measurement(*((gains / size).max() ** 2 for size in sizes), count=len(D))


# ---- rsc.prop ----

def _in_one_block(draw, n):
    """Draw a signal and a noise that live in the same block of two entries."""
    start, found = 2 * int(draw.integers(n // 2)), np.zeros((2, n))
    found[:, start:start + 2] = draw.normal(size=(2, 2))
    return found


def _ratios(D, X, E):
    """Return the squared output error over the printed bound and over the bound of fixed dictionaries."""
    clean, noisy, counts = X, X + E, []
    for matrix in D:
        clean, noisy = matrix @ clean, matrix @ noisy
        counts.append(int((clean != 0).sum()))
    noise, error = float(np.linalg.norm(E)), ((noisy - clean) ** 2).sum()
    coherences = [float(dictionaries.mutual_coherence(matrix)) for matrix in D[1:]]
    for mu, nonzeros in zip(coherences, counts, strict=False):
        demand(nonzeros < dictionaries.uniqueness_threshold(mu), "the codes have fewer nonzeros than the bound")
    printed = skip.printed_bound(noise, np.linalg.norm(D[0], 2), coherences, counts[:-1])
    return error / printed, error / skip.fixed_bound(noise, D)


@functools.lru_cache
def _propagated(setting):
    draw, ratios = setting.numpy("prop"), []
    for depth in (2, 3, 5, 8):
        for _ in range(50):
            X, E = _in_one_block(draw, 64)
            random = [blocks(draw, 64, 0.1 / 8, unit=False) for _ in range(depth)]
            ratios += [_ratios([np.eye(64)] * depth, X, E), _ratios(random, X, E)]
    return np.array(ratios)


@check("rsc.prop/as_printed", instances(400, "chains"))
def as_printed(setting):
    """Take the largest squared output error over the printed bound; contractions 0.4 I are the control."""
    X, E = _in_one_block(setting.numpy("contractions"), 64)
    found = _propagated(setting)[:, 0]
    return Measurement(found.max(), max(_ratios([0.4 * np.eye(64)] * depth, X, E)[0] for depth in (2, 3, 5, 8)), count=len(found))


@check("rsc.prop/fixed_dictionaries", instances(400, "chains"))
def fixed_dictionaries(setting):
    """Take the largest squared output error over prod ‖D_i‖^2 eps_0^2; dictionaries that move with the noise are the control."""
    draw, moving = setting.numpy("moving dictionaries"), []
    for depth in np.repeat((2, 3, 5, 8), 50):
        X, E = _in_one_block(draw, 64) * [[1.0], [0.01]]
        D, others = ([blocks(draw, 64, 0.1 / 8, unit=False) for _ in range(depth)] for _ in range(2))
        error = (functools.reduce(lambda h, matrix: matrix @ h, others, X + E)
                 - functools.reduce(lambda h, matrix: matrix @ h, D, X))
        moving.append((error**2).sum() / skip.fixed_bound(float(np.linalg.norm(E)), D))
    fixed = _propagated(setting)[:, 1]
    return Measurement(fixed.max(), max(moving), count=len(fixed))


@functools.lru_cache
def residual_nets(setting):
    """Return weights and biases of ReLU residual nets: five trained on digits, twenty random, one of a single unit."""
    trained = [([layer.linear.weight.detach().double().cpu().numpy() for layer in net.layers],
                [layer.linear.bias.detach().double().cpu().numpy() for layer in net.layers])
               for net in comparison.networks(setting, "resnet")[:5]]
    draw = setting.numpy("residual nets")
    random = [(list(skip.gaussian(16, scale, draw, 4)), list(draw.normal(size=(4, 16))))
              for scale in (0.1, 0.5, 1.0, 1.41) for _ in range(5)]
    return trained + random


@check("rsc.prop/relu_residual", instances(26, "networks"))
def relu_residual(setting):
    """Take the largest output error over prod (1 + ‖W_i‖) eps_0; over prod ‖I + S(h) W_i‖ as control."""
    draw, one_unit = setting.numpy("residual noise"), ([np.array([[2.0]])], [np.zeros(1)])
    ratios = [_residual_ratios(*one_unit, np.array([-0.1]), np.array([1.0]))]
    nets = residual_nets(setting)
    for net in nets:
        for size in np.geomspace(1e-3, 10, 20):
            h, direction = draw.normal(size=(2, len(net[1][0])))
            ratios.append(_residual_ratios(*net, h, h + size * direction))
    return Measurement(*np.max(ratios, axis=0), count=1 + len(nets))


def _residual_ratios(weights, biases, h, moved):
    error = np.linalg.norm(skip.residual_forward(moved, weights, biases) - skip.residual_forward(h, weights, biases))
    noise, local = float(np.linalg.norm(moved - h)), 1.0
    for W, b in zip(weights, biases, strict=True):
        a = W @ h + b
        local *= np.linalg.norm(np.eye(len(h)) + (a > 0)[:, None] * W, 2)
        h = h + np.maximum(a, 0)
    return error / skip.residual_bound(noise, weights), error / (noise * local)


@check("rsc.prop/keep_largest", examples(1, of="pairs of inputs"))
def keep_largest(setting):
    """Divide output by input difference of the layer that keeps the largest of two entries (decimal logarithm)."""
    pair = np.array([[1.0, 1.0 + 1e-9], [1.0 + 1e-9, 1.0]])
    layer = [np.diag([2.0, -2.0])], [np.zeros(2)]
    outputs = (skip.keep_largest(pair, 1), skip.residual_forward(pair, *layer))
    return Measurement(*(math.log10(np.linalg.norm(z[0] - z[1]) / np.linalg.norm(pair[0] - pair[1])) for z in outputs), count=1)


# ---- rsc.noise_coherence ----

@check("rsc.noise_coherence/independent_of_norms", instances(50, "chains"))
def independent_of_norms(setting):
    """Scale D_2 by a million, which changes no coherence, and compare output errors; norms restored are the control."""
    draw, growths = setting.numpy("noise coherence"), []
    for _ in range(50):
        first, second, third = (np.eye(16) + matrix for matrix in skip.gaussian(16, 0.1, draw, 3))
        through = first @ draw.normal(size=16)
        scaled = 1e6 * second
        restored = scaled / np.linalg.norm(scaled, axis=0) * np.linalg.norm(second, axis=0)
        before = np.linalg.norm(third @ second @ through)
        growths.append([math.log10(np.linalg.norm(third @ D @ through) / before) / 6 for D in (scaled, restored)])
    return Measurement(*np.max(growths, axis=0), count=len(growths))


@check("rsc.noise_coherence/sparse_difference", instances(1000, "chains"))
def sparse_difference(setting):
    """Divide the squared output error by prod (1 + mu_i) eps_0^2, differences of two entries; by eps_0^2 as control."""
    draw, ratios = setting.numpy("sparse difference"), []
    for trial in range(1000):
        D = [blocks(draw, 16, 0.3) for _ in range(1 + trial % 4)]
        E = _in_one_block(draw, 16)[1]
        error = (functools.reduce(lambda h, matrix: matrix @ h, D, E) ** 2).sum()
        coherences, noise = [float(dictionaries.mutual_coherence(matrix)) for matrix in D], float(np.linalg.norm(E))
        ratios.append((error / skip.sparse_difference_bound(noise, coherences, 2), error / noise**2))
    return Measurement(*np.max(ratios, axis=0), count=len(ratios))
