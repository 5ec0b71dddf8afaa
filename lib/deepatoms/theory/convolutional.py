r"""Convolutional dictionaries on a circular grid, and the local norms that the ML-CSC theory measures codes with.

Filters have torch's layout, shape (atoms, channels, \*kernel); a signal has shape (..., channels, \*grid) and a code
(..., atoms, \*grid), with one or two grid axes. The atom (k, j) of the dictionary is filter k shifted to position j,

.. math:: d_{k,j}[c, p] = \sum_t f_k[c, t]\; \delta[p = j + t \bmod \text{grid}],

so that :math:`D^\mathsf{T} X` is what torch calls a convolution (filters unflipped, circular padding at the end of each
axis) and :math:`D\,\Gamma` its transpose. Products run through the fast Fourier transform and are differentiable.
"""

import math
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch

from deepatoms.theory import arguments
from deepatoms.theory.arrays import AnyArray, Array, Descended
from deepatoms.theory.signatures import named

LARGEST_MATRIX = 2**24


class ConvolutionalDictionary:
    r"""A convolutional dictionary on a grid: every filter at every position, circular.

    Args:
        filters: array of shape (..., atoms, channels, \*kernel). Leading axes, if any, hold one dictionary for each
            signal of a batch.
        grid: sizes of the one or two grid axes, each at least as long as the kernel.

    Raises:
        ValueError: when the kernel is longer than the grid, or on entries that are not finite.

    >>> D = ConvolutionalDictionary(torch.tensor([[[1.0, 2.0]]]), (4,))
    >>> D.synthesize(torch.tensor([[0.0, 0.0, 0.0, 1.0]])).round(decimals=6)
    tensor([[2., 0., 0., 1.]])
    """

    def __init__(self, filters: AnyArray, grid: int | Sequence[int]) -> None:
        arguments.real_array("filters", filters)
        self.filters = torch.as_tensor(filters)
        self.grid = tuple(arguments.integer("grid", size) for size in _tuple(grid))
        _demand_fit(self.filters, self.grid)
        self.axes = tuple(range(-len(self.grid), 0))

    @property
    def atoms(self) -> int:
        """Number of filters."""
        return self.filters.shape[-len(self.grid) - 2]

    @property
    def channels(self) -> int:
        """Number of channels of the signal."""
        return self.filters.shape[-len(self.grid) - 1]

    @property
    def kernel(self) -> tuple[int, ...]:
        """Sizes of the filters' support."""
        return tuple(self.filters.shape[-len(self.grid):])

    @cached_property
    def spectrum(self) -> torch.Tensor:
        """Fourier transform of the filters, frequencies flattened: shape (..., atoms, channels, frequencies)."""
        return torch.fft.rfftn(self.filters, s=self.grid, dim=self.axes).flatten(-len(self.grid))

    def synthesize(self, codes: Array) -> Array:
        r"""Return :math:`D\,\Gamma`, shape (..., channels, \*grid), for codes of shape (..., atoms, \*grid)."""
        self._demand("codes", codes, self.atoms)
        return self._apply(codes, self.spectrum)

    def analyze(self, signals: Array) -> Array:
        r"""Return :math:`D^\mathsf{T} X`, shape (..., atoms, \*grid), for signals of shape (..., channels, \*grid)."""
        self._demand("signals", signals, self.channels)
        return self._apply(signals, self._adjoint)

    @cached_property
    def _adjoint(self):
        return self.spectrum.conj().resolve_conj().transpose(-3, -2)

    def resolvent(self, penalty: float) -> Callable:
        r"""Return the function that maps signals X to :math:`(D D^\mathsf{T} + \rho I)^{-1} X`.

        Args:
            penalty: :math:`\rho > 0`, a number.

        >>> D = ConvolutionalDictionary(torch.tensor([[[1.0, 0.0]]]), (4,))
        >>> D.resolvent(3.0)(torch.tensor([[4.0, 8.0, -4.0, -8.0]])).round(decimals=6)
        tensor([[ 1.,  2., -1., -2.]])
        """
        arguments.number("penalty", penalty, 1e-300)
        symbols = self.spectrum.movedim(-1, -3)
        identity = torch.eye(self.channels, dtype=self.spectrum.dtype, device=self.spectrum.device)
        systems = symbols.mT @ symbols.conj() + penalty * identity
        # One small system for each frequency; a single channel needs a division only.
        inverse = 1 / systems if self.channels == 1 else torch.linalg.inv(systems)
        return partial(self._apply, spectrum=inverse.movedim(-3, -1).transpose(-3, -2))

    def _apply(self, values, spectrum):
        """Multiply by a matrix for each frequency, given with the axis that is summed first."""
        tensor = torch.as_tensor(values)
        transformed = torch.fft.rfftn(tensor, dim=self.axes)
        product = _contracted(transformed.flatten(-len(self.grid)), spectrum)
        result = torch.fft.irfftn(product.unflatten(-1, transformed.shape[-len(self.grid):]), s=self.grid, dim=self.axes)
        return result.numpy() if isinstance(values, np.ndarray) else result

    def _demand(self, name, values, maps):
        arguments.real_array(name, values)
        expected = (maps, *self.grid)
        if tuple(values.shape[-len(expected):]) != expected:
            arguments.refuse(name, values, f"does not end in (maps, *grid) = {expected}", "match filters and grid")

    @cached_property
    def squared_norm(self) -> float:
        r"""Largest eigenvalue of :math:`D^\mathsf{T} D`: the largest squared singular value over all frequencies."""
        symbols = self.spectrum.detach().movedim(-1, -3)
        small = symbols if self.atoms <= self.channels else symbols.mT
        products = small @ small.mH
        if products.shape[-1] == 1:
            return float(products.real.max())
        return float(torch.linalg.eigvalsh(products).max())

    def correlations(self) -> torch.Tensor:
        r"""Return all inner products of atoms, shape (..., atoms, atoms, \*lags).

        Entry (a, b, l) is the product of atom a at position l with atom b at position 0, lags counted circularly.
        """
        lags = tuple(min(size, 2 * length - 1) for size, length in zip(self.grid, self.kernel, strict=True))
        wide = tuple(2 * length - 1 if lag == 2 * length - 1 else size
                     for size, lag, length in zip(self.grid, lags, self.kernel, strict=True))
        spectrum = torch.fft.rfftn(self.filters, s=wide, dim=self.axes)
        frequencies = spectrum.shape[-len(wide):]
        flat = spectrum.flatten(-len(wide))
        products = torch.einsum("...acf,...bcf->...abf", flat.conj(), flat).unflatten(-1, frequencies)
        return torch.fft.irfftn(products, s=wide, dim=self.axes)

    def coherence(self) -> torch.Tensor:
        """Return the mutual coherence of the (normalised) atoms, one number for each dictionary of the batch."""
        largest = self.other_correlations().amax(-1)
        # Orthogonal atoms leave rounding of the transforms, which is no coherence.
        return torch.where(largest < 64 * torch.finfo(largest.dtype).eps, torch.zeros_like(largest), largest)

    def other_correlations(self) -> torch.Tensor:
        """Return all absolute cosines of two different atoms, shape (..., atoms * atoms * lags); own products are 0."""
        norms = _norms(self.filters, len(self.grid))
        _demand_no_zero_atom(norms, self.filters)
        products = self.correlations() / _outer(norms, len(self.grid))
        own = torch.zeros(products.shape[-len(self.grid) - 2:], dtype=torch.bool, device=products.device)
        for atom in range(self.atoms):
            own[(atom, atom, *[0] * len(self.grid))] = True
        return products.masked_fill(own, 0).abs().flatten(-len(self.grid) - 2)

    def unit_excess(self) -> float:
        """Return by how much the norm of an atom differs from 1 at most."""
        return float((_norms(self.filters, len(self.grid)) - 1).abs().max())


