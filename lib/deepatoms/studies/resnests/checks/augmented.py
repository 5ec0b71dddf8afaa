"""Checks of the augmented problem: convexity, the gap, linear predictability, refitting, nested features."""

from functools import lru_cache

import numpy as np

from deepatoms.claims.checking import Measurement, check, instances
from deepatoms.runs.prefetch import Remembered
from deepatoms.studies.resnests import tanh
from deepatoms.theory import resnests

DECIDED = 1e-10


@lru_cache(maxsize=2)
def tasks(setting):
    """Return 1,000 random problems inside the hypotheses: N_in = 5, N_o = 3, three blocks of 4, M = 16."""
    rng = setting.numpy("tasks")
    return [tanh.random_task(rng) for _ in range(1000)]


def risk_at(features, y, heads):
    """Return the augmented risk at given heads."""
    return float(((sum(v @ head.T for v, head in zip(features, heads, strict=True)) - y) ** 2).sum()) / len(y)


def coupled(task, features):
    """Return the coupled problem of the task's width with two features in place of its own."""
    return resnests.CoupledProblem(features[0] @ task.net.weights[0].T, features[1], task.y)


@check("nest.prop2/hessian", instances(200, of="problems"))
def convex(setting):
    """Compare the extreme eigenvalues of the augmented Hessian, squared loss and cross-entropy at random weights."""
    rng, found, control = setting.numpy("prop2"), [], []
    for task in tasks(setting)[:200]:
        logits = sum(v @ rng.normal(size=(v.shape[1], 3)) for v in task.features)
        found += [ratio(resnests.augmented_hessian(task.features)), ratio(resnests.augmented_hessian(task.features, logits))]
        problem = task.coupled()
        control.append(ratio(problem.hessian(*problem.critical_point([]))))
    return Measurement(min(found), min(control), count=len(control))


def ratio(hessian):
    """Return the smallest eigenvalue divided by the largest."""
    values = np.linalg.eigvalsh(hessian)
    return values[0] / values[-1]


@check("nest.prop2_gap/gap", instances(1000, of="problems"))
def gap(setting):
    """Compute epsilon in closed form for six widths in turn, and from the ends of L-BFGS on twenty of the problems."""
    rng, found, control = setting.numpy("gap"), [], []
    for number in range(1000):
        task = tanh.random_task(rng, width=(2, 4, 8, 12, 16, 20)[number % 6])
        problem, least = task.coupled(), resnests.augmented_risk(task.features, task.y)
        found.append(problem.infimum() - least)
        control.append(problem.infimum() - resnests.augmented_risk(task.features[:-1], task.y))
        if number < 20:
            start = 0.1 * rng.normal(size=(problem.sizes[0], 4)), 0.1 * rng.normal(size=(3, problem.sizes[0]))
            found.append(resnests.lbfgs(problem.compressed(), *start, steps=500).risk - least)
    return Measurement(min(found), min(control), count=len(control))


def drops(features, y, heads):
    """Tell whether the printed inequality holds: the risk falls when the second feature's weight is added."""
    return risk_at(features[:1], y, heads[:1]) > risk_at(features, y, heads) + DECIDED


def in_turn(features, y):
    """Return a minimiser for predictable second features: the first fitted alone, the second to what it leaves."""
    first = resnests.augmented_optimum(features[:1], y)[0]
    return [first, resnests.augmented_optimum(features[1:], y - features[0] @ first.T)[0]]


@check("nest.q1/literal", instances(100, of="problems"))
def literal_question(setting):
    """Repeat the input and count where the inequality holds: at split weights and, as the control, at weights fitted in turn."""
    wrong, control, found = 0, 0, tasks(setting)[:100]
    for task in found:
        twice = [task.x, task.x]
        half = resnests.augmented_optimum(task.features[:1], task.y)[0] / 2
        for heads in ([half, half], in_turn(twice, task.y)):
            demand_minimiser(twice, task.y, heads)
        wrong += drops(twice, task.y, [half, half])
        control += drops(twice, task.y, in_turn(twice, task.y))
    return Measurement(int(wrong), int(control), count=len(found))


def demand_minimiser(features, y, heads):
    """Refuse heads whose risk is not the least, or features of which the second is not predictable."""
    excess, new = risk_at(features, y, heads) - resnests.augmented_risk(features, y), resnests.unpredictability(features)[0]
    if max(abs(excess), new) > DECIDED:
        raise ValueError(f"excess risk = {excess:.2g}, unpredictable share = {new:.2g}: both must be below {DECIDED}")


@check("nest.q1/every_minimiser", instances(1000, of="problems"))
@Remembered
def every_minimiser(setting):
    """Move all weight onto the input by a regression of v_1 on v_0; count where that is no minimiser, or the risk drops."""
    rng, wrong, control = setting.numpy("minimisers"), 0, 0
    for task in tasks(setting):
        wrong += resists([task.x, task.x @ rng.normal(size=(5, 4))], task.y)
        control += resists(task.features[:2], task.y)
    return Measurement(int(wrong), int(control), count=len(tasks(setting)))


def resists(features, y):
    """Tell whether the least-norm minimiser with the weight of v_1 moved onto v_0 is no minimiser, or the inequality holds."""
    first, second = resnests.augmented_optimum(features, y)
    regression = np.linalg.lstsq(features[0], features[1], rcond=None)[0]  # v_1 = v_0 C where v_1 is predictable
    moved = [first + second @ regression.T, np.zeros_like(second)]
    excess = risk_at(features, y, moved) - resnests.augmented_risk(features, y)
    return excess > DECIDED or drops(features, y, moved)


