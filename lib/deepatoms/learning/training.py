"""A plain training loop: seeded, on any device, with a plain progress bar."""

from dataclasses import dataclass

import torch
from tqdm import tqdm

from deepatoms.theory.arguments import integer, number, refuse


@dataclass(frozen=True)
class History:
    """Mean training loss of each epoch."""

    losses: tuple[float, ...]


def seeded(build, seed, **options):
    """Return ``build(**options)`` with its weights drawn from a seed of its own; torch's global state is left as it was.

    >>> layer = lambda: torch.nn.Linear(2, 2)
    >>> torch.equal(seeded(layer, 1).weight, seeded(layer, 1).weight)
    True
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(**options)


def train(model, images, labels, epochs, learning_rate=0.001, batch_size=50, decay=1.0, seed=0, loss=None, penalty=None,
          progress=False):
    """Train a classifier in place with Adam and return its history; the model ends in evaluation mode.

    Args:
        model: A module; it is trained on the device of its parameters.
        images: Shape (samples, ...).
        labels: Integers, shape (samples,).
        epochs: Number of passes over the data.
        learning_rate: Adam's step.
        batch_size: Samples a step; the last, incomplete batch of an epoch is left out (batch norm cannot do with one).
        decay: Factor on the learning rate after each epoch (the paper: exponential decay).
        seed: Draws the order of the samples.
        loss: Function of (scores, labels); cross-entropy if left out.
        penalty: Function of the model, added to the loss.
        progress: Whether to show a progress bar.
    """
    batch_size = min(integer("batch_size", batch_size, 2), len(images))
    number("learning_rate", learning_rate, minimum=0)
    if len(images) != len(labels):
        refuse("labels", labels, f"are not one for each of the {len(images)} images", "pass as many labels as images")
    device = next(model.parameters()).device
    images, labels = images.to(device), labels.to(device)
    loss = loss or torch.nn.functional.cross_entropy
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate, foreach=True)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, decay)
    generator, losses = torch.Generator().manual_seed(seed), []
    model.train()
    for _ in tqdm(range(integer("epochs", epochs)), disable=not progress, desc="epochs"):
        batches = torch.randperm(len(images), generator=generator).to(device).split(batch_size)
        total = sum(_step(model, images[batch], labels[batch], loss, penalty, optimizer)
                    for batch in batches if len(batch) == batch_size)
        losses.append(float(total) / (len(images) // batch_size))
        schedule.step()
    model.eval()
    return History(tuple(losses))


def _step(model, images, labels, loss, penalty, optimizer):
    optimizer.zero_grad()
    value = loss(model(images), labels)
    (value + penalty(model) if penalty else value).backward()
    optimizer.step()
    return value.detach()


def accuracy(model, images, labels, batch_size=1000):
    """Return the fraction of correctly classified images; the model is put into evaluation mode."""
    model.eval()
    device = next(model.parameters()).device
    with torch.no_grad():
        hits = [(model(part.to(device)).argmax(1).cpu() == truth.cpu()).sum()
                for part, truth in zip(images.split(batch_size), labels.split(batch_size), strict=True)]
    return float(sum(hits)) / len(images)
