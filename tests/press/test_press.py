"""The press: normal form, refused parameters, regress that notices what changed."""

import json
import subprocess

import nbformat
import pytest

from deepatoms.press import __main__ as press
from deepatoms.press import checkout, notebooks, regress, template

CELLS = [("parameters", "seed = 0"), (None, "import sys; print('one'); print('two', file=sys.stderr); print('three')"),
         (None, "object()")]


@pytest.fixture(scope="module")
def chapter(tmp_path_factory):
    path = tmp_path_factory.mktemp("notebooks") / "tiny.ipynb"
    cells = [nbformat.v4.new_code_cell(source, metadata={"tags": [tag]} if tag else {}) for tag, source in CELLS]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    notebooks.store(path)
    return path


def edited(chapter, tmp_path, edit):
    notebook = nbformat.read(chapter, as_version=4)
    edit(notebook)
    path = tmp_path / chapter.name
    path.write_text(notebooks.dumps(notebook))
    return path


def test_two_stores_are_the_same_bytes(chapter):
    before = chapter.read_bytes()
    notebooks.store(chapter)
    assert chapter.read_bytes() == before
    assert notebooks.faults(chapter) == []


def test_addresses_and_standard_error_are_not_stored(chapter):
    text = chapter.read_text()
    assert "one\\n" in text and "three" in text
    assert "0x" not in text and '"two' not in text


@pytest.mark.parametrize(("edit", "said"), [
    (lambda notebook: notebook.metadata.update(widgets={}), "widgets"),
    (lambda notebook: notebook.metadata.update(papermill={}), "papermill"),
    (lambda notebook: notebook.cells[1].metadata.update(execution={"iopub.execute_input": "now"}), "execution"),
    (lambda notebook: notebook.cells[1].update(execution_count=None, outputs=[]), "not run"),
    (lambda notebook: notebook.cells[1].update(execution_count=7), "not run"),
    (lambda notebook: notebook.cells[2].outputs.append(nbformat.v4.new_output("error", ename="E")), "error"),
    (lambda notebook: notebook.cells[2].update(id="fresh-from-lab"), "normal form"),
])
def test_a_notebook_saved_elsewhere_is_noticed(chapter, tmp_path, edit, said):
    assert any(said in fault for fault in notebooks.faults(edited(chapter, tmp_path, edit)))


def test_an_unknown_parameter_is_refused_by_name(chapter):
    with pytest.raises(SystemExit, match=r"parameter = 'sede' is not declared by tiny.ipynb; it takes seed"):
        notebooks.run(chapter, sede=1)


def test_a_failing_cell_leaves_the_file_as_it_was(chapter, tmp_path):
    broken = edited(chapter, tmp_path, lambda notebook: notebook.cells[1].update(source="1 / 0"))
    before = broken.read_bytes()
    with pytest.raises(SystemExit, match="ZeroDivisionError"):
        notebooks.store(broken)
    assert broken.read_bytes() == before


def outcome(**changes):
    return {"check": "dfp.eq2/two_forms", "measured": 1e-16, "result": "holds", "scale": "laptop", "seed": 0,
            "recorded": False} | changes


def compared(before, now, seed=1):
    return regress._difference(before, now, seed)


def test_regress_says_what_changed():
    assert compared(outcome(), outcome(measured=1e-15, seed=1)) == ""
    assert "now fails" in compared(outcome(), outcome(result="fails", measured=2.0))
    assert "beyond its tolerance" in compared(outcome(), outcome(measured=1e-3), seed=0)
    assert "not stored" in compared(None, outcome())


def test_the_template_has_every_part_of_a_chapter():
    made = template.chapter("atoms")
    assert [cell.metadata.get("tags") for cell in made.cells if cell.cell_type == "code"] == [
        ["parameters"], None, ["nbval-check-output"]]
    assert sum(cell.source.startswith("## ") for cell in made.cells) == 7


def test_an_unknown_chapter_is_refused_with_the_known_ones():
    with pytest.raises(SystemExit, match="chapter = 'nowhere'"):
        checkout.chapters(["nowhere"])


def test_a_report_is_plain_data(tmp_path, monkeypatch):
    monkeypatch.setattr(checkout, "SITE", tmp_path / "html")
    report = {"profile": "laptop", "device": "cpu (x86_64)", "chapters": []}
    assert json.loads(regress.write(report).read_text()) == report


def test_a_chapter_that_the_catalogue_lacks_is_refused_with_a_sentence():
    with pytest.raises(SystemExit, match="chapter = 'foo' is not in the catalogue; the chapters are .*atoms"):
        template.write("foo")


def git(folder, *arguments):
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.mark.parametrize(("branch", "expected"), [("main", "main"), ("work", "HEAD")])
def test_changed_chapters_are_found_without_a_local_main(tmp_path, monkeypatch, branch, expected):
    git(tmp_path, "init", "-q", "-b", branch)
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "first")
    monkeypatch.setattr(checkout, "ROOT", tmp_path)
    assert press._git("rev-parse", press._base()) == press._git("rev-parse", expected)
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", ".", clone)
    git(clone, "checkout", "-q", "-b", "topic")
    git(clone, "branch", "-D", branch)
    git(clone, "commit", "-q", "--allow-empty", "-m", "second")
    monkeypatch.setattr(checkout, "ROOT", clone)
    assert (press._git("rev-parse", press._base()) == press._git("rev-parse", "HEAD")) == (branch != "main")
