"""Pages with one live figure each, for the tests."""

import pathlib
import shutil

from deepatoms.pages import figures
from deepatoms.pages.live import SCRIPTS, page

WEB = pathlib.Path(__file__).parents[2] / "book" / "web"
SHELL = """<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Live figures</title><link rel="icon" href="data:,"><link rel="stylesheet" href="live/live.css">
{scripts}</head><body><main><h1>Live</h1>{figure}</main></body></html>"""
API = "document.querySelector('.deepatoms-live').api"


def written(folder, name, data):
    """Write a page with one live figure and everything that it needs into a folder."""
    figure, axes = figures.subplots()
    axes.plot([0, 1])
    still = figures.describe(figure, "Scores glide, templates jump.", "A rising line in place of a digit")
    scripts = "".join(f'<script defer src="live/{script}"></script>' for script in ("kit.js", *SCRIPTS[name]))
    (folder / "index.html").write_text(SHELL.format(scripts=scripts, figure=page(name, still, data)))
    shutil.copytree(WEB / "live", folder / "live")
    return folder


def answer(opened):
    return opened.get_by_role("status").inner_text()
