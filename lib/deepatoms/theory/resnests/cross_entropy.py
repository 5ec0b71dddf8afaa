"""Cross-entropy: the augmented optimum with a proved gap, where there is one at all, and the coupled risk."""

from collections.abc import Sequence

import numpy as np
from scipy import optimize, sparse
from scipy.special import entr, log_softmax, softmax

from deepatoms.theory import arguments
from deepatoms.theory.resnests.augmented import augmented_hessian, project, side_by_side
from deepatoms.theory.resnests.coupled import CoupledProblem
from deepatoms.theory.signatures import named

SEPARABLE = 1e-7  # of the largest possible sum of margins: what the linear programme's rounding cannot reach


def cross_entropy_risk(features: Sequence[np.ndarray], labels: np.ndarray) -> tuple[float, float]:
    r"""Return the least mean cross-entropy of the augmented problem, and the gap that a dual solution proves.

    With logits :math:`P = V H^\mathsf{T}` and one-hot targets Y the dual problem is

    .. math:: \max_Q\ \tfrac1N \sum_{nc} -q_{nc} \log q_{nc} \quad\text{subject to}\quad V^\mathsf{T} (Q - Y) = 0,
        \quad q_n \in \Delta,

    because :math:`\log \sum_c e^{p_c} = \max_{q \in \Delta} \langle q, p \rangle - \sum_c q_c \log q_c`. The softmax of the
    logits, moved onto the constraint, is such a Q; its entropy bounds the optimum from below.

    Args:
        features: list of numpy arrays :math:`v_i`, each of shape (samples, :math:`K_i`), float64.
        labels: classes 0, 1, ..., shape (samples,), integers.

    Returns:
        The pair (risk, gap), floats: the optimum lies between risk - gap and risk.

    Raises:
        ValueError: when features and labels differ in length; when the data are separable, completely or in part, so
            that the risk has an infimum but no minimiser; when the proved gap stays above 1e-6.

    Source:
        Assumption 2 of the ResNEst paper with cross-entropy; the dual is standard, separability by linear programming is
        from Albert and Anderson (1984) and Konis (2007).

    >>> risk, gap = cross_entropy_risk([np.ones((4, 1))], np.array([0, 0, 0, 1]))
    >>> round(risk, 6), gap < 1e-9
    (0.562335, True)
    """
    stacked, targets = side_by_side(features), _one_hot(labels, len(features[0]))
    margin = separation(stacked, labels)
    if margin > 0:
        arguments.refuse("labels", labels, f"are separable by the features (mean margin {margin:.3g} with weights in "
                         "[-1, 1]), so the risk has no minimiser", "add a ridge, or samples that overlap")
    found = optimize.minimize(_value, np.zeros(stacked.shape[1] * targets.shape[1]), (stacked, targets), jac=True,
                              method="L-BFGS-B", options={"maxiter": 20_000, "maxfun": 40_000, "ftol": 0, "gtol": 1e-11})
    heads = _polished(found.x, stacked, targets)
    risk = float(_value(heads, stacked, targets)[0])
    gap = risk - _dual(stacked, targets, heads)
    if not gap <= 1e-6:
        arguments.refuse("features", stacked, f"leave the optimum open by {gap:.2g}", "scale them to similar sizes")
    return risk, max(gap, 0.0)


def separation(stacked: np.ndarray, labels: np.ndarray) -> float:
    r"""Return the largest mean margin of weights that put no sample on the wrong side; 0 where the classes overlap.

    .. math:: \max_{|h| \le 1} \tfrac1N \sum_n \sum_{c \ne y_n} \langle h_{y_n} - h_c, v_n \rangle \quad\text{subject to}
        \quad \langle h_{y_n} - h_c, v_n \rangle \ge 0

    A positive value is a direction along which cross-entropy falls for ever.

    Args:
        stacked: features side by side, shape (samples, K).
        labels: classes 0, 1, ..., shape (samples,), integers.

    Raises:
        ValueError: when the labels are not one class for each sample, or the features hold an entry that is not finite.

    Source:
        Konis (2007), after Albert and Anderson (1984).

    >>> x = np.array([[-1.0], [1.0], [2.0]])
    >>> separation(x, np.array([0, 1, 1])) > 0, separation(x, np.array([0, 1, 0]))
    (True, 0.0)
    """
    targets = _one_hot(labels, len(arguments.matrix("stacked", stacked)))
    size, classes = stacked.shape[1], targets.shape[1]
    sample, other = np.nonzero(targets == 0)  # one margin for each sample and each wrong class
    margins = sparse.lil_matrix((len(sample), classes * size))
    for row, (n, c) in enumerate(zip(sample, other, strict=True)):
        margins[row, labels[n] * size:(labels[n] + 1) * size] = stacked[n]
        margins[row, c * size:(c + 1) * size] = -stacked[n]
    margins = margins.tocsr()
    total = np.asarray(margins.sum(0)).ravel()
    found = optimize.linprog(-total, A_ub=-margins, b_ub=np.zeros(len(sample)), bounds=(-1, 1), method="highs")
    largest = abs(margins).sum()
    return float(-found.fun) / len(stacked) if -found.fun > SEPARABLE * largest else 0.0


