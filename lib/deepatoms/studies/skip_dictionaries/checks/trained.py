"""Section 2.6, the abstract and the conclusion: what trained nets show."""

import functools

import numpy as np
import torch

from deepatoms import data
from deepatoms.claims.checking import Measurement, Setting, check, experiment
from deepatoms.learning import ensembles, training
from deepatoms.learning.networks.sparse import SkipNetwork
from deepatoms.runs import results
from deepatoms.studies.skip_dictionaries import comparison, ksvd, representation


def preactivations(setting, kind):
    """Return W h + b of every layer of five trained nets on their test images."""
    return [(before @ W.T + layer.linear.bias.detach().double().cpu().numpy())
            for net, matrices, h in zip(comparison.networks(setting, kind)[:5], comparison.weights(setting, kind),
                                        comparison.features(setting, kind, "test"), strict=False)
            for layer, W, before in zip(net.layers, matrices, h[:-1], strict=True)]


# ---- rsc.optimization ----

@check("rsc.optimization/faster", experiment(10))
def faster(setting):
    """Compare log training losses after 5 epochs, residual minus plain, in pairs; the control exchanges them."""
    mean, (low, high) = comparison.interval(comparison.log_losses(setting, "resnet") - comparison.log_losses(setting, "plain"))
    return Measurement(mean, -mean, (low, high), (-high, -low))


@check("rsc.optimization/explained_by_condition", experiment(10))
def explained_by_condition(setting):
    """Compare log training losses, half-orthogonal minus He start of plain nets; residual nets are the control."""
    return Measurement(*((comparison.log_losses(setting, kind) - comparison.log_losses(setting, "plain")).mean()
                         for kind in ("orthogonal", "resnet")))


@check("rsc.optimization/scale_not_condition", experiment(10))
def scale_not_condition(setting):
    """Take the same difference for the corrected statement."""
    return explained_by_condition(setting)


# ---- rsc.feature_energy ----

@functools.lru_cache
def feature_dimensions(setting):
    """Return the mean PCA dimensions with 90 % of the features' energy after 8 drawn layers, by kind and scale."""
    x, generator = comparison.digits(setting, "train")[0][0].cpu(), setting.torch("features")
    found = [_dimensions_of(x, torch.randn(8, 64, 64, generator=generator) / 8) for _ in range(100)]
    return dict(zip(("he", "small", "plain", "linear"), np.mean(found, axis=0), strict=True))


def _dimensions_of(x, W):
    """Return the dimensions of residual (s = 1.41 and 0.5), plain and linear chains (s = 1.41) on the same matrices."""
    he = small = plain = linear = x
    for layer in W:
        he, small = he + torch.relu(he @ (comparison.HE * layer).T), small + torch.relu(small @ (0.5 * layer).T)
        plain, linear = torch.relu(plain @ (comparison.HE * layer).T), linear @ (comparison.HE * layer).T
    features = torch.stack([he, small, plain, linear]).double()
    centred = features - features.mean(1, keepdim=True)
    energy = torch.linalg.eigvalsh(centred.mT @ centred).flip(-1).cumsum(-1)
    return 1 + (energy < 0.9 * energy[:, -1:]).sum(-1).numpy()


@check("rsc.feature_energy/he_scale", experiment(100))
def feature_he_scale(setting):
    """Compare PCA dimensions of residual (s = 1.41) and plain nets; residual nets with s = 0.5 are the control."""
    found = feature_dimensions(setting)
    return Measurement(found["he"] - found["plain"], found["small"] - found["plain"])


@check("rsc.feature_energy/small_branches", experiment(100))
def feature_small_branches(setting):
    """Compare PCA dimensions of residual (s = 0.5) and plain nets; linear minus residual is the control."""
    found = feature_dimensions(setting)
    return Measurement(found["small"] - found["plain"], found["linear"] - found["small"])


# ---- rsc.emp_condition, rsc.emp_coherence, rsc.efficient ----

def _condition_ratios(setting, kind):
    medians = [np.median(comparison.condition_numbers(setting, name), axis=0) for name in ("linear", kind)]
    return medians[0] / medians[1]


@check("rsc.emp_condition/without_batch_norm", experiment(10))
def without_batch_norm(setting):
    """Divide median condition numbers, linear by residual, layer by layer; plain ReLU layers are the control."""
    return Measurement(_condition_ratios(setting, "resnet").min(), _condition_ratios(setting, "plain").min())


@check("rsc.emp_condition/with_batch_norm", experiment(10))
def with_batch_norm(setting):
    """Do the same with batch normalisation in the residual nets; the control leaves the first layer out."""
    ratios = _condition_ratios(setting, "resnet_bn")
    return Measurement(ratios.min(), ratios[1:].min())


