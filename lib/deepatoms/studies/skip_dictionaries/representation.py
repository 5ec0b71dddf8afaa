"""How well sparse codes in a trained layer's dictionary represent its features: on digits, and recorded on photographs."""

import functools
import math

import numpy as np
import scipy.fft
import torch

from deepatoms import data
from deepatoms.claims.intervals import mean_and_interval
from deepatoms.learning import ensembles, training
from deepatoms.learning.networks.sparse import SkipNetwork
from deepatoms.runs import results
from deepatoms.studies.skip_dictionaries import comparison, ksvd
from deepatoms.theory import dictionaries, pursuit
from deepatoms.theory import skip_dictionaries as skip

ATOMS = (1, 2, 4, 8, 16)
RECIPE = {"epochs": comparison.EPOCHS, "depth": comparison.DEPTH, "starts": comparison.STARTS, "samples": 1560, "seeds": 5}
UNSTATED = {"epochs": 40, "depth": 4, "samples": 1560, "seeds": 5,  # of the records of November 2026
            "starts": {"resnet": 0.5, "resnet_bn": 0.5, "linear": 1.0, "plain": 1.0, "sparse": 0.5}}


def curve(D, h):
    """Return the signal-to-noise ratio of features under a dictionary, for each number of ``ATOMS``."""
    return [float(signal_to_noise(D, h, atoms)) for atoms in ATOMS]


def signal_to_noise(D, h, atoms):
    """Return the signal-to-noise ratio of features in dB when matching pursuit codes each with so many atoms of D."""
    return skip.signal_to_noise(h, pursuit.matching_pursuit(D, h, atoms) @ dictionaries.normalize(D).T)


@functools.lru_cache
def curves(setting, kind):
    """Return the last layers' curves of five nets, shape (5, len(ATOMS))."""
    found = zip(comparison.operators(setting, kind)[:5], comparison.features(setting, kind, "test")[:5], strict=True)
    return np.array([curve(layers[-1], h[-1]) for layers, h in found])


def last_layer_snr(setting, kind, member, D=None):
    """Return the signal-to-noise ratio that four atoms reach on the last layer's test features: its own, or those of D."""
    D = comparison.operators(setting, kind)[member][-1] if D is None else D
    return signal_to_noise(D, comparison.features(setting, kind, "test")[member][-1], 4)


@functools.lru_cache
def of_another_net(setting, kind):
    """Return how five nets' last features fare with the last dictionary of the next net of their kind, in dB."""
    last = [layers[-1] for layers in comparison.operators(setting, kind)[:5]]
    return np.array([last_layer_snr(setting, kind, member, last[(member + 1) % 5]) for member in range(5)])


def gains_of_own(setting, kind):
    """Return by how much a layer's own dictionary represents its features better than another net's, five nets, in dB."""
    return np.array([last_layer_snr(setting, kind, member) for member in range(5)]) - of_another_net(setting, kind)


def best_directions(setting, kind):
    """Return the signal-to-noise ratios of the four best directions of five nets' last test features (not centred)."""
    energies = [skip.energy_shares(h[-1])[3] for h in comparison.features(setting, kind, "test")[:5]]
    return -10 * np.log10(1 - np.array(energies))


@functools.lru_cache
def learned_of(setting, kind, member):
    """Return the dictionary that K-SVD learns from a net's last training features: 64 atoms, 4 nonzeros, 3 iterations."""
    return ksvd.learn(comparison.features(setting, kind)[member][-1], 64, 4, 3, member)


def references(setting):
    """Return the properties of two dictionaries of 64 atoms that no net has: K-SVD's, of ResNet features, and the DCT."""
    cosines = scipy.fft.dct(np.eye(8), norm="ortho")
    return {"K-SVD": comparison.properties([learned_of(setting, "resnet", member) for member in range(5)]),
            "DCT": comparison.properties([np.kron(cosines, cosines)])}


