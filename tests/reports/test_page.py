"""The page of a report: whole by itself, safe whatever a network is called, and its words follow the numbers."""

import html.parser
import importlib
import math
import pathlib
import re
import subprocess
import sys

import pytest
import torch

from deepatoms.reports import ROOMS, page, report, strips
from deepatoms.reports.entries import LENSES, VERDICTS, Entry, Network, Report

NASTY = "<script>alert('x')</script>\"'&<b>"


def entry(**given):
    return Entry(**({"lens": "splines", "name": "radius", "value": 1.0} | given))


def made(*entries, **given):
    return Report(**({"network": Network("net", 10, ("0",)), "data": "Data.", "entries": entries} | given))


class Read(html.parser.HTMLParser):
    """Tags that are never closed, attributes, and text of a page."""

    VOID = {"meta", "link", "br", "hr", "img", "line", "circle", "path", "polyline"}

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.said = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.said += data if self.open[-1:] != ["style"] else ""


def test_every_text_of_a_report_is_escaped():
    fields = {name: NASTY for name in ("name", "unit", "meaning", "theorem", "saturated", "reason")}
    nulls = {NASTY: [0.5, 1.5]}
    rows = [entry(**fields, nulls=nulls), entry(**fields | {"name": f"a, {NASTY}"}, value=None, verdict="skipped"),
            *(entry(**fields | {"name": f"b, {NASTY}{i}"}, nulls=nulls) for i in range(3))]
    text = page.page(made(*rows, network=Network(NASTY, 1, ()), data=NASTY, notes=(NASTY,)))
    read = Read(text)
    assert read.open == [] and {"script", "b"} & {tag for tag, _ in read.tags} == {"b"}
    assert "<script" not in text and "alert('x')" not in re.sub(r"&lt;script&gt;alert\(&#x27;x&#x27;\)", "", text)
    assert NASTY in read.said and any(NASTY in attributes.get("aria-label", "") for _, attributes in read.tags)


def test_a_page_asks_nobody_and_runs_nothing():
    read = Read(page.page(made(entry(nulls={"re-initialised": [1.0]}))))
    assert not [tag for tag, attributes in read.tags if tag in ("script", "img", "iframe")
                or any(name in ("src", "onload", "onclick") for name in attributes)]
    assert [attributes["href"] for _, attributes in read.tags if "href" in attributes] == ["data:,"]
    policies = [attributes["content"] for tag, attributes in read.tags if attributes.get("http-equiv")]
    assert policies and policies[0].startswith("default-src 'none'")
    assert "url(" not in page.page(made()) and "@import" not in page.page(made())


def test_what_is_partial_says_so_at_the_top_and_nothing_else_does():
    whole, cut = (Read(page.page(made(entry(), partial=partial))).said for partial in (False, True))
    assert "Partial." not in whole
    assert 0 < cut.index("Partial.") < cut.index("parameters in")


def test_saturated_missing_and_skipped_are_said_in_words():
    said = Read(page.page(made(
        entry(name="regions", saturated="every input has its own region", verdict="saturated"),
        entry(name="risk", value=None, verdict="does not apply", reason="no labels were given"),
        entry(name="margin", value=None, verdict="does not apply", reason="no labels were given"),
        entry(name="planes", value=None, verdict="skipped", reason="too long (model.py:13)")))).said
    assert "1 number; 1 of them saturated, so that they say nothing" in said
    assert "Without a number: 2 for which a theory does not apply, 1 skipped." in said
    assert "Saturated: every input has its own region" in said
    assert "risk; margin: does not apply, no labels were given" in said
    assert "planes: skipped, too long (model.py:13)" in said


def test_a_report_without_entries_is_a_page():
    said = Read(page.page(made())).said
    assert "0 numbers." in said and not any(lens[:1].upper() + lens[1:] in said for lens in LENSES)


@pytest.mark.parametrize("verdict", VERDICTS)
def test_every_verdict_word_is_shown_and_explained(verdict):
    said = Read(page.card(made(entry(verdict=verdict)))).said
    assert said.count(verdict) >= 2 and VERDICTS[verdict] in said


@pytest.mark.parametrize(("verdict", "kind"), [("certified", "good"), ("not certified", "bad"), ("at its bound", "middle"),
                                               ("within its null", "none")])
def test_a_verdict_s_colour_follows_its_word(verdict, kind):
    assert f'data-kind="{kind}">{verdict}<' in page.card(made(entry(verdict=verdict)))


