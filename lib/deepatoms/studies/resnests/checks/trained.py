"""Checks on nets trained in all weights, on diabetes and digits."""

from functools import lru_cache

import numpy as np
import torch
from scipy import optimize
from torch.nn import utils as parametrize

from deepatoms.claims.checking import Measurement, check, instances
from deepatoms.runs.prefetch import Remembered
from deepatoms.studies.resnests import tanh
from deepatoms.studies.resnests.checks.augmented import largest_increase
from deepatoms.theory import resnests

SETS = {"diabetes": 3, "digits": 10}  # and the width of the narrow nets
STEPS = {"diabetes": 300, "digits": 100}  # of training the nets of Corollary 2


SPARE = 16  # rows of M beyond N_in: Assumption 4 needs 15, and all six features would need 18
UNTRAINED = 20  # nets on each data set


def representation_risks(task):
    """Return the least-squares risks of x_0, ..., x_6."""
    return [resnests.linear_risk(state, task.y) for state in task.states]


@Remembered
def trained_task(setting, name):
    """Return the net of Remark 2 on a data set: six blocks of 3, M = N_in + 16, 100 steps, then solved exactly."""
    return tanh.Task(tanh.trained(name, setting.seed, 6, 3, SPARE, 100), *tanh.data(name))


@lru_cache(maxsize=2)
def untrained_tasks(setting):
    """Return nets as those of Remark 2 at their start."""
    rng = setting.numpy("untrained")
    return [tanh.Task(tanh.start(rng, name, 6, 3, SPARE), *tanh.data(name)) for name in SETS for _ in range(UNTRAINED)]


def narrow_task(setting, name, blocks, number):
    """Return a random narrow net on a data set."""
    x, y = tanh.data(name)
    rng = setting.numpy(f"narrow {name} {blocks} {number}")
    return tanh.Task(tanh.draw(rng, x.shape[1], y.shape[1], [3] * blocks, SETS[name]), x, y)


@check("nest.rem2/monotone", instances(2, of="networks"))
def monotone(setting):
    """Fit a linear map from every representation, trained and untrained; take the largest increase from block to block."""
    trained = [trained_task(setting, name) for name in SETS]
    for task in trained:
        resnests.assumption_4(task.net.weights[:6]).demand()
    return Measurement(*(max(np.diff(representation_risks(task)).max() for task in tasks)
                         for tasks in (trained, untrained_tasks(setting))), count=len(trained))


@check("nest.rem2_linear/no_worse", instances(2, of="networks"))
def no_worse_than_the_input(setting):
    """Fit a linear map from every representation x_1, ..., x_6 and from the input; take the largest difference."""
    def excess(task):
        return max(representation_risks(task)[1:]) - resnests.linear_risk(task.x, task.y)

    trained = [excess(trained_task(setting, name)) for name in SETS]
    return Measurement(max(trained), max(excess(narrow_task(setting, name, 6, 0)) for name in SETS), count=len(trained))


@Remembered
def wide_nets(setting, name, steps):
    """Return nets of five widths trained on a data set, then solved exactly."""
    return [tanh.trained(name, setting.seed, 3, 3, spare, steps) for spare in (6, 8, 10, 12, 14)]


@check("nest.cor2/trained", instances(10, of="networks"))
def no_worse_than_linear(setting):
    """Train nets of five widths on both data sets, solve the last two matrices exactly and subtract the linear risk."""
    found, control = [], []
    for name, steps in STEPS.items():
        x, y = tanh.data(name)
        linear = resnests.linear_risk(x, y)
        found += [((net.output(x) - y) ** 2).sum() / len(y) - linear for net in wide_nets(setting, name, steps)]
        control += [narrow_task(setting, name, 3, number).coupled().infimum() - linear for number in range(10)]
    return Measurement(max(found), max(control), count=len(found))


