"""Layers as max-affine spline operators (Propositions 1 to 4)."""

import numpy as np
import torch
from torch.nn import functional

from deepatoms.claims.checking import Measurement, check, examples, instances
from deepatoms.theory import max_affine

U = torch.linspace(-3, 3, 6001, dtype=torch.float64)


def normal(generator, *shape):
    """Return standard normal numbers in float64."""
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@check("spl.prop1/operators", instances(200, of="operators"))
def affine_operators(setting):
    """Compare explicit matrices with torch's fully connected and convolution layers on random sizes."""
    generator, random = setting.torch("spl.prop1"), setting.numpy("spl.prop1")
    errors = [_convolution_errors(generator, random) for _ in range(100)]
    errors += [(_fully_connected_error(generator, random), 0.0) for _ in range(100)]
    return Measurement(*np.max(errors, axis=0), count=len(errors))


def _convolution_errors(generator, random):
    stride, padding, groups, size = (int(random.integers(low, high)) for low, high in ((1, 3), (0, 2), (1, 3), (2, 4)))
    weight, bias = normal(generator, 4, 4 // groups, size, size), normal(generator, 4)
    x = normal(generator, 2, 4, 6, 5)
    expected = functional.conv2d(x, weight, bias, stride, padding, groups=groups).flatten(1)
    found = [max_affine.convolution(filters, bias, (4, 6, 5), stride, padding, groups)(x.flatten(1))
             for filters in (weight, weight.flip(-1, -2))]
    return [float((each - expected).abs().max()) for each in found]


def _fully_connected_error(generator, random):
    units, inputs = (int(random.integers(1, 20)) for _ in range(2))
    weight, bias, x = normal(generator, units, inputs), normal(generator, units), normal(generator, 3, inputs)
    found = max_affine.fully_connected(weight, bias)(x)
    return float((found - functional.linear(x, weight, bias)).abs().max())


@check("spl.prop2/any_activation", examples(5, of="activations"))
def any_activation(setting):
    """Find for each activation the nearest function with one slope on each half-line, in the sup norm."""
    named = [_distance_to_one_kink(values) for values in (U.relu(), functional.leaky_relu(U, 0.1), U.abs())]
    others = [_distance_to_one_kink(values) for values in (_shifted_relu(U), _dead_zone(U))]
    return Measurement(max(named + others), max(named), count=len(named + others))


def _shifted_relu(u):
    return (u - 1).clamp_min(0)


def _dead_zone(u):
    return (u.abs() - 1).clamp_min(0)


def _distance_to_one_kink(values):
    return max(_distance_to_a_line(U[side], values[side]) for side in (U >= 0, U <= 0))


def _distance_to_a_line(u, values):
    """Minimise the largest |values - slope u| over the slope: convex in the slope, so a ternary search finds it."""
    low, high = -5.0, 5.0
    for _ in range(200):
        third = (high - low) / 3
        left, right = (float((values - slope * u).abs().max()) for slope in (low + third, high - third))
        low, high = (low, high - third) if left <= right else (low + third, high)
    return min(left, right)


@check("spl.prop2/one_kink_at_zero", instances(12, of="activations"))
def one_kink_at_zero(setting):
    """Compare torch's activations with the slopes that the proposition names."""
    slopes = setting.numpy("spl.prop2").uniform(0, 1, 9).tolist() + [1.0]
    errors = [_form_error([0.0, 1.0], U.relu()), _form_error([-1.0, 1.0], U.abs())]
    errors += [_form_error([slope, 1.0], functional.leaky_relu(U, slope)) for slope in slopes]
    return Measurement(max(errors), _form_error([2.0, 1.0], functional.leaky_relu(U, 2.0)), count=len(errors))


def _form_error(slopes, values, offsets=None):
    return float((max_affine.activation(slopes, 1, offsets)(U[:, None])[:, 0] - values).abs().max())


@check("spl.prop2/general", instances(105, of="activations"))
def general(setting):
    """Read each piece off at two points between the kinks and take the maximum of all pieces with their offsets."""
    random = setting.numpy("spl.prop2/general")
    cases = [(torch.relu, [0.0]), (lambda u: functional.leaky_relu(u, 0.1), [0.0]), (torch.abs, [0.0]),
             (_shifted_relu, [1.0]), (_dead_zone, [-1.0, 1.0])]
    errors = [_piece_errors(*case) for case in cases + [_random_activation(random) for _ in range(100)]]
    return Measurement(*np.max(errors, axis=0), count=len(errors))


def _random_activation(random):
    kinks = np.sort(random.uniform(-2.5, 2.5, random.integers(1, 6)))
    weights, (slope, offset) = random.uniform(0.2, 2, len(kinks)), random.normal(size=2)
    at, scale = torch.from_numpy(kinks), torch.from_numpy(weights)
    return lambda u: slope * u + offset + ((u[..., None] - at).clamp_min(0) * scale).sum(-1), list(kinks)


def _piece_errors(function, kinks):
    ends = torch.tensor([-3.0, *kinks, 3.0], dtype=torch.float64)
    first, second = ends[:-1] + ends.diff() / 4, ends[:-1] + 3 * ends.diff() / 4
    slopes = (function(second) - function(first)) / (second - first)
    offsets = function(first) - slopes * first
    return [_form_error(slopes, function(U), shift) for shift in (offsets, torch.zeros_like(offsets))]


@check("spl.prop3/pooling", instances(100, of="operators"))
def pooling(setting):
    """Compare explicit pooling operators with torch's, windows overlapping and padded."""
    generator, random = setting.torch("spl.prop3"), setting.numpy("spl.prop3")
    errors = [_pooling_errors(generator, random) for _ in range(100)]
    return Measurement(*np.max(errors, axis=0), count=len(errors))


def _pooling_errors(generator, random):
    size, stride, padding = int(random.integers(2, 4)), int(random.integers(1, 4)), int(random.integers(0, 2))
    x = normal(generator, 2, 2, 7, 6)
    most, mean = (build((2, 7, 6), size, stride, padding) for build in (max_affine.max_pooling, max_affine.average_pooling))
    largest = functional.max_pool2d(x, size, stride, padding).flatten(1)
    average = functional.avg_pool2d(x, size, stride, padding, count_include_pad=False).flatten(1)
    found, smallest = most(x.flatten(1)), -most(-x.flatten(1))
    measured = max((found - largest).abs().max(), (mean(x.flatten(1)) - average).abs().max())
    return float(measured), float((smallest - largest).abs().max())


@check("spl.prop4/max_form", instances(800, of="layers"))
def max_form(setting):
    """Compare 200 layers of each of four kinds with the explicit maximum over their affine pieces."""
    generator = setting.torch("spl.prop4")
    errors = [_layer_errors(generator, kind) for kind in LAYERS for _ in range(200)]
    return Measurement(*np.max(errors, axis=0), count=len(errors))


LAYERS = {
    "fully connected, ReLU": (lambda shape: max_affine.activation([0.0, 1.0], 12), torch.relu),
    "fully connected, absolute value": (lambda shape: max_affine.activation([-1.0, 1.0], 12), torch.abs),
    "convolution, leaky ReLU": (lambda shape: max_affine.activation([0.1, 1.0], 72),
                                lambda z: functional.leaky_relu(z, 0.1)),
    "convolution, max-pooling": (lambda shape: max_affine.max_pooling(shape, 2), lambda z: functional.max_pool2d(z, 2))}


def _layer_errors(generator, kind):
    build, torchs = LAYERS[kind]
    if kind.startswith("fully"):
        weight, bias, x = normal(generator, 12, 9), normal(generator, 12), normal(generator, 2, 9)
        affine, shape, z = max_affine.fully_connected(weight, bias), (12,), functional.linear(x, weight, bias)
    else:
        weight, bias, x = normal(generator, 2, 1, 3, 3), normal(generator, 2), normal(generator, 2, 1, 6, 6)
        affine, shape = max_affine.convolution(weight, bias, (1, 6, 6), padding=1), (2, 6, 6)
        z = functional.conv2d(x, weight, bias, padding=1)
    layer, x, expected = build(shape).after(affine), x.flatten(1), torchs(z).flatten(1)
    slopes, offsets = layer.at(x[1])
    borrowed = x[0] @ slopes.T + offsets
    return [float((layer(x) - expected).abs().max()), float((borrowed - expected[0]).abs().max())]
