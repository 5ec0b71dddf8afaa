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

from deepatoms.runs import results

CONFIGURATIONS = [{"number": number} for number in range(12)]
KILLS = int(os.environ.get("DEEPATOMS_KILLS", "5"))

PROGRAM = """
import time
from deepatoms.runs import results
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
