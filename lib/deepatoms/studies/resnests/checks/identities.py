"""Checks of what holds exactly: equations, figures, constructions, parameter counts."""

from functools import lru_cache

import numpy as np
import torch
from torch import nn

from deepatoms.claims.checking import EXHAUSTIVE, Measurement, check, instances
from deepatoms.learning.networks import wide_residual
from deepatoms.runs.prefetch import Remembered
from deepatoms.studies.resnests import tanh
from deepatoms.theory import resnests

NETS = 200


class Given(nn.Module):
    """A block that puts out what it was given, whatever comes in."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, x):
        return self.value


def distance(one, other):
    """Return the norm of a difference over the norm of the first, both over the whole batch."""
    return float(((one - other).norm() / one.norm()).detach())


@lru_cache(maxsize=2)
def nets(setting):
    """Return 200 random ResNEsts with inputs (N_in = 5, N_o = 3, three blocks of 4, M = 16, 20 samples)."""
    generator = setting.torch("resnests")
    return [(resnests.random_resnest(5, 3, [4, 4, 4], 16, generator), normal(generator, 20, 5)) for _ in range(NETS)]


@lru_cache(maxsize=2)
def dense_nets(setting):
    """Return 200 random DenseNEsts with inputs (N_in = 5, N_o = 3, D = 4, 3, 2, 20 samples)."""
    generator = setting.torch("densenests")
    return [(resnests.random_densenest(5, 3, [4, 3, 2], generator), normal(generator, 20, 5)) for _ in range(NETS)]


def normal(generator, *shape):
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def superposition(function, one, other):
    """Return by how much function(2 v - 3 v') differs from 2 function(v) - 3 function(v')."""
    mixed = [2 * v - 3 * w for v, w in zip(one, other, strict=True)]
    return distance(function(mixed), 2 * function(one) - 3 * function(other))


@check("nest.fig1/superposition", instances(NETS, of="networks"))
@torch.no_grad()
def residual_superposition(setting):
    """Run the module with its block outputs replaced by two draws of features and by their combination."""
    generator, found, control = setting.torch("fig1"), [], []
    for net, _ in nets(setting):
        one, other = ([normal(generator, 20, size) for size in (5, 4, 4, 4)] for _ in range(2))

        def output(features, net=net, last=nn.Identity()):  # noqa: B008
            states = resnests.ResNEst(list(net.weights), torch.eye(16, dtype=torch.float64), [Given(v) for v in features[1:]])
            return last(states(features[0])) @ net.prediction.T

        found.append(superposition(output, one, other))
        control.append(superposition(lambda features, output=output: output(features, last=nn.ReLU()), one, other))
    return Measurement(max(found), max(control), count=len(found))


@check("nest.eq2/unrolled", instances(NETS, of="networks"))
@torch.no_grad()
def unrolled(setting):
    """Compute the features by the sum of Eq. 3 and the output by Eq. 2, against the module's recursion."""
    def summed(net, x, upto):
        features = [x]
        for i, block in enumerate(net.blocks):
            seen = max(1, i + upto)
            features.append(block(sum(v @ w.T for v, w in zip(features[:seen], net.weights, strict=False))))
        return sum(v @ w.T for v, w in zip(features, net.weights, strict=True)) @ net.prediction.T

    return Measurement(max(distance(net(x), summed(net, x, 1)) for net, x in nets(setting)),
                       max(distance(net(x), summed(net, x, 0)) for net, x in nets(setting)), count=len(nets(setting)))


@check("nest.fig2/contains", instances(NETS, of="networks"))
@torch.no_grad()
def contains(setting):
    """Set H_i = W_{L+1} W_i in an A-ResNEst and compare with the ResNEst's forward pass."""
    def exchanged(net):
        heads = list(resnests.augment(net).heads)
        return resnests.AResNEst([heads[0], heads[2], heads[1], heads[3]], net)

    return Measurement(max(distance(net(x), resnests.augment(net)(x)) for net, x in nets(setting)),
                       max(distance(net(x), exchanged(net)(x)) for net, x in nets(setting)), count=len(nets(setting)))


