"""The book's Sphinx extension: mathematics served by the site itself, equations under their papers' numbers."""

import importlib.util
import pathlib
import re
import shutil

from docutils import nodes

from deepatoms.pages.equations import numbered
from deepatoms.pages.live import SCRIPTS

EQUATION = re.compile(r"(dfp|rsc|spl|csc|nest|lens)-.+")
# What MathJax may ask for beyond its first file: fonts, rarely used macros, and its accessibility menu.
MATHJAX = ("tex-chtml.js", "output/chtml", "input/tex", "a11y", "sre", "ui")

# What the theme and other extensions write that hinders those who listen to a page, and what should stand there.
MENDS = (
    ('<div class="sidebar-primary-items__start', '<div role="navigation" aria-label="Book" class="sidebar-primary-items__start'),
    ('<summary><span class="toctree-toggle"', '<summary aria-label="Pages of this section"><span class="toctree-toggle"'),
    (' role="doc-biblioentry"', ""),
    ('<div role="list" class="citation-list">', '<div class="citation-list">'),
)
NESTED = (("</li>\n<ul>", "\n<ul>"), ("</ul><li>", "</ul></li>\n<li>"), ("</ul></ul>", "</ul></li></ul>"))
BACK = re.compile(r'<a class="viewcode-back" href="([^"#]+)#([^"]+)"')


def setup(app):
    """Register the extension with Sphinx."""
    app.config.mathjax_path = "mathjax/tex-chtml.js"
    app.connect("doctree-read", number_equations)
    app.connect("html-page-context", leave_scripts)
    app.connect("build-finished", copy_mathjax)
    app.connect("build-finished", mend_pages)
    app.connect("build-finished", copy_icon)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def number_equations(app, doctree):
    """Give an equation with a paper's key the number that it has there, or the words of its label."""
    domain = app.env.get_domain("math")
    for equation in doctree.findall(nodes.math_block):
        if EQUATION.fullmatch(label := equation.get("label") or ""):
            equation["number"] = numbered(label)
            domain.equations[label] = (app.env.docname, equation["number"])


def leave_scripts(app, name, template, context, doctree):
    """Leave the scripts of live figures to the pages that show them."""
    shown = re.findall(r'data-live="([\w-]+)"', context.get("body", ""))
    needed = {f"live/{script}" for live in shown for script in ("kit.js", *SCRIPTS[live])}
    others = [script for script in context["script_files"] if not _place(script).startswith("live/")]
    context["script_files"] = others + [script for script in context["script_files"] if _place(script) in needed]


def _place(script):
    return str(getattr(script, "filename", script)).partition("_static/")[2]


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


def copy_icon(app, failure):
    """Copy the icon to where browsers look for it on pages that name none (the redirection in the site's root)."""
    if failure is None and app.builder.format == "html" and app.config.html_favicon:
        shutil.copyfile(pathlib.Path(app.srcdir) / app.config.html_favicon, pathlib.Path(app.outdir) / "favicon.ico")


def mend_pages(app, failure):
    """Mend on the written pages what hinders those who listen to them (a second time changes nothing)."""
    rewrite(app, failure, _mended)


def rewrite(app, failure, change):
    """Write ``change(path, text)`` in place of each written page of the book, where it differs."""
    if failure is not None or app.builder.format != "html":
        return
    out = pathlib.Path(app.outdir)
    for path in out.rglob("*.html"):
        if "_static" not in path.relative_to(out).parts:
            text = path.read_text("utf-8")
            if (written := change(path, text)) != text:
                path.write_text(written, "utf-8")


def _mended(path, text):
    mended = mend(text, MENDS + NESTED * (path.parts[-2:] == ("_modules", "index.html")))
    return BACK.sub(lambda match: _back(path, *match.groups()), mended)


def _back(path, page, anchor):
    """Lead from source back to the documentation, also where that stands under the name it is imported by."""
    documented = f'id="{anchor}"' in (path.parent / page).read_text("utf-8")
    return f'<a class="viewcode-back" href="{page}{"#" + anchor if documented else ""}"'


def mend(text, mends=MENDS):
    """Return a page with each fault replaced.

    >>> mend('<div class="citation" role="doc-biblioentry">')
    '<div class="citation">'
    """
    for fault, remedy in mends:
        text = text.replace(fault, remedy)
    return text
