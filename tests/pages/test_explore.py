"""Explorers store every frame once, refuse what a page cannot carry, and are the same on every run."""

import base64
import json
import math
import re
import zlib

import numpy as np
import pytest

from deepatoms.pages import figures
from deepatoms.pages.explore import MOST_FRAMES, Explorer, explore, is_live


def draw(depth, sigma=1.0):
    figure, axes = figures.subplots()
    x = np.linspace(0, 6, 100)
    axes.plot(x, np.sin(depth * x) * float(sigma))
    axes.set(ylim=(-2, 2), xlabel="x")
    return figures.describe(figure, f"depth {depth}, sigma {sigma}", f"A wave of frequency {depth}")


def data(page):
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)[1])


def content(page):
    return json.loads(zlib.decompress(base64.b64decode(data(page)["packed"])))


@pytest.fixture(scope="module")
def grid():
    return Explorer(draw, {"depth": [1, 2, 4], "sigma": [0.5, 1.0]}, between=["depth", "sigma"])


def test_every_frame_is_stored_in_the_order_of_the_axes(grid):
    stored = content(grid.page())
    assert stored["captions"] == [f"depth {d}, sigma {s}" for d in (1, 2, 4) for s in (0.5, 1.0)]
    for indices, frame in zip(stored["frames"], grid.frames, strict=True):
        assert "\n".join(stored["lines"][index] for index in indices) == frame.drawn
    assert len(set(stored["lines"])) == len(stored["lines"])
    assert data(grid.page())["axes"] == [{"name": "depth", "values": ["1", "2", "4"], "words": False},
                                         {"name": "sigma", "values": ["0.5", "1"], "words": False}]


def test_the_first_frame_shows_without_a_script(grid):
    assert grid.frames[0].svg in grid.page() and grid.frames[0].narrow in grid.page() and "<input" not in grid.page()


def test_an_explorer_is_the_same_on_every_run(grid):
    assert Explorer(draw, {"depth": [1, 2, 4], "sigma": [0.5, 1.0]}).page() == grid.page()


def test_sixty_line_frames_fit():
    page = Explorer(draw, {"depth": list(range(1, 13)), "sigma": [0.2, 0.4, 0.6, 0.8, 1.0]}).page()
    assert len(json.dumps(page)) < 400_000


def panels(height, count=2):
    """Return a figure with an image, its colour bar, axes of equal aspect, and labels that are as wide as the height."""
    figure, axes = figures.subplots(1, count, squeeze=False)
    figure.colorbar(axes[0, 0].imshow([[0, 1], [2, 3]]), label="value")
    axes[0, -1].plot([0, 1], [0, height])
    axes[0, -1].set(yticks=[0, height], ylabel="height")
    return figures.describe(figure, f"height {height}", f"A line that rises to {height}")


def spines(svg):
    """Return the straight lines of a drawing that have a projecting cap: its spines."""
    return [line for line in svg.split("\n") if "stroke-linecap:square" in line]


def test_nothing_jumps_between_frames():
    frames = Explorer(panels, {"height": [3, 1000, 2000]}, {"height": 1000}).frames
    assert spines(frames[1].svg) and spines(frames[1].svg) == spines(frames[0].svg)
    own = figures.svg(panels(3), Explorer(panels, {"height": [3, 4]}).prefix)
    assert spines(own) != spines(frames[0].svg), "by itself it would stand elsewhere: its labels are narrow"
    assert spines(frames[1].narrow) and spines(frames[1].narrow) == spines(frames[0].narrow) != spines(frames[0].svg)


def test_the_first_layout_is_that_of_any_frame_with_labels_as_wide():
    explorer = Explorer(panels, {"height": [1000, 2000]})
    assert explorer.frames[1].svg == figures.svg(panels(2000), explorer.prefix)


def test_a_frame_with_other_axes_has_a_layout_of_its_own():
    explorer = Explorer(panels, {"height": [1, 2], "count": [2, 3]})
    assert explorer.frames[1].svg == figures.svg(panels(1, 3), explorer.prefix)