@check("nest.fig3/linear", instances(NETS, of="networks"))
@torch.no_grad()
def dense_superposition(setting):
    """Vary the outputs x, Q_1, ..., Q_L of the blocks freely (D_i = N_in = 5) and test superposition."""
    generator, found, control = setting.torch("fig3"), [], []
    for _ in range(NETS):
        prediction = normal(generator, 3, 20)
        one, other = ([normal(generator, 20, 5) for _ in range(4)] for _ in range(2))

        def output(parts, prediction=prediction):
            return resnests.DenseNEst(prediction, [Given(q) for q in parts[1:]])(parts[0])

        def product(parts, prediction=prediction):
            return torch.stack(parts).prod(0) @ prediction[:, :5].T

        found.append(superposition(output, one, other))
        control.append(superposition(product, one, other))
    return Measurement(max(found), max(control), count=len(found))


@check("nest.fig4/equal", instances(NETS, of="networks"))
@torch.no_grad()
def growing_chain(setting):
    """Write each dense block as one map with growing width, f(s) = P s + R Q(s), and compare the outputs."""
    def chain(net, x, newest):
        identity, state, before = torch.eye(14, dtype=torch.float64), x, 0
        for block in net.blocks:
            seen = state * (torch.arange(state.shape[1]) >= before) if newest else state
            new, before = block(seen), state.shape[1]
            wide = before + new.shape[1]
            state = state @ identity[:before, :wide] + new @ identity[before:wide, :wide]
        return state @ net.prediction.T

    found, control = ([float((net(x) - chain(net, x, newest)).abs().max()) for net, x in dense_nets(setting)]
                      for newest in (False, True))
    return Measurement(max(found), max(control), count=len(found))


@check("nest.prop4/equal", instances(NETS, of="networks"))
@torch.no_grad()
def equivalent_resnest(setting):
    """Build the wide ResNEst of every DenseNEst and compare the two forward passes."""
    def occupied(net):
        weights = [torch.roll(weight, -4 if i else 0, 0) for i, weight in enumerate(net.weights)]
        return resnests.ResNEst(weights, net.prediction, list(net.blocks))

    wide = [(net, x, resnests.dense_to_resnest(net, 5)) for net, x in dense_nets(setting)]
    return Measurement(max(float((net(x) - same(x)).abs().max()) for net, x, same in wide),
                       max(float((net(x) - occupied(same)(x)).abs().max()) for net, x, same in wide), count=len(wide))


@check("nest.orthogonal/orthogonal", instances(NETS, of="networks"))
@torch.no_grad()
def orthogonal(setting):
    """Compare the Gram matrix of all columns of [W_0 ... W_L] with the identity."""
    def excess(weights):
        together = torch.cat(list(weights), 1)
        return float((together.T @ together - torch.eye(together.shape[1], dtype=torch.float64)).abs().max())

    found = [excess(resnests.dense_to_resnest(net, 5).weights) for net, _ in dense_nets(setting)]
    return Measurement(max(found), max(excess(net.weights) for net, _ in nets(setting)), count=len(found))


# Standard and BN-ResNEst, ResNEst, A-ResNEst; from the structure of the authors' models.py, as the catalogue prints them.
COUNTS = {
    ("wrn-16-8", 10): (11_091_594, 11_090_570, 8_744_164), ("wrn-40-4", 10): (8_977_226, 8_976_714, 8_411_420),
    ("resnet-110", 10): (1_730_522, 1_730_394, 1_713_620), ("resnet-20", 10): (272_282, 272_154, 238_130),
    ("wrn-16-8", 100): (11_137_764, 11_136_740, 8_906_344), ("wrn-40-4", 100): (9_000_356, 8_999_844, 8_655_320),
    ("resnet-110", 100): (1_736_372, 1_736_244, 1_900_280), ("resnet-20", 100): (278_132, 278_004, 269_540)}


