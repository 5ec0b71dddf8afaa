"""When the whole network is a max-affine spline (Theorem 2, Corollary 1), and when not."""

import numpy as np
import torch
from torch.nn import functional

from deepatoms.claims.checking import Measurement, check, examples, instances
from deepatoms.learning.networks import relu_network
from deepatoms.studies.spline_templates.checks import maps
from deepatoms.studies.spline_templates.checks.operators import normal
from deepatoms.theory import splines

# Ten compositions whose later component is not non-decreasing; the first six are convex all the same.
COMPOSITIONS = (
    lambda x: abs(np.maximum(x, 0)), lambda x: abs(abs(x) + np.maximum(x - 1, 0)), lambda x: abs(np.maximum(x, 1)),
    lambda x: abs(2 * x + 1), lambda x: np.maximum(-(1 - x), 0), lambda x: -(x + 2),
    lambda x: abs(np.maximum(x, 0) - 1), lambda x: -abs(x), lambda x: np.maximum(-abs(x), -1), lambda x: abs(abs(x) - 1))


@check("spl.iff/only_if", examples(10, of="compositions"))
def only_if(setting):
    """Count the convex ones among ten compositions, by 20,000 chords each."""
    random = setting.numpy("spl.iff")
    x, y, t = random.uniform(-3, 3, 20_000), random.uniform(-3, 3, 20_000), random.uniform(size=20_000)
    gaps = [((1 - t) * f(x) + t * f(y) - f((1 - t) * x + t * y)).min() for f in COMPOSITIONS]
    is_convex = [gap >= -1e-10 for gap in gaps]
    return Measurement(sum(is_convex), sum(is_convex[-4:]), count=len(is_convex))


@check("spl.iff/if", instances(1000, of="compositions"))
def if_non_decreasing(setting):
    """Count violated chords of 1,000 random compositions whose later component is non-decreasing."""
    generator = setting.torch("spl.iff/if")
    counts, at_once = [], 50
    for _ in range(20):
        counts.append([_violations(generator, decreasing, at_once) for decreasing in (False, True)])
    return Measurement(*np.sum(counts, axis=0), count=at_once * len(counts))


def _violations(generator, decreasing, count, chords=1000):
    slopes = [normal(generator, count, 4, 3, 4) for _ in range(2)]
    offsets = [normal(generator, count, 4, 3) for _ in range(2)]
    slopes[1] = slopes[1].abs()
    if decreasing:
        slopes[1][..., 0] *= -1

    def composed(x):
        for A, B in zip(slopes, offsets, strict=True):
            x = (torch.einsum("mkrd,mnd->mnkr", A, x) + B[:, None]).amax(-1)
        return x

    x, y = normal(generator, count, chords, 4), normal(generator, count, chords, 4)
    t = torch.rand(count, chords, 1, generator=generator, dtype=torch.float64)
    return int(((1 - t) * composed(x) + t * composed(y) - composed((1 - t) * x + t * y) < -1e-10).sum())


@check("spl.thm2/chords", instances(40, of="networks"))
def chords(setting):
    """Measure chords of MLPs and CNNs with pooling whose weights are nonnegative from layer 2 on."""
    generator, gaps = setting.torch("spl.thm2"), []
    for build, shape, count in ((wide_mlp, (8,), 4000), (pooled_cnn, (1, 8, 8), 1000)) * 20:
        model = build(generator)
        signed = chord_gap(model, generator, shape, count)
        gaps.append((chord_gap(nonnegative(model), generator, shape, count), signed))
    measured, control = (min(column) for column in zip(*gaps, strict=True))
    return Measurement(measured, control, count=len(gaps))


def wide_mlp(generator):
    """Return an MLP with 8 inputs, two hidden layers of 16 and 3 outputs."""
    return maps.random_parameters(relu_network((8, 16, 16, 3)), generator)


def pooled_cnn(generator):
    """Return a CNN with pooling for 8 x 8 images, 6 and 8 channels."""
    return maps.random_parameters(maps.digits_cnn(widths=(6, 8), classes=3, batch_norm=False), generator)


def nonnegative(model):
    """Make all weights from the second layer on nonnegative, in place; biases and the first layer stay signed."""
    weighted = [module for module in model if hasattr(module, "weight")]
    for module in weighted[1:]:
        module.weight.abs_()
    return model


def chord_gap(model, generator, shape, count):
    """Return the smallest (1 - t) f(x) + t f(y) - f((1 - t) x + t y) over random chords and all outputs."""
    x, y = normal(generator, count, *shape), normal(generator, count, *shape)
    t = torch.rand(count, generator=generator, dtype=torch.float64)
    at = t.reshape(-1, *[1] * len(shape))
    low, high, middle = (_in_parts(model, points) for points in (x, y, (1 - at) * x + at * y))
    return float(((1 - t[:, None]) * low + t[:, None] * high - middle).min())


