r"""Where the walls of torch's nonlinearities lie, and how the piece that a point selects goes on beyond its region.

One table, :data:`WALLS`. Each rule takes an operation's arguments *by the names of torch's own schema*, every one of them: what
the caller left out is filled in from the schema, so no default stands here, and an argument that a rule does not name refuses
the call. A rule returns what is compared (units that change sign, or cells that compete) and the output of the selected pieces.

An order of entries is kept as long as no two of them tie. Of the entry at some rank only its own ties count: its piece is where
the same entries lie above it, a convex set, and where it ties with another one that one comes into its place.
"""

import inspect
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from deepatoms.theory.signatures import named

aten = torch.ops.aten


class WallRule(NamedTuple):
    """What a nonlinearity does: a function of the copies and of its arguments; whether cells compete for a maximum."""

    function: Callable
    competing: bool = False

    @property
    def options(self) -> frozenset[str]:
        """Return the names of torch's arguments that the rule takes into account."""
        return frozenset(inspect.signature(self.function).parameters) - {"hold"}

    @property
    def needed(self) -> frozenset[str]:
        """Return those of them that every overload of the operation must have."""
        given = inspect.signature(self.function).parameters.values()
        return frozenset(each.name for each in given if each.default is each.empty) - {"hold"}


class Ranked(NamedTuple):
    """Cells of which not the largest is selected, but those at some ranks.

    Attributes:
        values: Shape (..., ranks, cells).
        ranks: The rank that each window selects, 0 for the largest.
    """

    values: torch.Tensor
    ranks: range


