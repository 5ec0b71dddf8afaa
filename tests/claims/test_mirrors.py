"""A control that follows from the measured number is seen, whatever the formula; one that is measured is not."""

import random

import pytest

from deepatoms.claims import mirrors
from deepatoms.press import regress


@pytest.mark.parametrize("name, formula", [("x", lambda x: x), ("-x", lambda x: -x), ("1 / x", lambda x: 1 / x),
                                           ("1 - x", lambda x: 1 - x), ("4 x", lambda x: 4 * x),
                                           ("3 - x", lambda x: 3 - x)])
def test_a_mirror_is_seen(name, formula):
    assert mirrors.mirror([(x, formula(x)) for x in (0.31416, 0.72136)]) == name


@pytest.mark.parametrize("pairs", [[(1, 0), (2, 0)], [(0.0, 1.0), (1.0, 0.0)], [(0.3, -0.3), (0.3 + 1e-15, -0.3)],
                                   [(float("inf"), 0.2), (0.5, 0.7)], [(0.0, 0.1), (0.5, 0.6)],
                                   [(0.3, 0.0), (0.7, 0.0)], [(3, 5), (4, 4)], [(1e-16, 0.5), (2e-16, 0.5)]])
def test_counts_and_draws_that_tell_nothing_are_passed_over(pairs):
    assert mirrors.mirror(pairs) is None


def test_a_count_taken_from_the_other_end_is_seen():
    assert mirrors.mirror([(105, 95), (131, 69)]) == "200 - x" and mirrors.mirror([(105, -105), (131, -131)]) == "-x"
    assert mirrors.mirror([(105, 95), (131, 70)]) is None


def test_means_of_counts_that_hardly_move_meet_by_chance_and_others_do_not():
    assert mirrors.mirror([(-2.06, 6.53), (-2.05, 6.52)]) is None
    assert mirrors.mirror([(1.05, 0.95), (1.31, 0.69)]) == "2 - x"
    assert mirrors.mirror([(0.31416, 1.68584), (0.31421, 1.68579)]) == "2 - x"


def test_measured_controls_are_no_mirrors():
    draw = random.Random(0)
    assert not [pairs for pairs in ([(draw.random(), draw.random()) for _ in range(2)] for _ in range(1000))
                if mirrors.mirror(pairs)]


def outcome(seed, measured, control, recorded=False):
    return {("atoms/check", "laptop"): {"check": "atoms/check", "seed": seed, "measured": measured, "control": control,
                                        "recorded": recorded}}


def test_regress_names_a_mirror_and_only_that():
    before = outcome(0, 0.25, 0.75)
    assert regress.mirrored(before, outcome(1, 0.5, 0.5))[0].startswith("atoms/check: at both seeds its control is 1 - x")
    assert regress.mirrored(before, outcome(1, 0.5, 0.4)) == []
    assert regress.mirrored(before, outcome(0, 0.5, 0.5)) == []
    assert regress.mirrored(outcome(0, 0.25, 0.75, recorded=True), outcome(1, 0.5, 0.5)) == []


@pytest.mark.parametrize(("pairs", "name"), [
    ([(0.3, 0.7), (0.3, 0.7), (0.4, 0.6)], None),  # two draws that measure the same tell nothing, whatever the third does
    ([(0.3, 0.6), (0.4, 0.8), (0.5, 1.0)], "2 x"), ([(0.3, 0.6), (0.4, 0.8), (0.5, 1.1)], None),
    ([(3.0, 1.0), (0.4, 0.6)], None), ([(2.0, -2.0), (0.5, -0.5)], "-x"), ([(4.0, 0.25), (0.5, 2.0)], "1 / x"),
    ([(0.7, 0.7), (0.9, 0.9)], "x"), ([(1.2, 1.2), (2.4, 2.4)], "x"), ([(0.3, float("nan")), (0.4, float("nan"))], None)])
def test_a_formula_has_to_fit_every_draw(pairs, name):
    assert mirrors.mirror(pairs) == name


@pytest.mark.parametrize(("error", "name"), [(5e-10, "x"), (2e-9, None)])
def test_a_formula_holds_to_nine_digits(error, name):
    assert mirrors.mirror([(0.25, 0.25), (0.7, 0.7 * (1 + error))]) == name


@pytest.mark.parametrize(("error", "name"), [(5e-13, "x"), (2e-12, None)])
def test_a_formula_holds_at_zero_to_twelve_places(error, name):
    assert mirrors.mirror([(0.0, error), (0.7, 0.7)]) == name


@pytest.mark.parametrize(("second", "name"), [(10, None), (11, "x")])
def test_counts_say_something_from_ten_apart(second, name):
    assert mirrors.mirror([(1, 1), (second, second)]) == name


@pytest.mark.parametrize(("unit", "steps"), [(1.0, [3, 8, 20]), (0.1, [3, 8, 21]), (0.01, [3, 8, 21]), (0.001, [3, 8, 21]),
                                             (0.0, [0.12345, 2.71828])])
def test_the_unit_of_means_of_counts_is_the_largest_power_of_ten_that_they_are_multiples_of(unit, steps):
    assert mirrors._unit([step * (unit or 1.0) for step in steps]) == unit
