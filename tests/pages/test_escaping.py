"""Nothing that somebody writes becomes markup: a script in every field of every page stays text."""

import base64
import dataclasses
import html.parser
import json
import re
import zlib

import numpy as np
import pytest

from deepatoms.claims import catalogue, checking, verdicts
from deepatoms.pages import claim_html, explore, figures, live

EVIL = '"\'></script></figcaption></text></svg><script>alert(1)</script><img src=x onerror=alert(2)>&'
CHECK, CLAIM = catalogue.load().check("dfp.eq2/two_forms"), catalogue.load().claims["dfp.eq2"]
OUTCOME = checking.Outcome(CHECK.id, 0.0, 1.0, "holds", "1,000 random dictionaries", "laptop", 0)


class _Reader(html.parser.HTMLParser):
    """What a browser would see: tags, and attributes that act."""

    def __init__(self):
        super().__init__()
        self.tags, self.acting = [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.acting += [name for name, value in attributes if name.startswith("on") or (value or "").startswith("javascript:")]


def read(page):
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return reader


def demand_text(page, clean):
    """The page has the elements of the clean one, attribute for attribute none that acts, and the words are still there."""
    found = read(page)
    kinds, expected = ([tag for tag in tags if tag != "text"] for tags in (found.tags, read(clean).tags))
    assert kinds == expected and not found.acting  # long words are broken into more lines on a phone
    assert "alert(1)" in page


def drawn(title="title", label="label", tick="tick", caption="caption", description="description"):
    figure, axes = figures.subplots()
    axes.plot([0, 1], [0, 1], label=label)
    axes.set_title(title)
    axes.set_xticks([0, 1], [tick, "b"])
    axes.legend()
    return figures.describe(figure, caption, description)


def texts(page):
    """A page without the places of letters, which move with the words."""
    return re.sub(r"<(path|use|g|/g|defs|/defs|clipPath|/clipPath|rect)\b[^>]*>", "", page)


@pytest.mark.parametrize("field", ["title", "label", "tick", "caption", "description"])
def test_a_figure_shows_markup_as_text(field):
    evil = EVIL.replace("$", "") if field != "description" else EVIL
    page, clean = figures.page(drawn(**{field: evil})), figures.page(drawn())
    demand_text(texts(page), texts(clean))


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(catalogue.Claim)
                                   if field.name not in ("checks", "kind", "scale_required")])
def test_a_claim_shows_markup_as_text(field):
    def page(claim):
        verdict = dataclasses.replace(verdicts.verdict(CLAIM, {"two_forms": [OUTCOME]}), reduced=True)
        return (claim_html.claim(claim, verdict, [], "chapter") + claim_html.claim_line(claim, verdict)
                + claim_html.check_row(CHECK, [OUTCOME], "there", claim))

    whole = {name: "x" for name in ("issue", "corrected", "decides", "reduced", "revised") if name == field}
    clean, evil = object.__new__(catalogue.Claim), object.__new__(catalogue.Claim)
    for claim, text in ((clean, "x"), (evil, EVIL)):
        for name, value in (vars(CLAIM) | whole | {field: text}).items():
            object.__setattr__(claim, name, value)
    if EVIL in page(evil):
        pytest.fail(f"{field} stands in the page as it is")
    assert read(page(evil)).tags == read(page(clean)).tags and not read(page(evil)).acting


@pytest.mark.parametrize("field", ["id", "name", "quantity", "controls", "sentence", "unit"])
def test_a_check_shows_markup_as_text(field):
    evil, clean = object.__new__(catalogue.Check), object.__new__(catalogue.Check)
    for check, text in ((clean, "x"), (evil, EVIL)):
        sentence = {"sentence": ""} if field == "name" else {}
        for name, value in (vars(CHECK) | sentence | {field: {"fails": text} if field == "controls" else text}).items():
            object.__setattr__(check, name, value)
    for source in ("", "there"):
        demand_text(claim_html.check_row(evil, [OUTCOME], source), claim_html.check_row(clean, [OUTCOME], source))


@pytest.mark.parametrize("field", ["evidence", "result"])
def test_an_outcome_shows_markup_as_text(field, monkeypatch):
    monkeypatch.setitem(claim_html.SYMBOLS, EVIL, "?")
    if field == "result":  # the catalogue's judgement alone gives results; a stored one is never believed
        entry = next(entry for entry in checking.registered("atoms") if entry.id == CHECK.id)
        assert checking.read(entry, OUTCOME.as_dict() | {"result": EVIL}).result == "holds"
    else:
        evil = dataclasses.replace(OUTCOME, **{field: EVIL})
        demand_text(claim_html.check_row(CHECK, [evil], "there"), claim_html.check_row(CHECK, [OUTCOME], "there"))


def test_a_verdict_s_reason_is_text():
    for part in ({"why": EVIL}, {"evidence": (EVIL,), "scale": "laptop"}):
        said = claim_html.basis(verdicts.Verdict("holds", **part))
        assert not read(said).tags and "alert(1)" in said


@pytest.mark.parametrize("field", ["name", "word", "caption"])
def test_an_explorer_shows_markup_as_text(field):
    def page(text):
        axes = {text if field == "name" else "letter": [text if field == "word" else "a", "b"]}
        return explore.Explorer(lambda **values: drawn(caption=text if field == "caption" else "caption"), axes).page()

    found, clean = page(EVIL), page("x")
    assert texts_tags(found) == texts_tags(clean)
    data = json.loads(re.search(r'<script type="application/json">(.*?)</script>', found, re.DOTALL)[1])
    assert data["axes"][0]["values"][0] == (EVIL if field == "word" else "a")
    packed = json.loads(zlib.decompress(base64.b64decode(data["packed"])))
    assert not [caption for caption in packed["captions"] if read(caption).tags]


def texts_tags(page):
    found = read(texts(page))
    assert not found.acting
    return found.tags


@pytest.mark.parametrize("name", ["class name", "caption"])
def test_a_live_figure_s_data_and_caption_are_text(name):
    """Class names are part of the data that its script reads, and sets as text."""
    still = drawn(caption=EVIL if name == "caption" else "caption")
    page = live.page("drag-the-atoms", still, {"classes": [EVIL], "angles": np.arange(3).tolist()})
    clean = live.page("drag-the-atoms", drawn(), {"classes": ["x"], "angles": [0, 1, 2]})
    assert texts_tags(page) == texts_tags(clean)
    data = re.search(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)[1]
    assert json.loads(data)["classes"] == [EVIL]


def test_the_report_of_another_device_is_text(tmp_path, monkeypatch):
    scoreboard = pytest.importorskip("deepatoms.site.scoreboard")
    monkeypatch.setenv("DEEPATOMS_RESULTS", str(tmp_path))
    (tmp_path / "regress").mkdir()
    report = {"device": EVIL, "profile": "laptop", "seed": 0, "date": "today", "chapters": []}
    (tmp_path / "regress" / "report.json").write_text(json.dumps(report))
    page = scoreboard.Regressions.page(None)
    assert read(page).tags == ["ul", "li"] and "alert(1)" in page
