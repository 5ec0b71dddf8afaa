r"""Pursuits: from a signal to the sparse codes of every layer, by thresholding or by basis pursuit.

A dictionary is given as a matrix of shape (dimension, atoms), as convolution filters of shape (atoms, channels, \*kernel)
in torch's layout, or as a :class:`~deepatoms.theory.convolutional.ConvolutionalDictionary`. Signals come in batches of shape
(..., dimension) or (..., channels, \*grid), codes of shape (..., atoms) or (..., atoms, \*grid). Everything but
:func:`sparse_basis_pursuit` is differentiable.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from deepatoms.theory import arguments, dictionaries, stability
from deepatoms.theory.arrays import AnyArray, Array
from deepatoms.theory.convolutional import ConvolutionalDictionary, demand_filters
from deepatoms.theory.signatures import named


class MatrixDictionary:
    """An explicit dictionary, or one for each signal of a batch, with the products that a pursuit needs.

    Args:
        D: matrix of shape (..., dimension, atoms) without zero atoms. Leading axes, if any, are those of the signals.

    Raises:
        ValueError: on a zero atom, or entries that are not finite.

    >>> MatrixDictionary(torch.eye(2)).squared_norm
    1.0
    """

    def __init__(self, D: AnyArray) -> None:
        arguments.real_array("D", D)
        if D.ndim < 2:
            arguments.refuse("D", D, f"has rank {D.ndim}", "pass shape (dimension, atoms)")
        self.D = torch.as_tensor(D)
        if bool((self.D == 0).all(-2).any()):
            arguments.refuse("D", D, "has zero atoms (columns)", "drop them")
        self.grid: tuple[int, ...] = ()
        self.atoms, self.channels = self.D.shape[-1], self.D.shape[-2]

    def synthesize(self, codes: torch.Tensor) -> torch.Tensor:
        r"""Return :math:`D \Gamma` for codes of shape (..., atoms)."""
        return codes @ self.D.T if self.D.ndim == 2 else (self.D @ codes[..., None])[..., 0]

    def analyze(self, signals: torch.Tensor) -> torch.Tensor:
        r"""Return :math:`D^\mathsf{T} X` for signals of shape (..., dimension)."""
        return signals @ self.D if self.D.ndim == 2 else (signals[..., None, :] @ self.D)[..., 0, :]

    def resolvent(self, penalty: float) -> Callable[[torch.Tensor], torch.Tensor]:
        r"""Return the function that maps signals X to :math:`(D D^\mathsf{T} + \rho I)^{-1} X`, for a number :math:`\rho > 0`."""
        rows = torch.eye(self.channels, dtype=self.D.dtype, device=self.D.device)
        inverse = torch.linalg.inv(self.D @ self.D.mT + penalty * rows)
        return lambda signals: (inverse @ signals[..., None])[..., 0] if inverse.ndim > 2 else signals @ inverse

    def unit_excess(self) -> float:
        """Return by how much the norm of an atom differs from 1 at most."""
        return float((self.D.norm(dim=-2) - 1).abs().max())

    @property
    def squared_norm(self) -> float | torch.Tensor:
        r"""Largest eigenvalue of :math:`D^\mathsf{T} D`; for a batch one each, shape (..., 1)."""
        norms = torch.linalg.matrix_norm(self.D.detach(), 2)
        return float(norms) ** 2 if self.D.ndim == 2 else norms[..., None] ** 2


def soft_threshold(z: Array, threshold: float | Array) -> Array:
    r"""Return :math:`\mathcal S_\beta(z) = \operatorname{sign}(z) \max(|z| - \beta, 0)` (standard; Donoho, 1995).

    Args:
        z: array of any shape.
        threshold: :math:`\beta \ge 0`, a number or an array that broadcasts against z.

    Raises:
        ValueError: on a threshold that is negative or not finite, or NaN in z.

    >>> soft_threshold(torch.tensor([-3.0, 0.5, 2.0]), 1.0)
    tensor([-2.,  0.,  1.])
    """
    return _thresholded(_soft, z, threshold)


def nonnegative_threshold(z: Array, threshold: float | Array) -> Array:
    r"""Return :math:`\mathcal S^+_\beta(z) = \max(z - \beta, 0)`: a ReLU with bias :math:`-\beta`, Equation :eq:`csc-eq-1`.

    Args:
        z: array of any shape.
        threshold: :math:`\beta \ge 0`, a number or an array that broadcasts against z.

    Raises:
        ValueError: on a threshold that is negative or not finite, or NaN in z.

    >>> nonnegative_threshold(np.array([-3.0, 0.5, 2.0]), 1.0)
    array([0., 0., 1.])
    """
    return _thresholded(_nonnegative, z, threshold)


def hard_threshold(z: Array, threshold: float | Array) -> Array:
    r"""Return z where :math:`|z| > \beta` and 0 elsewhere (standard; Blumensath and Davies, 2008).

    Args:
        z: array of any shape.
        threshold: :math:`\beta \ge 0`, a number or an array that broadcasts against z.

    Raises:
        ValueError: on a threshold that is negative or not finite, or NaN in z.

    >>> hard_threshold(torch.tensor([-3.0, 0.5, 2.0]), 1.0)
    tensor([-3.,  0.,  2.])
    """
    return _thresholded(_hard, z, threshold)


def _thresholded(operator: Callable, z: Any, threshold: Any) -> Any:
    arguments.real_array("z", z)
    level = torch.as_tensor(threshold, dtype=torch.as_tensor(z).dtype)
    if not bool(((level >= 0) & level.isfinite()).all()):
        arguments.refuse("threshold", threshold, "is negative or not finite", "pass numbers >= 0")
    return _like(z, [operator(torch.as_tensor(z), level.to(torch.as_tensor(z).device))])[0]


def _soft(z, threshold):
    # Half the passes over memory of sign(z) relu(|z| - threshold).
    return z - z.clamp(-threshold, threshold)


def _nonnegative(z, threshold):
    return torch.relu(z - threshold)


def _hard(z, threshold):
    return torch.where(z.abs() > threshold, z, torch.zeros_like(z))


# The iterations use these: their thresholds have been looked at once, before the first step.
OPERATORS = {"soft": _soft, "nonnegative": _nonnegative, "hard": _hard}


def layered_thresholding(x: AnyArray, dictionaries: Sequence, thresholds: Sequence, kind: str = "soft") -> list:
    r"""Return the codes of all layers by layered thresholding, Equation :eq:`csc-layered`.

    :math:`\hat\Gamma_i = \mathcal S_{\beta_i}(D_i^\mathsf{T} \hat\Gamma_{i-1})` with :math:`\hat\Gamma_0 = X`. With
    ``"nonnegative"`` it is the forward pass of a CNN whose biases are :math:`-\beta_i`.

    Args:
        x: signals of shape (..., channels, \*grid), or (..., dimension) for matrices.
        dictionaries: one for each layer.
        thresholds: one for each layer: a number, an array of shape (atoms,), or one that broadcasts against the code.
        kind: ``"soft"``, ``"nonnegative"`` or ``"hard"``.

    Returns:
        A list with the code of each layer, of the kind of x.

    Raises:
        ValueError: on layers that do not fit each other (says which two), negative thresholds, NaN.

    >>> filters = np.array([[[0.6, 0.8]]])
    >>> layered_thresholding(np.array([[1.2, 1.6, 0.0, 0.0]]), [filters], [1.0])[0].round(6) + 0
    array([[1., 0., 0., 0.]])
    """
    operator = OPERATORS[arguments.one_of("kind", kind, list(OPERATORS))]
    signal, dictionaries = _prepared(x, dictionaries)
    codes = []
    for i, (D, threshold) in enumerate(zip(dictionaries, _one_each("thresholds", thresholds, dictionaries), strict=True)):
        signal = operator(D.analyze(signal), _level(f"thresholds[{i}]", threshold, D, signal))
        codes.append(signal)
    return _like(x, codes)


def layered_basis_pursuit(x: AnyArray, dictionaries: Sequence, weights: Sequence, nonnegative: bool = False,
                          iterations: int = 300, tolerance: float = 1e-6) -> list:
    r"""Return the codes of all layers by basis pursuit, one layer after the other.

    :math:`\hat\Gamma_i = \arg\min_\Gamma \tfrac12 \lVert \hat\Gamma_{i-1} - D_i \Gamma \rVert_2^2
    + \xi_i \lVert \Gamma \rVert_1`.

    Args:
        x: signals of shape (..., channels, \*grid), or (..., dimension) for matrices.
        dictionaries: one for each layer.
        weights: :math:`\xi_i > 0`, one for each layer, in the forms of ``layered_thresholding``.
        nonnegative: whether codes must be nonnegative.
        iterations: most iterations of FISTA at each layer.
        tolerance: relative duality gap at which a layer is done.

    Returns:
        A list with the code of each layer, of the kind of x.

    Source: Papyan, Romano and Elad (2017), Section 6.

    Raises:
        ValueError: on a weight that is not positive, sizes that do not fit, NaN.

    >>> filters = np.array([[[0.6, 0.8]]])
    >>> layered_basis_pursuit(np.array([[1.2, 1.6, 0.0, 0.0]]), [filters], [0.1])[0].round(3) + 0
    array([[1.9, 0. , 0. , 0. ]])
    """
    signal, dictionaries = _prepared(x, dictionaries)
    codes = []
    for D, weight in zip(dictionaries, _one_each("weights", weights, dictionaries), strict=True):
        signal = basis_pursuit(signal, D, weight, nonnegative, iterations, tolerance)
        codes.append(signal)
    return _like(x, codes)


def basis_pursuit(x: AnyArray, D: Any, weight: float | AnyArray, nonnegative: bool = False, iterations: int = 300,
                  tolerance: float = 1e-6, start: AnyArray | None = None) -> Any:
    r"""Return a code by basis pursuit in its Lagrangian form (the Lasso), solved by FISTA with restarts.

    Minimises :math:`\tfrac12 \lVert X - D \Gamma \rVert_2^2 + \xi \lVert \Gamma \rVert_1`, Equation :eq:`csc-bp`.
    Stops when the duality gap of every signal is below ``tolerance`` times its objective. The final step is the proximal
    one, so zeros are exact and supports well defined.

    Args:
        x: signals of shape (..., channels, \*grid), or (..., dimension) for a matrix.
        D: matrix, filters or ``ConvolutionalDictionary``.
        weight: :math:`\xi > 0`: a number, an array of shape (atoms,), or one that broadcasts against the code.
        nonnegative: whether the code must be nonnegative.
        iterations: most iterations.
        tolerance: relative duality gap at which to stop; 0 runs all iterations.
        start: code to start from; zero unless given.

    Returns:
        The code, of the kind of x. Source: Beck and Teboulle (2009); restarts: O'Donoghue and Candes (2015).

    Raises:
        ValueError: on a weight that is not positive, sizes that do not fit, NaN.

    Warns:
        NotConverged: when the iterations end above the tolerance (says by how much).

    >>> basis_pursuit(np.array([2.0, -0.5]), np.eye(2), 1.0)
    array([1., 0.])
    """
    arguments.number("tolerance", tolerance, 0)
    signal, (D,) = _prepared(x, [D])
    weight = _positive("weight", weight, D, signal)
    step, prox = 1 / D.squared_norm, _nonnegative if nonnegative else _soft
    code = point = torch.zeros_like(D.analyze(signal)) if start is None else torch.as_tensor(start)
    made = reached = D.synthesize(code)
    best, momentum = _Best(signal, D, weight), 1.0
    for iteration in range(1, arguments.integer("iterations", iterations) + 1):
        new = prox(point - step * D.analyze(reached - signal), step * weight)
        # O'Donoghue and Candes: momentum that points uphill is dropped, which keeps the linear rate of the last phase.
        momentum = 1.0 if bool(((point - new) * (new - code)).detach().sum() > 0) else momentum
        following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        ahead, made_new = (momentum - 1) / following, D.synthesize(new)
        # Products are linear: that of the point ahead follows, and the objective of every iterate costs no product more.
        point, reached = new + ahead * (new - code), made_new + ahead * (made_new - made)
        code, made, momentum = new, made_new, following
        best.keep(code, made)
        if iteration % CHECK_EVERY == 0 and _converged(signal, D, best.code.detach(), weight, nonnegative, tolerance):
            return _like(x, [best.code])[0]
    _warn_unless_converged(signal, D, best.code, weight, nonnegative, iterations, tolerance)
    return _like(x, [best.code])[0]


class _Best:
    """Of the iterates shown to it, for each signal that of least objective; of equals up to rounding the later one."""

    def __init__(self, signal, D, weight):
        self.signal, self.weight, self.axes = signal, weight, tuple(range(-len(D.grid) - 1, 0))
        self.code, self.lowest = None, torch.inf

    def keep(self, code, made):
        """Look at a code and what it synthesises."""
        value = _objective(self.signal - made, code, self.weight, self.axes).detach()
        lower = value <= self.lowest * (1 + 4 * torch.finfo(value.dtype).eps)
        self.code = code if self.code is None else _where(lower, code, self.code)
        self.lowest = value.clamp(max=self.lowest)


CHECK_EVERY = 10  # iterations between two evaluations of the duality gap, which costs as much as one iteration
RELAXATION, BALANCED = 1.8, 50


def splitting_basis_pursuit(x: AnyArray, D: Any, weight: float | AnyArray, nonnegative: bool = False,
                            iterations: int = 300, tolerance: float = 1e-6) -> Any:
    r"""Return a code by basis pursuit, solved by ADMM: far fewer iterations than FISTA where atoms resemble each other.

    Each iteration costs the same two products as one of FISTA, and a division by :math:`D D^\mathsf{T} + \rho I`, which for
    convolutional dictionaries is one small system for each frequency. The penalty :math:`\rho`, one for the whole batch, is
    adapted during the first iterations until the primal and the dual residual are of one size (Wohlberg, 2017).

    Args:
        x: signals of shape (..., channels, \*grid), or (..., dimension) for a matrix.
        D: matrix, filters or ``ConvolutionalDictionary``.
        weight: :math:`\xi > 0`, in the forms of :func:`basis_pursuit`.
        nonnegative: whether the code must be nonnegative.
        iterations: most iterations.
        tolerance: relative duality gap at which to stop; 0 runs all iterations.

    Returns:
        The code, of the kind of x.

    Raises:
        ValueError: on a weight that is not positive, sizes that do not fit, NaN.

    Warns:
        NotConverged: when the iterations end above the tolerance (says by how much).

    >>> splitting_basis_pursuit(np.array([2.0, -0.5]), np.eye(2), 1.0).round(4) + 0
    array([1., 0.])
    """
    arguments.number("tolerance", tolerance, 0)
    signal, (D,) = _prepared(x, [D])
    weight = _positive("weight", weight, D, signal)
    prox = _nonnegative if nonnegative else _soft
    code = point = torch.zeros_like(D.analyze(signal))
    penalty, solve, best = 1.0, D.resolvent(1.0), _Best(signal, D, weight)
    reached = D.synthesize(point)
    for iteration in range(1, arguments.integer("iterations", iterations) + 1):
        previous, code = code, prox(point, weight / penalty)
        dual, made = point - code, D.synthesize(code)
        best.keep(code, made)
        solved = solve(given := signal - 2 * made + reached)
        move = D.analyze(solved) - dual
        # D D^T times what was solved for is known, so the point's product follows and every objective is free.
        point, reached = point + RELAXATION * move, reached + RELAXATION * (given - penalty * solved - reached + made)
        if iteration % CHECK_EVERY:
            continue
        if _converged(signal, D, best.code.detach(), weight, nonnegative, tolerance):
            return _like(x, [best.code])[0]
        if iteration <= BALANCED:
            factor = _imbalance(*(part.detach().norm() for part in (move, code, code - previous, dual)))
            following = prox(point, weight / penalty)
            penalty, point = factor * penalty, following + (point - following) / factor
            solve = D.resolvent(penalty)
        reached = D.synthesize(point)  # afresh, so that rounding does not add up
    best.keep(code := prox(point, weight / penalty), D.synthesize(code))
    _warn_unless_converged(signal, D, best.code, weight, nonnegative, iterations, tolerance)
    return _like(x, [best.code])[0]


def _imbalance(primal, code, change, dual):
    """Return the factor on the penalty that makes the relative primal and dual residuals equal, at most 10 either way."""
    ratio = float(primal * dual) / max(float(code * change), torch.finfo(primal.dtype).tiny)
    return min(max(ratio, 0.01), 100.0) ** 0.5


def _converged(signal, D, code, weight, nonnegative, tolerance):
    if tolerance == 0:
        return False
    value, gap = _objective_and_gap(signal.detach(), D, code, weight, nonnegative)
    return bool((gap <= tolerance * value.clamp(min=torch.finfo(value.dtype).tiny)).all())


def _warn_unless_converged(signal, D, code, weight, nonnegative, iterations, tolerance):
    if not tolerance or _converged(signal, D, code.detach(), weight, nonnegative, tolerance):
        return
    value, gap = _objective_and_gap(signal.detach(), D, code.detach(), weight, nonnegative)
    worst = float((gap / value.clamp(min=torch.finfo(value.dtype).tiny)).max())
    warnings.warn(f"iterations = {iterations} ended at a relative duality gap of {worst:.3g}, above tolerance = {tolerance}; "
                  "allow more iterations", NotConverged, stacklevel=3)


class NotConverged(RuntimeWarning):
    """Iterations ended before their criterion was met; what they returned is the best iterate they saw."""


def objective(x: AnyArray, D: Any, code: AnyArray, weight: float | AnyArray) -> Any:
    r"""Return the Lasso objective :math:`\tfrac12 \lVert X - D \Gamma \rVert_2^2 + \xi \lVert \Gamma \rVert_1`.

    Mind the factor 1/2: an objective without it, with weight :math:`\lambda`, is twice this one with
    :math:`\xi = \lambda / 2`. Equation :eq:`csc-bp`.

    Args:
        x: signals of shape (..., channels, \*grid), or (..., dimension) for a matrix.
        D: matrix, filters or ``ConvolutionalDictionary``.
        code: codes for the signals.
        weight: :math:`\xi > 0`, as in :func:`basis_pursuit`.

    Returns:
        A number for each signal.

    Raises:
        ValueError: on a weight that is not positive, sizes that do not fit, NaN.

    >>> float(objective(np.array([2.0, -0.5]), np.eye(2), np.array([1.0, 0.0]), 1.0))
    1.625
    """
    return _measured(x, D, code, weight, False)[0]


def duality_gap(x: AnyArray, D: Any, code: AnyArray, weight: float | AnyArray, nonnegative: bool = False) -> Any:
    r"""Return how far a code's objective is above the minimum at most: the Lasso duality gap.

    Infinite where the code is held nonnegative and is not: such a code may even lie below the minimum. Otherwise, with the
    residual r scaled to the dual feasible point :math:`\theta = s\,r`, where
    :math:`|d_j^\mathsf{T} \theta| \le \xi`, it is :math:`\tfrac12 \lVert r \rVert^2 + \xi \lVert \Gamma \rVert_1 -
    \tfrac12 \lVert X \rVert^2 + \tfrac12 \lVert X - \theta \rVert^2`.

    Args:
        x: signals of shape (..., channels, \*grid), or (..., dimension) for a matrix.
        D: matrix, filters or ``ConvolutionalDictionary``.
        code: codes for the signals.
        weight: :math:`\xi > 0`, as in :func:`basis_pursuit`.
        nonnegative: whether the code is held nonnegative.

    Returns:
        A nonnegative number for each signal, infinite for a code that is not admissible.

    Source: Kim, Koh, Lustig, Boyd and Gorinevsky (2007).

    Raises:
        ValueError: on a weight that is not positive, sizes that do not fit, NaN.

    >>> float(duality_gap(np.array([2.0, -0.5]), np.eye(2), np.array([1.0, 0.0]), 1.0))
    0.0
    """
    return _measured(x, D, code, weight, nonnegative)[1]


def _measured(x, D, code, weight, nonnegative):
    signal, (D,) = _prepared(x, [D])
    arguments.real_array("code", code)
    found = _objective_and_gap(signal, D, torch.as_tensor(code), _positive("weight", weight, D, signal), nonnegative)
    return [value.numpy()[()] for value in found] if isinstance(x, np.ndarray) else found


def _objective_and_gap(signal, D, code, weight, nonnegative):
    axes = tuple(range(-len(D.grid) - 1, 0))
    residual = signal - D.synthesize(code)
    products = D.analyze(residual)
    reach = (products if nonnegative else products.abs()) / weight
    scale = 1 / reach.amax(axes).clamp(min=1.0)
    dual = residual * scale.reshape(*scale.shape, *[1] * len(axes))
    value = _objective(residual, code, weight, axes)
    # |X|^2 - |X - theta|^2 written as a product keeps the digits that the difference of squares loses.
    # With theta scaled to be dual feasible (Kim et al., 2007), the bound holds at every iterate, also far from the minimum.
    gap = (value - (dual * (2 * signal - dual)).sum(axes) / 2).clamp(min=0)
    return value, torch.where((code < 0).any(axes), torch.inf, gap) if nonnegative else gap


def _objective(residual, code, weight, axes):
    return (residual**2).sum(axes) / 2 + (weight * code.abs()).sum(axes)


def multilayer_ista(x: AnyArray, dictionaries: Sequence, weights: Sequence, nonnegative: bool = False,
                    iterations: int = 5000, tolerance: float = 1e-6) -> list:
    r"""Return the codes of all layers at once by multi-layer ISTA, the joint alternative to going layer by layer.

    Each iteration rebuilds :math:`\tilde\Gamma_{i} = D_{i+1} \cdots D_K \Gamma_K` and then goes down the layers with one proximal
    gradient step each, :math:`\Gamma_i = \mathcal S_{t_i \xi_i}(\tilde\Gamma_i - t_i D_i^\mathsf{T} (D_i \tilde\Gamma_i -
    \Gamma_{i-1}))` with :math:`t_i = 1 / \lVert D_i \rVert^2`. One iteration from zero is layered thresholding with steps. From
    Sulam, Aberdam, Beck and Elad (2019), not from the paper.

    Args:
        x: signals of shape (..., channels, \*grid), or (..., dimension) for matrices.
        dictionaries: one for each layer.
        weights: one for each layer, in the forms of ``layered_thresholding``.
        nonnegative: whether codes must be nonnegative.
        iterations: most iterations.
        tolerance: change of the deepest code in one iteration, relative to its norm, at which every signal is done; 0 runs
            all iterations. (It is a fixed-point iteration: its steps minimise no common objective, so there is no gap.)

    Returns:
        A list with the code of each layer, of the kind of x: for each signal those that one iteration changed least.

    Raises:
        ValueError: on a weight that is not positive, sizes that do not fit, NaN.

    Warns:
        NotConverged: when the iterations end above the tolerance (says by how much).

    >>> multilayer_ista(np.array([2.0, -0.5]), [np.eye(2), np.eye(2)], [0.5, 0.5])[1].round(3) + 0
    array([1., 0.])
    """
    arguments.number("tolerance", tolerance, 0)
    signal, dictionaries = _prepared(x, dictionaries)
    levels = [_positive(f"weights[{i}]", weight, D, signal) / D.squared_norm for i, (weight, D) in
              enumerate(zip(_one_each("weights", weights, dictionaries), dictionaries, strict=True))]
    codes = best = [None] * len(dictionaries)
    least = torch.tensor(torch.inf)
    for _ in range(arguments.integer("iterations", iterations)):
        before, codes = codes[-1], _multilayer_step(signal, dictionaries, levels, codes[-1], nonnegative)
        change = _change(codes[-1].detach(), before, len(dictionaries[-1].grid) + 1)
        best = codes if before is None else [_where(change <= least, *pair) for pair in zip(codes, best, strict=True)]
        least = torch.minimum(change, least)
        if tolerance and bool((least <= tolerance).all()):
            return _like(x, best)
    if tolerance:
        warnings.warn(f"iterations = {iterations} ended while a step changes the deepest code by {float(least.max()):.3g} of "
                      f"its norm, above tolerance = {tolerance}; allow more iterations", NotConverged, stacklevel=2)
    return _like(x, best)


def _multilayer_step(signal, dictionaries, levels, deepest, nonnegative):
    prox, above, codes = _nonnegative if nonnegative else _soft, signal, []
    for D, level, start in zip(dictionaries, levels, _rebuilt(dictionaries, deepest), strict=True):
        descent = above if start is None else above - D.synthesize(start)
        moved = D.analyze(descent) / D.squared_norm
        above = prox(moved if start is None else start + moved, level)
        codes.append(above)
    return codes


def _change(code, before, axes):
    """Return by how much of its norm each signal's code changed; all of it in the first step."""
    axes = tuple(range(-axes, 0))
    norm, change = (part.pow(2).sum(axes).sqrt() for part in (code, code if before is None else code - before.detach()))
    return change / norm.clamp(min=torch.finfo(code.dtype).tiny)


