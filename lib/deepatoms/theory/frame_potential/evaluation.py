"""Energy and frame potential of a network without ever forming its dictionary."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from deepatoms.theory import arguments
from deepatoms.theory.frame_potential import chains
from deepatoms.theory.induced import explicit, interactions, one_grid
from deepatoms.theory.induced.architecture import Net
from deepatoms.theory.signatures import named


def energy(net: Net, weights: Sequence) -> Any:
    r"""Return the energy :math:`\lVert G \rVert_F^2 - \operatorname{Tr} G` of the induced dictionary, circular boundary.

    The numerator of Equation :eq:`dfp-eq-12`, by the blocks of Equation :eq:`dfp-eq-13`, each computed from local filter
    interactions; exact, and independent of the image size but for a factor.

    Args:
        net: an architecture of ``deepatoms.theory.induced``.
        weights: list of tensors in torch layout (``net.init``), any device; or of numpy arrays.

    Returns:
        A differentiable scalar tensor (a float for numpy weights).

    Raises:
        ValueError: on weights that do not fit, are not finite, or hold a zero atom.

    >>> from deepatoms.theory import induced
    >>> net = induced.chain([2, 3])
    >>> round(energy(net, [np.array([[1.0, 0.0], [-0.5, 0.75**0.5], [-0.5, -0.75**0.5]])]), 12)
    1.5
    """
    weights = net.checked(weights)
    if isinstance(weights[0], np.ndarray):
        return float(energy(net, [torch.tensor(weight) for weight in weights]))
    total = sum_of_blocks(net, weights)
    if not bool(torch.isfinite(total.detach())):
        arguments.refuse("weights", float(total), "makes an atom of norm 0 or too large for its type",
                         "give every unit a nonzero weight, or use float64")
    return total


def sum_of_blocks(net: Net, weights: Sequence) -> torch.Tensor:
    """Return the energy of weights already known to fit (what descent calls at every step, under ``torch.func.vmap``).

    Source: Equation :eq:`dfp-eq-13`.

    No example: part of the evaluation that :func:`deepatoms.theory.frame_potential.energy` shows.
    """
    if net.image == 1 and net.form == "synthesis":
        return chains.synthesis_energy(weights)
    if net.family == "graph" and all(block.kind != "separable weight" for block in net.blocks):
        return one_grid.energy_on_one_grid(net, weights)
    return sum(value for _, _, value in interactions.block_terms(net, weights))


def block_energies(net: Net, weights: Sequence) -> np.ndarray:
    """Return the matrix of energies, cluster by cluster (layer by layer unless dense); upper triangle, both sides counted.

    Source: Equation :eq:`dfp-eq-13`.

    >>> from deepatoms.theory import induced
    >>> net = induced.chain([2, 3, 3])
    >>> block_energies(net, net.init(0)).shape
    (2, 2)
    """
    found = np.zeros((len(net.clusters),) * 2)
    for a, b, value in interactions.block_terms(net, net.checked(weights)):
        found[a, b] = float(value)
    return found


def potential(net: Net, weights: Sequence, boundary: str = "circular") -> Any:
    r"""Return the deep frame potential F, the root mean square cosine over structurally overlapping atoms.

    :math:`F^2(B) = N^{-1}(G)\,(\lVert G \rVert_F^2 - \operatorname{Tr} G) \le \mu^2(B)`, Equation :eq:`dfp-eq-12`, with
    the structural count N(G) (``net.structural_count``).

    Args:
        net: an architecture.
        weights: list of weights.
        boundary: "circular" (differentiable), or "zero" for zero padding (a float).

    Raises:
        ValueError: on weights that do not fit, are not finite or hold a zero atom, or an unknown boundary.

    >>> from deepatoms.theory import induced
    >>> net = induced.cifar("resnet", blocks=1, width=2)
    >>> 0 < float(potential(net, net.init(0))) < 1
    True
    """
    if arguments.one_of("boundary", boundary, ("circular", "zero")) == "zero":
        found, count = zero_padded(net, weights)
        return math.sqrt(found / count)
    if net.structural_count == 0:
        return energy(net, weights) * 0
    return (energy(net, weights) / net.structural_count) ** 0.5


def floor(net: Net) -> float:
    r"""Return the universal lower bound on F: :math:`\sqrt{\max(0, K^2/R - K) / N(G)}`, for K atoms and R rows.

    Source: Benedetto and Fickus (2003), for unit atoms in as many dimensions as the dictionary has rows.

    >>> from deepatoms.theory import induced
    >>> floor(induced.chain([2, 3]))
    0.5
    """
    excess = max(0.0, net.atoms**2 / net.rows - net.atoms)
    return math.sqrt(excess / net.structural_count) if excess else 0.0


def zero_padded(net: Net, weights: Sequence) -> tuple[float, float]:
    """Return energy and N(G) under zero padding instead of the circular boundary.

    Both are exact quadratics in the side of the coarsest grid from 6 positions on, so three small explicit
    dictionaries determine every image size.

    Args:
        net: a convolutional architecture.
        weights: list of weights.

    Returns:
        Two floats, energy and count.

    Source: the chapter on the deep frame potential.

    >>> from deepatoms.theory import induced
    >>> net = induced.cifar("chain", blocks=1, width=1)
    >>> zero_padded(net, net.init(0))[1] < net.structural_count
    True
    """
    weights = net.checked(weights)
    levels = max(layer.level for layer in net.layers)
    coarse = net.image >> levels
    sides = [coarse] if coarse < 9 else [6, 7, 8]
    small = [_padded(replace(net, image=side << levels), weights) for side in sides]
    if len(sides) == 1:
        return small[0]
    quadratics = [np.polyfit(np.subtract(sides, 7), values, 2) for values in zip(*small, strict=True)]
    found, count = (float(np.polyval(quadratic, coarse - 7)) for quadratic in quadratics)
    return found, count


def _padded(net, weights):
    positive = replace(net, blocks=tuple(replace(block, sign=1) for block in net.blocks))
    ones = explicit.sparse_dictionary(positive, [torch.ones(weight.shape) for weight in net.weights], "zero")
    count = (ones.T @ ones).nnz - net.atoms
    B = explicit.sparse_dictionary(net, weights, "zero").tocsc()
    squares = np.asarray(B.multiply(B).sum(0)).ravel()
    B = B.multiply(1 / np.sqrt(squares)).tocsc()
    gram = (B.T @ B).tocoo()
    return float((gram.data[gram.row != gram.col] ** 2).sum()), float(count)

named(__name__)
