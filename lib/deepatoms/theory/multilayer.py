r"""Signals whose codes are sparse at *every* layer: named configurations, and draws from them.

The deepest code :math:`\Gamma_K` is a few spikes far apart. The filters of the deeper layers are sparse themselves: a few equal
taps, spaced so that a stripe of the layer above sees one tap, and arranged so that two shifted atoms collide in at most one
tap; their coherence is then at most 1 / taps, and 0 when each tap has a channel of its own. The first layer's filters are
trained for low coherence (:func:`~deepatoms.theory.convolutional.minimize_filter_coherence`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from deepatoms.theory import arguments, convolutional
from deepatoms.theory.arrays import AnyArray
from deepatoms.theory.signatures import named

DESIGNS = 8
ATTEMPTS = 10_000


@dataclass(frozen=True)
class SparseLayer:
    """A layer of sparse filters: how many, their support, taps, and the least distance (in the max norm) of two taps."""

    atoms: int
    kernel: tuple[int, ...]
    taps: int
    spacing: int
    own_channels: bool = False


@dataclass(frozen=True)
class Configuration:
    """A family of multi-layer sparse signals: grid, first-layer filters, sparse layers, spikes and their least gap."""

    grid: tuple[int, ...]
    atoms: int
    kernel: tuple[int, ...]
    layers: tuple[SparseLayer, ...]
    spikes: int
    gap: int
    amplitudes: tuple[float, float] = (0.95, 1.0)
    logarithmic: bool = False


CONFIGURATIONS = {
    "K2-1D": Configuration((1200,), 4, (25,), (SparseLayer(4, (200,), 4, 49),), 2, 400),
    "K2-2D": Configuration((160, 160), 4, (8, 8), (SparseLayer(4, (40, 40), 4, 15),), 2, 79),
    "K2-1D-q8": Configuration((3000,), 4, (25,), (SparseLayer(6, (600,), 8, 49),), 2, 900),
    "K2-compact": Configuration((1000,), 2, (100,), (SparseLayer(2, (9,), 2, 1),), 3, 220),
    "K3-1D": Configuration((700,), 4, (25,), (SparseLayer(2, (60,), 2, 49, True), SparseLayer(1, (130,), 2, 108, True)),
                           2, 262),
    "K3-1D-m8": Configuration((2000,), 8, (64,), (SparseLayer(4, (140,), 2, 127, True),
                                                  SparseLayer(2, (300,), 2, 266, True)), 2, 620),
    "K3-2D": Configuration((160, 160), 4, (8, 8), (SparseLayer(2, (18, 18), 2, 15, True),
                                                   SparseLayer(1, (40, 40), 2, 32, True)), 2, 79),
    "K3-over": Configuration((30000,), 2, (25,), (SparseLayer(3, (700,), 8, 49), SparseLayer(4, (14000,), 8, 1399)), 1, 1),
    "K2-fail": Configuration((600,), 4, (25,), (SparseLayer(3, (25,), 4, 1),), 6, 20),
}


@dataclass(frozen=True)
class Signals:
    r"""A batch of multi-layer sparse signals: dictionaries (one for each signal), codes of all layers, signals.

    ``dictionaries[i].filters`` has shape (signals, atoms, channels, \*kernel), ``codes[i]`` (signals, atoms, \*grid) and
    ``signal`` (signals, 1, \*grid), all float64 tensors.
    """

    dictionaries: list
    codes: list
    signal: torch.Tensor

    def __getitem__(self, rows):
        """Return some of the signals, with their dictionaries."""
        return Signals([convolutional.ConvolutionalDictionary(D.filters[rows], D.grid) for D in self.dictionaries],
                       [code[rows] for code in self.codes], self.signal[rows])

    def __len__(self):
        return len(self.signal)

    def to(self, device: str | torch.device) -> 'Signals':
        """Return the same signals on a device."""
        return Signals([convolutional.ConvolutionalDictionary(D.filters.to(device), D.grid) for D in self.dictionaries],
                       [code.to(device) for code in self.codes], self.signal.to(device))

    @property
    def kernels(self) -> list[tuple[int, ...]]:
        """For the signal and each code the patch that its errors are measured on: the next layer's support."""
        return [D.kernel for D in self.dictionaries] + [(1,) * len(self.dictionaries[0].grid)]

    def aligned(self, values: float | AnyArray) -> torch.Tensor:
        """Return one number for each signal as a tensor that broadcasts against signals and codes."""
        tensor = torch.as_tensor(values, dtype=self.signal.dtype, device=self.signal.device)
        return tensor.reshape(-1, *[1] * (self.signal.ndim - 1))

    def errors(self, codes: Sequence[torch.Tensor]) -> list[np.ndarray]:
        """Return for each layer the patch norm of the codes' errors, arrays of shape (signals,)."""
        return [convolutional.patch_norm(found - true, kernel).cpu().numpy()
                for found, true, kernel in zip(codes, self.codes, self.kernels[1:], strict=True)]

    def wrong_supports(self, codes: Sequence[torch.Tensor]) -> list[np.ndarray]:
        """Return for each layer which signals have a code with a wrong support, boolean arrays of shape (signals,)."""
        return [((found != 0) != (true != 0)).flatten(1).any(1).cpu().numpy()
                for found, true in zip(codes, self.codes, strict=True)]


