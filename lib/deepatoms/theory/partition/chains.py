r"""Plain chains of affine layers and rectifiers, whose regions are carried from layer to layer.

Any network is run from its beginning for every nonlinearity, under a mode that sees each operation (``extension``). In a chain of
``Linear`` and ``ReLU`` modules nothing is hidden: a region's parts inherit the values before the rectifier, and go on from there.
An affine function on a slice is held by its values at the slice's corners.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from torch.nn.modules import module as everywhere

from deepatoms.theory.piecewise import Model

AT_ONCE = 2**16  # numbers that stay in the cache
EVERYWHERE = ("_global_forward_hooks", "_global_forward_pre_hooks")


class Chain:
    """The affine functions of a plain chain on the regions of a slice.

    Args:
        stages: The affine modules before each rectifier, and those after the last.
        corners: A corner of the slice and its neighbours, shape (1 + dimension, inputs).

    Attributes:
        values: What the next rectifier is given at the slice's corners by the function of each region, shape
            (1 + dimension, regions, units).

    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)).double().requires_grad_(False)
    >>> Chain.of(net, torch.eye(3, 2, dtype=torch.float64)).values.shape
    (3, 1, 3)
    """

    def __init__(self, stages: list[nn.Sequential], corners: torch.Tensor) -> None:
        self.stages, self.layer = stages, 0
        self.values = stages[0](corners).numpy()[:, None]

    @classmethod
    def of(cls, model: Model, corners: torch.Tensor) -> Chain | None:
        """Return the chain that a model is, or None where it is none, or would not run here as one."""
        stages = _stages(model)
        if len(stages) < 2 or corners.device.type != "cpu":
            return None
        try:
            values = corners
            for stage in stages:
                values = stage(values)
                if values.ndim != 2 or values.dtype != torch.float64 or not bool(values.isfinite().all()):
                    return None
            return cls(stages, corners)
        except RuntimeError:  # what is wrong is for the rehearsal to say
            return None

    @property
    def nonlinearities(self) -> int:
        """Return how many rectifiers there are."""
        return len(self.stages) - 1

    def nbytes(self, regions: int) -> int:
        """Return the bytes that the functions of so many regions take at the widest rectifier."""
        return 8 * len(self.values) * regions * max(stage[-1].out_features if len(stage) and isinstance(stage[-1], nn.Linear)
                                                    else self.values.shape[2] for stage in self.stages)

    def advance(self, parents: np.ndarray, centres: np.ndarray) -> None:
        """Go on to the next rectifier with the parts of the regions.

        Args:
            parents: The region of each part.
            centres: A point inside each part, shape (parts, dimension).
        """
        self.values = self.after(parents, centres)
        self.layer += 1

    def after(self, parents: np.ndarray, centres: np.ndarray) -> np.ndarray:
        """Return the values at the next rectifier (after the last: the output) of parts of the regions, at the corners."""
        stage, units = self.stages[self.layer + 1], self.values.shape[2]
        size, found = max(1, AT_ONCE // (len(self.values) * units)), []
        weights = np.concatenate([1 - centres.sum(1, keepdims=True), centres], 1).T[..., None]
        for start in range(0, max(1, len(parents)), size):
            part = slice(start, start + size)
            values = self.values[:, parents[part]]
            values *= sum(weight[part] * each for weight, each in zip(weights, values, strict=True)) > 0
            found.append(stage(torch.from_numpy(values.reshape(-1, units))).numpy().reshape(len(values), values.shape[1], -1))
        return np.concatenate(found, 1)


def _stages(model):
    """Return the affine modules between the rectifiers of a chain; an empty list where a module is no part of a chain."""
    stages = [nn.Sequential()]
    if any(getattr(everywhere, name, None) for name in EVERYWHERE):
        return []
    for module in _parts(model):
        if not _plain(module):
            return []
        if type(module) is nn.ReLU:
            stages.append(nn.Sequential())
        elif type(module) is not nn.Identity:
            stages[-1].append(module)
    return stages


def _parts(model) -> Iterator[nn.Module]:
    if type(model) is nn.Sequential and _untouched(model):
        for module in model:
            yield from _parts(module)
    else:
        yield model


def _plain(module):
    """Tell whether a module does what torch's own does with each row."""
    known = type(module) in (nn.Linear, nn.ReLU, nn.Identity) or (type(module) is nn.Flatten and module.start_dim == 1
                                                                  and module.end_dim == -1)
    return known and _untouched(module)


def _untouched(module):
    return not (module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module) or "__call__" in vars(module))
