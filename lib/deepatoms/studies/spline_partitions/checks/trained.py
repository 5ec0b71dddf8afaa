"""The digits nets that the chapter's checks share: ten paired seeds, without and with the penalty of Eq. 13."""

from dataclasses import dataclass

import torch
from torch import nn

from deepatoms import data
from deepatoms.learning import networks
from deepatoms.learning.training import Recipe, seeded, train
from deepatoms.runs.prefetch import Remembered
from deepatoms.studies.spline_partitions import penalties
from deepatoms.theory import orthogonality

SEEDS = 10
TRAINING = 1000
LAMBDA = 0.1
RECIPE = Recipe(epochs=10, learning_rate=0.003, batch_size=64)


@dataclass(frozen=True, eq=False)
class Nets:
    """Ten seeds' training and held-out sets, and their nets: untrained, trained, and trained with the penalty."""

    learning: tuple
    held_out: tuple
    untrained: tuple
    plain: tuple
    penalised: tuple


def seeds(setting):
    """Return the ten seeds of a setting."""
    return range(SEEDS * setting.seed, SEEDS * (setting.seed + 1))


@Remembered
def digits_nets(setting):
    """Train all twenty nets as one ensemble; each pair starts from the same weights and sees the same order of samples."""
    learning, held_out = ([data.load("digits", split, seed, training=TRAINING) for seed in seeds(setting)]
                          for split in data.SPLITS)
    models = [seeded(networks.digits_cnn, seed).to(setting.device) for seed in seeds(setting)]
    images, labels = (torch.stack([getattr(each, name) for each in learning] * 2).to(setting.device)
                      for name in ("images", "labels"))
    strengths = torch.tensor([0.0] * SEEDS + [LAMBDA] * SEEDS, device=setting.device)
    classifier = [name for name, _ in models[0].named_parameters()][-1]
    found = train(models * 2, images, labels, RECIPE, seeds=[*seeds(setting)] * 2,
                  penalty=lambda weights: (strengths * orthogonality.penalty(weights[classifier])).sum())
    untrained = [calibrated(seeded(networks.digits_cnn, seed), part.images) for seed, part in
                 zip(seeds(setting), learning, strict=True)]
    found = [model.cpu() for model in found]
    return Nets(tuple(learning), tuple(held_out), tuple(untrained), tuple(found[:SEEDS]), tuple(found[SEEDS:]))


def calibrated(model, images):
    """Give an untrained network's batch norms the statistics of the images (one pass), and return it for evaluation."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the plain mean over passes
    with torch.no_grad():
        model.train()(images)
    return model.eval()


@Remembered
def orthogonal_net(setting):
    """Train one digits net whose classifier is held orthogonal by torch's parametrisation; return it in float64.

    After training the rows are made orthonormal again in float64: float32 leaves them so to 1e-7 only.
    """
    seed = setting.seed
    learning = data.load("digits", "train", seed, training=TRAINING)
    model = penalties.hard_constrained(learning, RECIPE, seed, setting.device).cpu().double()
    with torch.no_grad():
        model[-1].weight.copy_(orthogonality.orthonormal_rows(model[-1].weight))
    return model, data.load("digits", "test", seed, training=TRAINING)
