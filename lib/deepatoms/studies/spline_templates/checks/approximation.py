"""Max-affine splines, what they approximate and what they cannot (Section 3)."""

import numpy as np
import scipy.optimize

from deepatoms.claims.checking import Measurement, check, examples, instances


@check("spl.eq4/rebuilt", instances(200, of="functions"))
def rebuilt(setting):
    """Read off the affine piece of a sum of hinges at each of 1,000 points and take the maximum of all of them."""
    random = setting.numpy("spl.eq4/rebuilt")
    errors = [[_rebuilding_error(random, dimension, negative) for negative in (False, True)]
              for dimension in (1, 2, 3, 4) for _ in range(50)]
    measured, control = np.max(errors, axis=0)
    return Measurement(measured, control, count=len(errors))


def _rebuilding_error(random, dimension, negative):
    hinges, points = 5, 1000
    normals, shifts = random.normal(size=(hinges, dimension)), random.normal(size=hinges)
    weights = random.uniform(0.1, 1, hinges)
    weights[0] *= -1 if negative else 1
    x = random.normal(size=(points, dimension))
    on = x @ normals.T + shifts > 0
    values = np.maximum(x @ normals.T + shifts, 0) @ weights
    pieces = np.unique(on, axis=0)
    slopes, offsets = (pieces * weights) @ normals, pieces @ (weights * shifts)
    return np.abs(values - (x @ slopes.T + offsets).max(1)).max()


@check("spl.eq4/convex", instances(100, of="functions"))
def convex(setting):
    """Measure 1,000 chords of each of 100 random max-affine functions of eight pieces."""
    random = setting.numpy("spl.eq4/convex")
    gaps = [[_smallest_gap(random, dimension, reduce) for reduce in (_all_eight, _maximum_with_a_minimum)]
            for dimension in (1, 2, 3, 4) for _ in range(25)]
    measured, control = np.min(gaps, axis=0)
    return Measurement(measured, control, count=len(gaps))


def _all_eight(pieces):
    return pieces.max(-1)


def _maximum_with_a_minimum(pieces):
    return np.maximum(pieces[..., :4].max(-1), pieces[..., 4:].min(-1))


def _smallest_gap(random, dimension, reduce):
    chords = 1000
    slopes, offsets = random.normal(size=(dimension, 8)), random.normal(size=8)
    x, y = random.normal(size=(2, chords, dimension))
    t = random.uniform(size=(chords, 1))
    low, high, middle = (reduce(at @ slopes + offsets) for at in (x, y, (1 - t) * x + t * y))
    return ((1 - t[:, 0]) * low + t[:, 0] * high - middle).min()


@check("spl.approx_convex/rate", examples(2, of="functions"))
def rate(setting):
    """Fit the slope of the error of the maximum of n tangents against n, on a logarithmic scale."""
    convex = ((np.square, lambda x: 2 * x), (lambda x: np.logaddexp(0, x), sigmoid))
    rates = [_rate(function, derivative) for function, derivative in convex]
    return Measurement(max(rates), _rate(np.sin, np.cos), count=len(rates))


def _rate(function, derivative):
    counts = 2 ** np.arange(2, 9)
    x = np.linspace(-3, 3, 20_001)
    errors = [np.abs(function(x) - _tangents(function, derivative, x, n)).max() for n in counts]
    return np.polyfit(np.log(counts), np.log(errors), 1)[0]


def _tangents(function, derivative, x, count):
    at = -3 + 6 * (np.arange(count) + 0.5) / count
    return (function(at) + derivative(at) * (x[:, None] - at)).max(1)


@check("spl.approx_nonconvex/spline", examples(2, of="functions"))
def spline(setting):
    """Interpolate sigmoid and arctan linearly between equally spaced knots and take the largest error."""
    fine, coarse = ([_interpolation_error(function, pieces) for function in (sigmoid, np.arctan)] for pieces in (256, 4))
    return Measurement(max(fine), max(coarse), count=len(fine))


def _interpolation_error(function, pieces):
    knots, x = np.linspace(-6, 6, pieces + 1), np.linspace(-6, 6, 50_001)
    return np.abs(function(x) - np.interp(x, knots, function(knots))).max()


def sigmoid(x):
    """Return the logistic function."""
    return 1 / (1 + np.exp(-x))


@check("spl.approx_nonconvex/not_max_affine", examples(1, of="functions"))
def not_max_affine(setting):
    """Find the convex function nearest to the sigmoid in the sup norm, by a linear programme on 241 points."""
    x = np.linspace(-6, 6, 241)
    return Measurement(nearest_convex(sigmoid(x))[0], nearest_convex(np.logaddexp(0, x))[0], count=1)


def nearest_convex(values):
    """Return the smallest sup distance of a convex sequence to the values, and that sequence."""
    count = len(values)
    eye, last = np.eye(count), -np.ones((count, 1))
    second = -(np.eye(count - 2, count) - 2 * np.eye(count - 2, count, 1) + np.eye(count - 2, count, 2))
    rows = np.block([[eye, last], [-eye, last], [second, np.zeros((count - 2, 1))]])
    limits = np.concatenate([values, -values, np.zeros(count - 2)])
    solution = scipy.optimize.linprog(np.r_[np.zeros(count), 1], rows, limits, bounds=[(None, None)] * (count + 1))
    return solution.fun, solution.x[:-1]
