"""Checks of the coupled problem's landscape: critical points, curvature, and where descent ends."""

import itertools
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import linalg, optimize

from deepatoms.claims.checking import Measurement, check, instances
from deepatoms.runs.prefetch import Remembered
from deepatoms.studies.resnests import tanh
from deepatoms.studies.resnests.checks.augmented import ratio
from deepatoms.theory import resnests

PROPER = [subset for size in range(3) for subset in itertools.combinations(range(3), size)]


@lru_cache(maxsize=2)
def tasks(setting):
    """Return 200 random problems: N_in = 5, N_o = 3, N = 120, three blocks of 4, M = 16."""
    rng = setting.numpy("landscape")
    return [tanh.random_task(rng) for _ in range(200)]


def problem_on(name, units, width, rng):
    """Return the coupled problem of a random net of three blocks on a data set, compressed."""
    x, y = tanh.data(name)
    return tanh.Task(tanh.draw(rng, x.shape[1], y.shape[1], [units] * 3, width), x, y).coupled().compressed()


def spectrum(problem, point):
    """Return all eigenvalues of the Hessian."""
    return np.linalg.eigvalsh(problem.hessian(*point))


@Remembered
def saddles(setting):
    """Return (problem, point, smallest and largest eigenvalue) of all explicit saddles of the 200 problems."""
    found = []
    for task in tasks(setting):
        problem = task.coupled().compressed()
        for subset in PROPER:
            point = problem.critical_point(subset)
            values = spectrum(problem, point)
            found.append((problem, point, values[0], values[-1]))
    return found


@Remembered
def real_saddles(setting):
    """Return the explicit saddles on digits (ten prefixes) and diabetes (the empty set), as ``saddles`` does."""
    rng = setting.numpy("real saddles")
    digits, diabetes = problem_on("digits", 10, 48, rng), problem_on("diabetes", 3, 24, rng)
    found = []
    for problem, subset in [*((digits, range(size)) for size in range(10)), (diabetes, ())]:
        point = problem.critical_point(subset)
        ends = [linalg.eigh(problem.hessian(*point), eigvals_only=True, subset_by_index=[i, i])[0]
                for i in ([0, problem.sizes[0] * sum(problem.sizes[1:]) - 1] if not len(subset) else [0])]
        found.append((problem, point, ends[0], ends[-1]))
    return found


@Remembered
def minima(setting):
    """Return all eigenvalues of the Hessian at the full-rank critical point of each of the 200 problems."""
    problems = [task.coupled() for task in tasks(setting)]
    return [spectrum(problem, problem.critical_point(range(3))) for problem in problems]


@check("nest.prop1/indefinite", instances(3, of="problems"))
def indefinite(setting):
    """Take the extreme eigenvalues of the Hessian at the rank-0 critical point, on diabetes, digits and a drawn problem."""
    rank_zero = [real_saddles(setting)[0], real_saddles(setting)[-1]]
    problem = tanh.random_task(setting.numpy("prop1")).coupled()
    values = spectrum(problem, problem.critical_point([]))
    found = [min(-low, high) for *_, low, high in rank_zero] + [min(-values[0], values[-1])]
    augmented = np.linalg.eigvalsh(resnests.augmented_hessian(tasks(setting)[0].features))
    return Measurement(min(found), min(-augmented[0], augmented[-1]), count=len(found))


@check("nest.prop1_saddle/no_maxima", instances(200, of="problems"))
def no_maxima(setting):
    """Count explicit critical points of deficient rank without curvature of both signs; those of full rank as control."""
    wrong = sum(not (low < -1e-6 and high > 1e-6) for *_, low, high in saddles(setting))
    control = sum(not (values[0] < -1e-6 and values[-1] > 1e-6) for values in minima(setting))
    return Measurement(wrong, control, count=len(tasks(setting)))


@Remembered
def ends(setting, width, count):
    """Return (task, problem, end) of trust-region least squares from starts of size 0.1."""
    rng, found = setting.numpy(f"ends {width}"), []
    for _ in range(count):
        task = tanh.random_task(rng, width)
        problem = task.coupled().compressed()
        start = 0.1 * rng.normal(size=(width, 4)), 0.1 * rng.normal(size=(3, width))
        found.append((task, problem, resnests.trust_region(problem, *start)))
    return found


