r"""The exact partition of a segment of a network's input space."""

import hashlib
import itertools
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from deepatoms.theory.arguments import integer, real_array, refuse
from deepatoms.theory.partition.extension import Pieces, demand_double, demand_pieces, observe, rehearse
from deepatoms.theory.partition.guards import DOUBT, demand_memory, refuse_doubtful
from deepatoms.theory.piecewise import Model
from deepatoms.theory.signatures import named
from deepatoms.theory.untouched import untouched

ROUNDING = 1e-13
NOISE = 1e-15  # what is so small beside a layer's other numbers is their rounding
NEAR = 1e-12  # walls nearer than that, in t, are one
USUAL = 2**28  # bytes at a time
FIRST = 16  # gaps to begin with
ASIDE = 0.47  # where a piece is looked at: in its very middle may lie a wall of which only entries that are equal know
CHECKED = 1000  # pieces whose affine map is compared with the function


def slice_segment(model: Model, start: torch.Tensor, end: torch.Tensor, limit: int = 1_000_000,
                  progress: Callable[[str], object] | None = None) -> np.ndarray:
    r"""Return where a network's code changes on the segment from one input to another.

    The segment is :math:`a + t\,(b-a)` with t in [0, 1]. A point carries the affine maps of its piece up to each nonlinearity,
    so the ends of the piece are roots of linear functions; what lies between the pieces found is looked at in turn, until nothing
    is left. So the walls take one forward pass of two samples for each piece, a quarter of a GiB of them at a time. Walls nearer
    to each other than 1e-12, or to an end, are one.

    Args:
        model: A module in evaluation mode and float64.
        start: The input a, shape (...), float64, without a batch axis.
        end: The input b, of the same shape.
        limit: The largest number of pieces.
        progress: Called from time to time with a sentence on how far it has come, such as ``print``.

    Returns:
        The walls t, ascending, between 0 and 1; shape (walls,).

    Raises:
        deepatoms.theory.piecewise.NotPiecewiseAffineError: If an operation is not piecewise affine or its walls are
            not known, samples are mixed, or the model computes something else than its pieces.
        ValueError: If the ends are one point, do not fit, are not float64 or so near that rounding blurs the segment; or if
            there are more pieces than the limit, or a wall of a unit whose numbers are less than 1e-12 of the layer's largest
            or of the numbers that cancel
            in it (what is less than 1e-15, or than a hundred roundings, of them counts as constant).
        MemoryError: If one point needs more memory than there is.

    Source:
        Ours; the pieces are those of the refinement of Section 7.1, :eq:`spl-refine`, on a line.

    >>> a, b = torch.tensor([[-1.0, -1.0], [3.0, 1.0]], dtype=torch.float64)
    >>> slice_segment(torch.nn.ReLU(), a, b).tolist()
    [0.25, 0.5]
    """
    most = integer("limit", limit)
    _demand_segment(start, end)
    start, end = start.detach(), end.detach()
    _, sample, noise = rehearse(model, torch.stack([start, end]))
    demand_memory("start", start, 2 * sample, "a single point and its direction are too large; take a smaller network or input")
    size = max(1, int(USUAL // (2 * sample + 1)))
    with untouched(model), torch.no_grad():
        walk, told = _Walk(model, start, end, size, noise), time.monotonic()
        while len(walk.gaps):
            walk.step()
            if progress is not None and time.monotonic() - told > 1:
                progress(_so_far(walk))
                told = time.monotonic()
            if len(walk.codes) > most + FIRST:
                _demand_few(walk.walls(), walk, most)
        ends = walk.walls()
        _demand_few(ends, walk, most)
        _demand_line(model, start, end, ends, size)
    return ends[1:-1]


def _so_far(walk):
    return f"{len(walk.codes):,} pieces so far, on {100 * walk.share:.3g} % of the segment"


def _demand_few(ends, walk, most):
    if len(ends) - 1 > most:
        refuse("limit", most, f"is less than the {_so_far(walk)}", "pass a larger limit or a shorter segment")


def _demand_segment(start, end):
    for name, point in (("start", start), ("end", end)):
        if demand_double(name, real_array(name, point)).ndim == 0:
            refuse(name, point, "has no axes", "pass a tensor of the shape of one input, such as (1,)")
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


class _Walk:
    """The pieces found so far, the share of the segment that they cover, and the gaps between them.

    In the middle of each gap one forward pass finds a whole piece: all units at once say how far their code is kept, both
    ways. What it leaves of the gap is looked at in turn, so no piece is found twice but by rounding: two walls that are one
    leave a gap whose code is that of a neighbour, with which it is joined.
    """

    def __init__(self, model, start, end, size, noise):
        self.model, self.start, self.end, self.size, self.noise = model, start, end, size, noise
        first = np.linspace(0, 1, FIRST + 1)
        self.gaps, self.ends, self.codes, self.share = np.stack([first[:-1], first[1:]], 1), [], [], 0.0

    def step(self):
        """Look into some of the gaps."""
        now, self.gaps = self.gaps[:self.size], self.gaps[self.size:]
        middles = now.mean(1)
        points = _along(self.start, self.end, middles)
        found = observe(self.model, points, (self.end - self.start)[None], noise=self.noise)[0]
        back, forth = _reach(found, len(now))
        demand_clear(self.model, found, np.minimum(back, middles - now[:, 0]), np.minimum(forth, now[:, 1] - middles))
        on_wall = np.minimum(back, forth) < NEAR  # a point of no piece: a place where the gap is parted
        low, high = np.maximum(now[:, 0], middles - back), np.minimum(now[:, 1], middles + forth)
        low[on_wall] = high[on_wall] = middles[on_wall]
        self.ends.append(np.stack([low, high], 1)[~on_wall])
        self.codes += [code for code, none in zip(_digests(found, len(now)), on_wall, strict=True) if not none]
        self.share += float((high - low).sum())
        left = np.concatenate([np.stack([now[:, 0], low], 1), np.stack([high, now[:, 1]], 1)])
        self.gaps = np.concatenate([left[left[:, 1] - left[:, 0] > NEAR], self.gaps])

    def walls(self):
        """Return where a piece meets one of another code."""
        ends = np.concatenate(self.ends)
        order = np.argsort(ends.mean(1))
        ends, codes = ends[order], [self.codes[place] for place in order]
        other = [one != following for one, following in itertools.pairwise(codes)]
        return _apart(np.concatenate([[0.0], (ends[:-1, 1] + ends[1:, 0])[other] / 2, [1.0]]))


def _reach(found, points):
    """Return how far some points can go back and forth before any layer's code changes."""
    extents = [torch.stack(_extent(pieces)).cpu().numpy() for pieces in found]
    return np.min([*extents, np.full((2, points), np.inf)], 0)


def demand_clear(model: Model, found: Sequence[Pieces], back: np.ndarray, forth: np.ndarray) -> None:
    """Refuse a wall, within the reach of some points, of a unit so small that rounding moves it or makes it.

    Args:
        model: The network.
        found: Its pieces along one direction for each point.
        back, forth: How far is looked from each point, shape (points,).

    Raises:
        ValueError: If there is one.

    Source:
        Ours; it serves :eq:`spl-refine`.

    >>> x, ways = torch.ones(1, 2, dtype=torch.float64), np.ones(1)
    >>> demand_clear(torch.relu, observe(torch.relu, x, x)[0], ways, ways)
    """
    for pieces in found:
        if pieces.competing or not bool((small := _doubtful(pieces)).any()):
            continue
        meets, ahead = _meets(*_levels(pieces))
        reach = torch.as_tensor(np.stack([back, forth]), device=meets.device)[:, :, None]
        places = (small & (meets <= torch.where(ahead, reach[1], reach[0]))).nonzero()
        if len(places):
            refuse_doubtful(model, pieces.layer, int(places[0, 1]) // pieces.walls, "makes a wall of the slice")


def _digests(found, points):
    """Return what tells the codes of some points apart: a digest of all their layers."""
    digests = [hashlib.blake2b(digest_size=16) for _ in range(points)]
    for pieces in found:
        bits = pieces.first.to(torch.int32) if pieces.competing else pieces.at > _noise(pieces)
        for digest, row in zip(digests, bits.flatten(1).cpu().numpy(), strict=True):
            digest.update(row.tobytes())  # in the order of the units, however they lie in memory
    return [digest.digest() for digest in digests]


def _noise(pieces):
    """Return what is the rounding of 0: so small beside a layer's other numbers, or beside those that cancel in it."""
    size = pieces.at.abs() + pieces.slopes[0].abs()
    return (NOISE * size.amax(1, keepdim=True)).clamp_min(pieces.noise) if size.shape[1] else size


def _doubtful(pieces):
    """Tell which units may be the rounding of 0, or may not."""
    size = pieces.at.abs() + pieces.slopes[0].abs()
    small = (size <= DOUBT * size.amax(1, keepdim=True)) | (size <= pieces.noise / NOISE * DOUBT)
    return small & (size > _noise(pieces))


def _demand_line(model, start, end, ends, size):
    """Compare the affine maps of some pieces with the function at two places inside each."""
    chosen = np.unique(np.linspace(0, len(ends) - 2, CHECKED).round().astype(int))
    for part in np.array_split(chosen, -(-len(chosen) // size)):
        widths = ends[part + 1] - ends[part]
        middles = ends[part] + ASIDE * widths
        value, slope = observe(model, _along(start, end, middles), (end - start)[None])[1]
        for share in (-0.25, 0.25):
            offset = torch.as_tensor(share * widths, dtype=start.dtype, device=start.device)
            values, scale = value + offset[:, None] * slope, value.abs() + slope.abs()
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
    return _extent(pieces)[1]


def _extent(pieces):
    """Return how far the points can go back and forth along their direction before one of these units or windows changes."""
    meets, ahead = _meets(*(_leads if pieces.competing else _levels)(pieces))
    return [torch.where(way, meets, torch.inf).amin(1) for way in (~ahead, ahead)]


def _meets(at, slopes, least):
    """Return how far away each of some affine functions is 0, and whether ahead."""
    return torch.where(slopes.abs() > least, (at / slopes).abs(), torch.inf), torch.where(at > 0, slopes < 0, slopes > 0)


def _levels(pieces):
    """Return what changes sign, along the direction, and what is as small as rounding."""
    at, slopes = pieces.at, pieces.slopes[0]
    return at, slopes, torch.maximum(ROUNDING * at.abs(), _noise(pieces))


def _leads(pieces):
    """Return the same of cells that compete: behind its winner a cell is a unit that is off."""
    gap, changes, size = pieces.leads()
    return -gap.flatten(1), -changes[0].flatten(1), ROUNDING * size.flatten(1)


def _apart(places):
    """Sort places, and keep one of those that rounding cannot tell apart."""
    joined = np.unique(places)
    return joined[np.concatenate([[True], np.diff(joined) > NEAR])]

named(__name__)
