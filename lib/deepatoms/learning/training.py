"""The one training loop: networks of one shape descend together, and a single network is an ensemble of one.

The loss is the sum of the members' losses, the optimizers work entry by entry, and every member shuffles and alters its data
with its own generator, so that each ends where it would have ended alone. The data lie on the device from the beginning, bytes
if the recipe makes images of them; after every pass all that the next ones depend on can be kept.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from deepatoms.learning import ensembles, optimizers
from deepatoms.runs.partial_states import PartialState
from deepatoms.theory import arguments
from deepatoms.theory.signatures import named

Built = TypeVar("Built")
Penalty = Callable[[Mapping[str, torch.Tensor]], torch.Tensor]
Prepare = Callable[[torch.Tensor, torch.Generator], torch.Tensor]
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class Recipe:
    """How networks are trained.

    Args:
        epochs: passes over the data.
        learning_rate: of the first pass.
        batch_size: samples of one step; the last step of a pass takes what is left.
        optimizer: makes an optimizer of the parameters.
        decay: the learning rate's factor in a pass, as a function of the share of passes done before it.
        stepwise: whether the factor changes with every step instead.
        prepare: makes a batch of one network, (batch, ...), with a generator of that network: augmentation, say.
        precision: ``"float32"``: that of the network; ``"bfloat16"``: products in 16 bits, where torch's autocast takes them so.

    Raises:
        ValueError: a negative number of epochs or learning rate, an empty batch, an unknown precision.
        TypeError: epochs or batch size no integers, a learning rate that is no number.
    """

    epochs: int
    learning_rate: float = 1e-3
    batch_size: int = 64
    optimizer: Callable[..., Any] = optimizers.Adam
    decay: Callable[[float], float] = optimizers.constant
    stepwise: bool = False
    prepare: Prepare | None = None
    precision: str = "float32"

    def __post_init__(self):
        arguments.one_of("precision", self.precision, PRECISIONS)
        arguments.integer("epochs", self.epochs, 0)
        arguments.number("learning_rate", self.learning_rate, minimum=0)
        arguments.integer("batch_size", self.batch_size)

    def rate(self, epoch: int, step: float = 0.0) -> float:
        """Return the learning rate of a pass after a share ``step`` of it, which counts if the rate changes stepwise.

        >>> falling = Recipe(4, 1.0, decay=optimizers.cosine)
        >>> [falling.rate(epoch) for epoch in (0, 2)], round(falling.rate(1, 0.5), 3)
        ([1.0, 0.5], 0.854)
        """
        return self.learning_rate * self.decay((epoch + self.stepwise * step) / self.epochs)


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
          seeds: Sequence[int] | None = None, penalty: Penalty | None = None,
          partial: PartialState | None = None) -> list[nn.Module]:
    """Train classifiers of one shape together and return them as separate modules, in evaluation mode.

    Args:
        models: the networks, all in one mode, on the device of the data; they are left as they are.
        inputs: shape (members, samples, ...), each member's training inputs.
        labels: integers, shape (members, samples).
        recipe: how they are trained; the loss is cross-entropy, averaged over the samples of a step.
        seeds: one integer a member, the seed of its order of samples; 0, 1, ... unless given.
        penalty: function of the stacked parameters (by name) whose value, summed over the members, is added to the loss.
        partial: where every pass is kept, and from where a broken-off training goes on: it ends with the same numbers.

    Returns:
        One trained module for each given, in their order.

    Raises:
        TypeError: models that are no modules.
        ValueError: inputs, labels or seeds that are not one part for each network, or labels not one for each sample.

    >>> inputs, labels = torch.eye(4).expand(2, 4, 4), torch.arange(4).expand(2, 4)
    >>> nets = train([torch.nn.Linear(4, 4) for _ in range(2)], inputs, labels, Recipe(epochs=200, learning_rate=0.1))
    >>> ensembles.accuracy(nets, inputs, labels).tolist()
    [1.0, 1.0]
    """
    seeds = range(len(models)) if seeds is None else seeds
    _check(models, inputs, labels, seeds)
    descent = Descent(models, recipe, seeds, inputs.device)
    if partial and (kept := partial.load()):
        descent.restore(kept)
    while descent.epoch < recipe.epochs:
        descent.one_pass(inputs, labels, penalty)
        if partial:
            partial.save(descent.state(), descent.epoch, recipe.epochs)
    return descent.ensemble.models()


class Descent:
    """A training between two passes: all that the next pass depends on, besides the data.

    Args:
        models: the networks.
        recipe: how they are trained.
        seeds: of each one's order of samples.
        device: where the data are.
    """

    def __init__(self, models: Sequence[nn.Module], recipe: Recipe, seeds: Sequence[int], device: torch.device):
        self.recipe, self.epoch, self.device = recipe, 0, device
        self.ensemble = ensembles.Ensemble(models, training=True)
        self.optimizer = recipe.optimizer(self.ensemble.parameters.values())
        self.orders = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
        self.members = torch.arange(len(models), device=device)[:, None]

    def one_pass(self, inputs: torch.Tensor, labels: torch.Tensor, penalty: Penalty | None) -> None:
        """Take a step for every batch of one pass over the data."""
        shuffled = torch.stack([torch.randperm(inputs.shape[1], generator=order) for order in self.orders])
        batches = shuffled.to(self.device).split(self.recipe.batch_size, dim=1)
        for number, chosen in enumerate(batches):
            scores = self._scores(inputs[self.members, chosen])
            loss = len(self.orders) * cross_entropy(scores.flatten(0, 1), labels[self.members, chosen].flatten(0, 1))
            loss = loss + penalty(self.ensemble.parameters) if penalty else loss
            self.optimizer.step(loss, self.recipe.rate(self.epoch, number / len(batches)))
        self.epoch += 1

    def _scores(self, batch):
        if self.recipe.prepare:
            made = [self.recipe.prepare(part, order) for part, order in zip(batch, self.orders, strict=True)]
            batch = torch.stack(made) if len(made) > 1 else made[0][None]  # stacking would undo the memory format of one
        if self.recipe.precision == "float32":
            return self.ensemble(batch)
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            scores = self.ensemble(batch)
        return scores.float()

    def state(self) -> dict[str, Any]:
        """Return all that the next passes depend on: tensors and a number."""
        return {"epoch": self.epoch, "optimizer": self.optimizer.state(), "buffers": self.ensemble.buffers,
                "parameters": {name: values.detach() for name, values in self.ensemble.parameters.items()},
                "orders": [order.get_state() for order in self.orders]}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what ``state`` returned."""
        with torch.no_grad():
            for own, kept in ((self.ensemble.parameters, state["parameters"]), (self.ensemble.buffers, state["buffers"])):
                for name, values in own.items():
                    values.copy_(kept[name])
        self.optimizer.restore(state["optimizer"])
        for order, kept in zip(self.orders, state["orders"], strict=True):
            order.set_state(kept)
        self.epoch = state["epoch"]


def train_one(model: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, recipe: Recipe, seed: int = 0,
              partial: PartialState | None = None) -> nn.Module:
    """Return a trained copy of one classifier: :func:`train` for an ensemble of one.

    Args:
        model: the network, on the device of the data.
        inputs: shape (samples, ...).
        labels: integers, shape (samples,).
        recipe: how it is trained.
        seed: of its order of samples.
        partial: where every pass is kept, and from where a broken-off training goes on.

    Raises:
        ValueError: labels that are not one for each sample.
    """
    return train([model], inputs[None], labels[None], recipe, [seed], partial=partial)[0]


def _check(models, inputs, labels, seeds):
    if not all(isinstance(model, nn.Module) for model in models):
        arguments.refuse("models", models, "are not all networks", "pass a list of torch modules", TypeError)
    for name, values in (("inputs", inputs), ("labels", labels), ("seeds", seeds)):
        ensembles.one_part_each(name, values, models)
    if labels.shape != inputs.shape[:2]:
        arguments.refuse("labels", labels, f"are not one for each of the {inputs.shape[1]} samples",
                         "pass as many labels as samples")


named(__name__)
