r"""What exact slices have in common, in the plane and in space."""

from __future__ import annotations

import abc
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import ArrayLike

from deepatoms.theory.partition.cells import Cells
from deepatoms.theory.partition.codes import LayerCodes, region_codes
from deepatoms.theory.partition.refine import affine_maps, located
from deepatoms.theory.piecewise import Model
from deepatoms.theory.untouched import untouched

Told = Callable[[str], object] | None


class Slice(abc.ABC):
    """The regions of a slice of a network's input space.

    Attributes:
        corners: A corner of the slice and its neighbours, shape (1 + dimension, ...), float64.
        model: The network.
    """

    corners: torch.Tensor
    model: Model

    @property
    @abc.abstractmethod
    def cells(self) -> Cells:
        """Return the regions as flat arrays of corners, in the slice's own coordinates."""

    def __len__(self) -> int:
        return len(self.cells)

    @property
    def centres(self) -> np.ndarray:
        """Return a point inside each region, in the slice's coordinates, shape (regions, dimension)."""
        return self.cells.centres

    def points(self, coordinates: ArrayLike) -> torch.Tensor:
        """Return the inputs at coordinates of the slice, shape (points, dimension) -> (points, ...), float64."""
        return located(self.corners, coordinates)

    def codes(self) -> tuple[LayerCodes, ...]:
        """Return the code of each region at every nonlinearity, as :func:`~deepatoms.theory.partition.region_codes` does."""
        with untouched(self.model), torch.no_grad():
            return region_codes(self.model, self.points(self.centres))

    def affine_maps(self) -> tuple[np.ndarray, np.ndarray]:
        r"""Return each region's map in the slice's coordinates: f = slopes u + offsets.

        Returns:
            Slopes, shape (regions, outputs, dimension), and offsets, shape (regions, outputs).
        """
        with untouched(self.model), torch.no_grad():
            return affine_maps(self.model, self.corners, self.centres)
