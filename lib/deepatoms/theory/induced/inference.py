"""The bridge between networks and sparse coding: one forward pass beside the minimiser it approximates."""

from collections.abc import Sequence

import numpy as np

from deepatoms.theory import arguments, pursuit
from deepatoms.theory.induced.architecture import Net
from deepatoms.theory.signatures import named


def forward(net: Net, weights: Sequence, x: np.ndarray, penalty: float = 0.0, activation: bool = True) -> np.ndarray:
    r"""Return the activations of all layers of a fully connected network, stacked: Equations :eq:`dfp-eq-5`, 8, 9 and 11.

    Each layer is :math:`w_j = \mathrm{ReLU}(z_j - \lambda)`, with :math:`z_j` what the layers before send to it.

    Args:
        net: a fully connected architecture.
        weights: numpy arrays of shape (out, in).
        x: input of shape (input width,).
        penalty: the threshold :math:`\lambda`.
        activation: False for a linear network.

    Returns:
        Array of shape (atoms,).

    Raises:
        ValueError: on a convolutional architecture, or weights and inputs that do not fit.

    >>> forward(__import__("deepatoms").theory.induced.chain([1, 1]), [np.array([[2.0]])], np.array([3.0]), 0.5)
    array([5.5])
    """
    arguments.number("penalty", penalty, 0)
    columns, found = _columns(net), [arguments.real_array("x", x, rank=1)]
    weights = net.checked(weights)
    for row in range(net.depth):
        if net.form == "synthesis" or row == 0:
            drive = weights[row] @ found[-1]
        else:
            drive = -sum(_apply(block, weights, np.concatenate(found[1:]), columns) for block in net.blocks
                         if block.row == row and block.first != row + 1)
        found.append(np.maximum(drive - penalty, 0) if activation else drive)
    return np.concatenate(found[1:])


def _columns(net):
    if net.image > 1:
        arguments.refuse("net", net.family, "is convolutional", "use a fully connected architecture here")
    return np.cumsum([0, *(layer.channels for layer in net.layers[1:])])


def _apply(block, weights, stacked, columns):
    part = stacked[columns[block.first - 1]:columns[block.last]]
    return block.sign * (part if block.kind == "identity" else weights[block.weight] @ part)


def constraints(B: np.ndarray, w: np.ndarray, x: np.ndarray) -> np.ndarray:
    r"""Return the constraint residual :math:`Bw - [x; 0; \dots; 0]` of the stacked sparse coding problem.

    Source: Equation :eq:`dfp-eq-6`.

    >>> constraints(np.eye(3), np.ones(3), np.array([1.0]))
    array([0., 1., 1.])
    """
    residual = B @ w
    residual[..., :len(x)] -= x
    return residual


def sparse_code(B: np.ndarray, y: np.ndarray, penalty: float, gap: float = 1e-8, rounds: int = 400) -> np.ndarray:
    r"""Return the nonnegative sparse codes that minimise :math:`\lVert Bw - y \rVert_2^2 + \lambda \sum_n w_n`, for a batch.

    The paper writes no factor 1/2: twice the objective of :func:`deepatoms.theory.pursuit.basis_pursuit` with weight
    :math:`\lambda / 2`. Between rounds of that the equations on the support are solved exactly. The answer is certified
    by its duality gap.

    Args:
        B: dictionaries of shape (batch, rows, atoms).
        y: signals of shape (batch, rows).
        penalty: :math:`\lambda`, positive.
        gap: relative duality gap to reach.
        rounds: largest number of rounds of 25 steps.

    Returns:
        Codes of shape (batch, atoms). The problem is that of Equation :eq:`dfp-eq-5`.

    Raises:
        ValueError: on sizes that do not fit, or when the gap is not reached.

    >>> sparse_code(np.eye(2)[None], np.array([[1.0, -1.0]]), 0.5)
    array([[0.75, 0.  ]])
    """
    _demand_batch(B, y, penalty)
    weight = arguments.number("penalty", penalty, 1e-300) / 2
    codes, todo = np.zeros((len(B), B.shape[2])), np.arange(len(B))
    for _ in range(arguments.integer("rounds", rounds)):
        D, given = pursuit.MatrixDictionary(B[todo]), y[todo]
        descended = pursuit.basis_pursuit(given, D, weight, True, ROUND, tolerance=0, start=codes[todo])
        exact = _solve_on_support(descended, B[todo], given, weight)
        values = [pursuit.objective(given, D, each, weight) for each in (exact, descended)]
        codes[todo] = np.where((values[0] <= values[1])[:, None], exact, descended)
        relative = pursuit.duality_gap(given, D, codes[todo], weight, True) / np.maximum(np.minimum(*values), 1e-300)
        todo = todo[relative > gap]
        if not len(todo):
            return codes
    return arguments.refuse("gap", gap, f"was not reached for {len(todo)} of {len(B)} problems", "allow more rounds")


