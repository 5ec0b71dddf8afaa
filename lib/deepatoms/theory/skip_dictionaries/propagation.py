r"""How noise on the input travels through the layers: the printed bound, which fails, and those that hold."""

import math
from collections.abc import Sequence

import numpy as np
import torch

from deepatoms.theory import arguments
from deepatoms.theory.partition.segment import slice_segment
from deepatoms.theory.signatures import named
from deepatoms.theory.splines import affine_map


def printed_bound(noise: float, first_norm: float, coherences: Sequence[float], sparsities: Sequence[int]) -> float:
    r"""Return the printed bound on the squared output error, Equation :eq:`rsc-propagation`; it is wrong.

    :math:`\tfrac14 \lVert D_1 \rVert^2 \epsilon_0^2 \prod_i A_i`, :math:`A_i = 1 - (2 \lVert T_i \rVert_0 - 1) \mu(D_{i+1})`.

    Args:
        noise: :math:`\epsilon_0`, norm of the input's noise.
        first_norm: spectral norm of :math:`D_1`.
        coherences: :math:`\mu(D_2), \dots, \mu(D_l)`.
        sparsities: nonzeros of :math:`T_1, \dots, T_{l-1}`.

    Raises:
        ValueError: If a number is negative or not finite.

    >>> printed_bound(1.0, 1.0, [0.0], [2])
    0.25
    """
    arguments.number("noise", noise, 0)
    arguments.number("first_norm", first_norm, 0)
    pairs = zip(_coherences(coherences), sparsities, strict=True)
    return first_norm**2 * noise**2 / 4 * math.prod(1 - (2 * k - 1) * mu for mu, k in pairs)


def _coherences(values):
    return [arguments.number(f"coherences[{i}]", mu, 0) for i, mu in enumerate(values)]


def _some(name, values):
    if not len(values):
        arguments.refuse(name, values, "is empty", "pass one for each layer")
    return values


def fixed_bound(noise: float, dictionaries: Sequence[np.ndarray]) -> float:
    r"""Return :math:`\prod_i \lVert D_i \rVert^2 \epsilon_0^2`, on the squared output error of fixed dictionaries.

    Not for :math:`D_i = I + S(h) W`, which changes with the input: see :func:`residual_bound`.

    Args:
        noise: :math:`\epsilon_0`.
        dictionaries: list of matrices.

    Raises:
        ValueError: If the noise is negative, or a dictionary is not a finite matrix.

    Source:
        Submultiplicativity of the spectral norm, standard.

    >>> fixed_bound(1.0, [np.eye(2), 2 * np.eye(2)])
    4.0
    """
    norms = [np.linalg.norm(arguments.matrix("D", D), 2) for D in _some("dictionaries", dictionaries)]
    return float(arguments.number("noise", noise, 0) ** 2 * math.prod(norm**2 for norm in norms))


def sparse_difference_bound(noise: float, coherences: Sequence[float], nonzeros: int) -> float:
    r"""Return :math:`\prod_i (1 + (m - 1) \mu_i) \epsilon_0^2`, on the squared error when differences have m nonzeros.

    Args:
        noise: :math:`\epsilon_0`.
        coherences: :math:`\mu_i` of all layers, whose atoms have norm 1.
        nonzeros: m (2k for two codes with k nonzeros each), at every layer's input.

    Raises:
        ValueError: If the noise is negative, or ``nonzeros`` is no positive integer.

    Source:
        Gershgorin's bound on the Gram matrix of m atoms, standard.

    >>> sparse_difference_bound(1.0, [0.5, 0.5], 2)
    2.25
    """
    m = arguments.integer("nonzeros", nonzeros)
    given = _coherences(_some("coherences", coherences))
    return arguments.number("noise", noise, 0) ** 2 * math.prod(1 + (m - 1) * mu for mu in given)


def residual_bound(noise: float, weights: Sequence[np.ndarray]) -> float:
    r"""Return :math:`\prod_i (1 + \lVert W_i \rVert) \epsilon_0`, on the output error of a ReLU residual net.

    It holds for every activation with slopes in [-1, 1]. With batch normalisation in evaluation mode, pass
    :math:`\mathrm{diag}(\gamma / \hat\sigma) W_i`.

    Args:
        noise: :math:`\epsilon_0`.
        weights: list of matrices of shape (n, n).

    Raises:
        ValueError: If the noise is negative, or a weight is not a finite matrix.

    Source:
        Ours, :math:`\lVert I + S W \rVert \le 1 + \lVert W \rVert` layer by layer; standard.

    >>> residual_bound(1.0, [np.eye(2), np.eye(2)])
    4.0
    """
    norms = [np.linalg.norm(arguments.matrix("W", W), 2) for W in _some("weights", weights)]
    return float(arguments.number("noise", noise, 0) * math.prod(1 + norm for norm in norms))


