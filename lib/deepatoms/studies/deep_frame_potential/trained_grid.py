"""Figures 2d, 5a, 6a, 7a, 7c and 7e: the chains, residual and dense networks of the paper, trained on small CIFAR-10 images.

F does not depend on the size of the images, the price of training does: theirs are averaged to 16 x 16. One recipe, that of the
code which the paper cites for its residual networks with a shorter schedule, serves all families. The paper's "validation"
images are taken to be the 10,000 test images.
"""

import functools
import itertools

import numpy as np
import torch
from torch.nn.functional import avg_pool2d

from deepatoms import data
from deepatoms.learning import ensembles, optimizers, training
from deepatoms.learning.augmentation import CropAndFlip
from deepatoms.learning.networks import families
from deepatoms.runs import results
from deepatoms.runs.partial_states import resumable

NAME = "frame-potential-trained-grid"
CLAIMS = ("dfp.fig2d", "dfp.fig5a", "dfp.fig6a", "dfp.fig7a", "dfp.fig7c", "dfp.fig7e", "dfp.correlation", "dfp.params_poor",
          "dfp.select")
DEPTHS, WIDTHS, LAYERS, GROWTHS = (2, 6, 10), (4, 8, 16), (2, 4), (2, 4, 8)
SEEDS = 3
RECIPE = {"data": "cifar10", "images": 50_000, "pooled": 2, "epochs": 10, "schedule": "one cycle", "learning_rate": 0.1,
          "batch_size": 128, "momentum": 0.9, "weight_decay": 2e-4, "augmentation": "reflect-pad 2, crop, flip"}
# Means and deviations of the pooled training images' channels, in bytes.
STANDARD = ((125.3, 122.9, 113.9), (60.7, 59.8, 64.7))
CHUNK = 1000


def configurations():
    """Return every network with every seed, seed by seed, the cheap ones first."""
    networks = [{"family": family, "size": [blocks, width]}
                for blocks, width in sorted(itertools.product(DEPTHS, WIDTHS), key=lambda size: size[0] * size[1])
                for family in families.FAMILIES]
    networks += [{"family": "densenet", "size": list(size)} for size in itertools.product(LAYERS, GROWTHS)]
    return [{**network, "seed": seed, **RECIPE} for seed in range(SEEDS) for network in networks]


def network(family, size):
    """Return a network of a family: blocks in a group and width, or layers in a group and growth."""
    return families.dense(*size) if family == "densenet" else families.grouped(family, *size)


def pooled(pixels, factor):
    """Return images of bytes, each square of pixels replaced by its mean.

    >>> pooled(torch.tensor([[[[0, 2], [4, 8]]]], dtype=torch.uint8), 2).tolist()
    [[[[4]]]]
    """
    chunks = pixels.split(CHUNK)
    return torch.cat([avg_pool2d(chunk.float(), factor).round().to(torch.uint8) for chunk in chunks])


def images(configuration, device):
    """Return the pooled bytes and labels of both splits, on the device."""
    splits = {split: data.load(configuration["data"], split) for split in data.SPLITS}
    chosen = {"train": slice(0, configuration["images"]), "test": slice(None)}
    return {split: (pooled(each.pixels[chosen[split]], configuration["pooled"]).to(device), each.labels[chosen[split]].to(device))
            for split, each in splits.items()}


def recipe(configuration, prepare):
    """Return the recipe of a configuration: SGD with Nesterov momentum and weight decay, batches of augmented images."""
    sgd = functools.partial(optimizers.SGD, momentum=configuration["momentum"], weight_decay=configuration["weight_decay"])
    return training.Recipe(configuration["epochs"], configuration["learning_rate"], configuration["batch_size"], sgd,
                           optimizers.one_cycle, True, prepare)


@results.experiment(NAME, configurations(), minutes=270, claims=CLAIMS,
                    title="Fig. 2, 5, 6 and 7: chains, residual and dense networks on CIFAR-10 at 16 x 16, three seeds")
@resumable
def trained(configuration, device, partial=None):
    """Train one network; return its test error and its error on as many training images, in per cent."""
    prepare = CropAndFlip(*STANDARD, padding=2)
    sets = images(configuration, device)
    net = training.seeded(network, configuration["seed"], family=configuration["family"], size=configuration["size"]).to(device)
    net = training.train_one(net, *sets["train"], recipe(configuration, prepare), configuration["seed"], partial)
    count = len(sets["test"][1])
    return {split: error(net, pixels[:count], labels[:count], prepare) for split, (pixels, labels) in sets.items()}


def error(net, pixels, labels, prepare):
    """Return the share of images classified wrongly, in per cent, a chunk at a time."""
    wrong = [(ensembles.outputs([net], prepare.plain(some)[None])[0].argmax(-1) != known).double().sum()
             for some, known in zip(pixels.split(CHUNK), labels.split(CHUNK), strict=True)]
    return 100 * float(torch.stack(wrong).sum() / len(labels))


def mean_errors(records):
    """Return the test error of each network, mean over its seeds: {(family, blocks or layers, width or growth): per cent}."""
    found = {}
    for record in records:
        chosen = record["configuration"]
        found.setdefault((chosen["family"], *chosen["size"]), []).append(record["result"]["test"])
    return {key: float(np.mean(errors)) for key, errors in found.items()}
