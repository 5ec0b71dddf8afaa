r"""Dictionaries: atoms in columns, how much they resemble each other, and what that guarantees.

A dictionary is a matrix of shape (dimension, atoms). With normalised atoms, the Gram matrix is
:math:`G = D^\mathsf{T} D`; everything in this module is read off it.
"""

import math
from typing import Any

import numpy as np
import scipy.linalg
import torch
from array_api_compat import array_namespace

from deepatoms.theory import arguments
from deepatoms.theory.arrays import AnyArray, Array, Descended
from deepatoms.theory.signatures import named


def normalize(D: Array) -> Array:
    r"""Return the dictionary with every atom scaled to norm 1.

    Args:
        D: matrix of shape (dimension, atoms), without zero columns.

    Returns:
        The matrix :math:`d_j / \lVert d_j \rVert_2`, same shape and kind.

    Raises:
        ValueError: on a zero column or an entry that is not finite.

    Source: standard.

    >>> normalize(np.array([[3.0, 0.0], [4.0, 2.0]]))
    array([[0.6, 0. ],
           [0.8, 1. ]])
    """
    arguments.dictionary("D", D)
    with np.errstate(over="ignore", under="ignore"):
        norms = (D**2).sum(0) ** 0.5
    if not (math.isfinite(norms.max().item()) and norms.min().item() > 0):  # float() of a tensor with a gradient warns
        # Squares leave the range of the type (float16 from 256 on): scale each atom by its largest entry first.
        D = D / _largest_entries(D)
        norms = (D**2).sum(0) ** 0.5
    return D / norms


def _largest_entries(D: Any) -> Any:
    return array_namespace(D).max(abs(D), axis=0)


def gram(D: Array) -> Array:
    r"""Return the Gram matrix :math:`G = D^\mathsf{T} D` of the normalised atoms.

    Args:
        D: matrix of shape (dimension, atoms), without zero columns.

    Returns:
        Matrix of shape (atoms, atoms) with ones on its diagonal.

    Source: standard.

    Raises:
        ValueError: on a zero atom, an entry that is not finite, or a shape that does not fit.

    >>> gram(np.array([[1.0, 2.0], [0.0, 2.0]])).round(4)
    array([[1.    , 0.7071],
           [0.7071, 1.    ]])
    """
    atoms = normalize(D)
    return atoms.T @ atoms


def mutual_coherence(D: Array) -> Any:
    r"""Return the mutual coherence, the largest absolute cosine between two atoms.

    :math:`\mu(D) = \max_{i \ne j} |(G - I)_{ij}|`, Equation :eq:`dfp-eq-2` of the deep frame potential paper.

    Args:
        D: matrix of shape (dimension, atoms), at least two atoms, without zero columns.

    Returns:
        A number between 0 (orthogonal atoms) and 1 (two parallel atoms); for a torch tensor a differentiable scalar.

    Raises:
        ValueError: on a single atom, a zero column or an entry that is not finite.

    >>> float(round(mutual_coherence(simplex_frame(3)), 6))
    0.333333
    """
    _several_atoms(D)
    return abs(_off_diagonal(gram(D))).max()


def one_sided_coherence(D: AnyArray) -> Any:
    r"""Return the one-sided coherence :math:`\max_{i \ne j} |d_i^\mathsf{T} d_j| / \lVert d_i \rVert_2^2`.

    Args:
        D: matrix of shape (dimension, atoms), at least two atoms, without zero columns.

    Returns:
        A nonnegative number; equal to the mutual coherence when all atoms have the same norm.

    Source: standard, the atoms not normalised.

    Raises:
        ValueError: on a zero atom, an entry that is not finite, or a shape that does not fit.

    >>> one_sided_coherence(np.array([[2.0, 1.0], [0.0, 1.0]]))
    np.float64(1.0)
    """
    arguments.dictionary("D", D)
    _several_atoms(D)
    products = D.T @ D
    return abs(_off_diagonal(products) / (D**2).sum(0)[:, None]).max()


def frame_energy(D: Array) -> Any:
    r"""Return the energy :math:`\lVert G \rVert_F^2 - \operatorname{Tr} G`, the numerator of Equation :eq:`dfp-eq-12`.

    Computed as the sum of the squared entries off the diagonal, which keeps digits that subtracting the trace loses.

    Args:
        D: matrix of shape (dimension, atoms), without zero columns.

    Returns:
        A nonnegative number, 0 for orthogonal atoms.

    >>> float(round(frame_energy(simplex_frame(3)), 6))
    1.333333
    """
    return (_off_diagonal(gram(D)) ** 2).sum()


