r"""The affine pieces of a network around points, each continued beyond its own region.

A batch holds each point p followed by p + d for every direction d. Affine operations run as they are; at a nonlinearity
the piece that p selects is applied to p + d as well. So the batch carries the affine map of p's region, at the points and
along the directions, without a derivative being taken, and the walls of the region are where its units' values vanish.

What this takes for granted is checked, not assumed: :func:`demand_known` that every sample of a batch is treated by itself, and
:func:`demand_pieces` that the pieces are the function's.
"""

import math
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from deepatoms.theory.arguments import refuse
from deepatoms.theory.partition.rules import FIRST_ONLY, WALLS, Hold, Ranked, bound
from deepatoms.theory.piecewise import (
    Exits,
    Model,
    NotPiecewiseAffineError,
    by_itself,
    demand_affine_in_any_mode,
    demand_model,
    extremes,
    told,
    trace,
)
from deepatoms.theory.signatures import named
from deepatoms.theory.untouched import as_given, untouched

EXACT = 1e-9  # how far, relative to the numbers compared, pieces and function may lie apart


@dataclass(frozen=True, eq=False)
class Pieces:
    """The affine functions that one nonlinearity compares on the regions of some points.

    Attributes:
        layer: Position among the network's nonlinearities.
        operation: The tensor operation.
        at: Values at the points, shape (points, units * walls) of what changes sign, or (points, windows, cells) of what
            competes.
        slopes: Change along each direction, shape (directions, *at.shape).
        walls: How many walls each unit has, side by side: two for a clip, one for a rectifier or for what competes; for
            cells of which several ranks are selected, how many windows.
        ranks: The rank of the cell that each window selects, shape (windows,); None where it is the largest.
    """

    layer: int
    operation: str
    at: torch.Tensor
    slopes: torch.Tensor
    walls: int = 1
    ranks: torch.Tensor | None = None

    @property
    def competing(self) -> bool:
        """Tell whether cells compete for a maximum (pooling), rather than units for a sign."""
        return self.at.ndim == 3

    @property
    def winners(self) -> torch.Tensor:
        """Return the cell that each window selects, shape (points, windows); the first of equal ones."""
        if self.ranks is None:
            return self.at.argmax(2)
        order = self.at.sort(dim=2, descending=True, stable=True).indices
        return order.gather(2, self.ranks[:, None].expand(len(order), -1, 1))[..., 0]

    def leads(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return by how much each window's winner leads each of its cells, and how that lead changes along each direction.

        A cell behind its winner is a unit of one sign, and so is one ahead of a winner that is not the largest: there the lead
        is the cell's. The lead over a cell in the padding is 0 and never changes.
        """
        winner = self.winners[..., None]
        gap = self.at.gather(2, winner) - self.at
        changes = self.slopes.gather(3, winner.expand(len(self.slopes), *winner.shape)) - self.slopes
        gap, changes = gap.abs(), torch.where(gap < 0, -changes, changes)
        return torch.nan_to_num(gap, posinf=0.0), torch.where(gap.isfinite(), torch.nan_to_num(changes), 0.0)


class _Stop(Exception):
    """Raised inside a forward pass to leave it at the wanted nonlinearity."""


def observe(model: Model, points: torch.Tensor, directions: torch.Tensor,
            layer: int | None = None) -> tuple[list[Pieces], Any]:
    r"""Return the pieces at one nonlinearity (or at all), and the network's affine map, on the regions of some points.

    Args:
        model: A module in evaluation mode, made of affine operations and of the nonlinearities in
            :data:`deepatoms.theory.partition.rules.WALLS`.
        points: Shape (points, ...); inside their regions, not on a wall.
        directions: Shape (directions, ...).
        layer: Position of a nonlinearity: the forward pass ends there; None for all of them and the output.

    Returns:
        A list of :class:`Pieces`; and the output at the points and its change along each direction, shape
        (1 + directions, points, outputs), None if the pass ended before.

    Raises:
        deepatoms.theory.piecewise.NotPiecewiseAffineError: If a nonlinearity is called in a way that its rule does not know.

    Source:
        Ours; the pieces are those of Eq. 14, :eq:`spl-eq-14`, and the map that of Theorem 1, :eq:`spl-thm-1`.

    >>> pieces, output = observe(torch.nn.ReLU(), torch.tensor([[3.0, -0.5]]), torch.tensor([[1.0, 1.0]]))
    >>> pieces[0].at.tolist(), output[1].tolist()
    ([[3.0, -0.5]], [[1.0, 0.0]])
    """
    return _run(model, points, directions, layer)[:2]


def _run(model, points, directions, layer=None, traced=None):
    """Run one batch; in the rehearsal, when it is known what was ``traced``, watch what leaves torch as well."""
    as_given()
    batch = torch.cat([points, *(points + direction for direction in directions)])
    mode, output = _Extension(batch, len(points), layer, traced or ()), None
    with torch.inference_mode(False), torch.no_grad():
        try:
            with nullcontext() if traced is None else mode.exits(), mode:
                output = model(batch)
        except (NotPiecewiseAffineError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # noqa: BLE001 (whatever a model raises; a scripted module makes it an error of its own)
            if not mode.stopped:
                _refuse_batch(model, batch, error)
    if output is not None:
        _demand_output(model, output, len(batch))
        output = _affine(output.reshape(1 + len(directions), len(points), -1))
    return mode.found, output, mode


def _refuse_batch(model, batch, error):
    if "allocate memory" in told(error):
        raise error
    raise NotPiecewiseAffineError(f"{_called(model)} fails on a batch of {len(batch)} samples of shape {tuple(batch.shape[1:])} "
                                  f"({told(error)}); keep the batch on the first axis, of any size") from error


def _demand_output(model, output, batch):
    if not isinstance(output, torch.Tensor) or output.ndim == 0 or len(output) != batch:
        shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        refuse("model", _called(model), f"returns {shape}, not one output for each of the {batch} samples of a batch",
               "keep the batch on the first axis, and choose one of the outputs that the model returns")
    if not output.is_floating_point() or not output.numel():
        refuse("model", _called(model), f"returns {output.dtype} of shape {tuple(output.shape)}, no real numbers",
               "return the scores, before they are compared or their positions are taken")


def _called(model):
    return type(model).__name__ if isinstance(model, torch.nn.Module) else getattr(model, "__name__", repr(model))


def demand_known(model: Model, x: torch.Tensor) -> int:
    """Refuse a network that is not piecewise affine, or calls a nonlinearity in a way that is not known here; count them.

    A rehearsal on three inputs next to x, together and one by one, also refuses a network that does not treat the samples
    of a batch each by itself, row by row: columns, batch statistics, time first.

    Raises:
        deepatoms.theory.piecewise.NotPiecewiseAffineError: If an operation is not piecewise affine, is called with an
            option that is not known here, or samples are mixed.

    Source:
        Standard.

    >>> demand_known(torch.nn.ReLU(), torch.ones(1, 2))
    1
    """
    return rehearse(model, x)[0]


def rehearse(model: Model, x: torch.Tensor) -> tuple[int, float]:
    """Do what :func:`demand_known` says; return the number of nonlinearities, and the bytes that one sample takes.

    Raises:
        deepatoms.theory.piecewise.NotPiecewiseAffineError: As :func:`demand_known`.

    Source:
        Standard.

    >>> rehearse(torch.nn.ReLU(), torch.ones(1, 2))[0]
    1
    """
    demand_model(model)
    with untouched(model):
        found = trace(model, x[:1].detach().clone(), codes=False).nonlinearities
        mode = _demand_by_itself(model, x[:1].detach(), found)
        demand_affine_in_any_mode(model, x[:1].detach())
    return len(found), mode.bytes


def _demand_by_itself(model, x, traced):
    """Compare every value that is compared, and the output, of three samples together and one by one."""
    generator = torch.Generator().manual_seed(0)
    near = torch.randn(5, *x.shape[1:], generator=generator, dtype=torch.float64, device="cpu").to(x) * (x.abs().max() + 1)
    points, directions = x + near[:3], near[3:]
    together, output, mode = _run(model, points, directions, traced=traced)
    alone = [_run(model, point[None], directions)[:2] for point in points]
    for layer, pieces in enumerate(together):
        where = traced[layer].where if layer < len(traced) else ""
        parts = [one[0][layer] if layer < len(one[0]) else None for one in alone]
        if any(part is None or part.operation != pieces.operation or part.at.shape[1:] != pieces.at.shape[1:] for part in parts):
            _mixed(f"{pieces.operation} in layer {where!r}")
        _demand_equal(f"{pieces.operation} in layer {where!r}", pieces.at, torch.cat([part.at for part in parts]))
        # Slopes are differences of values, whose rounding they keep where all are saturated.
        size = float(pieces.at.abs().nan_to_num(0.0, 0.0, 0.0).max()) if pieces.at.numel() else 0.0
        slopes = torch.cat([part.slopes for part in parts], 1)
        _demand_equal(f"{pieces.operation} in layer {where!r}", pieces.slopes, slopes, size)
    _demand_equal(f"the output of {_called(model)}", output, torch.cat([one[1] for one in alone], 1))
    if [pieces.operation for pieces in together] != [each.operation for each in traced]:
        raise NotPiecewiseAffineError(f"{_called(model)} runs other operations at other inputs: "
                                      f"{[each.operation for each in traced]} at x; decide with torch.where, not in Python")
    return mode


def _demand_equal(what, together, alone, size=0.0):
    if together.shape != alone.shape:
        _mixed(what)
    together, alone = (torch.nan_to_num(each, 0.0, 0.0, 0.0) for each in (together, alone))  # the padding of pools
    if bool(((together - alone).abs() > _tolerance(alone) * alone.abs().max().clamp(min=size)).any()):
        _mixed(what)


def _tolerance(x):
    return max(EXACT, 1e3 * torch.finfo(x.dtype).eps)


def _mixed(what):
    raise NotPiecewiseAffineError(f"{what} does not treat the samples of a batch each by itself, row by row: three samples give "
                                  "other values together than one by one; keep the batch on the first axis, and mix no samples")


def demand_pieces(model: Model, x: torch.Tensor, values: torch.Tensor, scale: torch.Tensor) -> None:
    """Refuse pieces that are not the function's: compare them with plain forward passes at points inside the regions.

    Args:
        model: The network.
        x: Points inside regions, shape (points, ...).
        values: What the regions' affine maps say there, shape (points, outputs).
        scale: Size of the numbers that make each of them up, same shape.

    Raises:
        deepatoms.theory.piecewise.NotPiecewiseAffineError: If the model computes something else.

    Source:
        Standard.

    >>> x = torch.ones(1, 1)
    >>> demand_pieces(torch.nn.ReLU(), x, x, x)
    """
    there = _plain(model, x)
    error, size = _deviations(model, x, values, there), torch.maximum(scale, there.abs())
    # A millionth of the tolerance, a few roundings, is forgiven beside the largest number of a point: others may have cancelled.
    wrong = ~(error <= _tolerance(values) * (size + 1e-6 * size.amax(1, keepdim=True))).all(1)
    if bool(wrong.any()):
        raise NotPiecewiseAffineError(f"{_called(model)} is not affine on {int(wrong.sum())} of {len(x)} regions looked at: its "
                                      f"output differs by up to {float(error[wrong].nan_to_num(torch.inf).max()):.3g} from their "
                                      "affine maps; a part of it leaves torch, is random, or keeps a state of its own")


def _deviations(model, x, values, there):
    """Return how far outputs lie from what is expected: those of all points together, and of the extremes alone as well."""
    error = (there - values).abs()
    for row in extremes(x) if len(x) > 1 else ():
        alone = by_itself(lambda batch: _plain(model, batch), x[row:row + 1], values)
        error[row] = torch.maximum(error[row], (alone[0] - values[row]).abs())
    return error


def _plain(model, x):
    as_given()
    with torch.inference_mode(False), torch.no_grad():
        try:
            return model(x.clone()).reshape(len(x), -1)
        except Exception as failure:  # noqa: BLE001 (whatever a model raises)
            _refuse_batch(model, x, failure)


def _affine(values):
    return torch.cat([values[:1], values[1:] - values[:1]])


# How a tensor depends on the input: through what its region fixes only, or beyond it.
CONSTANT, VARYING = 1, 2
BLANK = frozenset(("empty_like", "zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_empty", "new_full",
                   "new_empty_strided"))
HELD = frozenset(("gt", "ge", "lt", "le", "sign"))


class _Extension(TorchDispatchMode):
    """Apply at every nonlinearity the pieces that the points of the batch (its first rows) select."""

    def __init__(self, batch, points, last, traced):
        super().__init__()
        self.traced = traced
        self.hold, self.last, self.found, self.kinds = Hold(len(batch) // points, points), last, [], {}
        self.samples, self.largest, self.kept, self.stopped = len(batch), 0, 0, False
        self._mark(batch, VARYING)

    def exits(self):
        """Return what watches for work that leaves torch; made when asked for: it refers to this, and would keep it alive."""
        return Exits(lambda value: self._kind(value) > 0, self._refuse, lambda name: None)

    @property
    def bytes(self):
        """Return how many bytes a sample takes: what is kept of it, and the largest operation's arguments and results."""
        return (3 * self.kept + 3 * self.largest) / self.samples

    def _kind(self, value):
        if isinstance(value, (list, tuple)):
            return max(map(self._kind, value), default=0)
        if not isinstance(value, torch.Tensor) or value.layout != torch.strided:
            return 0  # of other layouts are weights only: what makes such tensors of the input is refused before
        kind, alive = self.kinds.get(value.untyped_storage()._cdata, (0, None))
        return kind if alive is not None and not alive.expired() else 0

    def _mark(self, value, kind):
        for each in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(each, torch.Tensor):
                storage = each.untyped_storage()
                numbers = each.is_floating_point() or each.is_complex()
                # The reference is weak, so that activations are freed, and keeps the address from being used again.
                self.kinds[storage._cdata] = max(kind if numbers else CONSTANT, self._kind(each)), StorageWeakRef(storage)
        return value

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = func._schema.name.removeprefix("aten::").removesuffix("_")
        kind = max(self._kind(args), self._kind(tuple(kwargs.values())))
        if not kind or name in BLANK:
            return func(*args, **kwargs)
        if kind == CONSTANT or name not in WALLS:
            output = func(*args, **kwargs)
            self._demand_plain(name, args, kwargs, output, kind)
        else:
            output = self._select(name, func, args, kwargs)
            kind = CONSTANT if name in HELD else kind
        self.largest = max(self.largest, _nbytes(args) + _nbytes(output))
        return self._mark(output, kind)

    def _select(self, name, func, args, kwargs):
        named = bound(func, args, kwargs)
        if unknown := set(named) - WALLS[name].options:
            self._refuse(name, f"is called with {', '.join(sorted(unknown))}, which exact slices do not know")
        if missing := WALLS[name].needed - set(named):
            self._refuse(name, f"is called without {', '.join(sorted(missing))}: its samples may be mixed")
        if name in FIRST_ONLY and self._kind(tuple(named.values())[1:]) == VARYING:
            self._refuse(name, "has a bound or a slope that depends on the input; for a bound use torch.maximum or torch.minimum")
        try:
            compared, output = WALLS[name].function(self.hold, **named)
            self._note(name, compared)
        except NotPiecewiseAffineError:
            raise
        except ValueError as error:
            self._refuse(name, str(error))
        return args[0].copy_(output) if func._schema.name.endswith("_") else output

    def _note(self, operation, compared):
        layer, competing = len(self.found), WALLS[operation].competing
        compared, ranks = compared if isinstance(compared, Ranked) else (compared, None)
        self.hold.first(compared)  # the rows are the points and their copies
        if self.last in (None, layer):
            cells = compared.shape[-1]
            values = compared.reshape(self.hold.copies, self.hold.points, -1, cells)
            values = values if competing else values.flatten(2)
            self._demand_finite(operation, compared, competing)
            self.kept += _nbytes(values)
            walls = cells if not competing else 1 if ranks is None else len(ranks)
            every = None if ranks is None else torch.tensor(ranks, device=values.device).repeat(values.shape[2] // walls)
            # A copy: the operation may write its result over what it compares.
            self.found.append(Pieces(layer, operation, values[0].clone(), values[1:] - values[:1], walls, every))
        else:
            self.found.append(None)
        if layer == self.last:
            self.stopped = True
            raise _Stop

    def _demand_finite(self, operation, compared, competing):
        low, high = (float(end) for end in compared.aminmax()) if compared.numel() else (0.0, 0.0)  # NaN shows in both
        if math.isnan(high) or high == math.inf or (low == -math.inf and not competing):
            self._refuse(operation, "compares numbers that are infinite or not numbers; scale the input or the weights down")

    def _demand_plain(self, name, args, kwargs, output, kind):
        """An operation that rounds, or computes in fewer digits, is affine by name only."""
        if kind != VARYING:
            return
        if kwargs.get("rounding_mode") is not None:
            self._refuse(name, f"rounds (rounding_mode={kwargs['rounding_mode']!r})")
        given = max((_digits(each) for each in (*args, *kwargs.values()) if self._kind(each) == VARYING), default=0)
        if _digits(output[0] if isinstance(output, (list, tuple)) else output) < given:
            self._refuse(name, "returns fewer digits than it is given (a conversion), so it rounds; keep to one type")

    def _refuse(self, name, problem, remedy="use operations and options that exact slices know"):
        layer = len(self.found)
        here = [each.where for each in self.traced[layer:layer + 1] if each.operation == name]
        place = f"in layer {here[0]!r}" if here else f"after {layer} nonlinearities"
        raise NotPiecewiseAffineError(f"{name} {place} {problem}" + ("" if ";" in problem else f"; {remedy}"))


def _digits(value):
    if isinstance(value, (list, tuple)):
        return max(map(_digits, value), default=0)
    numbers = isinstance(value, torch.Tensor) and (value.is_floating_point() or value.is_complex())
    return torch.finfo(value.dtype).bits if numbers else 0


def _nbytes(value):
    if isinstance(value, (list, tuple)):
        return sum(map(_nbytes, value))
    return value.numel() * value.itemsize if isinstance(value, torch.Tensor) else 0


def demand_double(name: str, value: torch.Tensor) -> torch.Tensor:
    """Refuse what is not float64: the geometry of thin regions needs it.

    Raises:
        ValueError: If the value is not float64.

    Source:
        Standard.

    >>> demand_double("x", torch.ones(1, dtype=torch.float64)).item()
    1.0
    """
    if value.dtype != torch.float64:
        refuse(name, value, "is not float64", "convert it and the model with .double(): thin regions need the digits")
    return value

named(__name__)
