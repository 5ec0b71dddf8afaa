"""What is measured elsewhere or again: the commands that are run, the spreads, the differences, and what fails a run."""

import json
import math
import types

import nbformat
import pytest
from nbval.plugin import NbCellError

from deepatoms.pages.chapter import METADATA
from deepatoms.press import __main__ as press
from deepatoms.press import arithmetic, checkout, lab, notebooks, pdf, portable, regress, repeat, site, template

ONE, OTHER = "dfp.eq2/two_forms", "rsc.fig2/centre"  # tolerances of 1e-9 and 0.05, both absolute


def outcome(check=ONE, **changes):
    return {"check": check, "measured": 1e-16, "control": 1.0, "result": "holds", "scale": "laptop", "seed": 0,
            "recorded": False} | changes


def done(returncode=0, stdout=""):
    return types.SimpleNamespace(returncode=returncode, stdout=stdout)


def test_a_chapter_is_measured_in_a_process_under_its_setting_whose_last_line_is_read(monkeypatch):
    asked = {}
    monkeypatch.setattr(portable.subprocess, "run", lambda command, **how: asked.update(how, command=command) or done(
        stdout='a warning\nanother\n{"outcomes": 1}\n'))
    assert portable.under("aten-avx2", "atoms") == {"outcomes": 1}
    assert asked["command"][1:] == ["-m", "deepatoms.press.portable", "atoms"] and asked["check"] is True
    assert asked["env"] == arithmetic.environment("aten-avx2")


def test_each_command_passes_by_its_own_status(monkeypatch):
    monkeypatch.setattr(portable, "commands", lambda chapters: {"good": ["0"], "bad": ["1"]})
    monkeypatch.setattr(portable.subprocess, "run", lambda command, **how: done(int(command[1])))
    assert portable.passes("default", []) == {"good": True, "bad": False}


@pytest.mark.parametrize(("values", "width", "part"), [
    ((0.0, 0.0), 0.0, 0.0), ((1.0, 1.025), 0.025, 0.5), ((1.2, 1.0, 1.1), 0.2, 4.0), ((math.inf, math.inf), 0.0, 0.0)])
def test_a_spread_is_the_distance_of_the_farthest_over_what_the_tolerance_allows(values, width, part):
    found = portable.spread({str(place): outcome(OTHER, measured=value) for place, value in enumerate(values)})
    assert (found["spread"], found["of_tolerance"]) == (pytest.approx(width), pytest.approx(part))
    assert list(found["values"].values()) == list(values) and found["results"] == ["holds"] and found["check"] == OTHER


def test_what_moves_where_nothing_may_is_beyond_every_tolerance(monkeypatch):
    monkeypatch.setattr(portable.regress, "allowed", lambda check, value: 0)
    assert portable.spread({"a": outcome(), "b": outcome(measured=1.0)})["of_tolerance"] == math.inf


def test_rows_are_in_the_order_of_what_they_use_of_their_tolerance_then_of_what_they_move(monkeypatch):
    moves = {"a": (0.5, 1e-9), "b": (2.0, 1e-9), "c": (0.5, 3.0), "d": (0.0, 0.0)}
    monkeypatch.setattr(portable, "spread", lambda each: dict(zip(("of_tolerance", "spread"), moves[each["here"]], strict=True),
                                                              check=each["here"], results=["holds"], values={"here": 1.0}))
    rows = portable.table({"here": {name: name for name in moves}})
    assert [row["check"] for row in rows] == ["b", "c", "a", "d"]
    assert portable.lines(rows)[0] == "4 checks: 3 move, 1 beyond their tolerance, 0 change result"
    assert [line.split()[0] for line in portable.lines(rows)[1:]] == ["b", "c", "a"]


