"""What a page folds, cell by cell: each rule on both of its sides."""

from types import SimpleNamespace

import pytest
from docutils import nodes, utils

from deepatoms.site import folds

HTML, TEXT = ("text/html", "text/plain"), ("text/plain",)


def cell(code, *outputs, tags=(), **attributes):
    """A cell as myst-nb makes it; each output is the list of its forms."""
    made = nodes.container("", classes=["cell", *tags], nb_element="cell_code", **attributes)
    made += nodes.container("", nodes.literal_block(code, code), nb_element="cell_code_source")
    if outputs:
        parts = [nodes.container("", *(nodes.container("", mime_type=kind) for kind in forms)) for forms in outputs]
        made += nodes.container("", *parts, nb_element="cell_code_output")
    return made


def folded(fold, *cells, path="a.ipynb"):
    page = utils.new_document("page")
    page.extend(cells)
    fold(SimpleNamespace(env=SimpleNamespace(docname="a", doc2path=lambda name: path)), page)
    return page


def prompt(fold, made):
    folded(fold, made)
    return made.get("prompt_show"), made.get("hide_mode")


@pytest.mark.parametrize(("made", "folds_away"), [
    (cell("y = 1; draw(y)", HTML), True), (cell("y = 1", TEXT), False), (cell("y = 1", HTML, TEXT), False),
    (cell("print(1)", TEXT), True), (cell("print(1); y = 2", TEXT), False), (cell("other(1)", TEXT), False),
    (cell("\n".join("a" * folds.LONG), TEXT), False), (cell("\n".join("a" * (folds.LONG + 1)), TEXT), True),
    (cell("print(1)"), False), (cell("print(1)", TEXT, hide_mode="all"), False),
    (cell("print(1)", TEXT, tags=["tag_solution"]), False)])
def test_code_is_folded_that_only_shows_is_drawn_or_is_long_and_no_other(made, folds_away):
    before = made.get("hide_mode")
    assert prompt(folds.fold_calls, made) == (("Code", "input") if folds_away else (None, before))
    assert ("deepatoms-shows" in made["classes"]) == folds_away


def test_a_trial_and_a_checker_that_prints_are_folded_by_their_names():
    assert prompt(folds.fold_work, cell("x = 1", TEXT, tags=["tag_try"])) == ("The code to change", "input")
    assert prompt(folds.fold_work, cell("def f(): pass", TEXT)) == ("The checker and its first try", "input")
    assert prompt(folds.fold_work, cell("def f(): pass", HTML)) == prompt(folds.fold_work, cell("x = 1", TEXT)) == (None, None)


def test_neighbouring_hidden_cells_become_one_and_others_stay():
    hidden, shown = ([cell(code, hide_mode="all") for code in "abd"], cell("c", TEXT, hide_mode="all"))
    page = folded(folds.join_set_up, *hidden[:2], shown, hidden[2])
    assert page.children == [hidden[0], shown, hidden[2]] and [part.astext() for part in hidden[0].children] == ["a", "b"]
    assert [each.get("prompt_show") for each in page.children] == ["The set-up", None, "The set-up"]


def test_a_solution_goes_into_the_fold_before_it_or_is_named():
    fold, inside, alone = nodes.container("", design_component="dropdown"), *(
        cell(code, TEXT, tags=["tag_solution"], hide_mode="all") for code in "ab")
    other = cell("c", TEXT, hide_mode="all")
    page = folded(folds.fold_solutions, fold, inside, other, alone)
    assert page.children == [fold, other, alone] and fold.children == [inside] and "hide_mode" not in inside
    assert alone["prompt_show"] == "The answer" and alone["hide_mode"] == "all" and "prompt_show" not in other


@pytest.mark.parametrize(("title", "path", "held"), [
    ("The claims", "a.ipynb", True), ("More to explore", "a.ipynb", True), ("Theory", "a.ipynb", False),
    ("The claims", "a.md", False)])
def test_a_chapter_s_minor_sections_are_folded_whole_beneath_their_titles(title, path, held):
    section = nodes.section("", nodes.title("", title), nodes.paragraph("", "said"))
    folded(folds.fold_more, section, path=path)
    kinds = [nodes.title, nodes.raw, nodes.paragraph, nodes.raw] if held else [nodes.title, nodes.paragraph]
    assert [type(part) for part in section.children] == kinds
    if held:
        assert section[1].astext().startswith("<details") and section[3].astext() == "</details>"
