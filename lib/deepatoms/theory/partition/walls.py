r"""The walls of the region around a point: its exact in-radius, and the smallest change that leaves it."""

from dataclasses import dataclass

import torch

from deepatoms.theory.arguments import real_array
from deepatoms.theory.partition.extension import demand_double, demand_known, observe
from deepatoms.theory.piecewise import Model

CHUNK = 64  # points at a time; each takes one forward pass for each of its dimensions


@dataclass(frozen=True, eq=False)
class Wall:
    """The nearest wall of the region around each point.

    Attributes:
        radius: Distance to it, shape (points,); infinite where a region has no wall.
        step: The shortest step onto it, shape (points, ...); any longer step along it changes the code.
        layer: Position of its nonlinearity, shape (points,).
        unit: Its unit or window there, shape (points,).
    """

    radius: torch.Tensor
    step: torch.Tensor
    layer: torch.Tensor
    unit: torch.Tensor


def nearest_walls(model: Model, x: torch.Tensor) -> Wall:
    r"""Return the nearest wall of the region around each input.

    With the code held fixed, every unit is an affine function :math:`z_k + \langle a_k, e\rangle` of a step e, and the
    region is the polyhedron on which all of them keep their signs (under max-pooling, on which every winner stays ahead of
    its window). So the largest open ball around x in the region has the radius

    .. math:: r(x) = \min_k \frac{|z_k(x)|}{\|a_k\|_2},

    over units with :math:`a_k \ne 0`; a unit whose inputs are all off makes no wall.

    Args:
        model: A module in evaluation mode and float64.
        x: Inputs, shape (points, ...), float64.

    Returns:
        :class:`Wall`.

    Raises:
        deepatoms.theory.piecewise.NotPiecewiseAffineError: If an operation is not piecewise affine.

    Source:
        Lee, Alvarez-Melis and Jaakkola (ICLR 2019), Croce, Andriushchenko and Hein (AISTATS 2019); with max-pooling, ours.
        The proof is in the chapter, :eq:`spl-in-radius`.

    >>> wall = nearest_walls(torch.nn.ReLU(), torch.tensor([[3.0, -0.5]], dtype=torch.float64))
    >>> wall.radius.tolist(), wall.step.tolist(), wall.unit.tolist()
    ([0.5], [[0.0, 0.5]], [1])
    """
    demand_double("x", real_array("x", x))
    demand_known(model, x[:1])
    basis = torch.eye(x[0].numel(), dtype=x.dtype, device=x.device).reshape(-1, *x.shape[1:])
    parts = [_nearest(model, part, basis) for part in x.split(CHUNK)]
    radius, step, layer, unit = (torch.cat(column) for column in zip(*parts, strict=True))
    return Wall(radius, step.reshape(x.shape), layer, unit)


def in_radius(model: Model, x: torch.Tensor) -> torch.Tensor:
    r"""Return the exact distance of each input to the nearest wall of its region, shape (points,).

    Args:
        model, x: As for :func:`nearest_walls`.

    Raises:
        deepatoms.theory.piecewise.NotPiecewiseAffineError: If an operation is not piecewise affine.

    Source:
        As :func:`nearest_walls`, :eq:`spl-in-radius`.

    >>> in_radius(torch.nn.ReLU(), torch.tensor([[3.0, -0.5]], dtype=torch.float64)).tolist()
    [0.5]
    """
    return nearest_walls(model, x).radius


def _nearest(model, x, basis):
    best = None
    for pieces in observe(model, x, basis)[0]:
        gap, normals = (_leads if pieces.competing else _levels)(pieces)
        lengths = torch.linalg.vector_norm(normals, dim=0)
        scale = lengths.amax(tuple(range(1, lengths.ndim)), keepdim=True)
        distance = torch.where(lengths > 1e-12 * scale, gap.abs() / lengths, torch.inf).flatten(1)
        radius, place = distance.min(1)
        unit = place // (distance.shape[1] // pieces.at.shape[1])
        chosen = place.expand(len(normals), -1)[..., None]
        normal = normals.flatten(2).gather(2, chosen)[..., 0]
        length = lengths.flatten(1).gather(1, place[:, None])[:, 0]
        sign = gap.flatten(1).gather(1, place[:, None])[:, 0].sign()
        step = torch.where(radius.isfinite(), -sign * radius / length, 0.0) * normal
        found = radius, step.T, torch.full_like(place, pieces.layer), unit
        best = found if best is None else _nearer(best, found)
    return best if best is not None else _none(x)


def _levels(pieces):
    return pieces.at, pieces.slopes


def _leads(pieces):
    """Return by how much each window's winner leads each of its cells, and the normals of these walls."""
    winner = pieces.at.argmax(2, keepdim=True)
    gap = pieces.at.gather(2, winner) - pieces.at
    normals = pieces.slopes.gather(3, winner.expand(len(pieces.slopes), *winner.shape)) - pieces.slopes
    return torch.nan_to_num(gap, posinf=0.0), torch.where(gap.isfinite(), torch.nan_to_num(normals), 0.0)


def _nearer(one, other):
    closer = other[0] < one[0]
    return tuple(torch.where(closer[:, None] if a.ndim == 2 else closer, b, a) for a, b in zip(one, other, strict=True))


def _none(x):
    whole = torch.full((len(x),), -1, device=x.device)
    return torch.full((len(x),), torch.inf, dtype=x.dtype, device=x.device), torch.zeros_like(x).flatten(1), whole, whole
