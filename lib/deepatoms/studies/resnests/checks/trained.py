"""Checks on nets trained in all weights, on diabetes and digits."""

from functools import lru_cache

import numpy as np

from deepatoms.claims.checking import Measurement, check, experiment, instances
from deepatoms.runs.prefetch import Remembered
from deepatoms.studies.resnests import tanh
from deepatoms.studies.resnests.checks.augmented import largest_increase
from deepatoms.theory import resnests

SETS = {"diabetes": 3, "digits": 10}  # and the width of the narrow nets
STEPS = {"diabetes": 300, "digits": 100}  # of training the nets of Corollary 2


@lru_cache(maxsize=4)
def representation_risks(setting, narrow=False):
    """Return the least-squares risks of x_0, ..., x_6, on each data set, of trained wide nets or random narrow ones."""
    return [[resnests.linear_risk(state, task.y) for state in task.states]
            for task in (narrow_task(setting, name, 6, 0) if narrow else trained_task(setting, name) for name in SETS)]


@Remembered
def trained_task(setting, name):
    """Return the net of Remark 2 on a data set: six blocks of 3, M = N_in + 21, 100 steps, then solved exactly."""
    return tanh.Task(tanh.trained(name, setting.seed, 6, 3, 21, 100), *tanh.data(name))


def narrow_task(setting, name, blocks, number):
    """Return a random narrow net on a data set."""
    x, y = tanh.data(name)
    rng = setting.numpy(f"narrow {name} {blocks} {number}")
    return tanh.Task(tanh.draw(rng, x.shape[1], y.shape[1], [3] * blocks, SETS[name]), x, y)


@check("nest.rem2/monotone", experiment(1))
def monotone(setting):
    """Fit a linear map from every representation of the trained nets; take the largest increase from block to block."""
    return Measurement(*(max(np.diff(risks).max() for risks in representation_risks(setting, narrow))
                         for narrow in (False, True)))


@check("nest.rem2_linear/no_worse", experiment(1))
def no_worse_than_the_input(setting):
    """Fit a linear map from every representation x_1, ..., x_6 and from the input; take the largest difference."""
    inputs = [resnests.linear_risk(*tanh.data(name)) for name in SETS]
    return Measurement(*(max(max(risks[1:]) - least for risks, least in
                             zip(representation_risks(setting, narrow), inputs, strict=True)) for narrow in (False, True)))


@Remembered
def wide_nets(setting, name, steps):
    """Return nets of five widths trained on a data set, then solved exactly."""
    return [tanh.trained(name, setting.seed, 3, 3, spare, steps) for spare in (6, 8, 10, 12, 14)]


@check("nest.cor2/trained", experiment(10))
def no_worse_than_linear(setting):
    """Train nets of five widths on both data sets, solve the last two matrices exactly and subtract the linear risk."""
    found, control = [], []
    for name, steps in STEPS.items():
        x, y = tanh.data(name)
        linear = resnests.linear_risk(x, y)
        found += [((net.output(x) - y) ** 2).sum() / len(y) - linear for net in wide_nets(setting, name, steps)]
        control += [narrow_task(setting, name, 3, number).coupled().infimum() - linear for number in range(10)]
    return Measurement(max(found), max(control))


@lru_cache(maxsize=4)
def random_tasks(setting, width, count):
    """Return random nets of six blocks of 3 on diabetes."""
    x, y = tanh.data("diabetes")
    rng = setting.numpy(f"wide {width}")
    return [tanh.Task(tanh.draw(rng, 11, 1, [3] * 6, width), x, y) for _ in range(count)]


@lru_cache(maxsize=2)
def training_increase(setting):
    """Return the largest increase of the least training risk over the trained nets and 100 random wide ones."""
    tasks = [*(trained_task(setting, name) for name in SETS), *random_tasks(setting, 32, 100)]
    return max(largest_increase(task) for task in tasks)


@check("nest.wide/training_risk", instances(102))
def adding_blocks(setting):
    """Solve the last two matrices for the first l blocks, l = 1..6, and take the largest increase of the training risk."""
    return Measurement(training_increase(setting), max(largest_increase(task) for task in random_tasks(setting, 3, 20)))


@check("nest.wide/held_out_risk", experiment(20))
def adding_blocks_held_out(setting):
    """Solve on one half of diabetes and measure on the other, five of the random wide nets for each of twenty halves."""
    found = held_out_increase(setting, shuffled=False)
    return Measurement(found, training_increase(setting) if found > 1e-8 else held_out_increase(setting, shuffled=True))


def held_out_increase(setting, shuffled):
    """Return the mean over halves of the largest increase of the held-out risk."""
    rng, increases = setting.numpy("halves"), []
    for half in range(20):
        order = rng.permutation(442)
        fitted, held_out = order[:221], order[221:]
        targets = rng.permutation(221) if shuffled else np.arange(221)
        nets = random_tasks(setting, 32, 100)[5 * half:5 * half + 5]
        increases.append(max(np.diff(held_out_risks(task, fitted, held_out, fitted[targets])).max() for task in nets))
    return float(np.mean(increases))


def held_out_risks(task, fitted, held_out, targets):
    """Return the held-out risks for l = 1..6 blocks, W_l and W_{l+1} solved for on the fitted samples."""
    risks = []
    for blocks in range(1, 7):
        seen = np.hstack([task.states[blocks - 1], task.features[blocks]])
        heads = np.linalg.lstsq(seen[fitted], task.y[targets], rcond=1e-10)[0]
        risks.append(((seen[held_out] @ heads - task.y[held_out]) ** 2).sum() / len(held_out))
    return risks