def test_every_colour_belongs_to_a_verdict():
    assert set(page.KINDS) <= set(VERDICTS)


@pytest.mark.parametrize(("value", "drawn", "word"), [
    (3.0, [1.0, 2.0], "larger than all 2 x: 1 to 2"), (0.5, [1.0, 2.0], "smaller than all 2 x: 1 to 2"),
    (1.5, [1.0, 2.0], "among 2 x: 1 to 2"), (2.0, [1.0, 2.0], "among 2 x: 1 to 2"), (1.0, [1.0, 1.0], "the same as 2 x: 1"),
    (0.0, [-2.0, -1.0], "larger than all 2 x: minus 2 to minus 1"),
    (1.0, [math.nan, 0.5], "larger than all 1 x: 0.5 (1 of 2 gave no number)"),
    (1.0, [math.nan], "x: nothing to compare (1 of 1 gave no number)"), (1.0, [], "x: nothing to compare"),
    (math.inf, [1.0, 2.0], "larger than all 2 x: 1 to 2"), (math.nan, [1.0], "x: nothing to compare")])
def test_where_a_value_stands_is_said_in_words(value, drawn, word):
    assert strips.beside(entry(value=value, nulls={"x": drawn}), "x") == word


def marks(drawing, kind):
    return [float(x) for x in re.findall(rf'class="{kind}" (?:cx="|d="M)([\d.]+)', drawing)]


@pytest.mark.parametrize(("value", "drawn"), [(2.0, [1.0, 3.0]), (1e-6, [1.0, 2.0]), (-5.0, [1.0, 2.0]), (4.0, [4.0, 4.0])])
def test_a_strip_s_marks_stand_in_the_order_of_the_numbers(value, drawn):
    drawing = strips.strip(entry(value=value, nulls={"x": drawn}), "x")
    places, own = marks(drawing, "other"), marks(drawing, "own")[0] + 5
    assert len(places) == len(drawn) and all(0 <= place <= strips.WIDTH for place in [own, *places])
    for place, number in zip(places, drawn, strict=True):
        assert (place > own) == (number > value) and (place < own) == (number < value)


def test_a_threshold_is_drawn_where_it_does_not_dwarf_the_numbers():
    near, far = (strips.strip(entry(value=1.0, threshold=limit, nulls={"x": [0.5, 2.0]}), "x") for limit in (2.5, 1e6))
    assert "threshold 2.5" in near and 'class="threshold"' in near and "threshold" not in far


@pytest.mark.parametrize(("value", "drawn"), [(math.inf, [1.0]), (math.nan, [1.0]), (1.0, [math.inf, math.nan]), (1.0, [])])
def test_no_strip_is_drawn_of_what_is_not_finite(value, drawn):
    assert strips.strip(entry(value=value, nulls={"x": drawn}), "x") == ""
    assert Read(page.page(made(entry(value=value, nulls={"x": drawn})))).open == []


def test_one_number_over_the_layers_is_drawn_in_their_order():
    values = (0.1, 0.4, 0.2)
    layers = [entry(name=f"coherence, layer{i}", value=value, threshold=0.3, nulls={"x": [0.1, 0.5]})
              for i, value in enumerate(values)]
    (name, members), = page.series([*layers, entry(name="other, alone"), entry(name="radius")])
    drawing = strips.figure(name, members)
    heights = [float(pair.split(",")[1]) for pair in re.search(r'points="([^"]+)"', drawing)[1].split()]
    assert sorted(heights, reverse=True) == [heights[i] for i in (0, 2, 1)]
    assert "coherence, layer0 to layer2: 0.1, 0.4, 0.2" in drawing and "dashed: the threshold, 0.3" in drawing
    assert drawing.count('class="span"') == 3


def heights(drawing, kind):
    return [[float(pair.split(",")[1]) for pair in points.split()]
            for points in re.findall(rf'class="{kind}" points="([^"]+)"', drawing)]