@check("nest.tab_params/counts", EXHAUSTIVE)
@Remembered
def parameter_counts(setting):
    """Count the parameters of all 32 networks, built without memory."""
    wrong, control = 0, 0
    with torch.device("meta"):
        for (name, classes), (standard, plain, augmented) in COUNTS.items():
            for variant in wide_residual.VARIANTS:
                net = wide_residual.authors_network(name, variant, classes)
                printed = {"resnest": plain, "a-resnest": augmented}.get(variant, standard)
                wrong += _size(net) != printed
                control += _size(net) + _thinner(net, wide_residual.SIZES[name][0][0]) != printed
    return Measurement(wrong, control)


def _thinner(net, first):
    """Return how the count changes when the network starts at 16 channels, not at its first stage's width."""
    return (_size(nn.Conv2d(3, 16, 3, bias=False)) - _size(net.expand)
            + _size(wide_residual.Block(16, first)) - _size(net.blocks[0]))


def _size(module):
    return sum(parameter.numel() for parameter in module.parameters())


def dense_features(rng, growths, samples=120):
    """Return the features of a random DenseNEst as arrays, and targets as for ``tanh.random_task``."""
    inputs = 5
    x = rng.normal(size=(samples, inputs))
    y = x @ rng.normal(size=(inputs, 3)) / np.sqrt(inputs) + rng.normal(size=(samples, 3))
    return dense_parts(rng, x, growths), y


def dense_parts(rng, x, growths):
    """Return x, Q_1, ..., Q_L for random tanh blocks."""
    parts = [x]
    for count in growths:
        seen = np.hstack(parts)
        weight = rng.normal(size=(count, seen.shape[1])) / np.sqrt(seen.shape[1])
        parts.append(np.tanh(seen @ weight.T + rng.normal(size=count) / np.sqrt(seen.shape[1])))
    return parts


@check("nest.prop3/no_worse", instances(1002, of="networks"))
@Remembered
def dense_no_worse(setting):
    """Solve the prediction weights exactly at random features (diabetes, digits, 1,000 draws); subtract the linear risk."""
    rng = setting.numpy("prop3")
    sets = [dense_features(rng, (4, 3, 2)) for _ in range(1000)]
    sets += [(dense_parts(rng, tanh.data(name)[0], (4, 3, 2)), tanh.data(name)[1]) for name in ("diabetes", "digits")]
    linear = [resnests.linear_risk(parts[0], y) for parts, y in sets]
    return Measurement(max(resnests.augmented_risk(parts, y) - least for (parts, y), least in zip(sets, linear, strict=True)),
                       max(resnests.augmented_risk(parts[1:], y) - least
                           for (parts, y), least in zip(sets, linear, strict=True)), count=len(sets))


@check("nest.prop4_gap/gap", instances(1000, of="networks"))
@Remembered
def dense_gap(setting):
    """Compute epsilon of the equivalent ResNEst in closed form after checking Assumptions 3 and 4."""
    rng, identity = setting.numpy("prop4"), np.eye(14)
    resnests.assumption_3(14, 3).demand()
    resnests.assumption_4([identity[:, :5], identity[:, 5:9], identity[:, 9:12]]).demand()
    found, control = [], []
    for _ in range(1000):
        parts, y = dense_features(rng, (4, 3, 2))
        previous = np.hstack(parts[:3]) @ identity[:12]
        found.append(abs(resnests.coupling_gap(parts, previous, y)))
        control.append(abs(resnests.coupling_gap(parts, previous[:, :11], y)))
    return Measurement(max(found), max(control), count=len(found))


@check("nest.dense_superior/fewer_assumptions", instances(1000, of="networks"))
@Remembered
def fewer_assumptions(setting):
    """Count random DenseNEsts, and narrow ResNEsts with as many features, whose least risk exceeds the linear one."""
    rng, wrong = setting.numpy("superior"), []
    for number in range(1000):
        growths = rng.integers(1, 5, size=1 + number % 4)
        parts, y = dense_features(rng, growths)
        least = resnests.linear_risk(parts[0], y)
        narrow = tanh.Task(tanh.draw(rng, 5, 3, growths, 3), parts[0], y).coupled().infimum()
        wrong.append([resnests.augmented_risk(parts, y) > least + 1e-10, narrow > least + 1e-10])
    return Measurement(*map(int, np.sum(wrong, axis=0)), count=len(wrong))
