"""Plain chains are carried from layer to layer; whatever is none takes the way of any network, with the same regions."""

import little
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.overrides import TorchFunctionMode

from deepatoms.theory import partition
from deepatoms.theory.partition import complexes, refine
from deepatoms.theory.partition.chains import Chain
from deepatoms.theory.piecewise import NotPiecewiseAffineError

BOX = little.box(-3, 3)


def plain():
    return little.seeded(lambda: little.dense(2, 7, 6, 3))


class Bent(nn.Linear):
    """A subclass may compute anything."""

    def forward(self, x):
        """Return the affine map, folded."""
        return super().forward(x).abs()


def changed(change):
    model = plain()
    change(model)
    return model


def bent(model):
    layer = Bent(6, 3).double()
    layer.load_state_dict(model[4].state_dict())
    model[4] = layer


def patched(model):
    model[2].forward = lambda x: torch.nn.functional.linear(x, model[2].weight).abs()


NEAR_MISSES = {
    "a subclass": bent, "another forward": patched,
    "a hook": lambda model: model[2].register_forward_hook(lambda module, given, output: output.abs()),
    "a hook before": lambda model: model[2].register_forward_pre_hook(lambda module, given: (given[0].abs(),)),
    "a parametrization": lambda model: parametrizations.weight_norm(model[2]),
    "another rectifier": lambda model: model.__setitem__(1, nn.LeakyReLU()),
    "a hook on the whole": lambda model: model.register_forward_hook(lambda module, given, output: output.abs()),
    "one axis for batch and features": lambda model: model.insert(0, nn.Flatten(0))}


@pytest.mark.parametrize("name", list(NEAR_MISSES))
def test_what_is_no_plain_chain_is_not_taken_for_one(name):
    assert Chain.of(changed(NEAR_MISSES[name]), BOX) is None


def test_a_hook_on_every_module_is_seen():
    handle = nn.modules.module.register_module_forward_hook(lambda module, given, output: None)
    try:
        assert Chain.of(plain(), BOX) is None
    finally:
        handle.remove()


@pytest.mark.parametrize("fault", [lambda model: model.float(), lambda model: model[0].weight.data.mul_(1e308),
                                   lambda model: model.insert(0, nn.Linear(5, 2).double())])
def test_what_would_not_run_as_a_chain_is_left_to_the_rehearsal(fault):
    model = plain()
    fault(model)
    with torch.no_grad():
        assert Chain.of(model, BOX) is None


def test_inputs_of_another_shape_are_left_to_the_rehearsal():
    """A linear layer takes them, along the last axis; a chain is carried over points of one axis."""
    with torch.no_grad():
        assert Chain.of(plain(), BOX) is not None and Chain.of(plain(), BOX[:, None]) is None


def both_ways(model, corners, monkeypatch):
    found = partition.slice_plane(model, corners) if len(corners) == 3 else partition.slice_space(model, corners)
    monkeypatch.setattr(Chain, "of", lambda model, corners: None)
    again = partition.slice_plane(model, corners) if len(corners) == 3 else partition.slice_space(model, corners)
    return found, again


@pytest.mark.parametrize("build", [
    plain, lambda: nn.Sequential(nn.Flatten(), plain(), nn.ReLU()), lambda: nn.Sequential(nn.ReLU(), nn.Identity(), plain()),
    lambda: little.seeded(lambda: nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.ReLU(), nn.Linear(4, 2)))])
def test_chains_are_cut_as_any_network(build, monkeypatch):
    found, again = both_ways(build(), BOX, monkeypatch)
    order, other = (np.lexsort(each.centres.round(9).T) for each in (found, again))
    assert len(found) == len(again) >= 10
    assert np.allclose(found.centres[order], again.centres[other], atol=1e-10)
    assert np.allclose(found.areas[order], again.areas[other], atol=1e-12)


def test_chains_are_cut_as_any_network_in_space(monkeypatch):
    corners = little.seeded(lambda: nn.Linear(4, 3, bias=False)).weight.detach().T.contiguous() * 8
    model = little.seeded(lambda: little.dense(3, 6, 6, 2))
    found, again = both_ways(model, corners, monkeypatch)
    order, other = (np.lexsort(each.centres.round(9).T) for each in (found, again))
    assert len(found) == len(again) >= 10
    assert np.allclose(found.volumes[order], again.volumes[other], atol=1e-12)


def test_a_chain_too_large_for_memory_is_cut_a_part_at_a_time(monkeypatch):
    model = plain()
    whole = len(partition.slice_plane(model, BOX))
    monkeypatch.setattr(refine, "USUAL", 4096)
    for most in (1, 1024, 4096, 8192):
        monkeypatch.setattr(complexes, "MOST", most)
        assert len(partition.slice_plane(model, BOX)) == whole


def test_a_chain_that_says_one_thing_and_does_another_is_refused(monkeypatch):
    maps = Chain.maps
    monkeypatch.setattr(Chain, "maps", lambda self, points: [each * (1 + 1e-6) for each in maps(self, points)])
    with pytest.raises(NotPiecewiseAffineError, match="is not affine on"):
        partition.slice_plane(plain(), BOX)


