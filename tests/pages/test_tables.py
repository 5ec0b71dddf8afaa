"""Tables of numbers are tables: no stored output is a print-out of columns."""

import html.parser
import re

import nbformat
import pytest

from deepatoms.pages import tables
from deepatoms.press import checkout

ROWS = [("chain", "-0.14", "b"), ("dense", "0.1 [0.0, 0.2]", "1 image")]
TABLE = tables.Table(("net", "F, units", "at <x>"), ROWS, "Two $F$ & more.")


class Cells(html.parser.HTMLParser):
    """The cells of a table by row, with their classes."""

    def __init__(self, page):
        super().__init__()
        self.rows, self.classes = [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        if tag == "tr":
            self.rows.append([])
            self.classes.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append("")
            self.classes[-1].append(dict(attributes).get("class"))

    def handle_data(self, data):
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def test_numbers_stand_at_the_right_and_words_at_the_left_and_markup_is_text():
    page = tables.page(TABLE)
    found = Cells(page)
    assert [cell.strip() for cell in found.rows[0]] == ["net", "F, units", "at <x>"] and found.rows[1][1] == "−0.14"
    assert found.classes == [[None, "deepatoms-number", None]] * 3
    assert "Two" in page and "<x>" not in page and 'aria-label="Two F &amp; more."' in page


def test_a_corner_without_a_word_is_no_heading():
    assert "<thead><tr><td></td><th" in tables.page(tables.Table(("", "F"), [("chain", "0.14")], "One."))


def test_a_row_too_short_and_a_silent_caption_are_refused():
    with pytest.raises(ValueError, match="has 1 cells under a heading of 2"):
        tables.show(tables.Table(("a", "b"), [("c",)], "One."))
    with pytest.raises(ValueError, match="say in a sentence"):
        tables.show(tables.Table(("a", "b"), [("c", "d")], " "))


def printed(text):
    """Return the lines of a text that stand in columns: two neighbours with as many cells, three or more, two spaces apart."""
    cells = [(line, re.split(r"\s{2,}", line.strip())) for line in text.splitlines()]
    pairs = zip(cells, cells[1:], strict=False)
    return [line for (line, one), (_, other) in pairs if len(one) == len(other) > 2]


@pytest.mark.parametrize("path", checkout.chapters(), ids=lambda path: path.stem)
def test_no_stored_output_is_a_table_in_print(path):
    outputs = [output for cell in nbformat.read(path, as_version=4).cells for output in cell.get("outputs", [])]
    shown = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs
             if "text/html" not in output.get("data", {})]
    assert [line for text in shown for line in printed(text)] == []


def test_a_table_in_print_is_found_and_sentences_are_not():
    assert printed("net        F  units\nchain   0.14     12\ndense   0.10     12")
    assert not printed("Choose by F?  Over 724 networks\nthat others trained.\n\nA last line.")