def counts(end):
    """Tell whether a run ended at a critical point: gradient below 1e-6, weights below 100."""
    return end.slope < 1e-6 and max(np.abs(end.W).max(), np.abs(end.B).max()) < 100


def demand(count, least, what):
    """Refuse to judge from too few ends of descent."""
    if count < least:
        raise ValueError(f"{what} = {count} is too few to judge; at least {least} must count")


@check("nest.thm1/excess", instances(100, of="problems"))
def full_rank_is_global(setting):
    """Compare full-rank critical points, explicit and reached by descent, with the closed-form infimum."""
    found, reached = [], 0
    for _, problem, end in ends(setting, 16, 100):
        found.append(problem.risk(*problem.critical_point(range(3))) - problem.infimum())
        values = np.linalg.svd(end.B, compute_uv=False)
        if counts(end) and values[0] < 1e3 * values[-1]:
            reached += 1
            found.append(end.risk - problem.infimum())
    demand(reached, 50, "number of full-rank ends")
    narrow = tanh.random_task(setting.numpy("narrow"), width=2).coupled()
    return Measurement(max(found), narrow.risk(*narrow.critical_point([0, 2])) - narrow.infimum(),
                       count=len(ends(setting, 16, 100)))


@check("nest.thm1_gap/closed_form", instances(1004, of="problems"))
def no_gap(setting):
    """Compute epsilon in closed form on wide nets: diabetes, digits, and 1,000 drawn problems."""
    rng = setting.numpy("no gap")

    def on(name, units, width):
        x, y = tanh.data(name)
        return abs(tanh.Task(tanh.draw(rng, x.shape[1], y.shape[1], [units] * 3, width), x, y).gap())

    real = [on(*case) for case in (("diabetes", 3, 20), ("diabetes", 3, 24), ("digits", 8, 36), ("digits", 8, 48))]
    drawn = [abs(tanh.random_task(rng).gap()) for _ in range(1000)]
    return Measurement(max(real + drawn), on("diabetes", 3, 8), count=len(real + drawn))


@check("nest.thm1_gap/descent", instances(20, of="problems"))
def descent_arrives(setting):
    """Compare the ends of descent that are critical points with the augmented optimum, wide and narrow."""
    def fraction(width):
        arrived = [abs(end.risk - resnests.augmented_risk(task.features, task.y)) < 1e-8
                   for task, _, end in ends(setting, width, 20) if counts(end)]
        demand(len(arrived), 10, "number of critical ends")
        return float(np.mean(arrived))

    return Measurement(fraction(16), fraction(8), count=len(ends(setting, 16, 20)))


@check("nest.thm2_rank/rank", instances(200, of="problems"))
def deficient(setting):
    """Count the singular values of W_{L+1} at explicit saddles and at those found by descent on the gradient."""
    found = [rank(point[1]) - 3 for _, point, low, _ in saddles(setting) if low < -1e-6]
    reached = [rank(end.B) - 3 for end in searched(setting) if end.low < -1e-6]
    demand(len(reached), 10, "number of saddles found")
    narrow = tanh.random_task(setting.numpy("narrow"), width=2).coupled()
    pairs = [narrow.critical_point(subset) for size in (1, 2) for subset in itertools.combinations(range(3), size)]
    control = [rank(B) - 2 for W, B in pairs if spectrum(narrow, (W, B))[0] < -1e-6]
    return Measurement(max(found + reached), max(control), count=len(tasks(setting)))


def rank(matrix):
    """Return the number of singular values above 1e-6."""
    return int((np.linalg.svd(matrix, compute_uv=False) > 1e-6).sum())


@dataclass(frozen=True)
class Searched:
    """Where a search for critical points ended: W_{L+1}, its least curvature, the way to the nearest level, and from where."""

    B: np.ndarray
    low: float
    off: float
    start_off: float


