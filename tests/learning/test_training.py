"""The authors' networks have the authors' parameter counts; training is a function of its seed."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from deepatoms.learning import ensembles, training
from deepatoms.learning.networks import digits_cnn, large_cnn, relu_network, residual_cnn, small_cnn
from deepatoms.studies.resnests import digits
from deepatoms.studies.spline_partitions import moons, neighbourhoods, penalties
from deepatoms.studies.spline_templates import inner_products


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("build, shape, classes, parameters, features", [
    (small_cnn, (3, 32, 32), 10, 39_456, 1152), (small_cnn, (3, 32, 32), 100, 143_136, 1152),
    (large_cnn, (3, 32, 32), 10, 1_386_144, 1728), (large_cnn, (3, 32, 32), 100, 1_541_664, 1728),
    (large_cnn, (1, 28, 28), 10, 1_374_816, 768), (small_cnn, (1, 28, 28), 10, 32_480, 512)])
def test_parameter_counts(build, shape, classes, parameters, features):
    model = build(shape, classes)
    assert count(model) == parameters
    assert model[-1].in_features == features


def test_too_small_images_are_refused():
    with pytest.raises(ValueError, match="digits_cnn"):
        small_cnn((1, 8, 8))


def images_and_labels(count):
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 2, (count,), generator=generator)
    return torch.randn(count, 1, 8, 8, generator=generator) + labels[:, None, None, None], labels


def test_training_is_a_function_of_its_seed_and_learns():
    images, labels = images_and_labels(200)
    model = training.seeded(digits_cnn, 0, classes=2, widths=(4, 4))
    ends = [training.train_one(model, images, labels, training.Recipe(6, 0.01, 20), seed) for seed in (0, 0, 1)]
    assert torch.equal(ends[0][-1].weight, ends[1][-1].weight) and not torch.equal(ends[0][-1].weight, ends[2][-1].weight)
    assert float(ensembles.accuracy(ends[:1], images[None], labels[None])) > 0.9


def plain_loop(model, images, labels, optimizer, batches, rates):
    """The textbook loop with torch's own optimizer and schedule."""
    model.train()
    for rate, order in zip(rates, batches, strict=True):
        optimizer.param_groups[0]["lr"] = rate
        for batch in order:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
    return model.eval()


def batches(count, size, epochs, seed):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randperm(count, generator=generator).split(size) for _ in range(epochs)]


def assert_same(model, other):
    found = other.state_dict()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, found[name], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("count", [60, 53])
def test_adam_takes_the_steps_of_the_textbook_loop(count):
    images, labels = images_and_labels(count)
    images, build = images.double(), lambda: training.seeded(digits_cnn, 3, classes=2, widths=(4, 4)).double()
    expected = build()
    optimizer = torch.optim.Adam(expected.parameters())
    plain_loop(expected, images, labels, optimizer, batches(count, 20, 3, seed=7), [0.003] * 3)
    assert_same(training.train_one(build(), images, labels, training.Recipe(3, 0.003, 20), seed=7), expected)


def test_sgd_along_a_cosine_takes_the_steps_of_the_textbook_loop():
    """The digits residual networks' recipe, two members at once."""
    configuration = {"variant": "standard", "blocks": 1, "width": 2, "epochs": 4, "rate": 0.1, "batch": 16}
    images, labels = images_and_labels(40)
    images, labels = torch.stack([images, 2 * images]).double(), torch.stack([labels, 1 - labels])
    nets = training.train([digits.build(configuration, seed).double() for seed in (0, 1)], images, labels,
                          digits.recipe(configuration))
    rates = [0.1 * (1 + math.cos(math.pi * epoch / 4)) / 2 for epoch in range(4)]
    for seed, net in enumerate(nets):
        expected = digits.build(configuration, seed).double()
        optimizer = torch.optim.SGD(expected.parameters(), momentum=0.9, nesterov=True, weight_decay=5e-4)
        assert_same(net, plain_loop(expected, images[seed], labels[seed], optimizer, batches(40, 16, 4, seed), rates))


def test_the_steps_of_a_planar_net_are_those_of_full_batch_adam():
    points, labels = moons.moons(0)
    expected = training.seeded(relu_network, 0, widths=moons.WIDTHS)
    optimizer = torch.optim.Adam(expected.parameters())
    start, end = moons.snapshots(0, (0, 30))
    assert_same(start, expected)
    assert_same(end, plain_loop(expected, points, labels, optimizer, [[slice(None)]] * 30, [0.01] * 30))


def test_a_parametrised_network_trains_and_keeps_its_rows_orthonormal():
    images, labels = images_and_labels(40)
    part = SimpleNamespace(images=images, labels=labels)
    rows = penalties.hard_constrained(part, training.Recipe(2, 0.01, 20), 0, "cpu")[-1].weight
    torch.testing.assert_close(rows @ rows.T, torch.eye(10), rtol=0, atol=1e-5)
    assert not torch.allclose(rows, penalties.hard_constrained(part, training.Recipe(0), 0, "cpu")[-1].weight, atol=1e-3)


@pytest.mark.parametrize("samples, batch_size", [
    *{(each["images"], each["batch_size"]) for each in inner_products.CONFIGURATIONS},
    (penalties.TRAINING, penalties.RECIPE.batch_size),
    *((each["training"], each["batch_size"]) for each in neighbourhoods.RECIPES.values())])
def test_recorded_trainings_have_no_incomplete_batch(samples, batch_size):
    """They were recorded when an incomplete last batch was left out: that it is taken now changes nothing for them."""
    assert samples % batch_size == 0


@pytest.mark.parametrize("shape, labels, named", [((4, 1, 8, 8), 3, "labels"), ((0, 1, 8, 8), 4, "labels")])
def test_labels_for_each_sample(shape, labels, named):
    with pytest.raises(ValueError, match=f"{named} = .* samples; pass as many"):
        training.train_one(digits_cnn(), torch.zeros(shape), torch.zeros(labels, dtype=torch.int64), training.Recipe(1))


@pytest.mark.parametrize("changed", [{"epochs": -1}, {"learning_rate": -0.1}, {"batch_size": 0}])
def test_recipes_that_mean_nothing(changed):
    with pytest.raises(ValueError, match=next(iter(changed))):
        training.Recipe(**{"epochs": 1} | changed)


def test_residual_network_runs():
    assert residual_cnn((1, 8, 8), widths=(4, 8), blocks=2).eval()(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


def test_what_is_no_network_is_refused_among_networks():
    inputs, labels = torch.zeros(2, 4, 3), torch.zeros(2, 4, dtype=torch.long)
    for models in ([nn.Linear(3, 2), "no network"], ["no network", nn.Linear(3, 2)]):
        with pytest.raises(TypeError, match="models = .*are not all networks"):
            training._check(models, inputs, labels, [0, 1])
