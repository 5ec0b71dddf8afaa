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
