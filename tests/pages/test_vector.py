"""What matplotlib writes becomes short SVG that shows the same: each rule on the smallest element that it is about."""

import re

import numpy as np
import pytest

from deepatoms.pages import vector


def tidied(inside, prefix="p-"):
    """Return the lines that stand for some elements."""
    text = vector.tidy('<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
                       f'viewBox="0 0 72 36">{inside}</svg>', prefix, "A line.")
    return text.split("\n")[1:-1]


LINE = '<path d="M 1 2 L 3 4" style="fill: none; stroke: #000"/>'


def test_a_drawing_is_as_wide_as_its_inches_and_says_what_it_shows():
    first, last = vector.tidy('<svg viewBox="0 0 72 36"/>', "", 'a\n "b"  <c>').split("\n")
    assert 'viewBox="0 0 72 36"' in first and "max-width:96px" in first and last == "</svg>"
    assert 'aria-label="a &quot;b&quot; &lt;c&gt;"' in first


@pytest.mark.parametrize(("inside", "lines"), [
    (LINE, ['<path d="m1 2 2 2" style="fill:none;stroke:currentColor"/>']),
    ('<path d="M 1 2" style="fill: none"/>', []), ('<path d="M 1 2" style="fill: red"/>', ['<path d="m1 2" style="fill:red"/>']),
    ('<path d="M 1 2"/>', ['<path d="m1 2"/>']), ('<rect style="fill: none"/>', ['<rect style="fill:none"/>']),
    ("<metadata><a/></metadata><style>a</style>", []), ('<g id="a"/>', []), ("<defs/>", []), ('<g clip-path="x"/>', []),
    (f'<g id="a"><g id="b">{LINE}</g></g>', ['<path d="m1 2 2 2" style="fill:none;stroke:currentColor"/>']),
    ('<use x="1.234" y="-0.5" width="0"/>', ['<use x="1.23" y="-.5" width="0"/>']),
    ('<g transform="rotate(-0 3 4)"><a/></g>', ["<g>", "<a/>", "</g>"]),
    ('<g transform="rotate(0 3 4)"><a/></g>', ["<g>", "<a/>", "</g>"]),
    ('<g transform="rotate(-90 3.123456 4)"><a/></g>', ['<g transform="rotate(-90 3.1235 4)">', "<a/>", "</g>"]),
    ('<a fill="url(#b)"/><b id="b"/><c id="c"/>', ['<a fill="url(#p-b)"/>', '<b id="p-b"/>', "<c/>"]),
    ('<use xlink:href="#b"/><b id="b"/>', ['<use href="#p-b"/>', '<b id="p-b"/>'])])
def test_an_element_is_written_short_or_not_at_all(inside, lines):
    assert tidied(inside) == lines


def test_neighbouring_groups_of_equal_attributes_are_joined_and_no_others():
    group = '<g class="{}"><a/></g>'
    assert tidied(group.format("x") * 2) == ['<g class="x">', "<a/>", "<a/>", "</g>"]
    assert len(tidied(group.format("x") + group.format("y"))) == 6
    assert len(tidied(group.format("x") + "<b/>" + group.format("x"))) == 7
    assert tidied("<b/><b/>") == ["<b/>", "<b/>"]


@pytest.mark.parametrize(("style", "expected"), [
    ("font: 10px 'DejaVu Sans'; text-anchor: middle", "font-size:10px;text-anchor:middle"),
    ("font: italic bold 9.5px x", "font-size:9.5px;font-weight:bold;font-style:italic"),
    ("font: 700 9px x", "font-size:9px;font-weight:bold"), ("font-size: 8px; text-anchor: start", "font-size:8px"),
    ("font-size: 8.123px; font-weight: 400", "font-size:8.12px"), ("font-size: 8px; font-weight: normal", "font-size:8px"),
    ("font-size: 8px; font-weight: bold; font-style: oblique", "font-size:8px;font-weight:bold;font-style:italic")])
def test_a_text_keeps_size_weight_slant_and_anchor(style, expected):
    assert tidied(f'<text style="{style}">a</text>') == [f'<text style="{expected}">a</text>']


