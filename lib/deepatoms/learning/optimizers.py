"""The functions behind torch's optimizers, without their classes: making one imports torch's compiler, 1.6 s a process."""

import torch
from torch.optim.adam import adam
from torch.optim.sgd import sgd


def _pull_back(loss, parameters):
    """Return the gradients of a loss, laid out in memory as the parameters are (``autograd.grad`` does not see to it)."""
    for values in parameters:
        values.grad = None
    loss.backward()
    return [values.grad for values in parameters]


class Adam:
    """What ``torch.optim.Adam(parameters, lr=rate, fused=True)`` does."""

    def __init__(self, parameters, rate):
        self.parameters, self.rate = list(parameters), rate
        self.means, self.squares = ([torch.zeros_like(values) for values in self.parameters] for _ in range(2))
        self.steps = [torch.zeros((), device=values.device) for values in self.parameters]

    def step(self, loss):
        """Take one step down a loss."""
        slopes = _pull_back(loss, self.parameters)
        with torch.no_grad():
            adam(self.parameters, slopes, self.means, self.squares, [], self.steps, fused=True, amsgrad=False, beta1=0.9,
                 beta2=0.999, lr=self.rate, weight_decay=0.0, eps=1e-8, maximize=False)


class SGD:
    """What ``torch.optim.SGD(parameters, momentum=momentum, nesterov=True, weight_decay=weight_decay)`` does."""

    def __init__(self, parameters, momentum, weight_decay):
        self.parameters, self.momentum, self.weight_decay = list(parameters), momentum, weight_decay
        self.velocities = [None] * len(self.parameters)

    def step(self, loss, rate):
        """Take one step down a loss."""
        slopes = _pull_back(loss, self.parameters)
        with torch.no_grad():
            sgd(self.parameters, slopes, self.velocities, weight_decay=self.weight_decay, momentum=self.momentum, lr=rate,
                dampening=0.0, nesterov=True, maximize=False)