def test_the_table_of_settings_counts_what_moves_from_what_is_stored_and_names_the_widest():
    def row(check, allowed, **values):
        return {"check": check, "allowed": allowed, "values": values}

    rows = [row("a", 2.0, stored=1.0, one=1.0, two=0.0), row("b", 0.5, stored=math.inf, one=math.inf, two=math.inf),
            row("c", 0.0, stored=0.0, one=0.0, two=1e-9), row("d", 1.0, one=1.0, two=5.0)]
    assert [line.split() for line in portable.by_setting(rows[:2])] == [
        "one 0 of 2 move".split(), "two 1 of 2 move, at most 0.5 of its tolerance: a".split()]
    assert portable.by_setting(rows)[1].split() == "two 2 of 3 move, at most inf of its tolerance: c".split()


def test_what_is_kept_and_printed_is_what_was_measured_here_and_all_that_fails(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(checkout, "SITE", tmp_path / "new" / "html")
    (tmp_path / "new").mkdir()
    stored = {(ONE, "laptop"): outcome(), ("dfp.welch/is_bound", "laptop"): outcome("dfp.welch/is_bound", recorded=True),
              (OTHER, "full"): outcome(OTHER)}
    monkeypatch.setattr(regress, "read", lambda path: stored)
    monkeypatch.setattr(portable, "under", lambda setting, chapter: {"arithmetic": {"of": setting}, "outcomes": {ONE: outcome()},
                                                                     "broken": {}})
    monkeypatch.setattr(portable, "passes", lambda setting, chapters: {"good": True, "bad": setting == "default"})
    assert not portable.write(checkout.chapters(["atoms"]), ["default", "plainest"])
    kept = json.loads((tmp_path / "new" / "portable.json").read_text())
    assert kept["failed"] == ["plainest: bad fail"] and [row["check"] for row in kept["checks"]] == [ONE]
    assert kept["arithmetic"] == {"default": {"of": "default"}, "plainest": {"of": "plainest"}}
    assert set(kept["checks"][0]["values"]) == {"stored", "default", "plainest"}
    said = capsys.readouterr().out
    assert "plainest: bad fail" in said and "default              0 of 1 move\n" in said


def test_differences_are_told_in_order_those_of_fresh_outcomes_first():
    before = {("z", "laptop"): outcome("z"), ("y", "laptop"): outcome("y"), (ONE, "laptop"): outcome()}
    now = {(OTHER, "laptop"): outcome(OTHER), (ONE, "laptop"): outcome(result="fails"), ("a", "full"): outcome("a", scale="full")}
    assert [said.split()[0].rstrip(":") for said in regress.differences(before, now, 0)] == ["a", ONE, OTHER, "y", "z"]


@pytest.mark.parametrize(("recorded", "seed", "told"), [(False, 0, True), (False, 1, False), (True, 1, True)])
def test_numbers_are_compared_at_the_same_seed_or_where_they_are_recorded(recorded, seed, told):
    assert bool(regress.difference(outcome(), outcome(measured=1e-3, recorded=recorded), seed)) == told
    assert regress.difference(outcome(), outcome(recorded=recorded), seed) == ""


def test_a_tolerance_is_absolute_relative_or_both_and_reaches_to_its_end():
    def check(**tolerance):
        return types.SimpleNamespace(tolerance=tolerance)

    assert regress.allowed(check(abs=1), -8) == 1 and regress.allowed(check(rel=0.5), -8) == 4
    assert regress.allowed(check(abs=1, rel=0.5), -8) == 5
    assert [regress.within(check(abs=1), 2, now) for now in (0, 1, 3, 3.5)] == [False, True, True, False]
    assert regress.within(check(), math.inf, math.inf) and not regress.within(check(), math.inf, 1.0)


def test_a_control_that_is_computed_from_the_measured_number_is_named_at_two_seeds_only():
    before = {(ONE, "laptop"): outcome(measured=0.3, control=0.6)}
    for change, told in (({"seed": 1}, 1), ({"seed": 0}, 0), ({"seed": 1, "control": 1.1}, 0)):
        now = {(ONE, "laptop"): outcome(**({"measured": 0.5, "control": 1.0} | change))}
        assert len(regress.mirrored(before, now)) == told


def test_a_cell_is_failed_by_outcomes_that_differ_and_by_none_that_do_not():
    made = [nbformat.v4.new_output("display_data", {}, metadata={METADATA: {"outcomes": [outcome(result=result)]}})
            for result in ("holds", "fails")]
    item = types.SimpleNamespace(cell=types.SimpleNamespace(outputs=made[:1], source="x"), cell_num=1)
    repeat._compare(item, made[:1])
    with pytest.raises(NbCellError) as told:
        repeat._compare(item, made[1:])
    assert "now fails" in told.value.inner_traceback


@pytest.fixture
def book(tmp_path, monkeypatch):
    monkeypatch.setattr(checkout, "ROOT", tmp_path)
    monkeypatch.setattr(checkout, "SITE", tmp_path / "_build" / "html")
    return tmp_path / "_build"


@pytest.mark.parametrize(("status", "begun"), [(0, False), (1, False), (-9, True)])
def test_a_build_tells_its_status_and_only_one_that_was_killed_stays_begun(book, monkeypatch, capsys, status, begun):
    monkeypatch.setattr(site.subprocess, "run", lambda command, **how: done(status))
    if status:
        with pytest.raises(SystemExit) as told:
            site.build()
        assert told.value.code == status
    else:
        site.build()
    assert (book / "begun").exists() == begun and ("The book stands at" in capsys.readouterr().out) == (status == 0)


@pytest.mark.parametrize("begun", [True, False])
def test_what_a_killed_build_left_is_taken_away_and_nothing_else(book, monkeypatch, begun):
    for part in ("html", ".doctrees", "other"):
        (book / part).mkdir(parents=True)
    if begun:
        (book / "begun").touch()
    monkeypatch.setattr(site.subprocess, "run", lambda command, **how: done())
    site.build()
    assert {path.name for path in book.iterdir()} == ({"other"} if begun else {"html", ".doctrees", "other"})


def test_a_command_must_be_named_and_its_options_have_their_defaults():
    with pytest.raises(SystemExit):
        press.main([])
    full = press._parser().parse_args(["full", "x"])
    assert (full.experiment, full.device, full.minutes, full.jobs, full.shard) == ("x", "auto", None, 1, None)
    again = press._parser().parse_args(["regress"])
    assert (again.seed, again.profile, again.device, again.chapter, again.results) == (1, "laptop", "auto", [], None)
    portable_one = press._parser().parse_args(["portable", "--no-tests", "--chapter", "a", "--chapter", "b"])
    assert (portable_one.tests, portable_one.chapter, portable_one.setting) == (False, ["a", "b"], None)


@pytest.mark.parametrize(("failed", "broken"), [(0, []), (1, ["x"])])
def test_what_failed_is_the_command_s_status(monkeypatch, failed, broken):
    summary = type("Summary", (), {"failed": failed, "traces": [], "__str__": lambda self: "done"})()
    chosen = types.SimpleNamespace(name="x", configurations=[], function=None, claims=())
    monkeypatch.setattr(press.results, "experiments", lambda: {"x": chosen})
    monkeypatch.setattr(press.results, "sweep", lambda *given: summary)
    monkeypatch.setattr(press, "_list_records", lambda options: None)
    chapter = {"chapter": "atoms", "checks": 1, "seconds": 1.0, "broken": broken}
    report = {"chapters": [chapter, chapter | {"broken": []}], "arithmetic": arithmetic.describe()}
    monkeypatch.setattr(press.regress, "regress", lambda *given: report)
    monkeypatch.setattr(press.regress, "write", lambda report: checkout.ROOT / "there")
    monkeypatch.setattr(press.portable, "write", lambda *given: not broken)
    for command in (["full", "x"], ["regress", "--chapter", "atoms"], ["portable", "--chapter", "atoms"]):
        if failed:
            with pytest.raises(SystemExit) as told:
                press.main(command)
            assert told.value.code == 1
        else:
            press.main(command)


def test_an_experiment_that_is_unknown_is_refused():
    with pytest.raises(SystemExit, match="experiment = 'x' is unknown; make full lists them"):
        press.main(["full", "x"])


@pytest.mark.parametrize(("profile", "beside"), [("laptop", True), ("full", False)])
def test_a_report_stands_beside_the_site_or_with_the_records_and_is_written_again(profile, beside, monkeypatch, tmp_path):
    monkeypatch.setattr(checkout, "SITE", tmp_path / "site" / "html")
    monkeypatch.setattr(regress.results, "folder", lambda: tmp_path / "records")
    report = {"profile": profile, "device": "CPU (x86_64)", "chapters": [1]}
    folder = tmp_path / ("site" if beside else "records") / "regress"
    for chapters in ([1], [2]):
        path = regress.write(report | {"chapters": chapters})
        assert path == folder / f"{profile}-cpu.json" and json.loads(path.read_text())["chapters"] == chapters


def test_a_run_that_stops_tells_why_and_how_long_it_took(monkeypatch, tmp_path):
    def stops(path, **parameters):
        raise regress.PapermillExecutionError(0, 1, "1 / 0", "ZeroDivisionError", "division by zero", [])
    monkeypatch.setattr(regress.notebooks, "run", stops)
    outcomes, shown, why, seconds = regress._fresh(tmp_path / "a.ipynb", str(tmp_path), profile="laptop")
    assert (outcomes, shown) == ({}, {}) and why == "its run stopped with ZeroDivisionError: division by zero"
    assert 0 <= seconds < 60


def test_what_is_measured_under_a_setting_are_the_checks_of_a_laptop_that_read_no_records(monkeypatch):
    entries = [types.SimpleNamespace(id=f"{scale}{records}", scale=scale, records=records)
               for scale in ("laptop", "reduced", "full") for records in (None, "a-run")]
    monkeypatch.setattr(portable.checking, "registered", lambda chapter: entries)
    monkeypatch.setattr(portable.checking, "run",
                        lambda entry, setting: types.SimpleNamespace(as_dict=lambda: {"check": entry.id}))
    assert portable.measure("atoms")["outcomes"] == {"laptopNone": {"check": "laptopNone"}}


@pytest.mark.parametrize("item", [types.SimpleNamespace(test_outputs=[1]), types.SimpleNamespace(test_outputs=None),
                                  types.SimpleNamespace()])
def test_outcomes_are_compared_where_nbval_has_run_a_cell_and_nowhere_else(item, monkeypatch):
    compared = []
    monkeypatch.setattr(repeat, "_compare", lambda item, fresh: compared.append(fresh))
    running = repeat.pytest_runtest_call(item)
    next(running)
    with pytest.raises(StopIteration) as ended:
        running.send("done")
    assert ended.value.value == "done" and compared == ([[1]] if getattr(item, "test_outputs", None) else [])


def test_make_full_shows_its_progress(monkeypatch):
    seen = []

    class EndedError(Exception):
        pass

    def sweep(*words):
        seen.append(words[-1])
        raise EndedError
    monkeypatch.setattr(press.results, "sweep", sweep)
    with pytest.raises(EndedError):
        press.main(["full", "frame-potential-trained-grid", "--minutes", "3", "--jobs", "2"])
    assert (seen[0].progress, seen[0].minutes, seen[0].jobs, seen[0].shard) == (True, 3, 2, None)


def test_a_chapter_that_is_there_is_not_written_over(monkeypatch, tmp_path):
    monkeypatch.setattr(checkout, "NOTEBOOKS", tmp_path)
    template.write("atoms")
    (tmp_path / "atoms.ipynb").write_text("mine")
    with pytest.raises(SystemExit, match="atoms.ipynb is there already"):
        template.write("atoms")
    assert (tmp_path / "atoms.ipynb").read_text() == "mine"


@pytest.mark.parametrize(("changed", "status", "fails"), [("notebooks/atoms.ipynb", 1, True), ("notebooks/atoms.ipynb", 0, False),
                                                          ("notebooks/gone.ipynb", 1, False), ("", 1, False)])
def test_changed_chapters_are_checked_and_one_that_fails_stops_the_command(changed, status, fails, monkeypatch):
    asked = []
    monkeypatch.setattr(press, "_base", lambda: "main")
    monkeypatch.setattr(press, "_git", lambda *words: changed)
    monkeypatch.setattr(press.subprocess, "run", lambda command, **how: asked.append(command) or done(status))
    if fails:
        with pytest.raises(SystemExit, match="1"):
            press._check_changed(None)
    else:
        press._check_changed(None)
    assert [command[-1] for command in asked] == ["notebooks/atoms.ipynb"] * ("atoms" in changed)


def test_the_order_in_which_a_notebook_was_put_together_is_not_stored():
    cell = {"cell_type": "markdown", "metadata": {"b": 1, "a": 2}, "id": "x", "source": "text"}
    one, other = ({"cells": [dict(pairs)], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
                  for pairs in (cell.items(), reversed(cell.items())))
    assert notebooks.dumps(nbformat.from_dict(one)) == notebooks.dumps(nbformat.from_dict(dict(reversed(other.items()))))


def test_without_a_browser_nothing_is_printed(monkeypatch):
    pytest.importorskip("playwright")
    monkeypatch.setattr(pdf.shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match="no browser: none of .* is installed"), pdf._browser():
        pass


@pytest.mark.parametrize(("changes", "good"), [({}, True), ({"measured": 1.0}, False), ({"result": "fails"}, False)])
@pytest.mark.parametrize("first", [True, False])
def test_one_check_that_moves_beyond_its_tolerance_or_changes_its_result_is_enough(changes, good, first, monkeypatch, tmp_path):
    monkeypatch.setattr(checkout, "SITE", tmp_path / "html")
    names = [ONE, "dfp.welch/is_bound"]
    monkeypatch.setattr(regress, "read", lambda path: {(name, "laptop"): outcome(name) for name in names})
    moved = {name: outcome(name) | (changes if name == names[0 if first else 1] else {}) for name in names}
    monkeypatch.setattr(portable, "under", lambda setting, chapter: {"arithmetic": {}, "outcomes": moved, "broken": {}})
    assert portable.write(checkout.chapters(["atoms"]), ["default"], tests=False) == good


def test_a_notebook_is_stored_line_by_line_one_blank_a_level():
    text = notebooks.dumps(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("one\ntwo", id="a")]))
    assert text.splitlines()[:2] == ["{", ' "cells": ['] and '    "one\\n",\n    "two"\n' in text


