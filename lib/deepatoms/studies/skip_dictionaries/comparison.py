"""The comparison that the note on skip dictionaries planned: five kinds of net, trained alike, and their layers' dictionaries."""

import functools
from dataclasses import replace

import numpy as np
import torch

from deepatoms import data
from deepatoms.learning import ensembles, training
from deepatoms.learning.networks.sparse import SkipNetwork
from deepatoms.runs.prefetch import Remembered
from deepatoms.theory import arguments, dictionaries
from deepatoms.theory import skip_dictionaries as skip

STARTS = {"resnet": 0.5, "resnet_bn": 0.5, "linear": 1.0, "plain": 1.0, "sparse": 0.5}
NAMES = {"resnet_bn": "ResNet + BN", "resnet": "ResNet", "linear": "linear", "plain": "plain ReLU",
         "sparse": "sparse ResNet"}
DEPTH, EPOCHS, HE = 4, 40, 1.41  # HE: the scale of He's start for plain nets
DEEP = (("plain", "Gaussian", 0.5), ("plain", "orthogonal", 0.5), ("plain", "Gaussian", HE), ("plain", "orthogonal", HE),
        ("resnet", "Gaussian", 0.1), ("resnet", "Gaussian", 0.5), ("resnet", "Gaussian", 1.0), ("resnet", "Gaussian", HE))
PROPERTIES = ("kappa", "mu", "mu_avg", "mu_mse", "babel_4", "A", "B", "k90")


def seeds(setting, count):
    """Return the seeds of the members: those of different settings do not overlap."""
    return [1000 * setting.seed + member for member in range(count)]


@functools.lru_cache
def digits(setting, split):
    """Return ten members' digits, each a split of its own: inputs (members, samples, 64) and labels."""
    found = [data.load("digits", split, seed) for seed in seeds(setting, 10)]
    inputs = torch.stack([images.images.flatten(1) for images in found])
    return inputs.to(setting.device), torch.stack([images.labels for images in found]).to(setting.device)


def networks(setting, kind):
    """Return nets of a kind trained on digits: ten seeds, of the sparse and the plain kind five."""
    return trained(setting, kind)[:5] if kind == "sparse" else trained(setting, kind)


def misled(setting):
    """Return the five sparse nets that were trained on shuffled labels."""
    return trained(setting, "sparse")[5:]


@Remembered
def trained(setting, kind):
    """Return ten trained nets of a kind; plain nets are five, and the last five sparse ones saw shuffled labels."""
    nets = untrained(setting, kind, DEPTH, STARTS[kind])[:5 if kind == "plain" else 10]
    return train(setting, nets, EPOCHS, shuffled=5 if kind == "sparse" else 0)


@Remembered
def log_losses(setting, kind, weights, scale):
    """Return the log training loss, after 5 epochs, of ten nets of 32 layers with one of the starts in ``DEEP``.

    Plain nets at He's scale are twenty, for what the condition number does there is less than what the scale does; so are those
    with Gaussian layers of half that: of ten pairs the interval reached the bar where a processor adds in another order.
    """
    twenty = kind == "plain" and (scale == HE or weights == "Gaussian")
    settings = [setting, replace(setting, seed=setting.seed + 100)][:2 if twenty else 1]
    return np.concatenate([_log_losses(one, deep(one, kind, weights, scale)) for one in settings])


def _log_losses(setting, nets):
    nets = train(setting, nets, epochs=5)
    inputs, labels = digits(setting, "train")
    scores = ensembles.outputs(nets, inputs)
    losses = torch.nn.functional.cross_entropy(scores.flatten(0, 1), labels.flatten(), reduction="none")
    return losses.reshape(labels.shape).double().mean(1).log().cpu().numpy()


def deep(setting, kind, weights, scale):
    """Return ten untrained nets of 32 layers, Gaussian or s times the orthogonal factor of the same Gaussian matrices."""
    nets = untrained(setting, kind, 32, scale)
    for layer in [layer.linear for net in nets for layer in net.layers] if weights == "orthogonal" else ():
        with torch.no_grad():
            Q, R = torch.linalg.qr(layer.weight)
            layer.weight.copy_(scale * Q * torch.sign(torch.diagonal(R)))
    return nets


@functools.lru_cache
def start_spectra(setting, kind, weights, scale):
    """Return the singular values of ten starting nets' Jacobians from end to end, at three images each: shape (30, 64)."""
    inputs, _ = digits(setting, "train")
    return np.array([skip.singular_values(_jacobian(net, x.double().cpu().numpy(), kind))
                     for net, images in zip(deep(setting, kind, weights, scale), inputs, strict=True) for x in images[:3]])


def _jacobian(net, x, kind):
    matrices = layer_weights(net)
    if kind == "linear":
        return functools.reduce(lambda J, W: W @ J, matrices)
    return skip.end_to_end_jacobian(x, matrices, [np.zeros(len(x))] * len(matrices), skip=kind == "resnet")


