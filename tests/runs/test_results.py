"""Recorded results: whole or absent, never twice, resumed after a kill."""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest

from deepatoms.runs import record_files, results, sweeps

CONFIGURATIONS = [{"number": number} for number in range(12)]
KILLS = int(os.environ.get("DEEPATOMS_KILLS", "5"))

PROGRAM = """
import time
from deepatoms.runs import record_files, results
def square(configuration, device):
    time.sleep(0.05)
    return {"square": configuration["number"] ** 2, "padding": "x" * 200_000}
print("ready", flush=True)
results.run("squares", [{"number": number} for number in range(12)], square)
print("done", flush=True)
"""


def square(configuration, device):
    return {"square": configuration["number"] ** 2}


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.setenv(results.FOLDER, str(tmp_path))
    return tmp_path


def test_a_second_run_computes_nothing():
    first = results.run("squares", CONFIGURATIONS, square)

    def never(configuration, device):
        raise AssertionError("computed again")

    assert results.run("squares", CONFIGURATIONS, never) == first
    assert [record["result"]["square"] for record in first] == [number**2 for number in range(12)]


def test_a_record_says_where_it_comes_from():
    record = results.run("squares", CONFIGURATIONS[:1], square, claims=["dfp.eq2"])[0]
    assert set(record["provenance"]) >= {"claims", "device", "seconds", "date", "commit", "torch", "numpy"}
    assert record["configuration"] == {"number": 0} and record["provenance"]["claims"] == ["dfp.eq2"]


def test_a_record_names_the_commit_that_made_it():
    found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=record_files.PACKAGE, capture_output=True, text=True, check=False)
    expected = found.stdout.strip()[:12] or "unknown"
    assert record_files.place("cpu")["commit"] == expected


def test_a_spent_budget_starts_nothing_and_parallel_runs_equal_serial_ones():
    with pytest.warns(RuntimeWarning, match="12 not started: the 0 minutes were over"):
        assert results.run("squares", CONFIGURATIONS, square, minutes=0) == []
    assert len(results.run("squares", CONFIGURATIONS, square, jobs=2)) == 12


def test_a_result_that_is_not_a_number_is_refused_and_leaves_no_file(empty_folder):
    with pytest.raises(results.RunError, match="nan"):
        results.run("squares", CONFIGURATIONS[:1], lambda configuration, device: float("nan"))
    assert not list(empty_folder.rglob("*.json"))


def start():
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


def test_kills_lose_no_result_and_duplicate_none(empty_folder):
    """SIGKILL at random moments; what is there stays as it is, and the final table equals the unbroken one."""
    chance, kept = random.Random(0), {}
    for _ in range(KILLS):
        process = start()
        time.sleep(chance.uniform(0, 0.4))
        process.send_signal(signal.SIGKILL)
        process.wait()
        now = {path.name: path.read_bytes() for path in empty_folder.rglob("*.json")}
        assert all(json.loads(text)["experiment"] == "squares" for text in now.values())
        assert kept.items() <= now.items()
        kept = now
    assert start().wait() == 0
    final = [record["result"]["square"] for record in results.records("squares", CONFIGURATIONS)]
    assert final == [number**2 for number in range(12)]
    assert len(list(pathlib.Path(empty_folder, "squares").glob("*.json"))) == 12


def written(folder, **changes):
    """Write a record by hand, whole but for some changes, and return its path."""
    path = folder / "squares" / f"{results.key(CONFIGURATIONS[0])}.json"
    path.parent.mkdir(exist_ok=True)
    record_files.write(path, "squares", CONFIGURATIONS[0], {"square": 0}, {"device": "cpu"})
    record = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in record.items() if value is not None}))
    return path


