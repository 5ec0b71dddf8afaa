"""The optimizers of all training here: the functions behind torch's classes, stepping down a loss at a given rate.

They are not torch's classes because making the first of those imports torch's compiler, 1.6 s in every process. The
theory's own descents over energies (``theory.frame_potential``) stay apart: the theory stands below this room.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from deepatoms.theory.signatures import named


def _pull_back(loss, parameters):
    """Return the gradients of a loss, laid out in memory as the parameters are (``autograd.grad`` does not see to it)."""
    for values in parameters:
        values.grad = None
    loss.backward()
    return [values.grad for values in parameters]


class Adam:
    """What ``torch.optim.Adam(parameters, fused=True)`` does.

    Args:
        parameters: leaf tensors that require gradients.
    """

    def __init__(self, parameters: Iterable[torch.Tensor]):
        self.parameters = list(parameters)
        self.means, self.squares = ([torch.zeros_like(values) for values in self.parameters] for _ in range(2))
        self.steps = [torch.zeros((), device=values.device) for values in self.parameters]

    def step(self, loss: torch.Tensor, learning_rate: float) -> None:
        """Take one step down a loss, a tensor of one number."""
        slopes = _pull_back(loss, self.parameters)
        with torch.no_grad():
            adam(self.parameters, slopes, self.means, self.squares, [], self.steps, fused=True, amsgrad=False, beta1=0.9,
                 beta2=0.999, lr=learning_rate, weight_decay=0.0, eps=1e-8, maximize=False)


    def state(self) -> dict[str, Any]:
        """Return what the next steps depend on, besides the parameters."""
        return {"means": self.means, "squares": self.squares, "steps": self.steps}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what ``state`` returned."""
        self.means, self.squares, self.steps = (_like(state[name], self.parameters) for name in ("means", "squares", "steps"))


class SGD:
    """What ``torch.optim.SGD(parameters, momentum=momentum, nesterov=True, weight_decay=weight_decay)`` does.

    Args:
        parameters: leaf tensors that require gradients.
        momentum: share of the last velocity that is kept.
        weight_decay: multiple of the parameters that is added to their gradients.
    """

    def __init__(self, parameters: Iterable[torch.Tensor], momentum: float, weight_decay: float):
        self.parameters, self.momentum, self.weight_decay = list(parameters), momentum, weight_decay
        self.velocities: list[torch.Tensor | None] = [None] * len(self.parameters)

    def step(self, loss: torch.Tensor, learning_rate: float) -> None:
        """Take one step down a loss, a tensor of one number."""
        slopes = _pull_back(loss, self.parameters)
        with torch.no_grad():
            sgd(self.parameters, slopes, self.velocities, weight_decay=self.weight_decay, momentum=self.momentum,
                lr=learning_rate, dampening=0.0, nesterov=True, maximize=False)


    def state(self) -> dict[str, Any]:
        """Return what the next steps depend on, besides the parameters."""
        return {"velocities": self.velocities}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what ``state`` returned."""
        self.velocities = _like(state["velocities"], self.parameters)


def _like(kept, parameters):
    """Return kept tensors, each on the device of its parameter."""
    return [None if one is None else one.to(values.device) for one, values in zip(kept, parameters, strict=True)]


def constant(share: float) -> float:
    """Return 1, the factor on a learning rate that stays.

    >>> constant(0.5)
    1.0
    """
    return 1.0


def cosine(share: float) -> float:
    """Return the factor on the learning rate after a share of the training, from 1 at 0 to 0 at 1 along a cosine.

    >>> cosine(0.0), cosine(1.0)
    (1.0, 0.0)
    """
    return (1 + math.cos(math.pi * share)) / 2


def one_cycle(share: float) -> float:
    """Return the factor of a one-cycle schedule: from 1/25 to 1 in the first 30 %, then to 0, both along half a cosine.

    >>> round(one_cycle(0.0), 6), one_cycle(0.3), one_cycle(1.0)
    (0.04, 1.0, 0.0)
    """
    if share < 0.3:
        return 1 - 0.96 * cosine(share / 0.3)
    return cosine((share - 0.3) / 0.7)


named(__name__)
