"""Section 2.6, the abstract and the conclusion: what trained nets show."""

import functools

import numpy as np
import torch

from deepatoms import data
from deepatoms.claims.checking import Measurement, Setting, check, experiment, instances
from deepatoms.claims.intervals import mean_and_interval
from deepatoms.learning import ensembles, training
from deepatoms.learning.networks.sparse import SkipNetwork
from deepatoms.runs import results
from deepatoms.studies.skip_dictionaries import comparison, representation
from deepatoms.theory import skip_dictionaries as skip


def preactivations(setting, kind):
    """Return W h + b of every layer of five trained nets on their test images."""
    return [(before @ W.T + layer.linear.bias.detach().double().cpu().numpy())
            for net, matrices, h in zip(comparison.networks(setting, kind)[:5], comparison.weights(setting, kind),
                                        comparison.features(setting, kind, "test"), strict=False)
            for layer, W, before in zip(net.layers, matrices, h[:-1], strict=True)]


# ---- rsc.optimization ----

HE_GAUSSIAN, HE_ORTHOGONAL = ("plain", "Gaussian", comparison.HE), ("plain", "orthogonal", comparison.HE)
HALF_GAUSSIAN, HALF_ORTHOGONAL = ("plain", "Gaussian", 0.5), ("plain", "orthogonal", 0.5)
SMALL_RESIDUAL, RESIDUAL, HE_RESIDUAL = (("resnet", "Gaussian", scale) for scale in (0.1, 0.5, comparison.HE))


def _losses_compared(setting, pair, control):
    """Compare two starts' log training losses net by net, with the interval; another pair of starts is the control."""
    (mean, ends), (other, other_ends) = (mean_and_interval(_difference(setting, *starts)) for starts in (pair, control))
    return Measurement(mean, other, ends, other_ends, count=len(_difference(setting, *pair)))


def _difference(setting, first, second):
    found = [comparison.log_losses(setting, *start) for start in (first, second)]
    return found[0][:len(found[1])] - found[1][:len(found[0])]


@check("rsc.optimization/faster", experiment(10))
def faster(setting):
    """Compare log training losses after 5 epochs, residual minus plain; the control starts the residual at He's scale."""
    return _losses_compared(setting, (RESIDUAL, HE_GAUSSIAN), (HE_RESIDUAL, HE_GAUSSIAN))


@check("rsc.optimization/explained_by_condition", experiment(10))
def explained_by_condition(setting):
    """Take the larger difference, orthogonal minus Gaussian layers, over both scales; He's scale alone is the control."""
    half, he = (_difference(setting, *pair) for pair in ((HALF_ORTHOGONAL, HALF_GAUSSIAN), (HE_ORTHOGONAL, HE_GAUSSIAN)))
    return Measurement(max(half.mean(), he.mean()), he.mean(), count=len(half))


@check("rsc.optimization/condition_at_the_right_scale", experiment(20))
def condition_at_the_right_scale(setting):
    """Compare orthogonal with Gaussian layers of plain nets at He's scale; at half that scale and less as control."""
    return _losses_compared(setting, (HE_ORTHOGONAL, HE_GAUSSIAN), (HALF_ORTHOGONAL, HALF_GAUSSIAN))


@check("rsc.optimization/scale_alone", experiment(20))
def scale_alone(setting):
    """Compare Gaussian plain nets of scale 0.5 with those at He's; the control changes the condition number instead."""
    return _losses_compared(setting, (HALF_GAUSSIAN, HE_GAUSSIAN), (HALF_ORTHOGONAL, HALF_GAUSSIAN))


@check("rsc.optimization/residual_scale", experiment(10))
def residual_scale(setting):
    """Compare residual with plain nets, both at He's scale; the control starts the residual nets at 0.5."""
    return _losses_compared(setting, (HE_RESIDUAL, HE_GAUSSIAN), (RESIDUAL, HE_GAUSSIAN))


# ---- rsc.isometry ----

