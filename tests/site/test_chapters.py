"""Chapters as a reader scrolls through them: short, their first picture and control near the top, no line badly broken."""

import re

import pytest

from deepatoms.press import checkout

NAMES = sorted(path.stem for path in checkout.NOTEBOOKS.glob("*.ipynb"))
# Pixels from top to end at a width of 1400: three fifths of what a review found too long; five-lenses, written later, as it came.
HIGHEST = {"atoms": 9_061, "ml-csc": 12_194, "deep-frame-potential": 21_713, "skip-dictionaries": 19_327, "resnests": 13_928,
           "spline-templates": 15_022, "spline-partitions": 12_988, "five-lenses": 13_076}
SETTLED = "() => !window.MathJax?.startup?.promise || MathJax.startup.promise.then(() => true)"
HEIGHT = "() => document.documentElement.scrollHeight"
# How far down the first of these begins.
FIRST = """selector => Math.min(...[...document.querySelectorAll(selector)].filter(each => each.getClientRects().length)
    .map(each => each.getBoundingClientRect().top + scrollY))"""
OPEN = "() => document.querySelectorAll('main details').forEach(part => { part.open = true; })"


@pytest.fixture
def chapter(open_page, site):
    """Return a function that opens a chapter at a width and waits until its mathematics stands."""
    def opened(name, width=1400):
        page = open_page(f"{site}notebooks/{name}.html", viewport={"width": width, "height": 900})
        page.wait_for_function(SETTLED)
        return page

    return opened


@pytest.mark.parametrize("name", NAMES)
def test_a_chapter_is_short_and_opens_with_a_picture_and_a_control(chapter, name):
    page = chapter(name)
    high = page.evaluate(HEIGHT)
    assert high <= HIGHEST[name]
    assert page.evaluate(FIRST, "main figure") <= 700
    assert page.evaluate(FIRST, "main figure :is(button, input, select, textarea, [tabindex='0'])") <= 900
    page.evaluate(OPEN)
    assert page.evaluate(HEIGHT) > high + 300, "what is folded is there: a page that lost it would be short as well"


@pytest.mark.parametrize("name", NAMES)
def test_a_phone_shows_the_first_picture_without_scrolling(chapter, name):
    assert chapter(name, width=390).evaluate(FIRST, "main figure") <= 844 - 60


# Lines that begin with a stop: it follows a formula, or whatever cannot be parted, onto a line of its own.
TORN = """() => [...document.querySelectorAll("main mjx-container:not([display=true])")]
    .filter(each => each.getClientRects().length).flatMap(each => {
        let after = each;
        while (!after.nextSibling && after.parentElement.matches("span.math, strong, em")) after = after.parentElement;
        do { after = after.nextSibling; } while (after?.nodeName === "NOSCRIPT" || after?.nodeType === Node.COMMENT_NODE);
        if (after?.nodeType !== Node.TEXT_NODE || !/^[.,;:!?)]/.test(after.data)) return [];
        const stop = document.createRange();
        stop.setStart(after, 0);
        stop.setEnd(after, 1);
        return stop.getBoundingClientRect().left < each.getBoundingClientRect().right - 4
            ? [`${each.closest("p, li, figcaption, td, dd, span")?.textContent.slice(0, 40)} | ${after.data.slice(0, 20)}`] : [];
    })"""


@pytest.mark.parametrize("width", [1400, 390])
def test_no_line_begins_with_the_stop_behind_a_formula(chapter, width):
    for name in NAMES:
        page = chapter(name, width)
        page.evaluate(OPEN)
        assert page.evaluate(TORN) == [], name
        page.close()


def test_a_line_that_begins_with_a_stop_is_found(open_page):
    page = open_page("about:blank")
    formula = '<span class="math"><mjx-container>x</mjx-container></span><noscript></noscript>'
    page.set_content('<style>p { width: 100px } mjx-container { display: inline-block; width: 99px }</style><main>'
                     f'<p>{formula}. torn</p><p style="white-space: nowrap">{formula}. kept</p></main>')
    assert [each.split(" | ")[1] for each in page.evaluate(TORN)] == [". torn"]


# What a reader sees, formulas and code aside; a figure's own words too.
WORDS = """() => {
    const found = [], texts = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const at = texts.currentNode;
        if (!at.parentElement.closest("script, style, noscript, mjx-container, pre, code, .math, textarea") && at.data.trim()) {
            found.push(at.data.replace(/[ \\n]+/g, " "));
        }
    }
    return found;
}"""
FAULTS = {"a number as a program prints it": r"\d(?:\.\d+)?e[-+]?\d\d\b", "a hyphen for a minus": r"(?:^|[\s(\[=±])-\.?\d",
          "a comparison in ASCII": r"[<>]=|!=", "a number parted from its sign": r"\d %(?!\w)",
          "a zero with a sign": r"(?<!\d)\u2212(?:0\.)?0+(?![\d.])"}
COUNTED = re.compile(r"(?<![\w.,]) ?\b(\d[\d,.]*) ([a-z]+s)\b")


def faults(texts):
    """Return the typographic faults of texts; a plural after 1 is one where the same word follows another number elsewhere."""
    found = [f"{fault}: {match[0]} in {text[:80]}" for text in texts for fault, pattern in FAULTS.items()
             for match in re.finditer(pattern, text)]
    counted = [(number, word, text) for text in texts for number, word in COUNTED.findall(text)]
    plurals = {word for number, word, _ in counted if number not in ("0", "1")} - {"as", "is", "minus"}
    return found + [f"a plural after one: 1 {word} in {text[:80]}" for number, word, text in counted
                    if number == "1" and word in plurals and not re.search(rf"(?:[A-Z]\w+|layer|block) 1 {word}", text)]


@pytest.mark.parametrize("name", NAMES)
def test_numbers_are_set_as_a_printer_sets_them(chapter, name):
    page = chapter(name)
    words = page.evaluate(WORDS)
    assert len(words) > 300
    assert faults(words) == []


def test_faults_are_found_and_what_looks_like_them_is_not():
    bad = ["by 3.9e-01", "of -4 and", "is >= 2", "the 95 % interval", "\u22120.0)", "gains 1 points", "gains 3 points"]
    assert [each.split(":")[0] for each in faults(bad)] == [
        "a number as a program prints it", "a hyphen for a minus", "a comparison in ASCII", "a number parted from its sign",
        "a zero with a sign", "a plural after one"]
    good = ["the 2-adic and 95\N{NO-BREAK SPACE}%", "Theorem 1 holds", "it holds", "1 minus 3", "\u22120.05", "10\u22120"]
    assert faults(good) == []
