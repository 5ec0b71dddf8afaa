"""What the chapter on ML-CSC draws is described, and its captions count what was measured."""

import numpy as np
import pytest
import torch

from deepatoms.claims import checking
from deepatoms.studies.ml_csc import drawing
from deepatoms.studies.ml_csc.checks import theorem, trained

SETTING = checking.Setting(0)


@pytest.fixture
def untrained(monkeypatch):
    """Two networks as they start, in place of ten trained ones."""
    images = trained.test_images(SETTING)
    torch.manual_seed(0)
    nets = [trained._read(trained.circular_cnn(), images, torch.zeros(len(images), dtype=torch.int64)) for _ in range(2)]
    monkeypatch.setattr(trained, "trained", lambda setting: nets)


def test_a_signal_is_drawn_with_its_two_codes():
    signal, *codes = drawing.one_signal(SETTING).axes
    assert len(signal.lines) == 1
    assert [sum(len(lines.get_segments()) for lines in axes.collections) for axes in codes] == [8, 2]


def test_the_still_of_the_bench_finds_what_its_thresholds_are_sure_to_find():
    still, data = drawing.two_layer_bench()
    assert "6 of 6 in layer 1 and 2 of 2 in layer 2" in still.description
    assert [layer["kernel"] for layer in data["layers"]] == [17, 75] and len(str(data)) < 20_000


def test_networks_lie_above_the_limit_and_engineered_signals_below(untrained):
    curve, *points = drawing.counts_and_limit(SETTING).axes[0].lines
    above = [np.all(np.asarray(p.get_ydata()) > np.interp(p.get_xdata(), *curve.get_data())) for p in points]
    assert above == [True, True, False, False]


def test_rebuilt_digits_say_how_much_of_them_is_missing(untrained):
    figure = drawing.digits_rebuilt(SETTING, shown=2)
    assert len(figure.axes) == 6 and figure.caption.count("%") == 2


def test_ratios_of_error_to_bound_are_drawn_sorted(monkeypatch):
    trial = {"ratio": np.random.default_rng(0).uniform(0.7, 1, (2, 2, 30))}
    monkeypatch.setattr(theorem, "harness", lambda setting: {"K2-1D": trial})
    for row, axes in enumerate(drawing.bound_and_error(SETTING).axes):
        np.testing.assert_array_equal(axes.lines[0].get_ydata(), np.sort(trial["ratio"][row][-1]))


def test_windows_close_as_the_noise_grows():
    quiet, loud = (drawing.window_frame(SETTING, noise, 0.01).caption for noise in (0.0, 0.05))
    assert "layer 2: window open, support found" in quiet and "layer 2: window empty" in loud


def test_one_nonzero_is_spoken_of_in_the_singular():
    assert drawing.crowd_frame(SETTING, 0.2, 1).caption.startswith("1 nonzero in 25 positions, size 1;")
    assert drawing.crowd_frame(SETTING, 0.2, 2).caption.startswith("2 nonzeros in 25 positions, sizes from 1 to 0.2;")
