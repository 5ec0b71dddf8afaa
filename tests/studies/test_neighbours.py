"""A claim about neighbours that fails is reported as failing, not as a broken check."""

import pytest

from deepatoms.claims.checking import EXACT, Registered, Setting, run
from deepatoms.studies.spline_partitions.checks import neighbours


def profiles(same, far):
    trained = {"same_class": same, "euclidean": far}
    return [{"trained": trained, "untrained": {"same_class": [0.5] * 6}, "random": {"euclidean": 4.0}}]


@pytest.mark.parametrize("name, function", [
    ("spl.fig4_class/rise", neighbours.rise), ("spl.fig4_class/learned", neighbours.learned),
    ("spl.fig4_euclid/further", neighbours.further)])
@pytest.mark.parametrize("same, far, result", [
    ([0.5] * 4 + [0.8] * 2, [1.0] * 5 + [2.0], "holds"), ([0.5] * 4 + [0.51] * 2, [2.0] * 5 + [1.9], "fails")])
def test_both_outcomes_have_their_control(name, function, same, far, result):
    entry = Registered(name, lambda setting: function(profiles(same, far), (4,)), EXACT, "laptop", None)
    assert run(entry, Setting()).result == result