def _contracted(values, matrices):
    """Return the sum over k of values[..., k, :] * matrices[..., k, :, :], term by term: half the time of einsum."""
    total = values[..., 0, None, :] * matrices[..., 0, :, :]
    for k in range(1, values.shape[-2]):
        total = torch.addcmul(total, values[..., k, None, :], matrices[..., k, :, :])
    return total


def _tuple(value):
    return tuple(value) if isinstance(value, (tuple, list, torch.Size)) else (value,)


def _demand_fit(filters, grid):
    if len(grid) not in (1, 2):
        arguments.refuse("grid", grid, f"has {len(grid)} axes", "pass one or two sizes")
    if filters.ndim < len(grid) + 2:
        arguments.refuse("filters", filters, "lacks axes", "pass shape (atoms, channels, *kernel)")
    kernel = tuple(filters.shape[-len(grid):])
    if any(length > size for length, size in zip(kernel, grid, strict=True)):
        arguments.refuse("filters", filters, f"has a support of {kernel}, longer than the grid of {grid}",
                         "use a longer signal or shorter filters")


def _norms(filters, axes):
    return filters.flatten(-axes - 1).norm(dim=-1)


def _outer(norms, axes):
    products = norms[..., :, None] * norms[..., None, :]
    return products.reshape(*products.shape, *[1] * axes)