@check("rsc.emp_coherence/difference", experiment(5))
def coherence_difference(setting):
    """Compare mutual coherences in pairs, residual minus linear, mean over layers; plain minus linear is the control."""
    means = {kind: comparison.coherences(setting, kind)[:5].mean(1) for kind in ("resnet", "linear", "plain")}
    measured, control = (comparison.interval(means[kind] - means["linear"]) for kind in ("resnet", "plain"))
    return Measurement(measured[0], control[0], measured[1], control[1])


@functools.lru_cache
def _snr_differences(setting):
    found = []
    for member in range(5):
        linear = representation.last_layer_snr(setting, "linear", member)
        learned = ksvd.learn(comparison.features(setting, "resnet")[member][-1], 64, 4, 3, member)
        found.append([representation.last_layer_snr(setting, "resnet", member, D) - linear for D in (None, learned)])
    return np.mean(found, axis=0)


@check("rsc.efficient/snr", experiment(5))
def snr(setting):
    """Compare how well four atoms represent the last features, residual minus linear; K-SVD is the control."""
    return Measurement(*_snr_differences(setting))


@check("rsc.efficient/reversed", experiment(5))
def reversed_snr(setting):
    """Take the same difference for the corrected statement."""
    return Measurement(*_snr_differences(setting))


# ---- rsc.generalization ----

SCALES = {"resnet": 0.5, "linear": 1.0, "plain": comparison.HE, "sparse": 0.5}
DEEP = [{"kind": kind, "depth": 16, "epochs": 3, "shuffled": False} for kind in ("resnet", "linear", "plain")]
SHALLOW = [{"kind": "sparse", "depth": 4, "epochs": 4, "shuffled": False},
           {"kind": "plain", "depth": 4, "epochs": 4, "shuffled": False},
           {"kind": "plain", "depth": 4, "epochs": 4, "shuffled": True}]


def _digits_version(configuration):
    return {**configuration, "epochs": 20}


@results.experiment("skip-generalization-mnist", DEEP + SHALLOW, 8, ["rsc.generalization"],
                    "Accuracy of the compared nets on MNIST, five seeds")
def on_mnist(configuration, device):
    """Train five nets of a kind together on MNIST; return their test accuracies in points."""
    kind, depth = configuration["kind"], configuration["depth"]
    (inputs, labels), test = (_mnist(split, device) for split in data.SPLITS)
    if configuration["shuffled"]:
        labels = labels[:, torch.randperm(labels.shape[1], generator=torch.Generator().manual_seed(0)).to(device)]
    nets = [SkipNetwork(kind, depth, SCALES[kind], pixels=784, seed=seed).to(device) for seed in range(5)]
    nets = training.train(nets, inputs, labels, training.Recipe(configuration["epochs"], batch_size=128))
    return {"accuracy": (100 * ensembles.accuracy(nets, *test)).tolist()}


def _mnist(split, device):
    found = data.load("mnist", split)
    return found.images.flatten(1).to(device).expand(5, -1, -1), found.labels.to(device).expand(5, -1)


@results.experiment("skip-generalization-digits", [_digits_version(c) for c in DEEP + SHALLOW], 4,
                    ["rsc.generalization"], "Accuracy of the compared nets on digits, ten seeds")
def on_digits(configuration, device):
    """Train ten nets of a kind together on digits, each on its own split; return their test accuracies in points."""
    setting, kind = Setting(device=device), configuration["kind"]
    nets = comparison.untrained(setting, kind, configuration["depth"], SCALES[kind])
    nets = comparison.train(setting, nets, configuration["epochs"], shuffled=10 * configuration["shuffled"])
    return {"accuracy": [100 * float(value) for value in comparison.accuracies(setting, nets)]}


def _recorded(records, kind, depth, shuffled=False):
    return np.array(next(record["result"]["accuracy"] for record in records
                         if (record["configuration"]["kind"], record["configuration"]["depth"],
                             record["configuration"]["shuffled"]) == (kind, depth, shuffled)))


def accuracy(setting, records):
    """Compare test accuracies in pairs, residual minus the better of linear and plain; the control exchanges them."""
    found = {kind: _recorded(records, kind, 16) for kind in ("resnet", "linear", "plain")}
    better = max(("linear", "plain"), key=lambda kind: found[kind].mean())
    measured = comparison.interval(found["resnet"] - found[better])
    control = comparison.interval(found["plain"] - found["resnet"])
    return Measurement(measured[0], control[0], measured[1], control[1])


def sparse_model(setting, records):
    """Compare mean test accuracies, sparse minus plain ReLU nets; shuffled labels for the plain ones are the control."""
    found = _recorded(records, "sparse", 4).mean()
    return Measurement(found - _recorded(records, "plain", 4).mean(), found - _recorded(records, "plain", 4, True).mean())


for _scale, _name, _seeds in (("laptop", "digits", 10), ("full", "mnist", 5)):
    for _function in (accuracy, sparse_model):
        check(f"rsc.generalization/{_function.__name__}", experiment(_seeds), _scale,
              f"skip-generalization-{_name}")(_function)
