"""Sweeps over several hosts and broken ones, as far as one machine can play them: clocks, environments, kills, disks."""

import os
import pathlib
import pickle
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from deepatoms.runs import results, sweeps

PATIENCE = 300  # seconds until a process counts as hung: on a full machine each imports torch for half a minute
NUMBERS = [{"number": number} for number in range(8)]

PROGRAM = """
import os, pathlib, signal, sys, time
from deepatoms.runs import results
log, marks = pathlib.Path(os.environ["LOG"]), pathlib.Path(os.environ["LOG"] + ".marks")
def square(configuration, device):
    with log.open("a") as file:
        file.write(f"begun {configuration['number']}\\n")
    time.sleep(float(os.environ.get("PAUSE", "0.05")))
    deadly = os.environ.get("DEADLY", "")
    mark = marks / str(configuration["number"])
    if deadly and configuration["number"] == 3 and not (deadly == "once" and mark.exists()):
        marks.mkdir(exist_ok=True)
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"square": configuration["number"] ** 2, "padding": "x" * int(os.environ.get("PADDING", "0"))}
print("ready", flush=True)
print(results.sweep("squares", [{"number": number} for number in range(8)], square,
                    effort=results.Effort(minutes=1, jobs=int(os.environ.get("JOBS", "1")), shard=os.environ.get("SHARD"))))
"""


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv(results.FOLDER, str(tmp_path / "results"))
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    return tmp_path


def start(*prefix, **environment):
    return subprocess.Popen([*prefix, sys.executable, "-c", PROGRAM], text=True, env=os.environ | environment,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def unshared(*options):
    """Return the command that starts a process in namespaces of its own; skip where the system gives none."""
    command = ["unshare", "--map-root-user", *options]
    if not shutil.which("unshare") or subprocess.run([*command, "true"], check=False, capture_output=True).returncode:
        pytest.skip(f"this system does not grant `{' '.join(command)}`")
    return command


def squares():
    return [record["result"]["square"] for record in results.records("squares", NUMBERS)]


def begun(place):
    return sorted(place.joinpath("log").read_text().split("\n"))[1:]


@pytest.mark.slow
def test_a_host_that_has_been_up_for_longer_shares_the_work(place):
    both = [start(*unshared("--time", "--boottime", "900000", "--monotonic", "900000", "--fork")), start()]
    said = [process.communicate(timeout=PATIENCE) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert begun(place) == [f"begun {number}" for number in range(8)]
    assert squares() == [number**2 for number in range(8)]


@pytest.mark.slow
def test_two_shards_at_once_share_the_configurations_without_a_claim_between_them(place):
    both = [start(SHARD=shard) for shard in ("1/2", "2/2")]
    assert all("8 configurations, 4 started, 4 recorded now" in process.communicate(timeout=PATIENCE)[0] for process in both)
    assert begun(place) == [f"begun {number}" for number in range(8)]
    assert squares() == [number**2 for number in range(8)]


def test_a_task_made_here_is_recorded_here_by_a_worker_of_another_environment(place):
    """As a cluster's worker does: it gets the task as bytes, and its own environment names another folder."""
    results.sweep("squares", NUMBERS[:1], _square)  # makes the folder
    task = sweeps.Task("squares", _square, (), "cpu", place / "results" / "squares", None)
    program = ("import pickle, sys; from deepatoms.runs import sweeps; "
               "print(sweeps.attempt(*pickle.loads(sys.stdin.buffer.read())).state)")
    sent = pickle.dumps((task, results.key(NUMBERS[5]), NUMBERS[5]))
    done = subprocess.run([sys.executable, "-c", program], input=sent, capture_output=True, check=True,
                          env=os.environ | {results.FOLDER: str(place / "elsewhere"), "PYTHONPATH": os.pathsep.join(sys.path)})
    assert done.stdout.decode().strip() == "done"
    assert len(results.records("squares", NUMBERS)) == 2 and not (place / "elsewhere").exists()


def _square(configuration, device):
    return {"square": configuration["number"] ** 2}


@pytest.mark.slow
@pytest.mark.parametrize("deadly, failed", [("once", 0), ("always", 1)])
def test_a_killed_worker_costs_its_own_configuration_a_second_try(place, deadly, failed):
    said, _ = start(DEADLY=deadly, JOBS="2").communicate(timeout=PATIENCE)
    # what the killed worker's neighbour had just recorded counts as recorded before in the second try
    assert f"{failed} failed, {failed} missing" in said, said
    assert ("'number': 3} failed: its process was killed twice" in said) == bool(failed)
    assert squares() == [number**2 for number in range(8) if not failed or number != 3]
    assert failed or not list(place.rglob("*.claim"))


@pytest.mark.slow
def test_random_kills_of_two_sweeps_lose_nothing_and_do_nothing_twice(place):
    chance = random.Random(0)
    for _ in range(int(os.environ.get("DEEPATOMS_KILLS", "3"))):
        both = [start(PAUSE="0.2"), start(PAUSE="0.2")]
        for process in both:
            process.stdout.readline()
        time.sleep(chance.uniform(0, 1.0))
        for process in chance.sample(both, 1):
            process.send_signal(signal.SIGKILL)
        for process in both:
            process.communicate(timeout=PATIENCE)
        assert squares() == [number**2 for number in range(8)], "the one that lives finishes the work of both"
        assert len(begun(place)) <= 9, "only what the killed one was at is begun again"
        shutil.rmtree(place / "results")
        place.joinpath("log").unlink()


@pytest.mark.slow
@pytest.mark.parametrize("mount, padding, said", [
    ("-o size=300k", 200_000, "No space left on device"), ("-o size=20k", 0, "cannot be written: No space left"),
    ("-o ro", 0, "cannot be written: Read-only file system")])
def test_a_full_disk_and_one_that_takes_nothing(place, mount, padding, said):
    disk = place / "disk"
    disk.mkdir()
    folder = f"export {results.FOLDER}={disk}/results PADDING={padding}"
    script = f"mount -t tmpfs {mount} none {disk} && {folder} && {sys.executable} -c '{_quoted(PROGRAM)}' && ls {disk}/results/*"
    done = subprocess.run([*unshared("--mount"), "sh", "-c", script], capture_output=True, text=True, check=False)
    assert said in done.stdout + done.stderr, done
    assert ".part" not in done.stdout and ".claim" not in done.stdout
    assert "begun" not in (pathlib.Path(os.environ["LOG"]).read_text() if not padding and place.joinpath("log").exists() else "")


def _quoted(text):
    return text.replace("'", "'\\''")
