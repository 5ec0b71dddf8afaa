"""Modules written to deceive: every public call is right about the function, or refuses by place and remedy."""

import functools
import itertools

import devious
import numpy as np
import operations
import pytest
import random_modules
import sceptical
import torch
from test_conformance import answer, error_of_differences, slopes_by_autograd
from tests.residual import Block, Residual
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from deepatoms.theory import max_affine, partition, splines
from deepatoms.theory.operations import AFFINE, PIECES
from deepatoms.theory.partition.rules import WALLS
from deepatoms.theory.piecewise import Wish, watch

D = torch.float64
KINDS = {kind: getattr(devious, kind) | getattr(sceptical, kind) for kind in ("RIGHT", "WRONG")}
KINDS["RIGHT"] |= operations.RIGHT
REFUSED = {*devious.REFUSED, *sceptical.REFUSED, *operations.REFUSED}
CASES = [(kind, name) for kind in KINDS for name in KINDS[kind]]
TIMES = torch.tensor([0.02, 0.5, 0.98], dtype=D)


def test_no_name_stands_for_two_modules():
    sizes = [len(getattr(each, kind)) for each in (devious, sceptical) for kind in KINDS]
    assert len(CASES) == sum(sizes) + len(operations.RIGHT) and REFUSED <= KINDS["RIGHT"].keys()


class Operations(TorchDispatchMode):
    """Note the names of the operations."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func._schema.name.removeprefix("aten::").removesuffix("_"))
        return func(*args, **(kwargs or {}))


def test_every_operation_of_the_tables_is_tried():
    """Each stands in a module that is piecewise affine, and every public call is tried on each of those below."""
    with Operations() as met, torch.no_grad():
        for name in KINDS["RIGHT"]:
            fresh("RIGHT", name)(inputs(3))
    assert AFFINE.keys() | PIECES.keys() <= met.names | operations.NEVER_SEEN


def test_one_table():
    """What the tracer knows to select has walls: slices and radii know it too."""
    assert PIECES.keys() == WALLS.keys()


@pytest.mark.parametrize("name", operations.EVERY)
def test_no_operation_lets_a_concave_function_pass_as_convex(name, monkeypatch):
    """One by one, as in a sum the one that is known not to be convex would hide another."""
    monkeypatch.setitem(KINDS["RIGHT"], name, lambda: operations.Reads([name], mixed=False))
    truth_of_concavities("RIGHT", name)


@pytest.fixture(autouse=True)
def usual():
    """Some modules leave another default type, or gradients switched off, where they run outside of a call."""
    yield
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)


def fresh(kind, name):
    """Return the module as it is before its first call."""
    torch.manual_seed(0)
    model = KINDS[kind][name]()
    return model.eval() if isinstance(model, nn.Module) else model


def inputs(count, seed=1):
    return torch.randn(count, devious.WIDTH, generator=torch.Generator().manual_seed(seed), dtype=D)


def one_by_one(kind, name, x):
    """Return the function's own values: each sample by itself; through a module that saw nothing before, unless it is right."""
    build = functools.partial(fresh, kind, name)
    modules = itertools.repeat(build()) if kind == "RIGHT" else (build() for _ in x)
    with torch.no_grad():
        return torch.cat([module(each[None].clone()).reshape(1, -1) for module, each in zip(modules, x, strict=False)])


def demand_straight(values):
    """Three points in a row for each line: an affine function has no second difference."""
    first, middle, last = values.unflatten(0, (-1, 3)).unbind(1)
    assert float((first + last - 2 * middle).abs().max()) <= 1e-8 * (1 + float(values.abs().max()))


def answered(model, call):
    """Return an answer, or None; what is refused is refused with a remedy and from this library, and nothing has changed."""
    return answer(lambda: call(model), model if isinstance(model, nn.Module) else nn.Identity(), inputs(1))[0]


# ---- what each public function says, compared with the function ----

def truth_of_the_map(kind, name, count=3):
    x, build = inputs(count), functools.partial(fresh, kind, name)
    found = answered(build(), lambda model: splines.affine_map(model, x))
    assert (found is None) == (name in REFUSED) or kind == "WRONG"
    if found is not None:
        assert torch.allclose(torch.einsum("ncd,nd->nc", found[0], x) + found[1], one_by_one(kind, name, x), atol=1e-9)
        assert error_of_differences(build(), x, found[0]) < 1e-5
        if kind == "RIGHT":
            assert torch.allclose(found[0], slopes_by_autograd(build(), x), atol=1e-9)


class Padded(nn.Module):
    """Fills outputs up to four."""

    def __init__(self, part):
        super().__init__()
        self.part = part if isinstance(part, nn.Module) else random_modules.Calls(part, "part")

    def forward(self, x):
        out = self.part(x)
        return nn.functional.pad(out, (0, devious.WIDTH - out.shape[1]))


