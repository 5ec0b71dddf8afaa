"""Shortcuts for pulling the slopes of many outputs back through one graph: the same slopes, with less memory moved.

Autograd pulls each output back anew. Below it, :class:`Pullback` uses what it cannot know: that the pieces stay the same from
output to output, and that nothing but the slope at the input is wanted.
"""

import itertools
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

aten = torch.ops.aten


class Pool(NamedTuple):
    """What aten's max_pool2d_with_indices is called with, in its order."""

    x: torch.Tensor
    kernel: Any
    stride: Any = ()
    padding: Any = (0,)
    dilation: Any = (1,)
    ceil_mode: bool = False

    @property
    def apart(self) -> bool:
        """Tell whether no cell lies in two windows, so that each has at most one slope."""
        return {*self.dilation} == {1} and min(self.stride or self.kernel) >= max(self.kernel)


class Convolution(NamedTuple):
    """What aten's convolution_backward is called with, in its order."""

    slope: torch.Tensor
    x: torch.Tensor
    weight: torch.Tensor
    bias_sizes: Any
    stride: Any
    padding: Any
    dilation: Any
    transposed: bool
    output_padding: Any
    groups: int
    wanted: Any

    @property
    def pixels(self) -> bool:
        """Tell whether each output reads a single pixel."""
        return self.weight[0, 0].numel() == 1 and {*self.stride} == {1} and not any(self.padding)

    @property
    def plain(self) -> bool:
        """Tell whether it is one of images, not transposed or in groups, and asks for the slope at its input only."""
        return self.x.ndim == 4 and not self.transposed and self.groups == 1 and list(self.wanted) == [True, False, False]

    @property
    def few(self) -> bool:
        """Tell whether it reads few channels in single precision, in columns of at most three times the slope's memory."""
        return (self.weight.shape[1] <= 4 and self.slope.dtype == torch.float32
                and self.weight[0].numel() <= 3 * len(self.weight))


class Pullback(TorchDispatchMode):
    """Active during one forward pass and the backward passes of its outputs, one after another.

    Two shortcuts, each taken only where it is exact, and one slope more exact than torch's:

    * a convolution of few channels (the first) is pulled back in single precision by one matrix product (1.2 to 14
      times as quick where it was timed);
    * pooling of rectified values, over windows apart from each other, is pulled back together with the ReLU below it: only
      chosen units that are on have a slope, and they are the same units for every output;
    * a hard sigmoid in float64 has the slope 1/6, not the sixth in single precision of torch's own kernel.
    """

    def __init__(self):
        super().__init__()
        self.kept, self.rectified, self.pools, self.masked = [], {}, {}, {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        rule = BACKWARD.get(func)
        output = rule(self, *args) if rule else None
        if output is None:
            output = func(*args, **(kwargs or {}))
        if func in RECTIFIERS and output.numel() * output.itemsize == output.untyped_storage().nbytes():
            self.rectified[self._keep(output)] = output._version
        elif func is aten.max_pool2d_with_indices.default:
            self._remember_pool(*output, Pool(*args))
        return output

    def _keep(self, tensor):
        """Name a tensor by its storage, and keep that, so that no other gets the name."""
        self.kept.append(tensor.untyped_storage())
        return _name(tensor)

    def _remember_pool(self, values, positions, pool):
        # What was overwritten since it was rectified has another version.
        if pool.apart and pool.x.ndim == 4 and self.rectified.get(_name(pool.x)) == pool.x._version:
            below = torch.zeros_like(pool.x, memory_format=torch.contiguous_format)
            self.masked[self._keep(below)] = _name(pool.x)
            self.pools[self._keep(positions)] = values.gt(0).to(pool.x.dtype), positions.flatten(2), below

    def pooling(self, slope: torch.Tensor, *rest: Any) -> torch.Tensor | None:
        """Return the slope below pooling and the ReLU under it, in a tensor that each output overwrites."""
        positions = rest[-1]
        if _name(positions) not in self.pools:
            return None
        on, chosen, below = self.pools[_name(positions)]
        below.flatten(2).scatter_(2, chosen, (slope * on).flatten(2))
        return below

    def relu(self, slope: torch.Tensor, output: torch.Tensor, threshold: float) -> torch.Tensor | None:
        """Return the slope as it is where pooling has already kept to the units that are on."""
        return slope if self.masked.get(_name(slope)) == _name(output) else None

    def hardsigmoid(self, slope: torch.Tensor, x: torch.Tensor) -> torch.Tensor | None:
        """Return the slope below a hard sigmoid; torch's own multiplies by a sixth in single precision, 3e-8 off."""
        return slope * ((x > -3) & (x < 3)) / 6 if slope.dtype == torch.float64 else None

    def convolution(self, *given: Any) -> tuple[torch.Tensor, None, None] | None:
        """Return the slope at the input of a convolution of single pixels, or of few channels."""
        call = Convolution(*given)
        if not call.plain or not (call.pixels or call.few):
            return None
        columns = call.weight.flatten(1).T @ call.slope.flatten(2)
        return columns.view(call.x.shape) if call.pixels else _fold(columns, call), None, None


def _name(tensor):
    return tensor.untyped_storage()._cdata


def _fold(columns, call):
    """Add the columns, (batch, channels * kernel, positions), up where they overlap: three times as quick as torch's fold."""
    columns = columns.unflatten(1, call.weight.shape[1:]).unflatten(-1, call.slope.shape[2:])
    (up, left), (height, width) = call.padding, call.x.shape[2:]
    total = columns.new_zeros(*call.x.shape[:2], height + 2 * up, width + 2 * left)
    with _disable_current_modes():  # to show each tap to what watches the model would take longer than to add it
        for tap in itertools.product(*map(range, call.weight.shape[2:])):
            rows, places = (slice(at * gap, at * gap + step * count, step)
                            for at, gap, step, count in zip(tap, call.dilation, call.stride, call.slope.shape[2:], strict=True))
            total[:, :, rows, places] += columns[:, :, *tap]
    return total[:, :, up:up + height, left:left + width]


RECTIFIERS = {aten.relu.default, aten.relu_.default}
BACKWARD = {aten.max_pool2d_with_indices_backward.default: Pullback.pooling,
            aten.threshold_backward.default: Pullback.relu, aten.hardsigmoid_backward.default: Pullback.hardsigmoid,
            aten.convolution_backward.default: Pullback.convolution}
