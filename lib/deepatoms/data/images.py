"""The one type that every data set is returned as."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch


def unit(pixels: torch.Tensor, scale: int) -> torch.Tensor:
    """Return pixels, uint8 of any shape, as float32 numbers in [0, 1]; ``scale`` becomes 1."""
    return pixels.to(torch.float32).div_(scale)


def centred(pixels: torch.Tensor, scale: int) -> torch.Tensor:
    """Return each image minus its own mean, divided by its largest magnitude (the spline paper's authors' code).

    ``pixels`` have shape (N, channels, rows, columns), uint8; the images are float32.
    """
    images = unit(pixels, scale)
    images -= images.mean((1, 2, 3), keepdim=True)
    return images / images.abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-12)


NORMALISATIONS = {"unit": unit, "centred": centred}


@dataclass(frozen=True, eq=False)
class Images:
    """One split of an image set; pixels stay bytes until ``images`` is asked for.

    Attributes:
        name: The set's name.
        split: ``"train"`` or ``"test"``.
        pixels: Tensor (N, channels, rows, columns), uint8, as in the file.
        labels: Tensor (N,), int64; ``class_names[label]`` is the name.
        class_names: Tuple of strings.
        scale: The pixel value that stands for 1.
        normalisation: How ``images`` is made from ``pixels``.

    >>> pair = Images("pair", "test", torch.tensor([[[[0, 51]]]], dtype=torch.uint8), torch.tensor([1]), ("a", "b"), 255)
    >>> pair.images
    tensor([[[[0.0000, 0.2000]]]])
    """

    name: str
    split: str
    pixels: torch.Tensor
    labels: torch.Tensor
    class_names: tuple[str, ...]
    scale: int
    normalisation: str = "unit"

    @functools.cached_property
    def images(self) -> torch.Tensor:
        """Return float32 images (N, channels, rows, columns); computed once, four times the size of the pixels."""
        return NORMALISATIONS[self.normalisation](self.pixels, self.scale)

    def normalised(self, normalisation: str) -> "Images":
        """Return the same images under another normalisation."""
        return replace(self, normalisation=normalisation)

    def subset(self, indices: slice | Sequence[int] | np.ndarray | torch.Tensor) -> "Images":
        """Return the images at these indices, in this order (a slice, a list or a tensor)."""
        return replace(self, pixels=self.pixels[indices], labels=self.labels[indices])

    def __len__(self) -> int:
        return len(self.labels)
