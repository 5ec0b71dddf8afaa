r"""Spectra of :math:`D` and :math:`I + D`: singular values, conditioning, concentration of energy, sparsity."""

import math

import numpy as np
from array_api_compat import array_namespace

from deepatoms.theory import arguments
from deepatoms.theory.arrays import Array
from deepatoms.theory.signatures import named


def residual_dictionary(D: Array) -> Array:
    r"""Return :math:`I + D`, the dictionary of a residual layer, Equation :eq:`rsc-residual-layer`.

    Args:
        D: square matrix or stack of them, shape (..., n, n).

    Returns:
        Array of the shape and kind of D.

    Raises:
        ValueError: when the matrices are not square or hold an entry that is not finite.

    >>> residual_dictionary(np.zeros((2, 2)))
    array([[1., 0.],
           [0., 1.]])
    """
    _square(D)
    return D + array_namespace(D).eye(D.shape[-1], dtype=D.dtype, device=D.device)


def singular_values(D: Array) -> Array:
    r"""Return the singular values :math:`\sigma_1 \ge \sigma_2 \ge \dots`, shape (..., min(rows, columns)).

    Args:
        D: matrix or stack of matrices, shape (..., rows, columns).

    Raises:
        ValueError: If D is not a finite real array of at least two axes.

    Source:
        Standard.

    >>> singular_values(np.diag([1.0, -3.0]))
    array([3., 1.])
    """
    _matrices(D)
    return array_namespace(D).linalg.svdvals(D)


def condition_number(D: Array) -> Array:
    r"""Return :math:`\kappa(D) = \sigma_{\max} / \sigma_{\min}`, infinite when the smallest singular value is 0.

    A smallest singular value below the rounding of the largest, :math:`n \varepsilon \sigma_{\max}`, counts as 0.

    Args:
        D: matrix or stack of matrices, shape (..., rows, columns).

    Raises:
        ValueError: If D is not a finite real array of at least two axes.

    Source:
        Standard.

    >>> float(condition_number(np.diag([4.0, 2.0]))), float(condition_number(np.diag([1.0, 0.0])))
    (2.0, inf)
    """
    sigma = singular_values(D)
    namespace = array_namespace(sigma)
    rounding = max(D.shape[-2:]) * namespace.finfo(D.dtype).eps * sigma[..., 0]
    regular = sigma[..., -1] > rounding
    ratio = sigma[..., 0] / namespace.where(regular, sigma[..., -1], namespace.ones_like(rounding))
    return namespace.where(regular, ratio, namespace.full_like(ratio, math.inf))


def condition_bound(norm: float) -> float:
    r"""Return :math:`(1 + \lVert D \rVert) / (1 - \lVert D \rVert) \ge \kappa(I + D)`, Equation :eq:`rsc-condition`.

    Args:
        norm: spectral norm of D; from 1 on nothing is guaranteed and the bound is infinite.

    Raises:
        ValueError: If the norm is negative.

    >>> condition_bound(0.5), condition_bound(1.0)
    (3.0, inf)
    """
    norm = arguments.number("norm", norm, 0)
    return math.inf if norm >= 1 else (1 + norm) / (1 - norm)


def weyl_bounds(D: Array) -> tuple[Array, Array]:
    r"""Return bounds on the singular values of :math:`I + D`, Equation :eq:`rsc-weyl`.

    :math:`1 - \sigma_{n+1-L}(D) \le \sigma_L(I + D) \le 1 + \sigma_L(D)`.

    Args:
        D: square matrix or stack of them, shape (..., n, n).

    Returns:
        The lower and the upper bounds, each of shape (..., n).

    Raises:
        ValueError: If the matrices are not square or hold an entry that is not finite.

    >>> weyl_bounds(np.diag([-1.0, 0.0]))
    (array([1., 0.]), array([2., 1.]))
    """
    sigma = singular_values(_square(D))
    return 1 - array_namespace(sigma).flip(sigma, axis=-1), 1 + sigma


