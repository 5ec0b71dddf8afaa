"""What a sequel says of sparse-coding layers: robust to noise once the weight of the penalty is raised."""

import functools

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from deepatoms import data
from deepatoms.claims.checking import Measurement, check, experiment
from deepatoms.claims.intervals import mean_and_interval
from deepatoms.runs.prefetch import Remembered
from deepatoms.studies.ml_csc.checks import trained
from deepatoms.theory import convolutional, pursuit

FITTED, RAISED, NOISE, NETWORKS, IMAGES = 0.1, (0.1, 0.2, 0.4, 0.8), 0.3, 10, 500


@functools.lru_cache(maxsize=2)
def gains(setting):
    """Return for each network the accuracy gained by the chosen weight, on noisy and on clean images."""
    return np.array([gain(setting, number) for number in range(NETWORKS)])


@Remembered
def gain(setting, number):
    """Return what one network gains on noisy and on clean images."""
    seed, net = trained.SEEDS * setting.seed + number, trained.trained(setting)[number]
    train, test = (data.load("digits", split, seed) for split in ("train", "test"))
    filters = net.filters[0].cpu()
    classifier = LogisticRegression(max_iter=2000).fit(codes(train.images[:IMAGES], filters, FITTED), train.labels[:IMAGES])
    noise = NOISE * torch.randn(test.images.shape, generator=setting.torch(f"sequel {seed}"))
    labels = test.labels.numpy()
    return [_chosen([classifier.predict(codes(images, filters, weight)) == labels for weight in RAISED])
            for images in (test.images + noise, test.images)]


def codes(images, filters, weight):
    """Return nonnegative sparse codes of images, one row each; half a percent of the objective settles a label."""
    explicit = torch.from_numpy(convolutional.matrix(filters.numpy(), tuple(images.shape[2:])))
    return pursuit.splitting_basis_pursuit(images.double().flatten(1), explicit, weight, True, 2000, 5e-3).numpy()


def _chosen(right):
    """Choose a weight on every second image; return its gain over the first weight on the others."""
    chosen, judged = (np.array([each[start::2].mean() for each in right]) for start in (0, 1))
    return judged[chosen.argmax()] - judged[0]


@check("csc.sdnet/raised_weight", experiment(NETWORKS))
def raised_weight(setting):
    """Compare accuracies with the weight of training and with the best of larger ones, on noisy and on clean images."""
    (noisy, ends), (clean, other_ends) = (mean_and_interval(column) for column in gains(setting).T)
    return Measurement(noisy, clean, ends, other_ends, count=len(gains(setting)))
