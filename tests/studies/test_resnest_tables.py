"""The recorded trainings of ResNet-20, on a few made-up images; what their records are made into."""

import numpy as np
import pytest
import torch

from deepatoms import data
from deepatoms.claims import checking
from deepatoms.data.images import Images
from deepatoms.runs import partial_states
from deepatoms.studies.resnests import tables
from deepatoms.studies.resnests.checks import recorded


@pytest.fixture
def little(monkeypatch):
    """A set of which half the images are dark, each labelled so."""
    def load(name, split):
        labels = torch.arange(64) % 2
        noise = torch.randint(100, (64, 3, 32, 32), generator=torch.Generator().manual_seed(len(split)), dtype=torch.uint8)
        return Images(name, split, noise + (120 * labels).to(torch.uint8)[:, None, None, None], labels, ("dark", "light"), 255)

    monkeypatch.setattr(data, "load", load)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_training_learns_is_repeatable_and_goes_on(little, tmp_path, precision):
    configuration = tables.CONFIGURATIONS[0] | {"epochs": 2, "batch_size": 16, "precision": precision}
    whole = tables.trained(configuration, "cpu")
    assert set(whole) == {"train", "test"} and all(0 <= share <= 1 for share in whole.values())

    def after(partial):
        if partial.done == 1:
            raise KeyboardInterrupt

    path = tmp_path / "one.partial"
    with pytest.raises(KeyboardInterrupt):
        tables.trained(configuration, "cpu", partial_states.PartialState(path, configuration, "cpu", after))
    assert tables.trained(configuration, "cpu", partial_states.PartialState(path, configuration, "cpu")) == whole
    assert path.stat().st_size < 10_000_000


def test_what_changes_a_number_stands_in_the_configuration():
    said = {"precision", "epochs", "schedule", "augmentation", "batch_size", "momentum", "weight_decay", "learning_rate", "seed"}
    assert said <= set(tables.CONFIGURATIONS[0])
    assert len(tables.CONFIGURATIONS) == 2 * 3 * 5


def made_up(lead, rate_helps=0.0):
    noise = np.random.default_rng(0).normal(size=3) / 1000
    return [{"configuration": each, "result": {"test": 0.8 + noise[each["seed"]] * (1 + lead[each["variant"]])
                                               + lead[each["variant"]] + rate_helps * (each["learning_rate"] < 0.1)}}
            for each in tables.CONFIGURATIONS]


@pytest.mark.parametrize("better, rate_helps, result", [(0.02, 0.01, "holds"), (0.02, 0.03, "fails"), (-0.02, 0.0, "fails")])
def test_an_ordering_counts_the_better_rate_of_resnest(better, rate_helps, result):
    lead = {"standard": better, "bn-resnest": better, "a-resnest": better, "resnest": 0.0}
    records = made_up(lead, rate_helps)
    for entry in checking.registered("resnests"):
        if entry.id.startswith("nest.tab_order/"):
            found = entry.function(checking.Setting(), records)
            criterion = recorded.catalogue.load().check(entry.id).criterion
            assert criterion.judge(found.measured, found.interval) == result
            assert criterion.judge(found.control, found.control_interval) != result
            assert found.measured == pytest.approx(100 * (better - max(rate_helps, 0)), abs=0.05)
