r"""The affine pieces of a network around points, each continued beyond its own region.

A batch holds each point p followed by p + d for every direction d. Affine operations run as they are; at a nonlinearity
the piece that p selects is applied to p + d as well. So the batch carries the affine map of p's region, at the points and
along the directions, without a derivative being taken, and the walls of the region are where its units' values vanish.

What this takes for granted is checked, not assumed: :func:`rehearse` that every sample of a batch is treated by itself, and
:func:`demand_pieces` that the pieces are the function's.
"""

import math
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

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
    shake,
    some_roundings,
    told,
    trace,
)
from deepatoms.theory.signatures import named
from deepatoms.theory.untouched import as_given, untouched

EXACT = 1e-9  # how far, relative to the numbers compared, pieces and function may lie apart
SAME = 1e-13  # cells that compete are equal if they differ by so little of their numbers
CANCELS = 100  # times what a hundred roundings do to it: what is less counts as a remainder of numbers that cancel
SHAKEN = range(3)  # seeds
Noise = Mapping[int, torch.Tensor]


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
        noise: What a hundred roundings leave of the slopes of units whose numbers cancel, shape (units * walls,); 0 for all
            others.
    """

    layer: int
    operation: str
    at: torch.Tensor
    slopes: torch.Tensor
    walls: int = 1
    ranks: torch.Tensor | None = None
    noise: torch.Tensor | float = 0.0

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

    def leads(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return by how much each window's winner leads each of its cells, how that changes along each direction, and its size.

        A cell behind its winner is a unit of one sign, and so is one ahead of a winner that is not the largest: there the lead
        is the cell's. The lead over a cell in the padding is 0 and never changes; so is that over a cell that is no rival. The
        size is that of the numbers compared, shape (points, windows, cells).
        """
        gap, changes, size = self._compared()
        equal = _equal(gap, changes, size)
        never = equal | ~gap.isfinite() | self._harmless(gap, equal)
        return torch.where(never, 0.0, gap.abs()), torch.where(never, 0.0, torch.where(gap < 0, -changes, changes)), size

    @property
    def first(self) -> torch.Tensor:
        """Return the winners; of the cells that are equal to one on its region, up to rounding, the first."""
        return _equal(*self._compared()).to(torch.int8).argmax(2)

    def _compared(self):
        """Return the lead of each window's winner over each cell, its changes, and the size of the numbers compared."""
        winner = self.winners[..., None]
        gap = self.at.gather(2, winner) - self.at
        changes = self.slopes.gather(3, winner.expand(len(self.slopes), *winner.shape)) - self.slopes
        size = torch.nan_to_num(self.at.abs() + _largest(self.slopes), 0.0, 0.0, 0.0)
        return gap, changes, torch.maximum(size, size.gather(2, winner))

    def _harmless(self, gap, equal):
        """Tell which cells only exchange the winner for one that is equal to it: there are enough of these on their side."""
        if self.ranks is None:
            return torch.zeros_like(equal)
        rank, ahead = self.ranks[:, None], ((gap < 0) & ~equal).sum(2, keepdim=True)
        return torch.where(gap < 0, rank < ahead + equal.sum(2, keepdim=True) - 1, rank > ahead) & ~equal


def _equal(gap, changes, size):
    """Tell which cells equal the winner, up to rounding, on its whole region."""
    return (gap.abs() <= SAME * size) & (_largest(changes) <= SAME * size)


def _largest(slopes):
    """Return the largest of some slopes by amount, over the first axis, without a copy of them."""
    return torch.linalg.vector_norm(slopes, torch.inf, 0)


class _Stop(Exception):
    """Raised inside a forward pass to leave it at the wanted nonlinearity."""


