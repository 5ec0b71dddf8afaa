"""The press: normal form, refused parameters, regress that notices what changed."""

import json
import os
import pathlib
import platform
import re
import subprocess
import sys
from importlib.metadata import version

import joblib
import nbformat
import pytest
import torch
import yaml
from nbformat.sign import NotebookNotary

from deepatoms.press import __main__ as press
from deepatoms.press import arithmetic, checkout, lab, notebooks, portable, regress, template

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


def test_an_error_left_by_an_earlier_run_does_not_stop_the_store(chapter, tmp_path):
    left = nbformat.v4.new_output("error", ename="NameError", evalue="x", traceback=["Traceback"])
    mended = edited(chapter, tmp_path, lambda notebook: notebook.cells[1].outputs.append(left))
    notebooks.store(mended)
    assert mended.read_bytes() == chapter.read_bytes()


def test_a_pasted_picture_is_refused_by_name_and_the_file_stays(chapter, tmp_path):
    def paste(notebook):
        notebook.cells.append(nbformat.v4.new_markdown_cell("![](attachment:sketch.png)",
                                                            attachments={"sketch.png": {"image/png": "AAAA"}}))
    pasted = edited(chapter, tmp_path, paste)
    before = pasted.read_bytes()
    with pytest.raises(SystemExit, match=r"attachment = 'sketch.png' .* write !\[what it shows\]\(sketch.png\)"):
        notebooks.store(pasted)
    assert pasted.read_bytes() == before


def test_a_chapter_edited_while_it_runs_keeps_the_edit(chapter, tmp_path, monkeypatch):
    path = edited(chapter, tmp_path, lambda notebook: None)
    monkeypatch.setattr(notebooks, "run", lambda path: path.write_text("newer") and nbformat.read(chapter, as_version=4))
    with pytest.raises(SystemExit, match="edited while its cells ran"):
        notebooks.store(path)
    assert path.read_text() == "newer"