def cross_table(setting):
    """Return for the features of three kinds of net what four atoms of every kind's dictionary reach, in dB, mean of five."""
    draw = setting.numpy("cross table")
    rows = {}
    for kind in ("resnet", "linear", "plain"):
        rows["of " + comparison.NAMES[kind]] = {
            **{comparison.NAMES[other]: _mean_of_five(setting, kind, [layers[-1] for layers in
                                                                      comparison.operators(setting, other)[:5]])
               for other in comparison.NAMES},
            "another net": of_another_net(setting, kind).mean(),
            "random": _mean_of_five(setting, kind, draw.normal(size=(5, 64, 64))),
            "4 directions": best_directions(setting, kind).mean()}
    return rows


def _mean_of_five(setting, kind, dictionaries):
    return np.mean([last_layer_snr(setting, kind, member, D) for member, D in enumerate(dictionaries)])


@functools.cache
def patches(split, seed):
    """Return 8 x 8 grey patches of scikit-learn's two photographs, as rows of 64, and which photograph each is from."""
    found = data.load("photographs", split, seed)
    grey = found.images.mean(1)
    corners = [grey[:, row:row + 8, column:column + 8] for row, column in ((0, 0), (0, 16), (16, 0), (16, 16))]
    return torch.cat(corners).flatten(1), found.labels.repeat(4)


@results.experiment("skip-photographs", [{"kind": kind} for kind in comparison.NAMES], 2, ["rsc.efficient", "rsc.emp_condition"],
                    "The comparison on 8 x 8 patches of two photographs, five seeds")
def on_photographs(configuration, device):
    """Train five nets of a kind to tell two photographs by a patch; return accuracy, properties and curves of each."""
    kind = configuration["kind"]
    (inputs, labels), (test_inputs, test_labels) = (
        [torch.stack(parts).to(device) for parts in zip(*(patches(split, seed) for seed in range(5)), strict=True)]
        for split in ("train", "test"))
    nets = [SkipNetwork(kind, comparison.DEPTH, comparison.STARTS[kind], classes=2, seed=seed).to(device) for seed in range(5)]
    nets = training.train(nets, inputs, labels, training.Recipe(comparison.EPOCHS))
    found = {"accuracy": ensembles.accuracy(nets, test_inputs, test_labels).tolist(), "properties": [], "own": [],
             "ksvd": [], "recipe": {**RECIPE, "samples": inputs.shape[1], "seeds": len(nets)}}
    for seed, net in enumerate(nets):
        h, test = comparison.layer_features(net, inputs[seed]), comparison.layer_features(net, test_inputs[seed])
        layers = comparison.layer_operators(kind, net, h)
        found["properties"].append({key: value if math.isfinite(value) else None
                                    for key, value in comparison.properties(layers).items()})
        found["own"].append(curve(layers[-1], test[-1]))
        found["ksvd"].append(curve(ksvd.learn(h[-1], 64, 4, 5, seed), test[-1]))
    return found


def photographs_table(records):
    """Return the recorded comparison on photographs in the form of ``table``; a property that was infinite stays so."""
    rows = {}
    for record in records:
        result = comparison.made_with(record, RECIPE, UNSTATED)["result"]
        rows[comparison.NAMES[record["configuration"]["kind"]]] = {
            "accuracy": np.mean(result["accuracy"]), "+/-": np.std(result["accuracy"], ddof=1),
            **{key: float(np.median([np.inf if one[key] is None else one[key] for one in result["properties"]]))
               for key in comparison.PROPERTIES}}
    return rows


def photographs_differences(records):
    """Return by kind the recorded paired differences with 95 % intervals: accuracy from ResNet, coherence from linear."""
    found = {record["configuration"]["kind"]: record["result"] for record in records}
    accuracy = {kind: 100 * np.array(result["accuracy"]) for kind, result in found.items()}
    coherence = {kind: np.array([one["mu"] for one in result["properties"]]) for kind, result in found.items()}
    return [(name, _told(accuracy[kind] - accuracy["resnet"], 1) if kind != "resnet" else "",
             _told(coherence[kind] - coherence["linear"], 3) if kind != "linear" else "")
            for kind, name in comparison.NAMES.items()]


def _told(differences, digits):
    mean, (low, high) = mean_and_interval(differences)
    return f"{mean:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"
