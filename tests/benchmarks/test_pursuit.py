"""The benchmark of basis pursuit: its problems are what they are called, and its rows name their work."""

import numpy as np
from benchmarks import pursuit as speed

from deepatoms.theory import pursuit


def test_the_photograph_has_lost_its_low_frequencies_and_the_filters_are_unit():
    x = speed.photograph(64)
    assert x.shape == (1, 64, 64) and abs(x.mean()) < 0.02 < x.std()
    bank, origin = speed.filters(36, 1, 12, 12)
    np.testing.assert_allclose((bank**2).sum((1, 2, 3)), 1)
    assert bank.shape == (36, 1, 12, 12) and origin


def test_iterations_are_the_fewest_that_reach_the_goal():
    x, D = speed.dense_problem(20, [16, 40])
    found = speed._to_objective(
        lambda count: pursuit.splitting_basis_pursuit(x, D, 0.1, iterations=count, tolerance=0),
        lambda code: float(((x - code @ D.T) ** 2).sum() / 2 + 0.1 * abs(code).sum()), 1e-3)
    assert found["iterations"] == 400 and found["seconds"] > 0
    again = speed._to_objective(lambda count: count, lambda count: 100.0 - count, 83.0)
    assert again["iterations"] == 20 and again["objective"] == 80.0


def test_dense_problems_of_another_size_are_solved_alike():
    found = speed.pursuit_speed(speed.DENSE | {"signals": 50}, "cpu")["ways"]
    objectives = [way["objective"] for way in found.values()]
    np.testing.assert_allclose(*objectives, rtol=1e-6)
    assert [(way["work"], way["unit"]) for way in found.values()] == [(50, "signals")] * 2
