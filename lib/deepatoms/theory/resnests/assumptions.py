"""Assumptions 1, 3 and 4 of the paper as checks that say by how much they hold."""

from collections.abc import Sequence
from dataclasses import dataclass

from array_api_compat import array_namespace

from deepatoms.theory import arguments
from deepatoms.theory.arrays import AnyArray
from deepatoms.theory.signatures import named

ROUNDING = 1e-10  # singular values below this fraction of the largest count as 0


@dataclass(frozen=True)
class Assumption:
    """Whether an assumption holds, and by how much.

    ``rank`` and ``needed`` are counts; ``margin`` is the smallest needed singular value over the largest (0: fails).
    """

    name: str
    holds: bool
    rank: int
    needed: int
    margin: float

    def __str__(self) -> str:
        word = "holds" if self.holds else "fails"
        return f"{self.name} {word}: rank {self.rank} of {self.needed} needed, margin {self.margin:.2g}"

    def demand(self) -> None:
        """Raise ValueError, naming the assumption and the numerical rank, unless it holds."""
        if not self.holds:
            raise ValueError(f"{self}; use features or weights of full rank, or ask for the risk alone")


def assumption_1(last: AnyArray, y: AnyArray) -> Assumption:
    r"""Check Assumption 1: :math:`\sum_n v_L y^\mathsf{T} \ne 0` and :math:`\sum_n v_L v_L^\mathsf{T}` of full rank.

    It needs at least :math:`K_L` samples.

    Args:
        last: :math:`v_L`, shape (samples, :math:`K_L`).
        y: targets, shape (samples, outputs).

    Raises:
        ValueError: If an array is not a finite matrix.

    Source:
        Assumption 1 of the ResNEst paper.

    >>> import numpy as np
    >>> print(assumption_1(np.eye(3)[:, :2], np.ones((3, 1))))
    Assumption 1 holds: rank 2 of 2 needed, margin 1
    """
    xp = array_namespace(arguments.matrix("last", last), arguments.matrix("y", y))
    found = _full_column_rank("Assumption 1", last, ROUNDING)
    product = xp.linalg.vector_norm(last.T @ y)
    vanishes = bool(product <= ROUNDING * xp.linalg.vector_norm(last) * xp.linalg.vector_norm(y))
    return Assumption("Assumption 1 (product 0)", False, found.rank, found.needed, 0.0) if vanishes else found


def assumption_3(width: int, outputs: int) -> Assumption:
    """Check Assumption 3: the residual representation is at least as wide as the output, M >= N_o.

    Args:
        width: M.
        outputs: N_o.

    Raises:
        ValueError: If a size is no positive integer.

    Source:
        Assumption 3 of the ResNEst paper.

    >>> assumption_3(2, 3).holds
    False
    """
    width, outputs = arguments.integer("width", width), arguments.integer("outputs", outputs)
    return Assumption("Assumption 3", width >= outputs, width, outputs, width / outputs)


def assumption_4(weights: Sequence[AnyArray], tolerance: float = ROUNDING) -> Assumption:
    r"""Check Assumption 4: :math:`[W_0 \cdots W_{L-1}]` has full column rank.

    Then :math:`x_{L-1} = \sum_{i<L} W_i v_i` determines the features. It needs
    :math:`M \ge N_{in} + K_1 + \dots + K_{L-1}`; the last block does not count.

    Args:
        weights: :math:`W_0, \dots, W_{L-1}`, matrices of M rows.
        tolerance: singular values below this fraction of the largest count as 0.

    Raises:
        ValueError: If a weight is not a finite matrix.

    Source:
        Assumption 4 of the ResNEst paper.

    >>> import numpy as np
    >>> print(assumption_4([np.eye(4)[:, :3], np.ones((4, 2))]))
    Assumption 4 fails: rank 4 of 5 needed, margin 0
    """
    xp = array_namespace(*(arguments.matrix("weights", weight) for weight in weights))
    return _full_column_rank("Assumption 4", xp.concat(list(weights), axis=1), tolerance)


def _full_column_rank(name, matrix, tolerance):
    xp = array_namespace(matrix)
    values = xp.linalg.svdvals(matrix)
    rank = int(xp.sum(xp.astype(values > tolerance * values[0], xp.int64)))
    holds = rank == matrix.shape[1]
    return Assumption(name, holds, rank, matrix.shape[1], (values[-1] / values[0]).item() if holds else 0.0)

named(__name__)
