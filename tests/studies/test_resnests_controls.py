"""The controls of the ResNEst chapter are computed on altered data, and its premises are demanded."""

import dataclasses

import numpy as np
import pytest

from deepatoms.claims import checking
from deepatoms.claims.intervals import mean_and_interval
from deepatoms.studies.resnests import tanh
from deepatoms.studies.resnests.checks import augmented, cross_entropy, sequels
from deepatoms.theory import resnests


def test_the_control_of_question_1_fails_where_weights_are_split(monkeypatch):
    monkeypatch.setattr(augmented, "in_turn", lambda features, y: [resnests.augmented_optimum(features[:1], y)[0] / 2] * 2)
    assert augmented.literal_question(checking.Setting()).control == 100


def test_question_1_demands_a_minimiser_and_a_predictable_feature():
    task = tanh.random_task(np.random.default_rng(0))
    half = resnests.augmented_optimum([task.x], task.y)[0] / 2
    augmented.demand_minimiser([task.x, task.x], task.y, [half, half])
    with pytest.raises(ValueError, match="excess risk"):
        augmented.demand_minimiser([task.x, task.x], task.y, [half, half / 2])
    with pytest.raises(ValueError, match="unpredictable share"):
        augmented.demand_minimiser(task.features[:2], task.y, resnests.augmented_optimum(task.features[:2], task.y))


def test_an_end_that_is_not_critical_is_refused(monkeypatch):
    end = resnests.lbfgs_cross_entropy(*start(), steps=2)
    assert not end.converged
    monkeypatch.setattr(cross_entropy, "ends", lambda setting, width: [([end], 0.0, 0.0)])
    with pytest.raises(ValueError, match="largest gradient"):
        cross_entropy.differences(checking.Setting(), 16, lambda reached, least, linear: 0.0)


def start():
    rng = np.random.default_rng(0)
    task = tanh.random_task(rng, samples=300)
    return task.coupled(), task.y.argmax(1), 0.1 * rng.normal(size=(16, 4)), 0.1 * rng.normal(size=(3, 16))


@pytest.mark.parametrize("shift, result", [(0.02, "holds"), (-0.02, "fails")])
@pytest.mark.parametrize("name", ["nest.tab_bn/above_resnest", "nest.tab_standard/above_resnest"])
def test_both_outcomes_of_an_ordering_have_their_control(name, shift, result):
    noise = np.random.default_rng(0).normal(size=20) * 0.01
    better = "bn-resnest" if "bn" in name else "standard"
    records = [{"configuration": {"variant": variant}, "result": {"accuracy": list(0.9 + move)}}
               for variant, move in ((better, shift + noise), ("resnest", 0 * noise))]
    entry = next(entry for entry in checking.registered("resnests") if entry.id == name)
    same = dataclasses.replace(entry, records=None, function=lambda setting: entry.function(setting, records))
    assert checking.run(same, checking.Setting()).result == result


def test_the_interval_is_students():
    mean, (low, high) = mean_and_interval(np.array([1.0, 2.0, 3.0]))
    assert mean == 2 and high - mean == pytest.approx(4.302653 / np.sqrt(3), abs=1e-5) and low == pytest.approx(2 * mean - high)


def test_pieces_compared_at_one_point_do_not_rebuild_the_function():
    found = sequels.rebuilt(checking.Setting())
    assert found.measured < 1e-9 < 1e-3 < found.control
