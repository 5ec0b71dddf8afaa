"""The book as one PDF, on a sample of two pages: order, bookmarks, links inside, and codes of the live pages."""

import io
import shutil
from unittest.mock import MagicMock

import pytest

from deepatoms.press import checkout, pdf

PAGE = ('<html><head><title>{0}</title></head><body><main><h1>{0}<a href="#">#</a></h1><p><a href="{1}.html">there</a> '
        '<a href="https://example.org/">outside</a> <a href="#low">below</a></p><details class="sd-dropdown"><summary>Proof'
        '</summary><p>Folded words of {0}.</p></details><div style="height: 3000px"></div><p id="low">Low</p></main></body>'
        '</html>')
TOC = "root: one\nparts:\n  - caption: Rest\n    chapters:\n      - file: two\n"
needs_browser = pytest.mark.skipif(not any(map(shutil.which, pdf.BROWSERS)), reason="no browser is installed")


@pytest.fixture
def sample(tmp_path):
    (tmp_path / "html").mkdir()
    for name, other in (("one", "two"), ("two", "missing")):
        (tmp_path / "html" / f"{name}.html").write_text(PAGE.format(name, other))
    (tmp_path / "_toc.yml").write_text(TOC)
    return tmp_path


def written(sample, address):
    (sample / "_config.yml").write_text(f'sphinx: {{config: {{deepatoms_home: {{address: "{address}"}}}}}}\n')
    pypdf = pytest.importorskip("pypdf")
    return pypdf.PdfReader(pdf.write(sample / "html", config=sample / "_config.yml"))


@pytest.mark.slow
@needs_browser
def test_pages_stand_in_the_order_of_the_contents_with_bookmarks_and_links_inside(sample):
    book = written(sample, "")
    texts = [sheet.extract_text() for sheet in book.pages]
    assert [mark.title for mark in book.outline] == ["one", "two"]
    second = book.get_destination_page_number(book.outline[1])
    assert second > 1 and "Folded words of one" in texts[0] and "Folded words of two" in texts[second]
    assert "example.org" not in "".join(texts), "without an address there is no link to a live page"
    links = [link.get_object() for link in book.pages[0]["/Annots"]]
    inside = [book.get_page_number(link["/Dest"][0].get_object()) for link in links if "/Dest" in link]
    assert second in inside and second - 1 in inside
    assert [link["/A"]["/URI"] for link in links if "/A" in link] == ["https://example.org/"]
    last = [link.get_object() for link in book.pages[second]["/Annots"]]
    assert not any("missing" in str(link) or "127.0.0.1" in str(link) for link in last)


@pytest.mark.slow
@needs_browser
def test_with_an_address_each_page_leads_to_its_live_one(sample):
    book = written(sample, "https://example.org/atoms")
    assert "https://example.org/atoms/one.html" in book.pages[0].extract_text()
    links = [link.get_object() for sheet in book.pages for link in sheet.get("/Annots", ())]
    uris = {link["/A"]["/URI"] for link in links if "/A" in link}
    assert {"https://example.org/atoms/one.html", "https://example.org/atoms/two.html"} <= uris


def test_the_order_is_that_of_the_contents_and_an_unbuilt_book_is_refused(sample):
    assert pdf.documents(sample / "_toc.yml") == ["one", "two"]
    (sample / "_config.yml").write_text("sphinx: {config: {}}\n")
    (sample / "html" / "two.html").unlink()
    with pytest.raises(SystemExit, match=r"two\.html is not in .*; run make book first"):
        pdf.write(sample / "html", config=sample / "_config.yml")


@pytest.mark.slow
@needs_browser
def test_a_few_lines_get_no_sheet_of_their_own(sample, monkeypatch):
    words = "<p>A paragraph that is printed on a line of its own.</p>"
    for page in ("one", "two"):
        (sample / "html" / f"{page}.html").write_text(f"<main><h1>{page}</h1>{words * 37}</main>")
    monkeypatch.setattr(pdf, "SCALES", pdf.SCALES[:1])
    assert len(written(sample, "").pages) == 4, "as large as the others, a page leaves lines over"
    monkeypatch.undo()
    assert len(written(sample, "").pages) == 2