def residual(part):
    """Return a residual network of one block, the branch of which is a module written to deceive."""
    return Residual([Block(Padded(part))], nn.Linear(devious.WIDTH, devious.WIDTH, dtype=D), nn.Linear(devious.WIDTH, 2, dtype=D))


def truth_of_the_templates(kind, name):
    x, build = inputs(3), lambda: residual(fresh(kind, name)).eval()
    found = answered(build(), lambda model: splines.block_templates(model, x))
    if found is not None:
        assert error_of_differences(build(), x, found.sum(1)) < 1e-5
        net = build()
        head, stem = net.head.weight.detach(), net.stem.weight.detach()
        assert torch.allclose(found[:, 0], (head @ stem).expand(3, -1, -1), atol=1e-9)
        if kind == "RIGHT":
            branch = slopes_by_autograd(lambda one: net.blocks[0].branch(net.stem(one)), x)
            assert torch.allclose(found[:, 1], head @ branch, atol=1e-9)


def truth_of_the_codes(kind, name, count=3):
    x = inputs(count)
    codes = answered(fresh(kind, name), lambda model: partition.region_codes(model, x))
    for part in () if codes is None else (0, count - 1):
        with torch.no_grad():  # what a call refuses to answer for one sample has codes there all the same
            alone = watch(fresh(kind, name), x[part:part + 1], Wish(codes=True)).trace.nonlinearities
        assert [np.asarray(layer[part]).tolist() for layer in codes] == [each.codes.tolist() for each in alone]


def truth_of_the_break(kind, name):
    x, way = inputs(3), inputs(3, 8)
    far = answered(fresh(kind, name), lambda model: splines.distance_to_break(model, x, way))
    if far is not None:
        points = x[:, None] + TIMES[:, None] * (far.clamp(max=5)[:, None] * way)[:, None]
        demand_straight(one_by_one(kind, name, points.flatten(0, 1)))


@functools.lru_cache(maxsize=1)
def radii_of(kind, name):
    return answered(fresh(kind, name), lambda model: partition.in_radius(model, inputs(3)))


def truth_of_the_radius(kind, name):
    x, radii = inputs(3), radii_of(kind, name)
    if radii is not None:
        steps = nn.functional.normalize(inputs(24, 5)) * radii.clamp(max=5).repeat(8)[:, None]
        points = x.repeat(8, 1)[:, None] + (2 * TIMES - 1)[:, None] * steps[:, None]
        demand_straight(one_by_one(kind, name, points.flatten(0, 1)))


def truth_of_the_walls(kind, name):
    """Before the wall the code is the centre's, beyond it another."""
    x = inputs(3)
    wall = answered(fresh(kind, name), lambda model: partition.nearest_walls(model, x))
    if wall is None:
        return
    assert torch.equal(wall.radius, radii_of(kind, name))
    assert torch.allclose(wall.step.norm(dim=1), torch.where(wall.radius.isfinite(), wall.radius, 0.0), rtol=1e-9)
    points = torch.cat([x + share * wall.step for share in (0, 1 - 1e-6, 1 + 1e-6)])
    codes = answered(fresh(kind, name), lambda model: partition.region_codes(model, points))
    if codes is not None:
        there, before, beyond = ([layer[start:start + 3] for layer in codes] for start in (0, 3, 6))
        near, far = (partition.distance(there, each).max(0, initial=0) for each in (before, beyond))
        assert (near == 0).all() and ((far > 0) == wall.radius.isfinite().numpy()).all()


def truth_of_the_plane(kind, name):
    plane = answered(fresh(kind, name), lambda model: partition.slice_plane(model, inputs(3)))
    if plane is not None:
        slopes, offsets = plane.affine_maps()
        values = (slopes @ plane.centres[..., None])[..., 0] + offsets
        assert abs(one_by_one(kind, name, plane.points(plane.centres)).numpy() - values).max() < 1e-8


def truth_of_the_space(kind, name):
    """A small box, of few regions."""
    corners = inputs(4)[:1] + 0.5 * inputs(4) - 0.5 * inputs(4)[:1]
    space = answered(fresh(kind, name), lambda model: partition.slice_space(model, corners))
    if space is not None:
        slopes, offsets = space.affine_maps()
        values = (slopes @ space.centres[..., None])[..., 0] + offsets
        assert abs(one_by_one(kind, name, space.points(space.centres)).numpy() - values).max() < 1e-8


