"""The array version of tanh ResNEsts equals the torch module, and its derivatives equal automatic differentiation."""

import numpy as np
import torch

from deepatoms.studies.resnests import tanh
from deepatoms.theory import resnests

RNG = np.random.default_rng(0)
NET = tanh.draw(RNG, 3, 2, (2, 1), 6)
X, Y = RNG.normal(size=(9, 3)), RNG.normal(size=(9, 2))


def module(net):
    weights = [torch.tensor(part) for part in net.weights]
    blocks = [resnests.TanhBlock(torch.tensor(T), torch.tensor(b)) for T, b in net.blocks]
    return resnests.ResNEst(weights[:-1], weights[-1], blocks)


def test_arrays_equal_the_module():
    features, states = module(NET).trace(torch.tensor(X))
    for ours, theirs in zip([*NET.trace(X)[0], *NET.trace(X)[1]], [*features, *states], strict=True):
        np.testing.assert_allclose(ours, theirs.detach().numpy(), atol=1e-14)
    np.testing.assert_allclose(NET.output(X), module(NET)(torch.tensor(X)).detach().numpy(), atol=1e-14)


def test_gradient_equals_automatic_differentiation_and_the_jacobian():
    net = module(NET)
    ((net(torch.tensor(X)) - torch.tensor(Y)) ** 2).sum().div(9).backward()
    blocks = [part for block in net.blocks for part in (block.weight, block.bias)]
    theirs = torch.cat([part.grad.flatten() for part in [*net.weights, net.prediction, *blocks]]).numpy()
    np.testing.assert_allclose(tanh.risk(NET, X, Y)[1], theirs, atol=1e-13)
    pulled = tanh.jacobian(NET, X).T @ (NET.output(X) - Y).ravel() * 2 / 9
    np.testing.assert_allclose(pulled, theirs, atol=1e-13)


def test_flat_and_back_is_the_same_net():
    np.testing.assert_array_equal(NET.unflat(NET.flat()).flat(), NET.flat())  # only moved about, so to the last bit


def test_solving_the_last_two_matrices_reaches_the_infimum():
    x = np.hstack([RNG.normal(size=(60, 3)), np.ones((60, 1))])
    task = tanh.Task(tanh.draw(RNG, 4, 2, (2, 3), 12), x, RNG.normal(size=(60, 2)))
    output = tanh.solved(task.net, task.x, task.y).output(task.x)
    assert abs(((output - task.y) ** 2).sum() / 60 - task.coupled().infimum()) < 1e-12
