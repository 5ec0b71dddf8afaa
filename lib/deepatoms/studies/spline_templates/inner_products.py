"""Figures 1 and 2 of the spline paper: inner products of images with the templates of their own and of other classes."""

import base64

import numpy as np
import torch

from deepatoms import data
from deepatoms.learning import networks, training
from deepatoms.runs import results
from deepatoms.theory import splines
from deepatoms.theory.splines import area_under_roc

# Class shown in Fig. 1 and the two others beside it.
SHOWN = {"digits": (0, 3, 7), "mnist": (0, 3, 7), "cifar10": (9, 2, 5)}
NAME = "template-inner-products"
EDGES = {"digits": (-30, 30), "mnist": (-30, 30), "cifar10": (-15, 15)}

CONFIGURATIONS = [{"data": dataset, "batch_norm": batch_norm, "seed": seed, "network": "small_cnn", "images": 10_000,
                   "epochs": 3, "learning_rate": 0.002, "batch_size": 100, "test_images": 1000}
                  for dataset in ("mnist", "cifar10") for seed in range(10) for batch_norm in (True, False)]


@results.experiment(NAME, CONFIGURATIONS, minutes=25,
                    claims=("spl.fig1_top", "spl.fig1_bottom", "spl.fig2a", "spl.fig2b", "spl.fig2_easier", "spl.fig2_confirms"),
                    title="Fig. 1 and 2: inner products with templates, the authors' small CNN on MNIST and CIFAR-10")
def template_inner_products(configuration, device):
    """Train the authors' small CNN on part of a data set and measure its templates on test images."""
    dataset, seed = configuration["data"], configuration["seed"]
    train_set, test_set = (data.load(dataset, split, normalisation="centred") for split in ("train", "test"))
    chosen = torch.randperm(len(train_set.labels), generator=torch.Generator().manual_seed(seed))[:configuration["images"]]
    part = train_set.subset(chosen)
    images, labels = part.images.to(device), part.labels.to(device)
    test_part = test_set.subset(slice(0, configuration["test_images"]))
    test, truth = test_part.images.to(device), test_part.labels.to(device)
    model = training.seeded(networks.small_cnn, seed, shape=tuple(images.shape[1:]),
                            batch_norm=configuration["batch_norm"]).to(device).eval()
    untrained = summary(model, test, truth, dataset)
    recipe = training.Recipe(configuration["epochs"], configuration["learning_rate"], configuration["batch_size"])
    model = training.train_one(model, images, labels, recipe, seed)
    found = {"trained": summary(model, test, truth, dataset), "untrained": untrained}
    return found | ({"example": example(model, test, truth, dataset)} if seed == 0 else {})


def summary(model, images, labels, dataset):
    """Return what Fig. 1 and 2 show, as plain numbers, for one network and one batch of test images."""
    products, cosines, hits = measure(model, images, labels)
    own, others = split(products, labels)
    low, high = EDGES[dataset]
    shown = (hits & (labels == SHOWN[dataset][0])).cpu()
    return {"accuracy": float(hits.double().mean()), "auc": area_under_roc(own, others),
            "mean_correct": float(own.mean()), "mean_others": float(others.mean()),
            "shown": _pattern(products[shown], *SHOWN[dataset]),
            "exchanged": _pattern(products[shown], SHOWN[dataset][1], SHOWN[dataset][0], SHOWN[dataset][2]),
            "all_classes": float(all_signs(own, others)[hits].double().mean()) if bool(hits.any()) else 0.0,
            "deviation": deviation(own, others), "cosine": float(cosines.mean()),
            "histogram": {"low": low, "high": high, "correct": _histogram(own, low, high),
                          "others": _histogram(others, low, high)}}


def measure(model, images, labels, chunk=100):
    """Return inner products (samples, classes), absolute cosines of images with their own templates, and what was right."""
    products, cosines, hits = [], [], []
    for part, truth in zip(images.split(chunk), labels.split(chunk), strict=True):
        A, b = splines.affine_map(model, part)
        inner = torch.einsum("ncd,nd->nc", A, part.flatten(1))
        own = A[torch.arange(len(part)), truth]
        products.append(inner.double())
        cosines.append(torch.cosine_similarity(own, part.flatten(1), 1).abs().double())
        hits.append((inner + b).argmax(1) == truth)
    return torch.cat(products), torch.cat(cosines), torch.cat(hits)


def split(products, labels):
    """Return each image's inner product with its own template, (samples,), and with the others, (samples, classes - 1)."""
    own = torch.zeros_like(products, dtype=torch.bool).scatter_(1, labels[:, None], True)
    return products[own], products[~own].reshape(len(products), -1)


def all_signs(own, others):
    """Return for which images the own class's product is positive and all others are negative, (samples,)."""
    return (own > 0) & (others < 0).all(1)


def deviation(own, others):
    """Return the median over images of the largest relative deviation from Eq. 12's ratio, -1 / (C - 1)."""
    expected = -own[:, None] / others.shape[1]
    return float(((others - expected).abs() / expected.abs()).amax(1).median())


def _pattern(products, positive, *negative):
    if not len(products):
        return 0.0
    return float(((products[:, positive] > 0) & (products[:, list(negative)] < 0).all(1)).double().mean())


def _histogram(values, low, high):
    clipped = values.flatten().clamp(low, high).cpu().double()
    return torch.histc(clipped, 60, low, high).int().tolist()


def example(model, images, labels, dataset):
    """Return Fig. 1's image, its three templates and inner products: the first test image of the class, classified right."""
    with torch.no_grad():
        right = (model(images).argmax(1) == labels) & (labels == SHOWN[dataset][0])
    x = images[right][:1]
    A, _ = splines.affine_map(model, x)
    chosen = A[0, list(SHOWN[dataset])]
    return {"classes": list(SHOWN[dataset]), "shape": list(x.shape[1:]), "image": encode(x[0].flatten()),
            "templates": [encode(row) for row in chosen], "products": (chosen @ x[0].flatten()).tolist()}


def encode(values):
    """Return numbers as text: 8 bits each, after division by the largest magnitude.

    >>> decode(encode(torch.tensor([-1.0, 0.0, 2.0]))).round(2).tolist()
    [-0.5, 0.0, 1.0]
    """
    scaled = values / values.abs().max().clamp_min(1e-12)
    return base64.b64encode((127 * scaled).round().to(torch.int8).cpu().numpy().tobytes()).decode()


def decode(text):
    """Return the numbers of :func:`encode`, between -1 and 1."""
    return np.frombuffer(base64.b64decode(text), np.int8) / 127
