r"""Plain chains of affine layers and rectifiers, whose units are carried from layer to layer at the corners of the regions.

Any network is run from its beginning for every nonlinearity, under a mode that sees each operation (``extension``). In a chain
of ``Linear`` and ``ReLU`` modules nothing is hidden: what a unit is at a corner of the partition follows from the layer before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn
from torch.nn.modules import module as everywhere

from deepatoms.theory.partition.complexes import BeyondError, Complex
from deepatoms.theory.partition.polygons import Polygons
from deepatoms.theory.partition.polyhedra import Polyhedra
from deepatoms.theory.piecewise import Model

EVERYWHERE = ("_global_forward_hooks", "_global_forward_pre_hooks")


class Chain:
    """A plain chain on a slice.

    Args:
        stages: The weights and biases before each rectifier, and those after the last.
        corners: A corner of the slice and its neighbours, as rows of inputs, shape (1 + dimension, inputs).

    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)).double().requires_grad_(False)
    >>> Chain.of(net, torch.eye(3, 2, dtype=torch.float64)).nonlinearities
    1
    """

    def __init__(self, stages: list[list[tuple[np.ndarray, np.ndarray | None]]], corners: np.ndarray) -> None:
        self.stages = stages[1:]
        values = _through(stages[0], corners.T)
        self.slopes, self.offsets = values[:, 1:] - values[:, :1], values[:, 0]

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
        except RuntimeError:  # what is wrong is for the rehearsal to say
            return None
        weights = [[_numbers(layer) for layer in stage if isinstance(layer, nn.Linear)] for stage in stages]
        return cls(weights, corners.reshape(len(corners), -1).numpy())

    @property
    def nonlinearities(self) -> int:
        """Return how many rectifiers there are."""
        return len(self.stages)

    def refined(self, layers: int, told: Callable[[int], Callable[[int], object]]) -> tuple[Polygons | Polyhedra, int]:
        """Cut a slice by the first rectifiers; return the regions, and by how many they are cut.

        Args:
            layers: By how many rectifiers to cut: where one complex cannot, by fewer.
            told: For each rectifier, what hears how many regions there are.
        """
        found, done = Complex(self.slopes.shape[1]), 0
        try:
            for done in range(layers):
                self._cut(found, done, told(done))
            return found.cells(), layers
        except BeyondError:
            return self.refined(min(done, layers - 1), told)

    def _cut(self, found, layer, count):
        """Cut by every unit of one rectifier."""
        if layer:
            found.load(_through(self.stages[layer - 1], found.rectified()))
        else:
            found.load(self.slopes @ found.points + self.offsets[:, None])
        for unit in range(len(found.functions)):
            found.cut(unit)
            count(found.parts)

    def units(self, points: np.ndarray, layer: int) -> np.ndarray:
        """Return the units of one rectifier at some points, in the slice's coordinates, before they are rectified."""
        values = self.slopes @ points.T + self.offsets[:, None]
        for stage in self.stages[:layer]:
            values = _through(stage, values.clip(0))
        return values.T

    def maps(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the affine maps, in the slice's coordinates, of the regions around some points: slopes and offsets."""
        count, dimension = points.shape
        maps = np.repeat(np.concatenate([self.offsets[:, None], self.slopes], 1)[..., None], count, 2)
        maps[:, 0] += self.slopes @ points.T  # the value at the point, and the slopes
        for stage in self.stages:
            maps *= maps[:, :1] > 0
            for weight, bias in stage:
                maps = (weight @ maps.reshape(len(maps), -1)).reshape(-1, 1 + dimension, count)
                maps[:, 0] += 0.0 if bias is None else bias[:, None]
        slopes = maps[:, 1:].transpose(2, 0, 1)
        return slopes, maps[:, 0].T - np.einsum("rod,rd->ro", slopes, points)


def _numbers(layer):
    return layer.weight.detach().numpy(), None if layer.bias is None else layer.bias.detach().numpy()


def _through(stage, values):
    """Return what affine layers make of values, shape (units, points)."""
    for weight, bias in stage:
        values = weight @ values if bias is None else weight @ values + bias[:, None]
    return values


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
    return known and _untouched(module) and all(map(_dense, module.parameters()))


def _dense(tensor):
    return type(tensor) in (nn.Parameter, torch.Tensor) and tensor.layout == torch.strided and not tensor.is_neg()


def _untouched(module):
    return not (module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module) or "__call__" in vars(module))
