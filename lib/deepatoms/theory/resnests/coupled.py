"""The coupled problem in the last two weight matrices: infimum, critical values, explicit saddles, Hessian, escape."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from array_api_compat import array_namespace

from deepatoms.theory import arguments
from deepatoms.theory.arrays import Array
from deepatoms.theory.resnests import augmented
from deepatoms.theory.resnests.assumptions import Assumption, assumption_1
from deepatoms.theory.signatures import named


def coupling_gap(features: Sequence[Array], previous: Array, y: Array) -> float:
    r"""Return :math:`\epsilon`, the infimum of :math:`(P_\phi)` minus the augmented optimum, Equation :eq:`nest-eq-8`.

    Args:
        features: list :math:`v_0, \dots, v_L`, each of shape (samples, :math:`K_i`).
        previous: :math:`x_{L-1}`, shape (samples, M).
        y: targets, shape (samples, outputs).

    Returns:
        A float, at least 0 up to rounding.

    Raises:
        ValueError: If features and targets differ in length or hold entries that are not finite.

    >>> import numpy as np
    >>> x = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> round(coupling_gap([x, x**3], x @ np.eye(2), x), 12)
    0.0
    """
    return CoupledProblem(previous, features[-1], y).infimum() - augmented.augmented_risk(features, y)


@dataclass(frozen=True, eq=False)
class CoupledProblem:
    r"""The problem :math:`(P_\phi)` of Equation :eq:`nest-eq-4`: squared risk in :math:`(W_L, W_{L+1})` at fixed features.

    :math:`\mathcal R = \tfrac1N \lVert (X_{L-1} + V_L W_L^\mathsf{T}) W_{L+1}^\mathsf{T} - Y \rVert_F^2`.

    Args:
        previous: :math:`X_{L-1}`, shape (samples, M).
        last: :math:`V_L`, shape (samples, :math:`K_L`).
        targets: :math:`Y`, shape (samples, outputs).
        samples: N, where the rows are the triangular factor of more samples; the number of rows unless given.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> problem = CoupledProblem(rng.normal(size=(50, 4)), rng.normal(size=(50, 2)), rng.normal(size=(50, 1)))
    >>> W, B = problem.critical_point([])
    >>> problem.curvature(W, B, *problem.escape_direction(W, B)) < 0
    True
    """

    previous: Any
    last: Any
    targets: Any
    samples: int | None = None

    def __post_init__(self) -> None:
        augmented.side_by_side([self.previous, self.last], self.targets)
        if self.targets.shape[0] < self.targets.shape[1]:
            arguments.refuse("targets", self.targets, "has fewer samples than outputs", "pass at least N_o samples")

    @property
    def sizes(self) -> tuple[int, int, int]:
        """M, K_L and N_o."""
        return self.previous.shape[1], self.last.shape[1], self.targets.shape[1]

    @property
    def count(self) -> int:
        """N, the number of samples in the mean."""
        return self.samples or self.targets.shape[0]

    def compressed(self) -> CoupledProblem:
        """Return the same problem on the triangular factor of all columns: the cost no longer depends on N."""
        width, units, _ = self.sizes
        together = augmented.side_by_side([self.previous, self.last, self.targets])
        factor = array_namespace(together).linalg.qr(together)[1]
        return replace(self, previous=factor[:, :width], last=factor[:, width:width + units],
                       targets=factor[:, width + units:], samples=self.count)

    def residual(self, W: Array, B: Array) -> Array:
        """Return prediction minus targets, shape (samples, outputs), for W = W_L (M, K_L) and B = W_{L+1} (outputs, M)."""
        return self._state(W) @ B.T - self.targets

    def risk(self, W: Array, B: Array) -> float:
        """Return the risk of Equation :eq:`nest-eq-5`."""
        return float((self.residual(W, B) ** 2).sum()) / self.count

    def gradient(self, W: Array, B: Array) -> tuple[Array, Array]:
        """Return the gradients with respect to W and B."""
        error = 2 / self.count * self.residual(W, B)
        return (error @ B).T @ self.last, error.T @ self._state(W)

    def hessian(self, W: Array, B: Array) -> Array:
        """Return the Hessian in (W row by row, then B row by row), of size M K_L + N_o M, in closed form."""
        xp, (width, units, outputs) = array_namespace(W, B), self.sizes
        state, error = self._state(W), self.residual(W, B)
        weights = _kron(B.T @ B, self.last.T @ self.last)
        predictions = _kron(xp.eye(outputs, dtype=B.dtype), state.T @ state)
        mixed = B.T[:, None, :, None] * (self.last.T @ state)[None, :, None, :]
        mixed = mixed + (self.last.T @ error)[None, :, :, None] * xp.eye(width, dtype=B.dtype)[:, None, None, :]
        mixed = xp.reshape(mixed, (width * units, outputs * width))
        rows = [xp.concat([weights, mixed], axis=1), xp.concat([mixed.T, predictions], axis=1)]
        return 2 / self.count * xp.concat(rows, axis=0)

    def curvature(self, W: Array, B: Array, dW: Array, dB: Array) -> float:
        """Return the second derivative of the risk along a direction (not normalised)."""
        first = self.last @ dW.T @ B.T + self._state(W) @ dB.T
        second = self.residual(W, B) * (self.last @ dW.T @ dB.T)
        return float((first**2).sum() + 2 * second.sum()) * 2 / self.count

    def infimum(self) -> float:
        r"""Return the infimum over :math:`(W_L, W_{L+1})`: reduced-rank regression of Y on :math:`[X_{L-1}, V_L]`.

        With M >= N_o (Assumption 3) it is least squares on these features, whether or not Assumption 4 holds.
        """
        return self.critical_value(range(min(self.sizes[0], self.sizes[2])))

    def critical_value(self, subset: Iterable[int]) -> float:
        r"""Return the risk of the critical points that keep the principal outputs in ``subset``.

        :math:`(\lVert Y - \hat Y \rVert^2 + \sum_{i \notin S} \lambda_i) / N` with :math:`\lambda_i` the eigenvalues of
        :math:`\hat Y^\mathsf{T} \hat Y` in falling order, :math:`\hat Y` the least-squares prediction.

        Args:
            subset: indices 0, ..., N_o - 1 of principal outputs, at most M of them.

        Raises:
            ValueError: on an index out of range, or more indices than M.
        """
        subset = self._subset(subset)
        prediction, values, _ = self._principal
        lost = sum(float(values[i]) ** 2 for i in range(values.shape[0]) if i not in subset)
        return (float(((self.targets - prediction) ** 2).sum()) + lost) / self.count

    def critical_point(self, subset: Iterable[int]) -> tuple[Any, Any]:
        r"""Return an explicit critical point :math:`(W_L, W_{L+1})` of rank ``len(subset)``.

        The empty set gives :math:`W_{L+1} = 0`, all outputs the global minimum (for M >= N_o), all else saddles.

        Raises:
            ValueError: naming Assumption 1 and the numerical rank, when :math:`V_L` is rank-deficient or has fewer columns
                than there are outputs left out; when the previous representation cannot carry the kept outputs.
        """
        chosen = self._subset(subset)
        xp, (width, _, outputs) = array_namespace(self.targets), self.sizes
        assumption_1(self.last, self.targets).demand()
        _, _, axes = self._principal
        kept = axes[:, chosen]
        dropped = self.targets @ axes[:, [i for i in range(outputs) if i not in chosen]]
        maps = augmented.least_squares(augmented.side_by_side([self.previous, self.last]), self.targets @ kept).T
        first, second = maps[:, :width], maps[:, width:]
        inverse = xp.linalg.pinv(first) if chosen else first.T
        W = inverse @ second
        if len(chosen) < outputs:
            _demand_rank("V_L'Y on the left-out outputs", self.last.T @ dropped)
            W = W - (xp.eye(width, dtype=W.dtype) - inverse @ first) @ (self.previous.T @ dropped) @ xp.linalg.pinv(
                self.last.T @ dropped)
        if chosen:
            _demand_rank("x_{L-1} of the kept outputs", first.T)
        return W, kept @ first

    def escape_direction(self, W: Array, B: Array, null: Array | None = None) -> tuple[Array, Array]:
        r"""Return a unit direction :math:`(t a b^\mathsf{T}, -c a^\mathsf{T})` along which the risk falls (Theorem 2).

        a is the unit vector of ker :math:`W_{L+1}` with the smallest :math:`\lVert x_L a \rVert`, (c, b) the top singular
        pair of :math:`E^\mathsf{T} V_L`, t the best scale.

        Args:
            W: :math:`W_L`, shape (M, :math:`K_L`).
            B: :math:`W_{L+1}`, shape (outputs, M).
            null: a, to replace the choice.

        Raises:
            ValueError: when :math:`W_{L+1}` has no kernel.
        """
        xp, state = array_namespace(W, B), self._state(W)
        a = self._null_vector(B, state) if null is None else null
        left, values, right = xp.linalg.svd(self.residual(W, B).T @ self.last, full_matrices=False)
        c, b, pull = left[:, 0], right[0, :], float(values[0])
        held = float(((state @ a) ** 2).sum())
        t = (held + math.sqrt(held**2 + 4 * pull**2)) / (2 * pull)
        scale = 1 / math.sqrt(1 + t**2)
        return scale * t * a[:, None] * b[None, :], -scale * c[:, None] * a[None, :]

    def _null_vector(self, B, state):
        xp = array_namespace(B)
        _, values, right = xp.linalg.svd(B)
        rank = int(xp.sum(xp.astype(values > 1e-9 * max(float(values[0]), 1e-300), xp.int64)))
        if rank == B.shape[1]:
            arguments.refuse("B", B, "has no kernel", "an escape direction exists where W_{L+1} has a kernel")
        kernel = right[rank:, :].T
        return kernel @ xp.linalg.svd(state @ kernel, full_matrices=False)[2][-1, :]

    def _state(self, W):
        return self.previous + self.last @ W.T

    @cached_property
    def _principal(self):
        prediction = augmented.project(augmented.side_by_side([self.previous, self.last]), self.targets)
        _, values, axes = array_namespace(prediction).linalg.svd(prediction, full_matrices=False)
        return prediction, values, axes.T

    def _subset(self, subset):
        width, _, outputs = self.sizes
        subset = sorted({arguments.integer("subset", i, minimum=0) for i in subset})
        if subset and subset[-1] >= outputs:
            arguments.refuse("subset", subset, f"names an output beyond {outputs - 1}", "pass indices 0, ..., N_o - 1")
        if len(subset) > width:
            arguments.refuse("subset", subset, f"has more than M = {width} outputs", "W_{L+1} has rank at most M")
        return subset


def _kron(left, right):
    xp = array_namespace(left, right)
    product = left[:, None, :, None] * right[None, :, None, :]
    return xp.reshape(product, (left.shape[0] * right.shape[0], left.shape[1] * right.shape[1]))


def _demand_rank(name, matrix):
    values = array_namespace(matrix).linalg.svdvals(matrix)
    rank = int((values > 1e-10 * values[0]).sum())
    Assumption(f"Explicit critical point ({name})", rank == matrix.shape[1], rank, matrix.shape[1], 0.0).demand()

named(__name__)
