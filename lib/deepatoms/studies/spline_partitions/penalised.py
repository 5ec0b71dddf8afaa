"""Figure 3 on CIFAR: what orthogonality penalties do over the course of learning, seed by seed against the same net without."""

import itertools

import numpy as np
import torch

from deepatoms import data
from deepatoms.learning import ensembles, networks, training
from deepatoms.runs import results
from deepatoms.theory import orthogonality

NAME, TRENDS = "orthogonal-penalties-cifar100", "orthogonal-penalties-trends"
RECIPE = {"network": "small CNN", "batch_norm": True, "images": 8000, "epochs": 10, "batch_size": 100}
SEEDS, STRENGTHS, RATE = 15, (0.01, 0.1, 1.0), 0.0005
# Where the gain is said to be similar: two of the paper's data sets and its three rates, at its weight in between.
FEWER, BETWEEN = 3, 0.57
CELLS = list(itertools.product(("cifar10", "cifar100"), (0.0001, 0.0005, 0.001)))
CHUNK = 100


def configuration(name, rate, seed, strength):
    """Return what one training is of."""
    return {"data": name, "learning_rate": rate, "seed": seed, "penalty": "Eq. 13", "lambda": strength, **RECIPE}


@results.experiment(NAME, [configuration("cifar100", RATE, seed, strength) for seed in range(SEEDS)
                                for strength in (0.0, *STRENGTHS)], minutes=30,
                    claims=("spl.fig3a", "spl.fig3b", "spl.overfit"),
                    title="Figure 3: the small CNN on 8,000 images of CIFAR-100, paired seeds under penalties")
def trained(configuration, device):
    """Train one network; return its test accuracy after every epoch, and its accuracy on the images it learnt in the end."""
    learning, held_out = (data.load(configuration["data"], split, normalisation="centred") for split in data.SPLITS)
    seed = configuration["seed"]
    order = torch.randperm(len(learning), generator=torch.Generator().manual_seed(seed))
    learning = learning.subset(order[:configuration["images"]])
    model = training.seeded(networks.small_cnn, seed, classes=len(learning.class_names),
                            batch_norm=configuration["batch_norm"]).to(device)
    recipe = training.Recipe(configuration["epochs"], configuration["learning_rate"], configuration["batch_size"],
                             prepare=lambda batch, order: _quick(batch))
    descent = training.Descent([model], recipe, [seed], torch.device(device))
    images, labels, test = learning.images[None].to(device), learning.labels[None].to(device), []
    for _ in range(recipe.epochs):
        descent.one_pass(images, labels, _penalty(configuration, model))
        test.append(_share(descent.ensemble.models(), held_out, device))
    return {"train": _share(descent.ensemble.models(), learning, device), "test": test}


results.experiment(TRENDS, [configuration(name, rate, seed, strength) for seed in range(FEWER) for name, rate in CELLS
                            for strength in (0.0, BETWEEN)], minutes=18, claims=("spl.trends",),
                   title="The gain on two data sets at three learning rates: the small CNN on 8,000 images")(trained)


def _quick(images):
    """Return images with their channels last in memory: half the time."""
    return images.contiguous(memory_format=torch.channels_last)


def _penalty(configuration, model):
    strength, classifier = configuration["lambda"], [name for name, _ in model.named_parameters()][-1]
    return (lambda weights: strength * orthogonality.penalty(weights[classifier]).sum()) if strength else None


def _share(models, images, device):
    """Return the share of images that one network classifies right, a chunk at a time."""
    hits = [(ensembles.outputs(models, _quick(part.to(device))[None])[0].argmax(1).cpu() == truth).double().sum()
            for part, truth in zip(images.images.split(CHUNK), images.labels.split(CHUNK), strict=True)]
    return float(torch.stack(hits).sum() / len(images))


def curves(records, strength, **chosen):
    """Return the test accuracies at one weight in points, shape (seeds, epochs), and its training accuracies, (seeds,).

    ``chosen`` says what else stands in the configurations: the data, the learning rate.
    """
    wanted = {"lambda": strength, **chosen}
    found = [each for each in records if wanted.items() <= each["configuration"].items()]
    found.sort(key=lambda each: each["configuration"]["seed"])
    return tuple(100 * np.array([each["result"][name] for each in found]) for name in ("test", "train"))
