"""Our training loop beside a plain PyTorch loop: ResNet-20, the same images, batches, recipe and type of numbers.

The plain loop takes its batches from a ``DataLoader`` whose data set pads, crops, flips and standardises image by image as
torchvision's transforms do on tensors. Rounds alternate; the table gives images in a CPU second (the median round) and the
median of the paired ratios.
"""

import contextlib
import statistics
import time

import torch
from torch.nn.functional import cross_entropy, pad
from torch.utils.data import DataLoader, Dataset

from deepatoms.learning import training
from deepatoms.learning.augmentation import CropAndFlip
from deepatoms.learning.networks import wide_residual
from deepatoms.studies.resnests import tables

BATCH, STEPS, ROUNDS = 128, 4, 7


class OneByOne(Dataset):
    """Images that are altered one at a time when the loader asks for them."""

    def __init__(self, pixels, labels, prepare):
        self.pixels, self.labels, self.padding = pixels, labels, prepare.padding
        self.means, self.deviations = (torch.tensor(values)[:, None, None] for values in (prepare.means, prepare.deviations))

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, number):
        image = (self.pixels[number].float() - self.means) / self.deviations
        rows, columns = image.shape[1:]
        padded = pad(image, (self.padding,) * 4, mode="reflect")
        down, right = torch.randint(2 * self.padding + 1, (2,)).tolist()
        cropped = padded[:, down:down + rows, right:right + columns]
        return (cropped.flip(2) if torch.rand(()) < 0.5 else cropped), self.labels[number]


def plain(model, pixels, labels, recipe):
    """Return a function that makes one pass in the plain way."""
    loader = DataLoader(OneByOne(pixels, labels, recipe.prepare), BATCH, shuffle=True)
    model = model.train()
    optimizer = torch.optim.SGD(model.parameters(), recipe.learning_rate, momentum=0.9, nesterov=True, weight_decay=5e-4)
    cast = torch.autocast("cpu", torch.bfloat16) if recipe.precision == "bfloat16" else contextlib.nullcontext()

    def one_pass():
        for images, truth in loader:
            with cast:
                loss = cross_entropy(model(images), truth)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return one_pass


def ours(model, pixels, labels, recipe):
    """Return a function that makes one pass in our way."""
    descent = training.Descent([model], recipe, [0], pixels.device)

    def one_pass():
        descent.epoch = 0  # the schedule has an end
        descent.one_pass(pixels[None], labels[None], None)

    return one_pass


def rates(precision, steps=STEPS, rounds=ROUNDS):
    """Return images in a CPU second, ours and plain, a pair for each round."""
    pixels = torch.randint(256, (steps * BATCH, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    labels = torch.arange(len(pixels)) % 10
    recipe = tables.recipe(tables.CONFIGURATIONS[0] | {"precision": precision}, CropAndFlip(*tables.STANDARD["cifar10"]))
    ways = [way(training.seeded(wide_residual.authors_network, 0, name="resnet-20", variant="standard"), pixels, labels, recipe)
            for way in (ours, plain)]
    for way in ways:  # to warm up
        way()
    return [tuple(len(pixels) / _seconds(way) for way in ways) for _ in range(rounds)]


def _seconds(function):
    started = time.process_time()
    function()
    return time.process_time() - started


def main():
    """Print the table."""
    print(f"{'':10}{'ours':>12}{'plain':>12}{'ratio':>8}   images in a CPU second, ResNet-20, batches of {BATCH}")
    for precision in training.PRECISIONS:
        pairs = rates(precision)
        medians = [statistics.median(column) for column in zip(*pairs, strict=True)]
        ratios = sorted(mine / other for mine, other in pairs)
        print(f"{precision:10}{medians[0]:12.0f}{medians[1]:12.0f}{statistics.median(ratios):8.2f}   "
              f"({ratios[0]:.2f} to {ratios[-1]:.2f})", flush=True)


if __name__ == "__main__":
    main()
