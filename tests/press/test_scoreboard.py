"""The scoreboard knows every claim, takes outcomes from stored outputs, and follows an edited notebook."""

import shutil
import subprocess
import sys
from types import SimpleNamespace

import nbformat
import pytest
from docutils.parsers.rst import DirectiveError

from deepatoms.claims import catalogue, checking
from deepatoms.pages.chapter import METADATA
from deepatoms.site import scoreboard

CONFIGURATION = """
extensions = ["myst_nb", "sphinxcontrib.bibtex", "deepatoms.site.theme", "deepatoms.site.scoreboard",
              "deepatoms.site.words"]
bibtex_bibfiles = ["book/references.bib"]
nb_execution_mode = "off"
root_doc = "book/scoreboard"
"""


def chapter(result, measured):
    """A chapter whose only output holds one outcome."""
    outcome = checking.Outcome("dfp.eq2/two_forms", measured, 1.0, result, "1,000 random dictionaries", "laptop", 0)
    output = nbformat.v4.new_output("display_data", {"text/plain": "shown"},
                                    metadata={METADATA: {"outcomes": [outcome.as_dict()]}})
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Atoms\n\nThe claim `dfp.eq2`."),
                                           nbformat.v4.new_code_cell("claims", outputs=[output])])


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A small checkout with the scoreboard's page and one chapter, and no recorded results."""
    monkeypatch.setenv("DEEPATOMS_RESULTS", str(tmp_path / "results"))
    (tmp_path / "book").mkdir()
    (tmp_path / "notebooks").mkdir()
    root = scoreboard.pathlib.Path(scoreboard.__file__).parents[3]
    for name in ("scoreboard.md", "references.bib"):
        shutil.copy(root / "book" / name, tmp_path / "book" / name)
    (tmp_path / "conf.py").write_text(CONFIGURATION)
    nbformat.write(chapter("holds", 0.0), tmp_path / "notebooks" / "atoms.ipynb")
    return tmp_path


def build(checkout):
    subprocess.run([sys.executable, "-m", "sphinx", "-q", "-b", "html", checkout, checkout / "html"], check=True)
    return (checkout / "html" / "book" / "scoreboard.html").read_text()


@pytest.mark.slow
def test_every_claim_is_there_and_an_edited_notebook_changes_its_verdict(checkout):
    page = build(checkout)
    for claim in catalogue.load().claims.values():
        assert f'id="{claim.id}" data-paper="{claim.paper}" data-chapter="{claim.chapter}"' in page
    assert 'id="dfp.eq2" data-paper="dfp" data-chapter="atoms" data-verdict="holds"' in page
    assert page.count('data-verdict="not tested">') >= 207
    assert "chapter not written" in page
    assert 'href="../book/scoreboard.html#dfp.eq2"' in (checkout / "html" / "notebooks" / "atoms.html").read_text()
    nbformat.write(chapter("fails", 1.0), checkout / "notebooks" / "atoms.ipynb")
    assert 'id="dfp.eq2" data-paper="dfp" data-chapter="atoms" data-verdict="false"' in build(checkout)


def test_a_claim_without_a_chapter_says_so(tmp_path):
    book = catalogue.load().claims
    verdict, _ = scoreboard.judged(tmp_path, book["nest.prop4"])
    assert (verdict.text, verdict.why) == ("not tested", "chapter not written")
    verdict, _ = scoreboard.judged(tmp_path, book["rsc.interpretability"])
    assert verdict.unsupported and verdict.why == "The paper states nothing that can be measured."


def test_each_check_leads_to_the_function_that_measures_it():
    assert scoreboard.measuring("dfp.eq2/two_forms") == "deepatoms.studies.atoms.checks.two_forms"


@pytest.mark.parametrize("directive, kind", [(scoreboard.FirstExplorer, "explorer"), (scoreboard.FirstLive, "live")])
def test_a_page_shows_what_a_chapter_stores_and_says_when_it_stores_none(checkout, directive, kind):
    shown = f'<figure class="deepatoms-{kind}"></figure>'
    stored = nbformat.v4.new_code_cell("show", outputs=[nbformat.v4.new_output("display_data", {"text/html": shown})])
    nbformat.write(nbformat.v4.new_notebook(cells=[stored]), checkout / "notebooks" / "atoms.ipynb")
    env = SimpleNamespace(srcdir=checkout)
    state = SimpleNamespace(document=SimpleNamespace(settings=SimpleNamespace(env=env)))
    made = directive("first", ["atoms"], {}, [], 1, 0, "", state, SimpleNamespace(reporter=None))
    assert made.page() == shown
    nbformat.write(nbformat.v4.new_notebook(), checkout / "notebooks" / "atoms.ipynb")
    with pytest.raises(DirectiveError) as said:
        made.page()
    assert said.value.msg.startswith(f"atoms.ipynb stores no deepatoms-{kind}; run the chapter")


def test_computed_pages_are_read_again_when_a_file_has_come_or_gone_and_only_then(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPATOMS_RESULTS", str(tmp_path / "results"))
    env = SimpleNamespace(srcdir=tmp_path, metadata={"board": {"deepatoms-computed": True}, "plain": {}})

    def again():
        return scoreboard.outdated(None, env, None, None, None)

    (tmp_path / "notebooks").mkdir()
    assert again() == ["board"] and again() == []
    (tmp_path / "notebooks" / "atoms.ipynb").write_text("{}")
    assert again() == ["board"] and again() == []
    (tmp_path / "notebooks" / "atoms.ipynb").unlink()
    assert again() == ["board"]