def _demand_no_zero_atom(norms, filters):
    if bool((norms == 0).any()):
        arguments.refuse("filters", filters, f"has {int((norms == 0).sum())} zero atoms", "drop them")


def demand_filters(name: str, filters: AnyArray) -> AnyArray:
    """Return ``filters`` if it is an array of shape (atoms, channels, \\*kernel) without zero atoms, one or two axes.

    Source: torch's layout of filters (standard).

    Raises:
        ValueError: on a zero atom, an entry that is not finite, or a shape that does not fit.

    >>> demand_filters("filters", np.ones((2, 1, 3))).shape
    (2, 1, 3)
    """
    arguments.real_array(name, filters)
    if filters.ndim not in (3, 4):
        arguments.refuse(name, filters, f"has rank {filters.ndim}", "pass shape (atoms, channels, *kernel), rank 3 or 4")
    _demand_no_zero_atom(_norms(torch.as_tensor(filters), filters.ndim - 2), filters)
    return filters


def normalize_filters(filters: Array) -> Array:
    r"""Return the filters with every atom scaled to norm 1 over all its taps and channels.

    Args:
        filters: array of shape (atoms, channels, \*kernel), without zero atoms.

    Source: standard.

    Raises:
        ValueError: on a zero atom, an entry that is not finite, or a shape that does not fit.

    >>> normalize_filters(np.array([[[3.0, 4.0]]]))
    array([[[0.6, 0.8]]])
    """
    demand_filters("filters", filters)
    squares: Any = filters**2
    return filters / squares.sum(tuple(range(1, filters.ndim)), keepdims=True) ** 0.5


def synthesize(filters: AnyArray, codes: Array) -> Array:
    r"""Return :math:`D\,\Gamma`: every coefficient puts its filter at its position.

    Args:
        filters: array of shape (atoms, channels, \*kernel).
        codes: array of shape (..., atoms, \*grid).

    Returns:
        Array of shape (..., channels, \*grid).

    Source: Papyan, Sulam and Elad (2017).

    Raises:
        ValueError: on a zero atom, an entry that is not finite, or a shape that does not fit.

    >>> synthesize(np.array([[[1.0, 2.0]]]), np.array([[1.0, 0.0, 0.0]])).round(6)
    array([[1., 2., 0.]])
    """
    demand_filters("filters", filters)
    return ConvolutionalDictionary(filters, codes.shape[2 - filters.ndim:]).synthesize(codes)


