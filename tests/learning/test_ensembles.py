"""Networks trained together end where they would have ended alone."""

import functools

import pytest
import torch

from deepatoms.learning import ensembles
from deepatoms.learning.networks import digits_cnn, sparse
from deepatoms.learning.networks.convolutional import Chain
from deepatoms.learning.training import Recipe, seeded, train
from deepatoms.studies.ml_csc.checks.trained import circular_cnn

INPUTS = torch.rand(3, 40, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.randint(0, 4, (3, 40), generator=torch.Generator().manual_seed(1))


def networks(kind):
    return [sparse.SkipNetwork(kind, 2, 0.5, width=8, classes=4, seed=seed) for seed in range(3)]


@pytest.fixture(autouse=True)
def few_kept(monkeypatch):
    monkeypatch.setattr(sparse.Layer.__init__, "__defaults__", (3, None))


@pytest.mark.parametrize("kind", sparse.KINDS)
def test_together_equals_alone(kind):
    together = train(networks(kind), INPUTS, LABELS, Recipe(2, batch_size=16))
    scores = ensembles.outputs(together, INPUTS)
    for seed, network in enumerate(networks(kind)):
        one = slice(seed, seed + 1)
        alone = train([network], INPUTS[one], LABELS[one], Recipe(2, batch_size=16), [seed])
        torch.testing.assert_close(alone[0](INPUTS[seed]), scores[seed], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", sparse.KINDS)
def test_the_networks_own_way_equals_vmap(kind, monkeypatch):
    quick = train(networks(kind), INPUTS, LABELS, Recipe(2, batch_size=16))
    monkeypatch.delattr(sparse.SkipNetwork, "together")
    for one, other in zip(quick, train(networks(kind), INPUTS, LABELS, Recipe(2, batch_size=16)), strict=True):
        for name, value in one.state_dict().items():
            if not name.endswith("num_batches_tracked"):
                torch.testing.assert_close(value, other.state_dict()[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("build", [functools.partial(digits_cnn, widths=(3, 4)), circular_cnn,
                                   functools.partial(digits_cnn, widths=(3, 4), batch_norm=False)])
def test_convolutions_side_by_side_equal_vmap(build, monkeypatch):
    """In float64, where another order of the sums hardly shows."""
    images = INPUTS.double().repeat(1, 1, 8).reshape(3, 40, 1, 8, 8) + torch.linspace(0, 1, 64).reshape(8, 8)
    models = [seeded(build, seed).double() for seed in range(3)]
    quick = train(models, images, LABELS, Recipe(1, batch_size=16))
    scores = ensembles.outputs(quick, images)
    monkeypatch.delattr(Chain, "together")
    slow = train(models, images, LABELS, Recipe(1, batch_size=16))
    torch.testing.assert_close(scores, ensembles.outputs(slow, images), rtol=1e-7, atol=1e-9)
    for one, other in zip(quick, slow, strict=True):
        for name, value in one.state_dict().items():
            if not name.endswith("num_batches_tracked"):
                torch.testing.assert_close(value, other.state_dict()[name], rtol=1e-7, atol=1e-9)


def test_training_leaves_the_given_networks_alone_and_lowers_the_loss():
    start = [network.eval() for network in networks("resnet")]
    trained = train(start, INPUTS, LABELS, Recipe(200, 0.01))
    assert torch.equal(start[0].readout.weight, networks("resnet")[0].readout.weight) and not start[0].training
    assert not any(network.training for network in trained)
    before, after = ensembles.accuracy(start, INPUTS, LABELS), ensembles.accuracy(trained, INPUTS, LABELS)
    assert (after > before + 0.1).all()


def test_a_part_for_each_network():
    with pytest.raises(ValueError, match="2 parts for 3 networks; stack one part"):
        ensembles.outputs(networks("plain"), INPUTS[:2])


def test_keeping_the_largest_entries_passes_the_gradient_to_all():
    h = torch.tensor([[1.0, -3.0, 2.0]], requires_grad=True)
    kept = sparse.keep_largest(h, 1)
    kept.sum().backward()
    assert kept.tolist() == [[0.0, -3.0, 0.0]] and h.grad.tolist() == [[1.0, 1.0, 1.0]]


def test_more_entries_than_there_are():
    with pytest.raises(ValueError, match="kept = 9 exceeds the width 8"):
        sparse.Layer("sparse", 8, 0.5, kept=9)


@pytest.mark.parametrize("kind", [kind for kind in sparse.KINDS if kind != "sparse"])
def test_a_layer_that_keeps_all_may_be_narrow(kind):
    assert sparse.Layer(kind, 8, 0.5)(torch.ones(3, 8)).shape == (3, 8)
