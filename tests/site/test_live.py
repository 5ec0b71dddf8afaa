"""Live figures compute what the library computes, answer at once, and are worked by mouse, touch and keyboard."""

import json
import pathlib

import numpy as np
import pytest
import torch

from deepatoms.learning import networks
from deepatoms.learning.networks.export import encoded
from deepatoms.pages import figures
from deepatoms.pages.live import SCRIPTS, page
from deepatoms.theory import splines

WEB = pathlib.Path(__file__).parents[2] / "book" / "web"
SHELL = """<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Live figures</title><link rel="icon" href="data:,"><link rel="stylesheet" href="live/live.css">
{scripts}</head><body><main><h1>Live</h1>{figure}</main></body></html>"""
KINDS = {"skips": lambda: networks.residual_cnn((1, 8, 8), widths=(8, 16), blocks=2), "pooling": networks.digits_cnn}


def model_of(kind):
    """A network with statistics of its own, as after training, in float64."""
    generator = torch.Generator().manual_seed(7)
    torch.manual_seed(7)
    model = KINDS[kind]()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    return model.eval().requires_grad_(False).double()


def images(count):
    draw = np.random.default_rng(3)
    return torch.from_numpy(draw.random((count, 1, 8, 8)) * (draw.random((count, 1, 8, 8)) < 0.6))


@pytest.fixture(scope="module", params=KINDS)
def drawn(request, tmp_path_factory, serve):
    """A page with the figure of one network: (address, model)."""
    folder, model = tmp_path_factory.mktemp("live"), model_of(request.param)
    figure, axes = figures.subplots()
    axes.plot([0, 1])
    still = figures.describe(figure, "Scores glide, templates jump.", "A rising line in place of a digit")
    examples = {str(label): [encoded(each) for each in images(2 * label + 2)[-2:]] for label in range(10)}
    data = {"layers": networks.as_layers(model), "shape": [1, 8, 8], "examples": examples, "first": 7}
    scripts = "".join(f'<script defer src="live/{name}"></script>' for name in ("kit.js", *SCRIPTS["draw-a-digit"]))
    (folder / "index.html").write_text(SHELL.format(scripts=scripts, figure=page("draw-a-digit", still, data)))
    (folder / "live").mkdir()
    for path in (WEB / "live").iterdir():
        (folder / "live" / path.name).write_bytes(path.read_bytes())
    return serve(folder), model


@pytest.fixture
def opened(open_page, drawn):
    page = open_page(drawn[0])
    page.wait_for_selector(".deepatoms-pad")
    return page


def test_a_hundred_images_have_the_library_s_scores_templates_codes_and_walls(opened, drawn):
    model, x = drawn[1], images(100)
    direction = torch.from_numpy(np.random.default_rng(5).normal(size=x.shape))
    found = opened.evaluate("""([images, directions]) => images.map((image, i) => {
        const read = document.querySelector(".deepatoms-live").api.read(image);
        return {scores: [...read.scores], templates: read.templates.map(row => [...row]),
                codes: read.codes.flatMap(layer => [...layer]), wall: read.wall(Float64Array.from(directions[i]))};
    })""", [x.flatten(1).tolist(), direction.flatten(1).tolist()])
    A, _ = splines.affine_map(model, x)
    np.testing.assert_allclose([each["scores"] for each in found], model(x), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose([each["templates"] for each in found], A.flatten(2), rtol=1e-9, atol=1e-11)
    np.testing.assert_array_equal([each["codes"] for each in found], splines.trace(model, x).codes)
    np.testing.assert_allclose([each["wall"] for each in found], splines.distance_to_break(model, x, direction), rtol=1e-9)


def test_a_stroke_is_answered_within_50_milliseconds(opened):
    # The 95th percentile of a round; the best of three rounds, since other tests share the processor.
    took = min(opened.evaluate("""() => {
        const api = document.querySelector(".deepatoms-live").api, times = [];
        for (let turn = 0; turn < 40; turn++) {
            const image = Array.from({length: 64}, (_, i) => ((i * 7 + turn * 13) % 64) / 64), before = performance.now();
            api.change(image);
            document.body.getBoundingClientRect();
            times.push(performance.now() - before);
        }
        return times.sort((a, b) => a - b)[37];
    }""") for _ in range(3))
    assert took < 50, f"{took:.0f} ms"


def answer(page):
    return page.get_by_role("status").inner_text()


def test_the_mouse_draws_and_the_templates_move_with_it(opened):
    opened.get_by_role("button", name="Clear").click()
    assert answer(opened).startswith("The pad is empty")
    box = opened.locator(".deepatoms-pad").bounding_box()
    opened.mouse.move(box["x"] + box["width"] / 2, box["y"] + 10)
    opened.mouse.down()
    opened.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 10, steps=8)
    opened.mouse.up()
    assert "units changed code" in answer(opened) and "the next wall is" in answer(opened)
    ink = opened.evaluate("() => document.querySelector('.deepatoms-live').api.state().direction.some(value => value > 0)")
    assert ink
    before = answer(opened)
    opened.get_by_role("button", name="Add noise").click()
    assert answer(opened) != before


