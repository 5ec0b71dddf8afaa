"""The figure of one network seen by five theories: what it draws is that network, whole."""

import numpy as np
import pytest
import torch

from deepatoms.pages import figures
from deepatoms.site import views
from deepatoms.studies.five_lenses import planar
from deepatoms.theory import induced, skip_dictionaries, splines

SEEDS = (0, 1)
X = torch.tensor(views.AT, dtype=torch.float64)


@pytest.fixture(params=SEEDS)
def model(request):
    return views.trained(request.param)


def test_the_dictionary_is_that_of_the_network_s_own_stream(model):
    B, w = planar.dictionary(model), []
    with torch.no_grad():
        h = model.stem(X[None]) - model.stem.bias
        for block in model.blocks:
            w += [h, block.branch[:2](h)]
            h = block(h)
    stacked = torch.cat([*w, h], 1)[0].numpy()
    sizes = [2, *[planar.UNITS, planar.WIDTH] * planar.BLOCKS]
    left = np.split(induced.constraints(B, stacked, X.numpy()), np.cumsum(sizes)[:-1])
    assert max(abs(part).max() for part in left[2::2]) < 1e-12, "each block adds to the stream what the dictionary's rows say"
    assert min(part.min() for part in left[1::2]) > -1e-12, "and each unit is its row's product, or zero where that is negative"


def test_codes_matrices_and_template_are_the_network_s_own(model):
    with torch.no_grad():
        h, stream = model.stem(X[None]), []
        for block, code, D in zip(model.blocks, planar.codes(model, X), planar.matrices(model, X), strict=True):
            assert np.allclose(code, block.branch[:2](h)[0])
            stream.append(np.allclose(skip_dictionaries.residual_dictionary(D) @ h[0].numpy(), block(h)[0]))
            h = block(h)
    assert all(stream), "I + D is the block at this input"
    A, b = splines.affine_map(model, X[None])
    assert np.isclose(planar.template(model, X) @ X.numpy() + float(b[0, 1] - b[0, 0]), torch.diff(model(X[None])).item())


@pytest.mark.parametrize("seed", SEEDS)
def test_what_the_caption_says_is_so_and_the_figure_is_drawn_twice(seed):
    figure = views.draw(seed)
    assert all(figure.findings.values()) and len(figure.findings) == 3
    page = figures.page(figure)
    assert page.count("<svg") == 2 and "deepatoms-narrow" in page
    assert all(name in page for name in ("frame potential", "ML-CSC", "skip dictionaries", "splines", "ResNEsts"))


def test_a_network_without_skips_would_be_told_apart():
    """The same matrices without the identity have a vanishing singular value: the panel is no decoration."""
    terms = planar.matrices(views.trained(0), X)
    assert skip_dictionaries.singular_values(terms)[:, -1].min() < 1e-12


@pytest.mark.parametrize(("room", "name", "change", "broken"), [
    (planar, "risks", lambda found: [*found[:-1], 2 * found[0]], "the best linear predictor errs less"),
    (skip_dictionaries, "residual_dictionary", lambda found: found * np.array([0, 1, 1])[:, None, None],
     "the identity lifts the least singular value"),
    (planar, "codes", lambda found: np.vstack([found[:-1], np.ones(planar.UNITS)]), "in every block some unit is off")])
def test_what_the_caption_says_is_found_false_of_a_network_of_which_it_is_so_in_all_blocks_but_one(
        monkeypatch, room, name, change, broken):
    real = getattr(room, name)
    monkeypatch.setattr(room, name, lambda *given: change(real(*given)))
    findings = views.draw(0).findings
    assert [said.startswith(broken) for said, held in findings.items() if not held] == [True]


def test_each_block_is_named_under_the_middle_of_its_bars_and_its_units_are_on_or_crossed():
    figure = views.draw(0)
    axes = next(axes for axes in figure.axes if axes.get_title() == "ML-CSC")
    bars = np.array([bar.get_x() + bar.get_width() / 2 for bar in axes.patches]).reshape(planar.BLOCKS, planar.UNITS)
    half = (planar.UNITS - 1) / 2
    assert np.abs(np.array(axes.get_xticks()) - bars.mean(1)).max() < half / 2
    assert [label.get_text() for label in axes.get_xticklabels()] == ["block 1", "block 2", "block 3"]
    crossed = np.concatenate([line.get_xdata() for line in axes.lines])
    off = bars.ravel()[[bar.get_height() == 0 for bar in axes.patches]]
    assert sorted(crossed) == pytest.approx(sorted(off))
    assert figure.get_figwidth() < 8, "the column of a page is no wider"


def panel(title):
    return next(axes for axes in views.draw(0).axes if axes.get_title() == title)


def test_the_network_s_parts_stand_in_order_each_led_to_the_next_and_each_block_has_its_arc():
    axes = next(axes for axes in views.draw(0).axes if any(text.get_text() == "scores" for text in axes.texts))
    names = {text.get_text(): text.get_position()[1] for text in axes.texts if text.get_text()}
    heights = [names[name] for name in ("input", "block 1", "block 2", "block 3", "scores")]
    assert heights == sorted(heights, reverse=True) and len(names) == 6
    arrows = [text for text in axes.texts if not text.get_text()]
    ends = [(arrow.xyann[1], arrow.xy[1]) for arrow in arrows]
    for (start, end), above, below in zip(ends[:4], heights, heights[1:], strict=False):
        assert above > start > end > below and above - start == pytest.approx(end - below)
    for (start, end), height in zip(ends[4:], heights[1:-1], strict=True):
        assert start > height > end and start - height == pytest.approx(height - end)


def test_the_regions_drawn_fill_the_box_and_the_arrow_goes_along_the_template():
    axes = panel("splines")
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    polygons = [line.get_xydata() for line in axes.lines if line.get_linewidth() == 0.5]
    assert all((polygon[0] == polygon[-1]).all() for polygon in polygons)
    areas = [abs(np.linalg.det(np.stack([polygon[:-1], polygon[1:]], -1)).sum()) / 2 for polygon in polygons]
    assert sum(areas) == pytest.approx((right - left) * (high - low), rel=0.01)
    arrow, row = next(text for text in axes.texts if hasattr(text, "arrow_patch")), planar.template(views.trained(0), X)
    along = np.array(arrow.xy) - arrow.xyann
    assert along @ row == pytest.approx(np.linalg.norm(along) * np.linalg.norm(row)) and arrow.xyann == pytest.approx(views.AT)


def test_the_curves_are_the_singular_values_with_and_without_the_identity_and_the_bars_the_risks():
    model, lines = views.trained(0), panel("skip dictionaries").lines
    terms = planar.matrices(model, X)
    for marker, matrices in (("o", skip_dictionaries.residual_dictionary(terms)), ("x", terms)):
        drawn = [line.get_ydata() for line in lines if line.get_marker() == marker and len(line.get_ydata())]
        assert np.allclose(drawn, skip_dictionaries.singular_values(matrices))
    bars = [bar.get_height() for bar in panel("ResNEsts").patches]
    assert np.allclose(bars, planar.risks(model, *views.moons.moons(0)))


def test_the_dictionary_is_shown_by_its_entries_sizes_and_the_codes_by_their_own():
    model, (image,) = views.trained(0), panel("frame potential").images
    assert np.allclose(image.get_array(), abs(planar.dictionary(model))) and image.get_clim()[1] == 1
    assert (planar.dictionary(model) < 0).any(), "a sign would be seen"
    heights = [bar.get_height() for bar in panel("ML-CSC").patches]
    assert np.allclose(heights, np.concatenate(planar.codes(model, X)))
