"""The comparison that the note on skip dictionaries planned: five kinds of net, trained alike, and their layers' dictionaries."""

import functools
import math

import numpy as np
import torch
from scipy import stats

from deepatoms.experiments import datasets, ensembles
from deepatoms.experiments.networks.sparse import Network
from deepatoms.theory import dictionaries
from deepatoms.theory import skip_dictionaries as skip

STARTS = {"resnet": 0.5, "resnet_bn": 0.5, "linear": 1.0, "plain": 1.0, "sparse": 0.5}
NAMES = {"resnet_bn": "ResNet + batch norm", "resnet": "ResNet", "linear": "linear", "plain": "plain ReLU",
         "sparse": "sparse-matrix ResNet"}
DEPTH, EPOCHS = 4, 40


def seeds(setting, count):
    """Return the seeds of the members: those of different settings do not overlap."""
    return [1000 * setting.seed + member for member in range(count)]


@functools.lru_cache
def digits(setting, split, count=10):
    """Return the members' digits, each a split of its own: inputs (members, samples, 64) and labels."""
    found = [datasets.load("digits", split, seed) for seed in seeds(setting, count)]
    inputs = torch.stack([images.images.flatten(1) for images in found])
    return inputs.to(setting.device), torch.stack([images.labels for images in found]).to(setting.device)


@functools.lru_cache
def networks(setting, kind):
    """Return nets of a kind trained on digits: ten seeds, of the sparse kind five."""
    return _sparse(setting)[:5] if kind == "sparse" else train(setting, kind, DEPTH, STARTS[kind], EPOCHS)


def misled(setting):
    """Return the five sparse nets that were trained on shuffled labels."""
    return _sparse(setting)[5:]


@functools.lru_cache
def _sparse(setting):
    return train(setting, "sparse", DEPTH, STARTS["sparse"], EPOCHS, shuffled=5)


def train(setting, kind, depth, scale, epochs, count=10, shuffled=0, start=None):
    """Train nets of width 64 on digits, the pixels as the first layer's input; Adam 0.001, batch 64.

    The last ``shuffled`` members see permuted training labels; ``start`` changes a net before it is trained.
    """
    inputs, labels = (values[:count] for values in digits(setting, "train", max(count, 10)))
    nets = [Network(kind, depth, scale, seed=seed).to(setting.device) for seed in seeds(setting, count)]
    for net in nets if start else ():
        start(net)
    order = torch.randperm(labels.shape[1], generator=setting.torch("labels")).to(labels.device)
    labels = torch.cat([labels[:count - shuffled], labels[count - shuffled:][:, order]])
    return ensembles.train(nets, inputs, labels, epochs, seeds=seeds(setting, count))


def accuracies(setting, nets):
    """Return the test accuracy of each net."""
    inputs, labels = digits(setting, "test")
    return ensembles.accuracy(nets, inputs[:len(nets)], labels[:len(nets)]).cpu().numpy()


@functools.lru_cache
def features(setting, kind, split="train"):
    """Return, for each net of a kind, the input of the first layer and the output of every layer, float64."""
    inputs, _ = digits(setting, split)
    with torch.no_grad():
        return [[h.double().cpu().numpy() for h in net.features(x)]
                for net, x in zip(networks(setting, kind), inputs, strict=False)]


def weights(setting, kind):
    """Return the layers' matrices W of each net of a kind, float64."""
    return [[layer.linear.weight.detach().double().cpu().numpy() for layer in net.layers]
            for net in networks(setting, kind)]


@functools.lru_cache
def operators(setting, kind):
    r"""Return the layers' dictionaries: W of a linear layer, else diag(s) W, plus I with a skip connection.

    The s are the diagonal fit of the branch's output on a = W h over the training features.
    """
    found = []
    for matrices, h in zip(weights(setting, kind), features(setting, kind), strict=True):
        found.append([W if kind == "linear" else
                      skip.residual_operator(W, before @ W.T, _branch(setting, kind, before, after), kind != "plain")
                      for W, before, after in zip(matrices, h[:-1], h[1:], strict=True)])
    return found


def _branch(setting, kind, before, after):
    """What the branch put out; for the sparse net the whole change of h, what the cut removes included."""
    return after if kind == "plain" else after - before


def condition_numbers(setting, kind):
    """Return the condition numbers of the layers' dictionaries, shape (members, layers)."""
    return np.array([[float(skip.condition_number(D)) for D in layers] for layers in operators(setting, kind)])


def coherences(setting, kind):
    """Return the mutual coherences of the layers' dictionaries, shape (members, layers); dead units are left out."""
    return np.array([[float(dictionaries.mutual_coherence(D)) for D in layers] for layers in operators(setting, kind)])


def last_layer_snr(setting, kind, atoms=4, member=0, D=None):
    """Return the signal-to-noise ratio of the last layer's test features under its own dictionary (or another)."""
    D = operators(setting, kind)[member][-1] if D is None else D
    h = features(setting, kind, "test")[member][-1]
    return skip.signal_to_noise(h, skip.matching_pursuit(D, h, atoms) @ dictionaries.normalize(D).T)


def interval(differences):
    """Return the mean of paired differences and its 95 % interval (Student's t)."""
    differences = np.asarray(differences, dtype=float)
    half = stats.t.ppf(0.975, len(differences) - 1) * differences.std(ddof=1) / math.sqrt(len(differences))
    return differences.mean(), (differences.mean() - half, differences.mean() + half)


def row(setting, kind, members=5):
    """Return the comparison's numbers for a kind of net: means over members, of the layers' medians or the last layer."""
    layers = operators(setting, kind)[:members]
    every = [D for member in layers for D in member]
    bounds = np.array([skip.frame_bounds(D) for D in every])
    accuracy = accuracies(setting, networks(setting, kind)[:members])
    ratios = [[last_layer_snr(setting, kind, atoms, member) for member in range(members)] for atoms in (4, 16)]
    return {"accuracy": accuracy.mean(), "spread": accuracy.std(ddof=1),
            "kappa": np.median(condition_numbers(setting, kind)[:members]),
            "mu": np.mean([float(dictionaries.mutual_coherence(D)) for D in every]),
            "mu_avg": np.mean([skip.nearest_coherence(D) for D in every]),
            "mu_mse": np.mean([skip.mean_square_coherence(D) for D in every]),
            "babel": np.mean([skip.babel(D, 4) for D in every]),
            "A": np.median(bounds[:, 0]), "B": np.median(bounds[:, 1]),
            "k90": np.mean([skip.energy_dimensions(D) for D in every]),
            "snr4": np.mean(ratios[0]), "snr16": np.mean(ratios[1])}


def table(setting, members=5):
    """Return the comparison: one row of numbers for each kind of net."""
    return {NAMES[kind]: row(setting, kind, members) for kind in NAMES}