def test_a_spectrum_is_drawn_falling_with_those_of_its_nulls_and_told_in_words():
    rows = {"re-initialised": [(4.0, 2.0, 1.0), (3.0, 2.5, 0.5)], "weights permuted": [(5.0, 1.0, 0.25)]}
    found = entry(name="k90 of the end-to-end Jacobian", value=2.0, curve=(3.0, 1.5, 0.75), null_curves=rows)
    drawing = strips.spectrum(found)
    (own,), others = heights(drawing, "line"), heights(drawing, "faint")
    assert own == sorted(own) and len(others) == 3 and drawing.count("<circle") == 3
    assert [row[0] > own[0] for row in others] == [False, False, False] and others[2][2] > own[2]  # up is small
    said = re.search('aria-label="([^"]+)"', drawing)[1]
    assert "3 values from 3 down to 0.75" in said and "nine tenths of the energy in 2 of them" in said
    assert "2 re-initialised: first 3 to 4 and last 0.5 to 1" in said
    assert [float(value) for value in re.findall(r"<li>([\d.]+)</li>", drawing)] == [3.0, 1.5, 0.75]
    assert drawing in page.card(made(found)) and Read(page.card(made(found))).open == []


@pytest.mark.parametrize(("value", "left"), [(1.0, 1), (2.0, 2), (3.0, 3)])
def test_the_dashed_line_of_a_spectrum_leaves_as_many_values_left_of_it_as_carry_the_energy(value, left):
    drawing = strips.spectrum(entry(name="k90 of the end-to-end Jacobian", value=value, curve=(3.0, 1.5, 0.75)))
    line = float(re.search(r'class="threshold" x1="([\d.]+)"', drawing)[1])
    assert sum(place <= line for place in marks(drawing, "own")) == left


@pytest.mark.parametrize("curve", [(), (1.0,)])
def test_one_singular_value_is_no_spectrum(curve):
    assert "<figure" not in page.card(made(entry(curve=curve)))


def test_thresholds_that_differ_are_drawn_each_at_its_place():
    limits = (0.1, 0.2, None)
    drawing = strips.figure("a", [entry(name=f"a, {i}", threshold=limit) for i, limit in enumerate(limits)])
    assert drawing.count('class="threshold"') == 2 and "dashed: the thresholds." in drawing


@pytest.mark.parametrize("names", [["a, 0", "a, 1"], ["a", "a", "a"], ["a, 0", "b, 1", "c, 2"]])
def test_two_places_are_no_series(names):
    assert page.series([entry(name=name) for name in names]) == []


def test_what_the_row_before_says_is_not_said_again():
    rows = [entry(name=f"a {i}", meaning="What it is.", theorem="Theorem 1") for i in range(3)]
    said = Read(page.card(made(*rows, entry(name="b", meaning="Another.", theorem="Theorem 1")))).said
    assert said.count("What it is.") == 1 and said.count("Theorem 1") == 1 and said.count("Another.") == 1


def test_the_page_of_a_real_report_has_every_number_of_it():
    model = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.ReLU(), torch.nn.Linear(6, 3)).eval()
    found = report(model, torch.randn(20, 4, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 3, nulls=1)
    said = Read(page.page(found)).said
    for each in found:
        assert each.name in said and (each.value is None or each.verdict in said)
    assert found._repr_html_() == page.card(found)


def test_a_page_is_the_same_every_time():
    found = made(entry(nulls={"x": [0.5, 2.0]}), partial=True)
    assert page.page(found) == page.page(found)


# ---- the page of the book about it ----

BOOK = (pathlib.Path(__file__).parents[2] / "book" / "your-network.md").read_text()


@pytest.mark.parametrize("room", ROOMS)
def test_the_book_s_page_explains_every_number(room):
    module = importlib.import_module(f"deepatoms.reports.lenses.{room}")
    names = {value.name for value in vars(module).values() if isinstance(value, Entry)}
    assert names and [name for name in names if f"`{name}`" not in BOOK] == []


def test_the_book_s_page_names_no_number_that_is_not_there():
    table = BOOK.partition("## What each number is")[2].partition("\n## ")[0]
    modules = [importlib.import_module(f"deepatoms.reports.lenses.{room}") for room in ROOMS]
    names = {value.name for module in modules for value in vars(module).values() if isinstance(value, Entry)}
    rows = [line.split(" | ")[1] for line in table.splitlines() if line.startswith("| ")]
    named = {name for row in rows for name in re.findall(r"`([^`<]+)`", row)}
    assert named == names


def test_the_python_of_the_book_s_page_runs_as_it_stands():
    for source in re.findall(r"```python\n(.*?)```", BOOK, re.DOTALL):
        subprocess.run([sys.executable, "-c", source], check=True)
