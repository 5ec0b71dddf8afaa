"""Codes and the distance between them (Eqs. 14 and 15), and the regions that training images occupy."""

import copy
from functools import lru_cache

import numpy as np
import torch
from torch import nn

from deepatoms.claims.checking import Measurement, check, experiment, instances
from deepatoms.learning import networks
from deepatoms.learning.training import seeded
from deepatoms.studies.spline_partitions.checks.trained import SEEDS, digits_nets
from deepatoms.theory import partition, splines
from deepatoms.theory.partition.codes import unequal

PAIRS = 100_000


# ---- Eq. 14 ----

@check("spl.eq14/same_map", instances(30, of="networks"))
def same_map(setting):
    """Compare the maps at inputs with those half-way to the first change of code, and just across one live unit's wall."""
    generator = setting.torch("same_map")
    dense = [seeded(networks.relu_network, 100 * setting.seed + number, widths=(8, 16, 16, 3)) for number in range(20)]
    cnns = [seeded(networks.digits_cnn, 100 * setting.seed + number).double().eval() for number in range(10)]
    found, across = [], []
    for model, shape in [(each, (8,)) for each in dense] + [(each, (1, 8, 8)) for each in cnns]:
        x = normal(generator, 12 if model in dense else 5, *shape)
        found.append(float(_map_changes(model, x, _half_way(model, x, generator)).max()))
        across += _across_one_live_unit(model, x) if model in dense else []
    return Measurement(max(found), min(across), count=len(found))


def normal(generator, *shape):
    """Return standard normal numbers in float64."""
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def _half_way(model, x, generator):
    direction = normal(generator, *x.shape)
    length = splines.distance_to_break(model, x, direction)
    return x + 0.5 * length.reshape(-1, *[1] * (x.ndim - 1)) * direction


def _map_changes(model, x, y):
    """Return the largest difference between the maps at each pair of inputs."""
    return torch.maximum(*((here - there).abs().flatten(1).amax(1) for here, there in
                           zip(splines.affine_map(model, x), splines.affine_map(model, y), strict=True)))


def _across_one_live_unit(model, x):
    """A unit of the last hidden layer is live: it reaches the output. Step over its wall where that is the nearest one."""
    wall = partition.nearest_walls(model, x)
    x, step = (each[wall.layer == 1] for each in (x, wall.step))
    beyond = x + (1 + 1e-6) * step
    codes = [partition.region_codes(model, at) for at in (x, beyond)]
    apart = sum(unequal(*pair) for pair in zip(*codes, strict=True))
    alone = torch.as_tensor(apart == 1)
    return _map_changes(model, x[alone], beyond[alone]).tolist() if alone.any() else []


# ---- Eq. 15 ----

@lru_cache(maxsize=2)
def _drawn(setting):
    """Return codes, signs and argmax positions of 600 random images at a random network's first ReLU and pooling."""
    model = seeded(networks.digits_cnn, setting.seed, batch_norm=False).double().eval()
    x = normal(setting.torch("eq15"), 600, 1, 8, 8)
    with torch.no_grad():
        before = model[0](x)
    pooled = nn.functional.unfold(before.relu(), 2, stride=2).reshape(600, 16, 4, 16)
    return partition.region_codes(model, x)[:2], (before > 0).flatten(1).numpy(), pooled.argmax(2).flatten(1).numpy(), \
        (pooled.amax(2) > 0).flatten(1).numpy()


@check("spl.eq15/counts", instances(PAIRS, of="pairs of inputs"))
def counts(setting):
    """Compare distances of packed codes with signs and argmax positions read from the layers' own inputs."""
    (relu, pool), signs, positions, pooled_signs = _drawn(setting)
    first, second = setting.numpy("pairs").integers(0, 600, (2, PAIRS))
    wrong, control = 0, 0
    for part in np.array_split(np.arange(PAIRS), 20):
        a, b = first[part], second[part]
        by_position = unequal(pool[a], pool[b])
        wrong += int((unequal(relu[a], relu[b]) != (signs[a] != signs[b]).sum(1)).sum())
        wrong += int((by_position != (positions[a] != positions[b]).sum(1)).sum())
        control += int((by_position != (pooled_signs[a] != pooled_signs[b]).sum(1)).sum())
    return Measurement(wrong, control, count=len(first))


