"""Digits, units, flags and sources of a check's line: each rule on the smallest check that it is about."""

import dataclasses

import pytest

from deepatoms.claims import catalogue, verdicts
from deepatoms.claims.checking import Outcome
from deepatoms.pages import claim_html

CHECK, CLAIM = catalogue.load().check("dfp.eq2/two_forms"), catalogue.load().claims["dfp.eq2"]


def made(op="<=", value=1.0, **tolerance):
    """Return a check of another criterion and another tolerance."""
    check = object.__new__(catalogue.Check)
    changed = {"criterion": dataclasses.replace(CHECK.criterion, op=op, value=value), "tolerance": tolerance}
    for name, each in (vars(CHECK) | changed).items():
        object.__setattr__(check, name, each)
    return check


@pytest.mark.parametrize(("allowed", "value", "shown"), [
    (0.05, 3.14159, "3.14"), (0.05, 0.314159, "0.31"), (0.5, 0.314159, "0.3"), (0.05, 0.02718, "0.03"), (5, 31.4159, "31"),
    (5, 3141.59, "3.14e+03"), (0.1, 2.71828, "2.7"), (1, 2.71828, "3"), (0.05, -0.314159, "-0.31"), (1e-6, 0.314159, "0.314")])
def test_an_absolute_tolerance_leaves_its_decimals_and_three_digits_at_most(allowed, value, shown):
    assert claim_html.number(value, made(">=", -1e9, abs=allowed)) == shown


@pytest.mark.parametrize(("share", "shown"), [(0.5, "2.7"), (0.1, "2.7"), (0.05, "2.72"), (0.01, "2.72"), (1.0, "3"),
    (1e-6, "2.72")])
def test_a_relative_tolerance_leaves_one_digit_more_than_it_moves(share, shown):
    assert claim_html.number(2.71828, made(">=", -1e9, rel=share)) == shown


@pytest.mark.parametrize(("value", "check", "shown"), [
    (9e-4, made("<=", 1.0, abs=1e-9), "at most 0.001"), (1.1e-3, made("<=", 1.0, abs=1e-9), "0.0011"),  # of the criterion
    (9e-4, made(">=", -1.0, abs=1e-9), "0.0009"), (1e-13, made(">=", -1.0, abs=0.01), "0"),
    (1e-13, made("<=", 1.0), "1e-13"), (4e-3, made(">=", -1.0, abs=0.01), "at most 0.01"),
    (6e-3, made(">=", -1.0, abs=0.01), "0.006"),
    (9e-4, made("<", 1.0, abs=1e-9, rel=0.0), "at most 0.001"), (-9e-4, made("<", 1.0, abs=1e-9), "at most 0.001")])
def test_what_vanishes_beside_the_criterion_or_the_tolerance_is_a_bound(value, check, shown):
    assert claim_html.number(value, check) == shown


@pytest.mark.parametrize(("check", "words"), [
    (made("<=", 0.5), "at most 0.5"), (made(">=", -2.0), "at least −2"), (made("==", 0.0), "0"),
    (made("<", 1e-9), "below 10<sup>−9</sup>"),
    (made(">", 1.5), "above 1.5"), (made("in", [-1.0, 1.0]), "in [−1, 1]")])
def test_a_criterion_is_said_in_words(check, words):
    assert claim_html.criterion(check) == words


def test_outcomes_stand_with_the_largest_scale_first_whose_result_counts():
    of = {scale: Outcome(CHECK.id, number, 1.0, result, "1 net", scale, 0) for scale, number, result in
          (("laptop", 0.25, "fails"), ("full", 0.5, "holds"), ("reduced", 0.75, "inconclusive"))}
    row = claim_html.check_row(CHECK, of.values(), "a&b", CLAIM)
    assert row.startswith(f'{claim_html.ROW}"holds"') and "measured 0.5 at full scale; measured 0.75 at reduced scale; " in row
    assert 'href="a&amp;b"' in row and "<dt>Claim</dt>" in row and "not run" not in row
    bare = claim_html.check_row(CHECK)
    assert bare.startswith(f'{claim_html.ROW}"none"') and "not run" in bare and f"<code>{CHECK.id}</code>" in bare
    assert "<dt>Evidence</dt>" not in bare and "<dt>Claim</dt>" not in bare


@pytest.mark.parametrize("raised", ["reduced", "vacuous", "unsupported", "revised"])
def test_a_flag_is_shown_where_it_is_up_and_no_other(raised):
    shown = claim_html.flags(verdicts.Verdict("holds", evidence=("1 net",), scale="laptop", **{raised: True}))
    assert shown == f' <span class="deepatoms-flag">{"criterion revised" if raised == "revised" else raised}</span>'


def test_a_verdict_rests_on_its_evidence_or_says_why_there_is_none():
    held = verdicts.Verdict("holds", evidence=("2 nets", "3 <nets>"), scale="full")
    open_one = verdicts.Verdict("untested", why="nobody & nothing")
    assert claim_html.basis(held) == "2 nets; 3 &lt;nets&gt;; full scale"
    assert claim_html.basis(open_one) == "nobody &amp; nothing"
    assert "(nobody &amp; nothing)" in claim_html.claim_line(CLAIM, open_one)
    assert "deepatoms-basis" not in claim_html.claim_line(CLAIM, held)


def test_a_single_check_that_holds_stands_open_and_two_wait_under_one_line():
    row = f'{claim_html.ROW}"holds">a</details>'
    other = row.replace("a<", "b<")
    assert claim_html.check_list([row]) == f'<div class="deepatoms-checks">\n{row}\n</div>'
    assert "2 checks</summary>" in claim_html.check_list([row, other])


@pytest.mark.parametrize(("recorded", "vacuous", "said"), [
    (False, False, "1 &amp; 2, full scale, measured when the chapter ran"), (True, False, "1 &amp; 2, full scale, recorded"),
    (True, True, "1 &amp; 2, full scale, recorded; vacuous, because nothing is claimed")])
def test_evidence_says_where_it_comes_from(recorded, vacuous, said):
    outcome = Outcome(CHECK.id, 0.0, 1.0, "holds", "1 & 2", "full", 0)
    for name, value in (("recorded", recorded), ("vacuous", vacuous)):
        object.__setattr__(outcome, name, value)
    assert claim_html._evidence(outcome) == said


def test_a_list_of_no_claims_is_nothing_and_broken_ones_stand_open_before_the_others():
    found = [(CLAIM, verdicts.Verdict(said)) for said in ("holds", "false", "holds")]
    shown = claim_html.verdict_list(found)
    assert claim_html.verdict_list([]) == "" and shown.count("<li") == 3 and "2 of 3 claims" in shown
    assert shown.index('data-verdict="false"') < shown.index("<details") and shown.count("<details") == 1
