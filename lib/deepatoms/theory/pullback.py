"""Shortcuts for pulling the slopes of many outputs back through one graph: the same slopes, with less memory moved.

Autograd pulls each output back anew. Below it, :class:`Pullback` uses what it cannot know: that the pieces stay the same from
output to output, and that nothing but the slope at the input is wanted.
"""

import itertools

import torch
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten


class Pullback(TorchDispatchMode):
    """Active during one forward pass and the backward passes of its outputs, one after another.

    Two shortcuts, each taken only where it is exact:

    * a convolution of few inputs (the first) is pulled back by one matrix product, some five times quicker;
    * pooling of rectified values, over windows apart from each other, is pulled back together with the ReLU below it: only
      chosen units that are on have a slope, and they are the same units for every output.
    """

    def __init__(self):
        super().__init__()
        self.kept, self.rectified, self.pools, self.masked = [], set(), {}, {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        rule = BACKWARD.get(func)
        output = rule(self, *args) if rule else None
        if output is None:
            output = func(*args, **(kwargs or {}))
        if func in RECTIFIERS and output.numel() * output.itemsize == output.untyped_storage().nbytes():
            self.rectified.add(self._keep(output))
        elif func is aten.max_pool2d_with_indices.default:
            self._remember_pool(*output, *args)
        return output

    def _keep(self, tensor):
        """Name a tensor by its storage, and keep that, so that no other gets the name."""
        self.kept.append(tensor.untyped_storage())
        return _name(tensor)

    def _remember_pool(self, values, positions, x, kernel, stride=(), padding=(0,), dilation=(1,), ceil_mode=False):
        apart = {*dilation} == {1} and min(stride or kernel) >= max(kernel)
        if apart and x.ndim == 4 and _name(x) in self.rectified:
            below = torch.zeros_like(x, memory_format=torch.contiguous_format)
            self.masked[self._keep(below)] = _name(x)
            self.pools[self._keep(positions)] = values.gt(0).to(x.dtype), positions.flatten(2), below

    def pooling(self, slope, x, kernel, stride, padding, dilation, ceil_mode, positions):
        """Return the slope below pooling and the ReLU under it, in a tensor that each output overwrites."""
        if _name(positions) not in self.pools:
            return None
        on, chosen, below = self.pools[_name(positions)]
        below.flatten(2).scatter_(2, chosen, (slope * on).flatten(2))
        return below

    def relu(self, slope, output, threshold):
        """Return the slope as it is where pooling has already kept to the units that are on."""
        return slope if self.masked.get(_name(slope)) == _name(output) else None

    def convolution(self, slope, x, weight, bias, stride, padding, dilation, transposed, _, groups, wanted):
        """Return the slope at the input of a convolution of single pixels, or of few inputs."""
        pixels = weight[0, 0].numel() == 1 and {*stride} == {1} and not any(padding)
        narrow = 3 * weight[0].numel() <= len(weight)
        if x.ndim != 4 or transposed or groups != 1 or list(wanted) != [True, False, False] or not (pixels or narrow):
            return None
        columns = weight.flatten(1).T @ slope.flatten(2)
        return columns.view(x.shape) if pixels else _fold(columns, x, weight, slope, stride, padding, dilation), None, None


def _name(tensor):
    return tensor.untyped_storage()._cdata


def _fold(columns, x, weight, slope, stride, padding, dilation):
    """Add the columns, (batch, channels * kernel, positions), up where they overlap: three times as quick as torch's fold."""
    columns = columns.unflatten(1, weight.shape[1:]).unflatten(-1, slope.shape[2:])
    (up, left), (height, width) = padding, x.shape[2:]
    total = columns.new_zeros(*x.shape[:2], height + 2 * up, width + 2 * left)
    for tap in itertools.product(*map(range, weight.shape[2:])):
        rows, places = (slice(at * gap, at * gap + step * count, step)
                        for at, gap, step, count in zip(tap, dilation, stride, slope.shape[2:], strict=True))
        total[:, :, rows, places] += columns[:, :, *tap]
    return total[:, :, up:up + height, left:left + width]


RECTIFIERS = {aten.relu.default, aten.relu_.default}
BACKWARD = {aten.max_pool2d_with_indices_backward.default: Pullback.pooling,
            aten.threshold_backward.default: Pullback.relu, aten.convolution_backward.default: Pullback.convolution}