def frame_potential(D: Array, pairs: int | None = None) -> Any:
    r"""Return the averaged frame potential F, the root mean square cosine between atoms.

    :math:`F^2(D) = N^{-1}(G)\,(\lVert G \rVert_F^2 - \operatorname{Tr} G) \le \mu^2(D)`, Equation :eq:`dfp-eq-12`.

    Args:
        D: matrix of shape (dimension, atoms), at least two atoms, without zero columns.
        pairs: N(G), the number of ordered pairs of atoms that can overlap; all pairs of an unstructured dictionary
            unless given.

    Returns:
        F, between 0 and the mutual coherence.

    Raises:
        ValueError: on a single atom, a zero column, or ``pairs`` smaller than 1 or larger than atoms (atoms - 1).

    >>> float(round(frame_potential(simplex_frame(3)), 6))
    0.333333
    """
    _several_atoms(D)
    every = D.shape[1] * (D.shape[1] - 1)
    pairs = every if pairs is None else arguments.integer("pairs", pairs)
    if pairs > every:
        arguments.refuse("pairs", pairs, f"exceeds the {every} ordered pairs of {D.shape[1]} atoms",
                         "count each ordered pair once")
    return (frame_energy(D) / pairs) ** 0.5


def welch_bound(dimension: int, atoms: int) -> float:
    r"""Return the Welch bound on the mutual coherence of ``atoms`` unit vectors.

    :math:`\mu \ge \sqrt{(k - d) / (d (k - 1))}`, attained exactly by equiangular tight frames; 0 when k <= d.

    Args:
        dimension: d, a positive integer.
        atoms: k, an integer of at least 2.

    Returns:
        A number between 0 and 1.

    Source: Welch (1974).

    Raises:
        ValueError: on a size that is too small.

    >>> welch_bound(2, 3)
    0.5
    """
    dimension, atoms = arguments.integer("dimension", dimension), arguments.integer("atoms", atoms, minimum=2)
    return math.sqrt(max(0, atoms - dimension) / (dimension * (atoms - 1)))


def uniqueness_threshold(mu: float) -> float:
    r"""Return :math:`\tfrac12 (1 + 1/\mu)`: a code with fewer nonzeros is the only sparsest one.

    The same bound suffices for recovery by :math:`\ell_1` minimisation, for every dictionary.

    Args:
        mu: mutual coherence, in [0, 1]; at 0 the threshold is infinite.

    Source: Donoho and Elad (2003).

    Raises:
        ValueError: on a number outside its range, or not finite.

    >>> uniqueness_threshold(0.25)
    2.5
    """
    mu = arguments.number("mu", mu, 0, 1)
    return math.inf if mu == 0 else (1 + 1 / mu) / 2


def two_orthobases_threshold(mu: float) -> float:
    r"""Return :math:`(\sqrt2 - \tfrac12)/\mu`, enough for recovery by :math:`\ell_1` from a union of two orthobases.

    The paper prints it in Section 3.1 for every dictionary, where it is false.

    Args:
        mu: mutual coherence, in [0, 1].

    Raises:
        ValueError: on a number outside its range, or not finite.

    Source: Elad and Bruckstein (2002).

    >>> round(two_orthobases_threshold(0.25), 4)
    3.6569
    """
    mu = arguments.number("mu", mu, 0, 1)
    return math.inf if mu == 0 else (math.sqrt(2) - 0.5) / mu


def stability_threshold(mu: float) -> float:
    r"""Return :math:`\tfrac14 (1 + 1/\mu)`: with fewer nonzeros the LASSO's error is bounded, Equation :eq:`dfp-eq-4`.

    Args:
        mu: mutual coherence, in [0, 1].

    Raises:
        ValueError: on a number outside its range, or not finite.

    >>> stability_threshold(0.25)
    1.25
    """
    return uniqueness_threshold(mu) / 2


def lasso_stability_bound(mu: float, sparsity: int, noise: float, residual: float) -> float:
    r"""Return the bound of Equation :eq:`dfp-eq-4` on the squared error of a sparse code.

    :math:`\lVert w - w_0 \rVert_2^2 \le (\epsilon + \delta)^2 / (1 - \mu (4 \lVert w_0 \rVert_0 - 1))`.

    Args:
        mu: mutual coherence, in [0, 1].
        sparsity: number of nonzeros of the true code.
        noise: :math:`\epsilon \ge \lVert z \rVert_2`.
        residual: :math:`\delta`, the residual norm of the estimate.

    Returns:
        The bound, infinite where the theorem promises nothing: where the sparsity is not below ``stability_threshold(mu)``,
        or the residual is below the noise.

    Raises:
        ValueError: on a number outside its range, or not finite.

    >>> lasso_stability_bound(0.1, 1, 0.5, 0.5)
    1.4285714285714286
    """
    sparsity = arguments.integer("sparsity", sparsity, minimum=0)
    noise, residual = arguments.number("noise", noise, 0), arguments.number("residual", residual, 0)
    if sparsity >= stability_threshold(mu) or residual < noise:
        return math.inf
    return (noise + residual) ** 2 / (1 - mu * (4 * sparsity - 1))


