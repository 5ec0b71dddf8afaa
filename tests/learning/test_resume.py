"""A training that is killed goes on at its last pass, in whatever process, and ends with the numbers of an unbroken one."""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest
import torch

from deepatoms.learning import training
from deepatoms.runs import partial_states, results, sweeps

PATIENCE = 300  # seconds until a process counts as hung, on a full machine too
EPOCHS = 6
CONFIGURATIONS = [{"optimizer": name, "precision": precision, "members": members}
                  for name, precision, members in (("adam", "float32", 2), ("sgd", "bfloat16", 1), ("sgd", "float32", 1))]

PROGRAM = '''
import functools, hashlib, pathlib, os, time
import torch
from deepatoms.learning import augmentation, optimizers, training
from deepatoms.learning.networks.wide_residual import WideResidual
from deepatoms.runs import partial_states, results

OPTIMIZERS = {"adam": optimizers.Adam, "sgd": functools.partial(optimizers.SGD, momentum=0.9, weight_decay=5e-4)}

@partial_states.resumable
def train(configuration, device, partial=None):
    members = configuration["members"]
    pixels = torch.randint(256, (48, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    labels = pixels[:, 0].float().mean((1, 2)).argsort().argsort() % 10
    prepare = augmentation.CropAndFlip((127.5,) * 3, (64.0,) * 3, 2)
    def slow(batch, generator):
        time.sleep(float(os.environ.get("PAUSE", "0")))
        return prepare(batch, generator)
    recipe = training.Recipe(6, 0.05, 16, OPTIMIZERS[configuration["optimizer"]], optimizers.one_cycle, True, slow,
                             configuration["precision"])
    models = [training.seeded(WideResidual, seed, widths=(4, 8), blocks=(1, 1), channels=3) for seed in range(members)]
    models = training.train(models, pixels.expand(members, -1, -1, -1, -1), labels.expand(members, -1), recipe, partial=partial)
    values = torch.cat([value.double().flatten() for model in models for value in model.state_dict().values()])
    return {"digest": hashlib.sha256(values.numpy().tobytes()).hexdigest(), "sum": float(values.sum())}
'''
RUN = PROGRAM + '''
import json, sys
print("ready", flush=True)
print(results.sweep("trainings", json.loads(sys.argv[1]), train, effort=results.Effort(1, progress=True)), flush=True)
'''
space: dict = {}
exec(PROGRAM, space)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(results.FOLDER, str(tmp_path / "results"))
    return tmp_path / "results" / "trainings"


def start(configurations, **environment):
    process = subprocess.Popen([sys.executable, "-c", RUN, json.dumps(configurations)], text=True, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, env=os.environ | environment)
    process.stdout.readline()
    return process


def only(configuration, partial=None):
    return space["train"](configuration, "cpu", partial)


class Stop(Exception):
    """What breaks a training off."""


def broken_off(path, configuration, epoch):
    def after(partial):
        if partial.done == epoch:
            raise Stop
    with pytest.raises(Stop):
        only(configuration, partial_states.PartialState(path, configuration, "cpu", after))


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_a_training_broken_off_twice_ends_with_the_numbers_of_an_unbroken_one(tmp_path, configuration):
    path, whole = tmp_path / "here.partial", only(configuration)
    broken_off(path, configuration, 2)
    path = path.rename(tmp_path / "there.partial")  # another machine
    broken_off(path, configuration, 5)
    begun = partial_states.PartialState(path, configuration, "cpu")
    assert only(configuration, begun) == whole
    assert [(each["from"], each["to"]) for each in begun.told(1.0)["sittings"]] == [(0, 2), (2, 5), (5, 6)]


def test_the_numbers_depend_on_every_part_of_the_state(tmp_path):
    """What a partial state leaves out would go unseen if nothing depended on it."""
    configuration, path = CONFIGURATIONS[2], tmp_path / "one.partial"
    whole = only(configuration)
    broken_off(path, configuration, 3)
    _, state = partial_states.read(path, configuration)
    fresh = training.Descent([training.seeded(space["WideResidual"], 0, widths=(4, 8), blocks=(1, 1), channels=3)],
                             training.Recipe(6, optimizer=space["OPTIMIZERS"]["sgd"]), [0], torch.device("cpu")).state()
    for part in ("parameters", "buffers", "optimizer", "orders"):
        partial_states.PartialState(path, configuration, "cpu").save(state | {part: fresh[part]}, 3, EPOCHS)
        assert only(configuration, partial_states.PartialState(path, configuration, "cpu")) != whole, part
    partial_states.PartialState(path, configuration, "cpu").save(state, 3, EPOCHS)
    assert only(configuration, partial_states.PartialState(path, configuration, "cpu")) == whole