@pytest.mark.slow
@needs_browser
def test_an_answer_that_fades_in_is_printed_and_a_name_stands_with_what_it_says(sample):
    style = (checkout.ROOT / "book" / "web" / "explore.css").read_text()
    fade = "@keyframes fade { from { opacity: 0; } to { opacity: 0.01; } } details[open] p { animation: fade 60s; }"
    answer = '<div class="tag_solution"><details class="hide"><summary>The answer</summary><p>Seven.</p></details></div>'
    names = "".join(f'<dt class="sig">name{n}.</dt><dd>says{n}.</dd>' for n in range(200))
    for page in ("one", "two"):
        (sample / "html" / f"{page}.html").write_text(
            f'<style>{style}{fade}</style><main class="bd-article"><h1>{page}</h1>{answer}<dl>{names}</dl></main>')
    sheets = [sheet.extract_text() for sheet in written(sample, "").pages]
    assert "".join(sheets).count("Seven.") == 2
    assert all((f"name{n}." in sheet) == (f"says{n}." in sheet) for sheet in sheets for n in range(200))


class _Tab:
    """A page of a browser whose PDF is the scale it was asked for."""

    def __init__(self):
        self.told = []

    def pdf(self, scale, **settings):
        return scale

    def evaluate(self, *words):
        self.told.append(words)
        return "title"

    def __getattr__(self, name):
        return lambda *words, **settings: None


@pytest.mark.parametrize(("left_over", "scale"), [((), 0.8), ((0.8,), 0.78), (pdf.SCALES, pdf.SCALES[-1])])
def test_a_page_is_printed_at_the_first_scale_that_leaves_no_lines_over_or_at_the_smallest(monkeypatch, left_over, scale):
    monkeypatch.setattr(pdf, "_ends_in_a_few_lines", lambda data: data in left_over)
    live = "https://example.org/book/page.html"
    for address, told in (("", []), ("https://example.org/", [[live, pdf.code(live)]])):
        browser, tab = MagicMock(), _Tab()
        browser.new_page.return_value = tab
        assert pdf._printed(browser, "http://here/", "book/page", address) == ("title", scale)
        assert [words[1] for words in tab.told if len(words) > 1] == told


@pytest.mark.parametrize("given", [True, False])
def test_the_pdf_stands_where_it_is_asked_for_or_beside_the_site(sample, monkeypatch, given):
    (sample / "_config.yml").write_text("sphinx: {config: {}}\n")
    written = []
    monkeypatch.setattr(pdf, "_browser", pdf.contextlib.nullcontext)
    monkeypatch.setattr(pdf, "_printed", lambda browser, root, page, address: page)
    monkeypatch.setattr(pdf, "_joined", lambda printed, root: type("Whole", (), {
        "write": lambda self, out: written.append((printed, out))})())
    out = sample / "mine.pdf" if given else None
    expected = out or sample / "deep-atoms.pdf"
    assert pdf.write(sample / "html", out, sample / "_config.yml") == expected
    assert written == [({"one": "one", "two": "two"}, expected)]


@pytest.mark.parametrize(("sheets", "few", "said"), [(1, 100, False), (2, 100, True), (2, 0, False)])
def test_a_last_sheet_is_one_of_several_and_has_little_on_it(sheets, few, said, monkeypatch):
    """Blank sheets: the only one is no leftover of another, and none has less than nothing on it."""
    pypdf = pytest.importorskip("pypdf")
    monkeypatch.setattr(pdf, "FEW", few)
    writer, held = pypdf.PdfWriter(), io.BytesIO()
    for _ in range(sheets):
        writer.add_blank_page(100, 100)
    writer.write(held)
    assert pdf._ends_in_a_few_lines(held.getvalue()) == said


def test_the_last_sheet_counts_and_no_other(monkeypatch):
    pypdf = pytest.importorskip("pypdf")
    long, short = (MagicMock(extract_text=lambda words=words: "x" * words) for words in (pdf.FEW + 1, 1))
    for sheets, said in (([long, short, long], False), ([long, long, short], True), ([short, long], False)):
        monkeypatch.setattr(pypdf, "PdfReader", lambda data, sheets=sheets: MagicMock(pages=sheets))
        assert pdf._ends_in_a_few_lines(b"") == said