def observe(model: Model, points: torch.Tensor, directions: torch.Tensor, layer: int | None = None,
            noise: Noise = MappingProxyType({})) -> tuple[list[Pieces], Any]:
    r"""Return the pieces at one nonlinearity (or at all), and the network's affine map, on the regions of some points.

    Args:
        model: A module in evaluation mode, made of affine operations and of the nonlinearities in
            :data:`deepatoms.theory.partition.rules.WALLS`.
        points: Shape (points, ...); inside their regions, not on a wall.
        directions: Shape (directions, ...).
        layer: Position of a nonlinearity: the forward pass ends there; None for all of them and the output.
        noise: What the rehearsal found that roundings leave of units whose numbers cancel, by nonlinearity.

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
    return _run(model, points, directions, layer, noise=noise)[:2]


def _run(model, points, directions, layer=None, traced=None, noise=MappingProxyType({}), shaken=None):
    """Run one batch; in the rehearsal, when it is known what was ``traced``, watch what leaves torch as well."""
    as_given()
    batch = torch.cat([points, *(points + direction for direction in directions)])
    mode, output = _Extension(batch, len(points), layer, traced or (), noise, shaken), None
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


class Rehearsed(NamedTuple):
    """What a rehearsal found.

    Attributes:
        nonlinearities: Their number.
        bytes: What one sample takes.
        noise: By the position of a nonlinearity, what a hundred roundings leave of the slopes of its units whose numbers cancel,
            shape (units * walls,), 0 for all others; only where there are such units.
    """

    nonlinearities: int
    bytes: float
    noise: Noise


def rehearse(model: Model, x: torch.Tensor) -> Rehearsed:
    """Refuse a network that is not piecewise affine, or calls a nonlinearity in a way that is not known here.

    A rehearsal on three inputs next to x, together and one by one, also refuses a network that does not treat the samples
    of a batch each by itself, row by row: columns, batch statistics, time first. Repeated with every number moved by some
    roundings, it tells which units are but what rounding leaves of numbers that cancel.

    Args:
        model: The network.
        x: Inputs; the first is rehearsed, and the largest number of all says how large rounding may be.

    Raises:
        deepatoms.theory.piecewise.NotPiecewiseAffineError: If an operation is not piecewise affine, is called with an
            option that is not known here, or samples are mixed.

    Source:
        Standard.

    >>> rehearse(torch.nn.ReLU(), torch.ones(1, 2))[0]
    1
    >>> found = rehearse(lambda x: torch.relu(0.1 * x + 0.2 * x - 0.3 * x), torch.ones(1, 2, dtype=torch.float64))
    >>> bool((found.noise[0] > 0).all() and (found.noise[0] < 1e-12).all())
    True
    """
    demand_model(model)
    one = x[:1].detach()
    with untouched(model):
        found = trace(model, one.clone(), codes=False).nonlinearities
        points, directions = _near(one)
        mode = _demand_by_itself(model, points, directions, found)
        demand_affine_in_any_mode(model, one)
        larger = float((x.detach().abs().max() + 1) / (one.abs().max() + 1))
        noise = {layer: larger * left for layer, left in _remainders(model, points, directions, mode.found)}
    return Rehearsed(len(found), mode.bytes, noise)


def _near(x):
    """Return three points near an input, and two directions."""
    generator = torch.Generator().manual_seed(0)
    near = torch.randn(5, *x.shape[1:], generator=generator, dtype=torch.float64, device="cpu").to(x) * (x.abs().max() + 1)
    return x + near[:3], near[3:]


def _remainders(model, points, directions, found):
    """Yield, by nonlinearity, what a hundred roundings leave of the units that are no more than a remainder at some points."""
    shaken = [_run(model, points, directions, shaken=seed)[0] for seed in SHAKEN]
    straight = torch.ones(len(shaken), len(points), 1, dtype=torch.bool, device=points.device)
    for pieces, *others in zip(found, *shaken, strict=True):
        if pieces.competing:
            turned = torch.stack([each.first != pieces.first for each in others])
        else:
            size, moved = pieces.slopes.abs().sum(0), torch.stack([(each.slopes - pieces.slopes).abs().sum(0) for each in others])
            most = torch.where(straight, moved, 0.0).amax(0)
            remainder = size <= CANCELS * most
            if bool((left := torch.where(remainder, most, 0.0).amax(0)).any()):
                yield pieces.layer, left
            # A remainder that turns does nothing to what follows, unless it is compared: then a mask turns.
            turned = torch.stack([each.at.sign() != pieces.at.sign() for each in others])
            turned &= (torch.zeros_like(remainder) if pieces.operation in HELD else remainder).logical_not()
        straight &= ~turned.any(2, keepdim=True)  # behind another piece all may be other than rounding makes it


def _demand_by_itself(model, points, directions, traced):
    """Compare every value that is compared, and the output, of three samples together and one by one."""
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
HELD = frozenset(("gt", "ge", "lt", "le", "sign", "sgn"))


class _Extension(TorchDispatchMode):
    """Apply at every nonlinearity the pieces that the points of the batch (its first rows) select."""

    def __init__(self, batch, points, last, traced, noise, shaken):
        super().__init__()
        self.traced, self.noise, self.amount = traced, noise, some_roundings(batch)
        self.draw = None if shaken is None else torch.Generator().manual_seed(shaken)
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
            if self.draw and kind == VARYING:
                shake(func, output, self.amount, self.draw)
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
            self.found.append(Pieces(layer, operation, values[0].clone(), values[1:] - values[:1], walls, every,
                                     self.noise.get(layer, 0.0)))
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
