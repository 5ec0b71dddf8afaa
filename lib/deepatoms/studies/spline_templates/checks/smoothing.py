"""Curvature tuning, a sequel of spline theory: one number smooths every ReLU of a trained network."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from torch import nn

from deepatoms import data
from deepatoms.claims.checking import Measurement, check, examples, experiment
from deepatoms.claims.intervals import mean_and_interval
from deepatoms.studies.spline_templates.checks.templates import SEEDS, trained_nets
from deepatoms.theory.smoothing import smoothed_relu

BETAS = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
NOISE = 0.3  # of the pixel range, which is one
TIMES = 3  # as many nets as other checks train


class SmoothedReLU(nn.Module):
    """ReLU smoothed by ``beta``; at one it is ReLU."""

    def __init__(self, beta):
        super().__init__()
        self.beta = beta

    def forward(self, u):
        """Return the smoothed ReLU of each entry."""
        return smoothed_relu(u, self.beta)


def smoothed(model, beta):
    """Return the network with every ReLU smoothed; it shares the weights."""
    return nn.Sequential(*(SmoothedReLU(beta) if isinstance(layer, nn.ReLU) else layer for layer in model)).eval()


@check("spl.smooth/limit", examples(3, of="values of beta"))
def limit(setting):
    """Measure the largest distance of the unit from ReLU, in units of 1 - beta."""
    u = torch.linspace(-3, 3, 60_001, dtype=torch.float64)
    errors = [[float((smoothed_relu(u, unit) - u.relu()).abs().max()) / (1 - beta) for unit in (beta, 0.5)]
              for beta in (0.9, 0.99, 0.999)]
    return Measurement(*np.max(errors, axis=0), count=len(errors))


@lru_cache(maxsize=8)
def hits(setting, batch_norm, noise):
    """Return for each net and each beta which held-out images it classifies right: a list of arrays (betas, images)."""
    # Ten nets did not hold the verdict: the interval of their gain began on this side of 0 or on that, as the processor had it.
    seeds = range(TIMES * setting.seed, TIMES * (setting.seed + 1))
    nets = [model for seed in seeds for model in trained_nets(replace(setting, seed=seed), batch_norm, True)]
    return [_hits(model.cpu().eval(), data.load("digits", "test", seed), noise, seed)
            for seed, model in enumerate(nets, SEEDS * seeds[0])]


@torch.no_grad()
def _hits(model, test, noise, seed):
    images = test.images + noise * torch.randn(test.images.shape, generator=torch.Generator().manual_seed(seed))
    return np.array([(smoothed(model, beta)(images).argmax(1) == test.labels).numpy() for beta in BETAS])


def gains(found, choose):
    """Return for each net the points that the beta chosen on the first half of the images gains on the second."""
    half = found[0].shape[1] // 2
    chosen = [choose(each[:, :half].mean(1)) for each in found]
    return np.array([100 * (each[beta, half:].mean() - each[-1, half:].mean()) for beta, each in zip(chosen, found, strict=True)])


def best(accuracies):
    """Return the place of the largest accuracy; of equal ones that of the beta nearest to one."""
    return len(accuracies) - 1 - int(np.argmax(accuracies[::-1]))


def worst(accuracies):
    """Return the place of the smallest accuracy."""
    return int(np.argmin(accuracies))


def _compare(found, control):
    measured, altered = gains(found, best), gains(found, control)
    (mean, ends), (other, other_ends) = mean_and_interval(measured), mean_and_interval(altered)
    return Measurement(mean, other, ends, other_ends, count=len(measured))


@check("spl.smooth/clean", experiment(TIMES * SEEDS))
def clean(setting):
    """Choose beta on one half of the held-out images and count what it gains on the other; beta zero is the control."""
    return _compare(hits(setting, True, 0.0), lambda accuracies: 0)


@check("spl.smooth/noisy", experiment(TIMES * SEEDS))
def noisy(setting):
    """Do the same on noisy images; the control takes the worst beta."""
    return _compare(hits(setting, True, NOISE), worst)
