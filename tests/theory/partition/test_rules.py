"""One table of rules: every option of every operation that exact slices accept is right, or refused by name."""

import pytest
import torch
from torch.nn import functional as F

from deepatoms.theory import partition
from deepatoms.theory.partition.extension import observe
from deepatoms.theory.partition.rules import WALLS
from deepatoms.theory.piecewise import NotPiecewiseAffineError

torch.manual_seed(3)
START, END = torch.randn(2, 1, 6, 7, dtype=torch.float64) * 4
VOLUME = torch.randn(2, 1, 4, 5, 6, dtype=torch.float64) * 4
SLOPES, LOW = torch.tensor([0.3, -0.5, 0.0, 1.5, 0.7, 2.0, 0.1]).double(), torch.linspace(-1, 1, 7).double()
aten = torch.ops.aten


def pool2d(**options):
    return lambda x: F.max_pool2d(x, **options)


# For each operation calls that vary each of its options; an option's name leads to the calls that vary it.
CALLS = {
    "relu": {}, "abs": {}, "sign": {}, "sgn": {}, "hardsigmoid": {},
    "leaky_relu": {"negative_slope": [F.leaky_relu, lambda x: F.leaky_relu(x, 0.3), lambda x: F.leaky_relu(x, -0.2)]},
    "_prelu_kernel": {"weight": [lambda x: aten._prelu_kernel(x, SLOPES), lambda x: F.prelu(x, SLOPES[:1])]},
    "rrelu_with_noise": dict.fromkeys(["lower", "upper", "noise", "training", "generator"], [
        F.rrelu, lambda x: F.rrelu(x, 0.1, 0.2), lambda x: F.rrelu(x, training=True)]),
    "threshold": dict.fromkeys(["threshold", "value"], [lambda x: F.threshold(x, 0.5, 0.5), lambda x: F.threshold(x, -1.0, 0.3)]),
    "hardtanh": {"min_val": [F.hardtanh, lambda x: F.hardtanh(x, -2.0), lambda x: F.hardtanh(x, -torch.inf)],
                 "max_val": [lambda x: F.hardtanh(x, max_val=0.5), lambda x: F.hardtanh(x, max_val=torch.inf), F.relu6]},
    "clamp": {"min": [lambda x: x.clamp(min=0.4), lambda x: x.clamp(0.4, -0.4), lambda x: x.clamp(LOW, LOW + 0.5),
                      lambda x: x.clamp(min=LOW), lambda x: x.clamp(min=-torch.inf, max=1)],
              "max": [lambda x: x.clamp(max=0.4), lambda x: x.clamp(-3, 0.5), lambda x: x.clip(0.1, 0.1)]},
    "clamp_min": {"min": [lambda x: torch.clamp_min(x, 1.5), lambda x: torch.clamp_min(x, LOW)]},
    "clamp_max": {"max": [lambda x: torch.clamp_max(x, -1.5), lambda x: torch.clamp_max(x, LOW)]},
    "softshrink": {"lambd": [F.softshrink, lambda x: F.softshrink(x, 0.0), lambda x: F.softshrink(x, 1.2)]},
    **{name: {"other": [lambda x, call=call: call(x, x.flip(-1)), lambda x, call=call: call(LOW, x)]}
       for name, call in {"maximum": torch.maximum, "minimum": torch.minimum, "fmax": torch.fmax, "fmin": torch.fmin}.items()},
    **{name: {"other": [lambda x, call=call: x * call(x, 0.7), lambda x, call=call: torch.where(call(x, LOW), x, -x),
                        lambda x, call=call: x.masked_fill(call(x.flip(-1), x), 0.5)]}
       for name, call in {"gt": torch.gt, "ge": torch.ge, "lt": torch.lt, "le": torch.le}.items()},
    **{name: {"dim": [lambda x, call=call: call(x, 1).values, lambda x, call=call: call(x, -1)[0],
                      lambda x, call=call: call(x, 0)[0]],
              "keepdim": [lambda x, call=call: call(x, 2, keepdim=True)[0]]}
       for name, call in {"max": torch.max, "min": torch.min}.items()},
    **{name: {"dim": [lambda x, call=call: call(x, 2), lambda x, call=call: call(x, (1, -1)),
                      lambda x, call=call: call(x, (0, 1)), call],
              "keepdim": [lambda x, call=call: call(x, (1, 2), keepdim=True)]}
       for name, call in {"amax": torch.amax, "amin": torch.amin}.items()},
    **{name: {"dim": [lambda x, call=call: x - torch.take_along_dim(x, call(x, 2, keepdim=True), 2),
                      lambda x, call=call: x * call(x)],
              "keepdim": [lambda x, call=call: torch.gather(x, 3, call(x, 3)[..., None])]}
       for name, call in {"argmax": torch.argmax, "argmin": torch.argmin}.items()},
    **{name: {"dim": [lambda x, call=call: call(x, 2).values, lambda x, call=call: call(x, -1)[0],
                      lambda x, call=call: call(x, 0)[0]]}
       for name, call in {"cummax": torch.cummax, "cummin": torch.cummin}.items()},
    "sort": {"dim": [lambda x: x.sort(2).values, lambda x: x.sort()[0], lambda x: x.sort(0).values, torch.msort],
             "descending": [lambda x: x.sort(-1, True).values, lambda x: torch.gather(x, 2, x.argsort(2, descending=True))],
             "stable": [lambda x: x.sort(stable=True, dim=2)[0], lambda x: x.sort(stable=False, descending=True).values]},
    "topk": {"k": [lambda x: x.topk(2).values, lambda x: x.topk(7)[0], lambda x: x.topk(1, 1)[0]],
             "dim": [lambda x: x.topk(3, 2).values], "largest": [lambda x: x.topk(2, 2, False)[0]],
             "sorted": [lambda x: x.topk(2, sorted=False).values]},
    "kthvalue": {"k": [lambda x: x.kthvalue(1)[0], lambda x: x.kthvalue(7).values], "dim": [lambda x: x.kthvalue(3, 2)[0]],
                 "keepdim": [lambda x: x - x.kthvalue(4, keepdim=True).values]},
    **{name: {"dim": [lambda x, call=call: call(x, 2).values, lambda x, call=call: call(x, 0)[0]],
              "keepdim": [lambda x, call=call: x - call(x, -1, keepdim=True).values]}
       for name, call in {"median": torch.median, "nanmedian": torch.nanmedian}.items()},
    "linalg_vector_norm": dict.fromkeys(["ord", "dim", "keepdim", "dtype"], [
        lambda x: torch.linalg.vector_norm(x, 1, (1, 2)), lambda x: x.norm(1, -1, True)]),
    "norm": dict.fromkeys(["p", "dim", "keepdim", "dtype"], [
        lambda x: aten.norm(x, 1, [1, 3]), lambda x: aten.norm(x, 1, [2], True), lambda x: aten.norm(x, 1, [0])]),
    "max_pool2d_with_indices": {
        "kernel_size": [pool2d(kernel_size=2), pool2d(kernel_size=(3, 2)), pool2d(kernel_size=(1, 4))],
        "stride": [pool2d(kernel_size=3, stride=1), pool2d(kernel_size=2, stride=(3, 1))],
        "padding": [pool2d(kernel_size=3, padding=1), pool2d(kernel_size=(2, 4), stride=1, padding=(1, 2))],
        "dilation": [pool2d(kernel_size=2, dilation=2), pool2d(kernel_size=(2, 3), stride=1, dilation=(3, 2), padding=1)],
        "ceil_mode": [pool2d(kernel_size=3, ceil_mode=True), pool2d(kernel_size=4, stride=3, padding=2, ceil_mode=True)]},
    "max_pool3d_with_indices": {
        "kernel_size": [lambda x: F.max_pool3d(x, (2, 1, 3))], "stride": [lambda x: F.max_pool3d(x, 2, stride=(1, 3, 2))],
        "padding": [lambda x: F.max_pool3d(x, 3, padding=1)],
        "dilation": [lambda x: F.max_pool3d(x, 2, dilation=(1, 2, 3), stride=1)],
        "ceil_mode": [lambda x: F.max_pool3d(x, 3, ceil_mode=True)]},
    "adaptive_max_pool2d": {"output_size": [lambda x: F.adaptive_max_pool2d(x, (4, 5)), lambda x: F.adaptive_max_pool2d(x, 1),
                                            lambda x: F.adaptive_max_pool1d(x[:, 0], 3)]},
    "adaptive_max_pool3d": {"output_size": [lambda x: F.adaptive_max_pool3d(x, (3, 2, 4))]}}
