"""Figures are described, small, the same on every run, and drawn in the page's ink."""

import pathlib
import re
import xml.etree.ElementTree as ElementTree

import nbformat
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepatoms.pages import figures, vector


def example(seed=0):
    figure, axes = figures.subplots(1, 2)
    x = np.linspace(0, 6, 200)
    axes[0].plot(x, np.sin(x), label="sin")
    axes[0].scatter(x[::20], np.cos(x[::20]), s=9)
    axes[0].set(xlabel="depth & width", ylabel=r"$\mu = x^2$")
    axes[0].legend()
    axes[1].imshow(np.random.default_rng(seed).normal(size=(8, 8)))
    return figures.describe(figure, r"The sine at $\mu < 1$ (laptop).", 'A wave and "noise" <left to right>')


def test_a_figure_is_well_formed_and_described():
    root = ElementTree.fromstring(figures.svg(example()))
    assert root.get("role") == "img"
    assert root.get("aria-label") == 'A wave and "noise" <left to right>'
    assert root.get("width") == "100%" and root.get("viewBox") == "0 0 504 259.2"


def test_a_figure_is_the_same_on_every_run():
    assert figures.page(example()) == figures.page(example())


def test_black_is_the_ink_of_the_page_and_no_font_is_prescribed():
    text = figures.svg(example())
    assert "#000" not in text and "DejaVu" not in text and "<style" not in text and "currentColor" in text


def test_two_figures_share_no_id_and_every_reference_is_met():
    first, second = (set(re.findall(r'id="([^"]+)"', figures.svg(example(seed)))) for seed in (0, 1))
    assert first and not first & second
    text = figures.svg(example())
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', text)) == set(re.findall(r'id="([^"]+)"', text))


def test_a_figure_is_small():
    assert len(figures.svg(example())) < 15_000


def test_captions_set_mathematics_and_escape_the_rest():
    assert figures.inline("a < b at $k<3$") == 'a &lt; b at <span class="math notranslate nohighlight">\\(k&lt;3\\)</span>'


@pytest.mark.parametrize("caption, description, message", [
    ("", "seen", "caption = '' is empty"), ("found", " ", "description = ' ' is empty"),
    (None, "seen", "caption = None is not text"), ("found", "the line $x$", "holds mathematics")])
def test_a_figure_without_words_is_refused(caption, description, message):
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        figures.describe(figures.subplots()[0], caption, description)


def test_what_is_no_described_figure_is_refused():
    with pytest.raises(TypeError, match="figure = 3 is not a figure"):
        figures.describe(3, "found", "seen")
    with pytest.raises(ValueError, match="has no caption and no description"):
        figures.page(figures.subplots()[0])


def coordinates(data):
    """Follow path data of m, l, z in relative or absolute coordinates: a ten-line reference."""
    points, at = [], np.zeros(2)
    for letter, rest in re.findall(r"([MLmlz])([^MLmlz]*)", data):
        found = [float(number) for number in re.findall(r"-?\d*\.?\d+", rest)]
        for pair in np.reshape(found, (-1, 2)):
            at = at + pair if letter.islower() else pair
            points.append(at)
    return np.array(points)


@given(st.lists(st.tuples(*[st.floats(-500, 500)] * 2), min_size=2, max_size=30))
def test_relative_paths_draw_the_same_line_without_drift(points):
    data = "M " + " \nL ".join(f"{x:.6f} {y:.6f}" for x, y in points)
    assert np.abs(coordinates(vector.path(data)) - np.array(points)).max() <= 0.0051


