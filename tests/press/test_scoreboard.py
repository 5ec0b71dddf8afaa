"""The scoreboard knows every claim, takes outcomes from stored outputs, and follows an edited notebook."""

import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import nbformat
import pytest
from docutils import nodes, utils
from docutils.parsers.rst import DirectiveError

from deepatoms.claims import catalogue, checking, verdicts
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


def test_verdicts_are_counted_by_paper_and_in_all_and_a_verdict_that_nobody_has_is_a_dot_and_no_bar(monkeypatch):
    book, given = catalogue.load(), verdicts.VERDICTS[:3]
    said = {claim.id: given[len(claim.id) % 3] for claim in book.claims.values()}
    monkeypatch.setattr(scoreboard, "judged", lambda source, claim: (SimpleNamespace(text=said[claim.id]), {}))
    page = scoreboard.Counts.page(SimpleNamespace(env=SimpleNamespace(srcdir=".")))
    rows = {re.sub("<[^>]+>", "", re.search(r"<th scope=.row.*?</th>", row, re.DOTALL)[0]): re.findall(r"<td>(.*?)</td>", row)
            for row in re.findall(r"<tr>.*?</tr>", page.partition("</thead>")[2], re.DOTALL)}
    assert len(rows) == len(verdicts.VERDICTS) + 1

    def expected(*chosen):
        each = [sum(said[claim.id] in chosen for claim in book.claims.values() if claim.paper == paper) for paper in book.papers]
        return [str(count or "·") for count in (sum(each), *each)]

    for name, cells in rows.items():
        verdict = [verdict for verdict in verdicts.VERDICTS if name.endswith(verdict)]
        assert cells == (expected(*verdict) if verdict else expected(*given)), name
    bars = re.findall(r'<i data-verdict="([^"]+)" style="flex:(\d+)">', page)
    assert bars == [(verdict, expected(verdict)[0]) for verdict in given if expected(verdict)[0] != "·"]


def linked(page, *parts, kind="html"):
    """A page after its links were set, and whether it was told to need MathJax; one function is documented."""
    math, doctree = {"has_equations": {}}, utils.new_document("page")
    doctree.extend(parts)
    where = SimpleNamespace(docname="book/api", node_id="place")
    objects = {scoreboard.measuring("dfp.eq2/two_forms"): where}
    domains = {"math": SimpleNamespace(data=math), "py": SimpleNamespace(objects=objects)}
    builder = SimpleNamespace(format=kind, get_relative_uri=lambda page, target: f"from/{page}/to/{target}")
    scoreboard.link(SimpleNamespace(builder=builder, env=SimpleNamespace(get_domain=domains.get)), doctree, page)
    return doctree, page in math["has_equations"]


def test_a_claim_named_in_prose_leads_to_the_scoreboard_and_on_it_or_in_a_link_nowhere():
    def prose():
        return nodes.paragraph("", "", nodes.literal("", "dfp.eq2"), nodes.literal("", "dfp.none"),
                               nodes.reference("", "", nodes.literal("", "dfp.eq2"), refuri="there"))

    links = [node["refuri"] for node in linked("a", prose())[0].findall(nodes.reference)]
    assert links == ["from/a/to/book/scoreboard#dfp.eq2", "there"]
    for doctree, _ in (linked("book/scoreboard", prose()), linked("a", prose(), kind="latex")):
        assert [node["refuri"] for node in doctree.findall(nodes.reference)] == ["there"]


@pytest.mark.parametrize(("before", "after"), [
    ('<a href="#" data-check="dfp.eq2/two_forms">', '<a href="from/a/to/book/api#place" data-check="dfp.eq2/two_forms">'),
    ('<a href="#" data-check="dfp.welch/is_bound">', '<a data-check="dfp.welch/is_bound">'),
    ('<a href="#" data-document="notebooks/b">', '<a href="from/a/to/notebooks/b">'),
    ('<a href="#" data-document="b" data-query="?verdict=not tested#x">', '<a href="from/a/to/b?verdict=not%20tested#x">'),
    ('<a href="#">', '<a href="#">')])
def test_what_is_written_as_html_is_led_to_functions_and_pages_that_there_are(before, after):
    doctree, needs = linked("a", nodes.raw("", before, format="html"))
    assert doctree.astext() == after and not needs
    assert linked("a", nodes.raw("", '<span class="math">k</span>', format="html"))[1]


def test_reports_of_other_devices_are_added_up(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPATOMS_RESULTS", str(tmp_path))
    assert scoreboard.Regressions.page(None).startswith("<p>No run")
    (tmp_path / "regress").mkdir()
    chapters = [{"checks": 3, "broken": ["a"]}, {"checks": 4, "broken": ["b", "c"]}]
    report = {"device": "GPU", "profile": "full", "seed": 5, "date": "today", "chapters": chapters}
    (tmp_path / "regress" / "gpu.json").write_text(scoreboard.json.dumps(report))
    assert scoreboard.Regressions.page(None) \
        == "<ul><li>GPU, profile full, seed 5, today: 7 checks measured afresh, 3 broken</li></ul>"


def test_a_chapter_is_named_on_a_claim_s_card_with_a_link_once_it_is_written(checkout):
    board = SimpleNamespace(env=SimpleNamespace(srcdir=checkout))
    assert scoreboard.Scoreboard._chapter(board, "atoms") == 'Chapter: <a href="#" data-document="notebooks/atoms">atoms</a>'
    assert scoreboard.Scoreboard._chapter(board, "full-scale") == "Chapter: full scale (not written)"


def test_a_claim_whose_chapter_stores_nothing_says_that(checkout):
    nbformat.write(nbformat.v4.new_notebook(), checkout / "notebooks" / "atoms.ipynb")
    claim = catalogue.load().claims["dfp.eq2"]
    assert scoreboard._untested(checkout, claim, {}) == "the chapter stores no outcome"
    assert scoreboard._untested(checkout, claim, {"one": 1}) == verdicts.untested(claim)