# Their codes change at walls where the function goes straight on.
SMOOTH = (CALLS["clamp"]["max"][2], CALLS["softshrink"]["lambd"][1])
PLAIN = {"relu": F.relu, "abs": torch.abs, "sign": torch.sign, "sgn": torch.sgn, "hardsigmoid": F.hardsigmoid}
EVERY = [pytest.param(name, call, id=f"{name}-{option}-{i}") for name, options in CALLS.items()
         for option, calls in (options or {"self": [PLAIN.get(name)]}).items() for i, call in enumerate(calls)]


@pytest.mark.parametrize("name", list(WALLS))
def test_every_option_of_torch_s_schema_is_in_the_table(name):
    """And each has calls here that vary it."""
    assert set(CALLS[name]) == WALLS[name].options - {"self"}
    packet = getattr(aten, name)
    schemas = [getattr(packet, overload)._schema for overload in packet.overloads()]
    assert any({each.name for each in schema.arguments} == WALLS[name].options for schema in schemas)


def test_an_option_that_no_rule_names_is_refused():
    with pytest.raises(NotPiecewiseAffineError, match="out"):
        observe(lambda x: torch.clamp(x, 0, 1, out=torch.empty_like(x)), START, END)
    with pytest.raises(NotPiecewiseAffineError, match="dim"):
        observe(lambda x: torch.max(x), START, END)


