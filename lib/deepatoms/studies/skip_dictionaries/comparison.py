"""The comparison that the note on skip dictionaries planned: five kinds of net, trained alike, and their layers' dictionaries."""

import functools
import math

import numpy as np
import torch
from scipy import stats

from deepatoms import data
from deepatoms.learning import ensembles
from deepatoms.learning.networks.sparse import Network
from deepatoms.runs import results
from deepatoms.runs.prefetch import Remembered
from deepatoms.studies.skip_dictionaries import ksvd
from deepatoms.theory import dictionaries
from deepatoms.theory import skip_dictionaries as skip

STARTS = {"resnet": 0.5, "resnet_bn": 0.5, "linear": 1.0, "plain": 1.0, "sparse": 0.5}
NAMES = {"resnet_bn": "ResNet + BN", "resnet": "ResNet", "linear": "linear", "plain": "plain ReLU",
         "sparse": "sparse ResNet"}
DEPTH, EPOCHS, HE = 4, 40, 1.41  # HE: the scale of He's start for plain nets
PROPERTIES = ("kappa", "mu", "mu_avg", "mu_mse", "babel_4", "A", "B", "k90")


def seeds(setting, count):
    """Return the seeds of the members: those of different settings do not overlap."""
    return [1000 * setting.seed + member for member in range(count)]


@functools.lru_cache
def digits(setting, split, count=10):
    """Return the members' digits, each a split of its own: inputs (members, samples, 64) and labels."""
    found = [data.load("digits", split, seed) for seed in seeds(setting, count)]
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
    count, shuffled = 5 if kind == "plain" else 10, 5 if kind == "sparse" else 0
    return train(setting, kind, DEPTH, STARTS[kind], EPOCHS, count, shuffled)


@Remembered
def log_losses(setting, kind):
    """Return the log training loss of ten nets of 32 layers after 5 epochs: resnet, plain or orthogonal (plain)."""
    scale, start = (0.5 if kind == "resnet" else HE), (_half_orthogonal if kind == "orthogonal" else None)
    nets = train(setting, "resnet" if kind == "resnet" else "plain", 32, scale, 5, 10, start=start)
    inputs, labels = digits(setting, "train")
    scores = ensembles.outputs(nets, inputs)
    losses = torch.nn.functional.cross_entropy(scores.flatten(0, 1), labels.flatten(), reduction="none")
    return losses.reshape(labels.shape).double().mean(1).log().cpu().numpy()


def _half_orthogonal(net):
    """Set every layer's weights to half an orthogonal matrix: condition number 1, too small a scale."""
    with torch.no_grad():
        for layer in net.layers:
            Q, R = torch.linalg.qr(layer.linear.weight)
            layer.linear.weight.copy_(0.5 * Q * torch.sign(torch.diagonal(R)))


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


ATOMS = (1, 2, 4, 8, 16)


def curve(D, h):
    """Return the signal-to-noise ratio of features under a dictionary, for each number of ``ATOMS``."""
    return [float(skip.signal_to_noise(h, skip.matching_pursuit(D, h, atoms) @ dictionaries.normalize(D).T))
            for atoms in ATOMS]


@functools.lru_cache
def curves(setting, kind, members=5):
    """Return the last layers' curves, shape (members, len(ATOMS))."""
    return np.array([curve(layers[-1], h[-1]) for layers, h, _ in
                     zip(operators(setting, kind), features(setting, kind, "test"), range(members), strict=False)])


def table(setting, members=5):
    """Return the comparison on digits: for each kind accuracy, its spread over seeds, and the dictionaries' properties."""
    rows = {}
    for kind, name in NAMES.items():
        accuracy = accuracies(setting, networks(setting, kind)[:members])
        found = [properties(layers) for layers in operators(setting, kind)[:members]]
        rows[name] = {"accuracy": accuracy.mean(), "+/-": accuracy.std(ddof=1),
                      **{key: float(np.median([one[key] for one in found])) for key in PROPERTIES}}
    return rows


def text(rows):
    """Return rows of numbers as a table of text, one column for each row: it fits a page."""
    keys = list(next(iter(rows.values())))
    lines = [" " * 8 + "".join(f"{name:>14}" for name in rows)]
    return "\n".join(lines + [f"{key:8}" + "".join(f"{row[key]:14.3g}" for row in rows.values()) for key in keys])


@functools.cache
def patches(split, seed):
    """Return 8 x 8 grey patches of scikit-learn's two photographs, as rows of 64, and which photograph each is from."""
    found = data.load("photographs", split, seed)
    grey = found.images.mean(1)
    corners = [grey[:, row:row + 8, column:column + 8] for row, column in ((0, 0), (0, 16), (16, 0), (16, 16))]
    return torch.cat(corners).flatten(1), found.labels.repeat(4)


@results.experiment("skip-photographs", [{"kind": kind} for kind in NAMES], 2, ["rsc.efficient", "rsc.emp_condition"],
                    "The comparison on 8 x 8 patches of two photographs, five seeds")
def on_photographs(configuration, device):
    """Train five nets of a kind to tell two photographs by a patch; return accuracy, properties and curves of each."""
    kind = configuration["kind"]
    (inputs, labels), (test_inputs, test_labels) = (
        [torch.stack(parts).to(device) for parts in zip(*(patches(split, seed) for seed in range(5)), strict=True)]
        for split in ("train", "test"))
    nets = [Network(kind, DEPTH, STARTS[kind], classes=2, seed=seed).to(device) for seed in range(5)]
    nets = ensembles.train(nets, inputs, labels, EPOCHS)
    found = {"accuracy": ensembles.accuracy(nets, test_inputs, test_labels).tolist(), "properties": [], "own": [],
             "ksvd": []}
    for seed, net in enumerate(nets):
        h, test = layer_features(net, inputs[seed]), layer_features(net, test_inputs[seed])
        layers = layer_operators(kind, net, h)
        found["properties"].append({key: value if math.isfinite(value) else None
                                    for key, value in properties(layers).items()})
        found["own"].append(curve(layers[-1], test[-1]))
        found["ksvd"].append(curve(ksvd.learn(h[-1], 64, 4, 5, seed), test[-1]))
    return found


def photographs_table(records):
    """Return the recorded comparison on photographs in the form of ``table``; a property that was infinite stays so."""
    rows = {}
    for record in records:
        result = record["result"]
        rows[NAMES[record["configuration"]["kind"]]] = {
            "accuracy": np.mean(result["accuracy"]), "+/-": np.std(result["accuracy"], ddof=1),
            **{key: float(np.median([np.inf if one[key] is None else one[key] for one in result["properties"]]))
               for key in PROPERTIES}}
    return rows
