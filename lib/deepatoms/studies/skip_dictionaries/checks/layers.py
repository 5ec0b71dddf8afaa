"""Sections 1.1 to 1.4: a layer as a dictionary, its activation as a matrix."""

import functools

import numpy as np
import torch

from deepatoms import data
from deepatoms.claims.checking import Measurement, check, experiment, instances
from deepatoms.learning.networks import sparse
from deepatoms.studies.skip_dictionaries import ksvd
from deepatoms.studies.skip_dictionaries.checks import trained
from deepatoms.theory import dictionaries, pursuit
from deepatoms.theory import skip_dictionaries as skip

N = 64
ODD = ("relu", "leaky_relu", "tanh", "elu")  # activations with sigma(0) = 0 whose best S the catalogue names


# ---- rsc.lin ----

@check("rsc.lin/smaller", instances(1000, "layers"))
def smaller(setting):
    """Measure ‖h_next - W h‖ / ‖h_next‖ on layers whose bias is 0.9 of the output."""
    errors = _errors(setting, 0.9)
    return Measurement(errors.max(), _errors(setting, 0.0).max(), count=len(errors))


@check("rsc.lin/relative_error", instances(1000, "layers"))
def relative_error(setting):
    """Measure the same with a bias of 0.01 of the output."""
    errors = _errors(setting, 0.01)
    return Measurement(errors.max(), _errors(setting, 0.9).max(), count=len(errors))


def _errors(setting, share):
    draw = setting.numpy("lin")
    W = skip.gaussian(N, 1.0, draw, 1000)
    h, direction = draw.normal(size=(2, 1000, N))
    predicted = np.einsum("kij,kj->ki", W, h)
    outputs = torch.baddbmm(torch.tensor(_bias(predicted, direction, share))[..., None], torch.tensor(W),
                            torch.tensor(h)[..., None])[..., 0].numpy()
    return np.linalg.norm(outputs - predicted, axis=1) / np.linalg.norm(outputs, axis=1)


def _bias(predicted, direction, share):
    """Return the multiple b of each direction with ‖b‖ = share ‖predicted + b‖, the root of a quadratic."""
    direction = direction / np.linalg.norm(direction, axis=1, keepdims=True)
    along = (direction * predicted).sum(1, keepdims=True)
    energy = (predicted**2).sum(1, keepdims=True)
    root = np.sqrt(share**4 * along**2 + (1 - share**2) * share**2 * energy)
    return (share**2 * along + root) / (1 - share**2) * direction


# ---- rsc.ksvd and rsc.ksvd_analog ----

def digits(split, seed):
    """Return the digits of a split as rows of 64 numbers in [0, 1], float64."""
    return data.load("digits", split, seed).images.flatten(1).double().numpy()


def represented(D, X, sparsity):
    """Return the signal-to-noise ratio in dB of signals represented by matching pursuit."""
    return skip.signal_to_noise(X, pursuit.matching_pursuit(D, X, sparsity) @ dictionaries.normalize(D).T)


@check("rsc.ksvd/better_than_samples", experiment(1))
def better_than_samples(setting):
    """Compare the test images' signal-to-noise ratio under K-SVD and under random training images as atoms."""
    training, test = digits("train", setting.seed), digits("test", setting.seed)
    draw = setting.numpy("ksvd")
    base = represented(training[draw.permutation(len(training))[:128]].T, test, 5)
    learned = [ksvd.learn(images, 128, 5, 15, setting.seed) for images in (training, draw.permuted(training, axis=1))]
    return Measurement(*(represented(D, test, 5) - base for D in learned), count=1)


@check("rsc.ksvd_analog/dense_code", experiment(5))
def dense_code(setting):
    """Match the atoms that K-SVD learns from W h with the columns of W; h dense, in the control sparse."""
    return Measurement(*(_match(setting, nonzeros).mean() for nonzeros in (32, 3)), count=len(_match(setting, 32)))


@check("rsc.ksvd_analog/sparse_code", experiment(5))
def sparse_code(setting):
    """Match the atoms that K-SVD learns from W h with the columns of W; h sparse, in the control dense."""
    return Measurement(*(_match(setting, nonzeros).mean() for nonzeros in (3, 32)), count=len(_match(setting, 3)))