@Remembered
def searched(setting):
    """Return the critical points that Levenberg-Marquardt on the gradient finds from displaced explicit ones."""
    rng, found = setting.numpy("searched"), []
    for _ in range(10):
        problem = tanh.random_task(rng, 8, (4,), inputs=3, samples=60).coupled().compressed()
        for subset in PROPER:
            point = np.concatenate([part.ravel() for part in problem.critical_point(subset)])
            point = point + 0.1 * np.linalg.norm(point) * _unit(rng.normal(size=point.size))
            start, (W, B) = _split(problem, point), _stationary(problem, point)
            if max(np.abs(part).max() for part in problem.gradient(W, B)) < 1e-9:
                found.append(Searched(B, spectrum(problem, (W, B))[0], *(off(problem, each) for each in ((W, B), start))))
    return found


def off(problem, point):
    """Return how far the risk at a point is from the nearest of the eight levels R_S."""
    return min(abs(problem.risk(*point) - problem.critical_value(subset)) for subset in (*PROPER, (0, 1, 2)))


@check("nest.levels/levels", instances(30, of="critical points"))
def levels(setting):
    """Compare the risk at critical points found by search with the nearest level R_S; the control does so at the starts."""
    found = searched(setting)
    return Measurement(max(end.off for end in found), max(end.start_off for end in found), count=len(found))


@check("nest.levels/explicit", instances(1400, of="critical points"))
def explicit_levels(setting):
    """Compare the risk at the explicit points with R_S, gradients below 1e-5; the control takes W_L = 0."""
    found, control = [], []
    for number, (problem, point, *_) in enumerate(saddles(setting)):
        subset = PROPER[number % len(PROPER)]
        demand(critical(problem, point), 1, "gradient below 1e-5")
        found.append(abs(problem.risk(*point) - problem.critical_value(subset)))
        control.append(abs(problem.risk(0 * point[0], point[1]) - problem.critical_value(subset)))
    return Measurement(max(found), max(control), count=len(found))


def _unit(vector):
    return vector / np.linalg.norm(vector)


def _stationary(problem, point):
    found = optimize.least_squares(lambda v: np.concatenate([g.ravel() for g in problem.gradient(*_split(problem, v))]), point,
                                   lambda v: problem.hessian(*_split(problem, v)), method="lm", ftol=1e-15, xtol=1e-15,
                                   gtol=1e-15, max_nfev=200)
    return _split(problem, found.x)


def _split(problem, point):
    width, units, outputs = problem.sizes
    return point[:width * units].reshape(width, units), point[width * units:].reshape(outputs, width)


def critical(problem, point):
    """Tell whether the gradient is below 1e-5."""
    return max(np.abs(part).max() for part in problem.gradient(*point)) < 1e-5


@check("nest.thm2_curvature/curvature", instances(1270, of="saddles"))
def negative_curvature(setting):
    """Take the smallest eigenvalue of the Hessian at explicit saddles: drawn problems, digits, diabetes."""
    every = [*saddles(setting), *real_saddles(setting)]
    found = [low for problem, point, low, _ in every if critical(problem, point)]
    demand(len(found), 0.9 * len(every), "number of explicit saddles with a vanishing gradient")
    return Measurement(max(found), max(values[0] for values in minima(setting)), count=len(found))


@check("nest.thm2_curvature/explicit_direction", instances(1270, of="saddles"))
def explicit_direction(setting):
    """Multiply the Hessian from both sides with the explicit direction; the control takes a outside the kernel."""
    found, control = [], []
    for problem, (W, B), *_ in [*saddles(setting), *real_saddles(setting)]:
        if critical(problem, (W, B)):
            hessian = problem.hessian(W, B)
            found.append(along(hessian, problem.escape_direction(W, B)))
            if B.any():
                control.append(along(hessian, problem.escape_direction(W, B, np.linalg.svd(B)[2][0])))
    return Measurement(max(found), max(control), count=len(found))


def along(hessian, direction):
    """Return the curvature of the risk along a direction, from the Hessian."""
    flat = np.concatenate([part.ravel() for part in direction])
    return float(flat @ hessian @ flat)


@check("nest.rem1/hessian", instances(22, of="minima"))
def minima_of_the_full_problem(setting):
    """Take the (W_L, W_{L+1}) Hessian at minima of (P) in all weights: twenty explicit ones and the ends of descent."""
    rng = setting.numpy("rem1 control")
    minima = full_minima(setting)[0] + [end for end, *_ in full_minima(setting)[1]]
    control = [ratio(problem.hessian(W, rng.normal(size=B.shape))) for problem, W, B in minima]
    return Measurement(min(ratio(problem.hessian(W, B)) for problem, W, B in minima), min(control), count=len(minima))