def coupled_cross_entropy(problem: CoupledProblem, labels: np.ndarray, W: np.ndarray,
                          B: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    r"""Return the coupled risk of Equation :eq:`nest-eq-5` with cross-entropy, and its gradients in W and in B.

    Args:
        problem: gives :math:`X_{L-1}` and :math:`V_L` as numpy arrays; its targets are not read.
        labels: classes 0, ..., N_o - 1, shape (samples,), integers.
        W: :math:`W_L`, shape (M, :math:`K_L`).
        B: :math:`W_{L+1}`, shape (outputs, M).

    Returns:
        The mean cross-entropy, a float, and arrays of the shapes of W and B.

    Raises:
        ValueError: when the labels are not one class for each sample, or name more or fewer classes than there are outputs.

    Source:
        Equation :eq:`nest-eq-5`, differentiated; standard.

    >>> problem = CoupledProblem(np.eye(2), np.ones((2, 1)), np.eye(2))
    >>> risk, _, slope = coupled_cross_entropy(problem, np.array([0, 1]), np.zeros((2, 1)), np.zeros((2, 2)))
    >>> round(risk, 6), slope.tolist()
    (0.693147, [[-0.25, 0.25], [0.25, -0.25]])
    """
    targets = _one_hot(labels, len(problem.previous))
    if targets.shape[1] != len(B):
        arguments.refuse("labels", labels, f"name {targets.shape[1]} classes for {len(B)} outputs", "pass one output a class")
    state = problem.previous + problem.last @ W.T
    logits = state @ B.T
    error = (softmax(logits, 1) - targets) / len(targets)
    return float(-(targets * log_softmax(logits, 1)).sum() / len(targets)), (error @ B).T @ problem.last, error.T @ state


def _one_hot(labels, samples):
    if not isinstance(labels, np.ndarray) or labels.shape != (samples,) or not np.issubdtype(labels.dtype, np.integer):
        arguments.refuse("labels", labels, f"are not one class for each of {samples} samples",
                         "pass an integer numpy array of shape (samples,)")
    if labels.min() < 0 or labels.max() == 0:
        arguments.refuse("labels", labels, f"run from {labels.min()} to {labels.max()}", "pass classes 0, 1, ..., two or more")
    return np.eye(labels.max() + 1)[labels]


def _value(heads, stacked, targets):
    """Return the mean cross-entropy and its gradient in the heads, (K, classes) in one row."""
    logits = stacked @ heads.reshape(-1, targets.shape[1])
    slope = stacked.T @ (softmax(logits, 1) - targets) / len(stacked)
    return -(targets * log_softmax(logits, 1)).sum() / len(stacked), slope.ravel()


def _polished(heads, stacked, targets, steps=3):
    """Return the heads after Newton steps: L-BFGS leaves a slope that takes the dual point of a sure sample off the simplex."""
    size, classes = stacked.shape[1], targets.shape[1]
    for _ in range(steps):
        slope = _value(heads, stacked, targets)[1].reshape(size, classes)
        hessian = augmented_hessian([stacked], stacked @ heads.reshape(size, classes))
        step = np.linalg.lstsq(hessian, slope.T.ravel(), rcond=1e-14)[0]  # singular: a shift of all classes changes nothing
        heads = heads - step.reshape(classes, size).T.ravel()
    return heads


def _dual(stacked, targets, heads):
    """Return the entropy of the softmax moved onto the constraint; minus infinity if that leaves the simplex."""
    shares = softmax(stacked @ heads.reshape(-1, targets.shape[1]), 1)
    # Rows of shares - targets sum to zero, and so do those of their projection: rows stay sums of one.
    moved = shares - project(stacked, shares - targets)
    return float(entr(moved).sum()) / len(stacked) if moved.min() >= 0 else -np.inf

named(__name__)
