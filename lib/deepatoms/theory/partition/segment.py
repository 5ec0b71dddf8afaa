r"""The exact partition of a segment of a network's input space."""

import numpy as np
import torch

from deepatoms.theory.arguments import real_array, refuse
from deepatoms.theory.partition.extension import Pieces, demand_double, demand_known, observe
from deepatoms.theory.piecewise import Model

ROUNDING = 1e-13


def slice_segment(model: Model, start: torch.Tensor, end: torch.Tensor) -> np.ndarray:
    r"""Return where a network's code changes on the segment from one input to another.

    The segment is :math:`a + t\,(b-a)` with t in [0, 1]. Nonlinearity by nonlinearity, each piece so far carries the affine
    map of everything before it, so the next walls are roots of linear functions; nothing is searched for.

    Args:
        model: A module in evaluation mode and float64.
        start: The input a, shape (...), float64, without a batch axis.
        end: The input b, of the same shape.

    Returns:
        The walls t, ascending, between 0 and 1; shape (walls,).

    Raises:
        deepatoms.theory.piecewise.NotPiecewiseAffineError: If an operation is not piecewise affine.
        ValueError: If the ends are one point, do not fit, or are not float64.

    Source:
        Ours, the refinement of Section 7.1, :eq:`spl-refine`, on a line.

    >>> a, b = torch.tensor([[-1.0, -1.0], [3.0, 1.0]], dtype=torch.float64)
    >>> slice_segment(torch.nn.ReLU(), a, b).tolist()
    [0.25, 0.5]
    """
    for name, point in (("start", start), ("end", end)):
        demand_double(name, real_array(name, point))
    if start.shape != end.shape or bool((start == end).all()):
        refuse("end", end, "is the start itself, or of another shape", "pass two different inputs of one shape")
    ends = np.array([0.0, 1.0])
    for layer in range(demand_known(model, start[None])):
        middles = (ends[1:] + ends[:-1]) / 2
        at = torch.as_tensor(middles, dtype=start.dtype, device=start.device).reshape(-1, *[1] * start.ndim)
        pieces = observe(model, start + at * (end - start), (end - start)[None], layer)[0][layer]
        roots = _overtakings(pieces) if pieces.competing else _roots(pieces.at, pieces.slopes[0])
        ends = _insert(ends, middles, roots)
    return ends[1:-1]


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
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(abs(slopes) > ROUNDING * (abs(at) + 1e-300), -at / slopes, np.inf)


def _overtakings(pieces):
    """Return where one cell of a window overtakes another at the top of it, shape (pieces, candidates)."""
    found, cells = [], pieces.at.shape[2]
    for cell in range(cells):
        for rival in range(cell):
            gap = pieces.at[..., cell] - pieces.at[..., rival]
            tilt = pieces.slopes[0, ..., cell] - pieces.slopes[0, ..., rival]
            root = _roots(torch.nan_to_num(gap, posinf=1.0, neginf=1.0), torch.nan_to_num(tilt))
            found.append(_at_the_top(pieces, cell, root))
    return np.concatenate(found, 1)


def _at_the_top(pieces, cell, root):
    """Drop crossings below the maximum of their window: they are no walls."""
    at, slopes = pieces.at.cpu().numpy(), np.nan_to_num(pieces.slopes[0].cpu().numpy())
    root = np.where(np.isfinite(root), root, 0.0)
    values = at + root[..., None] * slopes
    highest = values.max(2)
    near = ROUNDING * (abs(np.where(np.isfinite(at), at, 0)).max(2) + abs(root) * abs(slopes).max(2))
    return np.where((root != 0) & (values[..., cell] >= highest - 10 * near), root, np.inf)


def _insert(ends, middles, roots):
    """Add the roots that lie strictly inside their own piece."""
    half = (ends[1:] - ends[:-1])[:, None] / 2
    inside = abs(roots) < half * (1 - 1e-9)
    places = np.broadcast_to(middles[:, None], roots.shape)[inside] + roots[inside]
    joined = np.unique(np.concatenate([ends, places]))
    return joined[np.concatenate([[True], np.diff(joined) > ROUNDING])]
