"""The authors' ResNet-20 in four variants on CIFAR: their recipe with few epochs of a one-cycle schedule."""

import functools
import itertools

import torch

from deepatoms import data
from deepatoms.learning import ensembles, optimizers, training
from deepatoms.learning.augmentation import CropAndFlip
from deepatoms.learning.networks import wide_residual
from deepatoms.runs import results
from deepatoms.runs.partial_states import resumable

NAME = "resnest-tables"
SEEDS = 3
# The authors' means and deviations of the channels, in bytes.
STANDARD = {"cifar10": ((125.3, 123.0, 113.9), (63.0, 62.1, 66.7)), "cifar100": ((129.3, 124.1, 112.4), (68.2, 65.4, 70.4))}
RECIPE = {"network": "resnet-20", "epochs": 12, "schedule": "one cycle", "batch_size": 128, "momentum": 0.9,
          "weight_decay": 5e-4, "augmentation": "reflect-pad 4, crop, flip", "precision": "float32"}
# The authors train ResNEst at a tenth of the others' rate; here at both. All at one rate come first, seed by seed.
RATES = [*((variant, 0.1) for variant in wide_residual.VARIANTS), ("resnest", 0.01)]
CONFIGURATIONS = [{"data": name, "seed": seed, "variant": variant, "learning_rate": rate, **RECIPE}
                  for name, seed, (variant, rate) in itertools.product(STANDARD, range(SEEDS), RATES)]
CHUNK = 500


@results.experiment(NAME, CONFIGURATIONS, minutes=420, claims=("nest.tab_order",),
                    title="ResNet-20 in four variants on CIFAR-10 and CIFAR-100, 12 epochs, paired seeds")
@resumable
def trained(configuration, device, partial=None):
    """Train one network; return the shares of the test images and of as many training images that it classifies correctly."""
    prepare = CropAndFlip(*STANDARD[configuration["data"]])
    sets = {split: data.load(configuration["data"], split) for split in data.SPLITS}
    pixels, labels = sets["train"].pixels.to(device), sets["train"].labels.to(device)
    model = training.seeded(wide_residual.authors_network, configuration["seed"], name=configuration["network"],
                            variant=configuration["variant"], classes=len(sets["train"].class_names)).to(device)
    model = training.train_one(model, pixels, labels, recipe(configuration, prepare), configuration["seed"], partial)
    return {split: accuracy(model, each.subset(slice(0, len(sets["test"]))), prepare, device) for split, each in sets.items()}


def recipe(configuration, prepare):
    """Return the authors' recipe, over fewer epochs: SGD with Nesterov momentum and weight decay, batches of augmented images."""
    sgd = functools.partial(optimizers.SGD, momentum=configuration["momentum"], weight_decay=configuration["weight_decay"])
    return training.Recipe(configuration["epochs"], configuration["learning_rate"], configuration["batch_size"], sgd,
                           optimizers.one_cycle, True, prepare, configuration["precision"])


def accuracy(model, images, prepare, device):
    """Return the share of images classified correctly, in float32, a chunk at a time."""
    hits = [(ensembles.outputs([model], prepare.plain(pixels.to(device))[None]).argmax(-1).cpu() == labels).double().sum()
            for pixels, labels in zip(images.pixels.split(CHUNK), images.labels.split(CHUNK), strict=True)]
    return float(torch.stack(hits).sum() / len(images))


def differences(records, dataset, better, worse, rate=0.1):
    """Return the paired differences of test accuracies, one a seed, in points; ``worse`` was trained at ``rate``."""
    found = {(each["configuration"]["data"], each["configuration"]["seed"], each["configuration"]["variant"],
              each["configuration"]["learning_rate"]): 100 * each["result"]["test"] for each in records}
    return [found[dataset, seed, better, 0.1] - found[dataset, seed, worse, rate] for seed in range(SEEDS)]
