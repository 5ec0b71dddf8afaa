"""Networks of one shape evaluated together: several seeds for little more than the price of one.

The parameters of all members are stacked along a new first axis and each evaluation is one batched computation, by
``vmap`` or by the network's own method ``together`` where it has a quicker one. Members share nothing.
"""

import copy
from collections.abc import Sequence

import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from deepatoms.theory import arguments
from deepatoms.theory.signatures import named


class Ensemble:
    """Several networks of one shape, evaluated at once on inputs of shape (members, batch, ...); one is the case of one.

    Args:
        models: torch modules that differ only in the values of their parameters and buffers; they are left as they are.
        training: whether they are evaluated in training mode.
    """

    def __init__(self, models: Sequence[nn.Module], training: bool = False):
        self.skeleton = copy.deepcopy(models[0]).train(training)
        self.parameters, self.buffers = stack_module_state(list(models))

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the members' outputs, each on its own part of ``inputs``, shape (members, batch, ...)."""
        if len(inputs) == 1:  # a network by itself may do what vmap cannot, torch's parametrisations for one
            parameters, buffers = ({name: values[0] for name, values in stacked.items()}
                                   for stacked in (self.parameters, self.buffers))
            return self._member(parameters, buffers, inputs[0])[None]
        together = getattr(self.skeleton, "together", None)
        if together is not None:
            return together({**self.parameters, **self.buffers}, inputs)
        return vmap(self._member)(self.parameters, self.buffers, inputs)

    def _member(self, parameters, buffers, inputs):
        return functional_call(self.skeleton, (parameters, buffers), (inputs,))

    def models(self) -> list[nn.Module]:
        """Return the members as separate modules, in evaluation mode."""
        return [self._copy(number) for number in range(len(next(iter(self.parameters.values()))))]

    def _copy(self, number):
        model = copy.deepcopy(self.skeleton)
        stacked = {**self.parameters, **self.buffers}
        model.load_state_dict({name: values[number].detach().clone() for name, values in stacked.items()})
        return model.eval()


def outputs(models: Sequence[nn.Module], inputs: torch.Tensor) -> torch.Tensor:
    """Return what networks of one shape put out in evaluation mode, without gradients.

    Args:
        models: the networks, all in one mode.
        inputs: shape (members, samples, ...), each member's own.

    Returns:
        Tensor of shape (members, samples, ...).

    Raises:
        ValueError: not as many parts of inputs as networks.
    """
    one_part_each("inputs", inputs, models)
    with torch.no_grad():
        return Ensemble(models)(inputs)


def accuracy(models: Sequence[nn.Module], inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return each member's share of samples classified correctly.

    Args:
        models: the networks, all in one mode.
        inputs: shape (members, samples, ...).
        labels: integers, shape (members, samples).

    Returns:
        Tensor of shape (members,), float64.

    Raises:
        ValueError: not as many parts of inputs or labels as networks.
    """
    one_part_each("labels", labels, models)
    return (outputs(models, inputs).argmax(-1) == labels).double().mean(-1)


def one_part_each(name: str, values: torch.Tensor, models: Sequence[nn.Module]) -> None:
    """Refuse values that are not one part for each network.

    Raises:
        ValueError: not as many parts as networks.
    """
    if len(values) != len(models):
        arguments.refuse(name, values, f"has {len(values)} parts for {len(models)} networks",
                         "stack one part for each network along the first axis")


named(__name__)
