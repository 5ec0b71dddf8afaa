"""The authors' four variants on digits: twenty paired seeds, the reduced form of their CIFAR tables."""

import functools

import torch

from deepatoms import data
from deepatoms.learning import ensembles, optimizers, training
from deepatoms.learning.networks import wide_residual
from deepatoms.runs import results
from deepatoms.runs.prefetch import Remembered

SETTING = {"blocks": 4, "width": 4, "training": 400, "epochs": 20, "rate": 0.1, "batch": 64, "seeds": 20}
CONFIGURATIONS = [{"variant": variant, **SETTING} for variant in wide_residual.VARIANTS]


@results.experiment("digits-resnests", CONFIGURATIONS, minutes=5,
                    claims=("nest.tab_bn", "nest.tab_augmented", "nest.tab_standard"),
                    title="Four variants of a residual network on digits, paired seeds")
def variant(configuration, device):
    """Return the test accuracies of one variant, one a seed; a seed means the same split and order for every variant."""
    seeds = range(configuration["seeds"])
    models = [model.to(device) for model in trained(configuration, seeds, device)]
    tests = [split("test", seed, configuration) for seed in seeds]
    images, labels = (torch.stack([getattr(test, name) for test in tests]).to(device) for name in ("images", "labels"))
    return {"accuracy": ensembles.accuracy(models, images, labels).tolist()}


def split(part, seed, configuration):
    """Return the training or the test images that a seed draws."""
    return data.load("digits", part, seed, training=configuration["training"])


def trained(configuration, seeds, device="cpu"):
    """Return one network a seed, trained together as in the authors' scripts."""
    data = [split("train", seed, configuration) for seed in seeds]
    images, labels = (torch.stack([getattr(part, name) for part in data]).to(device) for name in ("images", "labels"))
    models = [build(configuration, seed).to(device) for seed in seeds]
    return training.train(models, images, labels, recipe(configuration), seeds)


def recipe(configuration):
    """Return a configuration's recipe: SGD with Nesterov momentum and weight decay, the rate falling along a cosine."""
    return training.Recipe(configuration["epochs"], configuration["rate"], configuration["batch"],
                           functools.partial(optimizers.SGD, momentum=0.9, weight_decay=5e-4), optimizers.cosine)


@Remembered
def probed(setting):
    """Return a standard network trained for ten epochs, with its training and its test images."""
    short = CONFIGURATIONS[0] | {"epochs": 10}
    model, = trained(short, [setting.seed])
    return model, split("train", setting.seed, short), split("test", setting.seed, short)


def build(configuration, seed):
    """Return an untrained network of two stages for digits."""
    width, blocks = configuration["width"], configuration["blocks"]
    return training.seeded(wide_residual.WideResidual, seed, widths=(width, 2 * width), blocks=(blocks, blocks),
                  variant=configuration["variant"], channels=1)
