"""The book's Sphinx extension: mathematics served by the site itself, equations under their papers' numbers, what folds."""

import ast
import importlib.util
import pathlib
import re
import shutil

from docutils import nodes

from deepatoms.pages.live import SCRIPTS

EQUATION = re.compile(r"(dfp|rsc|spl|csc|nest)-eq-(.+)")
# Calls whose output is all that a reader wants, and the titles of sections that wait under their heading: the list of claims,
# told again with verdicts at the chapter's end, and minor measurements.
SHOWING = ("figures.show", "tables.show", "chapter.check", "chapter.verdicts", "explore", "live", "print")
FOLDED = ("The claims", "More measurements")
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
    app.connect("doctree-read", join_set_up)
    app.connect("doctree-read", fold_calls)
    app.connect("doctree-read", fold_more)
    app.connect("html-page-context", leave_scripts)
    app.connect("build-finished", copy_mathjax)
    app.connect("build-finished", mend_pages)
    app.connect("build-finished", copy_icon)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def number_equations(app, doctree):
    """Give an equation labelled ``spl-eq-7`` the number "spl 7": the paper's own, with the paper's key."""
    domain = app.env.get_domain("math")
    for equation in doctree.findall(nodes.math_block):
        if match := EQUATION.fullmatch(equation.get("label") or ""):
            equation["number"] = f"{match[1]} {match[2]}"
            domain.equations[equation["label"]] = (app.env.docname, equation["number"])


def leave_scripts(app, name, template, context, doctree):
    """Leave the scripts of live figures to the pages that show them."""
    shown = re.findall(r'data-live="([\w-]+)"', context.get("body", ""))
    needed = {f"live/{script}" for live in shown for script in ("kit.js", *SCRIPTS[live])}
    others = [script for script in context["script_files"] if not _place(script).startswith("live/")]
    context["script_files"] = others + [script for script in context["script_files"] if _place(script) in needed]


def _place(script):
    return str(getattr(script, "filename", script)).partition("_static/")[2]


def join_set_up(app, doctree):
    """Put a hidden cell without outputs into the hidden one before it: the reader has one line to open, not two."""
    for cell in list(doctree.findall(nodes.container)):
        before = cell.previous_sibling() if _hidden(cell) else None
        if before is not None and _hidden(before):
            before.extend(cell.children)
            cell.parent.remove(cell)


def _hidden(node):
    return (isinstance(node, nodes.container) and node.get("hide_mode") == "all"
            and all(part.get("nb_element") == "cell_code_source" for part in node.children))


def fold_calls(app, doctree):
    """Put code behind a small button where what it shows says what it says: a figure, a table, an explorer, checks."""
    for cell in doctree.findall(_is_cell):
        parts = [part.get("nb_element") for part in cell.children]
        if "hide_mode" not in cell and parts == ["cell_code_source", "cell_code_output"] and _stands_for_itself(cell):
            cell["classes"].append("deepatoms-shows")
            cell.attributes |= {"hide_mode": "input", "prompt_show": "Code", "prompt_hide": "Code"}


def _stands_for_itself(cell):
    """Tell whether what a cell put out needs no code beside it; the code of a trial is there to be changed."""
    if "tag_try" in cell["classes"]:
        return False
    return only_shows(cell[0].astext()) or all(any(form.get("mime_type") == "text/html" for form in part.children
                                                   if isinstance(form, nodes.Element)) for part in cell[1].children)


def _is_cell(node):
    return isinstance(node, nodes.container) and node.get("nb_element") == "cell_code"


def only_shows(source):
    """Tell whether code is nothing but calls that stand for themselves and compute nothing for a later cell.

    >>> only_shows("figures.show(drawing.depths())"), only_shows("F = potential(D)"), only_shows("potential(D)")
    (True, False, False)
    >>> only_shows("%timeit figures.show(drawing.depths())")
    False
    """
    try:
        lines = ast.parse(source).body
    except SyntaxError:  # a magic command, or another language
        return False
    return all(isinstance(line, ast.Expr) and isinstance(line.value, ast.Call) and ast.unparse(line.value.func) in SHOWING
               for line in lines)


def fold_more(app, doctree):
    """Fold a chapter's list of claims and its minor measurements; search, print and links into them find what they hold."""
    chapter = app.env.doc2path(app.env.docname).endswith(".ipynb")
    for section in doctree.findall(nodes.section):
        if chapter and section[0].astext().startswith(FOLDED):
            section.insert(1, nodes.raw("", '<details class="deepatoms-more"><summary>Show them</summary>', format="html"))
            section.append(nodes.raw("", "</details>", format="html"))


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
