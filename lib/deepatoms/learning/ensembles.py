"""Networks of one shape trained together: several seeds for little more than the price of one.

The parameters of all members are stacked along a new first axis and each step is one batched computation, by ``vmap`` or
by the network's own method ``together`` where it has a quicker one. Members share nothing: the loss is the sum of their
losses, Adam works entry by entry, and every member shuffles its data with its own generator, so that each ends where it
would have ended alone.
"""

import copy

import torch
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.functional import cross_entropy

from deepatoms.learning.optimizers import Adam
from deepatoms.theory import arguments


class Ensemble:
    """Several networks of one shape, evaluated at once on inputs of shape (members, batch, ...).

    Args:
        models: list of torch modules that differ only in the values of their parameters and buffers.
    """

    def __init__(self, models):
        self.skeleton = copy.deepcopy(models[0])
        self.parameters, self.buffers = stack_module_state(models)

    def __call__(self, inputs):
        """Return the members' outputs, each on its own part of ``inputs``, shape (members, batch, ...)."""
        if hasattr(self.skeleton, "together"):
            return self.skeleton.together({**self.parameters, **self.buffers}, inputs)
        return vmap(self._member)(self.parameters, self.buffers, inputs)

    def _member(self, parameters, buffers, inputs):
        return functional_call(self.skeleton, (parameters, buffers), (inputs,))

    def models(self):
        """Return the members as separate modules."""
        return [self._copy(number) for number in range(len(next(iter(self.parameters.values()))))]

    def _copy(self, number):
        model = copy.deepcopy(self.skeleton)
        stacked = {**self.parameters, **self.buffers}
        model.load_state_dict({name: values[number].detach().clone() for name, values in stacked.items()})
        return model


def train(models, inputs, labels, epochs, batch=64, rate=1e-3, seeds=None, loss=cross_entropy, penalty=None):
    """Train networks of one shape together with Adam; return them as separate modules, in evaluation mode.

    Args:
        models: list of torch modules of one shape; they are left as they are.
        inputs: tensor of shape (members, samples, ...), each member's training inputs.
        labels: integer tensor of shape (members, samples).
        epochs: passes over the data.
        batch: samples of one step; the last step of a pass takes what is left.
        rate: learning rate of Adam.
        seeds: one integer a member, the seed of its order of samples; 0, 1, ... unless given.
        loss: function of (outputs, labels), the average over all samples given; its sum over the members is minimised.
        penalty: function of the stacked parameters (by name) whose value, summed over the members, is added to the loss.
    """
    _as_many("inputs", inputs, models)
    _as_many("labels", labels, models)
    ensemble = Ensemble([model.train() for model in models])
    orders = [torch.Generator().manual_seed(int(seed)) for seed in seeds or range(len(models))]
    descent = Adam(ensemble.parameters.values(), rate)
    for _ in range(arguments.integer("epochs", epochs)):
        shuffled = torch.stack([torch.randperm(inputs.shape[1], generator=order) for order in orders])
        for chosen in shuffled.to(inputs.device).split(batch, dim=1):
            members = torch.arange(len(models), device=inputs.device)[:, None]
            scores = ensemble(inputs[members, chosen])
            value = len(models) * loss(scores.flatten(0, 1), labels[members, chosen].flatten(0, 1))
            descent.step(value + penalty(ensemble.parameters) if penalty else value)
    return [model.eval() for model in ensemble.models()]


def outputs(models, inputs):
    """Return what trained networks of one shape put out, shape (members, samples, ...), without gradients.

    ``inputs`` has shape (members, samples, ...).
    """
    _as_many("inputs", inputs, models)
    with torch.no_grad():
        return Ensemble([model.eval() for model in models])(inputs)


def accuracy(models, inputs, labels):
    """Return each member's share of samples classified correctly, shape (members,)."""
    return (outputs(models, inputs).argmax(-1) == labels).double().mean(-1)


def _as_many(name, values, models):
    if len(values) != len(models):
        arguments.refuse(name, values, f"has {len(values)} parts for {len(models)} networks",
                         "stack one part for each network along the first axis")
