"""Explorers in a real browser: by keyboard, pointer and touch, printed, without a script, and in JupyterLab."""

import gzip
import os
import pathlib
import re
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
import numpy as np
import pytest

from deepatoms.pages import figures
from deepatoms.pages.explore import Explorer

WEB = pathlib.Path(__file__).parents[2] / "book" / "web"
SHELL = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>Explorers</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="explore.css"><script defer src="explore.js"></script></head><body>{}</body></html>"""


def waves(depth, sigma):
    figure, axes = figures.subplots()
    x = np.linspace(0, 6, 200)
    axes.plot(x, sigma * np.sin(depth * x))
    axes.set(ylim=(-2, 2), xlabel="x", ylabel=r"$\mu$")
    return figures.describe(figure, f"depth {depth}, sigma {sigma}", f"A wave of {depth} bends and height {sigma}")


def bars(count):
    figure, axes = figures.subplots()
    axes.bar(range(count), range(1, count + 1))
    return figures.describe(figure, f"{count} bars of $k$", f"{count} rising bars")


def words(kind, count):
    figure, axes = figures.subplots()
    axes.bar(range(count), range(count))
    return figures.describe(figure, f"{kind} of {count}", f"{count} bars, {kind}")


@pytest.fixture(scope="module")
def address(tmp_path_factory, serve):
    folder = tmp_path_factory.mktemp("explorers")
    pages = [Explorer(waves, {"depth": [1, 2, 4], "sigma": [0.5, 1.0, 1.5]}).page(), Explorer(bars, {"count": [2, 3, 5]}).page(),
             Explorer(words, {"kind": ["chain", "residual"], "count": [2, 3, 5, 7]}, {"kind": "residual", "count": 5}).page()]
    (folder / "index.html").write_text(SHELL.format("\n".join(pages)))
    for name in ("explore.js", "explore.css"):
        (folder / name).write_text((WEB / name).read_text())
    return serve(folder)


@pytest.fixture
def page(open_page, address):
    opened = open_page(address)
    opened.wait_for_selector("input[type=range]")
    return opened


def state(page, number=0):
    """Return what an explorer shows: caption, description, drawing."""
    figure = page.locator(".deepatoms-explorer").nth(number)
    drawing = figure.locator("svg[role=img]:visible")
    return figure.locator("figcaption").inner_text(), drawing.get_attribute("aria-label"), drawing.inner_html()


def test_the_keyboard_moves_frame_caption_and_description(page):
    before, other = state(page), state(page, 1)
    page.get_by_label("depth", exact=True).focus()
    page.keyboard.press("ArrowRight")
    after = state(page)
    assert before[:2] == ("depth 1, sigma 0.5", "A wave of 1 bends and height 0.5")
    assert after[:2] == ("depth 2, sigma 0.5", "A wave of 2 bends and height 0.5") and after[2] != before[2]
    assert page.get_by_label("depth", exact=True).get_attribute("aria-valuetext") == "2"
    assert state(page, 1) == other  # the explorers do not disturb each other
    page.get_by_label("sigma", exact=True).focus()
    page.keyboard.press("End")
    assert state(page)[0] == "depth 2, sigma 1.5"
    page.keyboard.press("Home")
    assert state(page) == after


def test_every_frame_shows_what_was_drawn(page):
    for depth in (1, 2, 4):
        page.get_by_label("sigma", exact=True).fill("0")
        page.get_by_label("depth", exact=True).fill(str([1, 2, 4].index(depth)))
        expected = figures.svg(waves(depth, 0.5)).count("<text")
        assert state(page)[0] == f"depth {depth}, sigma 0.5" and state(page)[2].count("<text") == expected


def test_the_pointer_drags_the_slider(page):
    box = page.get_by_label("count", exact=True).first.bounding_box()
    page.mouse.move(box["x"] + 8, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 2, box["y"] + box["height"] / 2, steps=5)
    page.mouse.up()
    assert state(page, 1)[1] == "5 rising bars"


def test_touch_moves_the_slider_on_a_phone(open_page, address):
    page = open_page(address, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page.wait_for_selector("input[type=range]")
    box = page.get_by_label("depth", exact=True).bounding_box()
    assert box["height"] >= 24
    page.touchscreen.tap(box["x"] + box["width"] - 4, box["y"] + box["height"] / 2)
    assert state(page)[0] == "depth 4, sigma 0.5"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_key_press_redraws_within_50_milliseconds(page, took):
    page.get_by_label("depth", exact=True).focus()
    assert took(page, """turn => {
        const range = document.activeElement;
        range.value = (turn + 1) % 3;
        range.dispatchEvent(new Event("input", {bubbles: true}));
    }""", 9) < 50


def test_it_opens_where_it_was_told_and_words_are_buttons(page):
    assert state(page, 2)[0] == "residual of 5"
    assert page.get_by_role("radio", name="residual").is_checked()
    page.get_by_role("radio", name="residual").press("ArrowLeft")
    assert state(page, 2)[0] == "chain of 5"
    page.get_by_role("radio", name="residual").check()
    assert state(page, 2)[0] == "residual of 5"


def test_the_button_plays_to_the_end_and_again_and_pauses(page):
    figure = page.locator(".deepatoms-explorer").nth(2)
    figure.get_by_role("button", name="Play count").click()
    figure.get_by_role("button", name="Pause count").wait_for()
    page.wait_for_function("() => document.querySelectorAll('figcaption')[2].textContent === 'residual of 7'")
    figure.get_by_role("button", name="Play count").click()
    page.wait_for_function("() => document.querySelectorAll('figcaption')[2].textContent === 'residual of 3'")
    figure.get_by_role("button", name="Pause count").click()
    page.wait_for_timeout(800)
    assert state(page, 2)[0] == "residual of 3"


def test_where_motion_is_unwanted_nothing_plays(open_page, address):
    page = open_page(address, reduced_motion="reduce")
    page.wait_for_selector("input[type=range]")
    assert page.get_by_role("button").count() == 0


def test_the_caption_is_announced_and_controls_are_labelled(page):
    assert page.locator("figcaption").first.get_attribute("aria-live") == "polite"
    for control in page.locator("input[type=range]").all():
        assert page.locator(f"label[for={control.get_attribute('id')}]").inner_text()


def test_ink_follows_the_page(page):
    page.evaluate("document.body.style.color = 'rgb(1, 2, 3)'")
    assert page.locator("svg text").first.evaluate("text => getComputedStyle(text).fill") == "rgb(1, 2, 3)"


def test_printing_shows_the_current_frame(page):
    page.get_by_label("count", exact=True).first.press("ArrowRight")
    page.emulate_media(media="print")
    assert page.locator("svg[role=img]:visible").nth(1).is_visible() and state(page, 1)[1] == "3 rising bars"
    assert not page.get_by_label("count", exact=True).first.is_visible()


def test_without_a_script_the_first_frame_shows(open_page, address):
    page = open_page(address, java_script_enabled=False)
    assert page.locator("svg[role=img]:visible").count() == 3 and page.locator("input").count() == 0
    assert page.get_by_text("depth 1, sigma 0.5").is_visible()


# ---- on the built page ----

@pytest.fixture(params=["light", "dark"])
def chapter(request, open_page, site):
    opened = open_page(site + "notebooks/atoms.html", color_scheme=request.param)
    opened.wait_for_function("() => document.querySelectorAll('.deepatoms-controls').length === 2")
    # Explorers of what a live figure shows too wait in a fold.
    opened.evaluate("() => document.querySelectorAll('main details:has(.deepatoms-explorer)').forEach(it => { it.open = true; })")
    return opened


def test_every_control_of_the_first_chapter_moves_its_own_figure(chapter):
    for number, names in enumerate((["atoms"], ["sparsity", "noise"])):
        for name in names:
            shown, other = state(chapter, number), state(chapter, 1 - number)
            chapter.get_by_label(name, exact=True).press("ArrowRight")
            moved = state(chapter, number)
            assert all(new != old for new, old in zip(moved, shown, strict=True)), name
            assert state(chapter, 1 - number) == other


def test_figures_bring_no_background_of_their_own(chapter):
    behind = chapter.locator(".text_html:has(.deepatoms-figure)").first.evaluate("it => getComputedStyle(it).backgroundColor")
    assert behind == "rgba(0, 0, 0, 0)"


def test_the_chapter_with_its_explorers_is_light_and_fits_a_phone(browser, site):
    with browser.new_context(viewport={"width": 390, "height": 844}) as context:
        page, bodies = context.new_page(), []
        page.on("response", lambda answer: bodies.append(answer))
        page.goto(site + "notebooks/atoms.html", wait_until="networkidle")
        transferred = sum(len(gzip.compress(answer.body())) for answer in bodies if answer.ok)
        assert transferred < 1.8e6
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        for drawing in page.locator("figure svg[role=img]:visible").all():
            assert drawing.bounding_box()["width"] <= 390


# ---- in JupyterLab ----

NOTEBOOK = """from deepatoms.pages import figures
from deepatoms.pages.explore import explore

