"""No stored word is believed: results and verdicts on the site are those of the stored numbers and today's catalogue."""

import dataclasses
import types

import nbformat
import pytest

from deepatoms.claims import catalogue, checking
from deepatoms.pages import claim_html
from deepatoms.pages.chapter import METADATA
from deepatoms.site import scoreboard, words

CHECK = "dfp.eq2/two_forms"
PLANNED = catalogue.load().check(CHECK)
CLAIM = catalogue.load().claims["dfp.eq2"]
OUTCOME = checking.Outcome(CHECK, 0.0, 1.0, "holds", "1,000 random dictionaries", "laptop", 0)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPATOMS_RESULTS", str(tmp_path / "results"))
    (tmp_path / "notebooks").mkdir()
    return tmp_path


def write(checkout, outcome, page=""):
    output = nbformat.v4.new_output("display_data", {"text/html": page}, metadata={METADATA: {"outcomes": [outcome]}})
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("claims", outputs=[output])])
    nbformat.write(notebook, checkout / "notebooks" / "atoms.ipynb")


def test_a_forged_word_beside_numbers_that_say_otherwise_changes_nothing(checkout):
    """The number fails its criterion; the control passes, as it must then not, so the forger has changed both."""
    failing, passing = 1.0, 0.0
    assert not PLANNED.criterion.accepts(failing) and PLANNED.criterion.accepts(passing)
    write(checkout, (OUTCOME.as_dict() | {"measured": failing, "result": "holds"}))
    verdict, found = scoreboard.judged(checkout, CLAIM)
    assert found["two_forms"][0].result == "fails" and verdict.text == "false"
    write(checkout, OUTCOME.as_dict() | {"control": passing})
    with pytest.raises(checking.ControlError):
        scoreboard.judged(checkout, CLAIM)


@pytest.mark.parametrize(("edit", "said"), [
    ({"measured": "0.0"}, "not a number"), ({"measured": float("nan")}, "not a number"),
    ({"scale": "full"}, "is not the check's"),
    ({"evidence": "12 random instances"}, "promises 1000"), ({"evidence": "exact identity"}, "promises 1000"),
    ({"interval": [1.0, 0.0]}, "no interval")])
def test_a_stored_outcome_that_its_check_cannot_have_given_is_refused(edit, said):
    entry = next(entry for entry in checking.registered("atoms") if entry.id == CHECK)
    assert checking.read(entry, OUTCOME.as_dict()) == OUTCOME
    with pytest.raises((TypeError, ValueError), match=said):
        checking.read(entry, OUTCOME.as_dict() | edit)


def test_what_a_chapter_says_is_what_its_numbers_say(checkout):
    row = claim_html.check_row(PLANNED, [OUTCOME], "there", CLAIM)
    line = claim_html.claim_line(CLAIM, scoreboard.verdicts.verdict(CLAIM, {"two_forms": [OUTCOME]}))
    write(checkout, OUTCOME.as_dict(), row + line)
    assert words.faults(checkout, "atoms") == []
    for page, said in ((row.replace('data-result="holds"', 'data-result="fails"'), "says that dfp.eq2/two_forms fails"),
                       (row.replace("must be at most", "must be above"), "another criterion"),
                       (line.replace('data-verdict="holds"', 'data-verdict="false"'), "gives the verdict 'false'")):
        write(checkout, OUTCOME.as_dict(), page)
        assert [said in fault for fault in words.faults(checkout, "atoms")] == [True]
    forged = dataclasses.replace(OUTCOME, measured=1.0)
    write(checkout, forged.as_dict(), row + line)
    assert len(words.faults(checkout, "atoms")) == 2


def test_the_build_warns_of_it_which_the_book_takes_for_an_error(checkout, monkeypatch):
    said = []
    monkeypatch.setattr(words.logging, "getLogger", lambda name: types.SimpleNamespace(warning=lambda *each: said.append(each)))
    row = claim_html.check_row(PLANNED, [OUTCOME], "there", CLAIM)
    write(checkout, dataclasses.replace(OUTCOME, measured=1.0).as_dict(), row)
    words.warn(None, types.SimpleNamespace(srcdir=checkout))
    assert [each[1] for each in said] == ["atoms"]


@pytest.mark.parametrize("chapter", sorted({claim.chapter for claim in catalogue.load().claims.values()} - {"full-scale"}))
def test_the_book_s_chapters_say_what_their_numbers_say(chapter):
    root = words.scoreboard.pathlib.Path(words.__file__).parents[3]
    assert words.faults(root, chapter) == []
