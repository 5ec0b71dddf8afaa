"""What a chapter shows of its checks and claims, and what it stores for the scoreboard."""

import re

import pytest

from deepatoms.claims import catalogue, checking
from deepatoms.pages import chapter, claim_html

CHAPTER, CHECK = "atoms", "dfp.eq2/two_forms"


@pytest.fixture
def begun(monkeypatch):
    """A chapter that has begun, whose checks return numbers at once."""
    chapter.begin(CHAPTER)
    monkeypatch.setattr(checking, "_measure", lambda entry, setting: measured(catalogue.load().check(entry.id)))


def measured(check):
    """A measurement that meets its criterion, with a control that comes out as the catalogue demands."""
    value, beyond = check.criterion.value, {"<=": 1, "<": 1, "==": 1, ">=": -1, ">": -1}[check.criterion.op]
    meets, misses = (value if "=" in check.criterion.op else value - beyond), value + beyond
    return checking.Measurement(meets, meets if check.control_must == "pass" else misses, count=1_000_000)


@pytest.fixture
def shown(begun, monkeypatch):
    """The page, the text and the metadata that a call displays."""
    def of(call):
        outputs = []
        monkeypatch.setattr(chapter, "display", lambda data, raw, metadata: outputs.append((data, metadata)))
        call()
        (data, metadata), = outputs
        return data["text/html"], data["text/plain"], metadata[chapter.METADATA]["outcomes"]
    return of


def test_a_check_shows_its_numbers_its_words_and_its_function(shown):
    page, text, _ = shown(lambda: chapter.check(CHECK))
    for said in ("holds", "measured", "must be", "control", "must fail", "random dictionaries", "laptop scale", "Eq. 2",
                 'href="../lib/deepatoms/studies/atoms/checks.py"', f'data-check="{CHECK}"'):
        assert said in page
    assert text.startswith(f"{CHECK}: holds; measured at most 1e-12")


def test_the_outcome_is_stored_beside_the_output(shown):
    _, _, stored = shown(lambda: chapter.check(CHECK))
    assert [(outcome["check"], outcome["result"]) for outcome in stored] == [(CHECK, "holds")]


def test_several_checks_that_hold_wait_under_one_line_and_one_that_fails_does_not(shown):
    checks = [check for claim in catalogue.load().chapter(CHAPTER) for check in claim.checks]
    names = [check.id for check in checks if check.control_must == "fail"][:3]
    page, _, stored = shown(lambda: chapter.check(*names))
    assert page.count("deepatoms-held") == 1 and "3 checks" in page and page.count("data-check=") == 3 <= len(stored)
    rows = [f'{claim_html.ROW}"{result}">{number}</details>' for number, result in enumerate(("holds", "fails", "holds"))]
    open_part, closed = claim_html.check_list(rows).split('<details class="deepatoms-held">')
    assert rows[1] in open_part and "2 of 3 checks" in closed and rows[0] in closed and rows[2] in closed
    assert "deepatoms-held" not in claim_html.check_list(rows[:2]), "one line more would save none"


def test_a_verdict_stands_on_what_was_measured(shown, monkeypatch):
    """Nothing measured: not tested. All checks measured: their verdict. All of them without a number: not tested again."""
    claim = next(claim for claim in catalogue.load().chapter(CHAPTER) if not claim.revised)
    assert chapter._verdict(claim).text == "not tested"
    shown(lambda: chapter.check(*[check.id for check in claim.checks]))
    assert chapter._verdict(claim).text != "not tested"
    monkeypatch.setitem(chapter._state, "outcomes", dict.fromkeys(chapter._state["outcomes"]))
    assert chapter._verdict(claim).text == "not tested"


def test_the_table_has_every_claim_and_every_check_of_the_chapter(shown):
    page, _, stored = shown(lambda: chapter.verdicts(CHAPTER))
    planned = catalogue.load().chapter(CHAPTER)
    assert sorted(re.findall(r'data-query="#(.*?)"', page)) == sorted(claim.id for claim in planned)
    assert set(re.findall(r'data-verdict="(.*?)"', page.partition("<details")[0])) <= {"false", "disagrees"}
    group_of = re.compile(r'<summary><b[^>]*data-verdict="(.*?)".*?(\d+) of \d+ claims</summary>(.*?)</details>', re.DOTALL)
    for said, count, group in group_of.findall(page):
        assert set(re.findall(r'data-verdict="(.*?)"', group)) == {said} and group.count("<li") == int(count)
    assert "measured" not in page, "numbers stand on the scoreboard: nbval compares this table as text"
    assert len(stored) == sum(len(claim.checks) for claim in planned)


