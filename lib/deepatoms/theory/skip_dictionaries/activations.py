r"""An activation as a matrix: exact for one input, :math:`S(h) = \mathrm{diag}(\sigma(a)/a)`, a rough fit for all."""

import numpy as np
import torch
from scipy.integrate import quad

from deepatoms.theory import arguments
from deepatoms.theory.arrays import Array
from deepatoms.theory.signatures import named

ACTIVATIONS = {"linear": lambda a: a, "relu": torch.relu, "leaky_relu": lambda a: torch.nn.functional.leaky_relu(a, 0.1),
               "tanh": torch.tanh, "elu": torch.nn.functional.elu, "gelu": torch.nn.functional.gelu,
               "sigmoid": torch.sigmoid, "softplus": torch.nn.functional.softplus}


def activate(name: str, a: Array) -> Array:
    """Return the named activation of an array (leaky ReLU has slope 0.1).

    Args:
        name: a key of ``ACTIVATIONS``.
        a: numpy array or torch tensor of any shape.

    Raises:
        ValueError: If the name is unknown, or ``a`` holds an entry that is not finite.

    Source:
        Standard.

    >>> activate("relu", np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    function = ACTIVATIONS[arguments.one_of("name", name, list(ACTIVATIONS))]
    arguments.real_array("a", a)
    return function(a) if isinstance(a, torch.Tensor) else function(torch.from_numpy(np.ascontiguousarray(a))).numpy()


def activation_matrix(name: str, a: Array, centred: bool = False) -> Array:
    r"""Return the diagonal of :math:`S(h)`, with :math:`\sigma(a) = S(h)\, a`, Equation :eq:`rsc-activation`.

    Args:
        name: a key of ``ACTIVATIONS``.
        a: pre-activations :math:`W h`, any shape.
        centred: whether to take :math:`\sigma(a) - \sigma(0)` in place of :math:`\sigma(a)`.

    Returns:
        Array of the shape of ``a``; where a = 0 the entry is 0 (any would do).

    Raises:
        ValueError: for an activation with :math:`\sigma(0) \ne 0` where a = 0, unless centred.

    >>> activation_matrix("leaky_relu", np.array([-1.0, 2.0]))
    array([0.1, 1. ])
    """
    z = activate(name, a)
    offset = float(activate(name, np.zeros(1))[0])
    zero = a == 0
    if offset != 0 and not centred and bool(zero.any()):
        arguments.refuse("a", a, f"has {int(zero.sum())} zeros, where {name} is {offset:.3g} and no S(h) exists",
                         "pass centred=True")
    return (z - offset if centred else z) / (a + zero)


def expected_slope(name: str) -> float:
    r"""Return :math:`E\,\sigma'(a) = E\,a\,\sigma(a)` for standard normal a: the best single S is this times I.

    Args:
        name: a key of ``ACTIVATIONS``.

    Raises:
        ValueError: If the name is unknown.

    Source:
        Stein's lemma (1981).

    >>> round(expected_slope("relu"), 9), round(expected_slope("tanh"), 3)
    (0.5, 0.606)
    """
    def product(a):
        return a * float(activate(name, np.array([a]))[0]) * np.exp(-a * a / 2) / np.sqrt(2 * np.pi)
    return quad(product, -10, 0)[0] + quad(product, 0, 10)[0]


def best_single_matrix(a: np.ndarray, z: np.ndarray, centred: bool = False) -> np.ndarray:
    r"""Return the matrix S of least :math:`\sum \lVert z - S a \rVert^2` over a batch.

    Args:
        a: pre-activations, shape (samples, n), numpy.
        z: activations, shape (samples, n).
        centred: whether to subtract the means of both first, which is an affine fit.

    Returns:
        S, shape (n, n).

    Raises:
        ValueError: If a and z are not finite matrices of one shape.

    Source:
        Least squares, standard.

    >>> a = np.random.default_rng(0).normal(size=(50, 2))
    >>> bool(np.allclose(best_single_matrix(a, 3 * a), 3 * np.eye(2)))
    True
    """
    a, z = _samples(a, z)
    if centred:
        a, z = a - a.mean(0), z - z.mean(0)
    return np.linalg.lstsq(a, z, rcond=None)[0].T


def unexplained_share(a: np.ndarray, z: np.ndarray, S: np.ndarray) -> float:
    r"""Return :math:`\sum \lVert z - S a \rVert^2 / \sum \lVert z \rVert^2`, 0 for an exact fit.

    Args:
        a: pre-activations, shape (samples, n), numpy.
        z: activations, shape (samples, n).
        S: matrix, shape (n, n).

    Raises:
        ValueError: If a and z are not finite matrices of one shape.

    Source:
        Standard: one minus the uncentred coefficient of determination.

    >>> unexplained_share(np.ones((1, 2)), np.ones((1, 2)), np.eye(2))
    0.0
    """
    a, z = _samples(a, z)
    arguments.matrix("S", S)
    return float(((z - a @ S.T) ** 2).sum() / (z**2).sum())


def best_diagonal(a: Array, z: Array) -> Array:
    r"""Return :math:`s_i = \langle z_i, a_i \rangle / \langle a_i, a_i \rangle`, the best diagonal S over a batch.

    Args:
        a: pre-activations, shape (samples, n), numpy or torch.
        z: what the branch puts out, same shape.

    Returns:
        Array of shape (n,).

    Raises:
        ValueError: If a and z are not finite matrices of one shape, or a unit is 0 on all samples.

    Source:
        Least squares, standard, unit by unit.

    >>> best_diagonal(np.array([[1.0, 2.0], [-1.0, 2.0]]), np.array([[1.0, 4.0], [0.0, 4.0]]))
    array([0.5, 2. ])
    """
    a, z = _samples(a, z)
    energy = (a**2).sum(0)
    if bool((energy == 0).any()):
        arguments.refuse("a", a, "has a unit that is 0 on all samples", "leave that unit out")
    return (z * a).sum(0) / energy


def residual_operator(W: np.ndarray, a: np.ndarray, z: np.ndarray, skip: bool = True) -> np.ndarray:
    r"""Return the dictionary :math:`I + \mathrm{diag}(s) W` of a trained layer (without the identity unless ``skip``).

    Args:
        W: weights, shape (n, n).
        a: :math:`W h` on a batch, shape (samples, n).
        z: what the branch put out, same shape.
        skip: whether the layer has a skip connection.

    Raises:
        ValueError: If a unit is 0 on all samples.

    Source:
        Equation :eq:`rsc-residual-layer` with the best diagonal S.

    >>> residual_operator(np.eye(1), np.ones((2, 1)), np.full((2, 1), 0.5))
    array([[1.5]])
    """
    operator = best_diagonal(a, z)[:, None] * arguments.matrix("W", W)
    return operator + np.eye(len(W)) if skip else operator


def _samples(a, z):
    arguments.matrix("a", a)
    arguments.matrix("z", z)
    if a.shape != z.shape:
        arguments.refuse("z", z, f"does not match a of shape {a.shape}", "pass one activation for each pre-activation")
    return a, z

named(__name__)
