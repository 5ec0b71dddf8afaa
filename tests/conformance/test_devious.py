"""Modules written to deceive: every public call is right about the function, or refuses by place and remedy."""

import devious
import pytest
import torch
from test_conformance import answer, error_of_differences, slopes_by_autograd

from deepatoms.theory import partition, splines

D = torch.float64
CASES = [(kind, name) for kind in ("RIGHT", "WRONG") for name in getattr(devious, kind)]


def fresh(kind, name):
    """Return the module as it is before its first call."""
    torch.manual_seed(0)
    model = getattr(devious, kind)[name]()
    return model.eval() if isinstance(model, torch.nn.Module) else model


def inputs(count, seed=1):
    return torch.randn(count, devious.WIDTH, generator=torch.Generator().manual_seed(seed), dtype=D)


def one_by_one(kind, name, x):
    """Return the function's own values: each sample by itself, through a module that saw nothing before."""
    with torch.no_grad():
        return torch.cat([fresh(kind, name)(each[None].clone()).reshape(1, -1) for each in x])


def demand_straight(values):
    """Three points in a row for each line: an affine function has no second difference."""
    first, middle, last = values.unflatten(0, (-1, 3)).unbind(1)
    assert float((first + last - 2 * middle).abs().max()) <= 1e-8 * (1 + float(values.abs().max()))


def answered(kind, name, call):
    """Return an answer, or None; only what is wrong, or listed, is refused, with a remedy and from this library."""
    model = fresh(kind, name)
    if isinstance(model, torch.nn.Module):
        return answer(lambda: call(model), model, inputs(1))[0]
    try:
        return call(model)
    except ValueError as refusal:
        assert ";" in str(refusal)


@pytest.mark.parametrize("count", [1, 5, 16])
@pytest.mark.parametrize("kind, name", CASES)
def test_a_map_is_the_function_s_or_is_refused(kind, name, count):
    x = inputs(count)
    found = answered(kind, name, lambda model: splines.affine_map(model, x))
    assert (found is None) == (name in devious.REFUSED) or kind == "WRONG"
    if found is not None:
        assert torch.allclose(torch.einsum("ncd,nd->nc", found[0], x) + found[1], one_by_one(kind, name, x), atol=1e-9)
        assert error_of_differences(fresh(kind, name), x, found[0]) < 1e-5
        if kind == "RIGHT":
            assert torch.allclose(found[0], slopes_by_autograd(fresh(kind, name), x), atol=1e-9)
    codes = answered(kind, name, lambda model: partition.region_codes(model, x))
    for part in () if codes is None else (0, count - 1):
        alone = answered(kind, name, lambda model: partition.region_codes(model, x[part:part + 1]))  # noqa: B023 (called at once)
        assert partition.distance(alone, [layer[part] for layer in codes]).max(initial=0) == 0


@pytest.mark.parametrize("name", ["mean in batches over 8", "mask of the partner", "one row by the size", "middle neighbour",
                                  "partners"])
def test_an_influence_between_any_two_samples_of_a_large_batch_is_seen(name):
    for call in (splines.affine_map, partition.region_codes):
        with pytest.raises(ValueError, match="influence each other|cannot be told apart"):
            call(fresh("WRONG", name), inputs(16))


@pytest.mark.parametrize("kind, name", CASES)
def test_geometry_is_the_function_s_or_is_refused(kind, name):
    """Between the walls, inside the radius and up to the break the function is affine, and where it is told convex it is."""
    x, way = inputs(3), inputs(3, 8)
    times = torch.tensor([0.02, 0.5, 0.98], dtype=D)
    walls = answered(kind, name, lambda model: partition.slice_segment(model, x[0], x[1]))
    if walls is not None:
        ends = torch.cat([torch.zeros(1, dtype=D), torch.from_numpy(walls), torch.ones(1, dtype=D)])
        t = (ends[:-1, None] + (ends[1:] - ends[:-1])[:, None] * times).flatten()
        demand_straight(one_by_one(kind, name, x[0] + t[:, None] * (x[1] - x[0])))
    radii = answered(kind, name, lambda model: partition.in_radius(model, x))
    if radii is not None:
        steps = torch.nn.functional.normalize(inputs(24, 5)) * radii.clamp(max=5).repeat(8)[:, None]
        points = x.repeat(8, 1)[:, None] + (2 * times - 1)[:, None] * steps[:, None]
        demand_straight(one_by_one(kind, name, points.flatten(0, 1)))
    far = answered(kind, name, lambda model: splines.distance_to_break(model, x, way))
    if far is not None:
        points = x[:, None] + times[:, None] * (far.clamp(max=5)[:, None] * way)[:, None]
        demand_straight(one_by_one(kind, name, points.flatten(0, 1)))
    if answered(kind, name, lambda model: splines.concavities(model, x)) == ():
        one, two = 3 * inputs(60, 5), 3 * inputs(60, 6)
        middle, ends = one_by_one(kind, name, (one + two) / 2), (one_by_one(kind, name, each) for each in (one, two))
        assert bool((2 * middle <= sum(ends) + 1e-9).all())


@pytest.mark.parametrize("kind, name", CASES)
def test_the_maps_of_a_plane_are_the_function_s_or_refused(kind, name):
    plane = answered(kind, name, lambda model: partition.slice_plane(model, inputs(3)))
    if plane is not None:
        slopes, offsets = plane.affine_maps()
        values = (slopes @ plane.centres[..., None])[..., 0] + offsets
        assert abs(one_by_one(kind, name, plane.points(plane.centres)).numpy() - values).max() < 1e-8