@check("spl.eq15/triangle", instances(PAIRS, of="triples of inputs"))
def triangle(setting):
    """Count violations of symmetry and the triangle inequality in whole numbers of unequal units."""
    codes = _drawn(setting)[0][1]
    random = setting.numpy("triples")
    a, b, c = random.integers(0, 600, (3, PAIRS))
    found = _violations(lambda i, j: unequal(codes[i], codes[j]), a, b, c)
    points = random.normal(size=(600, 2))
    return Measurement(found, _violations(lambda i, j: ((points[i] - points[j]) ** 2).sum(1), a, b, c), count=len(a))


def _violations(distance, a, b, c):
    ab, bc, ac = distance(a, b), distance(b, c), distance(a, c)
    return int((ab != distance(b, a)).sum() + (ac > ab + bc + 1e-12).sum())


# ---- codes from gradients ----

@check("spl.backprop_distance/codes", instances(SEEDS, of="networks"))
def from_gradients(setting):
    """Read codes off the gradients of each operator's summed output, and off those of one class output."""
    nets, generator = digits_nets(setting), setting.torch("noise")
    wrong = [_misread(copy.deepcopy(model).double(), part.images[:20].double() + 0.01 * normal(generator, 20, 1, 8, 8))
             for model, part in zip(nets.plain, nets.held_out, strict=True)]
    return Measurement(*np.sum(wrong, axis=0), count=len(wrong))


def _misread(model, x):
    """Return how many entries differ from the code: read from each operator's own output, and from a class output."""
    inputs, outputs, scores = [], [], x.requires_grad_()
    for module in model:
        given, scores = scores, module(scores)
        if isinstance(module, (nn.ReLU, nn.MaxPool2d)):
            inputs.append(given)
            outputs.append(scores)
    codes = [np.asarray(layer) for layer in partition.region_codes(model, x.detach())]
    own = [torch.autograd.grad(output.sum(), given, retain_graph=True)[0] for given, output in zip(inputs, outputs, strict=True)]
    of_class = torch.autograd.grad(scores[:, 0].sum(), inputs)
    return [sum(int((_read(gradient) != code).sum()) for gradient, code in zip(gradients, codes, strict=True))
            for gradients in (_by_kind(own, outputs), _by_kind(of_class, outputs))]


def _by_kind(gradients, outputs):
    return [(gradient, gradient.shape != output.shape) for gradient, output in zip(gradients, outputs, strict=True)]


def _read(gradient):
    """Return the codes that a gradient shows: where it is not zero; in each pool, where it is largest in size."""
    slopes, pooling = gradient
    if not pooling:
        return (slopes != 0).flatten(1).int().numpy()
    height, width = slopes.shape[-2] // 2 * 2, slopes.shape[-1] // 2 * 2
    windows = nn.functional.unfold(slopes[..., :height, :width].abs(), 2, stride=2)
    return windows.reshape(len(slopes), slopes.shape[1], 4, -1).argmax(2).flatten(1).numpy()


# ---- occupancy ----

@lru_cache(maxsize=2)
def occupancies(setting):
    """Return, seed by seed, how many training images each occupied region of each layer holds."""
    nets = digits_nets(setting)
    return [[np.unique(layer.bits, axis=0, return_counts=True)[1] for layer in partition.region_codes(model, part.images)]
            for model, part in zip(nets.plain, nets.learning, strict=True)]


def alone(counts):
    """Return the fraction of occupied regions that hold exactly one image."""
    return float((counts == 1).mean())


def dense(setting, units):
    """Return, seed by seed, that fraction for one random layer of dense units, which has at most 2^units regions."""
    found = []
    for seed, part in enumerate(digits_nets(setting).learning):
        layer = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, units), nn.ReLU()), seed)
        found.append(alone(np.unique(partition.region_codes(layer, part.images)[0].bits, axis=0, return_counts=True)[1]))
    return found


@check("spl.vq/single", experiment(SEEDS))
def single(setting):
    """Count the training images in each occupied region of the first layer; three dense units have at most eight."""
    few = dense(setting, 3)
    found = [alone(layers[0]) for layers in occupancies(setting)]
    return Measurement(np.mean(found), np.mean(few), count=len(found))