def _where(chosen, one, other):
    """Return for each signal one code or the other."""
    return torch.where(chosen.reshape(*chosen.shape, *[1] * (one.ndim - chosen.ndim)), one, other)


def _rebuilt(dictionaries, deepest):
    """Return the codes of all layers that the deepest code synthesises."""
    if deepest is None:
        return [None] * len(dictionaries)
    found = [deepest]
    for D in dictionaries[:0:-1]:
        found.insert(0, D.synthesize(found[0]))
    return found


def sparse_basis_pursuit(x: AnyArray, D: Any, weight: float | AnyArray, tolerance: float = 1e-9, batch: int = 8,
                         rounds: int = 200) -> Any:
    r"""Return the basis pursuit of signals whose codes have few nonzeros, to a duality gap near rounding.

    An active-set method: each round adds to each signal's working set the ``batch`` atoms that violate optimality most,
    solves on the working set by coordinate descent, and checks every atom. Fast where a code has tens of nonzeros; for dense
    codes, or for gradients, use :func:`basis_pursuit`.

    Args:
        x: signals of shape (signals, channels, \*grid), or (signals, dimension) for a matrix.
        D: matrix, filters or ``ConvolutionalDictionary`` with unit atoms.
        weight: :math:`\xi > 0`, a number or one for each signal, shape (signals,).
        tolerance: relative duality gap at which a signal is done.
        batch: atoms added to a working set in a round.
        rounds: most rounds.

    Returns:
        The codes, of the kind of x.

    Raises:
        RuntimeError: when the rounds do not suffice (says the gap reached).

    Source: standard, an active-set method.

    >>> sparse_basis_pursuit(np.array([[2.0, -0.5]]), np.eye(2), 1.0) + 0
    array([[1., 0.]])
    """
    signal, (D,) = _prepared(x, [D])
    weights = torch.as_tensor(weight, dtype=signal.dtype, device=signal.device).expand(len(signal))
    if not bool((weights > 0).all()):
        arguments.refuse("weight", weight, "is not positive", "pass a number > 0")
    if D.unit_excess() > 1e-5:
        arguments.refuse("D", D, f"has atoms whose norm differs from 1 by up to {D.unit_excess():.3g}", "normalise them first")
    codes = torch.zeros_like(D.analyze(signal))
    left, worst = torch.arange(len(signal), device=signal.device), 0.0
    for _ in range(arguments.integer("rounds", rounds)):
        given, level = signal[left], _aligned(weights[left], codes)
        code = _improved(given, _chosen(D, left), codes[left], level, batch)
        codes[left] = code
        value, gap = _objective_and_gap(given, _chosen(D, left), code, level, False)
        relative = gap / value.clamp(min=torch.finfo(value.dtype).tiny)
        left, worst = left[relative > tolerance], float(relative.max())
        if not len(left):
            return _like(x, [codes])[0]
    raise RuntimeError(f"rounds = {rounds} left {len(left)} signals with a relative gap of up to {worst:.3g}; "
                       f"ask for more rounds, or use basis_pursuit")