@pytest.mark.slow
def test_kills_at_random_moments_lose_at_most_a_pass_and_change_no_number(folder):
    """SIGKILL; the process that comes next goes on, and the records equal those of an unbroken sweep."""
    whole = [only(configuration) for configuration in CONFIGURATIONS]
    chance, kills, done = random.Random(0), 0, 0
    for _ in range(int(os.environ.get("DEEPATOMS_KILLS", "4"))):
        process = start(CONFIGURATIONS, PAUSE="0.05")
        time.sleep(chance.uniform(0.3, 2.5))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
        headers = [partial_states.progress(path) for path in folder.glob("*.partial")]
        now = sum(each["done"] for each in headers) + EPOCHS * len(list(folder.glob("*.json")))
        assert now >= done, "no pass that was kept is lost"
        done = now
        if len(list(folder.glob("*.json"))) == len(CONFIGURATIONS):
            for path in folder.glob("*"):
                path.unlink()
            done = 0
    assert kills
    start(CONFIGURATIONS).communicate(timeout=PATIENCE)
    found = [json.loads((folder / f"{results.key(each)}.json").read_text()) for each in CONFIGURATIONS]
    assert [record["result"] for record in found] == whole
    assert not [path for path in folder.iterdir() if path.suffix != ".json"]


@pytest.mark.slow
def test_two_processes_are_never_at_one_training_and_one_goes_on_with_what_the_killed_one_left(folder):
    killed = start(CONFIGURATIONS[:1], PAUSE="0.6")
    path = sweeps.partial_path(folder, results.key(CONFIGURATIONS[0]))
    other = start(CONFIGURATIONS[:1])  # waits for the first, and takes over
    end = time.monotonic() + 60
    while not (header := partial_states.progress(path)) or header["done"] < 2:
        assert time.monotonic() < end
        time.sleep(0.02)
    killed.kill()
    killed.communicate()
    said, steps = other.communicate(timeout=PATIENCE)
    assert "1 recorded now" in said, steps
    assert int(steps.split(": step ")[1].split(" ")[0]) > 2, "it did not begin anew"
    record = json.loads(path.with_suffix(".json").read_text())
    assert record["result"] == only(CONFIGURATIONS[0])
    sittings = record["provenance"]["sittings"]
    assert len(sittings) == 2 and sittings[1]["to"] == EPOCHS
    assert record["provenance"]["seconds"] == pytest.approx(sum(each["seconds"] for each in sittings), abs=0.02)


def test_the_time_that_is_over_breaks_off_at_a_pass_and_the_same_command_goes_on(folder, monkeypatch):
    whole = only(CONFIGURATIONS[2])
    now, late = sweeps.claim_files.now, iter([0, 0, 0, *[100] * 99])  # seconds that the folder's clock leaps
    monkeypatch.setattr(sweeps.claim_files, "now", lambda place: now(place) + next(late))
    summary = results.sweep("trainings", CONFIGURATIONS[2:], space["train"], effort=results.Effort(1))
    assert summary.done == 0 and "1 broken off after 1 minutes" in str(summary) and "step 3 of 6" in str(summary)
    monkeypatch.undo()
    monkeypatch.setenv(results.FOLDER, str(folder.parent))
    assert results.sweep("trainings", CONFIGURATIONS[2:], space["train"]).done == 1
    assert json.loads(next(folder.glob("*.json")).read_text())["result"] == whole


def test_bfloat16_ends_near_its_float32_twin():
    """Not the same numbers; the same training."""
    sums = [only({"optimizer": "sgd", "precision": precision, "members": 1})["sum"] for precision in training.PRECISIONS]
    assert sums[0] != sums[1] and sums[0] == pytest.approx(sums[1], rel=0.05)


def test_a_record_is_beside_no_partial_state_after_the_next_sweep(folder):
    results.sweep("trainings", CONFIGURATIONS[2:], space["train"])
    left = sweeps.partial_path(folder, results.key(CONFIGURATIONS[2]))
    left.write_bytes(b"left by a process killed between writing the one and removing the other")
    results.sweep("trainings", CONFIGURATIONS[2:], space["train"])
    assert not left.exists() and pathlib.Path(left.with_suffix(".json")).exists()
