"""The recorded experiments under every lens: sixty recipes, a hundred seeds of one recipe, five seeds in five conditions."""

import copy

import numpy as np
import torch

from deepatoms.runs import results
from deepatoms.studies.five_lenses import measures, networks
from deepatoms.theory import orthogonality

NAME, SEEDS_NAME, CONDITIONS_NAME = "five-lenses", "five-lenses-one-recipe", "five-lenses-conditions"
WIDTHS, UNITS, DEPTHS = (32, 64, 96), (8, 16, 32), (2, 4, 6)
STAGES = {("true", 0): 6, ("true", 4): 12, ("true", 32): 12, ("true", 128): 12, ("shuffled", 32): 9, ("shuffled", 128): 9}
CONDITIONS = ("start", "start permuted", "trained", "trained permuted", "shuffled labels")
COMMON = {"training": networks.TRAINING, **networks.RECIPE}


def _design():
    """Return sixty configurations: in each stage of training every width, number of units and depth as often."""
    generator, found = np.random.default_rng(0), []
    for (labels, epochs), count in STAGES.items():
        columns = [generator.permutation(np.resize(values, count)).tolist() for values in (WIDTHS, UNITS, DEPTHS)]
        found += [{"width": width, "units": units, "depth": depth, "labels": labels, "epochs": epochs}
                  for width, units, depth in zip(*columns, strict=True)]
    return [{**one, "seed": seed, **COMMON} for seed, one in enumerate(found)]


CONFIGURATIONS = _design()
ONE = {"width": 64, "units": 16, "depth": 4}
SEEDS = [{**ONE, "labels": "true", "epochs": 32, "seed": seed, **COMMON} for seed in range(100, 200)]
FIVE = [{**ONE, "epochs": 64, "seed": seed, **COMMON} for seed in range(5)]


@results.experiment(SEEDS_NAME, SEEDS, minutes=8, claims=("lens.seed", "lens.accuracy_seed"),
                    title="A hundred residual networks of one recipe on digits under the lenses of five theories")
@results.experiment(NAME, CONFIGURATIONS, minutes=5,
                    claims=("lens.related", "lens.given_recipe", "lens.accuracy", "lens.silent"),
                    title="Sixty residual networks on digits under the lenses of five theories")
def recorded(configuration, device):
    """Return a network's numbers on both halves of the held-out digits, its size and its accuracies."""
    seed = configuration["seed"]
    model = build(configuration)
    first, second = measures.halves(seed)
    return {"parameters": sum(weight.numel() for weight in model.parameters()), "lenses": measures.measured(model, *first),
            "elsewhere": measures.measured(model, *second), "accuracy": accuracy(model, *networks.digits("test", seed)),
            "unique": unique(model, first[0]), "unique if orthonormal": unique(orthonormal(model), first[0])}


def build(configuration):
    """Return the network of a configuration: started from its seed and trained as it says."""
    seed = configuration["seed"]
    model = networks.start(configuration["width"], configuration["units"], configuration["depth"], seed)
    return networks.trained(model, configuration["epochs"], configuration["labels"], seed)


def accuracy(model, x, y):
    """Return the share of inputs that a network classifies correctly."""
    with torch.no_grad():
        return float((model(x).argmax(1) == y).double().mean())


def unique(model, x):
    """Return the share of codes, over blocks and inputs, with fewer active units than the uniqueness threshold."""
    return float(np.mean([counts < threshold for counts, threshold in measures.active(model, x)]))


def orthonormal(model):
    """Return a copy of a network with the rows of each block's first weight replaced by the nearest orthonormal ones."""
    found = copy.deepcopy(model)
    with torch.no_grad():
        for block in found.blocks:
            first = block.branch[0].weight
            first.copy_(orthogonality.orthonormal_rows(first))
    return found


@results.experiment(CONDITIONS_NAME, FIVE, minutes=2, claims=("lens.weights", "lens.labels"),
                    title="One residual network on digits in five conditions, five seeds, under the same lenses")
def conditions(configuration, device):
    """Return the numbers and the accuracy of one seed's network in each condition, on the first half of held-out digits."""
    seed = configuration["seed"]
    x, y = measures.halves(seed)[0]
    return {name: {"lenses": measures.measured(model, x, y), "accuracy": accuracy(model, *networks.digits("test", seed))}
            for name, model in in_conditions(configuration).items()}


def in_conditions(configuration):
    """Return one seed's network in each condition."""
    seed, epochs = configuration["seed"], configuration["epochs"]
    begun = networks.start(configuration["width"], configuration["units"], configuration["depth"], seed)
    true, shuffled = (networks.trained(begun, epochs, labels, seed) for labels in ("true", "shuffled"))
    models = (begun, networks.permuted(begun, seed), true, networks.permuted(true, seed), shuffled)
    return dict(zip(CONDITIONS, models, strict=True))
