"""Largest and smallest singular value of a matrix that is too large to be written out, from its products with vectors."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from deepatoms.theory import arguments
from deepatoms.theory.signatures import named

Product = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Extremes:
    """The ends of a spectrum.

    Attributes:
        largest: Never above the largest singular value.
        smallest: Never below the smallest; 0 only where it is 0.
        converged: Whether both are singular values, to the tolerance that was asked for.
    """

    largest: float
    smallest: float
    converged: bool

    @property
    def condition(self) -> float:
        """Their ratio, which never exceeds the condition number."""
        return self.largest / self.smallest if self.smallest else math.inf


def extreme_singular_values(forward: Product, adjoint: Product, start: torch.Tensor, steps: int = 300,
                            tolerance: float = 1e-7) -> Extremes:
    r"""Return the ends of the spectrum of a square matrix :math:`D` from products with :math:`D` and :math:`D^{\mathsf T}`.

    Lanczos bidiagonalisation :math:`D V = U B` with all vectors kept orthogonal: the singular values of :math:`B` lie between
    those of D. One has converged where :math:`D^{\mathsf T} u - \sigma v` is below the tolerance, relative to it; its error is
    then of the order of the square. A row of D that is orthogonal to a start without structure is 0, so that D is singular.

    Args:
        forward: Returns :math:`D v`, shape (n,).
        adjoint: Returns :math:`D^{\mathsf T} u`, shape (n,).
        start: Where to begin, shape (n,): random, for a start without a part of a singular vector never finds it.
        steps: Most products of each kind; n are always enough.
        tolerance: Of the residuals, relative.

    Returns:
        The ends, and whether they have converged.

    Raises:
        TypeError: If a product is no function.
        ValueError: If the start is no vector of finite numbers other than 0, or steps or tolerance are not positive.

    Source:
        Golub and Kahan (1965).

    >>> D = torch.diag(torch.tensor([4.0, 2.0, 1.0], dtype=torch.float64))
    >>> found = extreme_singular_values(lambda v: D @ v, lambda u: D.T @ u, torch.ones(3, dtype=torch.float64))
    >>> round(found.largest, 9), round(found.smallest, 9), found.converged
    (4.0, 1.0, True)
    """
    v = _demand(forward, adjoint, start, steps, tolerance)
    first, found = forward(v), Extremes(0.0, math.inf, False)
    if bool(((first == 0) & (start != 0)).any()):
        return Extremes(float(first.norm()), 0.0, False)
    right, left, diagonal, above = [v], list[torch.Tensor](), list[float](), list[float]()
    for _ in range(min(steps, len(start))):
        u = _orthogonal(forward(right[-1]), left)
        diagonal.append(float(u.norm()))
        left.append(u / max(diagonal[-1], 1e-300))
        v = _orthogonal(adjoint(left[-1]), right)
        above.append(float(v.norm()))
        found = _ends(diagonal, above, tolerance)
        if found.converged or above[-1] == 0:
            break
        right.append(v / above[-1])
    return found


def _demand(forward, adjoint, start, steps, tolerance):
    for name, product in (("forward", forward), ("adjoint", adjoint)):
        if not callable(product):
            arguments.refuse(name, product, "is no function", "pass lambda v: D @ v", TypeError)
    arguments.integer("steps", steps)
    arguments.number("tolerance", tolerance, 0.0)
    arguments.real_array("start", start, 1)
    if not isinstance(start, torch.Tensor) or not start.is_floating_point() or not bool(start.any()):
        arguments.refuse("start", start, "is no vector to start from", "pass torch.randn(n, dtype=torch.float64)")
    return start / start.norm()


def _orthogonal(vector, basis):
    """Take off what lies along a basis; twice, since once leaves rounding behind."""
    if basis:
        kept = torch.stack(basis)
        for _ in range(2):
            vector = vector - kept.mT @ (kept @ vector)
    return vector


def _ends(diagonal, above, tolerance):
    B = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
    if len(diagonal) > 1:
        B += torch.diag(torch.tensor(above[:-1], dtype=torch.float64), 1)
    P, sigma, _ = torch.linalg.svd(B)
    residuals = above[-1] * P[-1].abs()
    converged = bool((residuals[[0, -1]] <= tolerance * sigma[[0, -1]]).all())
    return Extremes(float(sigma[0]), float(sigma[-1]), converged)


named(__name__)
