r"""Max-affine spline operators: every layer of a piecewise affine, convex network as a maximum of affine pieces.

.. math:: S[A,B](x)_k = \max_{r=1,\dots,R}\ \langle A_{k,r},x\rangle + B_{k,r} = (A[x]\,x+B[x])_k

Slopes A have shape (units, pieces, inputs) and offsets B shape (units, pieces). These explicit arrays are for reading and
for testing: they know nothing of autograd or of torch's convolutions. Propositions 1 to 4 of the spline paper build them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from deepatoms.theory.arguments import integer, real_array, refuse


@dataclass(frozen=True)
class MaxAffine:
    """A max-affine spline operator; where pieces tie, the lowest is selected.

    Attributes:
        slopes: A, shape (units, pieces, inputs).
        offsets: B, shape (units, pieces).

    Source:
        Eqs. 4 and 5, :eq:`spl-eq-5`.

    >>> relu = activation([0.0, 1.0], units=2)
    >>> relu(torch.tensor([[-1.0, 3.0]], dtype=torch.float64)).tolist()
    [[0.0, 3.0]]
    """

    slopes: torch.Tensor
    offsets: torch.Tensor

    def __post_init__(self) -> None:
        real_array("slopes", self.slopes, rank=3)
        if self.slopes.shape[:2] != self.offsets.shape:
            refuse("offsets", self.offsets, f"do not match slopes of shape {tuple(self.slopes.shape)}",
                   "pass one offset for each unit and piece")

    def pieces(self, x: torch.Tensor) -> torch.Tensor:
        """Return the values of all pieces, shape (batch, units, pieces), for x of shape (batch, inputs)."""
        return torch.einsum("krd,nd->nkr", self.slopes, x) + self.offsets

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the largest piece of each unit, shape (batch, units)."""
        return self.pieces(x).max(-1).values

    def selected(self, x: torch.Tensor) -> torch.Tensor:
        """Return the number of the largest piece, the code of Eq. 14, shape (batch, units)."""
        return self.pieces(x).max(-1).indices

    def at(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        r"""Return :math:`A[x]`, shape (units, inputs), and :math:`B[x]`, shape (units,), for one x of shape (inputs,)."""
        chosen = self.selected(x[None])[0]
        units = torch.arange(len(chosen), device=x.device)
        return self.slopes[units, chosen], self.offsets[units, chosen]

    def after(self, affine: MaxAffine) -> MaxAffine:
        """Return the layer "this operator after an affine one" (Prop. 4), again a max-affine spline operator.

        Raises:
            ValueError: If ``affine`` has more than one piece.
        """
        if affine.slopes.shape[1] != 1:
            refuse("affine", affine.slopes, f"has {affine.slopes.shape[1]} pieces", "pass an operator with one piece")
        slopes = torch.einsum("krj,jd->krd", self.slopes, affine.slopes[:, 0])
        return MaxAffine(slopes, self.offsets + self.slopes @ affine.offsets[:, 0])


def fully_connected(weight: torch.Tensor, bias: torch.Tensor | None = None) -> MaxAffine:
    """Return the operator of a matrix (Prop. 1): R = 1, A = weight of shape (units, inputs), B = bias.

    Source:
        Proposition 1 of the spline paper.

    >>> fully_connected(torch.eye(2))(torch.tensor([[1.0, 2.0]])).tolist()
    [[1.0, 2.0]]
    """
    bias = weight.new_zeros(len(weight)) if bias is None else bias
    return MaxAffine(weight[:, None], bias[:, None])


def convolution(weight: torch.Tensor, bias: torch.Tensor | None, shape: tuple[int, int, int], stride: int = 1,
                padding: int = 0, groups: int = 1) -> MaxAffine:
    """Return the operator of a convolution (Prop. 1): R = 1, A the multichannel convolution matrix.

    Args:
        weight: Filters in torch's layout, shape (out, in / groups, rows, columns).
        bias: Shape (out,) or None.
        shape: Input shape (channels, rows, columns).
        stride, padding, groups: As in torch.

    Raises:
        ValueError: If the filters do not read as many channels as the input has.

    Source:
        Proposition 1 of the spline paper.

    >>> convolution(torch.ones(1, 1, 2, 2), None, (1, 2, 3)).slopes[:, 0].tolist()
    [[1.0, 1.0, 0.0, 1.0, 1.0, 0.0], [0.0, 1.0, 1.0, 0.0, 1.0, 1.0]]
    """
    channels, rows, columns = shape
    outputs, per_group = weight.shape[:2]
    if per_group * groups != channels:
        refuse("weight", weight, f"reads {per_group * groups} channels, not the {channels} of shape = {shape}",
               "match channels and groups")
    where = windows((shape[1], shape[2]), (weight.shape[2], weight.shape[3]), stride, padding)
    positions, cells = where.shape
    matrix = weight.new_zeros(outputs, positions, channels, rows * columns + 1)  # the last cell stands for padding
    for out in range(outputs):
        first = out // (outputs // groups) * per_group
        for channel in range(per_group):
            filled = weight[out, channel].reshape(1, cells).expand(positions, cells)
            matrix[out, :, first + channel].scatter_add_(1, where, filled)
    matrix = matrix[..., :-1].reshape(outputs * positions, 1, channels * rows * columns)
    bias = weight.new_zeros(outputs) if bias is None else bias
    return MaxAffine(matrix, bias.repeat_interleave(positions)[:, None])


def windows(plane: tuple[int, int], kernel: int | tuple[int, int], stride: int = 1, padding: int = 0) -> torch.Tensor:
    """Return the cells of each window, shape (positions, cells), row-major; padding is numbered rows x columns.

    Raises:
        ValueError: If the kernel has no cells, or is larger than the padded plane.

    Source:
        The index table of im2col, standard.

    >>> windows((2, 2), (2, 2), 1, 0).tolist()
    [[0, 1, 2, 3]]
    """
    (rows, columns), (high, wide) = plane, (integer("kernel", side) for side in _pair(kernel))
    if high > rows + 2 * padding or wide > columns + 2 * padding:
        refuse("kernel", kernel, f"exceeds the padded plane of {rows + 2 * padding} x {columns + 2 * padding} cells",
               "pass a smaller kernel or more padding")
    padded = np.full((rows + 2 * padding, columns + 2 * padding), rows * columns)
    padded[padding:padding + rows, padding:padding + columns] = np.arange(rows * columns).reshape(rows, columns)
    seen = np.lib.stride_tricks.sliding_window_view(padded, (high, wide))[::stride, ::stride]
    return torch.from_numpy(seen.reshape(-1, high * wide).copy())


def _pair(value):
    return (value, value) if isinstance(value, int) else tuple(value)


def activation(slopes: Sequence[float], units: int, offsets: Sequence[float] | None = None) -> MaxAffine:
    r"""Return the operator of an activation (Prop. 2): piece r of unit k is :math:`s_r u_k + t_r`.

    ReLU has slopes (0, 1), leaky ReLU (nu, 1) with nu <= 1, the absolute value (-1, 1); all offsets are 0, which needs a
    single kink at 0.

    Raises:
        ValueError: If ``units`` is no positive integer.

    Source:
        Proposition 2 of the spline paper.

    >>> activation([-1.0, 1.0], 1)(torch.tensor([[-2.0]], dtype=torch.float64)).item()
    2.0
    """
    s = torch.as_tensor(slopes, dtype=torch.float64)
    t = torch.zeros_like(s) if offsets is None else torch.as_tensor(offsets, dtype=torch.float64)
    eye = torch.eye(integer("units", units), dtype=torch.float64)
    return MaxAffine(s[:, None] * eye[:, None, :], t.expand(units, -1))


def max_pooling(shape: tuple[int, int, int], kernel: int | tuple[int, int], stride: int | None = None,
                padding: int = 0) -> MaxAffine:
    """Return the operator of max-pooling (Prop. 3): R is the pool size, the slopes are unit vectors, padding is never chosen.

    Raises:
        ValueError: If the kernel has no cells, or is larger than the padded plane.

    Source:
        Proposition 3 of the spline paper.

    >>> max_pooling((1, 2, 2), 2)(torch.tensor([[1.0, 4.0, 2.0, 3.0]], dtype=torch.float64)).item()
    4.0
    """
    channels, where, outside = _pools(shape, kernel, stride, padding)
    cells = shape[1] * shape[2]
    one_hot = nn.functional.one_hot(where, cells + 1)[..., :-1].double()  # (positions, pieces, cells)
    slopes = torch.einsum("ab,prd->apbrd", torch.eye(channels, dtype=torch.float64), one_hot)
    slopes = slopes.permute(0, 1, 3, 2, 4).reshape(channels * len(where), where.shape[1], channels * cells)
    offsets = torch.zeros(where.shape, dtype=torch.float64).masked_fill(outside, -torch.inf)
    return MaxAffine(slopes, offsets.repeat(channels, 1))


def average_pooling(shape: tuple[int, int, int], kernel: int | tuple[int, int], stride: int | None = None,
                    padding: int = 0) -> MaxAffine:
    """Return the operator of average-pooling (Prop. 3): R = 1; padded cells are not counted.

    Raises:
        ValueError: If the kernel has no cells, or is larger than the padded plane.

    Source:
        Proposition 3 of the spline paper.

    >>> average_pooling((1, 2, 2), 2)(torch.tensor([[1.0, 4.0, 2.0, 3.0]], dtype=torch.float64)).item()
    2.5
    """
    pool = max_pooling(shape, kernel, stride, padding)
    inside = torch.isfinite(pool.offsets)
    mean = pool.slopes.sum(1, keepdim=True) / inside.sum(1)[:, None, None]
    return MaxAffine(mean, torch.zeros(len(mean), 1, dtype=torch.float64))


def _pools(shape, kernel, stride, padding):
    channels, rows, columns = shape
    stride = _pair(kernel)[0] if stride is None else stride
    where = windows((rows, columns), kernel, stride, padding)
    return channels, where, where == rows * columns


def operators(layers: Iterable[nn.Module], shape: tuple[int, ...]) -> list[MaxAffine]:
    """Return the max-affine operator of every layer of a chain of modules, in order (flattening is left out).

    Args:
        layers: Iterable of Linear, Conv2d, BatchNorm2d (evaluation mode), ReLU, LeakyReLU, MaxPool2d, AvgPool2d, Flatten.
        shape: Shape of one input, (channels, rows, columns) or (inputs,).

    Raises:
        TypeError: If a layer has no operator here.

    Source:
        Propositions 1 to 3 of the spline paper.

    >>> [len(each.offsets) for each in operators([nn.Linear(3, 2), nn.ReLU()], (3,))]
    [2, 2]
    """
    found = []
    for layer in layers:
        if isinstance(layer, nn.Flatten):
            shape = (int(np.prod(shape)),)
            continue
        found.append(_operator(layer, shape))
        with torch.no_grad():
            shape = tuple(layer(torch.zeros(1, *shape, dtype=found[-1].slopes.dtype)).shape[1:])
    return found


def _operator(layer, shape):
    if isinstance(layer, nn.Linear):
        return fully_connected(layer.weight.detach(), None if layer.bias is None else layer.bias.detach())
    if isinstance(layer, nn.Conv2d):
        bias = None if layer.bias is None else layer.bias.detach()
        return convolution(layer.weight.detach(), bias, shape, layer.stride[0], layer.padding[0], layer.groups)
    if isinstance(layer, nn.BatchNorm2d) and not layer.training:
        return _batch_norm(layer, shape)
    if isinstance(layer, (nn.ReLU, nn.LeakyReLU)):
        slope = getattr(layer, "negative_slope", 0.0)
        return activation([slope, 1.0], int(np.prod(shape)))
    if isinstance(layer, nn.MaxPool2d):
        return max_pooling(shape, layer.kernel_size, layer.stride, layer.padding)
    if isinstance(layer, nn.AvgPool2d):
        return average_pooling(shape, layer.kernel_size, layer.stride, layer.padding)
    return refuse("layers", layer, "has no operator here", "use affine_map, which takes any module", TypeError)


def _batch_norm(layer, shape):
    scale = (layer.weight / (layer.running_var + layer.eps).sqrt()).detach()
    shift = layer.bias.detach() - scale * layer.running_mean
    cells = int(np.prod(shape[1:]))
    return fully_connected(torch.diag(scale.repeat_interleave(cells)), shift.repeat_interleave(cells))


def chain_map(selected: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> tuple[torch.Tensor, torch.Tensor]:
    r"""Multiply out the selected pieces of a chain of layers, first layer first.

    .. math:: A = A^{(L)}[x]\cdots A^{(1)}[x], \qquad B = \sum_\ell A^{(L)}[x]\cdots A^{(\ell+1)}[x]\,B^{(\ell)}[x]

    Args:
        selected: List of pairs (A[x], B[x]), such as :func:`select` returns.

    Returns:
        A, shape (outputs, inputs), and B, shape (outputs,).

    Source:
        Eq. 7, :eq:`spl-eq-7`.

    >>> A, B = chain_map([(2 * torch.eye(1), torch.ones(1)), (3 * torch.eye(1), torch.ones(1))])
    >>> A.item(), B.item()
    (6.0, 4.0)
    """
    A, B = selected[0]
    for slopes, offsets in selected[1:]:
        A, B = slopes @ A, slopes @ B + offsets
    return A, B


def select(layers: Iterable[MaxAffine], x: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Run one input through max-affine operators and return each one's selected piece, a list of pairs (A[x], B[x]).

    Source:
        Eq. 5 of the spline paper, :eq:`spl-eq-5`.

    >>> [A.tolist() for A, _ in select([activation([0.0, 1.0], 2)], torch.tensor([-1.0, 1.0], dtype=torch.float64))]
    [[[0.0, 0.0], [0.0, 1.0]]]
    """
    selected = []
    for layer in layers:
        selected.append(layer.at(x))
        x = selected[-1][0] @ x + selected[-1][1]
    return selected
