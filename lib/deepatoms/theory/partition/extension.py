r"""The affine pieces of a network around points, each continued beyond its own region.

A batch holds each point p followed by p + d for every direction d. Affine operations run as they are; at a nonlinearity
the piece that p selects is applied to p + d as well. So the batch carries the affine map of p's region, at the points and
along the directions, without a derivative being taken, and the walls of the region are where its units' values vanish.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from deepatoms.theory.arguments import refuse
from deepatoms.theory.piecewise import Model, NotPiecewiseAffineError, trace


@dataclass(frozen=True, eq=False)
class Pieces:
    """The affine functions that one nonlinearity compares on the regions of some points.

    Attributes:
        layer: Position among the network's nonlinearities.
        operation: The tensor operation.
        at: Values at the points, shape (points, units) of what changes sign, or (points, windows, cells) of what competes.
        slopes: Change along each direction, shape (directions, *at.shape).
        shape: Shape of one sample's units or windows before they were flattened.
    """

    layer: int
    operation: str
    at: torch.Tensor
    slopes: torch.Tensor
    shape: tuple

    @property
    def competing(self) -> bool:
        """Tell whether cells compete for a maximum (pooling), rather than units for a sign."""
        return self.at.ndim == 3


class _Stop(Exception):
    """Raised inside a forward pass to leave it at the wanted nonlinearity."""


def observe(model: Model, points: torch.Tensor, directions: torch.Tensor,
            layer: int | None = None) -> tuple[list[Pieces], Any]:
    r"""Return the pieces at one nonlinearity (or at all), and the network's affine map, on the regions of some points.

    Args:
        model: A module in evaluation mode, made of affine operations, ReLU-like activations and max-pooling.
        points: Shape (points, ...); inside their regions, not on a wall.
        directions: Shape (directions, ...).
        layer: Position of a nonlinearity: the forward pass ends there; None for all of them and the output.

    Returns:
        A list of :class:`Pieces`; and the output at the points and its change along each direction, shape
        (1 + directions, points, outputs), None if the pass ended before.

    Source:
        Ours; the pieces are those of Eq. 14, :eq:`spl-eq-14`, and the map that of Theorem 1, :eq:`spl-thm-1`.

    >>> pieces, output = observe(torch.nn.ReLU(), torch.tensor([[3.0, -0.5]]), torch.tensor([[1.0, 1.0]]))
    >>> pieces[0].at.tolist(), output[1].tolist()
    ([[3.0, -0.5]], [[1.0, 0.0]])
    """
    batch = torch.cat([points, *(points + direction for direction in directions)])
    mode = _Extension(len(points), layer)
    output = None
    with torch.no_grad():
        try:
            with mode:
                output = model(batch)
        except _Stop:
            pass
    if output is not None:
        output = _affine(output.reshape(1 + len(directions), len(points), -1))
    return mode.found, output


def demand_known(model: Model, x: torch.Tensor) -> int:
    """Refuse a network that is not piecewise affine, or has a nonlinearity whose walls are not known here; count them.

    Raises:
        deepatoms.theory.piecewise.NotPiecewiseAffineError: If an operation is not piecewise affine, or its
            walls are not known here.

    Source:
        Standard.

    >>> demand_known(torch.nn.ReLU(), torch.ones(1, 2))
    1
    """
    with torch.no_grad():
        found = trace(model, x).nonlinearities
    for each in found:
        if each.operation not in WALLS:
            known = ", ".join(sorted(WALLS))
            raise NotPiecewiseAffineError(f"{each.operation} in layer {each.where!r} has walls that exact slices do not know; "
                                          f"they know {known}")
    return len(found)


def _affine(values):
    return torch.cat([values[:1], values[1:] - values[:1]])


class _Extension(TorchDispatchMode):
    """Apply at every nonlinearity the pieces that the first ``points`` samples of the batch select."""

    def __init__(self, points, last):
        super().__init__()
        self.points, self.last, self.found = points, last, []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name.removeprefix("aten::")
        rule = WALLS.get(name.removesuffix("_"))
        if rule is None:
            return func(*args, **(kwargs or {}))
        compared, output = rule(self.points, *args, **(kwargs or {}))
        self._note(name.removesuffix("_"), compared)
        if name.endswith("_"):
            return args[0].copy_(output)
        return output

    def _note(self, operation, compared):
        layer = len(self.found)
        if self.last in (None, layer):
            values = compared.reshape(-1, self.points, *compared.shape[1:])
            shape = tuple(values.shape[2:4 if operation in POOLS else None])
            values = values.flatten(2, 3) if operation in POOLS else values.flatten(2)
            values = _affine(values)
            self.found.append(Pieces(layer, operation, values[0], values[1:], shape))
        else:
            self.found.append(None)
        if layer == self.last:
            raise _Stop


def _like(selected, x, points):
    """Repeat what the points select for their displaced copies."""
    return selected.repeat(len(x) // points, *[1] * (selected.ndim - 1))


def _relu(points, x):
    return x, x * _like(x[:points] > 0, x, points)


def _leaky(points, x, slope=0.01):
    return x, torch.where(_like(x[:points] > 0, x, points), x, slope * x)


def _abs(points, x):
    return x, torch.where(_like(x[:points] > 0, x, points), x, -x)


def _between(points, x, low=-1.0, high=1.0):
    """Two walls a unit, side by side along a new last axis: at the lower and at the upper kink."""
    low, high = (-math.inf if low is None else low), (math.inf if high is None else high)
    below, above = _like(x[:points] < low, x, points), _like(x[:points] > high, x, points)
    finite = [end for end in (low, high) if math.isfinite(end)]
    inside = torch.where(below | above, torch.zeros_like(x), x)
    for end, beyond in ((low, below), (high, above)):
        inside = torch.where(beyond, torch.full_like(x, end), inside)
    return torch.stack([x - end for end in finite], -1), inside


def _clamp_min(points, x, low):
    return _between(points, x, low, None)


def _max_pool(points, x, kernel, stride=(), padding=(0,), dilation=(1,), ceil_mode=False):
    """Return the cells of every window (minus infinity in the padding), and the cell that each point selects."""
    plane = torch.arange(x[0, 0].numel(), dtype=x.dtype, device=x.device).reshape(1, 1, *x.shape[-2:])
    _, winner = torch.ops.aten.max_pool2d_with_indices(x[:points], kernel, stride, padding, dilation, ceil_mode)
    cells = _cells(plane, winner.shape[-2:], kernel, stride, padding, dilation)
    flat = x.flatten(-2)
    candidates = torch.where(cells >= 0, flat[..., cells.clamp_min(0)], -math.inf)
    indices = _like(winner, x, points)
    output = flat.gather(-1, indices.flatten(-2)).reshape(*flat.shape[:-1], *winner.shape[-2:])
    return candidates, (output, indices)


def _cells(plane, size, kernel, stride, padding, dilation):
    """Return the position in the plane of every cell of every window, shape (windows, cells); -1 in the padding."""
    kernel, stride, padding, dilation = (_pair(value) for value in (kernel, stride or kernel, padding, dilation))
    axes = []
    for axis in (0, 1):
        start = torch.arange(size[axis], device=plane.device) * stride[axis] - padding[axis]
        axes.append(start[:, None] + torch.arange(kernel[axis], device=plane.device) * dilation[axis])
    rows, columns = axes[0][:, None, :, None], axes[1][None, :, None, :]
    height, width = plane.shape[-2:]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    return torch.where(inside, rows * width + columns, -1).flatten(2).flatten(0, 1)


def _pair(value):
    return tuple(value) * 2 if len(value) == 1 else tuple(value)


WALLS = {"relu": _relu, "leaky_relu": _leaky, "_prelu_kernel": _leaky, "abs": _abs, "hardtanh": _between,
         "clamp": _between, "clamp_min": _clamp_min, "max_pool2d_with_indices": _max_pool}
POOLS = ("max_pool2d_with_indices",)


def demand_double(name: str, value: torch.Tensor) -> torch.Tensor:
    """Refuse what is not float64: the geometry of thin regions needs it.

    Raises:
        ValueError: If the value is not float64.

    Source:
        Standard.

    >>> demand_double("x", torch.ones(1, dtype=torch.float64)).item()
    1.0
    """
    if value.dtype != torch.float64:
        refuse(name, value, "is not float64", "convert it and the model with .double(): thin regions need the digits")
    return value
