r"""What each operation of torch does to a tensor that depends on the input: the table behind :mod:`deepatoms.theory.piecewise`.

An operation is affine in what depends on the input (``AFFINE``), or selects among affine pieces (``PIECES``), or is refused.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from deepatoms.theory.signatures import named


class Affine(NamedTuple):
    """An operation that is affine in its arguments, as far as they depend on the input.

    Attributes:
        products: Pairs of positions whose arguments are multiplied: one of the two at most may depend on the input.
        settled: Positions of arguments that must not depend on the input, but through selected pieces.
        signs: From the arguments, pairs of a position and the factors that its argument is multiplied with.
    """

    products: tuple[tuple[int, int], ...] = ()
    settled: tuple[int, ...] = ()
    signs: Callable | None = None


class Rule(NamedTuple):
    """An operation that selects among affine pieces. The functions take the operation's arguments.

    Attributes:
        code: Which piece each unit selects, integers with the batch first; it is also given the ``output``. The model may
            overwrite that later, so what is returned shares no memory with it.
        apply: The output by pieces selected before, which come first.
        pieces: How many a unit selects from; a number or a function.
        kept: What ``apply`` needs; the code if left out.
        convex, monotone: Whether the operation is so in its input; truth values or functions.
        ties: How many units sit where autograd's slope belongs to no piece.
        settled: Positions of arguments that must not depend on the input.
        unless: Why the operation is not piecewise affine with these arguments; None where it is.
        constant: Whether the output is constant on each piece.
    """

    code: Callable
    apply: Callable
    pieces: int | Callable = 2
    kept: Callable | None = None
    convex: bool | Callable = False
    monotone: bool | Callable = True
    ties: Callable | None = None
    settled: tuple[int, ...] = ()
    unless: Callable | None = None
    constant: bool = False

    def ask(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Return one of the attributes that may be a function of the call."""
        asked = getattr(self, name)
        return asked(*args, **kwargs) if callable(asked) else asked


def _names(text):
    return text.split()


# Affine in every argument, with no negative factor.
PLAIN = _names("""
    view _unsafe_view reshape _reshape_alias t transpose permute expand squeeze unsqueeze select slice split unsafe_split
    split_with_sizes chunk unbind flatten unflatten clone copy _to_copy contiguous detach alias as_strided lift_fresh
    lift_fresh_copy cat stack repeat flip roll rot90 tril triu diagonal diag_embed unfold im2col col2im sum mean cumsum trace
    constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d replication_pad3d
    avg_pool1d _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_avg_pool1d
    pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle upsample_nearest1d upsample_nearest2d
    upsample_nearest3d _upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d upsample_linear1d
    upsample_bilinear2d upsample_trilinear3d _upsample_bilinear2d_aa select_scatter slice_scatter diagonal_scatter
    as_strided_scatter fill zero movedim narrow view_as_real_copy squeeze_copy view_copy expand_copy slice_copy
    select_copy permute_copy transpose_copy diagonal_copy unsqueeze_copy resolve_conj resolve_neg complex""")
# Affine with factors of either sign.
MIXED = _names("""upsample_bicubic2d _upsample_bicubic2d_aa _fft_r2c _fft_c2r _fft_c2c view_as_real view_as_complex
    _conj _conj_physical conj_physical _neg_view real imag""")
# Affine once these of their arguments (indices, masks, grids) are fixed by the region.
SELECTING = {"index_select": (2,), "index": (1,), "gather": (2,), "index_add": (2,), "index_copy": (2,), "index_fill": (2,),
             "scatter": (2,), "scatter_add": (2,), "index_put": (1,), "_unsafe_index_put": (1,), "_index_put_impl": (1,),
             "where": (0,), "masked_fill": (1,), "max_unpool2d": (1,), "max_unpool3d": (1,), "grid_sampler_2d": (1,),
             "grid_sampler_3d": (1,), "cudnn_grid_sampler": (1,), "_unsafe_index": (1,), "_unsafe_masked_index": (1, 2)}
# Positions of the two factors of a product.
FACTORS = {"mul": (0, 1), "mm": (0, 1), "bmm": (0, 1), "mv": (0, 1), "dot": (0, 1), "vdot": (0, 1), "linear": (0, 1),
           "matmul": (0, 1), "addmm": (1, 2), "addmv": (1, 2), "baddbmm": (1, 2), "addbmm": (1, 2), "addr": (1, 2),
           "_sparse_addmm": (1, 2), "addcmul": (1, 2), "convolution": (0, 1),
           "convolution_overrideable": (0, 1), "cudnn_convolution": (0, 1)}
