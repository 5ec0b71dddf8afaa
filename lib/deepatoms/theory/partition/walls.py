r"""The walls of the region around a point: its exact in-radius, and the smallest change that leaves it."""

import math
from dataclasses import dataclass

import torch

from deepatoms.theory.arguments import integer
from deepatoms.theory.partition.extension import demand_double, demand_pieces, observe, rehearse
from deepatoms.theory.partition.guards import DOUBT, demand_memory, memory, refuse_doubtful
from deepatoms.theory.partition.segment import NOISE
from deepatoms.theory.piecewise import Model, demand_batch
from deepatoms.theory.signatures import named
from deepatoms.theory.untouched import untouched

USUAL = 2**29  # bytes at a time, unless the caller says how many points


@dataclass(frozen=True, eq=False)
class Wall:
    """The nearest wall of the region around each point.

    Attributes:
        radius: Distance to it, shape (points,); infinite where a region has no wall.
        step: The shortest step onto it, shape (points, ...); any longer step along it changes the code. It is 0 for a point
            that sits on a wall (radius 0) and where there is no wall.
        layer: Position of its nonlinearity, shape (points,); -1 where there is no wall.
        unit: Its unit or window there, shape (points,): a unit with two walls, such as one that clips, is counted once, and so
            are entries that are sorted together.
    """

    radius: torch.Tensor
    step: torch.Tensor
    layer: torch.Tensor
    unit: torch.Tensor


def nearest_walls(model: Model, x: torch.Tensor, chunk: int | None = None) -> Wall:
    r"""Return the nearest wall of the region around each input.

    With the code held fixed, every unit is an affine function :math:`z_k + \langle a_k, e\rangle` of a step e, and the
    region is the polyhedron on which all of them keep their signs (under max-pooling, on which every winner stays ahead of
    its window). So the largest open ball around x in the region has the radius

    .. math:: r(x) = \min_k \frac{|z_k(x)|}{\|a_k\|_2},

    over units with :math:`a_k \ne 0`; a unit whose inputs are all off makes no wall. One point takes a forward pass for each
    of its dimensions.

    Args:
        model: A module in evaluation mode and float64.
        x: Inputs, shape (points, ...), float64.
        chunk: Number of points at a time; as many as half a GiB holds if left out.

    Returns:
        :class:`Wall`.

    Raises:
        deepatoms.theory.piecewise.NotPiecewiseAffineError: If an operation is not piecewise affine or its walls are
            not known, samples are mixed, or the model computes something else than its pieces inside a region.
        ValueError: If x is not float64 or does not fit, or the nearest wall may be one of a unit whose numbers are less than
            1e-12 of the layer's largest or of the numbers that cancel in it (what is less than a hundred roundings of these
            counts as constant).
        MemoryError: If so many points at a time need more memory than there is.

    Source:
        Lee, Alvarez-Melis and Jaakkola (ICLR 2019), Croce, Andriushchenko and Hein (AISTATS 2019); with max-pooling, ours.
        The proof is in the chapter, :eq:`spl-in-radius`.

    >>> wall = nearest_walls(torch.nn.ReLU(), torch.tensor([[3.0, -0.5]], dtype=torch.float64))
    >>> wall.radius.tolist(), wall.step.tolist(), wall.unit.tolist()
    ([0.5], [[0.0, 0.5]], [1])
    """
    demand_double("x", demand_batch(x))
    x = x.detach()
    _, sample, noise = rehearse(model, x)
    size = _points_at_a_time(chunk, x, sample)
    # As long as the inputs are large: beside a large number a step of 1 is rounded. A power of two rounds nothing itself.
    reach = 2.0 ** max(0, math.frexp(float(x.abs().max()))[1])
    basis = reach * torch.eye(x[0].numel(), dtype=x.dtype, device=x.device).reshape(-1, *x.shape[1:])
    with untouched(model), torch.no_grad():
        parts = [_nearest(model, part, basis, reach, noise) for part in x.split(size)]
    radius, step, layer, unit = (torch.cat(column) for column in zip(*parts, strict=True))
    return Wall(radius, step.reshape(x.shape), layer, unit)


