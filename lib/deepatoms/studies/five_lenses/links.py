"""Where the theories meet exactly: one template a block under three names, and a low potential with unstable pursuit."""

import functools
import warnings

import numpy as np
import torch
from torch import nn

from deepatoms.learning.training import seeded
from deepatoms.studies.five_lenses import networks
from deepatoms.theory import arguments, dictionaries, partition, pursuit, resnests, splines

INPUTS, ATOMS, COSINE, NOISE, WEIGHT = 20, 128, 0.999, 0.1, 0.05


def thresholded(seed, width=24, units=9, depth=3):
    """Return a random network whose block functions are ReLU layers with thresholds: biases at or below zero."""
    model = networks.start(width, units, depth, seed)
    generator = torch.Generator().manual_seed(seed)
    for block in model.blocks:
        first = seeded(lambda: nn.Linear(width, units), seed).double()
        with torch.no_grad():
            first.weight.copy_(block.branch[0].weight)
            first.bias.copy_(-torch.rand(units, generator=generator, dtype=torch.float64))
        block.branch[0] = first
    return model.eval()


def contributions(model, x):
    """Return what each block adds to the output by its sparse codes, H_i gamma_i, the input's own term first.

    The codes are those of layered thresholding with the block's first weight as dictionary, transposed, and its biases,
    negated, as thresholds; the heads are those of the augmented ResNEst.

    Args:
        model: a network with thresholds.
        x: inputs, shape (samples, 64).

    Returns:
        Tensor of shape (samples, blocks + 1, 10).
    """
    source = networks.resnest(model)
    with torch.no_grad():
        codes = [x, *(_code(block, h) for block, h in zip(model.blocks, source.representations(x), strict=False))]
        return torch.stack([code @ head.T for code, head in zip(codes, resnests.augment(source).heads, strict=True)], 1)


def _code(block, h):
    D, beta = block.branch[0].weight.detach().T, -block.branch[0].bias.detach()
    return pursuit.layered_thresholding(h, [D], [beta], kind="nonnegative")[0]


@functools.lru_cache(maxsize=64)
def differences(seed):
    """Return four relative differences of a random network: of template and code, and of output and sum of contributions.

    Returns:
        Within the region of each input, and between inputs of different regions (the control); with all contributions, and
        without the last block's (the control).
    """
    model, generator = thresholded(seed), torch.Generator().manual_seed(1000 + seed)
    x = torch.rand(INPUTS, networks.PIXELS, generator=generator, dtype=torch.float64)
    direction = torch.nn.functional.normalize(torch.randn(x.shape, generator=generator, dtype=x.dtype), dim=1)
    reach = splines.distance_to_break(model, x, direction, farthest=1.0)
    near, far = x + 0.9 * reach[:, None] * direction, -x  # a unit that is active at x is not at -x
    _demand_regions(model, x, near, far)
    parts = contributions(model, x)
    with torch.no_grad():
        output = model(x)
    return (*(_template_difference(model, x, other) for other in (near, far)),
            *(_relative(parts[:, :end].sum(1), output) for end in (parts.shape[1], -1)))


def _template_difference(model, x, other):
    templates = splines.block_templates(model, x)
    return _relative(torch.einsum("nbcd,nd->nbc", templates, other - x), contributions(model, other) - contributions(model, x))


def _relative(a, b):
    return float((a - b).abs().max() / torch.maximum(a.abs().max(), b.abs().max()))


def _demand_regions(model, x, near, far):
    """The premises: one point of each pair in the same region, the other in another."""
    codes, beside, beyond = (partition.region_codes(model, points) for points in (x, near, far))
    if partition.distance(codes, beside).max() or not partition.distance(codes, beyond).max(0).all():
        arguments.refuse("near, far", len(x), "do not lie in and out of the regions of x", "take other inputs")


def tilted(atoms=ATOMS, cosine=COSINE):
    """Return an orthonormal dictionary whose second atom is tilted until it has the given cosine with the first.

    F is the cosine times the root of 2 / (n (n - 1)): below any level for enough atoms.

    >>> D = tilted(8)
    >>> bool(np.isclose(dictionaries.frame_potential(D), 0.999 * (2 / 56) ** 0.5))
    True
    """
    D = np.eye(atoms)
    D[:2, 1] = cosine, np.sqrt(1 - cosine**2)
    return D


def missed(D):
    """Return which one-atom signals pursuit takes for another atom under noise of norm 1/10.

    Signal (i, j) is atom i with the noise pointing at atom j, or at -j where the two atoms point away from each other.

    Returns:
        Boolean array of shape (atoms, atoms), its diagonal False.
    """
    count = D.shape[1]
    i, j = (places[~np.eye(count, dtype=bool)] for places in np.indices((count, count)))
    signs = np.where((D[:, i] * D[:, j]).sum(0) < 0, -1.0, 1.0)
    towards = signs * D[:, j] - D[:, i]
    signals = D[:, i] + NOISE * towards / np.linalg.norm(towards, axis=0)
    codes = _pursued(signals.T, D)
    found = np.zeros((count, count), dtype=bool)
    found[i, j] = abs(codes).argmax(1) != i
    return found


def _pursued(signals, D):
    """Return the Lasso codes; the few signals that a first round leaves open take a second, longer one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pursuit.NotConverged)
        codes = pursuit.basis_pursuit(signals, D, WEIGHT, iterations=20)
    least = pursuit.objective(signals, D, codes, WEIGHT) * 1e-6
    hard = pursuit.duality_gap(signals, D, codes, WEIGHT) > least
    if hard.any():
        codes[hard] = pursuit.basis_pursuit(signals[hard], D, WEIGHT, iterations=5000)
    return codes


def rotation(cosines, atoms=ATOMS):
    """Return F, the coherence and the number of missed signals as one atom is tilted towards another, by cosine."""
    found = [tilted(atoms, cosine) for cosine in cosines]
    return [{"cosine": cosine, "F": float(dictionaries.frame_potential(D)), "coherence": float(dictionaries.mutual_coherence(D)),
             "missed": int(missed(D).sum())} for cosine, D in zip(cosines, found, strict=True)]


def path(model, x, block, output):
    """Follow one block's contribution to one output from an input to beyond the nearest wall, by template and by code.

    Returns:
        Steps, shape (points,); the contribution as the template at x predicts it, and as the code gives it; the wall's step.
    """
    direction = torch.ones_like(x) / x.shape[1] ** 0.5
    wall = float(splines.distance_to_break(model, x, direction, farthest=100.0))
    steps = torch.linspace(0, 6 * wall, 61, dtype=x.dtype)
    points = x + steps[:, None] * direction
    code = contributions(model, points)[:, block, output]
    slope = splines.block_templates(model, x)[0, block, output] @ direction[0]
    return steps.numpy(), (code[0] + slope * steps).detach().numpy(), code.detach().numpy(), wall