# Batch norm: the position of the flag that asks for the batch's own statistics; False if it never does.
TRAINING_FLAG = {"native_batch_norm": 5, "cudnn_batch_norm": 5, "miopen_batch_norm": 5, "_native_batch_norm_legit": 5,
                 "_batch_norm_with_update": None, "_batch_norm_no_update": False,
                 "_native_batch_norm_legit_no_training": False}
BLANK = frozenset(_names("empty_like zeros_like ones_like full_like new_zeros new_ones new_empty new_full new_empty_strided"))

REMEDIES = {
    "_softmax": "drop the softmax: the map is that of the scores before it", "_log_softmax": "drop the log-softmax",
    "sigmoid": "use Hardsigmoid if a piecewise affine stand-in will do",
    "tanh": "use Hardtanh if a piecewise affine stand-in will do",
    "hardshrink": "it is discontinuous; use Softshrink", "hardswish": "use ReLU or LeakyReLU",
    "nan_to_num": "leave it out: it changes only infinities and NaN, where the map ends",
    "native_layer_norm": "use batch norm in evaluation mode", "native_group_norm": "use batch norm in evaluation mode",
    "_local_scalar_dense": "do not branch in Python on a number that depends on the input; use torch.where",
    "max": "name a dimension, or keep the batch apart with .flatten(1).amax(1)",
    "min": "name a dimension, or keep the batch apart with .flatten(1).amin(1)",
    "median": "name a dimension: without one the samples are mixed", "glu": "gate by a fixed factor",
    **dict.fromkeys(("gelu", "silu", "elu", "softplus", "mish", "log_sigmoid_forward"), "use ReLU or LeakyReLU")}


def _first_negative(*_, **__):
    return [(0, -1.0)]


def _product(left, right):
    def signs(*args, beta=1, alpha=1, value=1, **_):
        added = [(0, beta)] if left else []
        return [*added, (left, _times(args[right], alpha * value)), (right, _times(args[left], alpha * value))]
    return signs


def _times(factor, scale):
    return factor if scale == 1 else factor * scale


def _lerp_signs(start, end, weight):
    return [(0, 1 - weight), (1, weight)]


def _batch_norm_signs(x, weight, *_, **__):
    return [] if weight is None else [(0, weight)]


def _pool_signs(x, kernel, stride=(), padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None):
    return [(0, divisor_override or 1)]


def _cross_signs(a, b, **_):
    return [(0, -b.abs()), (1, -a.abs())]  # every entry is multiplied by the other's, and by minus the other's


def _addcdiv_signs(added, above, below, value=1):
    return [(1, value / below)]


AFFINE = {
    **dict.fromkeys(PLAIN, Affine()), **dict.fromkeys(MIXED, Affine(signs=_first_negative)),
    **{name: Affine(settled=settled) for name, settled in SELECTING.items()},
    **{name: Affine(products=(pair,), signs=_product(*pair)) for name, pair in FACTORS.items()},
    **dict.fromkeys(TRAINING_FLAG, Affine(settled=(1, 3, 4), signs=_batch_norm_signs)),
    **dict.fromkeys(("avg_pool2d", "avg_pool3d"), Affine(signs=_pool_signs)),
    "linalg_cross": Affine(products=((0, 1),), signs=_cross_signs),
    "add": Affine(signs=lambda a, b, alpha=1: [(1, alpha)]), "sub": Affine(signs=lambda a, b, alpha=1: [(1, -alpha)]),
    "rsub": Affine(signs=lambda a, b, alpha=1: [(0, -alpha)]), "neg": Affine(signs=_first_negative),
    "div": Affine(settled=(1,), signs=lambda a, b, **_: [(0, 1 / b)]),
    "addcdiv": Affine(settled=(2,), signs=_addcdiv_signs), "lerp": Affine(settled=(2,), signs=_lerp_signs),
    "index_add": Affine(settled=(2,), signs=lambda x, dim, index, source, alpha=1: [(3, alpha)]),
    **dict.fromkeys(("grid_sampler_2d", "grid_sampler_3d"), Affine(settled=(1,), signs=_first_negative))}


def above(x: torch.Tensor, end: Any, inclusive: bool) -> torch.Tensor:
    """Return 1 where x lies above an end, 0 elsewhere; the end itself counts if ``inclusive``.

    Source:
        Standard.

    >>> above(torch.tensor([0.0, 1.0]), 1.0, True).tolist()
    [0, 1]
    """
    return (x >= end if inclusive else x > end).to(torch.int8)