ROUND = 25


def _demand_batch(B, y, penalty):
    arguments.real_array("B", B, rank=3)
    arguments.real_array("y", y, rank=2)
    arguments.number("penalty", penalty, 0)
    if y.shape != B.shape[:2]:
        arguments.refuse("y", y, f"does not match B of shape {B.shape}", f"pass shape {B.shape[:2]}")


def _solve_on_support(w, B, y, weight):
    support, drive = w > 0, np.einsum("brk,br->bk", B, y)
    both = support[:, :, None] & support[:, None, :]
    system = np.where(both, np.swapaxes(B, 1, 2) @ B, 0)
    # Off the support the system is the identity with right-hand side 0; on it a ridge of rounding keeps it regular.
    system += np.where(support, 1e-14, 1.0)[:, :, None] * np.eye(w.shape[1])
    solved = np.linalg.solve(system, np.where(support, drive - weight, 0)[..., None])[..., 0]
    return np.maximum(solved, 0)


def agreement(B: np.ndarray, w: np.ndarray, codes: np.ndarray, y: np.ndarray,
              penalty: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""Return how near activations come to the sparse codes they approximate, by three measures, for a batch.

    The *distance* is :math:`\lVert w - w^* \rVert / \max(\lVert w \rVert, \lVert w^* \rVert)`; the *gap* is the objective's
    excess over the minimum, divided by that of the zero code; the *overlap* of supports is the number of units active in
    both, divided by those active in either. Exact activations score 0, 0 and 1, the zero code 1, 1 and 0.

    Args:
        B, y, penalty: the problem, as in :func:`sparse_code`.
        w: activations of shape (batch, atoms).
        codes: its minimisers, shape (batch, atoms).

    Returns:
        Three arrays of shape (batch,): distance, gap and overlap.

    Source: the chapter on the deep frame potential.

    Raises:
        ValueError: on sizes that do not fit, or entries that are not finite.

    >>> B, y = np.eye(2)[None], np.array([[1.0, 0.2]])
    >>> distance, gap, overlap = agreement(B, np.array([[0.75, 0.75]]), sparse_code(B, y, 0.5), y, 0.5)
    >>> distance.round(3), gap.round(3), overlap
    (array([0.707]), array([1.133]), array([0.5]))
    """
    _demand_batch(B, y, penalty)
    norms = [np.linalg.norm(each, axis=1) for each in (w, codes, w - codes)]
    # Ratios of differences: the factor 1/2 between the two objectives cancels.
    least, *excess = (pursuit.objective(y, pursuit.MatrixDictionary(B), each, penalty / 2)
                      for each in (codes, w, np.zeros_like(w)))
    excess = [value - least for value in excess]
    both, either = ((w > 0) & (codes > 0)).sum(1), ((w > 0) | (codes > 0)).sum(1)
    return (norms[2] / np.maximum(np.maximum(*norms[:2]), 1e-300), excess[0] / np.maximum(excess[1], 1e-300),
            np.where(either > 0, both / np.maximum(either, 1), 1.0))

named(__name__)