def draw(configuration: str | Configuration, count: int, generator: np.random.Generator, nonnegative: bool = False,
         design_seed: int = 0, **changes: Any) -> Signals:
    r"""Draw signals of a configuration, each with sparse dictionaries and codes of its own.

    First-layer filters come from a pool of trained designs, taken in turn; deeper filters and codes are new for each signal.

    Args:
        configuration: a name of ``CONFIGURATIONS``, or a ``Configuration``.
        count: number of signals.
        generator: numpy random generator.
        nonnegative: whether all taps of the deeper layers and all spikes are positive (so that all codes are).
        design_seed: of the pool of first-layer filters (trained once for each seed).
        changes: fields of the configuration to replace.

    Returns:
        ``Signals``, exactly multi-layer sparse: codes are placed tap by tap, and what cancels is exactly zero.

    Source: the chapter on ML-CSC.

    Raises:
        ValueError: on an unknown configuration, a count below 1, or taps and spikes that do not fit.

    >>> signals = draw("K2-compact", 2, np.random.default_rng(0))
    >>> signals.signal.shape, [int((code != 0).sum()) for code in signals.codes]
    (torch.Size([2, 1, 1000]), [12, 6])
    """
    chosen = _configuration(configuration, changes)
    count = arguments.integer("count", count)
    pool = first_layer(chosen.atoms, chosen.kernel, design_seed)
    filters = [pool[np.arange(count) % len(pool)]]
    for layer in chosen.layers:
        channels = filters[-1].shape[1]
        filters.append(np.stack([sparse_filters(layer, channels, generator, nonnegative) for _ in range(count)]))
    codes = [_spikes(chosen, filters[-1].shape[1], count, generator, nonnegative)]
    for above in reversed(filters):
        codes.insert(0, place_atoms(above, codes[0]))
    tensors = [torch.from_numpy(code) for code in codes]
    dictionaries = [convolutional.ConvolutionalDictionary(torch.from_numpy(f), chosen.grid) for f in filters]
    return Signals(dictionaries, tensors[1:], tensors[0])


def _configuration(configuration, changes):
    if isinstance(configuration, str):
        configuration = CONFIGURATIONS[arguments.one_of("configuration", configuration, list(CONFIGURATIONS))]
    return replace(configuration, **changes)


@lru_cache(maxsize=32)
def first_layer(atoms: int, kernel: tuple[int, ...], seed: int = 0, designs: int = DESIGNS) -> np.ndarray:
    r"""Return a pool of trained first-layer filters of one channel, shape (designs, atoms, 1, \*kernel), numpy.

    Args:
        atoms: number of filters.
        kernel: sizes of their support.
        seed: of the Gaussian starts.
        designs: how many.

    Source: the chapter on ML-CSC.

    >>> first_layer(2, (25,), designs=2).shape
    (2, 2, 1, 25)
    """
    generator = torch.Generator().manual_seed(seed)
    return convolutional.minimize_filter_coherence(atoms, 1, kernel, designs, generator).best.numpy()


