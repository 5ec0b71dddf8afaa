r"""Max-affine spline operators: every layer of a piecewise affine, convex network as a maximum of affine pieces.

.. math:: S[A,B](x)_k = \max_{r=1,\dots,R}\ \langle A_{k,r},x\rangle + B_{k,r} = (A[x]\,x+B[x])_k

Slopes A have shape (units, pieces, inputs) and offsets B shape (units, pieces). These explicit arrays are for reading and
for testing: they know nothing of autograd or of torch's convolutions. Propositions 1 to 4 of the spline paper build them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from deepatoms.theory.arguments import integer, real_array, refuse
from deepatoms.theory.piecewise import Wish, beyond_rounding, demand_affine, demand_any_company, demand_model, watch
from deepatoms.theory.signatures import named
from deepatoms.theory.untouched import untouched

REACH = 2.0**20  # how far along an axis a layer is looked at, so that its offset hides no slope
AXES = 64  # axes at a time

Sides = int | tuple[int, int]


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


def convolution(weight: torch.Tensor, bias: torch.Tensor | None, shape: tuple[int, int, int], stride: Sides = 1,
                padding: Sides = 0, groups: int = 1, dilation: Sides = 1) -> MaxAffine:
    """Return the operator of a convolution (Prop. 1): R = 1, A the multichannel convolution matrix.

    Args:
        weight: Filters in torch's layout, shape (out, in / groups, rows, columns).
        bias: Shape (out,) or None.
        shape: Input shape (channels, rows, columns).
        stride, padding, groups, dilation: As in torch.

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
    where = windows((shape[1], shape[2]), (weight.shape[2], weight.shape[3]), stride, padding, dilation)
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


def windows(plane: tuple[int, int], kernel: Sides, stride: Sides = 1, padding: Sides = 0, dilation: Sides = 1) -> torch.Tensor:
    """Return the cells of each window, shape (positions, cells), row-major; padding is numbered rows x columns.

    Raises:
        ValueError: If the kernel has no cells, or is larger than the padded plane.

    Source:
        The index table of im2col, standard.

    >>> windows((2, 2), (2, 2), 1, 0).tolist()
    [[0, 1, 2, 3]]
    """
    axes = []
    for size, side, step, before, gap in zip(plane, *map(_pair, (kernel, stride, padding, dilation)), strict=True):
        reach = integer("dilation", gap) * (integer("kernel", side) - 1) + 1
        if reach > size + 2 * integer("padding", before, 0):
            refuse("kernel", kernel, f"exceeds the padded plane of {' x '.join(map(str, _padded(plane, padding)))} cells",
                   "pass a smaller kernel or more padding")
        first = np.arange(0, size + 2 * before - reach + 1, integer("stride", step)) - before
        axes.append(first[:, None] + gap * np.arange(side))
    rows, columns = axes[0][:, None, :, None], axes[1][None, :, None, :]
    inside = (rows >= 0) & (rows < plane[0]) & (columns >= 0) & (columns < plane[1])
    cells = np.where(inside, rows * plane[1] + columns, plane[0] * plane[1])
    return torch.from_numpy(cells.reshape(cells.shape[0] * cells.shape[1], -1))


def _padded(plane, padding):
    return [size + 2 * before for size, before in zip(plane, _pair(padding), strict=True)]


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


def max_pooling(shape: tuple[int, int, int], kernel: Sides, stride: Sides | None = None, padding: Sides = 0,
                dilation: Sides = 1) -> MaxAffine:
    """Return the operator of max-pooling (Prop. 3): R is the pool size, the slopes are unit vectors, padding is never chosen.

    Raises:
        ValueError: If the kernel has no cells, or is larger than the padded plane.

    Source:
        Proposition 3 of the spline paper.

    >>> max_pooling((1, 2, 2), 2)(torch.tensor([[1.0, 4.0, 2.0, 3.0]], dtype=torch.float64)).item()
    4.0
    """
    channels, where, outside = _pools(shape, kernel, stride, padding, dilation)
    cells = shape[1] * shape[2]
    one_hot = nn.functional.one_hot(where, cells + 1)[..., :-1].double()  # (positions, pieces, cells)
    slopes = torch.einsum("ab,prd->apbrd", torch.eye(channels, dtype=torch.float64), one_hot)
    slopes = slopes.permute(0, 1, 3, 2, 4).reshape(channels * len(where), where.shape[1], channels * cells)
    offsets = torch.zeros(where.shape, dtype=torch.float64).masked_fill(outside, -torch.inf)
    return MaxAffine(slopes, offsets.repeat(channels, 1))