@functools.lru_cache
def start_conditions(setting, kind, weights, scale):
    """Return the condition number of each starting layer, W / 2 or I + W / 2: the best single S of ReLU is I / 2."""
    layers = np.array([layer_weights(net) for net in deep(setting, kind, weights, scale)]) / 2
    return skip.condition_number(skip.residual_dictionary(layers) if kind == "resnet" else layers)


def untrained(setting, kind, depth, scale):
    """Return ten nets of width 64 for digits, the pixels as the first layer's input."""
    return [SkipNetwork(kind, depth, scale, seed=seed).to(setting.device) for seed in seeds(setting, 10)]


def train(setting, nets, epochs, shuffled=0):
    """Train nets on digits, each on its own split; the last ``shuffled`` of them see permuted training labels."""
    inputs, labels = (values[:len(nets)] for values in digits(setting, "train"))
    order = torch.randperm(labels.shape[1], generator=setting.torch("labels")).to(labels.device)
    honest = len(nets) - shuffled
    labels = torch.cat([labels[:honest], labels[honest:][:, order]])
    return training.train(nets, inputs, labels, training.Recipe(epochs), seeds(setting, len(nets)))


def accuracies(setting, nets):
    """Return the test accuracy of each net."""
    inputs, labels = digits(setting, "test")
    return ensembles.accuracy(nets, inputs[:len(nets)], labels[:len(nets)]).cpu().numpy()


def layer_features(net, x):
    """Return the input of a net's first layer and the output of every layer, float64 arrays."""
    with torch.no_grad():
        return [h.double().cpu().numpy() for h in net.features(x)]


def layer_weights(net):
    """Return the matrices W of a net's layers, float64 arrays."""
    return [layer.linear.weight.detach().double().cpu().numpy() for layer in net.layers]


def layer_operators(kind, net, h):
    r"""Return the layers' dictionaries: W of a linear layer, else diag(s) W, plus I with a skip connection.

    The s are the diagonal fit of the branch's output on a = W h over the features h; for the sparse net the branch is the
    whole change of h, so that what the cut removes is included.
    """
    layers = list(zip(layer_weights(net), h[:-1], h[1:], strict=True))
    if kind == "linear":
        return [W for W, _, _ in layers]
    if kind == "plain":
        return [skip.residual_operator(W, before @ W.T, after, skip=False) for W, before, after in layers]
    return [skip.residual_operator(W, before @ W.T, after - before) for W, before, after in layers]


@functools.lru_cache
def features(setting, kind, split="train"):
    """Return the layers' features of each digits net of a kind."""
    inputs, _ = digits(setting, split)
    return [layer_features(net, x) for net, x in zip(networks(setting, kind), inputs, strict=False)]


def weights(setting, kind):
    """Return the layers' matrices W of each digits net of a kind."""
    return [layer_weights(net) for net in networks(setting, kind)]


@functools.lru_cache
def operators(setting, kind):
    """Return the layers' dictionaries of each digits net of a kind."""
    return [layer_operators(kind, net, h)
            for net, h in zip(networks(setting, kind), features(setting, kind), strict=True)]


def condition_numbers(setting, kind):
    """Return the condition numbers of the layers' dictionaries, shape (members, layers)."""
    return np.array([[float(skip.condition_number(D)) for D in layers] for layers in operators(setting, kind)])


def coherences(setting, kind):
    """Return the mutual coherences of the layers' dictionaries, shape (members, layers)."""
    return np.array([[float(dictionaries.mutual_coherence(D)) for D in layers] for layers in operators(setting, kind)])


def made_with(record, recipe, unstated):
    """Return a record that was made with a recipe; ``unstated`` is that of the records which do not state theirs.

    Raises:
        ValueError: on a record of another recipe.
    """
    made = record["result"].get("recipe", unstated)
    if made != recipe:
        arguments.refuse("recipe", made, f"is not that of the program, {recipe}", "record the experiment again")
    return record


def properties(layers):
    """Return what Skretting and Engan compare, over a net's layers: means, and medians of what may be infinite."""
    bounds = np.array([skip.frame_bounds(D) if (abs(D).max(0) > 0).all() else (0.0, np.nan) for D in layers])
    return {"kappa": float(np.median([skip.condition_number(D) for D in layers])),
            "mu": float(np.mean([dictionaries.mutual_coherence(D) for D in layers])),
            "mu_avg": float(np.mean([skip.nearest_coherence(D) for D in layers])),
            "mu_mse": float(np.mean([skip.mean_square_coherence(D) for D in layers])),
            "babel_4": float(np.mean([skip.babel(D, 4) for D in layers])),
            "A": float(np.median(bounds[:, 0])), "B": float(np.median(bounds[:, 1])),
            "k90": float(np.mean([skip.energy_dimensions(D) for D in layers]))}


def table(setting):
    """Return for each kind on digits, over five nets, the accuracy, its spread, and the dictionaries' properties."""
    rows = {}
    for kind, name in NAMES.items():
        accuracy = accuracies(setting, networks(setting, kind)[:5])
        found = [properties(layers) for layers in operators(setting, kind)[:5]]
        rows[name] = {"accuracy": accuracy.mean(), "+/-": accuracy.std(ddof=1),
                      **{key: float(np.median([one[key] for one in found])) for key in PROPERTIES}}
    return rows
