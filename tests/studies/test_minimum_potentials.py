"""The recorded grid: its configurations, and that orderings are read off records as they stand."""

import types

import numpy as np
import pytest

from deepatoms.claims import checking
from deepatoms.runs import results
from deepatoms.studies.deep_frame_potential import drawing
from deepatoms.studies.deep_frame_potential import minima as recorded
from deepatoms.studies.deep_frame_potential.checks import grid


def made_up(potential):
    """Records of every reduced configuration with F given by a function of it."""
    found = []
    for one in recorded._reduced() + recorded._free():
        net = recorded.architecture(one)
        F = potential(one, net)
        result = {"potential": F, "energies": [F**2 * net.atoms] * 3, "atoms": net.atoms, "parameters": net.parameter_count,
                  "between_layers": F * net.atoms}
        found.append({"configuration": one, "result": result})
    return found


@pytest.fixture(scope="module")
def usual():
    level = {"chain": 1.3, "synthesis": 1.2, "resnet": 1.0, "densenet": 0.5}
    return grid.Grid(made_up(lambda one, net: level[one["family"]] * net.parameter_count**-0.5))


def test_configurations_are_distinct_and_the_grid_is_the_papers():
    reduced, grids = recorded._reduced() + recorded._free(), [recorded._grid("unit"), recorded._grid("free")]
    everything = reduced + grids[0] + grids[1]
    assert len(reduced) == 49 and len({results.key(one) for one in everything}) == len(everything)
    assert [sum(one["magnitudes"] == kind for one in everything) for kind in ("unit", "free")] == [156, 396]


def test_the_cheapest_rows_of_the_grid_come_first():
    costs = [recorded.seconds(one) for one in recorded._grid("unit")]
    assert costs == sorted(costs) and costs[0] > 0


def test_ratios_and_orderings(usual):
    sizes = usual.deep("resnet", "chain")
    assert sizes == [(2, 4), (2, 8), (5, 4), (5, 8)]
    assert usual.ratios("chain", "unit", sizes) == pytest.approx([1.3] * 4)
    assert grid._pooled(usual, "unit").measured == 1.0 and grid._pooled(usual, "unit").control == 0.0
    assert usual.seeds("unit") == usual.seeds("gain2") == 3 and usual.seeds("best") == 1
    assert grid.falls(usual, "resnet").measured == 1.0
    assert grid.slope(usual, "resnet", [(2, 4), (5, 4)]) == pytest.approx(0.5)


def test_one_small_record_has_what_the_figures_need():
    one = {**recorded.residual_family("resnet", 1, 4, "unit"), "iterations": 1, "seeds": [0]}
    found = recorded.minimum(one, "cpu")
    assert found["floor"] < found["potential"] and found["layers"] == 7 and found["between_layers"] > 0


@pytest.mark.parametrize(("ratios", "held"), [
    ((0.5, 0.7, 0.9, 1.1, 1.2, 1.3, 1.1), [True, True, True]), ((1.1,) * 7, [False, True, False]),
    ((0.5, 1.2, 0.9, 1.1, 1.2, 1.3, 1.1), [True, False, True]), ((0.5, 0.7, 0.9, 1.1, 1.2, 1.3, 1.4), [True, True, False]),
    ((0.5, 0.7, 0.9, 1.1, 1.2, 1.3, 0.9), [True, False, False])])
def test_the_figure_of_norms_says_where_the_order_turns(ratios, held, monkeypatch):
    own = {(blocks, norm): ratio for blocks in (2, 5) for norm, ratio in zip(recorded.FIXED, ratios, strict=True)}
    F = {(family, *key): 0.1 for key in own for family in ("chain", "resnet")}
    monkeypatch.setattr(drawing.recorded, "ratios_by_norm", lambda records: (own, F))
    assert list(drawing.by_norm().findings.values()) == held


def test_the_figures_of_structure_notice_another_structure(monkeypatch):
    assert all(drawing.families_side_by_side().findings.values())
    monkeypatch.setitem(drawing.FAMILIES, "dense", drawing.FAMILIES["chain (Eq. 10)"])
    assert list(drawing.families_side_by_side().findings.values()) == [False]
    assert all(drawing.convolutional_dictionary(np.random.default_rng(0)).findings.values())
    monkeypatch.setattr(drawing.dictionaries, "gram", lambda B: np.random.default_rng(0).normal(size=(40, 40)))
    assert list(drawing.convolutional_dictionary(np.random.default_rng(0)).findings.values()) == [False, False]


@pytest.mark.parametrize(("energies", "held"), [
    (lambda first, middle, last: (0, max(last - 6, 0), last, last), [True, True]),
    (lambda first, middle, last: (0, last - 1, last, last), [False, True]),
    (lambda first, middle, last: (0, max(last - 6, 0), last, max(last - 7, 0)), [True, False])])
def test_the_figure_of_the_last_width_says_where_the_minimum_leaves_zero(energies, held, monkeypatch):
    monkeypatch.setattr(drawing, "_energies", energies)
    assert list(drawing.last_width(8).findings.values()) == held


@pytest.mark.parametrize("low", [-0.1, 0.1])
def test_the_chooser_says_that_low_f_is_good_where_the_interval_does(low, monkeypatch):
    outcome = types.SimpleNamespace(measured=0.2, interval=(low, 0.4))
    monkeypatch.setattr(drawing.checking, "run", lambda entry, setting: outcome)
    assert list(drawing.chooser(checking.Setting())[0].findings.values()) == [low > 0]