def residual_forward(x: np.ndarray, weights: Sequence[np.ndarray], biases: Sequence[np.ndarray]) -> np.ndarray:
    r"""Return the output of the residual net :math:`h \mapsto h + \mathrm{relu}(W_i h + b_i)`.

    Args:
        x: input of shape (..., n), numpy.
        weights: list of matrices of shape (n, n).
        biases: list of vectors of shape (n,).

    Raises:
        ValueError: If a number is NaN or infinite.

    Source:
        Standard (He, Zhang, Ren and Sun, 2016).

    >>> residual_forward(np.array([1.0]), [np.array([[2.0]])], [np.zeros(1)])
    array([3.])
    """
    arguments.real_array("x", x)
    for W, b in _layers(weights, biases):
        x = x + np.maximum(x @ W.T + b, 0)
    return x


def _layers(weights, biases):
    """Return the pairs of a list of layers, all of finite numbers: a rectifier would hide those that are not."""
    layers = list(zip(weights, biases, strict=True))
    for W, b in layers:
        arguments.real_array("weights", W, 2)
        arguments.real_array("biases", b, 1)
    return layers


def end_to_end_jacobian(x: np.ndarray, weights: Sequence[np.ndarray], biases: Sequence[np.ndarray],
                        skip: bool = True) -> np.ndarray:
    r"""Return the Jacobian of a ReLU net at an input, the product of its layers' maps, Equation :eq:`rsc-jacobian`.

    :math:`J = \prod_i (I + S_i W_i)` with :math:`S_i` the 0-1 diagonal of the active units; without the I if there is no skip.

    Args:
        x: input of shape (n,), numpy.
        weights: list of matrices of shape (n, n).
        biases: list of vectors of shape (n,).
        skip: whether each layer adds its input to its output.

    Returns:
        Matrix of shape (n, n).

    Raises:
        ValueError: If the input is not a finite vector, or a weight or bias not finite.

    >>> end_to_end_jacobian(np.array([1.0]), [np.array([[2.0]])] * 2, [np.zeros(1)] * 2)
    array([[9.]])
    """
    arguments.real_array("x", x, rank=1)
    identity = np.eye(len(x))
    J = identity
    for W, b in _layers(weights, biases):
        a = W @ x + b
        J = ((skip * identity) + (a > 0)[:, None] * W) @ J
        x = skip * x + np.maximum(a, 0)
    return J


def segment_slopes(start: np.ndarray, end: np.ndarray, weights: Sequence[np.ndarray],
                   biases: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    r"""Return the regions of a ReLU residual net that a segment crosses, and the norm of the affine map in each.

    The segment is cut exactly where a unit switches; in each region the affine map is that of its middle.

    Args:
        start: input of shape (n,), numpy.
        end: input of shape (n,).
        weights: list of matrices of shape (n, n).
        biases: list of vectors of shape (n,).

    Returns:
        Array of the places in [0, 1] where a region begins, and array of the spectral norms there.

    Raises:
        ValueError: If an end is not a finite vector, or both are one point.

    Source:
        Ours; Section 7.1 of the spline paper on a line, as :func:`deepatoms.theory.partition.slice_segment`.

    >>> places, norms = segment_slopes(np.array([-0.1]), np.array([1.0]), [np.array([[2.0]])], [np.zeros(1)])
    >>> norms
    array([1., 3.])
    """
    arguments.real_array("start", start, rank=1)
    arguments.real_array("end", end, rank=1)
    layers = [(torch.as_tensor(W), torch.as_tensor(b)) for W, b in _layers(weights, biases)]

    def net(h):
        for W, b in layers:
            h = h + torch.relu(h @ W.T + b)
        return h

    ends = np.concatenate([[0.0], slice_segment(net, torch.as_tensor(start), torch.as_tensor(end)), [1.0]])
    middles = (ends[1:] + ends[:-1]) / 2
    slopes, _ = affine_map(net, torch.as_tensor(start + middles[:, None] * (end - start)))
    return ends[:-1], np.linalg.norm(slopes.numpy(), 2, axis=(1, 2))


def largest_slope(start: np.ndarray, end: np.ndarray, weights: Sequence[np.ndarray],
                  biases: Sequence[np.ndarray]) -> float:
    r"""Return the largest norm of the affine map over the exact regions between two inputs, the sharpest bound here.

    :math:`\lVert f(y) - f(x) \rVert \le \max_r \lVert A_r \rVert \, \lVert y - x \rVert` over the regions r of the segment.

    Args:
        start: input of shape (n,), numpy.
        end: input of shape (n,).
        weights: list of matrices of shape (n, n).
        biases: list of vectors of shape (n,).

    Raises:
        ValueError: If an end is not a finite vector, or both are one point.

    Source:
        Ours: the mean value inequality, standard, on each region of the segment.

    >>> float(largest_slope(np.array([-0.1]), np.array([1.0]), [np.array([[2.0]])], [np.zeros(1)]))
    3.0
    """
    return segment_slopes(start, end, weights, biases)[1].max()

named(__name__)
