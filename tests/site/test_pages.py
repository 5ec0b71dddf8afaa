"""Every page of the built site in a real browser: nothing from outside, no error, accessible, readable on a phone, linked."""

import functools
import gzip
import html.parser
import http.server
import json
import pathlib
import re
import threading
import urllib.error
import urllib.parse
import urllib.request

import axe_playwright_python
import pytest

from deepatoms.claims import catalogue
from deepatoms.pages.live import SCRIPTS
from deepatoms.press.site import Pages

SITE = pathlib.Path(__file__).parents[2] / "_build" / "html"
AXE = (pathlib.Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8")
PAGES = sorted(str(path.relative_to(SITE)) for path in SITE.rglob("*.html") if "_static" not in path.parts)
# Pages of source code are all alike; three of them stand for all.
SOURCES = [page for page in PAGES if page.startswith("_modules")]
READ = [page for page in PAGES if page != "index.html" and page not in SOURCES] + SOURCES[-3:]
UNFOLDED = "() => document.querySelectorAll('main details.deepatoms-more').forEach(part => { part.open = true; })"
SETTLED = "() => !window.MathJax?.startup?.promise || MathJax.startup.promise.then(() => true)"
CLAIMS = catalogue.load().claims
ONE_PAPER = sum(claim.paper == "csc" for claim in CLAIMS.values())
# What resists: the theme draws these after the page has loaded (rule, start of the element's HTML).
EXCEPTED = ()
OF_COLOURS = ["color-contrast", "link-in-text-block"]


@pytest.fixture(params=READ or ["no site"])
def page_name(request):
    if not READ:
        pytest.fail("no built site in _build/html; run make book first")
    return request.param


@pytest.fixture
def visit(open_page, site):
    """Return a function that opens a page of the site and waits until its mathematics stands; nothing may be missing."""
    missing = []

    def visited(name, **options):
        page = open_page("about:blank", **options)
        page.on("response", lambda response: missing.append(response.url) if response.status >= 400 else None)
        page.goto(site + name)
        page.wait_for_function(SETTLED)
        return page

    yield visited
    assert not missing, f"not found: {missing}"


def violations(page, rules=None):
    """Return what axe finds on a page, by all of its rules or by those named."""
    page.evaluate(AXE)
    options = {"preload": False} | ({"runOnly": rules} if rules else {})
    found = page.evaluate("options => axe.run(options).then(result => result.violations)", options)
    return [f"{rule['id']}: {node['html'][:160]} {node['failureSummary']}" for rule in found for node in rule["nodes"]
            if not any(rule["id"] == name and start in node["html"] for name, start in EXCEPTED)]


UNDESCRIBED = """() => [...document.querySelectorAll("main :is(img, svg[role=img], figure > svg, canvas)")]
    .filter(drawn => !(drawn.getAttribute("alt") || drawn.getAttribute("aria-label") || "").trim()
                     && drawn.getAttribute("aria-hidden") !== "true" && !drawn.closest("button"))
    .map(drawn => drawn.outerHTML.slice(0, 100))"""
STICKING_OUT = "() => Math.max(0, document.documentElement.scrollWidth - document.documentElement.clientWidth)"


def test_a_page_is_whole_accessible_in_light_and_dark_and_fits_a_phone(visit, page_name):
    page = visit(page_name, color_scheme="light")
    assert violations(page) == []
    assert page.evaluate(UNDESCRIBED) == []
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("() => document.documentElement.dataset.theme !== 'light'")
    page.wait_for_timeout(300)  # colours fade over
    assert violations(page, OF_COLOURS) == []  # nothing else differs, and all rules take twice as long
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate(STICKING_OUT) == 0


@pytest.mark.parametrize("rules", [None, OF_COLOURS])
def test_colours_too_close_are_found(open_page, rules):
    page = open_page("about:blank")
    page.set_content('<main><p style="color: #777; background: #888">pale</p></main>')
    assert any(found.startswith("color-contrast") for found in violations(page, rules))


class Links(html.parser.HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, text):
        super().__init__()
        self.links, self.anchors = [], {"", "top"}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.anchors |= {attributes.get("id"), attributes.get("name")}
        if tag == "a" and attributes.get("href"):
            self.links.append(attributes["href"])


def test_every_link_inside_the_site_leads_somewhere():
    pages = {name: Links((SITE / name).read_text("utf-8")) for name in PAGES}
    broken = [f"{name}: {link}" for name, page in pages.items() for link in page.links if not leads(pages, name, link)]
    assert broken == []


def leads(pages, name, link):
    parts = urllib.parse.urlsplit(link)
    if parts.scheme or parts.netloc:
        return True
    path = (SITE / name).parent / urllib.parse.unquote(parts.path) if parts.path else SITE / name
    target = str(path.resolve().relative_to(SITE.resolve()))
    if target not in pages:
        return path.exists()
    return urllib.parse.unquote(parts.fragment) in pages[target].anchors


def test_the_root_leads_to_the_first_page(open_page, site):
    open_page(site).wait_for_url("**/book/index.html")


def test_the_search_finds_a_chapter(visit):
    page = visit("search.html?q=coherence")
    page.wait_for_selector("#search-results li a")
    assert page.locator("#search-results li a").count() > 0


def test_the_filter_of_the_scoreboard(visit):
    page = visit("book/scoreboard.html")
    total = page.locator(".deepatoms-claim:visible").count()
    assert total == len(CLAIMS)
    page.get_by_role("combobox", name="Paper").select_option("csc")
    assert page.locator(".deepatoms-claim:visible").count() == page.locator("[data-paper=csc]").count() == ONE_PAPER
    assert page.get_by_role("status").inner_text() == f"{ONE_PAPER} of {total} claims"
    assert page.get_by_role("heading", name="Spline theory").count() == 0
    page.get_by_role("combobox", name="Verdict").select_option("false")  # which no claim of these need be
    assert page.get_by_role("combobox", name="Verdict").input_value() == "false"
    page.get_by_role("combobox", name="Verdict").select_option("not tested")
    asked = page.url
    page.get_by_role("button", name="Show all").click()
    page.get_by_text(f"{total} of {total} claims").wait_for()
    again = visit(asked.split("/", 3)[3])
    untested = again.locator("[data-paper=csc][data-verdict='not tested']").count()
    assert again.locator(".deepatoms-claim:visible").count() == untested


def test_the_scoreboard_is_searched_by_text_and_a_link_opens_its_card(visit):
    page = visit("book/scoreboard.html?verdict=not+tested#dfp.welch")
    card = page.locator("[id='dfp.welch']")
    assert card.get_attribute("open") is not None and card.is_visible(), "the card that a link names shows whatever the filter"
    page.get_by_role("button", name="Show all").click()
    page.get_by_role("searchbox", name="Search").last.fill("welch bound")
    shown = page.locator(".deepatoms-claim:visible")
    assert 0 < shown.count() < 10 and "text=welch+bound" in page.url
    assert all("elch" in each.text_content() for each in shown.all())


def test_the_scoreboard_needs_no_script(visit, open_page, site):
    page = open_page(site + "book/scoreboard.html", java_script_enabled=False)
    assert page.locator(".deepatoms-claim").count() == len(CLAIMS)
    assert not page.locator(".deepatoms-filter").is_visible()


@functools.cache
def compressed(address):
    """Return how many bytes a server would send."""
    with urllib.request.urlopen(address) as answer:
        return len(gzip.compress(answer.read()))


# Moves every control of a page through all its values; returns the texts that leave their drawing by more pixels than allowed.
LEAVING = """allowed => [...document.querySelectorAll(".deepatoms-explorer")].flatMap(figure => {
    const controls = [...figure.querySelectorAll(".deepatoms-control")], leaving = new Set();
    const walk = index => {
        if (index < controls.length) {
            const range = controls[index].querySelector("input[type=range]");
            for (let value = 0; range && value <= Number(range.max); value++) {
                range.value = value;
                range.dispatchEvent(new Event("input"));
                walk(index + 1);
            }
            for (const word of controls[index].querySelectorAll("input[type=radio]")) {
                word.click();
                walk(index + 1);
            }
            return;
        }
        const drawing = [...figure.querySelectorAll("svg[role=img]")].find(each => each.getClientRects().length);
        const frame = drawing.getBoundingClientRect();
        for (const text of drawing.querySelectorAll("text")) {
            const box = text.getBoundingClientRect();
            // a box is higher than its letters
            const high = box.height / 4, out = Math.max(frame.left - box.left, box.right - frame.right,
                frame.top - box.top - high, box.bottom - frame.bottom - high);
            const shown = figure.querySelector("figcaption").textContent;
            if (out > allowed) leaving.add(`${text.textContent}, ${out.toFixed(1)} px: ${shown}`);
        }
    };
    walk(0);
    return [...leaving];
})"""


def test_in_no_frame_does_a_text_leave_the_drawing(visit):
    """All frames take the first one's layout: its margins must have room for the labels of every other."""
    for name in READ:
        if "deepatoms-explorer" in (SITE / name).read_text("utf-8"):
            page = visit(name)
            page.evaluate(UNFOLDED)
            page.wait_for_selector(".deepatoms-explorer input")
            assert page.evaluate(LEAVING, 2) == []
            page.set_viewport_size({"width": 390, "height": 844})
            assert page.evaluate(LEAVING, 4) == [], "a phone has drawings of its own"
            page.close()


def test_a_page_with_an_explorer_stays_light(site, open_page):
    """Compressed as a server would send it, all that such a page needs is at most 1.8 MB."""
    for name in READ:
        if "deepatoms-explorer" not in (SITE / name).read_text("utf-8"):
            continue
        page = open_page(site + name)
        loaded = page.evaluate("() => [location.href, ...performance.getEntriesByType('resource').map(entry => entry.name)]")
        sizes = {address: compressed(address) for address in set(loaded) if address.startswith(site)}
        page.close()
        assert sum(sizes.values()) <= 1_800_000, json.dumps(sizes, indent=1)


def test_a_page_loads_the_scripts_of_its_live_figures_and_no_others():
    for name in READ:
        text = (SITE / name).read_text("utf-8")
        shown = re.findall(r'<figure class="deepatoms-live" data-live="([\w-]+)"', text)
        wanted = {script for figure in shown for script in ("kit.js", *SCRIPTS[figure])}
        assert set(re.findall(r'src="[^"]*_static/live/([\w-]+\.js)', text)) == wanted, name


def test_the_search_leads_with_a_chapter(visit):
    for word in ("template", "ReLU", "coherence"):
        page = visit(f"search.html?q={word}")
        page.wait_for_selector("#search-results li a")
        assert "notebooks/" in page.locator("#search-results li a").first.get_attribute("href"), word


def test_what_is_not_there_has_a_page_that_leads_back():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Pages, directory=SITE))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with pytest.raises(urllib.error.HTTPError) as said:
        urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/notebooks/gone.html")
    server.shutdown()
    assert said.value.code == 404 and 'href="book/index.html"' in said.value.read().decode()