def average_pooling(shape: tuple[int, int, int], kernel: Sides, stride: Sides | None = None, padding: Sides = 0,
                    divisor: int | None = None) -> MaxAffine:
    """Return the operator of average-pooling (Prop. 3): R = 1; padded cells are not counted, unless a divisor is given.

    Raises:
        ValueError: If the kernel has no cells, or is larger than the padded plane.

    Source:
        Proposition 3 of the spline paper.

    >>> average_pooling((1, 2, 2), 2)(torch.tensor([[1.0, 4.0, 2.0, 3.0]], dtype=torch.float64)).item()
    2.5
    """
    pool = max_pooling(shape, kernel, stride, padding)
    inside = torch.isfinite(pool.offsets)
    counted = inside.sum(1) if divisor is None else torch.full((len(inside),), integer("divisor", divisor))
    mean = pool.slopes.sum(1, keepdim=True) / counted[:, None, None]
    return MaxAffine(mean, torch.zeros(len(mean), 1, dtype=torch.float64))


def _pools(shape, kernel, stride, padding, dilation):
    channels, rows, columns = shape
    where = windows((rows, columns), kernel, kernel if stride is None else stride, padding, dilation)
    return channels, where, where == rows * columns


def operators(layers: Iterable[nn.Module], shape: tuple[int, ...]) -> list[MaxAffine]:
    """Return the max-affine operator of every layer of a chain of modules, in order (flattening is left out).

    Each layer is watched, so that hooks and other forwards of its own show, and compared with its operator at two inputs and
    along each axis by itself, where no larger slope hides a smaller one.

    Args:
        layers: Iterable of Linear, Conv2d, BatchNorm2d (evaluation mode), ReLU, LeakyReLU, MaxPool2d, AvgPool2d, Flatten.
        shape: Shape of one input, (channels, rows, columns) or (inputs,).

    Raises:
        TypeError: If a layer has no operator here.
        ValueError: If a layer has an option that its operator cannot follow, or computes something else.

    Source:
        Propositions 1 to 3 of the spline paper.

    >>> [len(each.offsets) for each in operators([nn.Linear(3, 2), nn.ReLU()], (3,))]
    [2, 2]
    """
    found = []
    if not shape or not all(isinstance(side, int) and side > 0 for side in shape):
        refuse("shape", shape, "is not the shape of an input", "pass positive integers, (inputs,) or (channels, rows, columns)")
    for layer in layers:
        entry = _entry(layer)
        operator = None if entry.build is None else entry.build(layer, shape)
        found += [] if operator is None else [operator]
        shape = _demand_layer(layer, shape, operator, entry.operation)
    return found


class Recipe(NamedTuple):
    """How a kind of layer becomes an operator.

    Attributes:
        build: From the layer and the shape of its input to the operator; None where nothing is computed.
        used: Options that the operator follows, or that do not change what is computed.
        demanded: The only value of every other option.
        values: For some of the options followed, what they must fulfil.
        operation: The nonlinear operation of torch that the layer runs; None for an affine layer.
    """

    build: Callable[[Any, tuple], MaxAffine] | None
    used: tuple[str, ...] = ()
    demanded: dict[str, Any] = {}
    values: dict[str, Callable[[Any], bool]] = {}
    operation: str | None = None