def sparse_filters(layer: SparseLayer, channels: int, generator: np.random.Generator,
                   nonnegative: bool = False) -> np.ndarray:
    r"""Draw sparse filters of which two shifted atoms collide in at most one tap: coherence at most 1 / taps.

    Args:
        layer: a ``SparseLayer``.
        channels: number of channels of the layer above.
        generator: numpy random generator.
        nonnegative: whether all taps are positive.

    Returns:
        Array of shape (atoms, channels, \*kernel), unit atoms.

    Raises:
        ValueError: when the taps do not fit.

    Source: the chapter on ML-CSC.

    >>> layer = SparseLayer(2, (60,), 2, 49, own_channels=True)
    >>> filters = sparse_filters(layer, 4, np.random.default_rng(0))
    >>> float(convolutional.filter_coherence(filters))
    0.0
    """
    if layer.own_channels and layer.atoms * layer.taps > channels:
        arguments.refuse("layer", layer, f"needs {layer.atoms * layer.taps} channels of its own and has {channels}",
                         "use fewer atoms or taps")
    chosen: list[tuple[np.ndarray, np.ndarray]] = []
    while len(chosen) < layer.atoms:
        chosen.append(_compatible_atom(layer, channels, chosen, generator))
    filters = np.zeros((layer.atoms, channels, *layer.kernel))
    for atom, (where, places) in enumerate(chosen):
        signs = np.ones(layer.taps) if nonnegative else generator.choice([-1.0, 1.0], layer.taps)
        filters[(atom, where, *places.T)] = signs / np.sqrt(layer.taps)
    return filters


def _compatible_atom(layer, channels, chosen, generator):
    """Draw channels and places of one atom's taps that collide at most once with every chosen atom, and with itself."""
    for _ in range(ATTEMPTS):
        start = len(chosen) * layer.taps
        where = (np.arange(start, start + layer.taps) if layer.own_channels
                 else generator.integers(channels, size=layer.taps))
        places = _spaced(layer.kernel, layer.taps, layer.spacing, generator)
        if places is None:
            continue
        if not any(_collide_twice(where, places, *other) for other in [*chosen, (where, places)]):
            return where, places
    arguments.refuse("layer", layer, f"found no atom {len(chosen) + 1} in {ATTEMPTS:,} draws",
                     "use fewer taps or a longer kernel")


def _collide_twice(where, places, others, other_places):
    """Tell whether two taps coincide in one shift (of an atom with itself: shift 0 aside)."""
    same = where[:, None] == others[None, :]
    if places is other_places:
        same = same & ~np.eye(len(where), dtype=bool)
    shifts = (places[:, None, :] - other_places[None, :, :])[same].tolist()
    return len({tuple(shift) for shift in shifts}) < len(shifts)


def _spaced(kernel, count, spacing, generator):
    """Draw places of a box that are ``spacing`` apart in the max norm; None when they got stuck (draw again)."""
    if len(kernel) == 1:
        room = kernel[0] - (count - 1) * spacing
        if room < 1:
            arguments.refuse("kernel", kernel, f"is too short for {count} taps {spacing} apart",
                             f"use at least {(count - 1) * spacing + 1}")
        return (np.sort(generator.integers(room, size=count)) + spacing * np.arange(count))[:, None]
    places = generator.integers(kernel, size=(count, len(kernel)))
    one, other = _pairs(count)
    return places if (abs(places[one] - places[other]).max(-1) >= spacing).all() else None


@lru_cache(maxsize=32)
def _pairs(count):
    return np.triu_indices(count, 1)


def _spikes(chosen, atoms, count, generator, nonnegative):
    """Draw the deepest codes: spikes of random filters at places that are a gap apart, circularly."""
    code = np.zeros((count, atoms, *chosen.grid))
    low, high = chosen.amplitudes
    for row in code:
        sizes = generator.uniform(low, high, chosen.spikes)
        if chosen.logarithmic:
            sizes = np.exp(generator.uniform(np.log(low), np.log(high), chosen.spikes))
        signs = np.ones(chosen.spikes) if nonnegative else generator.choice([-1.0, 1.0], chosen.spikes)
        row[(generator.integers(atoms, size=chosen.spikes), *_apart(chosen, generator).T)] = signs * sizes
    return code


def _apart(chosen, generator):
    grid, (one, other) = np.array(chosen.grid), _pairs(chosen.spikes)
    for _ in range(ATTEMPTS):
        places = generator.integers(grid, size=(chosen.spikes, len(grid)))
        distance = abs(places[one] - places[other])
        if (np.minimum(distance, grid - distance).max(-1) >= chosen.gap).all():
            return places
    arguments.refuse("configuration", chosen, f"left no room for {chosen.spikes} spikes {chosen.gap} apart", "lower the gap")


