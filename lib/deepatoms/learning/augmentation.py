"""Augmentation on the device: a batch of bytes in, standardised images out, as few tensor operations for all images at once."""

from dataclasses import dataclass

import torch

from deepatoms.theory.signatures import named


@dataclass(frozen=True)
class CropAndFlip:
    """Pad by reflection, crop at random to the old size, flip every second image at random, standardise each channel.

    Images come and go as (batch, channels, rows, columns), bytes in and float32 out, laid out in memory with channels last.
    Random numbers are drawn on the processor, so that they agree between devices.

    Args:
        means: of each channel, in bytes.
        deviations: of each channel, in bytes.
        padding: rows and columns added on each side.

    >>> halves = CropAndFlip((127.5,), (127.5,))
    >>> halves.plain(torch.tensor([[[[0, 255]]]], dtype=torch.uint8)).flatten().tolist()
    [-1.0, 1.0]
    """

    means: tuple[float, ...]
    deviations: tuple[float, ...]
    padding: int = 4

    def __call__(self, pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return a batch moved, flipped and standardised."""
        count, _, rows, columns = pixels.shape
        drawn = torch.randint(2 * self.padding + 1, (2, count, 1), generator=generator) - self.padding
        flipped = torch.randint(2, (count, 1), generator=generator, dtype=torch.bool)
        row, column = torch.arange(rows), torch.arange(columns)
        row = reflected(row + drawn[0], rows).to(pixels.device)
        column = reflected(torch.where(flipped, columns - 1 - column, column) + drawn[1], columns).to(pixels.device)
        image = torch.arange(count, device=pixels.device)[:, None, None]
        # Three index arrays with the channels between them: torch puts the channels last.
        return self._standardised(pixels[image, :, row[:, :, None], column[:, None, :]])

    def plain(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return images standardised only, as they are tested."""
        return self._standardised(pixels.permute(0, 2, 3, 1))

    def _standardised(self, channels_last):
        means, deviations = (torch.tensor(values, device=channels_last.device) for values in (self.means, self.deviations))
        return ((channels_last - means) / deviations).permute(0, 3, 1, 2)


def reflected(index: torch.Tensor, size: int) -> torch.Tensor:
    """Return the index inside 0, ..., size - 1 that padding by reflection shows at an index up to size - 1 outside.

    >>> reflected(torch.arange(-2, 5), 3).tolist()
    [2, 1, 0, 1, 2, 1, 0]
    """
    return size - 1 - (size - 1 - index.abs()).abs()


named(__name__)
