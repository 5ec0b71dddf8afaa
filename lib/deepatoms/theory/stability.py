r"""When a layered pursuit is guaranteed to find the right codes: hypotheses, thresholds and error bounds, layer by layer.

Everything here is arithmetic on five numbers a layer (:class:`LayerNumbers`): coherence, stripe count s, patch count p and the
smallest and largest nonzero of the code. They may be arrays, one entry for each signal of a batch. Codes that depend on
each other through :math:`\Gamma_{i-1} = D_i \Gamma_i` are measured by :func:`layers`.

The patch that counts p on layer i is the support of the filters of layer i + 1, because the proof bounds what an atom of
the next layer sees; the last layer has no next one and its patch is one position.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from deepatoms.theory import arguments, convolutional
from deepatoms.theory.arrays import AnyArray
from deepatoms.theory.signatures import named


@dataclass(frozen=True)
class LayerNumbers:
    """What the theory needs to know of one layer: numbers, or arrays with one entry for each signal."""

    coherence: float | np.ndarray
    stripes: int | np.ndarray
    patches: int | np.ndarray
    smallest: float | np.ndarray
    largest: float | np.ndarray

    def __post_init__(self) -> None:
        # A certificate of NaN or of a coherence of -1 would read like one: refuse the numbers before anything is promised.
        for name in ("stripes", "patches", "smallest", "largest"):
            _nonnegative(name, getattr(self, name))
        if (np.asarray(_nonnegative("coherence", self.coherence)) > 1 + 1e-6).any():
            arguments.refuse("coherence", self.coherence, "exceeds 1", "pass numbers in [0, 1]")

    @property
    def leakage(self) -> Any:
        r"""Most that all other atoms of a full stripe add to an absent one, :math:`s \mu |\Gamma^{\max}|`."""
        return self.stripes * self.coherence * self.largest

    @property
    def interference(self) -> Any:
        r"""Most that the others add to a present atom, :math:`(s - 1) \mu |\Gamma^{\max}|`."""
        return (self.stripes - 1) * self.coherence * self.largest


@dataclass(frozen=True)
class Guarantee:
    """What the theorem says of one layer: the interval of thresholds, the one used, and the bound on the error.

    ``noise`` is the error that arrives, ``error`` the bound on the error that leaves, both in the patch norm; ``holds``
    tells whether the threshold lies inside the interval here and at every layer before.
    """

    noise: float | np.ndarray
    lower: float | np.ndarray
    upper: float | np.ndarray
    threshold: float | np.ndarray
    error: float | np.ndarray
    holds: bool | np.ndarray


def layers(dictionaries: Sequence, codes: Sequence[AnyArray]) -> list[LayerNumbers]:
    r"""Measure the representations of a signal (or of a batch of signals) layer by layer, Section 3 of the paper.

    Args:
        dictionaries: for each layer filters of shape (atoms, channels, \*kernel), or a ``ConvolutionalDictionary``;
            atoms of unit norm.
        codes: for each layer the true code, shape (..., atoms, \*grid).

    Returns:
        A list of :class:`LayerNumbers`, the numbers of shape (...).

    Raises:
        ValueError: on atoms that are not normalised, layers that do not fit each other, or a code that is all zero.

    >>> filters = np.array([[[0.6, 0.8]]])
    >>> found = layers([filters], [np.array([[2.0, 0.0, 0.0, -1.0, 0.0, 0.0]])])[0]
    >>> round(found.coherence, 6), found.stripes, found.patches, found.smallest, found.largest
    (0.48, 1, 1, 1.0, 2.0)
    """
    dictionaries = fitted(dictionaries, codes)
    kernels = [D.kernel for D in dictionaries[1:]] + [(1,) * len(dictionaries[-1].kernel)]
    return [_layer(i, *given) for i, given in enumerate(zip(dictionaries, codes, kernels, strict=True))]


def fitted(dictionaries: Sequence, codes: Sequence[AnyArray]) -> list[convolutional.ConvolutionalDictionary]:
    r"""Return the dictionaries on the grid of the codes, refusing layers that do not fit each other.

    Args:
        dictionaries: for each layer filters or a ``ConvolutionalDictionary``.
        codes: for each layer an array of shape (..., atoms, \*grid).

    Source: Papyan, Romano and Elad (2017).

    Raises:
        ValueError: on noise, thresholds or numbers of layers that are negative, not finite, or do not fit.

    >>> [D.grid for D in fitted([np.ones((1, 1, 2))], [np.ones((1, 5))])]
    [(5,)]
    """
    if len(dictionaries) != len(codes) or not len(codes):
        arguments.refuse("codes", f"{len(codes)} layers", f"do not match {len(dictionaries)} dictionaries",
                         "pass one code for each layer")
    placed = [_on_grid(D, code) for D, code in zip(dictionaries, codes, strict=True)]
    demand_chain(placed)
    return placed


def _on_grid(D, code):
    if isinstance(D, convolutional.ConvolutionalDictionary):
        return D
    convolutional.demand_filters("dictionaries", D)
    return convolutional.ConvolutionalDictionary(D, code.shape[2 - D.ndim:])


def demand_chain(dictionaries: Sequence) -> None:
    """Refuse convolutional dictionaries of which one does not read what the one before it codes (says which two).

    Source: Papyan, Romano and Elad (2017).

    Raises:
        ValueError: on noise, thresholds or numbers of layers that are negative, not finite, or do not fit.

    No example: the public functions that call it show one.
    """
    for i, (before, after) in enumerate(zip(dictionaries, dictionaries[1:], strict=False)):
        if after.channels != before.atoms:
            arguments.refuse(f"dictionaries[{i + 1}]", after.filters,
                             f"reads {after.channels} channels, but dictionaries[{i}] has {before.atoms} atoms",
                             "make the channels of each layer the atoms of the one before")


def _layer(i, D, code, next_kernel):
    if D.unit_excess() > 1e-5:
        arguments.refuse(f"dictionaries[{i}]", D.filters, f"has atoms whose norm differs from 1 by up to "
                         f"{D.unit_excess():.3g}", "call deepatoms.theory.convolutional.normalize_filters on the filters first")
    sizes = torch.as_tensor(code).detach().abs().flatten(-len(D.grid) - 1)
    largest = sizes.amax(-1)
    if bool((largest == 0).any()):
        arguments.refuse(f"codes[{i}]", code, "is zero everywhere for some signal", "leave that signal out")
    smallest = torch.where(sizes == 0, torch.inf, sizes).amin(-1)
    counts = convolutional.stripe_count(code, D.kernel), convolutional.patch_count(code, next_kernel)
    return LayerNumbers(*(_plain(value) for value in (D.coherence().detach(), *counts, smallest, largest)))


def _plain(value):
    """Return a Python number for a single value, a numpy array for a batch."""
    array = value.cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
    return array.item() if array.ndim == 0 else array


def stripe_limit(layer: LayerNumbers, noise: float | np.ndarray) -> Any:
    r"""Return the right-hand side of Theorem 2's condition on the stripe count, Equation :eq:`csc-thm-2`.

    :math:`\tfrac12 \bigl(1 + \tfrac{1}{\mu} \tfrac{|\Gamma^{\min}|}{|\Gamma^{\max}|}\bigr)
    - \tfrac1\mu \tfrac{\epsilon}{|\Gamma^{\max}|}`; without coherence it is infinite if :math:`2 \epsilon < |\Gamma^{\min}|`
    and minus infinity otherwise.

    Args:
        layer: the layer's numbers.
        noise: the error that arrives, in the patch norm.

    Raises:
        ValueError: on noise, thresholds or numbers of layers that are negative, not finite, or do not fit.

    >>> stripe_limit(LayerNumbers(0.25, 1, 1, 1.0, 1.0), 0.125)
    2.0
    >>> stripe_limit(LayerNumbers(0.0, 1, 1, 1.0, 1.0), 0.125)
    inf
    """
    room = layer.smallest / 2 - _nonnegative("noise", noise)
    scale = np.asarray(layer.coherence * layer.largest, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        limit = np.where(scale > 0, 0.5 + room / scale, np.where(room > 0, np.inf, -np.inf))
    return _plain(limit)


def threshold_interval(layer: LayerNumbers, noise: float | np.ndarray) -> tuple:
    r"""Return the ends of the interval of thresholds that Theorem 2 needs, Equation :eq:`csc-interval`.

    :math:`s \mu |\Gamma^{\max}| + \epsilon < \beta < |\Gamma^{\min}| - (s - 1) \mu |\Gamma^{\max}| - \epsilon`; it is
    non-empty exactly when the stripe count is below :func:`stripe_limit`.

    Args:
        layer: the layer's numbers.
        noise: the error that arrives, in the patch norm.

    Returns:
        The lower and the upper end; empty when the lower is not below the upper.

    Raises:
        ValueError: on noise, thresholds or numbers of layers that are negative, not finite, or do not fit.

    >>> threshold_interval(LayerNumbers(0.25, 1, 1, 1.0, 1.0), 0.125)
    (0.375, 0.875)
    """
    noise = _nonnegative("noise", noise)
    return layer.leakage + noise, layer.smallest - layer.interference - noise


def soft_thresholding_bounds(layers: Sequence[LayerNumbers], noise: float | np.ndarray,
                             thresholds: Sequence | None = None, position: float = 0.01) -> list[Guarantee]:
    r"""Return what Theorem 2 guarantees of layered soft thresholding, layer by layer.

    :math:`\epsilon_i = \sqrt{p_i} (\epsilon_{i-1} + (s_i - 1) \mu_i |\Gamma_i^{\max}| + \beta_i)`, Equation
    :eq:`csc-bound`. The threshold is the bias that is really incurred, so it belongs near the lower end of its interval.

    Args:
        layers: the numbers of every layer, from :func:`layers`.
        noise: :math:`\epsilon_0`, the largest norm of the noise on a patch of the first layer's support.
        thresholds: one for each layer (a number, or an array with one entry for each signal); unless given they lie at
            ``position`` of each interval.
        position: where in its interval each threshold lies, from 0 (lower end) to 1 (upper end).

    Returns:
        A list of :class:`Guarantee`; beyond the first layer that does not hold, the numbers are kept but promise nothing.

    Raises:
        ValueError: on noise, thresholds or numbers of layers that are negative, not finite, or do not fit.

    >>> found = soft_thresholding_bounds([LayerNumbers(0.25, 1, 4, 1.0, 1.0)], 0.125, [0.5])[0]
    >>> found.error, found.holds
    (1.25, True)
    """
    return _guarantees(layers, noise, thresholds, position, biased=True)


def hard_thresholding_bounds(layers: Sequence[LayerNumbers], noise: float | np.ndarray,
                             thresholds: Sequence | None = None, position: float = 0.5) -> list[Guarantee]:
    r"""Return what is guaranteed of layered hard thresholding: the same intervals, errors without the thresholds.

    :math:`\epsilon_i = \sqrt{p_i} (\epsilon_{i-1} + (s_i - 1) \mu_i |\Gamma_i^{\max}|)`, Equation :eq:`csc-hard`. Not stated
    in the paper; the chapter derives it.

    Args:
        layers: the numbers of every layer, from :func:`layers`.
        noise: :math:`\epsilon_0`, the largest norm of the noise on a patch of the first layer's support.
        thresholds: one for each layer; unless given they lie at ``position`` of each interval.
        position: where in its interval each threshold lies; the middle leaves most room on both sides.

    Raises:
        ValueError: on noise, thresholds or numbers of layers that are negative, not finite, or do not fit.

    >>> found = hard_thresholding_bounds([LayerNumbers(0.25, 1, 4, 1.0, 1.0)], 0.125)[0]
    >>> found.threshold, found.error, found.holds
    (0.625, 0.25, True)
    """
    return _guarantees(layers, noise, thresholds, position, biased=False)


def _guarantees(layers, noise, thresholds, position, biased):
    arguments.number("position", position, 0, 1)
    given = _per_layer(layers, thresholds)
    noise, holds, found = _nonnegative("noise", noise), True, []
    for layer, threshold in zip(layers, given, strict=True):
        lower, upper = threshold_interval(layer, noise)
        threshold = lower + position * (upper - lower) if threshold is None else _nonnegative("thresholds", threshold)
        # np.sqrt of counts; the error needs no valid interval to be written down, only to be promised.
        error = np.sqrt(layer.patches) * (noise + layer.interference + (threshold if biased else 0.0))
        holds = holds & (lower < threshold) & (threshold < upper)
        found.append(Guarantee(*(_plain(value) for value in (noise, lower, upper, threshold, error, holds))))
        noise = error
    return found


def _per_layer(layers, thresholds):
    _demand_layers(layers)
    if thresholds is None:
        return [None] * len(layers)
    if len(thresholds) != len(layers):
        arguments.refuse("thresholds", thresholds, f"has {len(thresholds)} entries for {len(layers)} layers",
                         "pass one for each layer")
    return thresholds


def _demand_layers(layers):
    if not len(layers):
        arguments.refuse("layers", layers, "is empty", "pass the numbers of at least one layer")


def _nonnegative(name, value):
    if np.iscomplexobj(value):
        arguments.refuse(name, value, "is complex", "pass a finite number >= 0", TypeError)
    array = np.asarray(value, dtype=float)
    if not np.isfinite(array).all() or (array < 0).any():
        arguments.refuse(name, value, "is negative or not finite", "pass a finite number >= 0")
    return _plain(array)


def largest_certified_noise(layers: Sequence[LayerNumbers], thresholds: Sequence | None = None,
                            position: float | None = None, kind: str = "soft") -> Any:
    r"""Return the largest noise :math:`\epsilon_0` (not attained) for which every layer's threshold lies in its interval.

    All :math:`\epsilon_{i-1} = g_i \epsilon_0 + c_i` are affine in the noise, so the limit has a closed form: with fixed
    thresholds :math:`\min_i \bigl(\min(\beta_i - s_i \mu_i |\Gamma_i^{\max}|,\; |\Gamma_i^{\min}| - (s_i - 1) \mu_i
    |\Gamma_i^{\max}| - \beta_i) - c_i\bigr) / g_i`.

    Args:
        layers: the numbers of every layer, from :func:`layers`.
        thresholds: one for each layer, fixed beforehand; unless given they move with the noise, at ``position``.
        position: where in its interval each threshold lies; 0.01 for soft and 0.5 for hard thresholding unless given.
        kind: ``"soft"`` or ``"hard"``.

    Returns:
        The limit; not positive where nothing is certified, however small the noise. Not in the paper; the chapter derives it.

    Raises:
        ValueError: on an unknown kind, or thresholds and positions that are negative, not finite, or do not fit.

    >>> layer = LayerNumbers(0.25, 1, 1, 1.0, 1.0)
    >>> largest_certified_noise([layer]), largest_certified_noise([layer], thresholds=[0.5])
    (0.375, 0.25)
    """
    arguments.one_of("kind", kind, ["soft", "hard"])
    position = {"soft": 0.01, "hard": 0.5}[kind] if position is None else arguments.number("position", position, 0, 1)
    gain: Any = 1.0
    offset: Any = 0.0
    limit: Any = np.inf
    for layer, threshold in zip(layers, _per_layer(layers, thresholds), strict=True):
        room, fixed, slope = _room(layer, threshold, position)
        limit = np.minimum(limit, (room - offset) / gain)
        bias, steepness = (fixed, slope) if kind == "soft" else (0.0, 0.0)
        # The threshold is fixed + slope * noise, and the noise here is gain * eps_0 + offset.
        offset = np.sqrt(layer.patches) * (offset * (1 + steepness) + layer.interference + bias)
        gain = np.sqrt(layer.patches) * gain * (1 + steepness)
    return _plain(limit)


def _room(layer, threshold, position):
    """Return the largest noise this layer bears, and its threshold as a constant and a slope in the noise."""
    lower, upper = threshold_interval(layer, 0.0)
    if threshold is None:
        return (upper - lower) / 2, lower + position * (upper - lower), 1 - 2 * position
    threshold = _nonnegative("thresholds", threshold)
    return np.minimum(threshold - lower, upper - threshold), threshold, 0.0


@dataclass(frozen=True)
class BasisPursuitGuarantee:
    """What is guaranteed of one layer of basis pursuit: limit on the stripe count, weight, error, what must be found."""

    noise: float | np.ndarray
    limit: float | np.ndarray
    weight: float | np.ndarray
    error: float | np.ndarray
    found_above: float | np.ndarray
    holds: bool | np.ndarray


def basis_pursuit_bounds(layers: Sequence[LayerNumbers], noise: float | np.ndarray) -> list[BasisPursuitGuarantee]:
    r"""Return what is guaranteed of layered basis pursuit with weights :math:`4 \epsilon_{i-1}`, layer by layer.

    If :math:`s_i < \tfrac13 (1 + 1/\mu_i)` the support is contained in the true one, entries above
    :math:`7.5\,\epsilon_{i-1}` are found and :math:`\epsilon_i = 7.5 \sqrt{p_i}\,\epsilon_{i-1}`. Neither contrast nor
    noise is in the hypothesis. Not stated in the paper; the chapter derives the constants.

    Args:
        layers: the numbers of every layer, from :func:`layers`.
        noise: :math:`\epsilon_0`, the largest norm of the noise on a patch of the first layer's support.

    Returns:
        A list of :class:`BasisPursuitGuarantee`.

    Raises:
        ValueError: on noise, thresholds or numbers of layers that are negative, not finite, or do not fit.

    >>> found = basis_pursuit_bounds([LayerNumbers(0.25, 1, 4, 1.0, 1.0)], 0.01)[0]
    >>> round(found.limit, 6), found.weight, found.error, found.holds
    (1.666667, 0.04, 0.15, True)
    """
    _demand_layers(layers)
    holds: Any = True
    noise, found = _nonnegative("noise", noise), []
    for layer in layers:
        limit = 2 / 3 * np.asarray(uniqueness_limit(layer))
        holds = holds & (layer.stripes < limit)
        error = 7.5 * np.sqrt(layer.patches) * noise
        found.append(BasisPursuitGuarantee(*(_plain(value) for value in (noise, limit, 4 * noise, error, 7.5 * noise,
                                                                         holds))))
        noise = error
    return found


def uniqueness_limit(layer: LayerNumbers) -> Any:
    r"""Return :math:`\tfrac12 (1 + 1/\mu)`: below it, at every layer, the deep coding problem has one solution.

    Args:
        layer: the layer's numbers; without coherence the limit is infinite.

    Source: Papyan, Romano and Elad (2017).

    >>> uniqueness_limit(LayerNumbers(0.25, 1, 1, 1.0, 1.0))
    2.5
    """
    coherence = np.asarray(layer.coherence, dtype=float)
    return _plain(np.where(coherence > 0, 0.5 + 0.5 / np.where(coherence > 0, coherence, 1.0), np.inf))


def unique(layers: Sequence[LayerNumbers]) -> Any:
    """Tell whether the theory guarantees that the deep coding problem with these stripe counts has one solution.

    Source: Papyan, Romano and Elad (2017).

    Raises:
        ValueError: on noise, thresholds or numbers of layers that are negative, not finite, or do not fit.

    >>> unique([LayerNumbers(0.25, 2, 1, 1.0, 1.0)]), unique([LayerNumbers(0.25, 3, 1, 1.0, 1.0)])
    (True, False)
    """
    _demand_layers(layers)
    return _plain(np.logical_and.reduce([layer.stripes < uniqueness_limit(layer) for layer in layers]))


def deep_coding_bounds(layers: Sequence[LayerNumbers], noise: float | np.ndarray) -> list:
    r"""Return the bounds :math:`\mathcal E_i` on the :math:`\ell_2` distance between solutions of the deep coding problem.

    :math:`\mathcal E_i^2 = 4 \mathcal E_{i-1}^2 / (1 - (2 s_i - 1) \mu_i)`, with :math:`s_i` the larger stripe count of the clean
    signal's codes and of any codes that satisfy the noisy problem. Not stated in the paper; the chapter derives it.

    Args:
        layers: the numbers of every layer.
        noise: :math:`\mathcal E_0`, the global :math:`\ell_2` norm of the noise.

    Returns:
        A list of bounds, infinite from the first layer on whose stripe count is not below :func:`uniqueness_limit`.

    Raises:
        ValueError: on noise, thresholds or numbers of layers that are negative, not finite, or do not fit.

    >>> deep_coding_bounds([LayerNumbers(0.25, 2, 1, 1.0, 1.0)], 0.5)
    [2.0]
    """
    _demand_layers(layers)
    squared, found = np.asarray(_nonnegative("noise", noise)) ** 2, []
    for layer in layers:
        left = np.asarray(1 - (2 * layer.stripes - 1) * layer.coherence, dtype=float)
        squared = np.where(left > 0, 4 * squared / np.where(left > 0, left, 1.0), np.inf)
        found.append(_plain(np.sqrt(squared)))
    return found


@dataclass(frozen=True)
class CodingLayer:
    """One layer of the deep coding problem: how exactly it is met, its stripe count, the limit, and whether both fit."""

    residual: float
    stripes: int
    limit: float
    holds: bool


def verify_deep_coding(signal: AnyArray, dictionaries: Sequence, codes: Sequence[AnyArray], limits: Sequence[int],
                       tolerance: float = 1e-9) -> list[CodingLayer]:
    r"""Check codes against the deep coding problem of Definition 1, Equation :eq:`csc-def-1`, layer by layer.

    Args:
        signal: array of shape (..., channels, \*grid).
        dictionaries: for each layer filters of shape (atoms, channels, \*kernel), or a ``ConvolutionalDictionary``.
        codes: for each layer an array of shape (..., atoms, \*grid).
        limits: for each layer :math:`\lambda_i`, the largest admissible stripe count.
        tolerance: largest admissible entry of :math:`\Gamma_{i-1} - D_i \Gamma_i`.

    Returns:
        A list of :class:`CodingLayer`: largest residual, largest stripe count, limit and verdict of each layer.

    Raises:
        ValueError: on noise, thresholds or numbers of layers that are negative, not finite, or do not fit.

    >>> code = np.array([[2.0, 0.0, 0.0, 0.0]])
    >>> verify_deep_coding(np.array([[1.2, 1.6, 0.0, 0.0]]), [np.array([[[0.6, 0.8]]])], [code], [1])[0].holds
    True
    """
    dictionaries = fitted(dictionaries, codes)
    every: list[Any] = [signal, *codes]
    found = []
    for above, D, code, limit in zip(every[:-1], dictionaries, every[1:], _per_layer(codes, limits), strict=True):
        made = D.synthesize(code)
        if made.shape != np.shape(above):
            arguments.refuse("signal" if above is signal else "codes", above, f"is not of shape {tuple(made.shape)}",
                             "pass what the dictionary below makes of the code")
        residual = float(abs(made - above).max())
        stripes = int(convolutional.stripe_count(code, D.kernel).max())
        found.append(CodingLayer(residual, stripes, limit, residual <= tolerance and stripes <= limit))
    return found

named(__name__)