def analyze(filters: AnyArray, signals: Array) -> Array:
    r"""Return :math:`D^\mathsf{T} X`: the product of every atom with the signal.

    Args:
        filters: array of shape (atoms, channels, \*kernel).
        signals: array of shape (..., channels, \*grid).

    Returns:
        Array of shape (..., atoms, \*grid).

    Source: Papyan, Sulam and Elad (2017).

    Raises:
        ValueError: on a zero atom, an entry that is not finite, or a shape that does not fit.

    >>> analyze(np.array([[[1.0, 2.0]]]), np.array([[1.0, 0.0, 0.0]])).round(6) + 0
    array([[1., 0., 2.]])
    """
    demand_filters("filters", filters)
    return ConvolutionalDictionary(filters, signals.shape[2 - filters.ndim:]).analyze(signals)


def matrix(filters: np.ndarray, grid: int | Sequence[int]) -> np.ndarray:
    r"""Return the explicit dictionary, for small sizes and as a reference.

    Args:
        filters: numpy array of shape (atoms, channels, \*kernel).
        grid: sizes of the grid axes.

    Returns:
        Array of shape (channels \* positions, atoms \* positions), positions in row-major order, channels and atoms first.

    Raises:
        ValueError: when it would hold more than sixteen million entries (says how many).

    Source: Papyan, Sulam and Elad (2017).

    >>> matrix(np.array([[[1.0, 2.0]]]), (3,))
    array([[1., 0., 2.],
           [2., 1., 0.],
           [0., 2., 1.]])
    """
    demand_filters("filters", filters)
    sizes = _tuple(grid)
    _demand_fit(filters, sizes)
    (atoms, channels, *kernel), positions = filters.shape, math.prod(sizes)
    if atoms * channels * positions**2 > LARGEST_MATRIX:
        arguments.refuse("grid", sizes, f"makes a matrix of {atoms * channels * positions**2:,} entries",
                         f"stay below {LARGEST_MATRIX:,}, or use synthesize and analyze")
    shifted = np.zeros((positions, atoms, channels, *sizes))
    for column, shift in enumerate(np.ndindex(*sizes)):
        window = np.ix_(*[(start + np.arange(length)) % size
                          for start, length, size in zip(shift, kernel, sizes, strict=True)])
        shifted[column][(..., *window)] = filters
    return shifted.transpose(1, 0, *range(2, shifted.ndim)).reshape(atoms * positions, channels * positions).T


def filter_coherence(filters: AnyArray, grid: int | Sequence[int] | None = None) -> Any:
    r"""Return the exact mutual coherence of the convolutional dictionary, from the correlations of its filters.

    Args:
        filters: array of shape (atoms, channels, \*kernel), without zero atoms.
        grid: sizes of the grid axes; unless given, long enough (at least 2 kernel - 1) that nothing wraps around.

    Returns:
        The largest absolute cosine of two different atoms, shifted copies included; a differentiable scalar for a tensor.

    Source: Donoho and Elad (2003), for convolutions.

    Raises:
        ValueError: on a zero atom, an entry that is not finite, or a shape that does not fit.

    >>> float(filter_coherence(np.array([[[1.0, 1.0, 0.0]]])).round(6))
    0.5
    >>> float(filter_coherence(np.array([[[1.0, 1.0, 0.0]]]), (2 + 1,)).round(6))
    0.5
    """
    demand_filters("filters", filters)
    grid = tuple(2 * n - 1 for n in filters.shape[2:]) if grid is None else _tuple(grid)
    found = ConvolutionalDictionary(filters, grid).coherence()
    return found.numpy()[()] if isinstance(filters, np.ndarray) else found