@pytest.mark.parametrize(("changes", "said"), [
    ({"result": None}, "lacks result"), ({"provenance": None, "experiment": None}, "lacks experiment, provenance"),
    ({"experiment": "cubes"}, "holds another experiment or configuration"),
    ({"configuration": {"number": 1}}, "holds another experiment or configuration"),
    ({"result": {"square": 1}}, "holds another result"),
    ({"result": {"square": float("nan")}}, "is not whole JSON .*it holds NaN"),
    ({"provenance": {"digest": "0" * 64}}, "holds another result")])
def test_a_record_that_was_altered_is_refused_and_told_how(empty_folder, changes, said):
    with pytest.raises(ValueError, match=f"record = .*{said}"):
        record_files.read(written(empty_folder, **changes))


def test_a_record_made_before_there_were_digests_is_read_and_nothing_that_is_no_number_is_written(empty_folder):
    assert record_files.read(written(empty_folder))["result"] == {"square": 0}
    assert record_files.read(written(empty_folder, provenance={"device": "cpu"}))["result"] == {"square": 0}
    path = empty_folder / "squares" / "other.json"
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="JSON compliant"):
            record_files.write(path, "squares", {}, {"square": bad}, {})
        with pytest.raises(ValueError, match="JSON compliant"):
            results.key({"number": bad})
    assert [each.name for each in path.parent.iterdir()] == [written(empty_folder).name]


def test_where_a_record_comes_from_is_what_is_so_now(empty_folder):
    told = record_files.provenance(["dfp.eq2"], "cpu", 1.23456, None)
    assert (told["claims"], told["seconds"], told["code"], told["device"][:3]) == (["dfp.eq2"], 1.23, {}, "cpu")
    assert told["threads"] >= 1 and told["python"].startswith("3.") and len(told["date"]) == 10


def test_all_records_come_in_the_order_of_their_configurations_whatever_the_order_of_their_names(empty_folder):
    """Names are hashes, and a dictionary's own order is no one's: {"b": .., "a": ..} is {"a": .., "b": ..}."""
    pairs = [{"b": 9 - number, "a": number} if number % 2 else {"a": number, "b": 9 - number} for number in range(10)]
    results.run("pairs", random.Random(3).sample(pairs, 10), lambda configuration, device: configuration["a"])
    assert [record["result"] for record in results.all_records("pairs")] == list(range(10))


@pytest.mark.parametrize(("status", "said", "uncommitted"), [(0, " M lib/a.py\n", True), (0, "", False), (128, "fatal", None)])
def test_what_git_does_not_tell_is_not_known(status, said, uncommitted, monkeypatch):
    record_files._git.cache_clear()
    ended = subprocess.CompletedProcess("git", status, said, "")
    monkeypatch.setattr(record_files.subprocess, "run", lambda *words, **how: ended)
    assert record_files._git("rev-parse", "HEAD") == (None if status else said.strip())
    assert record_files._uncommitted() is uncommitted
    record_files._git.cache_clear()


def test_all_records_are_those_of_the_experiment_and_of_no_folder_inside(empty_folder):
    results.run("squares", CONFIGURATIONS[:3], square)
    (empty_folder / "squares" / "older").mkdir()
    own = empty_folder / "squares" / f"{results.key(CONFIGURATIONS[2])}.json"
    own.rename(own.parent / "older" / own.name)
    assert [record["result"]["square"] for record in results.all_records("squares")] == [0, 1]


@pytest.mark.parametrize("progress", [True, False])
def test_joblib_tells_of_its_progress_where_it_is_asked_to(progress, monkeypatch):
    asked = []
    monkeypatch.setattr(sweeps.joblib, "Parallel", lambda **how: asked.append(how) or (lambda calls: list(calls)))
    sweeps._parallel(None, {"a": {}}, 2, progress)
    assert bool(asked[0]["verbose"]) == progress and asked[0]["n_jobs"] == 2


def test_a_folder_named_from_here_is_the_same_from_elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(results.FOLDER, "records")
    assert results.folder() == tmp_path / "records"
    monkeypatch.delenv(results.FOLDER)
    assert results.folder().is_absolute()
