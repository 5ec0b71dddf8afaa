"""The numbers of the five theories about one network, each a call or two of their own functions.

Every measure is a function of the network, inputs x of shape (samples, 64) and their labels y. What is quick looks at all
inputs, what is costly at the first few.
"""

import functools
import math

import numpy as np
import torch

from deepatoms.studies.five_lenses import networks
from deepatoms.theory import dictionaries, frame_potential, induced, orthogonality, partition, resnests, splines
from deepatoms.theory import skip_dictionaries as skip

FEW, PLANES, NEIGHBOURS, QUERIES = 32, 3, 10, 150


# ---- deep frame potential ----

def potential(model, x, y):
    """Return F of the dictionary that the weights induce, at their own magnitudes."""
    return float(frame_potential.potential(*_induced(model)))


def unit_potential(model, x, y):
    """Return F of the induced dictionary with unit magnitudes: angles alone."""
    net, weights = _induced(model)
    return float(frame_potential.potential(net, net.unit(weights)))


def _induced(model):
    """Return the residual architecture of Eq. 9, whose layers are the stream and the units of each block in turn."""
    pairs = [part.weight.detach() for block in model.blocks for part in block.branch[::2]]
    weights = [model.stem.weight.detach(), *pairs]
    return induced.residual([networks.PIXELS, *(len(weight) for weight in weights)]), weights


# ---- sparse coding ----

def coherence(model, x, y):
    """Return the blocks' mean mutual coherence: the atoms are the rows of the first weight."""
    return float(np.mean([dictionaries.mutual_coherence(D) for D in atoms(model)]))


def density(model, x, y):
    """Return the share of units that are active, over all blocks and inputs."""
    return float(np.mean([(code > 0).double().mean() for code in codes(model, x)]))


def activity(model, x, y):
    """Return the mean number of active units over the count below which a code is unique."""
    return float(np.mean([counts.mean() / threshold for counts, threshold in active(model, x)]))


def active(model, x):
    """Return for each block the number of active units at each input, and the uniqueness threshold of its dictionary."""
    thresholds = [dictionaries.uniqueness_threshold(float(dictionaries.mutual_coherence(D))) for D in atoms(model)]
    return [((code > 0).sum(1).numpy(), threshold) for code, threshold in zip(codes(model, x), thresholds, strict=True)]


def atoms(model):
    """Return each block's dictionary, shape (width, units)."""
    return [block.branch[0].weight.detach().T for block in model.blocks]


def codes(model, x):
    """Return the units' values in each block, shape (samples, units)."""
    with torch.no_grad():
        return networks.resnest(model).features(x)[1:]


# ---- skip dictionaries ----

def condition(model, x, y):
    """Return the median condition number of I + B S(h) A over blocks and a few inputs, log10."""
    return float(np.log10(np.median(skip.condition_number(_operators(model, x[:FEW])))))


def dimensions(model, x, y):
    """Return the mean share of dimensions that carry 90 % of the energy of I + B S(h) A."""
    operators = _operators(model, x[:FEW])
    return float(np.mean(skip.energy_dimensions(operators)) / operators.shape[-1])


def slack(model, x, y):
    """Return by how much the product of norms exceeds the largest gain at a few inputs, log10."""
    blocks = [1 + math.prod(map(_norm, block.branch[::2])) for block in model.blocks]
    product = math.prod([_norm(model.stem), *blocks, _norm(model.head)])
    gains = skip.singular_values(splines.affine_map(model, x[:FEW])[0].numpy())[:, 0]
    return float(np.log10(product / gains.max()))


def _norm(layer):
    return float(skip.singular_values(layer.weight.detach().numpy())[0])


def _operators(model, x):
    """Return I + B S(h) A for each block and input, shape (blocks, samples, width, width)."""
    pairs = [[part.weight.detach() for part in block.branch[::2]] for block in model.blocks]
    steps = [B @ ((code > 0).double()[:, :, None] * A) for (A, B), code in zip(pairs, codes(model, x), strict=True)]
    return skip.residual_dictionary(torch.stack(steps).numpy())


# ---- splines ----

def template_cosine(model, x, y):
    """Return the mean absolute cosine between two classes' templates at a few inputs."""
    return float(orthogonality.cosines(splines.affine_map(model, x[:FEW])[0]).mean())


def radius(model, x, y):
    """Return the median distance to the nearest wall over the input's norm, log10."""
    share = partition.in_radius(model, x[:FEW]) / torch.linalg.vector_norm(x[:FEW], dim=1)
    return float(share.median().log10())


def regions(model, x, y):
    """Return the mean number of regions on the parallelograms spanned by three inputs, log10."""
    corners = x[:3 * PLANES].unflatten(0, (PLANES, 3))
    return float(np.mean(np.log10([len(partition.slice_plane(model, three)) for three in corners])))


def neighbours(model, x, y):
    """Return the share of the ten nearest codes, at the last layer, that belong to the input's class."""
    last, labels = partition.region_codes(model, x)[-1], y.numpy()
    found = partition.neighbours(last[QUERIES:], last[:QUERIES], NEIGHBOURS)
    return float(found.average(labels[QUERIES:][found.indices] == labels[:QUERIES, None]).mean())


# ---- ResNEsts ----

def left(model, x, y):
    """Return the least risk of a linear head on the last representation over that on the input."""
    return resnests.linear_risk(_last(model, x), _targets(y)) / resnests.linear_risk(x, _targets(y))


def gap(model, x, y):
    """Return how far that head's risk is above the augmented optimum, over the risk on the input."""
    augmented = resnests.augmented_risk(_features(model, x), _targets(y))
    return (resnests.linear_risk(_last(model, x), _targets(y)) - augmented) / resnests.linear_risk(x, _targets(y))


def novelty(model, x, y):
    """Return the mean share of a block's features that no linear map of the features before it predicts."""
    return float(np.mean(resnests.unpredictability(_features(model, x))))


def _features(model, x):
    with torch.no_grad():
        return networks.resnest(model).features(x)


def _last(model, x):
    with torch.no_grad():
        return networks.resnest(model).representations(x)[-1]


def _targets(y):
    return torch.nn.functional.one_hot(y, networks.CLASSES).double()


# ---- all of them ----

THEORIES = {"frame potential": (potential, unit_potential), "sparse coding": (coherence, density, activity),
            "skip dictionaries": (condition, dimensions, slack),
            "splines": (template_cosine, radius, regions, neighbours), "residual features": (left, gap, novelty)}
MEASURES = {measure.__name__: measure for measures in THEORIES.values() for measure in measures}
THEORY = {measure.__name__: theory for theory, measures in THEORIES.items() for measure in measures}
NAMES = {"potential": "F", "unit_potential": "F, unit magnitudes", "coherence": "coherence", "density": "active units",
         "activity": "active / threshold", "condition": "condition number", "dimensions": "dimensions of 90 %",
         "slack": "norms / gain", "template_cosine": "template cosine", "radius": "distance to wall",
         "regions": "regions in a plane", "neighbours": "neighbours' class", "left": "risk left", "gap": "risk gap",
         "novelty": "new features"}


LOGARITHMS = ("condition", "slack", "radius", "regions")


def measured(model, x, y):
    """Return every lens's number of a network, by name."""
    return {name: measure(model, x, y) for name, measure in MEASURES.items()}


@functools.lru_cache(maxsize=4)
def halves(seed):
    """Return two disjoint halves of the digits that a seed's network was not trained on, each (pixels, labels)."""
    x, y = networks.digits("test", seed)
    half = len(x) // 2
    return (x[:half], y[:half]), (x[half:2 * half], y[half:2 * half])
