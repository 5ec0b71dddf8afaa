"""The authors' networks have the authors' parameter counts; training is a function of its seed."""

import pytest
import torch

from deepatoms.learning import training
from deepatoms.learning.networks import digits_cnn, large_cnn, residual_cnn, small_cnn


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


def test_training_is_a_function_of_its_seed_and_learns():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 2, (200,), generator=generator)
    images = torch.randn(200, 1, 8, 8, generator=generator) + labels[:, None, None, None]
    models = [training.seeded(digits_cnn, seed, classes=2, widths=(4, 4)) for seed in (0, 0, 1)]
    histories = [training.train(model, images, labels, epochs=6, learning_rate=0.01, batch_size=20, seed=seed)
                 for model, seed in zip(models, (0, 0, 1), strict=True)]
    assert histories[0] == histories[1] != histories[2]  # promised: the same steps twice on one machine
    assert histories[0].losses[-1] < histories[0].losses[0]
    assert not models[0].training and training.accuracy(models[0], images, labels) > 0.9


def test_bad_arguments():
    with pytest.raises(ValueError, match="labels"):
        training.train(digits_cnn(), torch.zeros(4, 1, 8, 8), torch.zeros(3, dtype=torch.int64), 1)


def test_residual_network_runs():
    assert residual_cnn((1, 8, 8), widths=(4, 8), blocks=2).eval()(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
