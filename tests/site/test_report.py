"""A report's page in a real browser: nothing asked from outside, accessible in light and dark, and as wide as a phone."""

import math
import pathlib

import axe_playwright_python
import pytest

from deepatoms.reports import page
from deepatoms.reports.entries import LENSES, VERDICTS, Entry, Network, Report

AXE = (pathlib.Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8")
LONG = "a_layer_with_a_name_that_goes_on.and_on.and_on.without.any.place.to.break.it.0.weight<script>document.title='x'</script>"


def entries():
    """Every verdict, long and hostile names, numbers that are not finite, and one number over layers."""
    nulls = {"re-initialised": [0.2, 0.5, 0.7], "weights permuted": [0.4, math.nan, 3.0]}
    for lens in LENSES[:2]:
        for word in list(VERDICTS)[LENSES.index(lens)::2]:
            value = None if word in ("does not apply", "skipped") else 0.6
            yield Entry(lens, f"{word} number", value, "units", "lower is better", "What it is.", "Theorem 1", 1.0, word, nulls,
                        "it says nothing" if word == "saturated" else "", True, "the reason" if value is None else "")
        yield Entry(lens, LONG, math.inf, nulls=nulls)
        yield Entry(lens, f"k90 of {LONG}", 2.0, nulls=nulls, curve=(3.0, 1.0, 1e-6),
                    null_curves={"re-initialised": [(2.0, 1.0, 0.1)]})
        yield from (Entry(lens, f"coherence, {LONG}{i}", 0.1 * i + 0.1, threshold=0.2, nulls=nulls) for i in range(4))


@pytest.fixture(scope="module")
def address(tmp_path_factory, serve):
    folder = tmp_path_factory.mktemp("report")
    found = Report(Network("Net" + LONG, 12345, ("0", "1")), "Data.", tuple(entries()), True, ("A note.",))
    (folder / "index.html").write_text(page.page(found), encoding="utf-8")
    return serve(folder)


def violations(opened):
    opened.evaluate(AXE)
    found = opened.evaluate("axe.run({preload: false}).then(result => result.violations)")
    return [f"{rule['id']}: {node['html'][:160]} {node['failureSummary']}" for rule in found for node in rule["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1300, 390])
def test_the_page_is_accessible_and_nothing_sticks_out(open_page, address, scheme, width):
    opened = open_page(address, color_scheme=scheme, viewport={"width": width, "height": 844})
    assert violations(opened) == []
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    background = opened.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert background == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 23, 28)")


def test_no_text_of_the_network_s_becomes_part_of_the_page(open_page, address):
    opened = open_page(address)
    assert opened.title().startswith("Net") and opened.locator("script").count() == 0


def test_a_phone_shows_tables_that_are_still_tables_to_a_screen_reader(open_page, address):
    opened = open_page(address, viewport={"width": 390, "height": 844})
    assert opened.get_by_role("table").count() == 2
    assert opened.get_by_role("row").count() > len(VERDICTS)
    assert opened.get_by_role("img").first.get_attribute("aria-label")


def test_a_keyboard_opens_the_values_of_a_spectrum(open_page, address):
    opened = open_page(address)
    opened.keyboard.press("Tab")
    assert opened.evaluate("document.activeElement.tagName") == "SUMMARY"
    opened.keyboard.press("Enter")
    assert opened.locator("details[open] li").all_inner_texts() == ["3", "1", "1 × 10−6"]
