"""Figure 3 on CIFAR: the recorded trainings on a few made-up images, and what their records are made into."""

import dataclasses

import numpy as np
import pytest
import torch

from deepatoms import data
from deepatoms.claims import checking
from deepatoms.data.images import Images
from deepatoms.studies.spline_partitions import drawing, penalised
from deepatoms.theory import orthogonality

TRAININGS = [penalised.configuration("cifar100", penalised.RATE, seed, strength)
             for seed in range(penalised.SEEDS) for strength in (0.0, *penalised.STRENGTHS)]
CELLS = [penalised.configuration(name, rate, seed, strength) for seed in range(penalised.FEWER)
         for name, rate in penalised.CELLS for strength in (0.0, penalised.BETWEEN)]


@pytest.fixture
def little(monkeypatch):
    """A set of which half the images are dark, each labelled so."""
    def load(name, split, normalisation):
        labels = torch.arange(200) % 2
        noise = torch.randint(100, (200, 3, 32, 32), generator=torch.Generator().manual_seed(len(split)), dtype=torch.uint8)
        return Images(name, split, noise + (120 * labels).to(torch.uint8)[:, None, None, None], labels, ("dark", "light"), 255)

    monkeypatch.setattr(data, "load", load)


def test_a_training_learns_its_part_of_the_images_and_is_repeatable(little):
    small = TRAININGS[0] | {"images": 100, "epochs": 3, "batch_size": 20}
    found = penalised.trained(small, "cpu")
    assert len(found["test"]) == 3 and found["test"][-1] > 0.9 and found["train"] > 0.9
    assert penalised.trained(small, "cpu") == found != penalised.trained(small | {"seed": 1}, "cpu")


def test_the_penalty_is_that_of_the_last_layer(little, monkeypatch):
    kept = []
    monkeypatch.setattr(penalised, "_share", lambda models, *_: kept.append(models[0][-1].weight.detach()) or 0.0)
    for strength in (0.0, 100.0):
        penalised.trained(TRAININGS[0] | {"images": 100, "epochs": 3, "batch_size": 20, "lambda": strength}, "cpu")
    without, under = (float(orthogonality.cosines(kept[place]).mean()) for place in (2, 6))
    assert under < 0.5 * without


def made_up(gain, trainings=TRAININGS, sway=0.2):
    """Records in which a weight gains so many points, of accuracy in the end and of the gap, with noise of its own."""
    random = np.random.default_rng(0)
    records = []
    for each in trainings:
        more = gain * bool(each["lambda"]) / 100
        test = 0.3 + np.linspace(0, 0.1, each["epochs"]) + more + sway * random.normal(size=each["epochs"]) / 100
        records.append({"configuration": each, "result": {"train": 0.5, "test": list(test)}})
    return records


def outcome(name, records):
    entry = next(each for each in checking.registered("spline-partitions") if each.id == name)
    return checking.run(dataclasses.replace(entry, records=None, function=lambda setting: entry.function(setting, records)),
                        checking.Setting())


@pytest.mark.parametrize("gain, result", [(1.0, "holds"), (-1.0, "fails")])
@pytest.mark.parametrize("name", ["spl.fig3a/gain", "spl.fig3a/immediate", "spl.fig3b/curve_above", "spl.overfit/gap"])
def test_both_outcomes_have_a_control_that_opposes_them(name, gain, result):
    assert outcome(name, made_up(gain)).result == result


def test_what_noise_may_have_done_is_inconclusive():
    for name in ("spl.fig3a/gain", "spl.overfit/gap"):
        assert outcome(name, made_up(0.0, sway=2.0)).result == "inconclusive"


def test_a_gain_is_the_mean_over_weights_seed_by_seed():
    records = made_up(0.0, sway=0.0)
    for each in records:
        each["result"]["test"][-1] += each["configuration"]["lambda"] / 100
    assert outcome("spl.fig3a/gain", records).measured == pytest.approx(np.mean(penalised.STRENGTHS))
    assert outcome("spl.fig3a/immediate", records).measured == pytest.approx(min(penalised.STRENGTHS) - 0.5)


def test_a_curve_that_lies_above_at_one_epoch_of_five_does_not_run_above():
    records = made_up(0.0, sway=0.0)
    for each in records:
        each["result"]["test"][-1] += bool(each["configuration"]["lambda"]) / 100
        each["result"]["test"][0] += 0.5  # the first half does not count
    assert outcome("spl.fig3b/curve_above", records).measured == pytest.approx(0.2)


def test_cells_are_counted():
    records = made_up(1.0, CELLS)
    assert outcome("spl.trends/all_positive", records).measured == 1
    for each in records:
        if each["configuration"]["data"] == "cifar10" and each["configuration"]["lambda"]:
            each["result"]["test"][-1] -= 0.05
    assert outcome("spl.trends/all_positive", records).measured == 0.5


@pytest.mark.parametrize("gain", [1.0, -1.0])
def test_the_figure_says_what_its_records_show(gain):
    figure = drawing.penalised_curves(made_up(gain, sway=0.0))
    assert f"{gain:+.2f} [{gain:+.2f}, {gain:+.2f}]" in figure.caption