def _on(x, *_, output):
    return x > 0


def _slopes(slopes):
    slope = slopes[0] if slopes else 0.01
    return (float(slope.min()), float(slope.max())) if isinstance(slope, torch.Tensor) else (slope, slope)


def _lean(on, x, slope=0.01):
    return torch.where(on, x, slope * x)


LEAKY = Rule(_on, _lean, convex=lambda x, *slopes, output: _slopes(slopes)[1] <= 1,
             monotone=lambda x, *slopes, output: _slopes(slopes)[0] >= 0, settled=(1,))
RRELU = Rule(_on, lambda on, x, noise, lower=1 / 8, upper=1 / 3, *_: _lean(on, x, (lower + upper) / 2),
             convex=lambda x, noise, lower=1 / 8, upper=1 / 3, *_, output: lower + upper <= 2,
             monotone=lambda x, noise, lower=1 / 8, upper=1 / 3, *_, output: lower + upper >= 0)


def _between(lower, upper, inclusive, inside=lambda x: x, outside=(None, None)):
    """Pieces 0, 1, 2 below, between and above two kinks, which belong to the middle if ``inclusive``."""
    def code(x, *ends, output, **named):
        low, high = _ends(lower, upper, ends, named)
        return above(x, low, inclusive) + above(x, high, not inclusive)

    def apply(which, x, *ends, **named):
        low, high = (end if flat is None else flat for end, flat in zip(_ends(lower, upper, ends, named), outside, strict=True))
        return torch.where(which == 1, inside(x), torch.where(which == 0, _like(low, x), _like(high, x)))

    def convex(x, *ends, output, **named):
        return _infinite(_ends(lower, upper, ends, named)[1])
    return Rule(code, apply, 3, convex=convex)


def _like(value, x):
    return value if isinstance(value, torch.Tensor) else torch.full_like(x, value)


def _ends(lower, upper, ends, named):
    ends = [*ends, None, None][:2]
    low = next((end for end in (named.get("min", named.get("min_val")), ends[0], lower) if end is not None), -math.inf)
    high = next((end for end in (named.get("max", named.get("max_val")), ends[1], upper) if end is not None), math.inf)
    return _least(low, high), high  # where they cross, torch gives the upper one


def _least(low, high):
    if isinstance(high, torch.Tensor):
        return torch.minimum(_like(low, high), high)
    return low.clamp(max=high) if isinstance(low, torch.Tensor) else min(low, high)


def _infinite(value):
    return bool((value == math.inf).all()) if isinstance(value, torch.Tensor) else value == math.inf


CLAMP_MAX = Rule(lambda x, high, output: above(x, high, False) + 1,
                 lambda which, x, high: torch.where(which == 1, x, _like(high, x)), 3,
                 convex=lambda x, high, output: _infinite(high))
def _shrunk(x, threshold=0.5, output=None):
    return above(x, -threshold, True) + above(x, threshold, False)


def _shift(x, threshold=0.5, output=None):
    """Which units are on, and by how much torch moved them: it takes the threshold in single precision, even for float64."""
    on = _shrunk(x, threshold) != 1
    return on, output - on * x


SOFTSHRINK = Rule(_shrunk, lambda kept, x, threshold=0.5: kept[0] * x + kept[1], 3, kept=_shift)
THRESHOLD = Rule(lambda x, threshold, value, output: x > threshold,
                 lambda on, x, threshold, value: torch.where(on, x, _like(value, x)),
                 convex=lambda x, threshold, value, output: value == threshold,
                 monotone=lambda x, threshold, value, output: value <= threshold)
ABS = Rule(_on, lambda on, x: torch.where(on, x, -x), convex=True, monotone=False,
           ties=lambda x, output: (x == 0).sum())


def _norm_problem(x, order=2, *_, output=None, **__):
    return None if order == 1 else f"of order {order} is not piecewise affine, or not known to be"


def _norm_dims(dims, x):
    return tuple(range(x.ndim)) if dims is None or dims == [] else dims


def _sum_of_pieces(on, x, order=2, dims=None, keepdim=False, **_):
    return torch.where(on, x, -x).sum(_norm_dims(dims, x), keepdim)


NORM = Rule(lambda x, *_, output, **__: x > 0, _sum_of_pieces, convex=True, monotone=False, unless=_norm_problem,
            ties=lambda x, *_, output, **__: (x == 0).sum())