def test_the_limit_holds_inside_a_wide_window():
    model = little.seeded(lambda: nn.Sequential(nn.Linear(2, 400), nn.Unflatten(1, (1, 20, 20)), nn.MaxPool2d(20), nn.Flatten()))
    with pytest.raises(ValueError, match="limit = 5 is less than the 6 regions so far, in nonlinearity 1 of 1"):
        partition.slice_plane(model, BOX, limit=5)
    whole = len(partition.slice_plane(model, BOX))
    assert len(partition.slice_plane(model, BOX, limit=whole)) == whole > 6
    with pytest.raises(ValueError, match="limit"):
        partition.slice_space(little.seeded(little.pooled), 0.1 * little.images(4), limit=3)


def test_pairs_are_looked_at_some_at_a_time(monkeypatch):
    for build, corners in ((little.pooled, little.images(3)), (plain, BOX)):
        model = little.seeded(build)
        monkeypatch.setattr(refine, "PAIRS", 2**14)
        found = partition.slice_plane(model, corners)
        monkeypatch.setattr(refine, "PAIRS", 7)
        assert np.array_equal(partition.slice_plane(model, corners).vertices, found.vertices)


@pytest.mark.parametrize("build", [plain, lambda: little.seeded(little.pooled)])
def test_weights_that_are_being_trained_cut_the_same_regions_and_leave_no_graph(build):
    corners = BOX if build is plain else little.images(3)
    wanted, trained = (partition.slice_plane(build().requires_grad_(grad), corners) for grad in (False, True))
    assert np.array_equal(wanted.areas, trained.areas) and len(trained.affine_maps()[0]) == len(trained)
    assert not partition.nearest_walls(build().requires_grad_(), corners).radius.requires_grad


def walls(rows, levels):
    """A chain of one rectifier whose units are 0 where ``row @ x`` is one of its levels, exactly."""
    pairs = [(row, level) for row, own in zip(rows, levels, strict=True) for level in own]
    model = nn.Sequential(nn.Linear(len(rows[0]), len(pairs)), nn.ReLU(), nn.Linear(len(pairs), 1)).double().requires_grad_(False)
    model[0].weight.copy_(torch.tensor([row for row, _ in pairs]))
    model[0].bias.copy_(-torch.tensor([level for _, level in pairs]))
    return model


def unit_corners(dimension):
    return torch.cat([torch.zeros(1, dimension), torch.eye(dimension)]).double()


@pytest.mark.parametrize("order", [1, -1])
def test_walls_through_old_corners_are_cut_as_one_complex(order):
    """A grid of sixteen squares and all diagonals through its corners: thirty-two triangles of one area, none cut apart."""
    rows = [[4.0, 0.0], [0.0, 4.0], [4.0, 4.0]][::order]
    levels = [[1.0, 2, 3], [1.0, 2, 3], [1.0, 2, 3, 4, 5, 6, 7]][::order]
    chain = Chain.of(walls(rows, levels), unit_corners(2))
    cells, done = chain.refined(1, lambda layer: lambda count: None)
    assert done == 1 and len(cells) == 32
    np.testing.assert_allclose(cells.sizes, 1 / 32, rtol=1e-12)


@pytest.mark.parametrize("order", [1, -1])
def test_walls_through_old_corners_edges_and_faces_are_cut_as_one_complex_in_space(order):
    """Three planes x = y, y = z, x = z, which meet in one diagonal of the cube, make six simplices of one size."""
    rows = [[1.0, -1.0, 0.0], [0.0, 1.0, -1.0], [1.0, 0.0, -1.0]][::order]
    cells, done = Chain.of(walls(rows, [[0.0]] * 3), unit_corners(3)).refined(1, lambda layer: lambda count: None)
    assert done == 1 and len(cells) == 6
    np.testing.assert_allclose(cells.sizes, 1 / 6, rtol=1e-12)


def test_a_unit_that_is_zero_but_for_rounding_cuts_nothing():
    """.1 a + .2 a - .3 a is 5.6e-17 a in float64: beside units of size one no wall, whatever else is in its layer."""
    model = little.seeded(lambda: little.dense(2, 7, 6, 1))
    with torch.no_grad():
        model[0].weight[1:3], model[0].bias[1:3] = model[0].weight[0], model[0].bias[0]
        before = partition.slice_plane(model, BOX)
        model[2].weight[3] = torch.tensor([0.1, 0.2, -0.3, 0, 0, 0, 0])
        model[2].bias[3] = 0
        found, done = Chain.of(model, BOX).refined(2, lambda layer: lambda count: None)
        model[2].weight[3] = 0
        exact, _ = Chain.of(model, BOX).refined(2, lambda layer: lambda count: None)
    assert done == 2 and len(found) == len(exact) <= len(before)
    np.testing.assert_allclose(np.sort(found.sizes), np.sort(exact.sizes), atol=1e-12)


class Turned(TorchFunctionMode):
    """Rectified numbers come out negative."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        return -found if func in (torch.relu, torch.nn.functional.relu) else found


@pytest.mark.parametrize("layers", [None, 1, 2])
def test_a_chain_that_runs_as_another_network_is_refused_also_where_not_all_layers_cut(layers):
    """The first rectifier is given the same in either case; what reaches the second is not."""
    net = little.seeded(lambda: nn.Sequential(nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 2)).double())
    count = len(partition.slice_plane(net, little.box(-2, 2), layers=layers))
    with Turned():
        if layers == 1:
            assert len(partition.slice_plane(net, little.box(-2, 2), layers=1)) == count
        else:
            with pytest.raises(NotPiecewiseAffineError, match="is not affine on|rectifies other numbers, in nonlinearity 2"):
                partition.slice_plane(net, little.box(-2, 2), layers=layers)