def _aligned(values, codes):
    return values.reshape(-1, *[1] * (codes.ndim - 1))


def _chosen(D, rows):
    """Return the dictionaries of some signals, where every signal has one of its own."""
    if isinstance(D, MatrixDictionary):
        return D if D.D.ndim == 2 else MatrixDictionary(D.D[rows])
    return D if D.filters.ndim == len(D.grid) + 2 else ConvolutionalDictionary(D.filters[rows], D.grid)


def _improved(signal, D, code, level, batch):
    """One round: enlarge the working sets by the worst violators, and solve on them."""
    products = D.analyze(signal - D.synthesize(code)).flatten(1)
    flat = code.flatten(1)
    violation = torch.where(flat == 0, products.abs() - level.flatten(1), torch.full_like(products, torch.inf))
    size = int((flat != 0).sum(1).max()) + batch
    chosen = violation.topk(min(size, flat.shape[1]), dim=1)
    working, used = chosen.indices, chosen.values > 0
    gram = _gram(D, working)
    start = flat.gather(1, working)
    linear = products.gather(1, working) + (gram @ start[..., None])[..., 0]
    solved = _coordinate_descent(gram, linear, start, torch.where(used, level.flatten(1), torch.inf))
    return torch.zeros_like(flat).scatter(1, working, solved).reshape(code.shape)


