"""Figure 4: which images are neighbours under the partition distance, layer by layer."""

import numpy as np
import torch

from deepatoms import data
from deepatoms.learning import ensembles, networks
from deepatoms.learning.training import Recipe, seeded, train_one
from deepatoms.runs import results
from deepatoms.studies.spline_partitions.recipes import named
from deepatoms.theory import partition

NEIGHBOURS = 15
SEEDS = {"cifar10": 10, "mnist": 3}
_SHARED = {"training": 10_000, "batch_size": 50, "queries": 1000, "base": 3000, "neighbours": NEIGHBOURS}
RECIPES = {"cifar10": {"epochs": 6} | _SHARED, "mnist": {"epochs": 3} | _SHARED}
UNNAMED = {name: {"training": 10_000, "epochs": epochs, "batch_size": 50, "queries": 1000, "base": 3000, "neighbours": 15}
           for name, epochs in (("cifar10", 6), ("mnist", 3))}
NAME = "partition-neighbours"
SVHN = "partition-neighbours-svhn"  # its own: whoever lacks these files still has all of the other


def configurations(recipes):
    """Return a configuration for each seed of each data set; a recipe that is not that of the records stands in it."""
    return [named({"dataset": name, "seed": seed}, recipe, UNNAMED.get(name)) for name, recipe in recipes.items()
            for seed in range(SEEDS.get(name, 10))]


def profile(model, queries, query_labels, base, base_labels, k=NEIGHBOURS):
    """Return, for each layer, the tie-averaged share of neighbours of the query's class and their Euclidean distance.

    Args:
        model: A network in evaluation mode.
        queries, base: Images, shape (images, channels, rows, columns); neighbours of the first among the second.
        query_labels, base_labels: Their classes.
        k: Number of neighbours.

    Returns:
        A dictionary of lists with one entry a layer: ``same_class``, ``euclidean``, and ``permuted``: the same share with
        the base's classes permuted at random.
    """
    permuted = base_labels[torch.randperm(len(base_labels), generator=torch.Generator().manual_seed(0))]
    measures = {"same_class": (query_labels[:, None] == base_labels).numpy(),
                "permuted": (query_labels[:, None] == permuted).numpy(),
                "euclidean": torch.cdist(queries.flatten(1), base.flatten(1)).numpy()}
    found = {name: [] for name in measures}
    for of_base, of_queries in zip(partition.region_codes(model, base), partition.region_codes(model, queries), strict=True):
        near = partition.neighbours(of_base, of_queries, k)
        for name, values in measures.items():
            found[name].append(float(near.average(np.take_along_axis(values, near.indices, 1)).mean()))
    return found


def baselines(queries, query_labels, base, base_labels, k=NEIGHBOURS):
    """Return the same two numbers for neighbours in pixel space, and for random images as neighbours."""
    same = (query_labels[:, None] == base_labels).double()
    pixels = torch.cdist(queries.flatten(1), base.flatten(1))
    nearest = pixels.topk(k, largest=False).indices
    return {"pixels": {"same_class": float(same.gather(1, nearest).mean()),
                       "euclidean": float(pixels.gather(1, nearest).mean())},
            "random": {"same_class": float(same.mean()), "euclidean": float(pixels.mean())}}


@results.experiment(NAME, configurations(RECIPES), minutes=15,
                    claims=("spl.fig4_class", "spl.fig4_euclid", "spl.fig4_mainly"),
                    title="Figure 4: neighbours under the partition distance, MNIST and CIFAR-10")
def recorded(configuration, device):
    """Train the authors' small CNN without batch norm; profile 1,000 held-out queries in a base of 3,000 held-out images."""
    name, seed = configuration["dataset"], configuration["seed"]
    recipe = configuration.get("recipe") or RECIPES[name]
    order = np.random.default_rng(seed)
    learning, held_out = (data.load(name, split, normalisation="centred") for split in data.SPLITS)
    learning = learning.subset(order.permutation(len(learning))[:recipe["training"]])
    queries = recipe["queries"]
    held_out = held_out.subset(order.permutation(len(held_out))[:queries + recipe["base"]])
    queries, base = held_out.subset(slice(0, queries)), held_out.subset(slice(queries, None))
    sets = (queries.images, queries.labels, base.images, base.labels)
    model = seeded(networks.small_cnn, seed, shape=tuple(learning.images.shape[1:]), batch_norm=False).to(device).eval()
    untrained = _on(profile, model, device, sets)
    images, labels = learning.images.to(device), learning.labels.to(device)
    model = train_one(model, images, labels, Recipe(recipe["epochs"], batch_size=recipe["batch_size"]), seed)
    accuracy, = ensembles.accuracy([model], queries.images[None].to(device), queries.labels[None].to(device)).tolist()
    return {**baselines(*sets), "untrained": untrained, "trained": _on(profile, model, device, sets),
            "accuracy": accuracy}


results.experiment(SVHN, configurations({"svhn": RECIPES["cifar10"]}), minutes=15, claims=("spl.fig4_svhn",),
                   title="Figure 4, bottom: the same on SVHN, where its files are at hand")(recorded)


def _on(function, model, device, sets):
    """Codes are compared on the processor; the model returns there and back."""
    found = function(model.cpu(), *sets)
    model.to(device)
    return found
