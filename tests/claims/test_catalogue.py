"""The catalogue is whole, and its criteria judge numbers and intervals as the design says."""

import importlib
import pkgutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepatoms import studies
from deepatoms.claims import catalogue, checking
from deepatoms.claims.catalogue import OPERATORS, Criterion

ROLES = {"printed", "hypothesis", "convention", "corrected"}
KINDS = {"theorem", "equation", "statement", "figure", "table", "definition"}


@pytest.fixture(scope="module")
def book():
    return catalogue.load()


def test_every_claim_and_every_check_is_there(book):
    assert (len(book.claims), len(book.checks), len(book.papers)) == (208, 348, 5)


def test_every_entry_says_what_a_reader_needs(book):
    for claim in book.claims.values():
        assert claim.paper in book.papers and claim.kind in KINDS and claim.scale_required in ("laptop", "full")
        assert claim.statement and claim.place and claim.chapter
        assert claim.checks or claim.reason, claim.id
        assert not {check.role for check in claim.checks} - ROLES
        assert not any(check.role == "corrected" for check in claim.checks) or claim.corrected, claim.id
    for check in book.checks.values():
        assert check.quantity and check.criterion.op in OPERATORS and set(check.tolerance) <= {"abs", "rel"}


def test_every_registered_check_belongs_to_the_chapter_of_its_claim(book):
    for module in pkgutil.iter_modules(studies.__path__):
        importlib.import_module(f"{studies.__name__}.{module.name}.checks")
        chapter = module.name.replace("_", "-")
        planned = {check.id for claim in book.chapter(chapter) for check in claim.checks}
        assert {entry.id for entry in checking.registered(chapter)} <= planned


def test_an_unknown_name_is_refused_with_the_known_ones(book):
    with pytest.raises(KeyError, match="dfp.eq2/two_forms"):
        book.check("dfp.eq2/three_forms")
    with pytest.raises(KeyError, match="atoms"):
        book.chapter("molecules")


@pytest.mark.parametrize("op, value, interval, result", [
    ("<=", 1, (0, 1), "holds"), ("<=", 1, (1.1, 2), "fails"), ("<=", 1, (0.9, 1.1), "inconclusive"),
    (">=", 1, (1, 2), "holds"), (">", 1, (1, 2), "inconclusive"), ("<", 1, (0, 0.9), "holds"),
    ("==", 1, (1, 1), "holds"), ("==", 1, (0, 2), "inconclusive"), ("==", 1, (2, 3), "fails"),
    ("in", [0, 1], (0, 1), "holds"), ("in", [0, 1], (-1, 2), "inconclusive"), ("in", [0, 1], (0.5, 2), "inconclusive"),
    ("in", [0, 1], (2, 3), "fails"),
])
def test_an_interval_inside_holds_outside_fails_across_is_inconclusive(op, value, interval, result):
    assert Criterion(op, value).judge(sum(interval) / 2, interval) == result


@settings(deadline=None)
@given(st.sampled_from(["<=", ">=", "<", ">", "=="]), st.integers(-5, 5), st.integers(-5, 5), st.integers(0, 5))
def test_an_interval_is_judged_as_all_of_its_points_would_be(op, value, low, width):
    points = {Criterion(op, value).accepts(low + step / 4) for step in range(4 * width + 1)}
    expected = "inconclusive" if len(points) == 2 else "holds" if points.pop() else "fails"
    assert Criterion(op, value).judge(low + width / 2, (low, low + width)) == expected