def test_under_a_kernel_the_verdicts_are_the_same_text_and_checks_bring_their_style(shown, monkeypatch):
    apart = shown(lambda: chapter.verdicts(CHAPTER))[0]
    monkeypatch.setattr(chapter, "is_live", lambda: True)
    assert shown(lambda: chapter.verdicts(CHAPTER))[0] == apart, "nbval compares it, with and without DEEPATOMS_STATIC"
    assert shown(lambda: chapter.check(CHECK))[0].startswith("<style>")


def test_another_chapter_an_unknown_check_and_no_beginning_are_refused(begun, monkeypatch):
    with pytest.raises(ValueError, match="chapter = 'resnests'.*'atoms'"):
        chapter.verdicts("resnests")
    with pytest.raises(KeyError, match="dfp.eq2/three_forms"):
        chapter.check("dfp.eq2/three_forms")
    with pytest.raises(KeyError, match="nest.eq2"):
        chapter.check(next(name for name in catalogue.load().checks if name.startswith("nest.eq2/")))
    monkeypatch.setattr(chapter, "_state", {})
    with pytest.raises(RuntimeError, match="chapter.begin"):
        chapter.check(CHECK)


ROUND_OFF, SHARE, FACTOR, COUNT = "dfp.eq2/two_forms", "rsc.fig2/centre", "dfp.eq10/nearer_than_zero", "csc.norms/loops"


@pytest.mark.parametrize("check, value, shown", [
    *((ROUND_OFF, value, "at most 1e-12") for value in (0.0, 3.3e-16, -3.3e-16, 1e-12)),  # <= 1e-12, tolerance 1e-9
    (ROUND_OFF, 1.23456e-11, "1e-11"), (ROUND_OFF, 0.123456, "0.123"), (ROUND_OFF, 12.0, "12"),
    ("spl.softmax/rescales", 0.28067, "0.28"), ("spl.softmax/rescales", 3.4e-16, "at most 1e-09"),  # relative 0.3
    (SHARE, 1.0003873, "1"), (SHARE, 0.97, "0.97"), (SHARE, 3e-17, "0"), (SHARE, 0.0, "0"),  # in [0.9, 1.1], 0.05
    (SHARE, 0.004, "at most 0.01"), (SHARE, 1.1004, "1.1004"), (SHARE, 0.8996, "0.8996"),  # no rounding into the interval
    (FACTOR, 0.7395739, "0.74"), (FACTOR, float("inf"), "infinite"), (COUNT, 0.0, "0"), (COUNT, 177.0, "177")])
def test_numbers_are_shown_in_the_digits_that_repeat(check, value, shown):
    assert claim_html.number(value, catalogue.load().check(check)) == shown


@pytest.mark.parametrize("check", catalogue.load().checks.values(), ids=lambda check: check.id)
def test_no_shown_number_crosses_its_criterion(check):
    edges = check.criterion.value if check.criterion.op == "in" else [check.criterion.value]
    for edge in edges:
        for value in (edge, edge * (1 + 1e-9), edge * (1 - 1e-9), edge + 1e-14, edge - 1e-14, 0.0, -edge):
            shown = claim_html.number(value, check)
            ends = [float(shown.removeprefix("at most "))] * 2 if "at" in shown else [float(shown)]
            assert {check.criterion.accepts(end) for end in ends} == {check.criterion.accepts(value)}


def test_a_setting_is_asked_for_after_the_beginning(begun, monkeypatch):
    assert chapter.setting().seed == 0
    monkeypatch.setattr(chapter, "_state", {})
    with pytest.raises(RuntimeError, match="no chapter has begun"):
        chapter.setting()
    with pytest.raises(RuntimeError, match="no chapter has begun"):
        chapter.verdicts(CHAPTER)


def test_the_outcomes_of_a_notebook_are_found_by_check_and_scale():
    import nbformat
    held = {"check": CHECK, "scale": "full", "result": "holds"}
    outputs = [{"metadata": {chapter.METADATA: {"outcomes": [held]}}}, {"metadata": {}}, {}]
    notebook = nbformat.from_dict({"cells": [{"outputs": outputs}, {}]})
    assert chapter.stored(notebook) == chapter.outcomes(outputs) == {(CHECK, "full"): held}
