r"""The certificate of layered thresholding against the geometry of its network: a ladder for each signal.

The network of a two-layer convolutional model with nonnegative codes computes :math:`h_i = \mathrm{ReLU}(D_i^\mathsf{T}
h_{i-1} - \beta_i)`. Its code at the clean signal is the support of the true codes, so the noise that the theorem certifies
cannot exceed the distance to the nearest wall of the region.
"""

import numpy as np
import torch
from torch import nn

from deepatoms.runs import results
from deepatoms.theory import convolutional, multilayer, partition, splines, stability
from deepatoms.theory.multilayer import Configuration, SparseLayer

NAME = "certificate-ladder"
# Taps two strides apart: the layer-1 atoms that an atom of layer 2 activates share no window, so local distances are exact.
CONFIGURATIONS = (Configuration((100,), 2, (16,), (SparseLayer(2, (40,), 2, 31),), 1, 79),
                  Configuration((125,), 3, (20,), (SparseLayer(3, (50,), 2, 39),), 1, 99))


def network(dictionaries, thresholds):
    """Return the dense ReLU network that layered nonnegative thresholding is, in float64.

    Args:
        dictionaries: Two matrices with atoms in columns.
        thresholds: One number for each.
    """
    layers = []
    for D, threshold in zip(dictionaries, thresholds, strict=True):
        layer = nn.Linear(*D.shape).double()
        with torch.no_grad():
            layer.weight.copy_(torch.as_tensor(D.T))
            layer.bias.fill_(-threshold)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers)


def ladders(count, seed, nonnegative=True, directions=8):
    """Return the rungs of ``count`` random certified instances, as arrays by name.

    ``certified`` noise; ``without_bias``: the same with the first layer's threshold left out of its error; ``local`` and
    ``radius``: the region's in-radius in the local and in the Euclidean norm; ``adversarial``: the smallest break that
    forward passes find along the nearest wall's normal; ``random``: the smallest along random directions; ``support``:
    whether the network's code at the clean signal is the support.
    """
    random = np.random.default_rng([seed, int(nonnegative)])
    found = [_ladder(random, CONFIGURATIONS[number % len(CONFIGURATIONS)], nonnegative, directions)
             for number in range(count)]
    return {name: np.array([each[name] for each in found]) for name in found[0]}


def _ladder(random, configuration, nonnegative, directions):
    filters, codes, signal, layers, thresholds = _certified(random, configuration, nonnegative)
    matrices = [convolutional.matrix(each, configuration.grid) for each in filters]
    model, x = network(matrices, thresholds), signal.reshape(1, -1)
    wall = partition.nearest_walls(model, x)
    along = torch.randn(directions, x.shape[1], generator=torch.Generator().manual_seed(int(random.integers(2**31))),
                        dtype=torch.float64)
    along /= along.norm(dim=1, keepdim=True)
    normal = wall.step / wall.radius
    breaks = splines.distance_to_break(model, x.repeat(directions + 1, 1), torch.cat([normal, along]),
                                       farthest=float(100 * wall.radius))
    on = [np.asarray(each)[0].astype(bool) for each in partition.region_codes(model, x)]
    return {"certified": stability.largest_certified_noise(layers, thresholds),
            "without_bias": stability.largest_certified_noise(_unbiased(layers, thresholds), thresholds),
            "local": _local_radius(model, matrices, on, x), "radius": float(wall.radius),
            "adversarial": float(breaks[0]), "random": float(breaks[1:].min()),
            "support": all(np.array_equal(here, (code != 0).flatten()) for here, code in zip(on, codes, strict=True))}


def _certified(random, configuration, nonnegative):
    """Draw signals and thresholds, uniform in their intervals, until some noise is certified."""
    while True:
        drawn = multilayer.draw(configuration, 1, random, nonnegative=True)
        if not nonnegative:
            drawn = _one_tap_negative(drawn, configuration)
        filters, codes = [D.filters[0].numpy() for D in drawn.dictionaries], [code[0].numpy() for code in drawn.codes]
        layers = stability.layers(filters, codes)
        first = random.uniform(*stability.threshold_interval(layers[0], 0.0))
        second = stability.soft_thresholding_bounds(layers, 0.0, [first, 0.0])[1]
        if second.lower < second.upper:
            thresholds = [first, random.uniform(second.lower, second.upper)]
            if stability.largest_certified_noise(layers, thresholds) > 0:
                return filters, codes, drawn.signal[0], layers, thresholds


def _one_tap_negative(drawn, configuration):
    """Turn the sign of one tap of each atom of the second layer, and make the codes and the signal anew."""
    filters = [D.filters.clone() for D in drawn.dictionaries]
    flat = filters[1].flatten(2)
    place = flat.abs().argmax(2, keepdim=True)
    filters[1] = flat.scatter(2, place, -flat.gather(2, place)).reshape(filters[1].shape)
    dictionaries = [convolutional.ConvolutionalDictionary(each, configuration.grid) for each in filters]
    first = torch.from_numpy(multilayer.place_atoms(filters[1].numpy(), drawn.codes[1].numpy()))
    signal = torch.from_numpy(multilayer.place_atoms(filters[0].numpy(), first.numpy()))
    return multilayer.Signals(dictionaries, [first, drawn.codes[1]], signal)


def _unbiased(layers, thresholds):
    """Lower the interference of layer 1 by its threshold, which leaves the bias out of the error that it passes on."""
    first = layers[0]
    return [_Unbiased(first, thresholds[0]), *layers[1:]]


class _Unbiased:
    def __init__(self, layer, threshold):
        self.coherence, self.stripes, self.patches = layer.coherence, layer.stripes, layer.patches
        self.smallest, self.largest = layer.smallest, layer.largest
        self.leakage, self.interference = layer.leakage, layer.interference - threshold


def _local_radius(model, matrices, on, x):
    """Return the in-radius in the local norm: |a|_* = 1 in layer 1, in layer 2 the sum of the active units' weights."""
    with torch.no_grad():
        first = model[0](x)[0].numpy()
        second = model[2](model[:2](x))[0].numpy()
    lengths = abs(matrices[1].T[:, on[0]]).sum(1)
    live = lengths > 1e-12
    return float(min(abs(first).min(), (abs(second[live]) / lengths[live]).min(initial=np.inf)))


@results.experiment(NAME, [{"seed": seed, "instances": 100} for seed in range(10)], minutes=5, claims=("spl.certificate",),
                    title="Certified noise, in-radius and smallest break: 1,000 instances")
def recorded(configuration, device):
    """Return 100 ladders with nonnegative codes, and in how many of 20 with signed codes the order breaks."""
    found = ladders(configuration["instances"], configuration["seed"])
    signed = ladders(20, configuration["seed"], nonnegative=False)
    return {**{name: values.tolist() for name, values in found.items()},
            "signed_wrong_support": int((~signed["support"]).sum()),
            "signed_exceeds": int((signed["certified"] > signed["radius"] * (1 + 1e-9)).sum()), "signed": 20}
