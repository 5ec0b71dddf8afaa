"""The recorded grid: its configurations, and that orderings are read off records as they stand."""

import pytest

from deepatoms.runs import results
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