def place_atoms(filters: np.ndarray, codes: np.ndarray) -> np.ndarray:
    r"""Return :math:`D \Gamma` of sparse codes by placing one atom for each nonzero, exactly zero where nothing falls.

    Args:
        filters: numpy array of shape (signals, atoms, channels, \*kernel), one dictionary for each signal.
        codes: numpy array of shape (signals, atoms, \*grid).

    Returns:
        Array of shape (signals, channels, \*grid); sums below 1e-12, left by taps that cancel, are set to zero.

    Source: standard.

    >>> place_atoms(np.array([[[[1.0, 2.0]]]]), np.array([[[0.0, 0.0, 3.0]]]))
    array([[[6., 0., 3.]]])
    """
    # One scatter over all nonzeros, and not a convolution: sums are exact, and what cancels leaves no rounding of a transform.
    grid = codes.shape[2:]
    signal = np.zeros((len(codes), filters.shape[2], *grid))
    row, atom, *places = np.nonzero(codes)
    window = [(place[:, None] + np.arange(length)) % size
              for place, length, size in zip(places, filters.shape[3:], grid, strict=True)]
    channel = np.arange(filters.shape[2])
    axes = len(grid)
    index = [row.reshape(-1, *[1] * (axes + 1)), channel.reshape(1, -1, *[1] * axes)]
    index += [taps.reshape(len(row), 1, *[-1 if axis == own else 1 for axis in range(axes)])
              for own, taps in enumerate(window)]
    np.add.at(signal, tuple(index), filters[row, atom] * codes[(row, atom, *places)].reshape(-1, *[1] * (axes + 1)))
    signal[abs(signal) < 1e-12] = 0
    return signal


def gaussian_noise(signals: Signals, noise: float | AnyArray, generator: np.random.Generator) -> torch.Tensor:
    """Return Gaussian noise scaled so that its largest patch has the given norm.

    Args:
        signals: ``Signals``.
        noise: norm on the first layer's patch, a number or one for each signal.
        generator: numpy random generator.

    Source: standard.

    Raises:
        ValueError: on noise that is negative or not finite.

    >>> signals = draw("K2-compact", 2, np.random.default_rng(0))
    >>> noise = gaussian_noise(signals, 0.5, np.random.default_rng(1))
    >>> convolutional.patch_norm(noise, (100,))
    tensor([0.5000, 0.5000], dtype=torch.float64)
    """
    direction = torch.from_numpy(generator.standard_normal(tuple(signals.signal.shape)))
    return _scaled(signals, direction.to(signals.signal.device), noise)


def worst_noise(signals: Signals, noise: float | AnyArray) -> torch.Tensor:
    r"""Return noise that shrinks every coefficient of the first code: :math:`-D_1 \operatorname{sign}(\Gamma_1)`, scaled.

    Args:
        signals: ``Signals``.
        noise: norm on the first layer's patch, a number or one for each signal.

    Source: the chapter on ML-CSC.

    Raises:
        ValueError: on noise that is negative or not finite.

    >>> signals = draw("K2-compact", 2, np.random.default_rng(0))
    >>> bool((signals.dictionaries[0].analyze(worst_noise(signals, 0.5)) * signals.codes[0]).sum() < 0)
    True
    """
    return _scaled(signals, -signals.dictionaries[0].synthesize(signals.codes[0].sign()), noise)


def misleading_noise(signals: Signals, noise: float | AnyArray) -> torch.Tensor:
    """Return noise along the absent first-layer atom that correlates most with the signal, so that it correlates more.

    Args:
        signals: ``Signals``.
        noise: norm on the first layer's patch, a number or one for each signal.

    Source: the chapter on ML-CSC.

    Raises:
        ValueError: on noise that is negative or not finite.

    >>> signals = draw("K2-compact", 2, np.random.default_rng(0))
    >>> float(convolutional.patch_norm(misleading_noise(signals, 0.5), (100,)).round(decimals=9)[0])
    0.5
    """
    first, code = signals.dictionaries[0], signals.codes[0]
    products = torch.where(code == 0, first.analyze(signals.signal), torch.zeros_like(code)).flatten(1)
    place = products.abs().argmax(1, keepdim=True)
    atom = torch.zeros_like(products).scatter(1, place, products.gather(1, place).sign())
    return _scaled(signals, first.synthesize(atom.reshape(code.shape)), noise)


def _scaled(signals, direction, noise):
    level = torch.as_tensor(noise)
    if not bool(((level >= 0) & level.isfinite()).all()):
        arguments.refuse("noise", noise, "is negative or not finite", "pass numbers >= 0")
    norms = convolutional.patch_norm(direction, signals.kernels[0])
    return direction * signals.aligned(noise) / signals.aligned(norms)

named(__name__)