def _larger(convex):
    return Rule(lambda a, b, output: b > a if convex else b < a, lambda second, a, b: torch.where(second, b, a), convex=convex,
                ties=lambda a, b, output: (a == b).sum())


def _dim(dim, named):
    return named.get("dim", dim)


def _chosen(positions, x, dim, keepdim):
    """Return the entries at some positions along a dimension that was, or was not, kept."""
    if x.ndim == 0:
        return x.clone()
    found = x.gather(dim, positions if keepdim else positions.unsqueeze(dim))
    return found if keepdim else found.squeeze(dim)


def _along(convex=False, keeps=False, first=0):
    """One entry selected along a dimension (max, median), or several that keep their dimension (sort, topk).

    ``first`` is the number of arguments before the dimension; the operation returns values and positions.
    """
    def place(rest, named):
        given = rest[first:]
        dim = named.get("dim", given[0] if given else -1)
        keepdim = keeps or named.get("keepdim", given[1] if len(given) > 1 else False)
        return dim, keepdim

    def apply(positions, x, *rest, **named):
        return _chosen(positions, x, *place(rest, named)), positions.clone()

    def pieces(x, *rest, output, **named):
        return x.shape[place(rest, named)[0]] if x.ndim else 1
    return Rule(lambda *_, output, **__: output[1].clone(), apply, pieces, convex=convex)


SORT = _along(keeps=True)
# sort.stable(x, *, stable, dim, descending) and sort(x, dim, descending); topk(x, k, dim, ...); kthvalue(x, k, dim, keepdim).


def _over(x, dims):
    """Return x with the dimensions it is reduced over side by side as the last one."""
    dims = dims if isinstance(dims, (list, tuple)) else [] if dims is None else [dims]
    dims = tuple(sorted(dim % x.ndim for dim in dims)) or tuple(range(x.ndim))
    return x.movedim(dims, tuple(range(-len(dims), 0))).flatten(-len(dims)), dims


def _extreme(convex):
    """The largest or smallest entry over several dimensions; the first of equal ones."""
    def best(x, dims):
        moved, _ = _over(x, dims)
        return moved, moved.max(-1) if convex else moved.min(-1)

    def apply(which, x, dims=(), keepdim=False, **named):
        moved, dims = _over(x, _dim(dims, named))
        found = moved.gather(-1, which[..., None])[..., 0]
        for dim in dims if named.get("keepdim", keepdim) else ():
            found = found.unsqueeze(dim)
        return found

    def ties(x, dims=(), keepdim=False, output=None, **named):
        moved, found = best(x, _dim(dims, named))
        return ((moved == found.values[..., None]).sum(-1) > 1).sum()
    return Rule(lambda x, dims=(), keepdim=False, output=None, **named: best(x, _dim(dims, named))[1].indices, apply,
                lambda x, dims=(), keepdim=False, output=None, **named: _over(x, _dim(dims, named))[0].shape[-1],
                convex=convex, ties=ties)


def _position(convex):
    """Where the largest or smallest entry stands: constant on each region."""
    return Rule(lambda *_, output, **__: output.clone(), lambda which, *_, **__: which.clone(),
                lambda x, dim=None, keepdim=False, output=None, **named:
                x.numel() if _dim(dim, named) is None else x.shape[_dim(dim, named)],
                convex=False, monotone=False, constant=True)


def _pair(value, axes=2):
    return tuple(value) * axes if len(value) == 1 else tuple(value)


def _pooled(axes, code, pieces):
    """Pooling over the last ``axes`` dimensions, which returns values and their positions in the plane."""
    def apply(positions, x, *_, **__):
        values = x.flatten(-axes).gather(-1, positions.flatten(-axes)).reshape(positions.shape)
        return values, positions.clone()
    return Rule(code, apply, pieces, kept=lambda *_, output, **__: output[1].clone(), convex=True)


def _max_pool2d(x, *window, output):
    return _in_the_window(output[1], x.shape[-1], *window)


