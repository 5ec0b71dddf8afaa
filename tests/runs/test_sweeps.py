"""Sweeps share a folder between processes and hosts: nothing is lost, nothing done twice, and what is missing is told."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from deepatoms.runs import claim_files, results

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