@pytest.mark.parametrize("axes, message", [
    ({}, "axes = {} are missing"),
    ({"depth": []}, "depth = [] leaves nothing to move"),
    ({"depth": [1, math.nan]}, "depth = nan is not finite"),
    ({"depth": [1, None]}, "depth = None is neither a number nor a text"),
    ({"depth": 3}, "depth = 3 is not a list"),
    ({"depth": "abc"}, "depth = 'abc' is not a list"),
    ({"depth": [1, 1.0]}, "says 1 twice"),
    ({"depth": [5, 1, 2]}, "is out of order; sort it, and say with start="),
    ({"depth": ["one", 2]}, "mixes words with numbers"),
    ({"depth": [1, 2], "start": {"dpth": 1}}, "start = 'dpth' is unknown"),
    ({"depth": [1, 2], "start": {"depth": 3}}, "start['depth'] = 3 is not a value of depth"),
    ({"depth": [1, 2], "between": ["width"]}, "between = 'width' is unknown"),
    ({"depth": range(1, 12), "sigma": range(1, 11)}, f"make 11 x 10 = 110 frames, more than the {MOST_FRAMES}")])
def test_axes_that_make_no_sense_are_refused(axes, message):
    axes = dict(axes)  # with start and between where an instance has them
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        explore(draw, **axes)


def test_frames_that_are_no_described_figures_are_refused():
    with pytest.raises(TypeError, match=re.escape("draw(depth=1) = 2 is not a figure")):
        explore(lambda depth: 2, depth=[1, 2])
    with pytest.raises(ValueError, match="has no caption"):
        explore(lambda depth: figures.subplots()[0], depth=[1, 2])
    with pytest.raises(TypeError, match="draw = 3 is not a function"):
        explore(3, depth=[1, 2])


def test_frames_that_are_too_heavy_are_refused(monkeypatch):
    monkeypatch.setattr("deepatoms.pages.explore.MOST_BYTES", 1_000)
    with pytest.raises(ValueError, match="more than the 1,000 of a page; .*rasterized=True"):
        explore(draw, depth=[1, 2])


def test_a_live_slider_stops_between_the_stored_numbers(grid):
    depth, sigma = grid.stops()
    assert [stop["text"] for stop in depth] == ["1", "2", "3", "4"]
    assert [stop["stored"] for stop in depth] == [True, True, False, True]
    assert [stop["text"] for stop in sigma] == ["0.5", "0.625", "0.75", "0.875", "1"]
    assert [stop["nearest"] for stop in sigma] == [0, 0, 0, 1, 1]


def test_texts_and_falling_numbers_have_stops_too():
    assert [stop["text"] for stop in Explorer(lambda depth: draw(3), {"depth": ["a", "b"]}).stops()[0]] == ["a", "b"]
    assert [stop["value"] for stop in Explorer(draw, {"depth": [4, 2]}, between=["depth"]).stops()[0]] == [4, 3, 2]


def test_an_axis_that_nobody_calls_continuous_stops_only_where_it_is_stored():
    assert [stop["value"] for stop in Explorer(draw, {"depth": [2, 4]}).stops()[0]] == [2, 4]


def even(depth):
    """Draw whole numbers, say of each that it is even, and fail at 40."""
    if depth == 40:
        raise KeyError(depth)
    return figures.describe(draw(depth), f"depth {depth}", "A wave", {"the frequency is even": depth % 2 == 0})


def test_every_stop_between_is_drawn_when_a_chapter_is_stored(monkeypatch):
    """A slider in JupyterLab asks for no frame that nobody has drawn, and a finding that fails between is named."""
    explore(even, depth=[38, 42])
    with pytest.raises(KeyError, match="40"):
        explore(even, between=["depth"], depth=[38, 42])
    explorer = Explorer(even, {"depth": [2, 4]}, between=["depth"])
    assert explorer.findings == {"the frequency is even": True}
    explorer.try_between()
    assert explorer.findings == {"the frequency is even": False}
    monkeypatch.setattr("deepatoms.pages.explore.is_live", lambda: True)
    explore(even, between=["depth"], depth=[38, 42])  # a reader does not wait for all of them