# Of every drawing that shows: words that meet, words that leave it, and words smaller than is allowed.
UNREADABLE = """allowed => [...document.querySelectorAll("main figure svg[role=img]")]
    .filter(drawing => drawing.getClientRects().length).flatMap(drawing => {
        const frame = drawing.getBoundingClientRect(), found = [], name = drawing.getAttribute("aria-label").slice(0, 40);
        const shrunk = text => { const m = text.getScreenCTM(); return Math.hypot(m.a, m.b); };
        const words = [...drawing.querySelectorAll("text")].filter(text => text.textContent.trim()).map(text => {
            const box = text.getBoundingClientRect(), high = box.height * 0.2;  // a box is higher than its letters
            return {text: text.textContent, turned: shrunk(text) && text.getScreenCTM().b !== 0 && text.getScreenCTM().a !== 0,
                    size: Math.min(...[text, ...text.querySelectorAll("tspan")].map(part =>
                        parseFloat(getComputedStyle(part).fontSize) * shrunk(text))),
                    left: box.left + 1, right: box.right - 1, top: box.top + high, bottom: box.bottom - high};
        });
        for (const [i, one] of words.entries()) {
            if (one.size < allowed) found.push(`${name}: ${one.text} has ${one.size.toFixed(1)} px`);
            if (Math.max(frame.left - one.left, one.right - frame.right) > 3) found.push(`${name}: ${one.text} leaves it`);
            for (const other of words.slice(i + 1)) {
                const wide = Math.min(one.right, other.right) - Math.max(one.left, other.left);
                const high = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
                if (!one.turned && !other.turned && wide > 2 && high > 2) found.push(`${name}: ${one.text} meets ${other.text}`);
            }
        }
        return found;
    })"""