@functools.lru_cache
def _match(setting, nonzeros):
    draw, found = setting.numpy("analog"), []
    for seed in range(5):
        W, h = draw.normal(size=(32, 32)), draw.normal(size=(1000, 32))
        h[draw.random(h.shape).argsort(1) >= nonzeros] = 0
        cosines = ksvd.learn(h @ W.T, 32, 3, 10, seed).T @ dictionaries.normalize(W)
        found.append(abs(cosines).max(1).mean())
    return np.array(found)


# ---- rsc.s ----

@functools.lru_cache
def _preactivations(setting):
    samples = 20_000
    draw = setting.numpy("activations")
    W = dictionaries.normalize(draw.normal(size=(2 * N, N))).T  # square ones can be nearly singular: no single S is best
    return draw.normal(size=(samples, 2 * N)) @ W.T


@check("rsc.s/one_matrix", instances(20_000, of="inputs of one layer"))
def one_matrix(setting):
    """Fit one matrix to ReLU by least squares and take the share of energy that it leaves."""
    return Measurement(*(_left(setting, name) for name in ("relu", "linear")), count=len(_preactivations(setting)))


def _left(setting, name):
    a = _preactivations(setting)
    z = skip.activate(name, a)
    return skip.unexplained_share(a, z, skip.best_single_matrix(a, z))


@check("rsc.s/per_input", instances(1000, of="inputs of one layer"))
def per_input(setting):
    """Multiply S(h) = diag(sigma(a) / a) by a again, for six activations; in the control by another input's a."""
    a = _preactivations(setting)[:1000]
    errors = [(abs(S * a - z).max(), abs(np.roll(S, 1, axis=0) * a - z).max())
              for name in (*ODD, "gelu", "sigmoid")
              for S, z in [(skip.activation_matrix(name, a), skip.activate(name, a))]]
    return Measurement(*np.max(errors, axis=0), count=len(a))


@check("rsc.s/best_single", instances(20_000, of="inputs of one layer"))
def best_single(setting):
    """Compare the mean diagonal of the best single S with E sigma'(a), and with E sigma(a)/a as control."""
    a, errors = _preactivations(setting), []
    for name in ODD:
        S = skip.best_single_matrix(a, skip.activate(name, a), centred=True)
        slope = skip.expected_slope(name)
        errors.append((abs(np.diag(S).mean() - slope), abs(skip.activation_matrix(name, a).mean() - slope)))
    return Measurement(*np.max(errors, axis=0), count=len(a))


# ---- rsc.inv and rsc.bounded ----

@check("rsc.inv/zeros", instances(21, "layers"))
def zeros(setting):
    """Count zeros before and after ReLU (control: tanh) on Gaussian layers and on the trained plain nets' layers."""
    before = [_preactivations(setting)[:1000], *trained.preactivations(setting, "plain")]
    return Measurement(*(max(abs((skip.activate(name, a) == 0).mean() - (a == 0).mean()) for a in before)
                         for name in ("relu", "tanh")), count=len(before))


@check("rsc.inv/relu_rank", instances(1000, of="inputs of one layer"))
def relu_rank(setting):
    """Compare the numerical rank of S(h) W with the number of active units, input by input."""
    draw = setting.numpy("relu_rank")
    W, h = skip.gaussian(N, 1.0, draw), draw.normal(size=(1000, N))
    return Measurement(_rank_mismatches("relu", W, h), _rank_mismatches("leaky_relu", W, h), count=len(h))


def _rank_mismatches(name, W, h):
    a = h @ W.T
    ranks = np.linalg.matrix_rank(skip.activation_matrix(name, a)[:, :, None] * W)
    far = abs((skip.activate("relu", a) == 0).mean() - 0.5) > 0.02
    return int((ranks != (a > 0).sum(1)).sum()) + int(far)


@check("rsc.bounded/given_code", instances(1000, of="inputs of one layer"))
def given_code(setting):
    """Count entries of S(h) W h outside the range of ReLU and tanh; in the control h is another input."""
    draw = setting.numpy("bounded")
    W, h = skip.gaussian(N, 2.0, draw), draw.normal(size=(1000, N))
    return Measurement(_outside(W, h, h), _outside(W, h, np.roll(h, 1, axis=0)), count=len(h))


