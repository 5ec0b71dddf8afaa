"""Sweeps share a folder between processes and hosts: nothing is lost, nothing done twice, and what is missing is told."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from deepatoms.runs import claim_files, partial_states, results, sweeps

NUMBERS = [{"number": number} for number in range(8)]

PROGRAM = """
import os, pathlib, sys, time
from deepatoms.runs import results
log = pathlib.Path(os.environ["LOG"])
def square(configuration, device):
    with log.open("a") as file:
        file.write(f"begun {configuration['number']}\\n")
    time.sleep(float(os.environ.get("PAUSE", "0.05")))
    return {"square": configuration["number"] ** 2}
print("ready", flush=True)
print(results.sweep("squares", [{"number": number} for number in range(8)], square, effort=results.Effort(minutes=1)))
"""


def square(configuration, device):
    return {"square": configuration["number"] ** 2}


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.setenv(results.FOLDER, str(tmp_path / "results"))
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    return tmp_path / "results"


def start(**environment):
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True,
                               env=os.environ | environment)
    assert process.stdout.readline() == "ready\n"
    return process


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def begun(folder):
    return sorted(folder.parent.joinpath("log").read_text().split("\n"))[1:]


def test_two_sweeps_at_once_do_nothing_twice(empty_folder):
    both = [start(), start()]
    assert [process.wait(60) for process in both] == [0, 0]
    assert begun(empty_folder) == [f"begun {number}" for number in range(8)]
    assert [record["result"]["square"] for record in results.records("squares", NUMBERS)] == [n**2 for n in range(8)]
    assert not list(empty_folder.rglob("*.claim"))


def test_what_a_killed_process_was_at_is_taken_over(empty_folder):
    killed = start(PAUSE="60")
    wait_for(lambda: list(empty_folder.rglob("*.claim")))
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    summary = results.sweep("squares", NUMBERS, square)
    assert summary.done == 8 and summary.missing == 0
    assert not list(empty_folder.rglob("*.claim"))


def test_a_killed_process_that_nobody_has_asked_for_counts_as_dead(empty_folder):
    killed = start(PAUSE="60")
    wait_for(lambda: list(empty_folder.rglob("*.claim")))
    killed.send_signal(signal.SIGKILL)  # not waited for: on Linux it stays in the table of processes
    wait_for(lambda: not claim_files.holder(empty_folder / "squares", results.key(NUMBERS[0])), 5)
    killed.wait()


def test_what_another_process_is_at_is_neither_begun_nor_forgotten(empty_folder):
    other = start(PAUSE="60")
    wait_for(lambda: list(empty_folder.rglob("*.claim")))
    summary = results.sweep("squares", NUMBERS, square, effort=results.Effort(minutes=0.05))
    other.kill()
    other.wait()
    assert summary.done == 7 and summary.missing == 1
    assert "1 being computed elsewhere: process" in str(summary)


def test_a_claim_without_a_sign_of_life_from_another_host_is_taken_over(empty_folder):
    place = empty_folder / "squares"
    place.mkdir(parents=True)
    key = results.key(NUMBERS[0])
    claim = place / f"{key}.0.claim"
    claim.write_text(json.dumps({"host": "elsewhere", "name": "elsewhere", "pid": 1, "since": "yesterday"}))
    assert claim_files.take(place, key) is None
    long_ago = time.time() - 2 * claim_files.STALE
    os.utime(claim, (long_ago, long_ago))
    with claim_files.take(place, key):
        assert claim_files.take(place, key) is None
    assert not list(place.glob("*.claim"))


def test_a_failure_stops_nothing_else_and_is_told():
    def fails_at_three(configuration, device):
        if configuration["number"] == 3:
            raise ZeroDivisionError("three")
        return square(configuration, device)

    with pytest.raises(results.RunError, match=r"'number': 3\} failed: ZeroDivisionError: three"):
        results.run("squares", NUMBERS, fails_at_three)
    assert len(results.records("squares", NUMBERS)) == 7


def test_shards_share_the_configurations_and_say_what_is_left():
    first = results.sweep("squares", NUMBERS, square, effort=results.Effort(shard="1/2"))
    assert first.done == 4 and first.missing == 4 and "4 in other shards than 1/2" in str(first)
    assert results.sweep("squares", NUMBERS, square, effort=results.Effort(shard="2/2")).missing == 0


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "a/b", "1/0", 1])
def test_a_malformed_shard_is_refused_by_name(shard):
    with pytest.raises(ValueError, match="SHARD = .*; write SHARD=1/2"):
        results.sweep("squares", NUMBERS, square, effort=results.Effort(shard=shard))


def test_the_folder_travels_with_the_task(empty_folder, tmp_path, monkeypatch):
    """A worker whose environment names another folder still writes where the caller reads."""
    def elsewhere(configuration, device):
        os.environ[results.FOLDER] = str(tmp_path / "elsewhere")
        return square(configuration, device)

    assert len(results.run("squares", NUMBERS, elsewhere, jobs=2)) == 8
    assert not (tmp_path / "elsewhere").exists()


def test_a_worker_whose_clock_differs_keeps_the_caller_s_deadline(monkeypatch):
    """The folder's clock counts: a host's own (here torn by years) starts nothing late and stops nothing early."""
    monkeypatch.setattr(time, "time", lambda: 1e10)
    monkeypatch.setattr(time, "monotonic", lambda: -1e7)
    assert len(results.run("squares", NUMBERS, square, minutes=1)) == 8


@pytest.mark.parametrize("damage, said", [
    (lambda text: text[:50], "is not whole JSON"),
    (lambda text: text.replace('"square": 0', '"square": 7'), "holds another result than was recorded"),
    (lambda text: text.replace('"number": 0', '"number": 5'), "another experiment or configuration"),
    (lambda text: "[]", "is no record")])
def test_a_damaged_record_is_refused_by_name_and_remedy(empty_folder, damage, said):
    results.run("squares", NUMBERS[:1], square)
    path = next(empty_folder.rglob("*.json"))
    path.write_text(damage(path.read_text()))
    for read in (lambda: results.records("squares", NUMBERS[:1]), lambda: results.sweep("squares", NUMBERS, square)):
        with pytest.raises(ValueError, match=f"{path.name}.*{said}.*make full EXPERIMENT=squares"):
            read()


def test_a_folder_that_takes_no_file_is_refused_before_anything_is_computed(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv(results.FOLDER, str(blocked))
    with pytest.raises(OSError, match=f"cannot be written.*{results.FOLDER}"):
        results.sweep("squares", NUMBERS, lambda configuration, device: pytest.fail("computed for nothing"))


def test_a_full_disk_leaves_no_half_record():
    """A limit on the size of files stands for the disk; the probe is smaller than it, the record larger."""
    program = PROGRAM.replace("import os,", "import resource, signal, os,").replace(
        "print(\"ready\"", "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\nprint(\"ready\"").replace(
        '{"square": configuration["number"] ** 2}', '{"padding": "x" * 200_000}')
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "8 failed" in done.stdout and "File too large" in done.stdout
    left = pathlib.Path(os.environ[results.FOLDER])
    assert not [path for path in left.rglob("*") if path.is_file()]


def test_whoever_takes_over_makes_the_next_generation_and_the_late_comer_loses_both(empty_folder):
    place = empty_folder / "squares"
    place.mkdir(parents=True)
    first = claim_files.take(place, "key")
    assert first.path.name == "key.0.claim" and first.held() and claim_files.take(place, "key") is None
    assert claim_files.holder(place, "key").startswith(f"process {os.getpid()} on ") and not claim_files.left(place, "key")
    long_ago = time.time() - 2 * claim_files.STALE
    first.path.write_text(json.dumps({"host": "elsewhere", "pid": 1}))  # as a host that has stood still would find it
    os.utime(first.path, (long_ago, long_ago))
    assert claim_files.left(place, "key") and claim_files.holder(place, "key") == ""
    (place / "key.x.part").write_text("half")
    second = claim_files.take(place, "key")
    assert second.path.name == "key.1.claim" and second.held() and not first.held()
    assert not (place / "key.x.part").exists()
    with second:
        pass
    assert not list(place.glob("*.claim")) and not second.held()
    assert not claim_files.left(place, "key") and claim_files.holder(place, "key") == ""


@pytest.mark.parametrize(("age", "gone"), [(0.9, False), (1.1, True)])
def test_a_claim_that_cannot_be_read_lives_as_long_as_any_other(empty_folder, age, gone):
    place = empty_folder / "squares"
    place.mkdir(parents=True)
    claim = place / "key.3.claim"
    claim.write_text("")
    then = claim_files.now(place) - age * claim_files.STALE
    os.utime(claim, (then, then))
    assert claim_files.left(place, "key") == gone
    assert claim_files.holder(place, "key") == ("" if gone else "process ? on ? since ?")
    taken = claim_files.take(place, "key")
    assert (taken is not None) == gone and (taken is None or taken.path.name == "key.4.claim")


def test_a_sweep_without_time_starts_nothing_and_says_so():
    summary = results.sweep("squares", NUMBERS, square, effort=results.Effort(minutes=0))
    assert (summary.total, summary.started, summary.done, summary.skipped, summary.failed, summary.missing) == (8, 0, 0, 0, 0, 8)
    assert summary.reasons == ("8 not started: the 0 minutes were over",)
    assert results.sweep("squares", NUMBERS[:2], square).done == 2
    again = results.sweep("squares", NUMBERS[:3], square)
    assert (again.started, again.done, again.skipped, again.missing) == (1, 1, 2, 0)


def test_a_computation_that_can_be_continued_is_broken_off_at_its_next_step_and_continued(empty_folder):
    steps = []

    @partial_states.resumable
    def slowly(configuration, device, partial):
        state = partial.load() or {"done": 0}
        for step in range(state["done"], 4):
            steps.append(step)
            partial.save({"done": step + 1}, step + 1, 4)
        return {"square": configuration["number"] ** 2}

    (empty_folder / "squares").mkdir(parents=True)
    deadline = claim_files.now(empty_folder / "squares") + 1e6
    task, key = sweeps.Task("squares", slowly, (), "cpu", empty_folder / "squares", deadline), results.key(NUMBERS[3])
    with pytest.MonkeyPatch.context() as patch:  # the folder's clock passes the deadline in the second step
        patch.setattr(sweeps.claim_files, "now", lambda folder: deadline * (len(steps) >= 2))
        outcome = sweeps.attempt(task, key, NUMBERS[3])
    assert (outcome.state, outcome.began, outcome.reason) == ("late", True, "step 2 of 4") and steps == [0, 1]
    assert partial_states.progress(sweeps.partial_path(task.folder, key))["done"] == 2
    summary = results.sweep("squares", NUMBERS[3:4], slowly)
    assert summary.done == 1 and steps == [0, 1, 2, 3]
    record, = results.records("squares", NUMBERS[3:4])
    assert record["result"] == {"square": 9} and len(record["provenance"]["sittings"]) == 2
    assert not sweeps.partial_path(task.folder, key).exists()


def test_all_records_of_a_full_profile_are_made_and_of_another_only_looked_at(monkeypatch):
    monkeypatch.setattr(results, "_experiments", {})
    results.experiment("squares", NUMBERS, 1.0, ["dfp.eq2"], "Squares")(square)
    planned = results.experiments()["squares"]
    assert (planned.minutes, planned.claims, planned.title, len(planned.configurations)) == (1.0, ("dfp.eq2",), "Squares", 8)
    laptop, full = (SimpleNamespace(profile=profile, device="cpu") for profile in ("laptop", "full"))
    assert results.complete("squares", laptop) is None
    results.sweep("squares", NUMBERS[:7], square)
    assert results.complete("squares", laptop) is None and len(results.records("squares")) == 7
    assert [record["result"]["square"] for record in results.complete("squares", full)] == [n**2 for n in range(8)]
    assert len(results.complete("squares", laptop)) == len(results.all_records("squares")) == 8
    with pytest.raises(ValueError, match="experiment = 'cubes' is not registered"):
        results.complete("cubes", laptop)
    results.experiments().clear()
    assert "squares" in results.experiments()


def claimed(place, generation, fields, age=0.0):
    """Write a claim by hand, last touched ``age`` seconds ago by the folder's clock, and return its path."""
    place.mkdir(parents=True, exist_ok=True)
    path = place / f"key.{generation}.claim"
    path.write_text(json.dumps(fields))
    then = claim_files.now(place) - age
    os.utime(path, (then, then))
    return path


