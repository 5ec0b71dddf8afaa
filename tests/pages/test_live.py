"""A live figure stores a still picture, a caption and data that a page can carry; under a kernel it is a widget."""

import json
import re

import pytest

from deepatoms.pages import figures, live, widget

NAME = "drag-the-atoms"


def still(findings=None):
    figure, axes = figures.subplots()
    axes.plot([0, 1], [0, 1])
    return figures.describe(figure, "It rises.", "A line.", findings)


@pytest.mark.parametrize(("given", "said"), [
    (("drag-the-atom", still(), {}), "name = 'drag-the-atom' is unknown"),
    ((NAME, figures.subplots()[0], {}), "still = .* has no caption and no description")])
def test_an_unknown_name_and_a_picture_without_words_are_refused(given, said):
    with pytest.raises(ValueError, match=said):
        live.page(*given)


@pytest.mark.parametrize(("length", "fits"), [(98, True), (99, False)])
def test_data_up_to_the_limit_are_stored(monkeypatch, length, fits):
    monkeypatch.setattr(live, "MOST_BYTES", 100)  # two of them are the quotes
    if fits:
        page = live.page(NAME, still(), "a" * length)
        assert json.loads(re.search(r"<script[^>]*>(.*?)</script>", page)[1]) == "a" * length
        assert "<figcaption>It rises.</figcaption>" in page and f'data-live="{NAME}"' in page
    else:
        with pytest.raises(ValueError, match="data = '101 bytes' are more than the 100 of a page"):
            live.page(NAME, still(), "a" * length)


@pytest.mark.parametrize("kernel", [False, True])
def test_what_is_shown_has_the_page_and_its_findings_and_under_a_kernel_a_view(monkeypatch, kernel):
    shown = []
    monkeypatch.setattr(live, "is_live", lambda: kernel)
    monkeypatch.setattr(live, "display", lambda data, raw, metadata: shown.append((data, metadata)))
    live.live(NAME, still({"it rises": True}), {})
    (data, metadata), = shown
    assert data["text/html"] == live.page(NAME, still(), {}) and data["text/plain"].startswith("It rises.")
    assert metadata == {"deepatoms": {"findings": {"it rises": True}}}
    assert ("application/vnd.jupyter.widget-view+json" in data) == kernel


def test_a_widget_sends_its_page_to_the_browser():
    for kind in (widget.LivePage, widget.LiveExplorer):
        assert kind.class_traits()["page"].metadata["sync"] is True
    assert widget.LiveExplorer.class_traits()["stops"].metadata["sync"] is True
    made = widget.LivePage("<p>", live.SCRIPTS[NAME])
    assert made.page == "<p>" and made._esm.endswith("export default { render: deepatomsLive.render };")
    assert all(figures.web(f"live/{name}") in made._esm for name in ("kit.js", *live.SCRIPTS[NAME]))
