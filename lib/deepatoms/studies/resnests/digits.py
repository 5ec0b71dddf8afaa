"""The authors' four variants on digits: twenty paired seeds, the reduced form of their CIFAR tables."""

import math

import torch
from torch.func import vmap
from torch.nn.functional import cross_entropy

from deepatoms import data
from deepatoms.learning import ensembles
from deepatoms.learning.networks import wide_residual
from deepatoms.learning.optimizers import SGD
from deepatoms.learning.training import seeded
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
    """Return one network a seed, trained together by SGD: Nesterov momentum, cosine, weight decay, as in the authors' scripts."""
    data = [split("train", seed, configuration) for seed in seeds]
    images, labels = (torch.stack([getattr(part, name) for part in data]).to(device) for name in ("images", "labels"))
    ensemble = ensembles.Ensemble([build(configuration, seed).to(device).train() for seed in seeds])
    descent = SGD(ensemble.parameters.values(), momentum=0.9, weight_decay=5e-4)
    orders = [torch.Generator().manual_seed(seed) for seed in seeds]
    members = torch.arange(len(data), device=device)[:, None]
    for epoch in range(configuration["epochs"]):
        rate = configuration["rate"] * (1 + math.cos(math.pi * epoch / configuration["epochs"])) / 2
        shuffled = torch.stack([torch.randperm(images.shape[1], generator=order) for order in orders]).to(device)
        for chosen in shuffled.split(configuration["batch"], dim=1):
            descent.step(vmap(cross_entropy)(ensemble(images[members, chosen]), labels[members, chosen]).sum(), rate)
    return [model.eval() for model in ensemble.models()]


@Remembered
def probed(setting):
    """Return a standard network trained for ten epochs, with its training and its test images."""
    short = CONFIGURATIONS[0] | {"epochs": 10}
    model, = trained(short, [setting.seed])
    return model, split("train", setting.seed, short), split("test", setting.seed, short)


def build(configuration, seed):
    """Return an untrained network of two stages for digits."""
    width, blocks = configuration["width"], configuration["blocks"]
    return seeded(wide_residual.WideResidual, seed, widths=(width, 2 * width), blocks=(blocks, blocks),
                  variant=configuration["variant"], channels=1)