def truth_of_the_segment(kind, name):
    x = inputs(2)
    walls = answered(fresh(kind, name), lambda model: partition.slice_segment(model, x[0], x[1]))
    if walls is not None:
        ends = torch.cat([torch.zeros(1, dtype=D), torch.from_numpy(walls), torch.ones(1, dtype=D)])
        t = (ends[:-1, None] + (ends[1:] - ends[:-1])[:, None] * TIMES).flatten()
        demand_straight(one_by_one(kind, name, x[0] + t[:, None] * (x[1] - x[0])))


def truth_of_concavities(kind, name):
    if answered(fresh(kind, name), lambda model: splines.concavities(model, inputs(3))) == ():
        one, two = 3 * inputs(40, 5), 3 * inputs(40, 6)
        values = one_by_one(kind, name, torch.cat([one, (one + two) / 2, two])).unflatten(0, (3, -1))
        assert bool((2 * values[1] <= values[0] + values[2] + 1e-9).all())


def truth_of_the_operators(kind, name):
    """A module of one's own has no operator, whatever it looks like."""
    model = fresh(kind, name)
    assert answered(model, lambda model: max_affine.operators([model], (devious.WIDTH,))) is None


TRUTHS = {
    splines.affine_map: truth_of_the_map, splines.block_templates: truth_of_the_templates,
    partition.region_codes: truth_of_the_codes, splines.distance_to_break: truth_of_the_break,
    partition.in_radius: truth_of_the_radius, partition.nearest_walls: truth_of_the_walls,
    partition.slice_plane: truth_of_the_plane, partition.slice_space: truth_of_the_space,
    partition.slice_segment: truth_of_the_segment,
    splines.concavities: truth_of_concavities, max_affine.operators: truth_of_the_operators}


@pytest.mark.parametrize("public", TRUTHS, ids=lambda public: public.__name__)
@pytest.mark.parametrize("kind, name", CASES)
def test_every_public_call_is_right_about_the_function_or_refuses(public, kind, name):
    TRUTHS[public](kind, name)


@pytest.mark.parametrize("count", [1, 16])
@pytest.mark.parametrize("kind, name", CASES)
def test_maps_and_codes_of_batches_of_any_size(kind, name, count):
    truth_of_the_map(kind, name, count)
    truth_of_the_codes(kind, name, count)


@pytest.mark.parametrize("name", ["mean in batches over 8", "mask of the partner", "one row by the size", "middle neighbour",
                                  "partners"])
def test_an_influence_between_any_two_samples_of_a_large_batch_is_seen(name):
    for call in (splines.affine_map, partition.region_codes):
        with pytest.raises(ValueError, match="influence each other|cannot be told apart"):
            call(fresh("WRONG", name), inputs(16))


class Makes(nn.Module):
    """A part of a block that adds a multiple of its input, of which the derivative sees nothing."""

    def __init__(self, part, factor):
        super().__init__()
        self.part, self.factor = part, factor

    def forward(self, x):
        return self.part(x) + self.factor * x.detach()


def test_two_wrong_slopes_that_make_up_for_each_other_are_no_division():
    """What the shortcut leaves out the branch puts in: the templates sum to the map, and none of them is its block's."""
    torch.manual_seed(0)
    model = residual(devious.dense(4, 5, 4)).eval()
    model.blocks[0].branch, model.blocks[0].shortcut = Makes(devious.dense(4, 5, 4), 0.5), Makes(nn.Identity(), -0.5)
    assert splines.affine_map(model, inputs(3))[0].shape == (3, 2, 4)
    with pytest.raises(ValueError, match="derivative of its part Makes is not the function's"):
        splines.block_templates(model, inputs(3))


@pytest.mark.parametrize("name", sceptical.LAYERS)
def test_layers_have_their_operators_or_are_refused(name):
    build, shape, accepted = sceptical.LAYERS[name]
    torch.manual_seed(0)
    layers = build()
    found = answered(nn.Sequential(*layers), lambda model: max_affine.operators(layers, shape))
    assert (found is not None) == accepted
    x = torch.cat([inputs(6, 3)] * 6, 1)[:, :torch.Size(shape).numel()] * torch.logspace(-3, 4, 6, dtype=D)[:, None]
    x = torch.cat([x, 0 * x[:1], -x])
    for count in range(len(layers)) if accepted else ():
        chain = found[:sum(not isinstance(layer, nn.Flatten) for layer in layers[:count + 1])]
        with torch.no_grad():
            expected = nn.Sequential(*layers[:count + 1])(x.reshape(-1, *shape).clone()).flatten(1)
        values = functools.reduce(lambda z, operator: operator(z), chain, x)
        assert torch.allclose(values, expected, rtol=1e-9, atol=1e-9 * float(x.abs().max()))


def test_the_layers_of_the_table_are_all_tried():
    tried = {type(layer) for build, _, accepted in sceptical.LAYERS.values() if accepted for layer in build()}
    assert tried == set(itertools.chain(max_affine.LAYERS))