def test_the_frame_of_the_start_is_the_one_on_the_page():
    page = Explorer(draw, {"depth": [1, 2, 4]}, {"depth": 4}).page()
    assert data(page)["start"] == [2] and "<figcaption>depth 4," in page


def test_outside_a_kernel_nothing_is_live():
    assert not is_live()


def test_under_a_kernel_the_widget_draws_what_was_not_stored(grid, monkeypatch):
    from deepatoms.pages.widget import LiveExplorer
    widget = LiveExplorer(grid)
    sent = []
    monkeypatch.setattr(widget, "send", sent.append)
    widget._answer(widget, {"at": [2, 1]}, [])
    assert sent[0]["caption"] == "depth 3, sigma 0.625"
    monkeypatch.setattr(grid, "draw", lambda **values: 1 / 0)
    widget._answer(widget, {"at": [2, 1]}, [])
    assert sent[1] == {"error": "ZeroDivisionError: division by zero"}
    assert widget.page == grid.page() and "application/vnd.jupyter.widget-view+json" in widget.bundle()


def test_a_frame_that_a_kernel_draws_has_no_drawing_for_a_phone_and_a_stored_one_has(grid):
    assert grid.frame([1, 0.5]).narrow == "" and all(frame.narrow for frame in grid.frames)


def test_numbers_of_numpy_become_plain_ones_and_words_stay():
    from deepatoms.pages.explore import _values
    found = _values("depth", np.array([1, 2])), _values("sigma", np.array([0.5, 1.0])), _values("kind", ("a", "b"))
    assert [[type(value) for value in values] for values in found] == [[int] * 2, [float] * 2, [str] * 2]
    assert _values("depth", [3, 2, 1]) == [3, 2, 1]


@pytest.mark.parametrize(("ends", "stops"), [
    ((1, 2), []), ((1, 3), [2]), ((0, 8), [2, 4, 6]), ((8, 0), [6, 4, 2]), ((0.0, 1.0), [0.25, 0.5, 0.75]),
    ((1, 2.0), [1.25, 1.5, 1.75]),
    ((1.0, 0.0), [0.75, 0.5, 0.25]), (("a", "b"), []), ((True, 3), []), ((3, None), [])])
def test_between_two_numbers_lie_quarters_and_between_two_integers_integers(ends, stops):
    from deepatoms.pages.explore import _between
    assert _between(*ends) == stops


def test_a_word_has_nothing_between_and_each_stop_names_the_nearer_stored_number():
    explorer = Explorer(lambda depth, kind: draw(depth), {"depth": [0, 8], "kind": ["a", "b"]}, between=["depth"])
    depth, kind = explorer.stops()
    assert [(stop["value"], stop["nearest"], stop["stored"]) for stop in depth] == [
        (0, 0, True), (2, 0, False), (4, 0, False), (6, 1, False), (8, 1, True)]
    assert [stop["stored"] for stop in kind] == [True, True]
    with pytest.raises(ValueError, match="between = 'kind' is unknown"):
        Explorer(lambda depth, kind: draw(depth), {"depth": [0, 8], "kind": ["a", "b"]}, between=["kind"])


@pytest.mark.parametrize(("shell", "static", "live"), [
    (type("Shell", (), {"kernel": 1}), None, True), (type("Shell", (), {"kernel": 1}), "0", True),
    (type("Shell", (), {"kernel": 1}), "1", False), (type("Shell", (), {}), None, False), (None, None, False)])
def test_a_kernel_makes_it_live_unless_outputs_are_stored(monkeypatch, shell, static, live):
    monkeypatch.setattr("deepatoms.pages.explore.get_ipython", lambda: shell)
    monkeypatch.delenv("DEEPATOMS_STATIC", raising=False) if static is None else monkeypatch.setenv("DEEPATOMS_STATIC", static)
    assert is_live() is live
