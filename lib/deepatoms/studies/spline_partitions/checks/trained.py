"""The digits nets that the chapter's checks share: ten paired seeds, without and with the penalty of Eq. 13."""

from dataclasses import dataclass

import torch
from torch import nn

from deepatoms import data
from deepatoms.learning import ensembles, networks
from deepatoms.learning.training import seeded, train
from deepatoms.runs.prefetch import Remembered
from deepatoms.theory import orthogonality

SEEDS = 10
TRAINING = 1000
LAMBDA = 0.1
RECIPE = {"epochs": 10, "batch": 64, "rate": 0.003}


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
    found = ensembles.train(models * 2, images, labels, seeds=[*seeds(setting)] * 2, **RECIPE,
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
    model = seeded(lambda: hard_constrained(networks.digits_cnn()), seed).to(setting.device)
    _descend(model, learning, seed)
    nn.utils.parametrize.remove_parametrizations(model[-1], "weight")
    model = model.cpu().double().eval()
    with torch.no_grad():
        model[-1].weight.copy_(orthogonality.orthonormal_rows(model[-1].weight))
    return model, data.load("digits", "test", seed, training=TRAINING)


def hard_constrained(model):
    """Hold the rows of the last layer orthonormal throughout training, and return the model."""
    nn.utils.parametrizations.orthogonal(model[-1])
    return model


def _descend(model, learning, seed):
    train(model, learning.images, learning.labels, RECIPE["epochs"], RECIPE["rate"], RECIPE["batch"], seed=seed)