def _in_the_window(position, plane, kernel, stride=(), padding=(0,), dilation=(1,), ceil_mode=False):
    """Turn torch's positions in a plane of that width into positions in the window, the codes of Eq. 14, by a table."""
    (height, width), (up, left), (gap_y, gap_x) = _pair(kernel), _pair(padding), _pair(dilation)
    step_y, step_x = _pair(stride) if len(stride) else (height, width)
    row, column = (torch.arange(size, device=position.device) for size in (height * gap_y, max(plane, width * gap_x)))
    wide = len(column)
    if wide > plane:  # windows wider than the plane: positions in a plane of their width, so that none is meant twice
        position = position // plane * wide + position % plane
    table = (row[:, None] // gap_y * width + column // gap_x).flatten()
    table = table.to(torch.uint8 if height * width <= 256 else torch.int64)
    rows = torch.arange(position.shape[-2], device=position.device)[:, None] * step_y - up
    first = rows * wide + torch.arange(position.shape[-1], device=position.device) * step_x - left
    return table.index_select(0, (position - first).flatten()).reshape(position.shape)


def _max_pool3d(x, kernel, stride=(), padding=(0,), dilation=(1,), ceil_mode=False, output=None):
    kernel, padding, gaps = (_pair(value, 3) for value in (kernel, padding, dilation))
    steps = _pair(stride, 3) if len(stride) else kernel
    starts = [torch.arange(size, device=x.device) * step - pad
              for size, step, pad in zip(output[1].shape[-3:], steps, padding, strict=True)]
    return _local(output[1], x.shape[-3:], starts, gaps, kernel)


def _local(position, plane, starts, gaps, widths):
    """Turn positions in a plane of any dimension into positions in windows that start there, row by row."""
    code, below = torch.zeros_like(position), 1
    for axis in range(-1, -len(plane) - 1, -1):
        start = starts[axis].reshape(-1, *[1] * (-axis - 1))
        code += (position % plane[axis] - start) // gaps[axis] * below
        position, below = position // plane[axis], below * widths[axis]
    return code


def _adaptive_windows(x, sizes):
    """Return where the windows of adaptive pooling start, and how wide the widest is, along each axis."""
    for plane, size in zip(x.shape[-len(sizes):], sizes, strict=True):
        start = torch.arange(size, device=x.device) * plane // size
        end = -(-(torch.arange(size, device=x.device) + 1) * plane // size)
        yield start, int((end - start).max())


def _adaptive(x, sizes, output):
    starts, widths = zip(*_adaptive_windows(x, sizes), strict=True)
    return _local(output[1], x.shape[-len(sizes):], starts, [1] * len(sizes), widths)


def _cells(axes):
    return lambda x, kernel, *_, output: math.prod(_pair(kernel, axes))


def _adaptive_cells(x, sizes, output):
    return math.prod(width for _, width in _adaptive_windows(x, sizes))


COMPARISON = Rule(lambda *_, output: output.to(torch.int8), lambda held, *_: held.clone(), monotone=False, constant=True,
                  kept=lambda *_, output: output.clone())
SIGN = COMPARISON._replace(code=lambda x, output: output.to(torch.int8) + 1, pieces=3)

PIECES = {
    "relu": Rule(lambda x, output: output > 0, lambda on, x: x * on, convex=True), "leaky_relu": LEAKY, "_prelu_kernel": LEAKY,
    "rrelu_with_noise": RRELU, "abs": ABS, "hardtanh": _between(-1, 1, inclusive=False),
    "hardsigmoid": _between(-3, 3, inclusive=False, inside=lambda x: (x + 3) / 6, outside=(0, 1)),
    "clamp": _between(None, None, inclusive=True), "clamp_min": _between(None, None, inclusive=True),
    "clamp_max": CLAMP_MAX, "softshrink": SOFTSHRINK, "threshold": THRESHOLD, "linalg_vector_norm": NORM, "norm": NORM,
    "maximum": _larger(True), "minimum": _larger(False), "fmax": _larger(True), "fmin": _larger(False),
    "max": _along(True), "min": _along(), "median": _along(), "nanmedian": _along(), "kthvalue": _along(first=1),
    "sort": SORT, "topk": _along(keeps=True, first=1), "cummax": _along(True, keeps=True), "cummin": _along(keeps=True),
    "amax": _extreme(True), "amin": _extreme(False), "argmax": _position(True), "argmin": _position(False),
    "max_pool2d_with_indices": _pooled(2, _max_pool2d, _cells(2)),
    "max_pool3d_with_indices": _pooled(3, _max_pool3d, _cells(3)),
    "adaptive_max_pool2d": _pooled(2, _adaptive, _adaptive_cells), "adaptive_max_pool3d": _pooled(3, _adaptive, _adaptive_cells),
    **dict.fromkeys(("gt", "ge", "lt", "le"), COMPARISON), "sign": SIGN, "sgn": SIGN}
# These select along one dimension only if it is named.
NAMED_DIMENSION = frozenset(("max", "min", "median", "nanmedian"))

named(__name__)
