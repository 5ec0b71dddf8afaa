r"""Penalties that push the rows of the last layer towards orthogonality: as printed, as coded, and their controls.

W holds one row for each class, shape (..., classes, features); leading axes are networks of an ensemble, and each gets a
penalty of its own.
"""

import torch

from deepatoms.theory.arguments import real_array, refuse
from deepatoms.theory.signatures import named


def _weights(W):
    real_array("W", W)
    if not isinstance(W, torch.Tensor) or W.ndim < 2:
        refuse("W", W, "is not a matrix of class rows", "pass a tensor of shape (classes, features)")
    return W


def _off_diagonal(G):
    return G - torch.diag_embed(torch.diagonal(G, dim1=-2, dim2=-1))


def penalty(W: torch.Tensor) -> torch.Tensor:
    r"""Return the orthogonality penalty as printed, without its weight :math:`\lambda`.

    .. math:: \sum_{c_1\ne c_2}\langle w_{c_1}, w_{c_2}\rangle^2

    It counts each pair twice and does not normalise the rows, so it falls when rows shrink.

    Args:
        W: The last layer, shape (..., classes, features).

    Returns:
        Shape (...).

    Raises:
        ValueError: If W is not a finite tensor of at least two axes.

    Source:
        Eq. 13, :eq:`spl-eq-13`.

    >>> penalty(torch.tensor([[1.0, 0.0], [1.0, 2.0]])).item()
    2.0
    """
    return _off_diagonal(_weights(W) @ W.mT).square().sum((-2, -1))


def mean_penalty(W: torch.Tensor) -> torch.Tensor:
    r"""Return Eq. 13 averaged over all :math:`C^2` entries, the scale of the authors' code.

    Args:
        W: The last layer, shape (..., classes, features).

    Raises:
        ValueError: If W is not a finite tensor of at least two axes.

    Source:
        Eq. 13, :eq:`spl-eq-13`, on the scale of the authors' code.

    >>> mean_penalty(torch.tensor([[1.0, 0.0], [1.0, 2.0]])).item()
    0.5
    """
    return penalty(W) / W.shape[-2] ** 2


def authors_penalty(W: torch.Tensor) -> torch.Tensor:
    r"""Return the penalty of the authors' code, which is not Eq. 13.

    .. math:: \frac1{C^2}\sum_{c_1,c_2}\Bigl(\langle w_{c_1}, w_{c_2}\rangle
        - \delta_{c_1c_2}\tfrac1D\|w_{c_1}\|^2\Bigr)^2

    From the diagonal it takes a row's *mean* square in place of its sum, so the fourth powers of the norms stay in.

    Args:
        W: The last layer, shape (..., classes, features).

    Raises:
        ValueError: If W is not a finite tensor of at least two axes.

    Source:
        The code of the spline paper's authors, RandallBalestriero/DNN.

    >>> authors_penalty(torch.eye(2)).item()
    0.125
    """
    means = _weights(W).square().mean(-1)
    return (W @ W.mT - torch.diag_embed(means)).square().mean((-2, -1))


def norm_penalty(W: torch.Tensor) -> torch.Tensor:
    r"""Return what is left of the authors' penalty on orthogonal rows: :math:`\tfrac1{C^2}\sum_c\|w_c\|^4(1-\tfrac1D)^2`.

    A control: it knows nothing of angles.

    Args:
        W: The last layer, shape (..., classes, features).

    Raises:
        ValueError: If W is not a finite tensor of at least two axes.

    Source:
        Ours, as a control in the chapter.

    >>> torch.allclose(norm_penalty(torch.eye(3)), authors_penalty(torch.eye(3)))
    True
    """
    norms = _weights(W).square().sum(-1)
    return (norms.square().sum(-1)) * (1 - 1 / W.shape[-1]) ** 2 / W.shape[-2] ** 2


PENALTIES = {"Eq. 13": penalty, "Eq. 13 / C^2": mean_penalty, "authors' code": authors_penalty, "norms only": norm_penalty}


def cosines(W: torch.Tensor) -> torch.Tensor:
    r"""Return the absolute cosine of each pair of rows, shape (..., pairs).

    Args:
        W: Rows of a last layer, or templates, shape (..., classes, features).

    Raises:
        ValueError: If W is not a finite tensor of at least two axes.

    Source:
        Standard; zero for each pair where Eq. 13, :eq:`spl-eq-13`, is zero.

    >>> cosines(torch.tensor([[1.0, 0.0], [0.0, 3.0]])).tolist()
    [0.0]
    """
    W = torch.nn.functional.normalize(_weights(W), dim=-1)
    first, second = torch.triu_indices(W.shape[-2], W.shape[-2], 1, device=W.device)
    return (W @ W.mT)[..., first, second].abs()


def orthonormal_rows(W: torch.Tensor) -> torch.Tensor:
    r"""Return the orthonormal rows nearest to those of W (its polar factor).

    Args:
        W: Shape (classes, features), of full row rank.

    Raises:
        ValueError: If W is not a finite tensor of at least two axes.

    Source:
        The orthogonal Procrustes problem (Schönemann, 1966).

    >>> orthonormal_rows(torch.tensor([[2.0, 0.0], [0.0, -3.0]])).tolist()
    [[1.0, 0.0], [0.0, -1.0]]
    """
    left, _, right = torch.linalg.svd(_weights(W), full_matrices=False)
    return left @ right

named(__name__)
