"""Controls are mandatory, and a measurement is a number."""

import math

import pytest

from deepatoms.claims import catalogue, checking
from deepatoms.claims.checking import EXACT, ControlError, Measurement, Registered, Setting

FAILS, PASSES, OPPOSES = "dfp.eq2/two_forms", "dfp.welch/is_minimum", "dfp.fig4a/outliers"  # <= 1e-12, <= 1e-3, > 0


def outcome(identifier, measurement):
    return checking.run(Registered(identifier, lambda setting: measurement, EXACT, "laptop", None), Setting())


def test_what_a_control_must_do_is_read_off_the_catalogue():
    checks = catalogue.load().checks
    assert [checks[name].control_must for name in (FAILS, PASSES, OPPOSES)] == ["fail", "pass", "oppose"]
    assert {check.control_must for check in checks.values()} == {"fail", "pass", "oppose"}


@pytest.mark.parametrize("identifier, measurement, result", [
    (FAILS, Measurement(0, 1), "holds"),
    (FAILS, Measurement(1, 1), "fails"),
    (FAILS, Measurement(0, 1, control_interval=(0, 2)), "holds"),
    (PASSES, Measurement(1, 0), "fails"),
    (PASSES, Measurement(0, 0), "holds"),
    (OPPOSES, Measurement(1, -1), "holds"),
    (OPPOSES, Measurement(-1, 1), "fails"),
    (OPPOSES, Measurement(1, -1, interval=(-1, 3)), "inconclusive"),
])
def test_a_control_that_comes_out_the_other_way_is_accepted(identifier, measurement, result):
    assert outcome(identifier, measurement).result == result


@pytest.mark.parametrize("identifier, measurement", [
    (FAILS, Measurement(0, 0)),
    (PASSES, Measurement(1, 1)),
    (PASSES, Measurement(1, 0, control_interval=(0, 1))),
    (OPPOSES, Measurement(1, 1)),
    (OPPOSES, Measurement(-1, -1)),
])
def test_a_control_that_comes_out_like_the_claim_is_refused(identifier, measurement):
    with pytest.raises(ControlError, match=identifier):
        outcome(identifier, measurement)


@pytest.mark.parametrize("measurement", [
    Measurement(math.nan, 1), Measurement(0, math.nan), Measurement(0, 1, interval=(math.nan, 1)),
    Measurement(0, 1, interval=(2, 1)), Measurement(0, 1, control_interval=(1, math.nan))])
def test_what_is_no_number_is_refused(measurement):
    with pytest.raises(ValueError, match=FAILS):
        outcome(FAILS, measurement)


def test_the_evidence_is_what_was_counted_and_never_less_than_promised():
    def said(count):
        promised, measured = checking.instances(100, "networks"), Measurement(0, 1, count=count)
        entry = Registered(FAILS, lambda setting: measured, promised, "laptop", None)
        return checking.run(entry, Setting()).evidence
    assert said(100) == "100 random networks" and said(120) == "120 random networks"
    with pytest.raises(ValueError, match="count = 24 networks measured, but the evidence promises 100"):
        said(24)
    with pytest.raises(ValueError, match=f"{FAILS}: count = None says nothing of the networks measured; count them"):
        said(None)


def test_examples_that_somebody_chose_are_not_called_random():
    assert str(checking.examples(10, "compositions")) == "10 compositions, chosen, not drawn"
    assert str(checking.examples(1, "networks")) == "1 network, chosen, not drawn"
    assert str(checking.examples(1, "pairs of inputs")) == "1 pair of inputs, chosen, not drawn"
    assert str(checking.instances(1, "matrices")) == "1 random matrix"