def test_a_holder_gives_signs_of_life_until_another_has_taken_over(empty_folder, monkeypatch):
    monkeypatch.setattr(claim_files, "BEAT", 0.01)
    place = empty_folder / "squares"
    place.mkdir(parents=True)
    with claim_files.take(place, "key") as claim:
        os.utime(claim.path, (1, 1))
        wait_for(lambda: claim.path.stat().st_mtime > 1)
        claimed(place, 1, {"host": "elsewhere", "pid": 1})
        time.sleep(0.1)  # a sign that was under way when the other came
        os.utime(claim.path, (1, 1))
        time.sleep(0.2)
        assert not claim.held() and claim.path.stat().st_mtime == 1
    assert [path.name for path in place.glob("*.claim")] == ["key.1.claim"], "the other's claim stays"


def test_a_dead_holder_of_a_dead_holder_s_record_is_followed_by_the_third(empty_folder):
    place = empty_folder / "squares"
    for generation in (0, 1):
        claimed(place, generation, {"host": "elsewhere", "pid": 1}, 2 * claim_files.STALE)
    with claim_files.take(place, "key") as third:
        assert third.path.name == "key.2.claim" and third.held()
    assert not list(place.glob("*.claim"))


def test_one_living_claim_among_dead_ones_keeps_others_out(empty_folder):
    place = empty_folder / "squares"
    claimed(place, 0, {"host": "elsewhere", "pid": 1}, 2 * claim_files.STALE)
    claimed(place, 1, {"host": "elsewhere", "name": "far", "pid": 7, "since": "now"})
    assert claim_files.take(place, "key") is None and not claim_files.left(place, "key")
    assert claim_files.holder(place, "key") == "process 7 on far since now"


