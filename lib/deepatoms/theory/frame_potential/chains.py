r"""Fully connected synthesis chains: the exact minimum of the frame potential, in closed form.

Write :math:`s = c^2 / (c^2 + 1)` for an atom with parameter part of norm c. At fixed directions the energy is affine in each
s (no atom multiplies itself), so its least value over all magnitudes is at a vertex, where every atom is pure parameter
(s = 1) or pure identity (s = 0). There the row blocks share no atom, and each has a least energy known exactly: Weyl's
inequality bounds it below, the Schur-Horn theorem attains the bound. What is left is an integer programme over the number
:math:`a_j` of pure parameter atoms in each layer. Relaxed to real numbers it is a taut string, a quick lower value.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from deepatoms.theory import arguments
from deepatoms.theory.induced import architecture
from deepatoms.theory.signatures import named


def chain_minimum(widths: Sequence[int]) -> tuple[float, float]:
    r"""Return (lower, minimum): a relaxed lower bound on F of a synthesis chain, and its exact infimum over all parameters.

    The infimum of the energy is :math:`\min_a \sum_j \bigl(e_j + e_j^2 / \min(k_{j-1}, a_j)\bigr)` with
    :math:`e_j = \max(a_j - a_{j-1}, 0)`, :math:`a_0 = k_0`, :math:`a_l = k_l` and integers :math:`0 \le a_j \le k_j`. It
    replaces the composition of Equations :eq:`dfp-eq-17`, 21 and :eq:`dfp-eq-22`, which is no attainable value.

    Args:
        widths: input width first; the classifier is left out.

    Returns:
        Two floats; both 0 exactly when the last width is at most every other width.

    Source: the theorem of the chapter on the deep frame potential.

    >>> [round(value, 4) for value in chain_minimum([3072, 8, 16])]
    [0.1703, 0.1703]
    """
    count = pair_count(widths)
    lower, minimum = (math.sqrt(value / count) if count else 0.0 for value in chain_bracket(widths))
    return lower, minimum


def energy_of_magnitudes(directions: Sequence[np.ndarray], magnitudes: Sequence[np.ndarray]) -> float:
    r"""Return the energy of a synthesis chain from unit directions u and magnitudes s, in which it is multi-affine.

    :math:`E = \sum_j \sum_{n \ne m} s_{jn} s_{jm} \langle u_{jn}, u_{jm} \rangle^2
    + 2 \sum_{j<l} \sum_{p,n} (1 - s_{jp})\, s_{(j+1)n}\, u_{(j+1)n}[p]^2`: Equations :eq:`dfp-eq-14` to 16 in
    :math:`s = c^2/(c^2+1)`, extended to the pure atoms s = 0 and s = 1.

    Args:
        directions: arrays (out, in) with rows of norm 1.
        magnitudes: for each layer, an array (out,) in [0, 1]; the last layer has no identity, so its entries are 1.

    Raises:
        ValueError: on magnitudes outside [0, 1], or a last layer that is not all 1.

    Source: the chapter on the deep frame potential.

    >>> energy_of_magnitudes([np.eye(2), np.eye(2)], [np.zeros(2), np.ones(2)])
    4.0
    """
    for j, s in enumerate(magnitudes):
        if ((np.asarray(s) < 0) | (np.asarray(s) > 1)).any() or (j == len(magnitudes) - 1 and (np.asarray(s) != 1).any()):
            arguments.refuse(f"magnitudes[{j}]", s, "leaves [0, 1], or is not 1 in the last layer", "pass c^2 / (c^2 + 1)")
    own = sum(s @ ((u @ u.T) ** 2 * (1 - np.eye(len(u)))) @ s for u, s in zip(directions, magnitudes, strict=True))
    layers = zip(directions[1:], magnitudes, magnitudes[1:], strict=False)
    return float(own + 2 * sum(s @ u**2 @ (1 - before) for u, before, s in layers))


def synthesis_energy(weights: Sequence) -> torch.Tensor:
    r"""Return the energy of a synthesis chain from the blocks of :eq:`dfp-eq-14` to 16, without forming its dictionary.

    Args:
        weights: tensors of shape (..., out, in); leading axes are a batch.

    >>> float(synthesis_energy([torch.eye(3, dtype=torch.float64)]))
    0.0
    """
    total: Any = 0.0
    before = None
    for j, weight in enumerate(weights):
        share = 1 / ((weight**2).sum(-1) + (j < len(weights) - 1))
        products = weight @ weight.mT
        others = 1 - torch.eye(products.shape[-1], dtype=weight.dtype, device=weight.device)
        total = total + (share[..., None, :] @ ((products * others) ** 2 @ share[..., None]))[..., 0, 0]
        if before is not None:
            total = total + 2 * (share[..., None, :] @ (weight**2 @ before[..., None]))[..., 0, 0]
        before = share
    return total


def energy_and_gradient(weights: Sequence) -> tuple:
    """Return the energy of a synthesis chain and its gradient, for numpy weights of shape (..., out, in).

    Source: Equations :eq:`dfp-eq-14` to 16, differentiated.

    >>> energy, gradient = energy_and_gradient([np.eye(3), np.ones((2, 3))])
    >>> round(float(energy), 6), gradient[0].shape
    (4.0, (3, 3))
    """
    shares = [1 / ((w**2).sum(-1) + (j < len(weights) - 1)) for j, w in enumerate(weights)]
    energy, gradient, slopes = 0.0, [], [0.0] * len(weights)
    for j, (w, share) in enumerate(zip(weights, shares, strict=True)):
        products = w @ np.swapaxes(w, -1, -2)
        products[..., range(w.shape[-2]), range(w.shape[-2])] = 0
        own = (products**2 @ share[..., None])[..., 0]
        slope = 4 * (products * share[..., None] * share[..., None, :]) @ w
        if j:
            before = shares[j - 1]
            own_and_cross = own + 2 * (w**2 @ before[..., None])[..., 0]
            slopes[j - 1] = slopes[j - 1] + 2 * (share[..., None, :] @ w**2)[..., 0, :]
            slope += 4 * w * share[..., None] * before[..., None, :]
        else:
            own_and_cross = own
        energy = energy + (share * own_and_cross).sum(-1)
        slopes[j] = slopes[j] + own + own_and_cross
        gradient.append(slope)
    return energy, [g - 2 * (slope * share**2)[..., None] * w
                    for g, slope, share, w in zip(gradient, slopes, shares, weights, strict=True)]


def descend(starts: Sequence, iterations: int = 300, rate: float = 0.05, hold: bool = False) -> np.ndarray:
    """Return the lowest energies that Adam with a cosine rate reaches from several starts on one synthesis chain.

    The same protocol as ``minimize``, with the gradient written out: for small chains many times faster.

    Args:
        starts: lists of weights, one list a start.
        iterations: steps of Adam.
        rate: learning rate, falling to 0 along a cosine.
        hold: keep every norm as it is and descend over directions only.

    Returns:
        Array of shape (starts,).

    Source: Adam: Kingma and Ba (2015).

    >>> start = chain_start([2, 3], [np.ones(3)])
    >>> descend([start]).round(6)
    array([1.5])
    """
    weights = [np.stack([np.asarray(start[j], dtype=float) for start in starts]) for j in range(len(starts[0]))]
    norms = [np.linalg.norm(w, axis=-1, keepdims=True) for w in weights]
    weights = [w / c for w, c in zip(weights, norms, strict=True)] if hold else weights
    first, second = ([np.zeros_like(w) for w in weights] for _ in range(2))
    lowest: Any = np.inf
    for step in range(iterations + 1):
        energy, gradient = _held(weights, norms) if hold else energy_and_gradient(weights)
        lowest = np.minimum(lowest, energy)
        speed = rate * (1 + math.cos(math.pi * step / iterations)) / 2
        for w, g, m, v in zip(weights, gradient, first, second, strict=True):
            m += 0.1 * (g - m)
            v += 0.001 * (g**2 - v)
            w -= speed * m / (1 - 0.9 ** (step + 1)) / (np.sqrt(v / (1 - 0.999 ** (step + 1))) + 1e-8)
    return lowest


def _held(weights, norms):
    """Energy and gradient over directions: weights are normalised, then given their norms."""
    sizes = [np.linalg.norm(w, axis=-1, keepdims=True) for w in weights]
    units = [w / size for w, size in zip(weights, sizes, strict=True)]
    energy, gradient = energy_and_gradient([c * u for c, u in zip(norms, units, strict=True)])
    gradient = [c * g for c, g in zip(norms, gradient, strict=True)]
    return energy, [(g - (g * u).sum(-1, keepdims=True) * u) / size
                    for g, u, size in zip(gradient, units, sizes, strict=True)]


def pair_count(widths: Sequence[int]) -> int:
    """Return N(G) of a fully connected synthesis chain: k(k - 1) within layers, 2 k k' between neighbours.

    Source: Equation :eq:`dfp-eq-12`.

    >>> pair_count([64, 128])
    16256
    """
    k = architecture.check_widths(widths)[1:]
    return sum(a * (a - 1) for a in k) + 2 * sum(a * b for a, b in zip(k, k[1:], strict=False))


def chain_bracket(widths: Sequence[int]) -> tuple[float, float]:
    r"""Return (lower, minimum) energies :math:`\lVert G \rVert_F^2 - \operatorname{Tr} G` of a synthesis chain.

    The second is the exact infimum, of which :func:`chain_minimum` gives the formula; the first relaxes its integers.

    Source: the theorem of the chapter on the deep frame potential.

    >>> [round(value, 4) for value in chain_bracket([4, 20, 10])]
    [8.5714, 8.6]
    """
    return lower_energy(widths), float(_programme(widths, _attained_cost)[0])


def lower_energy(widths: Sequence[int]) -> float:
    """Return a lower bound on the least energy, its integer programme relaxed: a taut string between two staircases.

    Source: derived in the chapter; in the number of layers squared, where the exact value takes the widths squared.

    >>> round(lower_energy([16, 64, 24]), 4)
    9.6
    """
    k = architecture.check_widths(widths)
    ranks = [min(a, b) for a, b in zip(k, k[1:], strict=False)]
    units = np.cumsum([0, *k[1:]])
    shift = np.cumsum([0, *(a - m for a, m in zip(k, ranks, strict=False))])
    low, high = np.r_[units[0], units[:-1]] - shift, units - shift
    low[-1], high[0] = high[-1], low[0]
    slopes = taut_string(np.cumsum([0, *ranks]), low, high)
    excess = np.maximum(np.asarray(slopes) - 1, 0)
    return float(np.sum(np.asarray(ranks) * (excess + excess**2)))


def taut_string(x: Sequence[float] | np.ndarray, low: Sequence[float] | np.ndarray,
                high: Sequence[float] | np.ndarray) -> list[float]:
    """Return the slopes of the shortest path over abscissae x between two staircases with common ends.

    Of all paths between them it minimises every convex function of the slopes at once, hence their energy here. The funnel
    walk of Davies and Kovac (2001, Local extremes, runs, strings and multiresolution, Section 3), without its linear-time
    bookkeeping: a turn restarts the funnel.

    Args:
        x: increasing abscissae, n of them.
        low: lower ends, n of them.
        high: upper ends, not below ``low``; the same at the first and the last abscissa.

    Returns:
        The n - 1 slopes.

    Raises:
        ValueError: on lengths that differ, abscissae that do not increase, or ends that cross or differ at either side.

    >>> taut_string([0, 1, 2], [0, 0, 2], [0, 0.5, 2])
    [0.5, 1.5]
    """
    _demand_staircases(x, low, high)
    slopes: list[float] = []
    here, level = 0, float(low[0])
    while here < len(x) - 1:
        turn, level = _next_turn(x, low, high, here, level, slopes)
        here = turn
    return slopes


def _demand_staircases(x, low, high):
    x, low, high = (arguments.real_array(name, np.asarray(value, dtype=float), rank=1)
                    for name, value in (("x", x), ("low", low), ("high", high)))
    if not len(x) == len(low) == len(high):
        arguments.refuse("x", x, f"does not match low and high of lengths {len(low)} and {len(high)}", "make them equal")
    if (np.diff(x) <= 0).any():
        arguments.refuse("x", x, "does not increase", "sort it and drop what stands twice")
    if (low > high).any() or low[0] != high[0] or low[-1] != high[-1]:
        arguments.refuse("low", low, "crosses high, or leaves it at an end", "pass low <= high, equal at both ends")


def _next_turn(x, low, high, here, level, slopes):
    # The funnel: the slopes of all straight lines from here that pass between the staircases so far lie between
    # ``steepest`` (the highest lower end, at ``at_low``) and ``flattest`` (the lowest upper end, at ``at_high``).
    steepest, flattest, at_low, at_high = -math.inf, math.inf, here, here
    for k in range(here + 1, len(x)):
        up, down = (low[k] - level) / (x[k] - x[here]), (high[k] - level) / (x[k] - x[here])
        # The next gate lies above the funnel: the string bends upwards around the upper end that bounds it.
        if up > flattest:
            turn, slope = at_high, flattest
            break
        # It lies below: the string bends downwards around the lower end.
        if down < steepest:
            turn, slope = at_low, steepest
            break
        if up >= steepest:
            steepest, at_low = up, k
        if down <= flattest:
            flattest, at_high = down, k
    else:
        # No gate closed the funnel: the last point is in sight, both staircases ending there.
        turn, slope = len(x) - 1, (low[-1] - level) / (x[-1] - x[here])
    slopes.extend([float(slope)] * (turn - here))
    return turn, level + slope * (x[turn] - x[here])


def _attained_cost(width_before, before, own):
    excess = np.maximum(own - before, 0)
    return excess + excess**2 / np.maximum(np.minimum(width_before, own), 1)


def _composed_cost(width_before, before, own):
    return (own + width_before - before) ** 2 / width_before


def _programme(widths, cost):
    """Minimise the sum of layer costs over the number of pure-parameter atoms in each layer; also return that number."""
    k = architecture.check_widths(widths)
    best, choices = np.zeros(1), []
    before = np.array([float(k[0])])
    for j, width in enumerate(k[1:], 1):
        own = np.array([float(width)]) if j == len(k) - 1 else np.arange(width + 1.0)
        table = best[:, None] + cost(k[j - 1], before[:, None], own[None, :])
        choices.append((before, table.argmin(0)))
        best, before = table.min(0), own
    counts, at = [k[-1]], 0
    for states, chosen in reversed(choices):
        at = chosen[at]
        counts.append(int(states[at]))
    return best[0], counts[::-1][1:]


def attained_magnitudes(widths: Sequence[int]) -> list[np.ndarray]:
    """Return, for each layer, 1 for an atom that is pure parameter at the minimum and 0 for pure identity.

    Source: the theorem of the chapter on the deep frame potential.

    >>> [int(layer.sum()) for layer in attained_magnitudes([64, 128, 128])]
    [85, 128]
    """
    counts = _programme(widths, _attained_cost)[1]
    return [(np.arange(width) < count).astype(float) for width, count in zip(widths[1:], counts, strict=True)]


def composed_bound(widths: Sequence[int], magnitudes: Sequence) -> float:
    r"""Return the bound on :math:`\lVert G \rVert_F^2` composed of Equations :eq:`dfp-eq-17`, 21 and :eq:`dfp-eq-22`.

    Corrected: the last layer has no identity below it, so its first sum is its width.

    Args:
        widths: input width first.
        magnitudes: for each layer, the values :math:`s = c^2/(c^2+1)` of its atoms (the last layer's are not used).

    Raises:
        ValueError: on widths or magnitudes that do not fit.

    >>> composed_bound([2, 3], [np.ones(3)])
    4.5
    """
    k = architecture.check_widths(widths)
    shares = [*_shares(k, magnitudes), np.ones(k[-1])]
    total, kept = 0.0, 0.0
    for width_before, s in zip(k, shares, strict=False):
        total += (s.sum() + kept) ** 2 / width_before
        kept = (1 - s).sum()
    return float(total + 2 * sum((s * (1 - s)).sum() for s in shares[:-1]))


def _shares(k, magnitudes):
    given = [arguments.real_array(f"magnitudes[{j}]", np.asarray(s), rank=1) for j, s in enumerate(magnitudes)]
    if [len(s) for s in given] != list(k[1:]):
        arguments.refuse("magnitudes", [len(s) for s in given], f"do not fit the widths {list(k)}",
                         "pass one value for each atom of every layer")
    return given[:-1]


def composed_minimum(widths: Sequence[int]) -> float:
    """Return the least value of ``composed_bound`` over every magnitude (taken at 0 and 1, an integer programme).

    Source: Equations :eq:`dfp-eq-17` to :eq:`dfp-eq-22`, corrected.

    >>> composed_minimum([64, 16, 16, 16]) - 48 < 0
    True
    """
    return float(_programme(widths, _composed_cost)[0])


def chain_start(widths: Sequence[int], magnitudes: Sequence, seed: int = 0) -> list[torch.Tensor]:
    """Return weights of a synthesis chain whose atoms have the given parameter norms c, with random directions.

    Args:
        widths: input width first.
        magnitudes: for each layer, one norm for each atom.
        seed: of the directions.

    Source: the chapter on the deep frame potential.

    Raises:
        ValueError: on widths or magnitudes that do not fit.

    >>> [float(torch.linalg.norm(w[0]).round(decimals=6)) for w in chain_start([4, 3], [2 * np.ones(3)])]
    [2.0]
    """
    net = architecture.chain(widths)
    directions = net.unit(net.init(seed))
    for j, norms in enumerate(magnitudes):
        arguments.real_array(f"magnitudes[{j}]", np.asarray(norms), rank=1)
    return [direction * torch.as_tensor(np.asarray(norms, dtype=float))[:, None]
            for direction, norms in zip(directions, magnitudes, strict=True)]

named(__name__)
