"""The fully connected networks of Fig. 4: their regulariser is the frame potential, and it lowers it."""

import pytest
import torch

from deepatoms.learning.training import seeded
from deepatoms.studies.deep_frame_potential import fully_connected
from deepatoms.theory import frame_potential, induced

HIDDEN = [4, 8]


def test_the_regulariser_is_the_squared_frame_potential_of_the_hidden_layers():
    net = seeded(fully_connected.network, 0, hidden=HIDDEN).double()
    weights = [net[0].weight.detach(), net[2].weight.detach()]
    expected = frame_potential.potential(induced.chain([fully_connected.INPUT, *HIDDEN]), weights)
    assert fully_connected.reached(net, HIDDEN) == pytest.approx(float(expected), rel=1e-9)


def test_no_closed_form_lies_above_what_a_network_has():
    net = seeded(fully_connected.network, 0, hidden=HIDDEN)
    assert fully_connected.standing(HIDDEN)["potential"] <= fully_connected.reached(net, HIDDEN)


def test_regularised_networks_end_with_a_lower_frame_potential(monkeypatch):
    """On images of noise, since only the regulariser's pull is at stake."""
    draw = torch.Generator().manual_seed(0)

    class Noise:
        images = torch.randn(200, 3, 32, 32, generator=draw)
        labels = torch.randint(10, (200,), generator=draw)

    monkeypatch.setattr(fully_connected.data, "load", lambda *words, **options: Noise)
    plain, regularised = (fully_connected.measure(
        {"hidden": HIDDEN, "regularisation": weight, **fully_connected.RECIPE, "epochs": 3, "seeds": [0, 1]}, "cpu")
        for weight in (0.0, 10.0))
    assert all(lower < higher for lower, higher in zip(regularised["reached"], plain["reached"], strict=True))
    assert plain["parameters"] == regularised["parameters"] and len(plain["test_errors"]) == 2
