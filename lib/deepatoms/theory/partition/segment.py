r"""The exact partition of a segment of a network's input space."""

import numpy as np
import torch

from deepatoms.theory.arguments import integer, real_array, refuse
from deepatoms.theory.partition.extension import Pieces, demand_double, demand_pieces, observe, rehearse
from deepatoms.theory.piecewise import Model
from deepatoms.theory.signatures import named
from deepatoms.theory.untouched import untouched

ROUNDING = 1e-13
NOISE = 1e-15  # what is so small beside a layer's other numbers is their rounding
NEAR = 1e-12  # walls nearer than that, in t, are one
USUAL = 2**28  # bytes at a time
CHECKED = 1000  # pieces whose affine map is compared with the function


def slice_segment(model: Model, start: torch.Tensor, end: torch.Tensor, limit: int = 1_000_000) -> np.ndarray:
    r"""Return where a network's code changes on the segment from one input to another.

    The segment is :math:`a + t\,(b-a)` with t in [0, 1]. Nonlinearity by nonlinearity, each piece so far carries the affine
    map of everything before it, so the next walls are roots of linear functions; nothing is searched for. Walls nearer to
    each other than 1e-12, or to an end, are one.

    Args:
        model: A module in evaluation mode and float64.
        start: The input a, shape (...), float64, without a batch axis.
        end: The input b, of the same shape.
        limit: The largest number of pieces.

    Returns:
        The walls t, ascending, between 0 and 1; shape (walls,).

    Raises:
        deepatoms.theory.piecewise.NotPiecewiseAffineError: If an operation is not piecewise affine or its walls are
            not known, samples are mixed, or the model computes something else than its pieces.
        ValueError: If the ends are one point, do not fit, are not float64 or so near that rounding blurs the segment; or if
            there are more pieces than the limit.

    Source:
        Ours, the refinement of Section 7.1, :eq:`spl-refine`, on a line.

    >>> a, b = torch.tensor([[-1.0, -1.0], [3.0, 1.0]], dtype=torch.float64)
    >>> slice_segment(torch.nn.ReLU(), a, b).tolist()
    [0.25, 0.5]
    """
    _demand_segment(start, end)
    start, end = start.detach(), end.detach()
    layers, sample = rehearse(model, start[None])
    size, ends = max(1, int(USUAL // (2 * sample + 1))), np.array([0.0, 1.0])
    with untouched(model), torch.no_grad():
        for layer in range(layers):
            ends = _refined(model, start, end, layer, ends, size)
            if len(ends) - 1 > integer("limit", limit):
                refuse("limit", limit, f"is less than the {len(ends) - 1:,} pieces after {layer + 1} of {layers} nonlinearities",
                       "pass a larger limit or a shorter segment")
        _demand_line(model, start, end, ends, size)
    return ends[1:-1]


def _demand_segment(start, end):
    for name, point in (("start", start), ("end", end)):
        demand_double(name, real_array(name, point))
    if start.shape != end.shape or bool((start == end).all()):
        refuse("end", end, "is the start itself, or of another shape", "pass two different inputs of one shape")
    demand_apart("end", end, (end - start)[None], start)


def demand_apart(name: str, value: torch.Tensor, sides: torch.Tensor, corner: torch.Tensor) -> None:
    """Refuse a slice so small that the rounding of its inputs blurs its coordinates by more than a billionth.

    Raises:
        ValueError: If a side is that short, or overflows.

    Source:
        Standard.

    >>> demand_apart("end", torch.ones(1), torch.ones(1, 1), torch.zeros(1))
    """
    lengths = sides.flatten(1).abs().amax(1)
    if not bool(lengths.isfinite().all()):
        refuse(name, value, "is farther away than float64 can count", "scale the slice down")
    if bool((lengths * 1e-9 < torch.finfo(torch.float64).eps * corner.abs().max()).any()):
        refuse(name, value, "is so near that rounding blurs the slice by more than a billionth of its side",
               "move it away, or move the slice towards the origin")


def _along(start, end, t):
    return start + torch.as_tensor(t, dtype=start.dtype, device=start.device).reshape(-1, *[1] * start.ndim) * (end - start)


def _refined(model, start, end, layer, ends, size):
    """Cut every piece where the units of one nonlinearity change, some pieces at a time."""
    found = []
    for first in range(0, len(ends) - 1, size):
        part = ends[first:first + size + 1]
        middles = (part[1:] + part[:-1]) / 2
        pieces = observe(model, _along(start, end, middles), (end - start)[None], layer)[0][layer]
        roots = _overtakings(pieces, (part[1:] - part[:-1]) / 2) if pieces.competing else _roots(pieces.at, pieces.slopes[0])
        found.append(_insert(part, middles, roots))
    return _apart(np.concatenate(found))


def _demand_line(model, start, end, ends, size):
    """Compare the affine maps of some pieces with the function at a quarter and at three quarters of them."""
    chosen = np.unique(np.linspace(0, len(ends) - 2, CHECKED).round().astype(int))
    for part in np.array_split(chosen, -(-len(chosen) // size)):
        middles, widths = (ends[part + 1] + ends[part]) / 2, ends[part + 1] - ends[part]
        value, slope = observe(model, _along(start, end, middles), (end - start)[None])[1]
        for share in (-0.25, 0.25):
            offset = torch.as_tensor(share * widths, dtype=start.dtype, device=start.device)
            values, scale = value + offset[:, None] * slope, (value.abs() + slope.abs()).amax(1)
            demand_pieces(model, _along(start, end, middles + share * widths), values, scale)


def first_change(pieces: Pieces) -> torch.Tensor:
    r"""Return how far the points of some pieces can go along their direction before one of these units or windows changes.

    Args:
        pieces: Of one direction for each point, as :func:`observe` returns them.

    Returns:
        Distances, shape (points,); infinite where nothing changes.

    Source:
        Standard: the first root of affine functions.

    >>> x, step = torch.tensor([[3.0, -0.5]], dtype=torch.float64), torch.tensor([[-1.0, 1.0]], dtype=torch.float64)
    >>> first_change(observe(torch.nn.ReLU(), x, step[None])[0][0]).tolist()
    [0.5]
    """
    at, slopes = pieces.at, pieces.slopes[0]
    if pieces.competing:
        # A cell behind its winner is a unit that is off; in the padding it never catches up.
        winner = at.argmax(2, keepdim=True)
        lead = at.gather(2, winner)
        size = torch.maximum(at.abs().nan_to_num(posinf=0.0), lead.abs()).flatten(1)
        at, slopes = (at - lead).flatten(1), (slopes.nan_to_num() - slopes.gather(2, winner)).flatten(1)
    else:
        size = at.abs()
    approaching = torch.where(at > 0, slopes < 0, slopes > 0) & (slopes.abs() > ROUNDING * size) & at.isfinite()
    return torch.where(approaching, -at / slopes, torch.inf).amin(1)


def _roots(at, slopes):
    """Return the distance from each piece's middle to its units' zeros, shape (pieces, units); infinite where none."""
    at, slopes = at.cpu().numpy(), slopes.cpu().numpy()
    size = abs(at) + abs(slopes)
    # What is small beside all other units of the layer is the rounding of a unit that is constant at 0.
    least = np.maximum(ROUNDING * abs(at), NOISE * size.max(initial=0.0))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(abs(slopes) > least, -at / slopes, np.inf)


def _overtakings(pieces, half):
    """Return where one cell of a window overtakes another at the top of it, shape (pieces, overtakings); infinite where none.

    From the middle, both ways along the upper envelope: whoever overtakes the winner first is the next winner.
    """
    at, slopes = pieces.at.cpu().numpy(), np.nan_to_num(pieces.slopes[0].cpu().numpy())
    at = np.maximum(at, -1e300)  # the padding never catches up, and can be subtracted from itself
    found = [np.full((len(at), 1), np.inf)]
    for way in (1, -1):
        tilts, winner, place = way * slopes, at.argmax(2)[..., None], np.zeros((*at.shape[:2], 1))
        while (place < half[:, None, None]).any():
            winner, place = _next_winner(at, tilts, winner, place)
            found.append(way * place[..., 0])
    return np.concatenate(found, 1)


def _next_winner(at, tilts, winner, place):
    """Return who overtakes next, and where (infinity if nobody does)."""
    gap = np.take_along_axis(at, winner, 2) - at
    closing = tilts - np.take_along_axis(tilts, winner, 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        meets = np.where(closing > ROUNDING * abs(tilts).max(2, keepdims=True), np.maximum(gap / closing, place), np.inf)
    place = meets.min(2, keepdims=True)
    return np.where(meets <= place, closing, -np.inf).argmax(2)[..., None], place  # of those that meet, the steepest


def _insert(ends, middles, roots):
    """Add the roots that lie strictly inside their own piece."""
    half = (ends[1:] - ends[:-1])[:, None] / 2
    inside = abs(roots) < half - NEAR
    places = np.broadcast_to(middles[:, None], roots.shape)[inside] + roots[inside]
    return _apart(np.concatenate([ends, places]))


def _apart(places):
    """Sort places, and keep one of those that rounding cannot tell apart."""
    joined = np.unique(places)
    return joined[np.concatenate([[True], np.diff(joined) > NEAR])]

named(__name__)