def test_rasters_keep_their_pixels():
    import base64
    import io

    from PIL import Image
    pixels = np.random.default_rng(0).integers(0, 255, (30, 40, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    kept = vector.raster("data:image/png;base64,\n" + base64.encodebytes(buffer.getvalue()).decode())
    again = Image.open(io.BytesIO(base64.b64decode(kept.partition("base64,")[2]))).convert("RGB")
    assert np.array_equal(np.asarray(again), pixels)


def test_a_finding_that_the_data_contradict_heads_the_caption_and_is_stored(monkeypatch):
    shown = []
    monkeypatch.setattr(figures, "display", lambda data, raw, metadata: shown.append((data, metadata)))
    figure, axes = figures.subplots()
    figures.show(figures.describe(figure, "It falls.", "A falling line.", {"the line falls": False, "it is a line": True}))
    (data, metadata), = shown
    assert "Not in this run: the line falls. It falls." in data["text/html"]
    notebook = nbformat.from_dict({"cells": [{"outputs": [{"metadata": metadata}, {"metadata": {}}]}]})
    assert figures.findings(notebook) == {"the line falls": False, "it is a line": True}


def test_a_finding_is_computed_not_worded():
    figure, axes = figures.subplots()
    with pytest.raises(TypeError, match="the line falls"):
        figures.describe(figure, "It falls.", "A falling line.", {"the line falls": "yes"})


def test_what_has_a_zero_is_drawn_in_colours_that_vanish_there():
    """A map of colours by name is white at zero, which glares on a dark page; photographs alone are grey."""
    studies = pathlib.Path(figures.__file__).parents[1] / "studies"
    named = [found for path in studies.rglob("drawing.py") for found in re.findall(r'cmap="(\w+)"', path.read_text("utf-8"))]
    assert named and set(named) == {"gray"}


def test_several_contradicted_findings_stand_in_order_before_the_caption():
    figure = figures.describe(figures.subplots()[0], "It falls.", "A line.", {"a": False, "b": True, "c": np.False_})
    assert figure.caption == "Not in this run: a. Not in this run: c. It falls." and figure.findings == {
        "a": False, "b": True, "c": False}
    assert figures.describe(figures.subplots()[0], "It falls.", "A line.", {"a": True}).caption == "It falls."


@pytest.mark.parametrize("add", [lambda figure, axes: axes.set_title("a"), lambda figure, axes: axes.text(0, 0, "a"),
                                 lambda figure, axes: figure.suptitle("a"), lambda figure, axes: axes.axis("on"),
                                 lambda figure, axes: axes.legend([axes.plot([0, 1])[0]], ["a"]),
                                 lambda figure, axes: figure.legend([axes.plot([0, 1])[0]], ["a"])])
def test_any_word_makes_a_figure_one_with_words(add):
    figure, axes = figures.subplots()
    axes.axis("off")
    assert figures.wordless(figure)
    add(figure, axes)
    assert not figures.wordless(figure)


def test_axes_take_the_places_of_as_many_others_and_keep_their_own_otherwise():
    figure, axes = figures.subplots(1, 2)
    there = [[0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.2, 0.1]]
    before = [axes[0].get_position().bounds, axes[1].get_position().bounds]
    figures.place(figure, there[:1])
    assert [box.bounds for box in figures.layout(figure)] == before and figure.get_layout_engine() is not None
    figures.place(figure, [type(axes[0].get_position()).from_bounds(*each) for each in there])
    assert [box.bounds for box in figures.layout(figure)] == [pytest.approx(tuple(each)) for each in there]
    assert figure.get_layout_engine() is None or not figure.get_layout_engine().adjust_compatible


def test_a_drawing_s_ids_begin_as_asked_or_with_its_own_hash():
    own, asked = figures.svg(example()), figures.svg(example(), "mine-")
    assert set(re.findall(r'id="(mine-)', asked)) == {"mine-"} and "mine-" not in own
    assert re.search(r'id="f[0-9a-f]{8}-', own)


def test_what_has_no_caption_is_not_drawn():
    with pytest.raises(ValueError, match="has no caption and no description"):
        figures.svg(figures.subplots()[0])


@pytest.mark.parametrize(("caption", "shown"), [
    ("1e-4", "10<sup>−4</sup>"), ("1e-3", "0.001"), ("2.5e+05", "250000"), ("2.5e+06", "2.5 × 10<sup>6</sup>"),
    ("1.25e1", "12.5"), ("x1e-2", "x1e-2"), ("a-1 and -1", "a-1 and −1"), ("1.0e-7", "1.0 × 10<sup>−7</sup>")])
def test_numbers_of_a_caption_are_set_as_a_printer_would(caption, shown):
    assert figures.inline(caption) == shown


@pytest.mark.parametrize(("high", "minor"), [(99, True), (100, False)])
def test_lesser_ticks_go_from_two_decades_on(high, minor):
    figure, axes = figures.subplots()
    axes.plot([1, high], [1, 2])
    axes.set(xscale="log", xlim=(1, high))
    figures.svg(figures.describe(figure, "a", "b"))
    assert bool(len(axes.xaxis.get_minorticklocs())) == minor and isinstance(axes.xaxis.get_major_formatter(), figures.Powers)
    assert not isinstance(axes.yaxis.get_major_formatter(), figures.Powers)


def test_a_rasterised_artist_has_two_pixels_for_each_of_the_page():
    import base64
    import io

    from PIL import Image
    figure, axes = figures.subplots(size=(2, 1))
    figure.set_layout_engine("none")
    axes.set_position([0, 0, 1, 1])
    axes.axis("off")
    axes.pcolormesh(np.eye(2), rasterized=True)
    found = re.search(r'href="data:image/\w+;base64,([^"]+)"', figures.svg(figures.describe(figure, "a", "b")))[1]
    assert Image.open(io.BytesIO(base64.b64decode(found))).size == (288, 144)


def test_a_falling_logarithmic_axis_is_as_wide_as_a_rising_one():
    figure, axes = figures.subplots()
    axes.set(xscale="log", xlim=(1000, 1))
    figures.svg(figures.describe(figure, "a", "b"))
    assert not len(axes.xaxis.get_minorticklocs())