def _points_at_a_time(chunk, x, sample):
    one = sample * (1 + x[0].numel())
    demand_memory("x", x, one, "a single point is too large, for all its dimensions are taken at once; take a smaller network or "
                  "input, or distance_to_break along some directions")
    if chunk is None:
        return max(1, int(USUAL // max(1, one)))
    chunk = integer("chunk", chunk)
    demand_memory("chunk", chunk, chunk * one, f"pass chunk={max(1, int(memory() // (2 * one)))}")
    return chunk


def in_radius(model: Model, x: torch.Tensor, chunk: int | None = None) -> torch.Tensor:
    r"""Return the exact distance of each input to the nearest wall of its region, shape (points,).

    Args:
        model, x, chunk: As for :func:`nearest_walls`.

    Raises:
        deepatoms.theory.piecewise.NotPiecewiseAffineError, ValueError, MemoryError: As :func:`nearest_walls`.

    Source:
        As :func:`nearest_walls`, :eq:`spl-in-radius`.

    >>> in_radius(torch.nn.ReLU(), torch.tensor([[3.0, -0.5]], dtype=torch.float64)).tolist()
    [0.5]
    """
    return nearest_walls(model, x, chunk).radius


def _nearest(model, x, basis, reach, noise):
    found, output = observe(model, x, basis, noise=noise)
    output[1:] /= reach
    best, doubtful = _none(x), _none(x)
    for pieces in found:
        clear, doubted = _nearest_of(pieces)
        best, doubtful = _nearer(best, clear), _nearer(doubtful, doubted)
    _demand_clear(model, best, doubtful)
    best = reach * best[0], reach * best[1], *best[2:]
    _demand_inside(model, x, best, output)
    return best


def _demand_clear(model, best, doubtful):
    """Refuse where the nearest wall may be one that rounding makes of a unit that is zero, or may not."""
    nearer = (doubtful[0] < best[0]).nonzero().flatten()
    if len(nearer):
        layer, unit = (int(each[nearer[0]]) for each in doubtful[2:])
        refuse_doubtful(model, layer, unit, "would be the nearest wall")


def _nearest_of(pieces):
    if pieces.competing:
        gap, normals, size = pieces.leads()
        least = NOISE * size
    else:
        gap, normals, least = pieces.at, pieces.slopes, pieces.noise
    lengths, most = _lengths(normals), normals.abs().amax(0)
    known = (lengths > DOUBT * lengths.amax(tuple(range(1, lengths.ndim)), keepdim=True)) & (most > least / NOISE * DOUBT)
    wall = (lengths > 0) & (most > least)
    distance = gap.abs() / lengths
    return tuple(_closest(pieces, gap, normals, torch.where(which & wall, distance, torch.inf).flatten(1))
                 for which in (known, ~known))


def _lengths(normals):
    """Return the norms over the first axis; of tiny or huge numbers the squares would vanish or overflow."""
    largest = normals.abs().amax(0)
    whole = torch.where(largest > 0, largest, 1.0)
    return whole * torch.linalg.vector_norm(normals / whole, dim=0)


def _closest(pieces, gap, normals, distance):
    """Return radius, step, layer and unit of the nearest wall, by the distance of each."""
    radius, place = distance.min(1)
    unit = place // (distance.shape[1] // pieces.at.shape[1] * pieces.walls)
    chosen = place.expand(len(normals), -1)[..., None]
    normal = normals.flatten(2).gather(2, chosen)[..., 0]
    length = _lengths(normal)
    sign = gap.flatten(1).gather(1, place[:, None])[:, 0].sign()
    step = torch.where(radius.isfinite(), -sign * radius, 0.0) * (normal / length)
    return radius, step.T, torch.full_like(place, pieces.layer), unit


def _demand_inside(model, x, best, output):
    """Compare the map of each region with the function at two points inside: in some direction, and towards the wall."""
    radius, step = best[0], best[1]
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(step.shape, generator=generator, dtype=step.dtype, device="cpu").to(step.device)
    reach = torch.where(radius.isfinite(), radius, 1 + x.flatten(1).abs().amax(1))
    for way in (0.9 * (reach / torch.linalg.vector_norm(direction, dim=1))[:, None] * direction, 0.99 * step):
        values = output[0] + torch.einsum("nd,dnc->nc", way, output[1:])
        scale = output[0].abs() + torch.einsum("nd,dnc->nc", way.abs(), output[1:].abs())
        demand_pieces(model, x + way.reshape(x.shape), values, scale)


def _nearer(one, other):
    closer = other[0] < one[0]
    return tuple(torch.where(closer[:, None] if a.ndim == 2 else closer, b, a) for a, b in zip(one, other, strict=True))


def _none(x):
    """Return what is found where there is no wall."""
    whole = torch.full((len(x),), -1, device=x.device)
    return torch.full((len(x),), torch.inf, dtype=x.dtype, device=x.device), torch.zeros_like(x).flatten(1), whole, whole

named(__name__)