@check("nest.cor2/minima", instances(2, of="minima"))
def minima_no_worse_than_linear(setting):
    """Subtract the linear risk at the ends of descent in all weights; the control does so at their starts."""
    reached = full_minima(setting)[1]
    found = [problem.risk(W, B) - least for (problem, W, B), _, least in reached]
    return Measurement(max(found), min(start - least for _, start, least in reached), count=len(found))


@Remembered
def full_minima(setting):
    """Return minima of (P) in all weights: twenty explicit ones, and the ends of six descents that are critical points."""
    rng = setting.numpy("rem1")
    explicit = [explicit_minimum(rng) for _ in range(20)]
    reached = [end for end in (descended(rng) for _ in range(6)) if end is not None]
    demand(len(reached), 2, "number of ends that are minima")
    return explicit, reached


def explicit_minimum(rng):
    """Return a minimum of (P): ReLU blocks active on every sample, the output the best linear predictor."""
    x = np.hstack([rng.normal(size=(60, 2)), np.ones((60, 1))])
    y, state, last = rng.normal(size=(60, 2)), x @ rng.normal(size=(3, 8)), None
    for _ in range(2):
        last, before = state @ rng.normal(size=(8, 1)), state
        last = np.maximum(last + 1 - last.min(), 0)
        W = rng.normal(size=(8, 1))
        state = state + last @ W.T
    best = np.linalg.lstsq(x, y, rcond=None)[0]
    read = np.linalg.lstsq(x, state, rcond=None)[0]
    B = np.linalg.pinv(read) @ best + (np.eye(8) - np.linalg.pinv(read) @ read) @ rng.normal(size=(8, 2))
    return resnests.CoupledProblem(before, last, y), W, B.T


def descended(rng):
    """Return where descent in all weights ends on a small net that learns another, or None if it is no critical point.

    With it come the risk at the start and that of the best linear predictor.
    """
    x = rng.normal(size=(60, 3))
    y = tanh.draw(rng, 3, 2, (1, 1), 8).output(x) + 0.1 * rng.normal(size=(60, 2))
    start = tanh.draw(rng, 3, 2, (1, 1), 8)
    start = start.unflat(0.1 * rng.normal(size=start.flat().size))
    net = tanh.descend_all(start, x, y, steps=400)
    if np.abs(tanh.risk(net, x, y)[1]).max() >= 1e-8:
        return None
    end = tanh.Task(net, x, y).coupled(), net.weights[-2], net.weights[-1]
    return end, tanh.risk(start, x, y)[0], resnests.linear_risk(x, y)


@check("nest.eq10/descent_arrives", instances(20, of="descents"))
@Remembered
def dense_descent_arrives(setting):
    """Run L-BFGS on the DenseNEst's last matrix and on the coupled problem, from starts of size 10."""
    from deepatoms.studies.resnests.checks.identities import dense_features
    rng, single, both = setting.numpy("eq10"), [], []
    for _ in range(20):
        parts, y = dense_features(rng, (4, 3, 2))
        features, start = np.hstack(parts), 10 * rng.normal(size=42)

        def value(point, features=features, y=y):
            error = features @ point.reshape(14, 3) - y
            return (error**2).sum() / len(y), 2 / len(y) * (features.T @ error).ravel()

        end = optimize.minimize(value, start, jac=True, method="L-BFGS-B",
                                options={"maxiter": 500, "ftol": 1e-16, "gtol": 1e-12})
        single.append(end.fun - resnests.augmented_risk(parts, y) < 1e-8)
        problem = tanh.random_task(rng, 3, (4,), inputs=3).coupled().compressed()
        coupled = resnests.lbfgs(problem, 10 * rng.normal(size=(3, 4)), 10 * rng.normal(size=(3, 3)), steps=500)
        both.append(coupled.risk - problem.infimum() < 1e-8)
    return Measurement(float(np.mean(single)), float(np.mean(both)), count=len(single))