def simplex_frame(dimension: int) -> np.ndarray:
    r"""Return the simplex frame: d + 1 equiangular unit vectors in :math:`\mathbb{R}^d`, coherence 1/d.

    Args:
        dimension: d, a positive integer.

    Returns:
        Matrix of shape (d, d + 1), float64; its columns sum to 0.

    Source: standard.

    Raises:
        ValueError: on a size that is too small.

    >>> gram(simplex_frame(2)).round(3)
    array([[ 1. , -0.5, -0.5],
           [-0.5,  1. , -0.5],
           [-0.5, -0.5,  1. ]])
    """
    dimension = arguments.integer("dimension", dimension)
    contrasts = scipy.linalg.helmert(dimension + 1)
    return contrasts * math.sqrt((dimension + 1) / dimension)


def six_lines() -> np.ndarray:
    """Return the six diagonals of the icosahedron: an equiangular tight frame of shape (3, 6) (standard).

    >>> float(round(mutual_coherence(six_lines()) - welch_bound(3, 6), 12))
    0.0
    """
    golden = (1 + math.sqrt(5)) / 2
    lines = np.array([[0, 0, 1, 1, golden, -golden], [1, 1, golden, -golden, 0, 0], [golden, -golden, 0, 0, 1, 1]])
    return lines / math.sqrt(1 + golden**2)


def planar_frame(atoms: int) -> np.ndarray:
    r"""Return the lines of the plane that are least coherent: angles :math:`j \pi / k`, coherence :math:`\cos(\pi/k)`.

    Args:
        atoms: k, an integer of at least 2.

    Returns:
        Matrix of shape (2, k), float64.

    Source: standard.

    Raises:
        ValueError: on a size that is too small.

    >>> float(round(mutual_coherence(planar_frame(4)), 6))
    0.707107
    """
    angles = np.arange(arguments.integer("atoms", atoms, minimum=2)) * math.pi / atoms
    return np.stack([np.cos(angles), np.sin(angles)])


def identity_hadamard(dimension: int) -> np.ndarray:
    r"""Return the union of two orthobases, identity and Hadamard: coherence :math:`1/\sqrt d`.

    Args:
        dimension: d, a power of 2.

    Returns:
        Matrix of shape (d, 2 d), float64.

    Raises:
        ValueError: when d is not a power of 2.

    Source: Donoho and Huo (2001).

    >>> float(mutual_coherence(identity_hadamard(16)))
    0.25
    """
    dimension = arguments.integer("dimension", dimension, minimum=2)
    if dimension & (dimension - 1):
        arguments.refuse("dimension", dimension, "is not a power of 2", "pass 2, 4, 8, 16 ...")
    return np.hstack([np.eye(dimension), scipy.linalg.hadamard(dimension) / math.sqrt(dimension)])


def tight_frame_minimum(dimension: int, atoms: int) -> float:
    r"""Return the least value of :math:`\lVert G \rVert_F^2` for k unit atoms: :math:`\max(k, k^2/d)`, met by tight frames.

    Args:
        dimension: d, a positive integer.
        atoms: k, a positive integer.

    Source: Benedetto and Fickus (2003).

    Raises:
        ValueError: on a size that is too small.

    >>> tight_frame_minimum(4, 9)
    20.25
    """
    dimension, atoms = arguments.integer("dimension", dimension), arguments.integer("atoms", atoms)
    return max(float(atoms), atoms**2 / dimension)


def minimize_frame_potential(D: np.ndarray, iterations: int = 300) -> Descended[np.ndarray]:
    r"""Return the dictionaries that gradient descent on :math:`\lVert G \rVert_F^2` reaches from ``D``.

    Each step follows the gradient :math:`4 D D^\mathsf{T} D` less its component along each atom, with step
    :math:`d / (8k)`, and renormalises the atoms. No local minimum is above the least value (Benedetto and Fickus, 2003), but
    stationary points are: from equal atoms the descent does not move.

    Args:
        D: starting points of shape (..., dimension, atoms), numpy.
        iterations: number of steps.

    Returns:
        ``best``, of the shape of ``D`` with unit atoms: the iterate of least value. ``converged``, of shape (...): whether it
        is within 1e-9 of the least value there is (:func:`tight_frame_minimum`), relative to it.

    Raises:
        ValueError: on a zero atom, an entry that is not finite, or fewer than two axes.

    >>> start = np.random.default_rng(0).normal(size=(4, 9))
    >>> found = minimize_frame_potential(start)
    >>> round(frame_energy(found.best) + 9, 6), bool(found.converged)
    (np.float64(20.25), True)
    """
    D = _starts(D)
    step = D.shape[-2] / (8 * D.shape[-1])
    best, lowest = D, np.full(D.shape[:-2], np.inf)
    for _ in range(arguments.integer("iterations", iterations)):
        gram = np.swapaxes(D, -1, -2) @ D
        gradient = 4 * D @ gram
        best, lowest = _keep_lowest((gram**2).sum((-2, -1)), D, lowest, best)
        slope = gradient - (gradient * D).sum(-2, keepdims=True) * D
        D = D - step * slope
        D = D / np.linalg.norm(D, axis=-2, keepdims=True)
    best, lowest = _keep_lowest(((np.swapaxes(D, -1, -2) @ D) ** 2).sum((-2, -1)), D, lowest, best)
    # The least value is known, so a stationary point above it is not taken for the end.
    return Descended(best, lowest <= (1 + 1e-9) * tight_frame_minimum(*D.shape[-2:]))