def _outside(W, h, code):
    adjusted = {name: np.einsum("ki,ij,kj->ki", skip.activation_matrix(name, h @ W.T), W, code, optimize=True)
                for name in ("relu", "tanh")}
    return int((adjusted["relu"] < -1e-12).sum() + (abs(adjusted["tanh"]) > 1 + 1e-12).sum())


# ---- rsc.fig1 ----

@check("rsc.fig1/relu_atoms", instances(1000, of="inputs of one layer"))
def relu_atoms(setting):
    """Take the mass of the spectrum of S(h) at exactly 0 (-1 unless all the rest is at exactly 1)."""
    a = _preactivations(setting)[:1000]
    spectra = [skip.activation_matrix(name, a) for name in ("relu", "leaky_relu")]
    return Measurement(*((S == 0).mean() if np.isin(S, (0, 1)).all() else -1.0 for S in spectra), vacuous=True, count=len(a))


@check("rsc.fig1/tanh_median", instances(1000, of="inputs of one layer"))
def tanh_median(setting):
    """Take the median of the spectrum of S(h) for tanh; GELU is the control."""
    a = _preactivations(setting)[:1000]
    return Measurement(*(np.median(skip.activation_matrix(name, a)) for name in ("tanh", "gelu")), vacuous=True, count=len(a))


# ---- rsc.res_layer and rsc.normal_layer ----

@check("rsc.res_layer/fixed_s", instances(1000, "layers"))
def fixed_s(setting):
    """Compare h + sigma(W h + b) with (I + S W) h, S the best single one; a linear activation is the control."""
    _, single, count = _residual_errors(setting, (*ODD, "sigmoid", "softplus"))
    return Measurement(single, _residual_errors(setting, ("linear",))[1], count=count)


@check("rsc.res_layer/with_s_of_h", instances(1000, "layers"))
def with_s_of_h(setting):
    """Compare h + sigma(W h + b) with (I + S(h) W) h; in the control S is the best single one."""
    exact, single, count = _residual_errors(setting, (*ODD, "sigmoid", "softplus"))
    return Measurement(exact, single, count=count)


@functools.lru_cache
def _residual_errors(setting, names):
    """Return the largest errors with S(h) and with the best single S, over the norm of the bias, and the layers."""
    draw = setting.numpy("res_layer")
    W = skip.gaussian(N, 1.0, draw, 1000)
    h, b = draw.normal(size=(2, 1000, N))
    b *= 0.1 / np.linalg.norm(b, axis=1, keepdims=True)
    a, errors = np.einsum("kij,kj->ki", W, h), []
    for name in names:
        outputs = h + skip.activate(name, a + b)
        exact, single = (h + S * a for S in (skip.activation_matrix(name, a), skip.expected_slope(name)))
        errors.append([np.linalg.norm(outputs - predicted, axis=1).max() / 0.1 for predicted in (exact, single)])
    return *np.max(errors, axis=0), len(W)


@check("rsc.normal_layer/as_printed", instances(200, "layers"))
def as_printed(setting):
    """Take the smallest ‖x - D x‖ / ‖x‖ over Gaussian D and x; D = I is the control."""
    draw = setting.numpy("normal_layer")
    D, x = skip.gaussian(N, 1.0, draw, 200), draw.normal(size=(200, N))
    moved = np.linalg.norm(x - np.einsum("kij,kj->ki", D, x), axis=1)
    return Measurement((moved / np.linalg.norm(x, axis=1)).min(), np.linalg.norm(x - x @ np.eye(N), axis=1).max(), count=len(D))


@check("rsc.normal_layer/next_layer", instances(1, "layers"))
def next_layer(setting):
    """Compare a linear layer's own forward pass with its matrix times the input; another layer's is the control."""
    layers = [sparse.Layer("linear", N, 1.0, generator=setting.torch(label)).double() for label in "ab"]
    x = torch.randn(N, dtype=torch.float64, generator=setting.torch("x"))
    with torch.no_grad():
        following = layers[0](x)
        return Measurement(*((following - layer.linear.weight @ x).abs().max().item() for layer in layers), count=1)