@check("nest.q1/refitted", instances(1000, of="problems"))
@Remembered
def predictable_changes_nothing(setting):
    """Refit after adding a random linear combination of the earlier features; the control adds a tanh block's."""
    rng, found, control = setting.numpy("refitted"), [], []
    for task in tasks(setting):
        earlier = task.features[:3]
        predictable = np.hstack(earlier) @ rng.normal(size=(13, 4))
        before = resnests.augmented_risk(earlier, task.y)
        found.append(before - resnests.augmented_risk([*earlier, predictable], task.y))
        control.append(before - resnests.augmented_risk(task.features, task.y))
    return Measurement(max(found), max(control), count=len(found))


@check("nest.cor2_strict/literal", instances(100, of="problems"))
def literal_strictness(setting):
    """Repeat the input, split its weight, and count where the printed condition holds but nothing beats linear."""
    wrong, control, found = 0, 0, tasks(setting)[:100]
    for task in found:
        half = resnests.augmented_optimum(task.features[:1], task.y)[0] / 2
        wrong += strict_yet_equal(task, [task.x, task.x], [half, half])
        control += strict_yet_equal(task, task.features[:2], resnests.augmented_optimum(task.features[:2], task.y))
    return Measurement(wrong, control, count=len(found))


def strict_yet_equal(task, features, heads):
    """Tell whether A(H_0, 0) > A(H) although the least risk equals that of the best linear predictor."""
    gain = resnests.linear_risk(task.x, task.y) - coupled(task, features).infimum()
    return int(drops(features, task.y, heads) and abs(gain) <= DECIDED)


def without_gain(task):
    """Return the task with targets whose residual on x is orthogonal to both features: no feature helps."""
    both, linear = np.hstack(task.features[:2]), np.linalg.lstsq(task.x, task.y, rcond=None)[0]
    basis = np.linalg.qr(both)[0]
    noise = task.y - basis @ (basis.T @ task.y)
    return tanh.Task(task.net, task.x, task.x @ linear + noise)


@check("nest.cor2_strict/unique_minimiser", instances(1000, of="problems"))
@Remembered
def unique_strictness(setting):
    """Count the same with a nonsingular Gram matrix; in every second problem no feature helps."""
    wrong, control = 0, 0
    for number, task in enumerate(tasks(setting)):
        case = without_gain(task) if number % 2 else task
        resnests.assumption_1(np.hstack(case.features[:2]), case.y).demand()
        wrong += strict_yet_equal(case, case.features[:2], resnests.augmented_optimum(case.features[:2], case.y))
        half = resnests.augmented_optimum(task.features[:1], task.y)[0] / 2
        control += strict_yet_equal(task, [task.x, task.x], [half, half]) if number < 100 else 0
    return Measurement(wrong, control, count=len(tasks(setting)))


@check("nest.cor2_strict/refitted", instances(1000, of="problems"))
@Remembered
def refitted_strictness(setting):
    """Count disagreements between the refitted drop and the gain over linear: generic, no gain, repeated input in turn."""
    wrong, control = 0, 0
    for number, task in enumerate(tasks(setting)):
        case = without_gain(task) if number % 3 == 1 else task
        features = [case.x, case.x] if number % 3 == 2 else case.features[:2]
        linear = resnests.linear_risk(case.x, case.y)
        gains = linear - coupled(case, features).infimum() > DECIDED
        wrong += (resnests.augmented_risk(features[:1], case.y) - resnests.augmented_risk(features, case.y) > DECIDED) != gains
        if number % 3 == 2:
            half = resnests.augmented_optimum(features[:1], case.y)[0] / 2
            control += (risk_at(features[:1], case.y, [half]) - linear > DECIDED) != gains
    return Measurement(int(wrong), int(control), count=len(tasks(setting)))


@Remembered
def nested_increases(setting, width, count):
    """Return, for random nets of six blocks of 4, the largest increase of the least risk from L to L + 1 blocks."""
    rng = setting.numpy(f"nested {width}")
    return [largest_increase(tanh.random_task(rng, width, (4,) * 6, samples=60)) for _ in range(count)]


def largest_increase(task):
    """Return the largest increase of the least risk over (W_l, W_{l+1}) from l to l + 1 blocks."""
    return max(np.diff([task.coupled(blocks).infimum() for blocks in range(1, len(task.net.blocks) + 1)]))


@check("nest.cor1/nested", instances(1000, of="networks"))
def nested(setting):
    """Compare the closed-form least risks of the first L and L + 1 blocks of one net, W_L random once block L + 1 is there."""
    found = nested_increases(setting, 28, 1000)
    return Measurement(max(found), max(nested_increases(setting, 3, 100)), count=len(found))


@check("nest.cor1/unrelated", instances(100, of="pairs of networks"))
def unrelated(setting):
    """Compare unrelated nets of three and two blocks; in every second pair the larger net's blocks are saturated."""
    rng, found = setting.numpy("unrelated"), []
    for number in range(100):
        larger, smaller = (tanh.random_task(rng, 28, (4,) * blocks) for blocks in (3, 2))
        net = larger.net
        if number % 2:
            net = tanh.Net(net.weights, tuple((T, b + 30) for T, b in net.blocks))
        same_data = tanh.Task(net, smaller.x, smaller.y)
        found.append(same_data.coupled().infimum() - smaller.coupled().infimum())
    return Measurement(max(found), max(nested_increases(setting, 28, 1000)), count=len(found))
