"""How far a trained CNN is from the theorem: coherence and stripe counts of its own filters and feature maps."""

import functools
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from deepatoms import data
from deepatoms.claims.checking import Measurement, check, experiment
from deepatoms.learning import training
from deepatoms.learning.networks.convolutional import Chain
from deepatoms.studies.ml_csc.checks.samples import certified
from deepatoms.theory import stability

SEEDS, EPOCHS = 10, 8


@dataclass(frozen=True)
class Trained:
    """One trained network: its layers' normalised filters, the test images' codes, the thresholds, the accuracy."""

    model: nn.Module
    filters: list
    codes: list
    accuracy: float


def circular_cnn():
    """Return the ReLU CNN for digits: two circular 3 x 3 convolutions with 8 and 16 channels, a linear head."""
    return Chain(nn.Conv2d(1, 8, 3, padding=1, padding_mode="circular"), nn.ReLU(),
                 nn.Conv2d(8, 16, 3, padding=1, padding_mode="circular"), nn.ReLU(),
                 nn.Flatten(), nn.Linear(16 * 64, 10))


@functools.lru_cache(maxsize=2)
def trained(setting):
    """Train ten networks, each with a split and a start of its own, and read their dictionaries and codes."""
    seeds = [SEEDS * setting.seed + i for i in range(SEEDS)]
    digits, tests = ([data.load("digits", split, seed) for seed in seeds] for split in ("train", "test"))
    images, labels = (torch.stack([getattr(split, name) for split in digits]).to(setting.device)
                      for name in ("images", "labels"))
    start = [training.seeded(circular_cnn, seed).to(setting.device) for seed in seeds]
    models = training.train(start, images, labels, training.Recipe(EPOCHS, learning_rate=3e-3), seeds)
    return [_read(model, test.images.to(setting.device), test.labels.to(setting.device))
            for model, test in zip(models, tests, strict=True)]


def _read(model, images, labels):
    with torch.no_grad():
        filters, codes, values = [], [], images
        for convolution in (model[0], model[2]):
            norms = convolution.weight.flatten(1).norm(dim=1)
            values = convolution(values).relu()
            filters.append(convolution.weight.double() / norms[:, None, None, None])
            codes.append(values.double() / norms[:, None, None])
        accuracy = float((model[5](values.flatten(1)).argmax(1) == labels).double().mean())
    return Trained(model, filters, codes, accuracy)


def test_images(setting):
    """Return the test images of the first network."""
    return data.load("digits", "test", SEEDS * setting.seed).images


def measured_layers(net):
    """Return the theory's numbers of each layer, for the test images whose code there is not all zero."""
    found = []
    for filters, code in zip(net.filters, net.codes, strict=True):
        alive = code[code.flatten(1).any(1)]
        found += stability.layers([filters], [alive])
    return found


@check("csc.trained/inside", experiment(SEEDS))
def inside(setting):
    """Count the (test image, layer) pairs whose stripe count meets Theorem 2's condition without any noise."""
    met = [layer.stripes < stability.stripe_limit(layer, 0.0)
           for net in trained(setting) for layer in measured_layers(net)]
    built = [layer.stripes < stability.stripe_limit(layer, 0.0) for layer in certified(setting, "K2-1D", 200).layers]
    return Measurement(np.concatenate(met).mean(), np.concatenate(built).mean(), count=len(trained(setting)))


@check("csc.trained/far_outside", experiment(SEEDS))
def far_outside(setting):
    """Divide stripe counts by the contrast-free limit: median over images, over layers, smallest over seeds."""
    built = certified(setting, "K2-1D", 200).layers
    found = [_excess(measured_layers(net)) for net in trained(setting)]
    return Measurement(min(found), _excess(built), count=len(found))


def _excess(layers):
    return np.median([np.median(layer.stripes / stability.uniqueness_limit(layer)) for layer in layers])