def test_the_keyboard_draws_and_erases(opened):
    opened.get_by_role("button", name="Clear").click()
    pad = opened.get_by_role("application")
    pad.press("ArrowRight")
    assert answer(opened) == "Column 5, row 4."
    pad.press(" ")
    assert "It reads" in answer(opened) and "empty" not in answer(opened)
    pad.press("Delete")
    assert "empty" in answer(opened)
    opened.get_by_role("button", name="7", exact=True).press("Enter")
    assert "empty" not in answer(opened)


def test_touch_draws_on_a_phone_and_nothing_sticks_out(open_page, drawn):
    page = open_page(drawn[0], viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page.wait_for_selector(".deepatoms-pad")
    page.get_by_role("button", name="Clear").tap()
    box = page.locator(".deepatoms-pad").bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert "It reads" in answer(page) and "empty" not in answer(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_without_a_script_and_in_print_the_still_picture_shows(open_page, drawn):
    page = open_page(drawn[0], java_script_enabled=False)
    assert page.locator(".deepatoms-still svg").is_visible()
    live = open_page(drawn[0])
    live.wait_for_selector(".deepatoms-pad")
    assert not live.locator(".deepatoms-still svg").is_visible()
    live.emulate_media(media="print")
    assert live.locator(".deepatoms-still svg").is_visible() and not live.locator(".deepatoms-pad").is_visible()


def test_what_cannot_be_computed_is_said_and_the_figure_lives_on(opened):
    opened.evaluate("""() => {
        deepatomsNetwork.kept = deepatomsNetwork.read;
        deepatomsNetwork.read = () => { throw new Error("broken"); };
    }""")
    opened.get_by_role("button", name="Clear").click()
    assert answer(opened) == "This could not be computed: broken"
    opened.evaluate("() => { deepatomsNetwork.read = deepatomsNetwork.kept; }")
    opened.get_by_role("button", name="3", exact=True).click()
    assert "It reads" in answer(opened)


def test_the_scripts_are_small():
    sizes = {path.name: path.stat().st_size for path in (WEB / "live").glob("*.js")}
    assert sizes["kit.js"] <= 40_000 and all(size <= 25_000 for size in sizes.values())


def test_data_and_names_that_a_page_cannot_take_are_refused():
    figure, axes = figures.subplots()
    axes.plot([0, 1])
    with pytest.raises(ValueError, match="still = .* has no caption"):
        page("draw-a-digit", figure, {})
    still = figures.describe(figure, "One.", "A line")
    with pytest.raises(ValueError, match="name = 'draw' is unknown; choose one of 'draw-a-digit'"):
        page("draw", still, {})
    with pytest.raises(ValueError, match="more than the 400,000 of a page"):
        page("draw-a-digit", still, {"padding": "x" * 400_000})
    assert "\\u003cscript" in page("draw-a-digit", still, {"text": "<script>"}) and json.loads("{}") == {}