def test_plain_figures_of_pyplot_are_stored_and_the_makefile_hides_none(chapter, tmp_path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    source = "import matplotlib.pyplot as plt; plt.plot([1, 2, 4]);"
    path = edited(chapter, tmp_path, lambda notebook: notebook.cells[1].update(source=source))
    notebooks.store(path)
    assert "image/png" in nbformat.read(path, as_version=4).cells[1].outputs[-1].data
    told = subprocess.run(["make", "-pn", "lab"], cwd=checkout.ROOT, check=True, capture_output=True, text=True).stdout
    assert "MPLBACKEND = agg" not in told


def outcome(**changes):
    return {"check": "dfp.eq2/two_forms", "measured": 1e-16, "result": "holds", "scale": "laptop", "seed": 0,
            "recorded": False} | changes


def compared(before, now, seed=1):
    return regress.difference(before, now, seed)


def test_regress_says_what_changed():
    assert compared(outcome(), outcome(measured=1e-15, seed=1)) == ""
    assert "now fails" in compared(outcome(), outcome(result="fails", measured=2.0))
    assert "beyond its tolerance" in compared(outcome(), outcome(measured=1e-3), seed=0)
    assert "not stored" in compared(None, outcome())


def test_regress_names_what_is_missing_and_says_under_which_arithmetic_it_ran():
    before = {("dfp.eq2/two_forms", "laptop"): outcome(), ("dfp.welch/is_bound", "laptop"): outcome(recorded=True)}
    assert regress.differences(before, {}, seed=1) == ["dfp.eq2/two_forms at laptop: stored, but not measured again"]
    said = arithmetic.sentence(arithmetic.describe())
    assert torch.backends.cpu.get_cpu_capability() in said and f"torch {version('torch')}," in said


def test_a_setting_reaches_a_process_of_its_own(monkeypatch):
    monkeypatch.setenv("MKL_CBWR", "AVX2")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    found = arithmetic.environment("aten-avx2")
    assert found["ATEN_CPU_CAPABILITY"] == "avx2" and found["OMP_NUM_THREADS"] == "1"
    assert not {"MKL_CBWR", "OPENBLAS_NUM_THREADS"} & set(found)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the names are those of x86's processors")
@pytest.mark.parametrize("setting, capability, parts", [
    ("plainest", "DEFAULT", ("SSE41", "V3 False", "V4 False", "1 threads")),
    ("avx2-processor", "AVX2", ("'ONEDNN_MAX_CPU_ISA': 'AVX2'", "V4 False", "2 threads"))])
def test_a_processor_of_another_kind_reaches_torch_and_numpy(setting, capability, parts):
    asked = ("import torch; from deepatoms.press import arithmetic; "
             "from numpy._core._multiarray_umath import __cpu_features__ as has; "
             "print(arithmetic.describe()['capability'], arithmetic.describe()['settings'], torch.get_num_threads(), 'threads', "
             "*(f'V{level} {has.get(f\"X86_V{level}\", False)}' for level in (3, 4)))")
    said = subprocess.run([sys.executable, "-c", asked], env=arithmetic.environment(setting), check=True,
                          capture_output=True, text=True).stdout
    assert said.startswith(capability) and not [part for part in parts if part not in said]


def test_chapters_that_are_named_are_the_only_ones_tested():
    named = portable.commands(checkout.chapters(["atoms"]))
    assert named["chapters"][-1].endswith("atoms.ipynb") and sum(".ipynb" in word for word in named["chapters"]) == 1
    assert named["regress"][-2:] == ["--chapter", "atoms"]


def test_the_workflow_runs_every_setting():
    workflow = yaml.safe_load((checkout.ROOT / ".github" / "workflows" / "portable.yml").read_text("utf-8"))
    assert workflow["jobs"]["portable"]["strategy"]["matrix"]["setting"] == list(arithmetic.SETTINGS)


def test_the_table_of_spreads_names_flips_and_what_leaves_its_tolerance():
    fine = {setting: outcome(measured=value) for setting, value in (("stored", 0.0), ("avx2", 1e-16))}
    moved = {"stored": outcome(check="rsc.fig2/centre", measured=1.0),
             "avx2": outcome(check="rsc.fig2/centre", measured=1.1 + 1e-9, result="fails")}
    rows = portable.table({setting: {"fine": fine[setting], "moved": moved[setting]} for setting in fine})
    assert [row["check"] for row in rows] == ["rsc.fig2/centre", "dfp.eq2/two_forms"]
    assert rows[0]["of_tolerance"] == pytest.approx(2) and rows[1]["of_tolerance"] == pytest.approx(1e-7)
    said = portable.lines(rows)
    assert said[0] == "2 checks: 2 move, 1 beyond their tolerance, 1 change result"
    assert said[1] == "rsc.fig2/centre: fails and holds"


@pytest.mark.parametrize("now, broken, good", [
    ({}, {}, True), ({"result": "fails"}, {}, False), ({"measured": 1e-8}, {}, False),
    ({}, {"dfp.eq2/two_forms": "dfp.eq2/two_forms: control = 0 holds"}, False)])
def test_portable_fails_on_a_flip_a_leap_and_a_check_that_cannot_tell(now, broken, good, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(checkout, "SITE", tmp_path / "html")
    monkeypatch.setattr(regress, "read", lambda path: {("dfp.eq2/two_forms", "laptop"): outcome()})
    monkeypatch.setattr(portable, "under", lambda setting, chapter: {
        "arithmetic": {}, "outcomes": {"dfp.eq2/two_forms": outcome(**now)}, "broken": broken})
    assert portable.write(checkout.chapters(["atoms"]), ["plainest"], tests=False) == good
    assert all(said in capsys.readouterr().out for said in broken.values())
    assert json.loads((tmp_path / "portable.json").read_text())["checks"][0]["check"] == "dfp.eq2/two_forms"


def test_the_template_has_every_part_of_a_chapter():
    made = template.chapter("atoms")
    assert [cell.metadata.get("tags") for cell in made.cells if cell.cell_type == "code"] == [
        ["hide-cell", "parameters"], None, ["nbval-check-output"]]
    assert sum(cell.source.startswith("## ") for cell in made.cells) == 7


def test_an_unknown_chapter_is_refused_with_the_known_ones():
    with pytest.raises(SystemExit, match="chapter = 'nowhere'"):
        checkout.chapters(["nowhere"])


def test_a_report_is_plain_data(tmp_path, monkeypatch):
    monkeypatch.setattr(checkout, "SITE", tmp_path / "html")
    report = {"profile": "laptop", "device": "cpu (x86_64)", "chapters": []}
    assert json.loads(regress.write(report).read_text()) == report


def test_regress_names_a_figure_whose_finding_does_not_hold(monkeypatch):
    monkeypatch.setattr(regress, "read", lambda path: {})
    report = regress._compare(pathlib.Path("atoms.ipynb"), {}, {"the line falls": False, "it is a line": True}, "", 1.0, 1)
    assert report["broken"] == ["figure: not in this run: the line falls"]


@pytest.mark.parametrize("profile, given, seen", [("full", "here", "here"), ("full", None, "empty"), ("laptop", "here", "kept")])
def test_regress_reads_no_records_or_those_it_is_given(tmp_path, monkeypatch, profile, given, seen):
    read = []
    monkeypatch.setenv(regress.results.FOLDER, str(tmp_path / "kept"))
    monkeypatch.setattr(regress.notebooks, "run", lambda path, **parameters: read.append(os.environ[regress.results.FOLDER]))
    monkeypatch.setattr(regress, "stored", lambda done: {})
    monkeypatch.setattr(regress.figures, "findings", lambda done: {})
    path = checkout.ROOT / "notebooks" / "atoms.ipynb"
    with joblib.parallel_config("sequential"):
        regress.regress([path], 1, profile, "cpu", given and str(tmp_path / given))
    assert read == [str(tmp_path / seen)] if seen != "empty" else not pathlib.Path(read[0]).exists()


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


@pytest.mark.parametrize("path", checkout.chapters(), ids=lambda path: path.stem)
def test_a_reader_s_copy_has_no_markup_of_the_site_left(path, tmp_path):
    made = lab.readable(nbformat.read(path, as_version=4))
    texts = [cell.source for cell in made.cells if cell.cell_type == "markdown"]
    assert not [text for text in texts if re.search(r"\{\w+\}`|^(`{3,}|:{3,})\{|\$\$ \(", text, re.MULTILINE)]
    links = {link for text in texts for link in re.findall(r"\]\((\.\./lib/[^)]+)\)", text)}
    assert links and all((checkout.NOTEBOOKS / link).exists() for link in links)
    assert not [text for text in texts if re.search(r"\[`[^`]+`\]\(\.\./lib/", text)], "code in a link does not look like one"


@pytest.mark.parametrize("path", checkout.chapters(), ids=lambda path: path.stem)
def test_a_reader_s_copy_folds_set_up_and_solutions_and_says_how_it_comes_alive(path):
    made = lab.readable(nbformat.read(path, as_version=4))
    assert made.cells[0].source.endswith(lab.STORED)
    folds = {name: [cell.metadata.get("jupyter", {}) for cell in made.cells
                    if cell.cell_type == "code" and name in cell.metadata.get("tags", ())]
             for name in ("parameters", "hide-cell", "solution")}
    assert folds["parameters"] == [{}], "what a reader may set is in sight"
    assert len(folds["hide-cell"]) > 1 and all(fold["source_hidden"] for fold in folds["hide-cell"][1:])
    assert folds["solution"] and all(fold["outputs_hidden"] for fold in folds["solution"])


def test_a_reader_s_copy_is_trusted_and_kept(chapter, tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    assert "fresh copy" in lab.working_copy(chapter, tmp_path / "work")
    copy = tmp_path / "work" / chapter.name
    assert NotebookNotary().check_signature(nbformat.read(copy, as_version=4))
    notebook = nbformat.read(copy, as_version=4)
    notebook.cells[1].source = "mine"
    nbformat.write(notebook, copy)
    assert "is yours and stays" in lab.working_copy(chapter, tmp_path / "work")
    assert nbformat.read(copy, as_version=4).cells[1].source == "mine"