def _in_parts(model, x):
    return torch.cat([model(part) for part in x.split(2000)])


@check("spl.multiconvex/one_layer", instances(3000, of="networks"))
def one_layer(setting):
    """Move the weights and biases of one layer along chords with the others fixed; the control moves all layers."""
    generator = setting.torch("spl.multiconvex")
    one = [_parameter_gaps(generator, {layer}, 1000) for layer in range(3)]
    return Measurement(min(map(min, one)), min(_parameter_gaps(generator, {0, 1, 2}, 1000)), count=sum(map(len, one)))


def _parameter_gaps(generator, moving, pairs):
    """Return for each pair of networks the least excess of the chord over the outputs between."""
    widths = (8, 16, 16, 3)
    ends = [_draw_network(generator, pairs, widths) for _ in range(2)]
    fixed = [[(ends[1] if layer in moving else ends[0])[layer] for layer in range(3)]]
    x = normal(generator, pairs, widths[0])
    t = torch.rand(pairs, 1, 1, generator=generator, dtype=torch.float64)
    between = [tuple((1 - t) * a + t * b for a, b in zip(*pair, strict=True)) for pair in zip(ends[0], fixed[0], strict=True)]
    low, high, middle = (_outputs(layers, x) for layers in (ends[0], fixed[0], between))
    return ((1 - t) * low + t * high - middle).flatten(1).amin(1).tolist()


def _draw_network(generator, pairs, widths):
    layers = [(normal(generator, pairs, after, before), normal(generator, pairs, after, 1))
              for before, after in zip(widths, widths[1:], strict=False)]
    return [(weight.abs() if depth else weight, bias) for depth, (weight, bias) in enumerate(layers)]


def _outputs(layers, x):
    z = x[..., None]
    for depth, (weight, bias) in enumerate(layers):
        z = weight @ z + bias
        z = z if depth == len(layers) - 1 else z.clamp_min(0)
    return z


def small_net(generator, signed):
    """Return the weights and biases of a 4-5-5-3 net, standard normal; nonnegative weights from layer 2 on unless signed."""
    weights = [normal(generator, after, before) for before, after in ((4, 5), (5, 5), (5, 3))]
    biases = [normal(generator, len(weight)) for weight in weights]
    return (weights if signed else [weights[0], weights[1].abs(), weights[2].abs()]), biases


def forward(weights, biases, x):
    """Return the net's output by torch's layers."""
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        x = functional.relu(functional.linear(x, weight, bias))
    return functional.linear(x, weights[-1], biases[-1])


@check("spl.eq10/nested", instances(100, of="networks"))
def nested(setting):
    """Compare the cascade of maximisations, unit by unit, with the forward pass; the control selects for whole layers."""
    generator, errors = setting.torch("spl.eq10/nested"), []
    for _ in range(100):
        (weights, biases), x = small_net(generator, signed=True), normal(generator, 4)
        expected = forward(weights, biases, x)
        errors.append([float((found - expected).abs().max()) for found in
                       (splines.greedy_matching(weights, biases, x), _one_piece_a_layer(weights, biases, x))])
    return Measurement(*np.max(errors, axis=0), count=len(errors))


def _one_piece_a_layer(weights, biases, x):
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        on = weight @ x + bias
        x = on if on.sum() > 0 else torch.zeros_like(on)
    return weights[-1] @ x + biases[-1]


@check("spl.eq10/suboptimal", instances(20, of="networks"))
def suboptimal(setting):
    """Measure by how much the best of all 2^10 choices of active units exceeds the forward pass."""
    generator = setting.torch("spl.eq10/suboptimal")
    found = [[_excess(generator, signed) for _ in range(20)] for signed in (True, False)]
    return Measurement(*map(min, found), count=len(found[0]))


def _excess(generator, signed):
    (weights, biases), x = small_net(generator, signed), normal(generator, 4)
    output = forward(weights, biases, x)
    return float((splines.global_matching(weights, biases, x) - output).max() / output.abs().max())


@check("spl.cor1/brute_force", instances(100, of="networks"))
def brute_force(setting):
    """Compare the forward pass with the best of all 2^10 choices, nonnegative weights from layer 2 on."""
    generator = setting.torch("spl.cor1")
    found = [[_distance(generator, signed) for _ in range(100)] for signed in (False, True)]
    return Measurement(*map(max, found), count=len(found[0]))


def _distance(generator, signed):
    (weights, biases), x = small_net(generator, signed), normal(generator, 4)
    return float((splines.global_matching(weights, biases, x) - forward(weights, biases, x)).abs().max())