def _entry(layer):
    """Return the table's entry of a layer, after all its options were looked at."""
    entry = LAYERS.get(type(layer))
    if entry is None:
        refuse("layers", layer, "has no operator here", "use affine_map, which takes any module", TypeError)
    demand_model(layer)
    for option, value in entry.demanded.items():
        if getattr(layer, option) != value:
            refuse("layers", layer, f"has {option}={getattr(layer, option)!r}, which its operator cannot follow",
                   f"use {option}={value!r}, or affine_map, which takes any module")
    for option, right in entry.values.items():
        if not right(getattr(layer, option)):
            refuse("layers", layer, f"has {option}={getattr(layer, option)!r}, which its operator cannot follow",
                   "use affine_map, which takes any module")
    return entry


def _zeros(layer, shape):
    first = next(layer.parameters(), torch.zeros(1, dtype=torch.float64, device="cpu"))
    return torch.zeros(1, *shape, dtype=first.dtype, device=first.device)


def _demand_layer(layer, shape, operator, operation):
    """Watch a layer, compare it with its operator, and return the shape of its output: what no option tells of shows here."""
    x = _zeros(layer, shape)
    if x.itemsize < 4:
        refuse("layers", layer, f"computes in {str(x.dtype).removeprefix('torch.')}", "pass layer.float(), which is no other")
    noise = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64, device="cpu").to(x)
    x = noise * x.new_tensor([1.0, 1e3]).reshape(-1, *[1] * len(shape))
    try:
        with untouched(layer), torch.no_grad():
            seen = _watched(layer, x, operation)
            wrong = _differs(seen, operator) or _differs_along_an_axis(layer, x[:1], operator)
    except ValueError as error:
        _refuse_other(layer, error)
    if wrong:
        _refuse_other(layer, "other values")
    return tuple(seen.trace.output.shape[1:])


def _differs(seen, operator):
    """Tell whether a layer's output is another than its operator's, by more than rounding of the numbers of that output."""
    x, found = seen.x.flatten(1), seen.trace.output.flatten(1)
    values = size = x
    if operator is not None:
        values = operator(x.to(operator.slopes)).to(x)
        terms = torch.einsum("nd,krd->nkr", x.to(operator.slopes).abs(), operator.slopes.abs())
        size = (terms + operator.offsets.abs().nan_to_num(posinf=0.0)).amax(2).to(x)
    if found.shape != values.shape:
        return True
    error, size = (each.abs().reshape(seen.trace.output.shape) for each in (found - values, size))
    return bool(beyond_rounding(seen, error, size, seen.x, held=False, tolerance=1e3 * torch.finfo(x.dtype).eps).any())


def _differs_along_an_axis(layer, x, operator):
    """Tell whether a layer differs from its operator where all inputs but one are 0."""
    axes = torch.eye(x.numel(), dtype=x.dtype, device=x.device)
    return any(_off(layer, sign * REACH * part, x, operator) for part in axes.split(AXES) for sign in (-1, 1))


def _off(layer, part, x, operator):
    found = layer(part.clone().reshape(-1, *x.shape[1:])).flatten(1)  # a layer may write into what it is given
    if operator is None:
        return not torch.equal(found, part)
    values, size = operator(part.to(operator.slopes)), operator.offsets.abs().nan_to_num(posinf=0.0).amax(1)
    return bool(((found.to(values) - values).abs() > 1e3 * torch.finfo(x.dtype).eps * (values.abs() + size)).any())


def _watched(layer, x, operation):
    """Return what is seen of a layer; it may run one nonlinear operation, treats its samples alike, and is affine but for it."""
    seen = watch(layer, x, Wish(pieces=True, signs=False))
    found = [each.operation for each in seen.trace.nonlinearities]
    if found != ([] if operation is None else [operation]):
        raise ValueError(f"it runs {', '.join(found) or 'no nonlinear operation'}")
    demand_affine(seen)
    demand_any_company(seen)
    return seen


def _refuse_other(layer, why):
    refuse("layers", layer, f"computes something else than its operator ({why})", "use affine_map, which takes any module")


def _linear(layer, shape):
    if len(shape) != 1:
        refuse("shape", shape, f"is not flat where {layer!r} reads it", "flatten it before")
    return fully_connected(layer.weight.detach().to_dense(), None if layer.bias is None else layer.bias.detach())