def unstrided(filters: Array, stride: int | Sequence[int]) -> Array:
    r"""Return filters of stride 1 whose dictionary is that of given filters with a stride.

    A block of pixels as large as the stride becomes one pixel with that many times the channels, which changes no inner
    product: two atoms of stride s lie whole blocks apart. Filters are filled up with zeros to whole blocks.

    Args:
        filters: array of shape (atoms, channels, \*kernel), without zero atoms.
        stride: of each axis, or of all.

    Returns:
        Array of shape (atoms, channels x pixels of a block, \*blocks), of the kind of the filters.

    Source: the polyphase form, standard.

    Raises:
        ValueError: on a stride below 1, a zero atom, an entry that is not finite, or a shape that does not fit.

    >>> unstrided(np.array([[[1.0, 2.0, 3.0]]]), 2).tolist()
    [[[1.0, 3.0], [2.0, 0.0]]]
    """
    demand_filters("filters", filters)
    steps = [arguments.integer("stride", step) for step in _tuple(stride)] * (1 if np.ndim(stride) else filters.ndim - 2)
    if len(steps) != filters.ndim - 2:
        arguments.refuse("stride", stride, f"has not one step for each of {filters.ndim - 2} axes", "pass one number for all")
    given: Any = torch.as_tensor(filters)
    sides = [-(-side // step) for side, step in zip(given.shape[2:], steps, strict=True)]
    missing = [(0, count * step - side) for count, step, side in zip(sides, steps, given.shape[2:], strict=True)]
    whole = torch.nn.functional.pad(given, [each for pair in reversed(missing) for each in pair])
    split = whole.reshape(*given.shape[:2], *(size for pair in zip(sides, steps, strict=True) for size in pair))
    axes = range(2, split.ndim)
    found = split.permute(0, 1, *axes[1::2], *axes[::2]).reshape(len(given), -1, *sides)
    return found.numpy() if isinstance(filters, np.ndarray) else found


def padded_norm(filters: torch.Tensor, grid: int | Sequence[int], dilation: int | Sequence[int] = 1) -> float:
    r"""Return a bound on the norm of a convolution with zero padding, of any width and any stride.

    Such a convolution keeps some outputs of a circular one on a grid so long that nothing wraps around, grid + kernel - 1,
    for inputs that are zero beyond the grid; so its norm is at most that of the circular one.

    Args:
        filters: tensor of shape (atoms, channels, \*kernel), one or two axes.
        grid: sizes of the input's grid.
        dilation: distance of neighbouring taps.

    Returns:
        The largest singular value of the circular convolution.

    Source: Standard; the norm is that of :class:`ConvolutionalDictionary`, as Sedghi, Gupta and Long (2019) compute it.

    Raises:
        ValueError: If the filters are not finite or of another rank than one or two axes.

    >>> padded_norm(torch.tensor([[[3.0, 0.0]]]), 4)
    3.0
    """
    arguments.real_array("filters", filters)
    steps = _tuple(dilation)
    steps = steps * (filters.ndim - 2) if len(steps) == 1 else steps
    long = [step * (side - 1) + 1 for side, step in zip(filters.shape[2:], steps, strict=True)]
    spread = filters.new_zeros(*filters.shape[:2], *long)
    taps: Any = (..., *(slice(None, None, step) for step in steps))
    spread[taps] = filters
    wide = tuple(side + reach - 1 for side, reach in zip(_tuple(grid), long, strict=True))
    return ConvolutionalDictionary(spread, wide).squared_norm ** 0.5


def filter_welch_bound(atoms: int, channels: int, kernel: int | Sequence[int]) -> float:
    r"""Return the Welch bound on the coherence of a convolutional dictionary.

    :math:`\mu \ge \sqrt{(m - c) / (c\,(m S - 1))}` with :math:`S = \prod (2 n - 1)` the lags at which two atoms overlap:
    the squares of all correlations sum to at least :math:`m^2/c` times the number of positions, because the dictionary's rank
    is at most c times the number of positions, and only m S - 1 of them belong to an atom's overlapping neighbours.

    Args:
        atoms: m, number of filters.
        channels: c, number of channels of the signal.
        kernel: sizes of the filters' support.

    Returns:
        A number between 0 (when m <= c) and 1.

    Source: Welch (1974), with the rank and the zeros of convolutions.

    Raises:
        ValueError: on a size that is too small.

    >>> round(filter_welch_bound(4, 1, (25,)), 4)
    0.124
    """
    atoms, channels = arguments.integer("atoms", atoms), arguments.integer("channels", channels)
    lags = math.prod(2 * arguments.integer("kernel", n) - 1 for n in _tuple(kernel))
    return math.sqrt(max(0, atoms - channels) / (channels * max(1, atoms * lags - 1)))


def stripe_count(codes: AnyArray, kernel: int | Sequence[int]) -> Any:
    r"""Return :math:`\lVert \Gamma \rVert^S_{0,\infty}`, the largest number of nonzeros in a stripe.

    A stripe holds all coefficients whose atoms overlap one position's atom: 2 kernel - 1 positions along each axis, all
    atoms. Where it is longer than the axis, every position counts once.

    Args:
        codes: array of shape (..., atoms, \*grid).
        kernel: sizes of the support of the filters that multiply these codes.

    Returns:
        Integers of shape (...).

    Source: Papyan, Romano and Elad (2017), Section 3.

    Raises:
        ValueError: on sizes that do not fit, or entries that are not finite.

    >>> stripe_count(np.array([[0.0, 1.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0]]), (2,))
    np.int64(2)
    >>> stripe_count(np.array([[0.0, 1.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0]]), (1,))
    np.int64(1)
    """
    return patch_count(codes, tuple(2 * arguments.integer("kernel", n) - 1 for n in _tuple(kernel)))


def patch_count(codes: AnyArray, kernel: int | Sequence[int]) -> Any:
    r"""Return :math:`\lVert \Gamma \rVert^P_{0,\infty}`, the largest number of nonzeros in a patch.

    Args:
        codes: array of shape (..., maps, \*grid).
        kernel: sizes of the patch: the support of the *next* layer's filters.

    Returns:
        Integers of shape (...).

    Source: Papyan, Romano and Elad (2017), Section 3.

    Raises:
        ValueError: on sizes that do not fit, or entries that are not finite.

    >>> patch_count(np.array([[0.0, 1.0, 0.0, 2.0]]), (3,))
    np.int64(2)
    """
    _demand_maps(codes, kernel)
    nonzero = torch.as_tensor(codes) != 0
    return _largest_window(nonzero.sum(-len(_tuple(kernel)) - 1), _tuple(kernel), codes)


def patch_norm(values: AnyArray, kernel: int | Sequence[int]) -> Any:
    r"""Return :math:`\lVert V \rVert^P_{2,\infty}`, the largest :math:`\ell_2` norm of a patch.

    Args:
        values: array of shape (..., maps, \*grid).
        kernel: sizes of the patch: the support of the *next* layer's filters (of the first, for a signal).

    Returns:
        Numbers of shape (...).

    Source: Papyan, Romano and Elad (2017), Section 3.

    Raises:
        ValueError: on sizes that do not fit, or entries that are not finite.

    >>> patch_norm(np.array([[3.0, 0.0, 4.0, 0.0, 0.0]]), (3,))
    np.float64(5.0)
    """
    _demand_maps(values, kernel)
    squares = (torch.as_tensor(values).double() ** 2).sum(-len(_tuple(kernel)) - 1)
    return _largest_window(squares, _tuple(kernel), values) ** 0.5


def _demand_maps(values, kernel):
    arguments.real_array("codes", values)
    kernel = tuple(arguments.integer("kernel", n) for n in _tuple(kernel))
    if len(kernel) not in (1, 2) or values.ndim < len(kernel) + 1:
        arguments.refuse("codes", values, f"does not have the {len(kernel)} grid axes of kernel {kernel} after one of maps",
                         "pass shape (..., maps, *grid)")


def _largest_window(values, kernel, like):
    for axis, length in zip(range(-len(kernel), 0), kernel, strict=True):
        values = _window_sums(values, length, axis)
    largest = values.clamp(min=0).flatten(-len(kernel)).amax(-1)
    return largest.numpy()[()] if isinstance(like, np.ndarray) else largest


def _window_sums(values, length, axis):
    """Return circular sums of ``length`` neighbours along an axis; a window longer than the axis is the whole axis."""
    size = values.shape[axis]
    if length >= size:
        return values.sum(axis, keepdim=True).expand(values.shape)
    ahead = values.narrow(axis, 0, length - 1)
    running = torch.cat([torch.zeros_like(values.narrow(axis, 0, 1)), values, ahead], axis).cumsum(axis)
    return running.narrow(axis, length, size) - running.narrow(axis, 0, size)


EXPONENTS = (8, 32, 128)


def minimize_filter_coherence(atoms: int, channels: int, kernel: int | Sequence[int], designs: int = 1,
                              generator: torch.Generator | None = None,
                              iterations: int = 80) -> Descended[torch.Tensor]:
    r"""Return filters of low coherence, by L-BFGS on the :math:`\ell_P` norm of all correlations, P = 8, 32, 128.

    The norm grows towards the largest correlation as P does (standard: p-norm smoothing with continuation).

    Args:
        atoms: number of filters.
        channels: number of channels.
        kernel: sizes of the support.
        designs: how many dictionaries to draw and train, together.
        generator: torch generator of the Gaussian starts (seed 0 unless given).
        iterations: most steps for each P.

    Returns:
        ``best``, a tensor of shape (designs, atoms, channels, \*kernel), float64, unit atoms: for each design the least
        coherent of its start and the ends of the rounds; local minima, not certificates. ``converged``: whether every
        round ended by the solver's own criterion, before its steps ran out (one answer, the designs being trained together).

    Raises:
        ValueError: on sizes or a number of steps below 1.

    >>> found = minimize_filter_coherence(2, 1, 25)
    >>> bool(filter_coherence(found.best[0]) < 0.15), found.converged
    (True, False)
    """
    generator = generator or torch.Generator().manual_seed(0)
    kernel = tuple(arguments.integer("kernel", n) for n in _tuple(kernel))
    shape = (arguments.integer("designs", designs), arguments.integer("atoms", atoms),
             arguments.integer("channels", channels), *kernel)
    free = torch.randn(shape, dtype=torch.float64, generator=generator, device=generator.device).requires_grad_()
    grid = tuple(2 * n - 1 for n in kernel)
    best, ended = _unit(free.detach(), len(grid)), True
    for exponent in EXPONENTS:
        ended = _descend(free, grid, exponent, arguments.integer("iterations", iterations)) and ended
        best = _less_coherent(best, _unit(free.detach(), len(grid)), grid)
    return Descended(best, ended)


def _less_coherent(one, other, grid):
    coherences = [ConvolutionalDictionary(filters, grid).coherence() for filters in (one, other)]
    return torch.where((coherences[1] < coherences[0]).reshape(-1, *[1] * (one.ndim - 1)), other, one)


def _unit(filters, axes):
    return filters / _norms(filters, axes).reshape(*filters.shape[:-axes - 1], *[1] * (axes + 1))


def _descend(free, grid, exponent, iterations):
    """Descend in place; tell whether the solver's own criterion ended it, and not its steps or evaluations."""
    descent = torch.optim.LBFGS([free], max_iter=iterations, history_size=20, line_search_fn="strong_wolfe",
                                tolerance_change=1e-12)

    def closure():
        descent.zero_grad()
        others = ConvolutionalDictionary(_unit(free, len(grid)), grid).other_correlations()
        # Divided by the largest, powers of 128 stay inside the range of the type.
        peak = others.detach().amax(-1, keepdim=True)
        loss = (((others / peak) ** exponent).sum(-1).log() / exponent + peak.log()[..., 0]).sum()
        loss.backward()
        return loss

    descent.step(closure)
    used, evaluations = (descent.state[free][count] for count in ("n_iter", "func_evals"))
    return used < iterations and evaluations < descent.param_groups[0]["max_eval"]

named(__name__)
