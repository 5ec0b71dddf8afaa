"""Descent on the coupled problem, to see where an optimiser really ends."""

from dataclasses import dataclass

import numpy as np
from scipy import optimize

from deepatoms.theory.resnests.coupled import CoupledProblem
from deepatoms.theory.resnests.cross_entropy import coupled_cross_entropy
from deepatoms.theory.signatures import named

CRITICAL = 1e-6  # the largest entry of a gradient that counts as none: its square is what the risk may still fall by


@dataclass(frozen=True)
class End:
    """Where a run ended: the two matrices, the risk, the largest entry of the gradient and the norm of all weights.

    Both descents only ever accept a step that lowers the risk, so the end is the best point that was met.
    """

    W: np.ndarray
    B: np.ndarray
    risk: float
    slope: float
    size: float

    @property
    def converged(self) -> bool:
        """Tell whether the end is critical up to ``CRITICAL``, not merely where the steps ran out or became short."""
        return self.slope <= CRITICAL


def trust_region(problem: CoupledProblem, W: np.ndarray, B: np.ndarray, steps: int = 400) -> End:
    """Descend by trust-region least squares from (W, B), all tolerances at 1e-15 (with the defaults no end is critical).

    Args:
        problem: a ``CoupledProblem`` of numpy arrays, preferably ``compressed``.
        W: start for W_L, shape (M, K_L).
        B: start for W_{L+1}, shape (outputs, M).
        steps: largest number of function values.

    Returns:
        An ``End``.

    Source:
        Trust-region reflective least squares, scipy (Branch, Coleman and Li, 1999).

    >>> from deepatoms.theory.resnests import CoupledProblem
    >>> rng = np.random.default_rng(0)
    >>> problem = CoupledProblem(rng.normal(size=(50, 4)), rng.normal(size=(50, 2)), rng.normal(size=(50, 1)))
    >>> end = trust_region(problem, 0.1 * rng.normal(size=(4, 2)), 0.1 * rng.normal(size=(1, 4)))
    >>> bool(abs(end.risk - problem.infimum()) < 1e-10), end.converged
    (True, True)
    """
    width, units, outputs = problem.sizes

    def split(point):
        return point[:width * units].reshape(width, units), point[width * units:].reshape(outputs, width)

    def residuals(point):
        return problem.residual(*split(point)).ravel()

    def jacobian(point):
        W, B = split(point)
        rows = len(problem.targets)
        by_W = (B[None, :, :, None] * problem.last[:, None, None, :]).reshape(rows * outputs, -1)
        by_B = np.eye(outputs)[None, :, :, None] * (problem.previous + problem.last @ W.T)[:, None, None, :]
        return np.hstack([by_W, by_B.reshape(rows * outputs, -1)])

    found = optimize.least_squares(residuals, np.concatenate([W.ravel(), B.ravel()]), jacobian, method="trf",
                                   ftol=1e-15, xtol=1e-15, gtol=1e-15, max_nfev=steps)
    return _end(lambda W, B: (problem.risk(W, B), *problem.gradient(W, B)), *split(found.x))


def lbfgs(problem: CoupledProblem, W: np.ndarray, B: np.ndarray, steps: int = 500) -> End:
    """Descend by L-BFGS from (W, B), ftol 1e-16 and gtol 1e-12; arguments and result as for ``trust_region``.

    Source:
        L-BFGS-B, scipy (Byrd, Lu, Nocedal and Zhu, 1995).

    No example: it is called as :func:`trust_region` is.
    """
    return _lbfgs(lambda W, B: (problem.risk(W, B), *problem.gradient(W, B)), W, B, steps)


def lbfgs_cross_entropy(problem: CoupledProblem, labels: np.ndarray, W: np.ndarray, B: np.ndarray, steps: int = 500) -> End:
    """Descend by L-BFGS on the coupled problem with cross-entropy, as :func:`lbfgs` does with squared loss.

    Args:
        problem: a ``CoupledProblem`` of numpy arrays, not ``compressed``: cross-entropy needs every sample.
        labels: classes 0, ..., N_o - 1, shape (samples,), integers.
        W: start for W_L, shape (M, K_L).
        B: start for W_{L+1}, shape (outputs, M).
        steps: largest number of steps.

    Returns:
        An ``End``.

    Source:
        L-BFGS-B, scipy (Byrd, Lu, Nocedal and Zhu, 1995).

    No example: it is called as :func:`trust_region` is, with labels beside the problem.
    """
    return _lbfgs(lambda W, B: coupled_cross_entropy(problem, labels, W, B), W, B, steps)


def _lbfgs(value, W, B, steps):
    """Descend from (W, B) on a function that returns the risk and its gradients in W and in B."""
    def split(point):
        return point[:W.size].reshape(W.shape), point[W.size:].reshape(B.shape)

    def flat(point):
        risk, *slopes = value(*split(point))
        return risk, np.concatenate([part.ravel() for part in slopes])

    start = np.concatenate([W.ravel(), B.ravel()])
    found = optimize.minimize(flat, start, jac=True, method="L-BFGS-B", options={
        "maxiter": steps, "ftol": 1e-16, "gtol": 1e-12, "maxcor": min(50, start.size), "maxfun": 10 * steps})
    return _end(value, *split(found.x))


def _end(value, W, B):
    risk, *slopes = value(W, B)
    return End(W, B, risk, max(float(np.abs(part).max()) for part in slopes), float(np.sqrt((W**2).sum() + (B**2).sum())))

named(__name__)
