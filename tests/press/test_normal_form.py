"""What is stored of a cell, and what a reader's copy makes of it: each rule on both of its sides."""

import nbformat
import pytest

from deepatoms.press import lab, notebooks
from deepatoms.press.lab import claim_html

OUT = nbformat.v4.new_output


def stream(text, name="stdout"):
    return OUT("stream", name=name, text=text)


def stored(*outputs, **cell):
    made = nbformat.v4.new_code_cell("x", outputs=list(outputs), **cell)
    return notebooks.normal(nbformat.v4.new_notebook(cells=[made])).cells[0]


def test_pieces_of_printed_text_become_one_up_to_what_stands_between_them_and_warnings_are_told_aside(capsys):
    shown = OUT("display_data", {"text/plain": "c"})
    kept = stored(stream("a"), stream("told", "stderr"), stream("b"), shown, stream("d")).outputs
    assert [each.get("text") or each.data["text/plain"] for each in kept] == ["ab", "c", "d"]
    assert capsys.readouterr().err == "told\n"


def test_an_output_keeps_its_forms_without_addresses_and_widgets_and_a_result_its_number():
    data = {"text/plain": "<object at 0x7f12>", "text/html": "b", notebooks.WIDGET_VIEW: {"model_id": "1"}}
    shown, result = stored(OUT("display_data", data), OUT("execute_result", data, execution_count=3), execution_count=3).outputs
    assert shown.data == result.data == {"text/html": "b", "text/plain": "<object>"}
    assert "execution_count" not in shown and result.execution_count == 3
    error = OUT("error", ename="E", evalue="at 0x7f12", traceback=["T"])
    assert stored(error).outputs == [error] and stored(stream("at 0x7f12 is")).outputs[0].text == "at 0x7f12 is"
    assert stored(stream("f at 0x7f12 is")).outputs[0].text == "f is"


def test_cells_keep_their_tags_alone_and_names_that_their_text_gives_them():
    cells = [nbformat.v4.new_markdown_cell("a", metadata={"tags": ["t"], "more": 1}), nbformat.v4.new_code_cell("a"),
             nbformat.v4.new_code_cell(" \n"), nbformat.v4.new_code_cell("b", metadata={"tags": []})]
    made = notebooks.normal(nbformat.v4.new_notebook(cells=cells, metadata={"widgets": {}}))
    assert [(cell.cell_type, cell.source, dict(cell.metadata)) for cell in made.cells] == [
        ("markdown", "a", {"tags": ["t"]}), ("code", "a", {}), ("code", "b", {})]
    first, second, third = (cell.id for cell in made.cells)
    assert first[:-1] == second[:-1] and (first[-2:], second[-2:], third[-2:]) == ("-1", "-2", "-1")
    assert "outputs" not in made.cells[0] and made.metadata == notebooks.KERNEL
    text = notebooks.dumps(made)
    assert text.endswith("}\n") and notebooks.dumps(nbformat.reads(text, as_version=4)) == text


def test_all_that_is_foreign_in_a_file_s_metadata_is_named_in_order(tmp_path):
    cell = nbformat.v4.new_code_cell("x", execution_count=1, metadata={"z": 1, "a": 1, "tags": ["t"]})
    path = tmp_path / "a.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": {}, "a": 1, "b": 1}), path)
    assert notebooks.faults(path) == ["its metadata holds a, b, widgets", "its cells' metadata holds a, z"]


@pytest.mark.parametrize(("tags", "fold"), [
    (["solution"], {"source_hidden": True, "outputs_hidden": True}), (["hide-cell"], {"source_hidden": True}),
    (["hide-cell", "parameters"], {}), (["parameters"], {}), ([], {}),
    (["hide-cell", "solution"], {"source_hidden": True, "outputs_hidden": True})])
def test_a_reader_s_copy_folds_what_its_tags_say(tags, fold):
    made = lab.readable(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x", metadata={"tags": tags})]))
    assert made.cells[0].metadata.get("jupyter", {}) == fold and made.cells[0].source == "x", "and says nothing in code"


@pytest.mark.parametrize(("page", "styled"), [("<p class='deepatoms-check'>", True), ("<p class='deepatoms-line'>", True),
                                              ("<p>", False)])
def test_a_reader_s_copy_brings_the_style_of_what_needs_it(page, styled):
    cells = [nbformat.v4.new_markdown_cell("# Title"), nbformat.v4.new_markdown_cell("Text"),
             nbformat.v4.new_code_cell("x", outputs=[OUT("display_data", {"text/html": page}), stream("out")])]
    made = lab.readable(nbformat.v4.new_notebook(cells=cells))
    assert made.cells[2].outputs[0].data["text/html"] == (claim_html.style() if styled else "") + page
    assert [cell.source.endswith(lab.STORED) for cell in made.cells] == [True, False, False]


@pytest.mark.parametrize(("source", "said"), [
    ("{cite}`a,b`", "[a, b]"), ("{doc}`../notebooks/atoms`", "[atoms](../notebooks/atoms.ipynb)"),
    ("{doc}`../book/start`", "[start](../book/start.md)"),
    ("{mod}`deepatoms.theory`", "[deepatoms.theory](../lib/deepatoms/theory/__init__.py)"),
    (":::{admonition} Note\nOne.\n\nTwo.\n:::", "> **Note**\n>\n> One.\n>\n> Two.")])
def test_the_book_s_markup_becomes_markdown(source, said):
    assert lab.markdown(source) == said


def test_a_name_that_no_file_holds_is_refused():
    with pytest.raises(SystemExit, match=r"name = 'numpy.linalg' is in no file of lib/"):
        lab.markdown("{func}`numpy.linalg`")
