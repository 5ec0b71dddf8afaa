"""Each word of a verdict is said where it is true, and another one a step away."""

import math

import pytest

from deepatoms.reports.entries import LENSES, MISSING, NULLS, VERDICTS, Entry
from deepatoms.reports.subject import NoDataError, TooLongError, missing
from deepatoms.reports.verdicts import RULES, judge

FLIPS = [
    ("share", {"value": 1.0, "threshold": 1.0}, "certified", {"value": 0.999}, "certified in part"),
    ("share", {"value": 0.001, "threshold": 1.0}, "certified in part", {"value": 0.0}, "not certified"),
    ("margin", {"value": 1e-9, "threshold": 0.0}, "certified", {"value": 0.0}, "not certified"),
    ("assumption", {"value": 2e-10, "threshold": 1e-10}, "holds", {"value": 1e-10}, "fails"),
    ("representation", {"value": 1e-6, "threshold": 1e-6}, "holds", {"value": 1.1e-6}, "fails"),
    ("below", {"value": 3.9, "threshold": 4.0}, "within its bound", {"value": 4.1}, "beyond its bound"),
    ("below", {"value": 4.001, "threshold": 4.0}, "at its bound", {"value": 4.01}, "beyond its bound"),
    ("above", {"value": 0.6, "threshold": 0.5}, "within its bound", {"value": 0.4}, "beyond its bound"),
    ("above", {"value": 0.4999, "threshold": 0.5}, "at its bound", {"value": 0.49}, "beyond its bound"),
    ("null", {"value": 3.0, "nulls": {NULLS[0]: [1.0, 2.0], NULLS[1]: [0.0]}}, "beyond its null", {"value": 2.0},
     "within its null"),
    ("null", {"value": -1.0, "nulls": {NULLS[0]: [1.0, 2.0], NULLS[1]: [0.0]}}, "beyond its null", {"value": 0.0},
     "within its null"),
    ("null", {"value": 3.0, "nulls": {NULLS[0]: [1.0]}}, "beyond its null", {"nulls": {}}, "no yardstick"),
    ("null", {"value": 3.0, "nulls": {NULLS[0]: [1.0]}}, "beyond its null", {"saturated": "all are one"}, "saturated"),
]


@pytest.mark.parametrize(("rule", "given", "word", "change", "other"), FLIPS)
def test_a_word_flips_with_what_it_says(rule, given, word, change, other):
    assert judge(Entry(LENSES[0], "a", **given), rule).verdict == word
    assert judge(Entry(LENSES[0], "a", **(given | change)), rule).verdict == other


def test_a_certificate_whose_hypothesis_fails_is_none():
    entry = Entry(LENSES[1], "a", 1.0, threshold=0.0)
    assert (judge(entry, "margin").verdict, judge(entry, "unmet").verdict) == ("certified", "not certified")


def test_every_word_and_every_rule_is_flipped_here():
    said = {word for _, _, one, _, other in FLIPS for word in (one, other)}
    assert said | set(MISSING) == set(VERDICTS)
    assert {rule for rule, *_ in FLIPS} | {"unmet"} == set(RULES)


@pytest.mark.parametrize(("error", "word"), [(NoDataError("no data"), "does not apply"), (ValueError("odd"), "does not apply"),
                                             (TooLongError("long"), "skipped"), (MemoryError("large"), "skipped")])
def test_a_missing_number_says_whether_it_could_have_been(error, word):
    found = missing(Entry(LENSES[0], "a", None), error)
    assert (found.verdict, found.reason) == (word, str(error))


@pytest.mark.parametrize(("value", "more"), [(3.0, True), (2.0, False), (1.5, False), (0.5, True), (math.nan, False)])
def test_more_than_the_parameter_count_is_what_no_network_as_large_has(value, more):
    assert judge(Entry(LENSES[0], "a", value, nulls={NULLS[0]: [1.0, 2.0]}), "null").parameters is more


def test_without_a_null_nothing_is_said_of_the_parameter_count():
    assert judge(Entry(LENSES[0], "a", 1.0), "null").parameters is None