@lru_cache(maxsize=4)
def random_tasks(setting, width, count):
    """Return random nets of six blocks of 3 on diabetes."""
    x, y = tanh.data("diabetes")
    rng = setting.numpy(f"wide {width}")
    return [tanh.Task(tanh.draw(rng, 11, 1, [3] * 6, width), x, y) for _ in range(count)]


@lru_cache(maxsize=2)
def training_increase(setting):
    """Return the largest increase of the least training risk over the trained nets and 100 random wide ones."""
    return max(largest_increase(task) for task in wide_tasks(setting))


def wide_tasks(setting):
    """Return the trained nets and 100 random wide ones."""
    return [*(trained_task(setting, name) for name in SETS), *random_tasks(setting, 32, 100)]


@check("nest.wide/training_risk", instances(102, of="networks"))
def adding_blocks(setting):
    """Solve the last two matrices for the first l blocks, l = 1..6, and take the largest increase of the training risk."""
    return Measurement(training_increase(setting), max(largest_increase(task) for task in random_tasks(setting, 3, 20)),
                       count=len(wide_tasks(setting)))


@check("nest.wide/held_out_risk", instances(100, of="networks"))
def adding_blocks_held_out(setting):
    """Solve on one half of diabetes and measure on the other, five of the random wide nets for each of twenty halves."""
    increases = held_out_increases(setting, shuffled=False)
    found = float(np.mean(increases))
    control = training_increase(setting) if found > 1e-8 else float(np.mean(held_out_increases(setting, shuffled=True)))
    return Measurement(found, control, count=len(increases))


HALVES = 20


def held_out_increases(setting, shuffled):
    """Return each net's largest increase of the held-out risk, five nets on each half."""
    rng, increases = setting.numpy("halves"), []
    for half in range(HALVES):
        order = rng.permutation(442)
        fitted, held_out = order[:221], order[221:]
        targets = rng.permutation(221) if shuffled else np.arange(221)
        nets = random_tasks(setting, 32, 100)[5 * half:5 * half + 5]
        increases += [np.diff(held_out_risks(task, fitted, held_out, fitted[targets])).max() for task in nets]
    return increases


def held_out_risks(task, fitted, held_out, targets):
    """Return the held-out risks for l = 1..6 blocks, W_l and W_{l+1} solved for on the fitted samples."""
    risks = []
    for blocks in range(1, 7):
        seen = np.hstack([task.states[blocks - 1], task.features[blocks]])
        heads = np.linalg.lstsq(seen[fitted], task.y[targets], rcond=1e-10)[0]
        risks.append(((seen[held_out] @ heads - task.y[held_out]) ** 2).sum() / len(held_out))
    return risks


GROWTHS = (3, 3, 3)  # of the trained DenseNEsts


@check("nest.prop3/trained", instances(2, of="networks"))
def trained_dense(setting):
    """Train all weights of a DenseNEst on both data sets and subtract the linear risk; the control does so before training."""
    found = [dense_training(setting, name, steps) for name, steps in STEPS.items()]
    return Measurement(max(end - least for _, end, least in found), min(start - least for start, _, least in found),
                       count=len(found))


@Remembered
def dense_training(setting, name, steps):
    """Return a DenseNEst's risk before and after L-BFGS in all weights, nothing solved, and the best linear risk."""
    x, y = map(torch.as_tensor, tanh.data(name))
    net = resnests.random_densenest(x.shape[1], y.shape[1], GROWTHS, setting.torch(f"dense {name}"))
    weights = list(net.parameters())

    def value(point):
        parametrize.vector_to_parameters(torch.as_tensor(point), weights)
        risk = ((net(x) - y) ** 2).sum(1).mean()
        return risk.item(), parametrize.parameters_to_vector(torch.autograd.grad(risk, weights)).numpy()

    start = parametrize.parameters_to_vector(weights).detach().numpy()
    end = optimize.minimize(value, start, jac=True, method="L-BFGS-B", options={"maxiter": steps, "maxfun": 5 * steps})
    return value(start)[0], end.fun, resnests.linear_risk(*tanh.data(name))
