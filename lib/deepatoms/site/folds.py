"""What a chapter's page folds: the set-up, code that only shows, code to change in JupyterLab, solutions, minor sections.

Search, print and links find what a fold holds.
"""

import ast

from docutils import nodes
from sphinx_design.shared import is_component

# Calls whose output is all that a reader wants, and the titles of sections that wait under their heading: the list of claims,
# told again with verdicts at the chapter's end, minor measurements, and explorers beside the best one.
SHOWING = ("figures.show", "tables.show", "chapter.check", "chapter.verdicts", "explore", "live", "print")
FOLDED = ("The claims", "More measurements", "More to explore")
LONG = 6  # lines of code that a reader takes in beside what they print


def setup(app):
    """Register the extension with Sphinx."""
    for fold in (join_set_up, fold_solutions, fold_work, fold_calls, fold_more):
        app.connect("doctree-read", fold)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def join_set_up(app, doctree):
    """Put a hidden cell without outputs into the hidden one before it: the reader has one line to open, not two."""
    for cell in list(doctree.findall(nodes.container)):
        before = cell.previous_sibling() if _hidden(cell) else None
        if _hidden(cell):
            cell.attributes |= _prompts("The set-up")
        if before is not None and _hidden(before):
            before.extend(cell.children)
            cell.parent.remove(cell)


def _hidden(node):
    return (isinstance(node, nodes.container) and node.get("hide_mode") == "all"
            and all(part.get("nb_element") == "cell_code_source" for part in node.children))


def _prompts(words):
    return {"prompt_show": words, "prompt_hide": words}


def fold_solutions(app, doctree):
    """Put the code of a solution into the fold that tells it; where none stands before it, name what is hidden."""
    for cell in list(doctree.findall(_is_cell)):
        if "tag_solution" not in cell["classes"]:
            continue
        if is_component(before := cell.previous_sibling(), "dropdown"):
            cell.parent.remove(cell)
            cell.attributes.pop("hide_mode", None)
            before.append(cell)
        else:
            cell.attributes |= _prompts("The answer")


def fold_work(app, doctree):
    """Fold what is worked with in JupyterLab, where it can run: the code of a trial, and the checker of an exercise."""
    for cell in doctree.findall(_shows_something):
        if "tag_try" in cell["classes"]:
            cell.attributes |= {"hide_mode": "input", **_prompts("The code to change")}
        elif cell[0].astext().startswith("def ") and not _is_drawn(cell[1]):
            cell.attributes |= {"hide_mode": "input", **_prompts("The checker and its first try")}


def fold_calls(app, doctree):
    """Put code behind a small button where what it shows says what it says: a figure, a table, an explorer, checks."""
    for cell in doctree.findall(_shows_something):
        code = cell[0].astext()
        if only_shows(code) or _is_drawn(cell[1]) or len(code.splitlines()) > LONG:
            cell["classes"].append("deepatoms-shows")
            cell.attributes |= {"hide_mode": "input", **_prompts("Code")}


def _shows_something(node):
    """Tell whether a node is a cell of which nothing is folded: its code, and what that put out."""
    return (_is_cell(node) and "hide_mode" not in node and "tag_solution" not in node["classes"]
            and [part.get("nb_element") for part in node.children] == ["cell_code_source", "cell_code_output"])


def _is_drawn(output):
    return all(any(form.get("mime_type") == "text/html" for form in part.children if isinstance(form, nodes.Element))
               for part in output.children)


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
    """Fold a chapter's list of claims, its minor measurements and its further explorers."""
    chapter = app.env.doc2path(app.env.docname).endswith(".ipynb")
    for section in doctree.findall(nodes.section):
        if chapter and section[0].astext().startswith(FOLDED):
            section.insert(1, nodes.raw("", '<details class="deepatoms-more"><summary>Show them</summary>', format="html"))
            section.append(nodes.raw("", "</details>", format="html"))
