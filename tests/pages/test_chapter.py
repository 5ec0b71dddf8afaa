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
    return checking.Measurement(meets, meets if check.control_must == "pass" else misses)


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
    for said in ("holds", "measured", "criterion", "control", "must fail", "random instances", "laptop scale", "Eq. 2",
                 'href="../lib/deepatoms/studies/atoms/checks.py"', f'data-check="{CHECK}"'):
        assert said in page
    assert text.startswith(f"{CHECK}: holds; measured 1e-12")


def test_the_outcome_is_stored_beside_the_output(shown):
    _, _, stored = shown(lambda: chapter.check(CHECK))
    assert [(outcome["check"], outcome["result"]) for outcome in stored] == [(CHECK, "holds")]


def test_the_table_has_every_claim_and_every_check_of_the_chapter(shown):
    page, _, stored = shown(lambda: chapter.verdicts(CHAPTER))
    planned = catalogue.load().chapter(CHAPTER)
    assert re.findall(r'<p class="deepatoms-head"><code>(.*?)</code>', page) == [claim.id for claim in planned]
    assert set(re.findall(r'data-check="(.*?)"', page)) == {check.id for claim in planned for check in claim.checks}
    assert len(stored) == sum(len(claim.checks) for claim in planned)


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


@pytest.mark.parametrize("value, shown", [
    (0.0, "0"), (3.3e-16, "< 1e-12"), (-3.3e-16, "> -1e-12"), (1.23456e-11, "1.23e-11"), (0.123456, "0.123"), (12.0, "12")])
def test_numbers_at_the_level_of_rounding_are_shown_as_bounds(value, shown):
    check = catalogue.load().check(CHECK)  # criterion <= 1e-12, tolerance 1e-9
    assert claim_html.number(value, check) == shown