@pytest.mark.parametrize(("recorded", "held", "minutes", "settled"), [
    (True, True, None, True), (False, False, None, True), (True, False, None, True), (False, True, 0.001, False)])
def test_a_wait_ends_with_a_record_or_a_death_or_the_deadline(empty_folder, monkeypatch, recorded, held, minutes, settled):
    monkeypatch.setattr(sweeps, "POLL", 0.01)
    claim = claimed(empty_folder / "squares", 0, {"host": "elsewhere", "pid": 1}, 0 if held else 2 * claim_files.STALE)
    if recorded:
        (claim.parent / "key.json").write_text("{}")
    deadline = None if minutes is None else claim_files.now(claim.parent) + 60 * minutes
    task = sweeps.Task("squares", square, (), "cpu", claim.parent, deadline)
    assert sweeps._wait(task, {"key": {}}) is settled
    assert sweeps._wait(task, {}) is False


@pytest.mark.parametrize(("early", "state"), [(1.0, "done"), (0.0, "late")])
def test_what_is_claimed_at_the_deadline_itself_is_late(empty_folder, monkeypatch, early, state):
    place = empty_folder / "squares"
    place.mkdir(parents=True)
    monkeypatch.setattr(claim_files, "_create", lambda path, text: path.write_text(text) and 1000.0 - early)
    task = sweeps.Task("squares", square, (), "cpu", place, 1000.0)
    outcome = sweeps.attempt(task, results.key(NUMBERS[0]), NUMBERS[0])
    assert (outcome.state, outcome.began) == (state, state == "done")


@pytest.mark.parametrize("dead", [(), ("a",), ("a", "c")])
def test_after_a_killed_worker_those_it_may_have_been_at_are_tried_alone_and_the_others_together(empty_folder, monkeypatch, dead):
    tried = []

    def parallel(task, todo, jobs, progress):
        tried.append((sorted(todo), jobs))
        for key in todo:
            if len(todo) > 1 and key == "b" and len(tried) == 1:
                raise sweeps.TerminatedWorkerError("killed")
            if key not in ("a", "c") or len(tried) > 1:
                yield sweeps.Outcome(key, "done", True)

    monkeypatch.setattr(sweeps, "_parallel", parallel)
    monkeypatch.setattr(claim_files, "left", lambda folder, key: key in dead)
    task = sweeps.Task("squares", square, (), "cpu", empty_folder, None)
    found = sweeps._pass(task, {key: {} for key in "abcd"}, 3, False)
    alone, together = sorted(dead) or list("abcd"), sorted(set("abcd") - set(dead)) if dead else []
    assert tried == [(list("abcd"), 3), *(([key], 2) for key in alone), (together, 3)]
    assert sorted(found) == list("abcd") and {outcome.state for outcome in found.values()} == {"done"}