def _starts(D):
    arguments.real_array("D", D)
    if not isinstance(D, np.ndarray) or D.ndim < 2:
        arguments.refuse("D", D, "is not a numpy array with two axes or more", "pass shape (..., dimension, atoms)")
    if (D == 0).all(-2).any():
        arguments.refuse("D", D, "has zero atoms (columns)", "drop them")
    return D / np.linalg.norm(D, axis=-2, keepdims=True)


def _keep_lowest(values, D, lowest, best):
    lower = values <= lowest * (1 + 1e-15)  # of equals up to rounding the later one, whose slope is smaller
    return np.where(lower[..., None, None], D, best), np.where(lower, values, lowest)


SOFTEST, HARDEST, COOLING = 0.1, 0.001, 0.98


def minimize_coherence(D: np.ndarray, iterations: int = 300) -> Descended[np.ndarray]:
    r"""Return dictionaries of low coherence, found from ``D`` by Adam on a smooth maximum of the Gram entries.

    The smooth maximum is :math:`\tau \log \sum_{i<j} \exp(G_{ij}^2 / \tau)`, with :math:`\tau` falling from 0.1 to 0.001
    by 2 per cent a step. Temperature and rate depend on the step and not on how many are asked for, so that more steps go
    on where fewer stop, and the best of them is never worse (standard: log-sum-exp smoothing with continuation).

    Args:
        D: starting points of shape (..., dimension, atoms), at least two atoms, numpy.
        iterations: number of steps.

    Returns:
        ``best``, of the shape of ``D`` with unit atoms: the iterate of least coherence, a local minimum and no certificate.
        ``converged``, of shape (...): whether the temperature had reached its end, and the last half of the steps lowered
        the coherence by at most 0.1 per cent of it.

    Raises:
        ValueError: on a single atom, a zero atom, an entry that is not finite, or fewer than two axes.

    >>> found = minimize_coherence(np.random.default_rng(0).normal(size=(3, 6)))
    >>> float(round(mutual_coherence(found.best), 3)), bool(found.converged)
    (0.447, True)
    """
    D = _starts(D)
    if D.shape[-1] < 2:
        arguments.refuse("D", D, "has a single atom", "pass at least two columns")
    atoms = torch.tensor(D, requires_grad=True)
    # Entries of unit atoms are of size d^(-1/2), and Adam moves every entry by its rate.
    rate = 0.05 / math.sqrt(D.shape[-2])
    descent = torch.optim.Adam([atoms], lr=rate)
    best, history = D, [np.full(D.shape[:-2], np.inf)]
    for iteration in range(arguments.integer("iterations", iterations) + 1):
        unit = torch.nn.functional.normalize(atoms, dim=-2)
        products, softness = _products(unit), max(SOFTEST * COOLING**iteration, HARDEST)
        best, lowest = _keep_lowest(products.detach().abs().amax(-1).numpy(), unit.detach().numpy(), history[-1], best)
        history.append(lowest)
        loss = softness * torch.logsumexp(products**2 / softness, -1).sum()
        descent.zero_grad()
        loss.backward()
        descent.param_groups[0]["lr"] = rate / math.sqrt(1 + iteration / 100)
        descent.step()
    before = history[-1 - iterations // 2]
    return Descended(best, (before - lowest <= 1e-3 * lowest) & (softness == HARDEST))


def _products(unit):
    above = torch.triu(torch.ones(unit.shape[-1], unit.shape[-1], dtype=torch.bool), 1)
    return (unit.mT @ unit)[..., above]


def _several_atoms(D):
    arguments.matrix("D", D)
    if D.shape[1] < 2:
        arguments.refuse("D", D, "has a single atom", "pass at least two columns")


def _off_diagonal(G):
    namespace = array_namespace(G)
    return G * (1 - namespace.eye(G.shape[0], dtype=G.dtype, device=G.device))

named(__name__)