def printed_lower_bound(D: Array) -> Array:
    r"""Return the lower bound as printed, :math:`1 - \sigma_L(D)`: valid for :math:`2L - 1 \le n` only.

    Args:
        D: square matrix or stack of them, shape (..., n, n).

    Raises:
        ValueError: If the matrices are not square or hold an entry that is not finite.

    Source:
        The note as printed; Equation :eq:`rsc-weyl` corrects it.

    >>> D = np.diag([-1.0, 0.0])
    >>> printed_lower_bound(D)[1] <= singular_values(residual_dictionary(D))[1]
    np.False_
    """
    return 1 - singular_values(_square(D))


def energy_shares(D: Array) -> Array:
    r"""Return the share of energy of the k largest singular values, :math:`\sum_{i \le k} \sigma_i^2 / \sum_i \sigma_i^2`.

    Args:
        D: matrix or stack of matrices, shape (..., rows, columns), none of them zero.

    Returns:
        Array of shape (..., min(rows, columns)), rising to 1.

    Raises:
        ValueError: If a matrix is zero or holds an entry that is not finite.

    Source:
        Standard.

    >>> energy_shares(np.diag([3.0, 1.0]))
    array([0.9, 1. ])
    """
    energy = singular_values(D) ** 2
    namespace = array_namespace(energy)
    total = namespace.sum(energy, axis=-1)[..., None]
    if bool(namespace.any(total == 0)):
        arguments.refuse("D", D, "is zero and has no energy to share", "pass a matrix with a nonzero entry")
    return namespace.cumulative_sum(energy / total, axis=-1)


def energy_dimensions(D: Array) -> Array:
    r"""Return how many singular values carry nine tenths of the energy, :math:`k_{90}`.

    Args:
        D: matrix or stack of matrices, shape (..., rows, columns).

    Raises:
        ValueError: If a matrix is zero or holds an entry that is not finite.

    Source:
        Standard, as for principal components.

    >>> int(energy_dimensions(np.diag([3.0, 1.0, 1.0])))
    2
    """
    shares = energy_shares(D)
    namespace = array_namespace(shares)
    return 1 + namespace.sum(namespace.astype(shares < 0.9 - 1e-12, namespace.int64), axis=-1)


def effective_rank(D: Array) -> Array:
    r"""Return :math:`\exp(-\sum_i p_i \log p_i)` with :math:`p_i = \sigma_i^2 / \sum \sigma^2`: n for a flat spectrum.

    Args:
        D: matrix or stack of matrices, shape (..., rows, columns), none of them zero.

    Raises:
        ValueError: If a matrix is zero or holds an entry that is not finite.

    Source:
        Roy and Vetterli (2007), with energies in place of singular values.

    >>> float(round(effective_rank(np.eye(4)), 9))
    4.0
    """
    shares = energy_shares(D)
    namespace = array_namespace(shares)
    p = singular_values(D) ** 2
    p = p / namespace.sum(p, axis=-1)[..., None]
    logarithm = namespace.log(namespace.where(p > 0, p, namespace.ones_like(p)))
    return namespace.exp(-namespace.sum(p * logarithm, axis=-1))


def isometric_share(J: Array) -> Array:
    r"""Return the share of singular values in [0.1, 10]: 1 for a map that keeps all lengths within a factor of ten.

    Args:
        J: matrix or stack of matrices, shape (..., rows, columns).

    Returns:
        Array of shape (...).

    Raises:
        ValueError: If J is not a finite real array of at least two axes.

    Source:
        Ours: a count for what Pennington, Schoenholz and Ganguli (2017) call dynamical isometry, all of them near 1.

    >>> float(isometric_share(np.diag([1.0, 0.01])))
    0.5
    """
    sigma = singular_values(J)
    namespace = array_namespace(sigma)
    near = (sigma >= 0.1) & (sigma <= 10)
    return namespace.mean(namespace.astype(near, sigma.dtype), axis=-1)


