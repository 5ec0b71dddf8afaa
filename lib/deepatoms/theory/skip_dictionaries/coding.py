r"""The deep coding problem in the note's direction, :math:`T_i \approx D_i T_{i-1}`: solutions, uniqueness, stability."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from deepatoms.theory import arguments
from deepatoms.theory.signatures import named


def keep_largest(x: np.ndarray, sparsity: int) -> np.ndarray:
    """Return x with all but its entries largest in magnitude set to 0: the nearest vectors with so few nonzeros.

    Args:
        x: array of shape (..., n), numpy.
        sparsity: number of entries kept, at most n (among equals the last ones stay).

    Raises:
        ValueError: when the sparsity exceeds the number of entries.

    Source:
        Hard thresholding, standard.

    >>> keep_largest(np.array([1.0, -3.0, 2.0]), 2)
    array([ 0., -3.,  2.])
    """
    arguments.real_array("x", x)
    if arguments.integer("sparsity", sparsity, minimum=0) > x.shape[-1]:
        arguments.refuse("sparsity", sparsity, f"exceeds the number of atoms, {x.shape[-1]}", "keep at most all entries")
    discarded = np.argsort(abs(x), axis=-1, kind="stable")[..., :x.shape[-1] - sparsity]
    kept = x.copy()
    np.put_along_axis(kept, discarded, 0.0, axis=-1)
    return kept


def deep_coding(x: np.ndarray, dictionaries: Sequence[np.ndarray],
                sparsities: Sequence[int]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    r"""Return the greedy codes of the deep coding problem without its equalities, Equation :eq:`rsc-dcp`.

    Each :math:`T_i` keeps the :math:`\lambda_i` largest entries of :math:`D_i T_{i-1}`. No choice of so few is nearer in its
    own layer, but a later layer may then miss its tolerance where other codes meet all of them.

    Args:
        x: signals of shape (..., n).
        dictionaries: list of matrices, each with as many columns as the one before has rows.
        sparsities: list of integers :math:`\lambda_i`.

    Returns:
        List of the codes :math:`T_1, \dots, T_l` and list of the distances :math:`\lVert T_i - D_i T_{i-1} \rVert`.

    Raises:
        ValueError: If a sparsity exceeds the number of atoms, or an entry is not finite.

    >>> codes, distances = deep_coding(np.array([3.0, 4.0]), [np.eye(2)], [1])
    >>> codes[0], distances[0]
    (array([0., 4.]), np.float64(3.0))
    """
    codes, distances = [x], []
    for D, sparsity in zip(dictionaries, sparsities, strict=True):
        predicted = codes[-1] @ arguments.matrix("D", D).T
        codes.append(keep_largest(predicted, sparsity))
        distances.append(np.linalg.norm(codes[-1] - predicted, axis=-1))
    return codes[1:], distances


def is_feasible(x: np.ndarray, codes: Sequence[np.ndarray], dictionaries: Sequence[np.ndarray],
                sparsities: Sequence[int], tolerances: Sequence[float], equalities: bool = False) -> Any:
    r"""Tell which signals' codes meet all constraints of the deep coding problem, Equation :eq:`rsc-dcp`.

    Args:
        x: signals of shape (..., n).
        codes: list of codes, as :func:`deep_coding` returns.
        dictionaries: list of matrices.
        sparsities: list of integers :math:`\lambda_i`.
        tolerances: list of :math:`\epsilon_i`.
        equalities: whether :math:`T_i = D_i T_{i-1}` is demanded too, as printed.

    Returns:
        Boolean array of shape (...).

    Raises:
        ValueError: If x, a code or a dictionary is not finite.

    >>> is_feasible(np.ones(2), [np.array([1.0, 0.0])], [np.eye(2)], [1], [1.1])
    np.True_
    """
    feasible, before = True, arguments.real_array("x", x)
    for code, D, sparsity, tolerance in zip(codes, dictionaries, sparsities, tolerances, strict=True):
        arguments.real_array("codes", code)
        arguments.real_array("dictionaries", D, 2)
        distance = np.linalg.norm(code - before @ D.T, axis=-1)
        feasible = feasible & ((code != 0).sum(-1) <= sparsity) & (distance < tolerance)
        feasible = feasible & (distance == 0) if equalities else feasible
        before = code
    return feasible


def printed_sparsity_bound(mu: float) -> float:
    r"""Return :math:`1 / (1 + \mu)`, the bound on the sparsity as displayed: below 1, it forbids every nonzero.

    :func:`~deepatoms.theory.dictionaries.uniqueness_threshold` is the bound that holds, Equation :eq:`rsc-uniqueness`.

    Args:
        mu: mutual coherence, in [0, 1].

    Raises:
        ValueError: If the coherence is outside [0, 1].

    >>> printed_sparsity_bound(0.25)
    0.8
    """
    return 1 / (1 + arguments.number("mu", mu, 0, 1))


def stability_bound(noise: float, mu: float, sparsity: int, other: int | None = None, factor: float = 4.0) -> float:
    r"""Return the bound on :math:`\lVert T - \hat T \rVert^2` of two codes of one signal, Equation :eq:`rsc-stability`.

    :math:`4 \epsilon^2 / (1 - (k + \hat k - 1) \mu)` with k and :math:`\hat k` nonzeros. As printed, :math:`\hat k = k`, it
    holds when :math:`\hat T` is no denser than T.

    Args:
        noise: :math:`\epsilon`, the largest residual of the two codes.
        mu: mutual coherence, in [0, 1].
        sparsity: k.
        other: :math:`\hat k`; k unless given.
        factor: 4, unless one wants to see that less fails.

    Returns:
        The bound, infinite where the denominator is not positive.

    Raises:
        ValueError: If the noise or a sparsity is negative, or the coherence outside [0, 1].

    >>> round(stability_bound(1.0, 0.25, 2), 9), stability_bound(1.0, 0.5, 2)
    (16.0, inf)
    """
    sparsity = arguments.integer("sparsity", sparsity, minimum=0)
    other = sparsity if other is None else arguments.integer("other", other, minimum=0)
    denominator = 1 - (sparsity + other - 1) * arguments.number("mu", mu, 0, 1)
    return factor * arguments.number("noise", noise, 0) ** 2 / denominator if denominator > 0 else math.inf


def stability_recursion(noise: float, coherences: Sequence[float], sparsities: Sequence[int],
                        factor: float = 4.0) -> list[float]:
    r"""Return the recursion's bounds :math:`\epsilon_{i-1}^2`, from the last layer down, Equation :eq:`rsc-recursion`.

    Args:
        noise: :math:`\epsilon_l`, the residual at the last layer.
        coherences: :math:`\mu(D_l), \mu(D_{l-1}), \dots`
        sparsities: nonzeros of :math:`T_{l-1}, T_{l-2}, \dots`
        factor: 4 at every step, unless one wants to see that less fails.

    Returns:
        List of squared bounds, one a step.

    Raises:
        ValueError: As for :func:`stability_bound`, or if the lists differ in length.

    >>> stability_recursion(1.0, [0.0, 0.0], [1, 1])
    [4.0, 16.0]
    """
    bounds: list[float] = []
    for mu, sparsity in zip(coherences, sparsities, strict=True):
        before = math.sqrt(bounds[-1]) if bounds else noise
        bounds.append(math.inf if before == math.inf else stability_bound(before, mu, sparsity, factor=factor))
    return bounds

named(__name__)