@check("rsc.isometry/plain_relu", instances(20, "networks"))
def plain_relu(setting):
    """Take the largest share of the end-to-end Jacobian's singular values in [0.1, 10]; linear nets are the control."""
    spectra = [comparison.start_spectra(setting, *start) for start in (HE_GAUSSIAN, HE_ORTHOGONAL)]
    linear = comparison.start_spectra(setting, "linear", "orthogonal", 1.0)
    largest, control = (max(_near(one).max() for one in found) for found in (spectra, [linear]))
    return Measurement(largest, control, count=sum(len(one) // 3 for one in spectra))


def _near(spectra):
    return skip.isometric_share(np.apply_along_axis(np.diag, 1, spectra))


@check("rsc.isometry/trains_faster", experiment(10))
def isometric_trains_faster(setting):
    """Compare log training losses of residual nets, scale 0.1 minus 0.5; the control starts at He's scale."""
    return _losses_compared(setting, (SMALL_RESIDUAL, RESIDUAL), (HE_RESIDUAL, RESIDUAL))


# ---- rsc.feature_energy ----

@functools.lru_cache
def feature_dimensions(setting):
    """Return the mean PCA dimensions with 90 % of the features' energy after 8 drawn layers, by kind and scale."""
    x, generator = comparison.digits(setting, "train")[0][0].cpu(), setting.torch("features")
    found = [_dimensions_of(x, torch.randn(8, 64, 64, generator=generator) / 8) for _ in range(100)]
    return dict(zip(("he", "small", "plain", "linear"), np.mean(found, axis=0), strict=True), draws=len(found))


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


@check("rsc.feature_energy/he_scale", instances(100, "networks"))
def feature_he_scale(setting):
    """Compare PCA dimensions of residual (s = 1.41) and plain nets; residual nets with s = 0.5 are the control."""
    found = feature_dimensions(setting)
    return Measurement(found["he"] - found["plain"], found["small"] - found["plain"], count=found["draws"])


@check("rsc.feature_energy/small_branches", instances(100, "networks"))
def feature_small_branches(setting):
    """Compare PCA dimensions of residual (s = 0.5) and plain nets; linear minus residual is the control."""
    found = feature_dimensions(setting)
    return Measurement(found["small"] - found["plain"], found["linear"] - found["small"], count=found["draws"])


# ---- rsc.emp_condition, rsc.emp_coherence, rsc.efficient ----

def _condition_ratios(setting, kind):
    """Return the ratios of the median condition numbers, linear over another kind, a layer each, and the nets of a kind."""
    found = [comparison.condition_numbers(setting, name) for name in ("linear", kind)]
    return np.median(found[0], axis=0) / np.median(found[1], axis=0), min(map(len, found))


@check("rsc.emp_condition/without_batch_norm", experiment(10))
def without_batch_norm(setting):
    """Divide median condition numbers, linear by residual, layer by layer; plain ReLU layers are the control."""
    (ratios, count), (plain, _) = (_condition_ratios(setting, kind) for kind in ("resnet", "plain"))
    return Measurement(ratios.min(), plain.min(), count=count)


@check("rsc.emp_condition/with_batch_norm", experiment(10))
def with_batch_norm(setting):
    """Do the same with batch normalisation in the residual nets; the control leaves the first layer out."""
    ratios, count = _condition_ratios(setting, "resnet_bn")
    return Measurement(ratios.min(), ratios[1:].min(), count=count)


def _coherences_compared(setting, kind):
    means = {name: comparison.coherences(setting, name)[:5].mean(1) for name in (kind, "linear", "plain")}
    measured, control = (mean_and_interval(means[name] - means["linear"]) for name in (kind, "plain"))
    return Measurement(measured[0], control[0], measured[1], control[1], count=len(means[kind]))


@check("rsc.emp_coherence/difference", experiment(5))
def coherence_difference(setting):
    """Compare mutual coherences in pairs, residual minus linear, mean over layers; plain minus linear is the control."""
    return _coherences_compared(setting, "resnet")


@check("rsc.emp_coherence/with_batch_norm", experiment(5))
def coherence_with_batch_norm(setting):
    """Do the same with batch normalisation in the residual nets."""
    return _coherences_compared(setting, "resnet_bn")


@functools.lru_cache
def _snr_differences(setting):
    found = []
    for member in range(5):
        linear = representation.last_layer_snr(setting, "linear", member)
        learned = representation.learned_of(setting, "resnet", member)
        found.append([representation.last_layer_snr(setting, "resnet", member, D) - linear for D in (None, learned)])
    return np.array(found)


@check("rsc.efficient/snr", experiment(5))
def snr(setting):
    """Compare how well four atoms represent the last features, residual minus linear; K-SVD is the control."""
    found = _snr_differences(setting)
    return Measurement(*found.mean(0), count=len(found))


@check("rsc.efficient/own_net", experiment(5))
def own_net(setting):
    """Compare linear features' ratio under their own net's dictionary and another linear net's; residual as control."""
    gains = {kind: representation.gains_of_own(setting, kind) for kind in ("linear", "resnet")}
    return Measurement(*(np.mean(found) for found in gains.values()), count=len(gains["linear"]))


@check("rsc.efficient/not_collapsed", experiment(5))
def not_collapsed(setting):
    """Compare the ratios of the best four directions of the features, linear minus residual; minus sparse as control."""
    found = {kind: representation.best_directions(setting, kind) for kind in ("linear", "resnet", "sparse")}
    return Measurement(*(np.mean(found["linear"] - found[kind]) for kind in ("resnet", "sparse")), count=len(found["linear"]))


# ---- rsc.generalization ----

SCALES = {"resnet": 0.5, "linear": 1.0, "plain": comparison.HE, "sparse": 0.5}
DEEP = [{"kind": kind, "depth": 16, "epochs": 3, "shuffled": False} for kind in ("resnet", "linear", "plain")]
SHALLOW = [{"kind": "sparse", "depth": 4, "epochs": 4, "shuffled": False},
           {"kind": "plain", "depth": 4, "epochs": 4, "shuffled": False},
           {"kind": "plain", "depth": 4, "epochs": 4, "shuffled": True}]


RECIPES = {"skip-generalization-mnist": {"starts": SCALES, "batch_size": 128, "samples": 60_000, "seeds": 5},
           "skip-generalization-digits": {"starts": SCALES, "batch_size": 64, "samples": 1300, "seeds": 10}}
_STARTS = {"resnet": 0.5, "linear": 1.0, "plain": 1.41, "sparse": 0.5}
UNSTATED = {"skip-generalization-mnist": {"starts": _STARTS, "batch_size": 128, "samples": 60_000, "seeds": 5},
            "skip-generalization-digits": {"starts": _STARTS, "batch_size": 64, "samples": 1300, "seeds": 10}}


def _digits_version(configuration):
    return {**configuration, "epochs": 20}


@results.experiment("skip-generalization-mnist", DEEP + SHALLOW, 8, ["rsc.generalization"],
                    "Accuracy of the compared nets on MNIST, five seeds")
def on_mnist(configuration, device):
    """Train five nets of a kind together on MNIST; return their test accuracies in points, and the recipe."""
    kind, depth = configuration["kind"], configuration["depth"]
    (inputs, labels), test = (_mnist(split, device) for split in data.SPLITS)
    if configuration["shuffled"]:
        labels = labels[:, torch.randperm(labels.shape[1], generator=torch.Generator().manual_seed(0)).to(device)]
    nets = [SkipNetwork(kind, depth, SCALES[kind], pixels=784, seed=seed).to(device) for seed in range(5)]
    nets = training.train(nets, inputs, labels, training.Recipe(configuration["epochs"], batch_size=128))
    return {"accuracy": (100 * ensembles.accuracy(nets, *test)).tolist(),
            "recipe": {**RECIPES["skip-generalization-mnist"], "samples": labels.shape[1], "seeds": len(nets)}}


def _mnist(split, device):
    found = data.load("mnist", split)
    return found.images.flatten(1).to(device).expand(5, -1, -1), found.labels.to(device).expand(5, -1)


@results.experiment("skip-generalization-digits", [_digits_version(c) for c in DEEP + SHALLOW], 4,
                    ["rsc.generalization"], "Accuracy of the compared nets on digits, ten seeds")
def on_digits(configuration, device):
    """Train ten nets of a kind on digits, each on its own split; return test accuracies in points, and the recipe."""
    setting, kind = Setting(device=device), configuration["kind"]
    nets = comparison.untrained(setting, kind, configuration["depth"], SCALES[kind])
    nets = comparison.train(setting, nets, configuration["epochs"], shuffled=10 * configuration["shuffled"])
    samples = comparison.digits(setting, "train")[1].shape[1]
    return {"accuracy": [100 * float(value) for value in comparison.accuracies(setting, nets)],
            "recipe": {**RECIPES["skip-generalization-digits"], "samples": samples, "seeds": len(nets)}}


def _recorded(records, kind, depth, shuffled=False):
    record = next(record for record in records
                  if (record["configuration"]["kind"], record["configuration"]["depth"],
                      record["configuration"]["shuffled"]) == (kind, depth, shuffled))
    name = record["experiment"]
    return np.array(comparison.made_with(record, RECIPES[name], UNSTATED[name])["result"]["accuracy"])


def accuracy(setting, records):
    """Compare test accuracies in pairs, residual minus the better of linear and plain; linear minus plain is the control."""
    found = {kind: _recorded(records, kind, 16) for kind in ("resnet", "linear", "plain")}
    better = max(("linear", "plain"), key=lambda kind: found[kind].mean())
    measured = mean_and_interval(found["resnet"] - found[better])
    control = mean_and_interval(found["linear"] - found["plain"])
    return Measurement(measured[0], control[0], measured[1], control[1], count=len(found["resnet"]))


def sparse_model(setting, records):
    """Compare mean test accuracies, sparse minus plain ReLU nets; shuffled labels for the plain ones are the control."""
    found, plain, shuffled = (_recorded(records, *which) for which in (("sparse", 4), ("plain", 4), ("plain", 4, True)))
    return Measurement(found.mean() - plain.mean(), found.mean() - shuffled.mean(), count=min(len(found), len(plain)))


for _scale, _name, _seeds in (("reduced", "digits", 10), ("full", "mnist", 5)):
    for _function in (accuracy, sparse_model):
        check(f"rsc.generalization/{_function.__name__}", experiment(_seeds), _scale,
              f"skip-generalization-{_name}")(_function)