def _gram(D, working):
    """Return the inner products of the chosen atoms (flat indices of shape (signals, chosen)) with each other."""
    if isinstance(D, MatrixDictionary):
        rows = torch.arange(len(working), device=working.device)[:, None, None]
        return (D.D.mT @ D.D).expand(len(working), -1, -1)[rows, working[:, :, None], working[:, None, :]]
    positions = int(np.prod(D.grid))
    table = D.correlations()
    if table.ndim == len(D.grid) + 2:
        table = table[None].expand(len(working), *table.shape)
    place = [working // positions, *torch.unravel_index(working % positions, D.grid)]
    rows = torch.arange(len(working), device=working.device)[:, None, None]
    index, inside = [rows, place[0][:, :, None], place[0][:, None, :]], True
    for coordinate, size, lags, length in zip(place[1:], D.grid, table.shape[3:], D.kernel, strict=True):
        lag = (coordinate[:, :, None] - coordinate[:, None, :] + size // 2) % size - size // 2
        inside = inside & (lag.abs() < length) if lags < size else inside
        index.append(lag % lags)
    return table[tuple(index)] * inside


def _coordinate_descent(gram, linear, code, level, sweeps=15):
    """Solve a batch of small Lasso problems, given by Gram matrices with unit diagonals and linear terms."""
    code, tiny = code.clone(), 8 * torch.finfo(code.dtype).eps
    for _ in range(sweeps):
        before = code.clone()
        for j in range(code.shape[1]):
            pull = linear[:, j] - (gram[:, j] * code).sum(1) + code[:, j]
            code[:, j] = _soft(pull, level[:, j])
        if bool(((code - before).abs().amax(1) <= tiny * code.abs().amax(1)).all()):
            break
    return code


def matching_pursuit(D: np.ndarray, X: np.ndarray, sparsity: int) -> np.ndarray:
    r"""Represent many signals by orthogonal matching pursuit, all at once (Pati, Rezaiifar and Krishnaprasad, 1993).

    At each step every signal takes the atom most correlated with what is left of it and is projected anew.

    Args:
        D: matrix of shape (dimension, atoms), numpy, without zero columns.
        X: signals of shape (samples, dimension).
        sparsity: atoms for each signal, at most min(dimension, atoms).

    Returns:
        Codes of shape (samples, atoms), in terms of the atoms normalised.

    Raises:
        ValueError: when the sparsity exceeds the number of atoms or the dimension, or on sizes that do not fit.

    >>> matching_pursuit(np.eye(3), np.array([[1.0, 3.0, 2.0]]), 2)
    array([[0., 3., 2.]])
    """
    atoms = dictionaries.normalize(D)
    if arguments.matrix("X", X).shape[1] != len(D):
        arguments.refuse("X", X, f"does not match the {len(D)} rows of D", "pass signals as rows")
    if arguments.integer("sparsity", sparsity) > min(D.shape):
        arguments.refuse("sparsity", sparsity, f"exceeds what {D.shape[1]} atoms in {len(D)} dimensions allow",
                         f"pass at most {min(D.shape)}")
    gram, products = atoms.T @ atoms, X @ atoms
    every, chosen = np.arange(len(X))[:, None], np.empty((len(X), 0), dtype=int)
    codes, left = np.zeros((len(X), D.shape[1])), products
    for _ in range(sparsity):
        fresh = abs(left)
        np.put_along_axis(fresh, chosen, -1.0, axis=1)
        chosen = np.hstack([chosen, fresh.argmax(1)[:, None]])
        # The ridge is rounding: parallel atoms would make the system singular, and share the value then.
        blocks = gram[chosen[:, :, None], chosen[:, None, :]] + 1e-14 * np.eye(chosen.shape[1])
        values = np.linalg.solve(blocks, products[every, chosen][..., None])[..., 0]
        codes[every, chosen] = values
        left = products - codes @ gram
    return codes


def _prepared(x, dictionaries):
    """Return the signal as a tensor and the dictionaries as operators that fit it and each other."""
    arguments.real_array("x", x)
    if not len(dictionaries):
        arguments.refuse("dictionaries", dictionaries, "is empty", "pass one dictionary for each layer")
    operators = [_operator(i, D, x) for i, D in enumerate(dictionaries)]
    stability.demand_chain([D for D in operators if isinstance(D, ConvolutionalDictionary)])
    _demand_matrices_fit(x, operators)
    return torch.as_tensor(x), operators


def _operator(i, D, x):
    if isinstance(D, ConvolutionalDictionary | MatrixDictionary):
        return D
    if D.ndim == 2:
        return MatrixDictionary(D)
    demand_filters(f"dictionaries[{i}]", D)
    return ConvolutionalDictionary(D, x.shape[2 - D.ndim:])


def _demand_matrices_fit(x, operators):
    rows = x.shape[-1]
    for i, D in enumerate(operators):
        if not isinstance(D, MatrixDictionary):
            continue
        if D.channels != rows:
            before = f"dictionaries[{i - 1}] has {rows} atoms" if i else f"x has dimension {rows}"
            arguments.refuse(f"dictionaries[{i}]", D.D, f"has {D.channels} rows, but {before}", "make them equal")
        if D.D.ndim > 2 and D.D.shape[:-2] != x.shape[:-1]:
            arguments.refuse(f"dictionaries[{i}]", D.D, f"does not match signals of shape {tuple(x.shape)}",
                             "pass one matrix for each signal")
        rows = D.atoms


def _one_each(name, values, dictionaries):
    if len(values) != len(dictionaries):
        arguments.refuse(name, values, f"has {len(values)} entries for {len(dictionaries)} layers", "pass one for each layer")
    return values


def _level(name, value, D, like):
    """Return a threshold or weight as a tensor that broadcasts against the code."""
    level = torch.as_tensor(value, dtype=like.dtype, device=like.device)
    if not bool((level >= 0).all()) or not bool(level.isfinite().all()):
        arguments.refuse(name, value, "is negative or not finite", "pass numbers >= 0")
    return level.reshape(-1, *[1] * len(D.grid)) if level.ndim == 1 and len(level) == D.atoms else level


def _positive(name, value, D, like):
    level = _level(name, value, D, like)
    if bool((level == 0).any()):
        arguments.refuse(name, value, "is zero", "pass a number > 0")
    return level


def _like(x, codes):
    return [code.numpy() for code in codes] if isinstance(x, np.ndarray) else codes

named(__name__)
