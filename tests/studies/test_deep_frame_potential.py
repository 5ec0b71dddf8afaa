"""Controls of the chapter on F are computed, not derived from what they control; its checks demand their premises."""

import functools

import numpy as np
import pytest

from deepatoms.claims import checking, mirrors
from deepatoms.studies.deep_frame_potential import minima
from deepatoms.studies.deep_frame_potential.checks import bounds, draws, grid
from deepatoms.theory import dictionaries

ENTRIES = checking.registered("deep-frame-potential")
SLOW = {"dfp.structure_only/unit_magnitudes", "dfp.structure_only/free_magnitudes", "dfp.analytic/attained"}


def noisy(seed):
    """The recorded grid with every F and energy moved by up to a third."""
    draw, records = np.random.default_rng(seed), []
    for record in minima.recorded():
        factor = draw.uniform(0.7, 1.3)
        result = {**record["result"], "potential": record["result"]["potential"] * factor,
                  "between_layers": record["result"]["between_layers"] * factor}
        records.append(record | {"result": result})
    return grid.Grid(records, draw)


@pytest.mark.parametrize("function", [pytest.param(entry.function.__wrapped__, id=entry.id) for entry in ENTRIES
                                      if entry.scale == "reduced" and hasattr(entry.function, "__wrapped__")
                                      and entry.function.__wrapped__.__module__ == grid.__name__])
def test_controls_of_recorded_checks_are_no_mirrors(function):
    found = [function(noisy(seed)) for seed in range(4)]
    assert mirrors.mirror([(one.measured, one.control) for one in found]) is None


@functools.cache
def measured(identifier, seed):
    return next(entry for entry in ENTRIES if entry.id == identifier).function(checking.Setting(seed=seed))


QUICK = [entry for entry in ENTRIES if entry.records is None and entry.id not in SLOW]


def test_every_counted_check_says_its_count():
    assert [entry.id for entry in QUICK if entry.evidence.count is not None and measured(entry.id, 0).count is None] == []


def test_a_premise_that_is_not_met_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="premise not met: width"):
        draws.demand("width", False)
    monkeypatch.setattr(dictionaries, "minimize_coherence", lambda D: dictionaries.Descended(dictionaries.normalize(D), True))
    entry = next(entry for entry in ENTRIES if entry.id == "dfp.depth/beats_shallow")
    with pytest.raises(ValueError, match="coherence of the first layer at most 0.3"):
        entry.function(checking.Setting())


def test_every_recorded_row_is_read():
    rows = grid.Grid(minima.recorded())
    assert set(rows.sizes()) >= {size for record in minima.recorded() if record["configuration"]["family"] == "resnet"
                                 for size in [(record["configuration"]["blocks"], record["configuration"]["width"])]
                                 if record["configuration"]["magnitudes"] == "unit"}


def test_the_labelled_points_are_not_those_found_by_value():
    assert not set(bounds.LABELLED) & set(bounds.BY_VALUE) and len(bounds.LABELLED) == 4


def test_another_norm_scales_every_filter():
    one, half = (minima.architecture(minima.fixed_norm("resnet", 2, norm)) for norm in (1.0, 0.5))
    assert [weight.norm for weight in half.weights] == [weight.norm / 2 for weight in one.weights]
