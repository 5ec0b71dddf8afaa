"""The catalogue is whole, and its criteria judge numbers and intervals as the design says."""

import importlib
import math
import pkgutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepatoms import studies
from deepatoms.claims import catalogue, checking
from deepatoms.claims.catalogue import Criterion


@pytest.fixture(scope="module")
def book():
    return catalogue.load()


def test_every_paper_and_every_chapter_has_claims_and_every_check_is_found(book):
    assert {claim.paper for claim in book.claims.values()} == set(book.papers)
    assert {check.id for claim in book.claims.values() for check in claim.checks} == set(book.checks)
    assert all(key == claim.id for key, claim in book.claims.items())
    for module in pkgutil.iter_modules(studies.__path__):
        assert book.chapter(module.name.replace("_", "-"))


ENTRY = """
papers: [{key: dfp, title: A paper}]
chapters: [atoms]
claims:
- id: dfp.toy
  paper: dfp
  place: Eq. 1
  kind: equation
  statement: One is one.
  chapter: atoms
  scale_required: laptop
  checks:
  - name: same
    role: printed
    quantity: the difference
    criterion: {op: <=, value: 1.0e-06}
    controls: {fails: two in its place}
    tolerance: {abs: 1.0e-09}
"""


def test_the_smallest_catalogue_is_read():
    assert catalogue.read(ENTRY).check("dfp.toy/same").control_must == "fail"


@pytest.mark.parametrize("right, wrong, remedy", [
    ("role: printed", "role: prnted", "'printed'"),
    ("role: printed", "role: corrected", "role printed or convention"),
    ("role: printed", "role: hypothesis", "role printed or convention"),
    ("kind: equation", "kind: equaton", "'equation'"),
    ("scale_required: laptop", "scale_required: lap", "'laptop'"),
    ("op: <=", "op: =<", "'<='"),
    ("value: 1.0e-06", "value: 1e-6", "1.0e-6"),
    ("value: 1.0e-06", "value: .nan", "1.0e-6"),
    ("value: 1.0e-06", "value: [0, 1]", "1.0e-6"),
    ("{op: <=, value: 1.0e-06}", "{op: in, value: 1}", "low, high"),
    ("{op: <=, value: 1.0e-06}", "{op: in, value: [2, 1]}", "low <= high"),
    ("{op: <=, value: 1.0e-06}", "{op: <=}", "add them"),
    ("paper: dfp", "paper: dpf", "'dfp'"),
    ("chapter: atoms", "chapter: atmos", "'atoms'"),
    ("{fails: two in its place}", "two in its place", "fails, passes"),
    ("{fails: two in its place}", "{}", "fails, passes"),
    ("{fails: two in its place}", "{fals: two in its place}", "'fails'"),
    ("{fails: two in its place}", "{fails: ''}", "in words"),
    ("abs: 1.0e-09", "absolute: 1.0e-09", "'abs'"),
    ("abs: 1.0e-09", "abs: 1e-9", "1.0e-6"),
    ("abs: 1.0e-09", "abs: -1.0", ">= 0"),
    ("quantity: the difference", "quantty: the difference", "'quantity'"),
    ("statement: One is one.", "statment: One is one.", "'statement'"),
    ("    quantity: the difference\n", "", "add them"),
])
def test_what_the_catalogue_cannot_mean_is_refused_by_claim_and_remedy(right, wrong, remedy):
    assert right in ENTRY
    with pytest.raises((TypeError, ValueError), match="dfp.toy") as refused:
        catalogue.read(ENTRY.replace(right, wrong, 1))
    assert remedy in str(refused.value)


def test_what_is_there_twice_is_refused():
    claim, check = ENTRY[ENTRY.index("- id"):], ENTRY[ENTRY.index("  - name"):]
    for twice, name in ((claim, "dfp.toy"), (check, "same")):
        with pytest.raises(ValueError, match=f"{name}.*twice"):
            catalogue.read(ENTRY + twice)


def test_a_check_of_a_correction_wants_the_corrected_statement():
    check = ENTRY[ENTRY.index("  - name"):]
    both = ENTRY + check.replace("name: same", "name: mended").replace("role: printed", "role: corrected")
    with pytest.raises(ValueError, match="dfp.toy: corrected = '' is empty"):
        catalogue.read(both)
    said = both.replace("  scale_required", "  corrected: One is almost one.\n  scale_required")
    assert catalogue.read(said).claims["dfp.toy"].corrected == "One is almost one."


def test_a_claim_without_checks_says_why():
    with pytest.raises(ValueError, match="dfp.toy.*reason"):
        catalogue.read(ENTRY[:ENTRY.index("  checks")] + "  checks: []\n")


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


def test_an_interval_of_one_point_is_a_criterion_and_criteria_are_written_as_they_are_read():
    point = Criterion("in", [2, 2])
    assert [point.judge(number) for number in (1.9, 2, 2.1)] == ["fails", "holds", "fails"]
    assert [str(Criterion(*each)) for each in (("in", [0, 0.5]), ("<=", 1e-6), ("==", 3))] == ["in [0, 0.5]", "<= 1e-06", "== 3"]
    for value in ([1, True], [math.nan, 1], [1, 2, 3], [2, 1], 1):
        with pytest.raises((TypeError, ValueError), match="criterion value = "):
            Criterion("in", value)
    for value in (True, math.inf, "1", None):
        with pytest.raises(TypeError, match="criterion value = "):
            Criterion("<=", value)


@pytest.mark.parametrize(("op", "wanted"), [("<=", "hh-"), ("<", "h--"), (">=", "-hh"), (">", "--h"), ("==", "-h-")])
def test_each_comparison_on_both_sides_of_its_value_and_at_it(op, wanted):
    assert "".join("h" if Criterion(op, 1).judge(number) == "holds" else "-" for number in (0.5, 1, 1.5)) == wanted


def test_a_catalogue_shows_each_check_once():
    """In a message or a debugger it is long enough with the checks inside their claims."""
    assert repr(catalogue.load()).count("id='dfp.eq2/two_forms'") == 1