def walls_of(name, function):
    """Return a segment's ends and its walls, None where the operation is refused by name."""
    ends = VOLUME if "3d" in name else (START, END)
    try:
        return ends, torch.from_numpy(partition.slice_segment(function, *ends))
    except NotPiecewiseAffineError as error:
        assert name in str(error) or name in ("amax", "amin")
        return ends, None


@pytest.mark.parametrize(("name", "call"), EVERY)
def test_an_option_is_right_or_refused(name, call):
    """Reference: plain forward passes. Between the walls the function is affine, at each wall it is not."""
    ends, walls = walls_of(name, call)
    if walls is None:
        return
    affine_between(call, *ends, walls)
    if call in SMOOTH:
        return
    kinked_at(call, *ends, walls)


MIXED = torch.randn(500, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize(("name", "call"), [each for each in EVERY if each.values[1] not in (torch.amax, torch.amin)])
def test_what_a_rule_hands_on_is_the_operation_s_output(name, call):
    """A unit that reads all of it is cut where the composition bends, and nowhere is a bend left out."""
    def read(x):
        seen = call(x).flatten(1)
        return torch.relu(seen @ MIXED[:seen.shape[1]] + 1)
    ends, walls = walls_of(name, read)
    if walls is None:
        return
    affine_between(read, *ends, walls)


def values(call, start, end, t):
    return call(start + t.reshape(-1, *[1] * start.ndim) * (end - start)).flatten(1)


def affine_between(call, start, end, walls):
    """At a billionth from its walls, and everywhere between, a piece is what two of its points say."""
    edges = torch.cat([torch.zeros(1).double(), walls, torch.ones(1).double()])
    low, high = edges[:-1], edges[1:]
    wide = high - low > 1e-7
    low, high = low[wide], high[wide]
    one, two = (values(call, start, end, low + share * (high - low)) for share in (0.25, 0.75))
    size = float(one.abs().max() + 1)
    for at in (low + 1e-9, high - 1e-9, *(low + share * (high - low) for share in (0.1, 0.4, 0.9))):
        share = ((at - low) / (high - low) - 0.25)[:, None] * 2
        assert float((values(call, start, end, at) - one - share * (two - one)).abs().max()) <= 2e-11 * size


def kinked_at(call, start, end, walls):
    near = torch.diff(torch.cat([torch.zeros(1).double(), walls, torch.ones(1).double()]))
    step = torch.minimum(near[:-1], near[1:]) / 2
    wide = step > 1e-4
    walls, step = walls[wide], step[wide]
    before, at, after = (values(call, start, end, walls + sign * step) for sign in (-1, 0, 1))
    left, right = values(call, start, end, walls - step / 2), values(call, start, end, walls + step / 2)
    triples = (before, left, at), (before, at, after), (at, right, after)
    assert bool(sum((one - 2 * two + three).abs() > 1e-9 for one, two, three in triples).any(1).all())