@pytest.mark.parametrize("width", [1400, 390])
def test_the_words_of_a_figure_are_large_enough_and_meet_nothing(visit, width):
    for name in READ:
        if "<svg" in (SITE / name).read_text("utf-8"):
            page = visit(name, viewport={"width": width, "height": 844})
            page.evaluate(UNFOLDED)
            assert page.evaluate(UNREADABLE, 9) == [], name
            page.close()


def test_what_cannot_be_read_is_found(open_page):
    page = open_page("about:blank", viewport={"width": 390, "height": 844})
    page.set_content('<main><figure><svg role="img" aria-label="x" viewBox="0 0 100 50" width="200" style="overflow: visible">'
                     '<text x="5" y="20" style="font-size:10px">long words</text>'
                     '<text x="20" y="20" style="font-size:10px">met</text>'
                     '<text x="5" y="45" style="font-size:3px">small</text><text x="95" y="40" style="font-size:10px">away</text>'
                     "</svg></figure></main>")
    assert sorted(found.split(": ")[1] for found in page.evaluate(UNREADABLE, 9)) == [
        "away leaves it", "long words meets met", "small has 6.0 px"]


def test_formulas_are_read_without_a_script(open_page, site):
    page = open_page(site + "notebooks/atoms.html", java_script_enabled=False)
    formulas = page.locator("math")
    assert formulas.count() > 100 and any(formula.is_visible() for formula in formulas.all()[:60])  # some wait in a fold
    assert not any(tex.is_visible() for tex in page.locator(".math.notranslate").all()[:20])


CUT = """() => [...document.querySelectorAll("div.math")].filter(box => box.getClientRects().length).filter(box => {
    const formula = box.querySelector("mjx-math"), number = box.querySelector(".eqno");
    return formula && formula.getBoundingClientRect().width + (number?.getBoundingClientRect().width || 0)
        > box.getBoundingClientRect().width;
}).map(box => box.textContent.slice(0, 20))"""


def test_no_display_equation_of_a_chapter_is_cut(visit):
    for name in READ:
        if name.startswith("notebooks"):
            page = visit(name, viewport={"width": 1400, "height": 900})
            page.evaluate("() => document.querySelectorAll('main details.sd-dropdown').forEach(part => { part.open = true; })")
            assert page.evaluate(CUT) == [], name
            page.close()
