"""The chapter's checks are complete, and the trained network is read as dictionaries and codes exactly."""

import numpy as np
import pytest
import torch

from deepatoms.claims import checking
from deepatoms.studies.ml_csc.checks import context, definitions, samples, trained
from deepatoms.theory import stability

SETTING = checking.Setting(1)


@pytest.mark.parametrize("check", ["csc.eq1/equal", "csc.norms/loops", "csc.thm2/interval"])
def test_cheap_checks_hold_with_another_seed(check):
    entry = next(entry for entry in checking.registered("ml-csc") if entry.id == check)
    assert checking.run(entry, SETTING).result == "holds"


def test_a_network_is_read_as_normalised_filters_and_scaled_feature_maps():
    torch.manual_seed(0)
    images = torch.rand(5, 1, 8, 8)
    net = trained._read(trained.circular_cnn(), images, torch.zeros(5, dtype=torch.int64))
    for i, (filters, code) in enumerate(zip(net.filters, net.codes, strict=True)):
        assert torch.allclose(filters.flatten(1).norm(dim=1), torch.ones(len(filters)).double(), atol=1e-6)
        norms = net.model[2 * i].weight.flatten(1).norm(dim=1)
        layers = torch.nn.Sequential(*list(net.model)[:2 * i + 2])
        assert torch.allclose(code * norms[:, None, None], layers(images).double(), atol=1e-6)
    assert len(trained.measured_layers(net)) == 2


def test_the_padding_of_the_network_only_shifts_the_map():
    model = trained.circular_cnn()
    images = torch.rand(2, 1, 8, 8)
    shifted = definitions.forward_layer(images, model[0].weight, 0.0)
    own = torch.relu(model[0](images) - model[0].bias[:, None, None])
    assert torch.allclose(shifted.roll((1, 1), (-2, -1)), own, atol=1e-6)


def test_selecting_signals_keeps_their_numbers():
    group = samples.group(SETTING, "K2-compact", 4)
    some = group[np.array([2, 0])]
    again = stability.layers(some.signals.dictionaries, some.signals.codes)
    for layer, wanted in zip(some.layers, again, strict=True):
        assert np.allclose(layer.coherence, wanted.coherence)
        assert (layer.stripes == wanted.stripes).all()


def test_admissible_supports_are_counted_once():
    supports = context._supports(1)
    assert [len(supports[size]) for size in (1, 2, 3, 4)] == [36, 378, 1080, 243]