def bars(count):
    if 7 < count < 100:
        raise KeyError(count)
    figure, axes = figures.subplots()
    axes.bar(range(count), range(1, count + 1))
    return figures.describe(figure, f"{count} bars", f"{count} rising bars")

explore(bars, between=["count"], count=[2, 3, 7, 100])"""
LIVE = """from deepatoms.pages.live import live
figure, axes = figures.subplots()
axes.plot([0, 1])
live("type-a-matrix", figures.describe(figure, "A matrix", "A line"), {"start": "2 0\\n0 1"})"""


@pytest.fixture
def laboratory(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in (NOTEBOOK, LIVE)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, tmp_path / "bars.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folders = {f"JUPYTER_{kind}_DIR": str(tmp_path / kind) for kind in ("CONFIG", "DATA", "RUNTIME")}
    environment = {**os.environ, **folders, "DEEPATOMS_STATIC": "0"}
    server = subprocess.Popen(
        [pathlib.Path(sys.executable).with_name("jupyter"), "lab", "--no-browser", "--ip=127.0.0.1", f"--port={port}",
         "--allow-root", "--IdentityProvider.token=book", "--LabApp.expose_app_in_browser=True", f"--notebook-dir={tmp_path}"],
        env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(f"http://127.0.0.1:{port}/api?token=book")
        yield f"http://127.0.0.1:{port}/lab/tree/bars.ipynb?reset&token=book"
    finally:
        server.terminate()
        server.wait(20)


def _wait_for(address, seconds=60):
    for _ in range(seconds * 2):
        try:
            return urllib.request.urlopen(address).read()
        except OSError:
            time.sleep(0.5)
    raise TimeoutError(f"{address} did not answer within {seconds} s")


def test_in_jupyterlab_the_same_explorer_moves_and_computes_what_lies_between_and_a_live_figure_answers(browser, laboratory):
    page = browser.new_context().new_page()
    page.goto(laboratory)
    page.wait_for_function("""() => {
      const kernel = document.querySelector(".jp-NotebookPanel .jp-KernelName");
      const indicator = document.querySelector(".jp-NotebookPanel .jp-Notebook-ExecutionIndicator");
      return kernel && !kernel.textContent.includes("No Kernel") && indicator?.dataset.status === "idle";
    }""", timeout=60_000)
    prompt = page.locator(".jp-CodeCell .jp-InputPrompt").first
    for _ in range(30):  # the first order can come before the kernel listens
        if prompt.inner_text().strip() != "[ ]:":
            break
        page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")
        page.wait_for_timeout(2000)
    slider = page.locator(".jp-OutputArea-output input[type=range]")
    slider.wait_for(timeout=60_000)
    assert page.locator(".jp-OutputArea-output svg[role=img]:visible").count() == 1
    page.get_by_label("count", exact=True).focus()
    page.keyboard.press("ArrowRight")
    assert state(page)[:2] == ("3 bars", "3 rising bars")
    page.keyboard.press("ArrowRight")  # 4 was not stored: the kernel draws it
    page.locator("figcaption", has_text=re.compile("^4 bars$")).wait_for(timeout=30_000)
    assert state(page)[1] == "4 rising bars"
    page.get_by_label("count", exact=True).fill("6")  # 30: the function raises, the reader is told
    page.locator("figcaption", has_text="could not be drawn: KeyError: 30").wait_for(timeout=30_000)
    page.get_by_label("count", exact=True).fill("3")  # and the explorer lives on
    page.locator("figcaption", has_text=re.compile("^6 bars$|^5 bars$")).wait_for(timeout=30_000)
    page.get_by_role("textbox", name="The matrix D, one row a line").fill("-1 0\n0 -1")
    assert "it falls from 2 to 0, because D has the eigenvalue −1" in page.locator(".deepatoms-answer").inner_text()
    page.context.close()