def _conv(layer, shape):
    _demand_image(layer, shape)
    bias = None if layer.bias is None else layer.bias.detach()
    return convolution(layer.weight.detach(), bias, shape, layer.stride, _conv_padding(layer), layer.groups, layer.dilation)


def _demand_image(layer, shape):
    if len(shape) != 3:
        refuse("shape", shape, f"is not (channels, rows, columns) where {layer!r} reads it", "pass the shape of one image")


def _conv_padding(layer):
    if layer.padding == "valid":
        return 0
    if layer.padding != "same":
        return layer.padding
    total = [gap * (side - 1) for gap, side in zip(layer.dilation, layer.kernel_size, strict=True)]
    if any(each % 2 for each in total):
        refuse("layers", layer, "has padding='same' of an even kernel, which pads one side more", "use an odd kernel")
    return total[0] // 2, total[1] // 2


def _batch_norm(layer, shape):
    _demand_image(layer, shape)
    if layer.running_mean is None:
        refuse("layers", layer, "takes its statistics from the batch", "use track_running_stats=True")
    scale = 1 / (layer.running_var + layer.eps).sqrt()
    scale = scale if layer.weight is None else (layer.weight * scale).detach()
    shift = -scale * layer.running_mean if layer.bias is None else layer.bias.detach() - scale * layer.running_mean
    cells = int(np.prod(shape[1:]))
    return fully_connected(torch.diag(scale.repeat_interleave(cells)), shift.repeat_interleave(cells))


def _max_pool(layer, shape):
    _demand_image(layer, shape)
    return max_pooling(shape, layer.kernel_size, layer.stride, layer.padding, layer.dilation)


def _average_pool(layer, shape):
    _demand_image(layer, shape)
    area = int(np.prod(_pair(layer.kernel_size)))
    divisor = layer.divisor_override or (area if layer.count_include_pad else None)
    return average_pooling(shape, layer.kernel_size, layer.stride, layer.padding, divisor)


# The options are those of the constructors; device, dtype and inplace change no number.
LAYERS = {
    nn.Linear: Recipe(_linear, ("in_features", "out_features", "bias")),
    nn.Conv2d: Recipe(_conv, ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "bias"),
                     {"padding_mode": "zeros"}),
    # In torch 2.13 and later it may leave out its bias alone.
    nn.BatchNorm2d: Recipe(_batch_norm, ("num_features", "eps", "momentum", "affine", "track_running_stats", "bias"),
                          {"training": False}),
    nn.ReLU: Recipe(lambda layer, shape: activation([0.0, 1.0], int(np.prod(shape))), operation="relu"),
    # Above 1, the larger of the two pieces is not the one that the layer selects.
    nn.LeakyReLU: Recipe(lambda layer, shape: activation([layer.negative_slope, 1.0], int(np.prod(shape))), ("negative_slope",),
                        values={"negative_slope": lambda slope: slope <= 1}, operation="leaky_relu"),
    nn.MaxPool2d: Recipe(_max_pool, ("kernel_size", "stride", "padding", "dilation"),
                        {"ceil_mode": False, "return_indices": False}, operation="max_pool2d_with_indices"),
    nn.AvgPool2d: Recipe(_average_pool, ("kernel_size", "stride", "padding", "count_include_pad", "divisor_override"),
                        {"ceil_mode": False}),
    nn.Flatten: Recipe(None, ("end_dim",), {"start_dim": 1})}


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

    Raises:
        ValueError: If x is no vector of finite numbers.

    Source:
        Eq. 5 of the spline paper, :eq:`spl-eq-5`.

    >>> [A.tolist() for A, _ in select([activation([0.0, 1.0], 2)], torch.tensor([-1.0, 1.0], dtype=torch.float64))]
    [[[0.0, 0.0], [0.0, 1.0]]]
    """
    selected, x = [], real_array("x", x, 1)
    for layer in layers:
        selected.append(layer.at(x))
        x = selected[-1][0] @ x + selected[-1][1]
    return selected

named(__name__)