class Hold:
    """Repeat what the points of a batch select for their displaced copies.

    Args:
        copies: How many blocks of equally many rows the batch has; the first holds the points.
        points: Number of points.

    Raises:
        ValueError: If the rows of a tensor are not the points and their copies.
    """

    def __init__(self, copies: int, points: int) -> None:
        self.copies, self.points = copies, points

    def first(self, x: torch.Tensor) -> torch.Tensor:
        """Return the rows of the points."""
        if x.ndim == 0 or len(x) % (self.copies * self.points):
            raise ValueError(f"has a tensor of shape {tuple(x.shape)} that does not keep the {self.copies * self.points} samples "
                             "of the batch on its first axis; keep the batch there")
        return x[:len(x) // self.copies]

    def __call__(self, selected: torch.Tensor) -> torch.Tensor:
        """Repeat a selection made at the points."""
        return selected.repeat(self.copies, *[1] * (selected.ndim - 1))


def bound(func: Any, args: tuple, kwargs: dict) -> dict[str, Any]:
    """Return the arguments of a tensor operation by the names of its schema, those left out with torch's own defaults.

    Source:
        Standard.

    >>> bound(aten.leaky_relu.default, (1,), {})
    {'self': 1, 'negative_slope': 0.01}
    """
    given = dict(zip((argument.name for argument in func._schema.arguments), args, strict=False)) | kwargs
    return {argument.name: given.get(argument.name, argument.default_value) for argument in func._schema.arguments}


def _number(x):
    """Return truth values and integers as numbers that can be subtracted."""
    return x if not isinstance(x, torch.Tensor) or x.is_floating_point() else x.double()


def _signs(*levels):
    """Return levels side by side along a new last axis: the walls of each unit."""
    return levels[0][..., None] if len(levels) == 1 else torch.stack(torch.broadcast_tensors(*levels), -1)


def _relu(hold, self):
    return _signs(self), torch.where(hold(hold.first(self) > 0), self, 0.0)


def _lean(hold, x, slope):
    return _signs(x), torch.where(hold(hold.first(x) > 0), x, slope * x)


def _leaky(hold, self, negative_slope):
    return _lean(hold, self, negative_slope)


def _prelu(hold, self, weight):
    return _lean(hold, self, weight)


def _rrelu(hold, self, noise, lower, upper, training, generator):
    if training:
        raise ValueError("draws random slopes; call .eval() on the model")
    return _lean(hold, self, (lower + upper) / 2)


def _abs(hold, self):
    return _lean(hold, self, -1)


def _threshold(hold, self, threshold, value):
    on = hold(hold.first(self) > threshold)
    level = torch.ones_like(self) if math.isinf(threshold) else self - threshold
    return _signs(level), torch.where(on, self, torch.full_like(self, value))


def _between(hold, x, low, high, inside=None, ends=None):
    """Two walls a unit, at the lower and at the upper kink; one where the other is left out or infinite."""
    _demand_ordered(low, high)
    output = x if inside is None else inside
    levels = []
    for kink, beyond, above in zip((low, high), ends or (low, high), (False, True), strict=True):
        if kink is not None and not (isinstance(kink, (int, float)) and math.isinf(kink)):
            level = x - kink
            levels.append(torch.where(level.isfinite(), level, 1.0))  # at an infinite end of one unit there is no wall
            outside = hold(hold.first(level) > 0 if above else hold.first(level) < 0)
            output = torch.where(outside, torch.as_tensor(beyond, dtype=x.dtype, device=x.device), output)
    return (_signs(*levels) if levels else torch.ones_like(x)[..., None]), output.clone()


def _demand_ordered(low, high):
    if low is None or high is None:
        return
    crossed = low > high
    if bool(crossed.any() if isinstance(crossed, torch.Tensor) else crossed):
        raise ValueError("has a lower end above its upper end; exchange them")


def _hardtanh(hold, self, min_val, max_val):
    return _between(hold, self, min_val, max_val)


def _clamp(hold, self, min, max):
    return _between(hold, self, min, max)


def _clamp_min(hold, self, min):
    return _between(hold, self, min, None)


def _clamp_max(hold, self, max):
    return _between(hold, self, None, max)


def _hardsigmoid(hold, self):
    # The slope and the offset are torch's: in float64 its kernel multiplies by a sixth of single precision.
    low, middle, high = aten.hardsigmoid(torch.tensor([-2.0, 0.0, 2.0], dtype=self.dtype, device=self.device))
    return _between(hold, self, -3.0, 3.0, middle + (high - low) / 4 * self, (0.0, 1.0))


def _softshrink(hold, self, lambd):
    below, above = hold(hold.first(self) < -lambd), hold(hold.first(self) > lambd)
    shrunk = torch.where(above, self - lambd, torch.where(below, self + lambd, torch.zeros_like(self)))
    return _signs(self + lambd, self - lambd), shrunk


def _larger(sign):
    def rule(hold, self, other):
        level = self - other
        first = hold(sign * hold.first(level) >= 0)
        return _signs(level), torch.where(first, self, other)
    return rule


def _comparison(compare):
    def rule(hold, self, other):
        level = _number(self) - _number(other)
        return _signs(level), hold(compare(hold.first(level), 0))
    return rule


def _sign(hold, self):
    return _signs(self), hold(hold.first(self).sign())


def _norm(hold, self, ord, dim, keepdim, dtype=None):
    """The norm of order 1; the trace has refused the others, and conversions."""
    dims = list(range(self.ndim)) if dim is None or dim == [] else dim
    _demand_apart(dims, self)
    return _signs(self), torch.where(hold(hold.first(self) > 0), self, -self).sum(dims, keepdim)


def _norm_of_order_p(hold, self, p, dim, keepdim, dtype=None):
    return _norm(hold, self, p, dim, keepdim)


def _sort(hold, self, dim, descending, stable=None):
    """The order of entries changes where any two of them tie."""
    _demand_apart([dim], self)
    chosen, moved = hold(hold.first(self).sort(dim=dim, descending=descending, stable=True).indices), self.movedim(dim, -1)
    one, other = torch.triu_indices(moved.shape[-1], moved.shape[-1], 1, device=self.device)
    levels = moved[..., one] - moved[..., other] if len(one) else torch.ones_like(moved)[..., None]
    return levels, (self.gather(dim, chosen), chosen)


def _along(sign):
    """The first of the largest (or smallest) entries along one dimension, and its position."""
    def rule(hold, self, dim, keepdim):
        _demand_apart([dim], self)
        chosen = hold((sign * hold.first(self)).max(dim, keepdim=True).indices)
        return sign * self.movedim(dim, -1), _squeezed(self.gather(dim, chosen), chosen, dim, keepdim)
    return rule


def _squeezed(values, chosen, dim, keepdim):
    return (values, chosen) if keepdim else (values.squeeze(dim), chosen.squeeze(dim))


def _position(sign):
    def rule(hold, self, dim, keepdim):
        if dim is None:
            raise ValueError("goes over the batch as well; name a dimension")
        compared, (_, chosen) = _along(sign)(hold, self, dim, keepdim)
        return compared, chosen
    return rule


def _running(sign):
    """The largest (or smallest) of the entries so far: for each entry a window of those up to it."""
    def rule(hold, self, dim):
        _demand_apart([dim], self)
        moved, n = sign * self.movedim(dim, -1), self.shape[dim]
        so_far = torch.ones(n, n, dtype=torch.bool, device=self.device).tril()
        windows = torch.where(so_far, moved[..., None, :], -math.inf)
        chosen = hold(hold.first(windows).max(-1).indices).movedim(-1, dim)
        return windows, (self.gather(dim, chosen), chosen)
    return rule


def _at_ranks(hold, x, dim, sign, ranks):
    """The entries at some ranks along one dimension, from the largest (or smallest) on, and their positions."""
    _demand_apart([dim], x)
    moved = sign * x.movedim(dim, -1)
    order = hold.first(moved).sort(dim=-1, descending=True, stable=True).indices
    chosen = hold(order[..., list(ranks)]).movedim(-1, dim)
    windows = moved[..., None, :].expand(*moved.shape[:-1], len(ranks), -1)
    return Ranked(windows, ranks), (x.gather(dim, chosen), chosen)


def _topk(hold, self, k, dim, largest, sorted):
    if not sorted:
        raise ValueError("returns its entries in an order that torch leaves open; leave sorted=True")
    if k == 0:
        raise ValueError("returns nothing (k=0); take at least one entry")
    return _at_ranks(hold, self, dim, 1 if largest else -1, range(k))


def _kthvalue(hold, self, k, dim, keepdim):
    compared, found = _at_ranks(hold, self, dim, -1, range(k - 1, k))
    return compared, _squeezed(*found, dim, keepdim)


def _median(hold, self, dim, keepdim):
    """The lower one of two medians, as torch has it."""
    return _kthvalue(hold, self, (self.shape[dim] + 1) // 2, dim, keepdim)


def _extreme(sign):
    """The largest (or smallest) entry over some dimensions."""
    def rule(hold, self, dim, keepdim):
        dims = sorted(each % self.ndim for each in (dim or range(self.ndim)))
        _demand_apart(dims, self)
        moved = self.movedim(dims, list(range(-len(dims), 0))).flatten(-len(dims))
        chosen = hold((sign * hold.first(moved)).max(-1, keepdim=True).indices)
        output = moved.gather(-1, chosen).squeeze(-1)
        for each in dims if keepdim else ():
            output = output.unsqueeze(each)
        return sign * moved, output
    return rule


def _demand_apart(dims, x):
    if any(each % x.ndim == 0 for each in dims):
        raise ValueError("goes over the first axis, which must be the batch; put it first, and name the other dimensions")


def _max_pool(axes):
    def rule(hold, self, kernel_size, stride, padding, dilation, ceil_mode):
        pool = (aten.max_pool2d_with_indices, aten.max_pool3d_with_indices)[axes - 2]
        winner = pool(hold.first(self), kernel_size, stride, padding, dilation, ceil_mode)[1]
        window = [_sides(value, axes) for value in (kernel_size, stride or kernel_size, padding, dilation)]
        return _pooled(hold, self, winner, _cells(self.shape[-axes:], winner.shape[-axes:], *window))
    return rule


def _adaptive(axes):
    def rule(hold, self, output_size):
        pool = (aten.adaptive_max_pool2d, aten.adaptive_max_pool3d)[axes - 2]
        winner = pool(hold.first(self), output_size)[1]
        return _pooled(hold, self, winner, _adaptive_cells(self.shape[-axes:], winner.shape[-axes:]))
    return rule


def _pooled(hold, x, winner, cells):
    """Return the cells of every window (minus infinity in the padding), and the cell that each point selects."""
    axes, cells = cells.ndim - 1, cells.flatten(0, -2).to(x.device)
    flat, indices = x.flatten(-axes), hold(winner)
    candidates = torch.where(cells >= 0, flat[..., cells.clamp_min(0)], -math.inf)
    output = flat.gather(-1, indices.flatten(-axes)).reshape(*flat.shape[:-1], *winner.shape[-axes:])
    return candidates, (output, indices)


def _counted(count):
    """Return 0 .. count - 1, on the CPU whatever the default device is."""
    return torch.arange(count, device="cpu")


def _cells(plane, windows, kernel, stride, padding, dilation):
    """Return the position in the plane of every cell of every window, shape (*windows, cells); -1 in the padding."""
    axes = []
    for count, size, step, before, gap in zip(windows, kernel, stride, padding, dilation, strict=True):
        axes.append((_counted(count) * step - before)[:, None] + _counted(size) * gap)
    return _positions(plane, axes)


def _adaptive_cells(plane, windows):
    """Windows from floor(i n / m) to ceil((i + 1) n / m), filled up to the widest with cells outside."""
    axes = []
    for size, count in zip(plane, windows, strict=True):
        start, end = _counted(count) * size // count, -(-(_counted(count) + 1) * size // count)
        places = start[:, None] + _counted(int((end - start).max()))
        axes.append(torch.where(places < end[:, None], places, -1))
    return _positions(plane, axes)


def _positions(plane, axes):
    """Return the flat positions of the cells of windows given axis by axis; -1 where any axis leaves the plane."""
    position, n = _counted(1), len(plane)
    inside = position == 0
    for axis, (size, places) in enumerate(zip(plane, axes, strict=True)):
        places = places.reshape(*(len(places) if i == axis else 1 for i in range(n)),
                                *(places.shape[1] if i == axis else 1 for i in range(n)))
        position, inside = position * size + places, inside & (places >= 0) & (places < size)
    return torch.where(inside, position, -1).flatten(n)


def _sides(value, axes):
    value = [value] if isinstance(value, int) else list(value)
    return value * axes if len(value) == 1 else value


SIGNS = {
    "relu": _relu, "leaky_relu": _leaky, "_prelu_kernel": _prelu, "rrelu_with_noise": _rrelu, "abs": _abs,
    "threshold": _threshold, "hardtanh": _hardtanh, "hardsigmoid": _hardsigmoid, "clamp": _clamp, "clamp_min": _clamp_min,
    "clamp_max": _clamp_max, "softshrink": _softshrink, "maximum": _larger(1), "minimum": _larger(-1), "fmax": _larger(1),
    "fmin": _larger(-1), "gt": _comparison(torch.gt), "ge": _comparison(torch.ge), "lt": _comparison(torch.lt),
    "le": _comparison(torch.le), "sign": _sign, "sgn": _sign, "linalg_vector_norm": _norm, "norm": _norm_of_order_p,
    "sort": _sort}
CONTESTS = {
    "max": _along(1), "min": _along(-1), "argmax": _position(1), "argmin": _position(-1), "cummax": _running(1),
    "cummin": _running(-1), "topk": _topk, "kthvalue": _kthvalue, "median": _median, "nanmedian": _median,
    "amax": _extreme(1), "amin": _extreme(-1), "max_pool2d_with_indices": _max_pool(2),
    "max_pool3d_with_indices": _max_pool(3), "adaptive_max_pool2d": _adaptive(2), "adaptive_max_pool3d": _adaptive(3)}
WALLS = {name: WallRule(function, function in CONTESTS.values()) for name, function in {**SIGNS, **CONTESTS}.items()}
# Arguments of which only the first may depend on the input.
FIRST_ONLY = frozenset(("leaky_relu", "_prelu_kernel", "clamp", "clamp_min", "clamp_max", "hardtanh"))

named(__name__)
