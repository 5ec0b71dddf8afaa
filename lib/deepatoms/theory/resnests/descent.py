"""Descent on the coupled problem, to see where an optimiser really ends."""

from dataclasses import dataclass

import numpy as np
from scipy import optimize

from deepatoms.theory.resnests.coupled import CoupledProblem

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
    return _end(problem, *split(found.x))


def lbfgs(problem: CoupledProblem, W: np.ndarray, B: np.ndarray, steps: int = 500) -> End:
    """Descend by L-BFGS from (W, B), ftol 1e-16 and gtol 1e-12; arguments and result as for ``trust_region``.

    Source:
        L-BFGS-B, scipy (Byrd, Lu, Nocedal and Zhu, 1995).

    No example: it is called as :func:`trust_region` is.
    """
    width, units, outputs = problem.sizes

    def split(point):
        return point[:width * units].reshape(width, units), point[width * units:].reshape(outputs, width)

    def value(point):
        W, B = split(point)
        return problem.risk(W, B), np.concatenate([part.ravel() for part in problem.gradient(W, B)])

    start = np.concatenate([W.ravel(), B.ravel()])
    found = optimize.minimize(value, start, jac=True, method="L-BFGS-B", options={
        "maxiter": steps, "ftol": 1e-16, "gtol": 1e-12, "maxcor": min(50, start.size), "maxfun": 10 * steps})
    return _end(problem, *split(found.x))


def _end(problem, W, B):
    slope = max(float(np.abs(part).max()) for part in problem.gradient(W, B))
    return End(W, B, problem.risk(W, B), slope, float(np.sqrt((W**2).sum() + (B**2).sum())))