def test_a_text_keeps_a_colour_that_is_not_the_ink():
    assert tidied('<text style="font-size: 8px; fill: #000000">a</text>') == ['<text style="font-size:8px">a</text>']
    assert 'fill="#f00"' in tidied('<text style="font-size: 8px; fill: #f00; opacity: 0.5">a</text>')[0]


@pytest.mark.parametrize(("said", "shown"), [("-1 &lt; a-b", "−1 &lt; a-b"), ("&amp;", "&amp;"), ("", ""), ("x -.5", "x −.5")])
def test_a_text_is_escaped_and_its_minus_is_no_hyphen(said, shown):
    assert tidied(f"<text>{said}</text>") == [f"<text>{shown}</text>"]


def runs(*spans):
    inside = "".join(f"<tspan {given}>{letters}</tspan>" for given, letters in spans)
    return re.findall(r'<tspan x="([^"]+)" y="([^"]+)" style="([^"]+)">(.*?)</tspan>', tidied(f"<text>{inside}</text>")[0])


def test_the_letters_of_a_word_flow_and_each_sign_stands_where_it_was():
    assert runs(('x="1 2 3 4 5 6"', "ab+c &lt;")) == [
        ("1", "0", "font-size:10px", "ab"), ("3", "0", "font-size:10px", "+"), ("4", "0", "font-size:10px", "c"),
        ("6", "0", "font-size:10px", "&lt;")]


def test_a_word_ends_where_the_height_or_the_style_changes():
    style = 'style="font-size: 7px; font-style: italic"'
    assert runs(('x="1 3" y="5"', "ab"), ('x="2" y="5"', "c"), (f'x="4" y="5" {style}', "d"), (f'x="5" y="2" {style}', "e")) == [
        ("1", "5", "font-size:10px", "acb"), ("4", "5", "font-size:7px;font-style:italic", "d"),
        ("5", "2", "font-size:7px;font-style:italic", "e")]


@pytest.mark.parametrize(("data", "short"), [
    ("M 1 1 Q 2 2 3 1 Q 4 0 5 1", "m1 1q1 1 2 0 1-1 2 0"), ("M 0 0 C 1 0 2 0 3 3 L 4 4", "m0 0c1 0 2 0 3 3l1 1"),
    ("M 5 5 L 6 6 z M 7 7 L 8 8", "m5 5 1 1zm2 2 1 1"), ("M 0 0 M 1 1", "m0 0m1 1"), ("M 1e1 -.5 L 10.004 0", "m10-.5 0 .5"),
    ("M 0 0 L 0.126 0 L 0.126 1", "m0 0 .13 0 0 1")])
def test_a_path_goes_the_same_way_from_its_last_point(data, short):
    assert vector.path(data) == short


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (-0.001, "0"), (0.5, ".5"), (-0.5, "-.5"), (10, "10"), (100.0, "100"),
                                             (1.005e2, "100.5"), (-12.346, "-12.35"), (0.05, ".05"), ("100%", "100%")])
def test_a_number_has_two_decimals_and_nothing_that_says_nothing(value, text):
    assert vector._number(value) == text


@pytest.mark.parametrize(("alpha", "mode"), [(255, "RGB"), (128, "RGBA")])
def test_a_raster_drops_an_opacity_that_is_everywhere_full_and_takes_the_shorter_form(alpha, mode):
    import base64
    import io

    from PIL import Image
    pixels = np.full((40, 40, 4), alpha, np.uint8)
    pixels[..., :3] = np.arange(40)[:, None, None]
    forms = {}
    for form in ("png", "webp"):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, form, **({"lossless": True} if form == "webp" else {}))
        forms[form] = buffer.getvalue()
    kept = vector.raster("data:image/png;base64," + base64.b64encode(forms["png"]).decode())
    inside = base64.b64decode(kept.partition("base64,")[2])
    again = Image.open(io.BytesIO(inside))
    assert again.mode == mode and np.array_equal(np.asarray(again.convert("RGBA")), pixels)
    assert kept.startswith(f"data:image/{again.format.lower()};") and len(inside) <= min(map(len, forms.values()))