def hoyer_index(D: Array) -> Array:
    r"""Return Hoyer's sparsity index of all N entries, :math:`(\sqrt N - \ell_1 / \ell_2) / (\sqrt N - 1)`.

    It is 0 when all entries are equally large, 1 when a single one is not zero, and free of scale.

    Args:
        D: matrix or stack of matrices, shape (..., rows, columns), none of them zero.

    Raises:
        ValueError: If a matrix is zero or has a single entry.

    Source:
        Hoyer (2004).

    >>> float(hoyer_index(np.array([[1.0, 0.0], [0.0, 0.0]]))), float(hoyer_index(np.ones((2, 2))))
    (1.0, 0.0)
    """
    _matrices(D)
    namespace = array_namespace(D)
    root = math.sqrt(D.shape[-1] * D.shape[-2])
    norm = namespace.sum(D**2, axis=(-2, -1)) ** 0.5
    if root == 1 or bool(namespace.any(norm == 0)):
        arguments.refuse("D", D, "is zero or has a single entry", "pass a matrix with several entries, one not zero")
    return (root - namespace.sum(abs(D), axis=(-2, -1)) / norm) / (root - 1)


def nonzeros_gained(D: Array) -> Array:
    r"""Return :math:`\#\{D_{ii} = 0\} - \#\{D_{ii} = -1\}`, the nonzeros that adding the identity gains.

    Args:
        D: square matrix or stack of them, shape (..., n, n).

    Raises:
        ValueError: If the matrices are not square or hold an entry that is not finite.

    Source:
        Standard counting; it is the note's "sparser" as a number.

    >>> nonzeros_gained(np.diag([0.0, -1.0, 5.0]))
    np.int64(0)
    """
    diagonal = array_namespace(_square(D)).linalg.diagonal(D)
    return (diagonal == 0).sum(-1) - (diagonal == -1).sum(-1)


def gaussian(n: int, scale: float, generator: np.random.Generator, count: int | None = None) -> np.ndarray:
    r"""Draw matrices with entries :math:`N(0, s^2/n)`, shape (n, n) or (count, n, n); their norm is about 2s.

    Args:
        n: size.
        scale: s.
        generator: numpy generator.
        count: number of matrices; a single one unless given.

    Raises:
        ValueError: If the size is no positive integer or the scale is negative.

    Source:
        Standard.

    >>> gaussian(3, 0.5, np.random.default_rng(0)).shape
    (3, 3)
    """
    shape = (n, n) if count is None else (count, n, n)
    return arguments.number("scale", scale, 0) / math.sqrt(arguments.integer("n", n)) * generator.normal(size=shape)


def orthogonal(n: int, generator: np.random.Generator, count: int | None = None) -> np.ndarray:
    """Draw orthogonal matrices uniformly (Haar), shape (n, n) or (count, n, n).

    Raises:
        ValueError: If the size is no positive integer.

    Source:
        Mezzadri (2007).

    >>> Q = orthogonal(3, np.random.default_rng(0))
    >>> bool(np.allclose(Q @ Q.T, np.eye(3)))
    True
    """
    Q, R = np.linalg.qr(gaussian(n, 1.0, generator, count))
    return Q * np.sign(np.diagonal(R, axis1=-2, axis2=-1))[..., None, :]


def reflection(normal: np.ndarray) -> np.ndarray:
    r"""Return the reflections :math:`I - 2 v v^\mathsf{T} / \lVert v \rVert^2`: orthogonal, yet :math:`I + D` is singular.

    Args:
        normal: v, shape (..., n).

    Raises:
        ValueError: If the normal holds an entry that is not finite.

    Source:
        Householder (1958).

    >>> reflection(np.array([1.0, 0.0]))
    array([[-1.,  0.],
           [ 0.,  1.]])
    """
    arguments.real_array("normal", normal)
    unit = normal / (normal**2).sum(-1, keepdims=True) ** 0.5
    return np.eye(normal.shape[-1]) - 2 * unit[..., :, None] * unit[..., None, :]


def _matrices(D):
    arguments.real_array("D", D)
    if D.ndim < 2:
        arguments.refuse("D", D, "is not a matrix", "pass shape (..., rows, columns)")
    return D


def _square(D):
    _matrices(D)
    if D.shape[-1] != D.shape[-2]:
        arguments.refuse("D", D, "is not square, so I + D has no meaning",
                         "pass a layer that has as many outputs as inputs")
    return D

named(__name__)