def test_what_an_earlier_run_left_is_not_read():
    cells = [nbformat.v4.new_code_cell("1", outputs=[nbformat.v4.new_output("stream", text="1")], execution_count=3),
             nbformat.v4.new_markdown_cell("text")]
    code, text = notebooks._unrun(nbformat.v4.new_notebook(cells=cells)).cells
    assert (code.outputs, code.execution_count) == ([], None) and set(text) == set(cells[1])


def test_chapters_come_by_name_whatever_the_folder_says(monkeypatch, tmp_path):
    paths = [tmp_path / f"{name}.ipynb" for name in ("c", "a", "b")]
    monkeypatch.setattr(checkout, "NOTEBOOKS", types.SimpleNamespace(glob=lambda pattern: paths))
    assert [path.stem for path in checkout.chapters()] == ["a", "b", "c"]
    assert [path.stem for path in checkout.chapters(["b", "a"])] == ["b", "a"]


def test_lab_is_kept_from_asking_and_settings_that_are_there_stay(monkeypatch, tmp_path):
    monkeypatch.setattr(lab.sys, "prefix", str(tmp_path))
    path = tmp_path / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
    lab._without_news()
    assert json.loads(path.read_text()) == {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false",
                                                                                            "checkForUpdates": False}}
    path.write_text("mine")
    lab._without_news()
    assert path.read_text() == "mine"
