r"""A ReLU whose kink one number smooths."""

import torch
from torch.nn.functional import softplus

from deepatoms.theory.arguments import real_array, refuse
from deepatoms.theory.signatures import named


def smoothed_relu(u: torch.Tensor, beta: float) -> torch.Tensor:
    r"""Return the ReLU smoothed by one number, ReLU itself at beta = 1.

    .. math:: \tfrac12\,\sigma\bigl(\tfrac{\beta u}{1-\beta}\bigr)\,u + \tfrac{1-\beta}2\log\bigl(1+e^{u/(1-\beta)}\bigr)

    Args:
        u: Any shape.
        beta: Between 0 and 1.

    Raises:
        ValueError: If u is not finite, or beta not in [0, 1].

    Source:
        Hu, Gamba and Balestriero, Curvature Tuning (NeurIPS 2025), with their default mixture of one half;
        :eq:`spl-smooth`.

    >>> smoothed_relu(torch.tensor([-1.0, 0.0, 2.0]), 1.0).tolist()
    [0.0, 0.0, 2.0]
    >>> round(smoothed_relu(torch.tensor(0.0), 0.5).item(), 4)
    0.1733
    """
    real_array("u", u)
    if not 0 <= beta <= 1:
        refuse("beta", beta, "is not between 0 and 1", "1 is ReLU, less is smoother")
    if beta == 1:
        return u.relu()
    return 0.5 * torch.sigmoid(beta * u / (1 - beta)) * u + 0.5 * (1 - beta) * softplus(u / (1 - beta))

named(__name__)
