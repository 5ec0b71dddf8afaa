"""The book's Sphinx extension: mathematics served by the site itself, equations under their papers' numbers."""

import importlib.util
import pathlib
import re
import shutil

from docutils import nodes

EQUATION = re.compile(r"(dfp|rsc|spl|csc|nest)-eq-(.+)")
# What MathJax may ask for beyond its first file: fonts, rarely used macros, and its accessibility menu.
MATHJAX = ("tex-chtml.js", "output/chtml", "input/tex", "a11y", "sre", "ui")


def setup(app):
    """Register the extension with Sphinx."""
    app.config.mathjax_path = "mathjax/tex-chtml.js"
    app.connect("doctree-read", number_equations)
    app.connect("build-finished", copy_mathjax)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def number_equations(app, doctree):
    """Give an equation labelled ``spl-eq-7`` the number "spl 7": the paper's own, with the paper's key."""
    domain = app.env.get_domain("math")
    for equation in doctree.findall(nodes.math_block):
        if match := EQUATION.fullmatch(equation.get("label") or ""):
            equation["number"] = f"{match[1]} {match[2]}"
            domain.equations[equation["label"]] = (app.env.docname, equation["number"])


def copy_mathjax(app, failure):
    """Copy MathJax from the installed package into the site, so that no page asks another host for it."""
    if failure is not None or app.builder.format != "html":
        return
    source = pathlib.Path(importlib.util.find_spec("sphinx-mathjax-offline").origin).parent / "static" / "mathjax"
    target = pathlib.Path(app.outdir) / "_static" / "mathjax"
    if target.exists():
        return
    for name in MATHJAX:
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name)
        else:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, target / name)
