"""The one training loop: networks of one shape descend together, and a single network is an ensemble of one.

The loss is the sum of the members' losses, the optimizers work entry by entry, and every member shuffles its data with its
own generator, so that each ends where it would have ended alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from deepatoms.learning import ensembles, optimizers
from deepatoms.theory import arguments

Built = TypeVar("Built")
Penalty = Callable[[Mapping[str, torch.Tensor]], torch.Tensor]


@dataclass(frozen=True)
class Recipe:
    """How networks are trained.

    Args:
        epochs: passes over the data.
        learning_rate: of the first pass.
        batch_size: samples of one step; the last step of a pass takes what is left.
        optimizer: makes an optimizer of the parameters.
        decay: the learning rate's factor in a pass, as a function of the share of passes done before it.

    Raises:
        ValueError: a negative number of epochs or learning rate, an empty batch.
        TypeError: epochs or batch size no integers, a learning rate that is no number.
    """

    epochs: int
    learning_rate: float = 1e-3
    batch_size: int = 64
    optimizer: Callable[..., Any] = optimizers.Adam
    decay: Callable[[float], float] = optimizers.constant

    def __post_init__(self):
        arguments.integer("epochs", self.epochs, 0)
        arguments.number("learning_rate", self.learning_rate, minimum=0)
        arguments.integer("batch_size", self.batch_size)

    def rates(self) -> list[float]:
        """Return the learning rate of each pass.

        >>> Recipe(4, 1.0, decay=optimizers.cosine).rates()[::2]
        [1.0, 0.5]
        """
        return [self.learning_rate * self.decay(epoch / self.epochs) for epoch in range(self.epochs)]


def seeded(build: Callable[..., Built], seed: int, **options: Any) -> Built:
    """Return ``build(**options)`` with its weights drawn from a seed of its own; torch's global state is left as it was.

    >>> layer = lambda: torch.nn.Linear(2, 2)
    >>> torch.equal(seeded(layer, 1).weight, seeded(layer, 1).weight)
    True
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(**options)


def train(models: Sequence[nn.Module], inputs: torch.Tensor, labels: torch.Tensor, recipe: Recipe,
          seeds: Sequence[int] | None = None, penalty: Penalty | None = None) -> list[nn.Module]:
    """Train classifiers of one shape together and return them as separate modules, in evaluation mode.

    Args:
        models: the networks, all in one mode, on the device of the data; they are left as they are.
        inputs: shape (members, samples, ...), each member's training inputs.
        labels: integers, shape (members, samples).
        recipe: how they are trained; the loss is cross-entropy, averaged over the samples of a step.
        seeds: one integer a member, the seed of its order of samples; 0, 1, ... unless given.
        penalty: function of the stacked parameters (by name) whose value, summed over the members, is added to the loss.

    Returns:
        One trained module for each given, in their order.

    Raises:
        ValueError: inputs, labels or seeds that are not one part for each network, or labels not one for each sample.

    >>> inputs, labels = torch.eye(4).expand(2, 4, 4), torch.arange(4).expand(2, 4)
    >>> nets = train([torch.nn.Linear(4, 4) for _ in range(2)], inputs, labels, Recipe(epochs=200, learning_rate=0.1))
    >>> ensembles.accuracy(nets, inputs, labels).tolist()
    [1.0, 1.0]
    """
    seeds = range(len(models)) if seeds is None else seeds
    _check(models, inputs, labels, seeds)
    ensemble = ensembles.Ensemble(models, training=True)
    descent = recipe.optimizer(ensemble.parameters.values())
    orders = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
    members = torch.arange(len(models), device=inputs.device)[:, None]
    for rate in recipe.rates():
        shuffled = torch.stack([torch.randperm(inputs.shape[1], generator=order) for order in orders])
        for chosen in shuffled.to(inputs.device).split(recipe.batch_size, dim=1):
            scores = ensemble(inputs[members, chosen])
            loss = len(models) * cross_entropy(scores.flatten(0, 1), labels[members, chosen].flatten(0, 1))
            descent.step(loss + penalty(ensemble.parameters) if penalty else loss, rate)
    return ensemble.models()


def train_one(model: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, recipe: Recipe, seed: int = 0) -> nn.Module:
    """Return a trained copy of one classifier: :func:`train` for an ensemble of one.

    Args:
        model: the network, on the device of the data.
        inputs: shape (samples, ...).
        labels: integers, shape (samples,).
        recipe: how it is trained.
        seed: of its order of samples.

    Raises:
        ValueError: labels that are not one for each sample.
    """
    return train([model], inputs[None], labels[None], recipe, [seed])[0]


def _check(models, inputs, labels, seeds):
    for name, values in (("inputs", inputs), ("labels", labels), ("seeds", seeds)):
        ensembles.one_part_each(name, values, models)
    if labels.shape != inputs.shape[:2]:
        arguments.refuse("labels", labels, f"are not one for each of the {inputs.shape[1]} samples",
                         "pass as many labels as samples")
