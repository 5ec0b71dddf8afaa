"""The bridge between networks and sparse coding: one forward pass beside the minimiser it approximates."""

import numpy as np

from deepatoms.theory import arguments


def forward(net, weights, x, penalty=0.0, activation=True):
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

    >>> forward(__import__("deepatoms").theory.induced.chain([1, 1]), [np.array([[2.0]])], np.array([3.0]), 0.5)
    array([5.5])
    """
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


def constraints(B, w, x):
    r"""Return the constraint residual :math:`Bw - [x; 0; \dots; 0]` of the stacked sparse coding problem.

    >>> constraints(np.eye(3), np.ones(3), np.array([1.0]))
    array([0., 1., 1.])
    """
    residual = B @ w
    residual[..., :len(x)] -= x
    return residual


def sparse_code(B, y, penalty, gap=1e-8, rounds=400):
    r"""Return the nonnegative sparse codes that minimise :math:`\lVert Bw - y \rVert_2^2 + \lambda \sum_n w_n`, for a batch.

    Accelerated proximal gradient with restarts; every 25 steps the equations on the support are solved exactly. The
    answer is certified by its duality gap.

    Args:
        B: dictionaries of shape (batch, rows, atoms).
        y: signals of shape (batch, rows).
        penalty: :math:`\lambda`, positive.
        gap: relative duality gap to reach.
        rounds: largest number of rounds of 25 steps.

    Returns:
        Codes of shape (batch, atoms).

    Raises:
        ValueError: when the gap is not reached.

    >>> sparse_code(np.eye(2)[None], np.array([[1.0, -1.0]]), 0.5)
    array([[0.75, 0.  ]])
    """
    arguments.real_array("B", B, rank=3)
    arguments.number("penalty", penalty, 1e-300)
    codes, todo = np.zeros((len(B), B.shape[2])), np.arange(len(B))
    gram, drive = np.swapaxes(B, 1, 2) @ B, np.einsum("brk,br->bk", B, y)
    steps = 0.5 / np.linalg.eigvalsh(gram)[:, -1:]
    for _ in range(rounds):
        codes[todo] = _descend(codes[todo], gram[todo], drive[todo], penalty, steps[todo])
        exact = _solve_on_support(codes[todo], gram[todo], drive[todo], penalty)
        better = objective(B[todo], exact, y[todo], penalty) <= objective(B[todo], codes[todo], y[todo], penalty)
        codes[todo] = np.where(better[:, None], exact, codes[todo])
        todo = todo[duality_gap(B[todo], codes[todo], y[todo], penalty) > gap]
        if not len(todo):
            return codes
    return arguments.refuse("gap", gap, f"was not reached for {len(todo)} of {len(B)} problems", "allow more rounds")


def _descend(w, gram, drive, penalty, step):
    point, momentum = w, 1.0
    for _ in range(25):
        slope = 2 * ((gram @ point[..., None])[..., 0] - drive) + penalty
        new = np.maximum(point - step * slope, 0)
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = ((point - new) * (new - w)).sum(1, keepdims=True) > 0
        point = np.where(ahead, new, new + (momentum - 1) / following * (new - w))
        w, momentum = new, following
    return w


def _solve_on_support(w, gram, drive, penalty):
    support = w > 0
    both = support[:, :, None] & support[:, None, :]
    system = np.where(both, gram, 0) + np.where(support, 1e-14, 1.0)[:, :, None] * np.eye(w.shape[1])
    solved = np.linalg.solve(system, np.where(support, drive - penalty / 2, 0)[..., None])[..., 0]
    return np.maximum(solved, 0)


def objective(B, w, y, penalty):
    r"""Return :math:`\lVert Bw - y \rVert_2^2 + \lambda \sum_n w_n` for a batch of nonnegative codes."""
    return ((np.einsum("brk,bk->br", B, w) - y) ** 2).sum(1) + penalty * w.sum(1)


def duality_gap(B, w, y, penalty):
    """Return the gap between the objective and its dual bound, relative to the objective."""
    residual = y - np.einsum("brk,bk->br", B, w)
    largest = np.einsum("brk,br->bk", B, 2 * residual).max(1)
    dual = 2 * residual * np.minimum(1, penalty / np.maximum(largest, 1e-300))[:, None]
    primal = objective(B, w, y, penalty)
    return (primal - (dual * y).sum(1) + (dual**2).sum(1) / 4) / np.maximum(primal, 1e-300)


def agreement(B, w, codes, y, penalty):
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

    >>> B, y = np.eye(2)[None], np.array([[1.0, 0.2]])
    >>> distance, gap, overlap = agreement(B, np.array([[0.75, 0.75]]), sparse_code(B, y, 0.5), y, 0.5)
    >>> distance.round(3), gap.round(3), overlap
    (array([0.707]), array([1.133]), array([0.5]))
    """
    norms = [np.linalg.norm(each, axis=1) for each in (w, codes, w - codes)]
    least = objective(B, codes, y, penalty)
    excess = [objective(B, each, y, penalty) - least for each in (w, np.zeros_like(w))]
    both, either = ((w > 0) & (codes > 0)).sum(1), ((w > 0) | (codes > 0)).sum(1)
    return (norms[2] / np.maximum(np.maximum(*norms[:2]), 1e-300), excess[0] / np.maximum(excess[1], 1e-300),
            np.where(either > 0, both / np.maximum(either, 1), 1.0))
