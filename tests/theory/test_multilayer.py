"""The sampler: every layer sparse, exactly consistent, coherence as designed."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch

from deepatoms.theory import convolutional, multilayer, stability


@pytest.mark.parametrize("name", sorted(set(multilayer.CONFIGURATIONS) - {"K3-over"}))
def test_codes_are_consistent_and_as_sparse_as_the_configuration_says(name):
    chosen = multilayer.CONFIGURATIONS[name]
    signals = multilayer.draw(name, 2, np.random.default_rng(0))
    above = [signals.signal, *signals.codes[:-1]]
    for wanted, D, code in zip(above, signals.dictionaries, signals.codes, strict=True):
        assert (D.synthesize(code) - wanted).abs().max() < 1e-12
        assert D.unit_excess() < 1e-12
    assert int((signals.codes[-1] != 0).flatten(1).sum(1).max()) == chosen.spikes
    for layer, D in zip(chosen.layers, signals.dictionaries[1:], strict=True):
        assert D.coherence().max() <= 1 / layer.taps + 1e-12
        assert not layer.own_channels or D.coherence().max() == 0


@pytest.mark.parametrize("name", ["K2-1D", "K2-2D", "K3-1D", "K3-1D-m8", "K3-2D"])
def test_every_drawn_signal_of_the_certified_configurations_is_certified(name):
    signals = multilayer.draw(name, 5, np.random.default_rng(1), design_seed=1)
    assert (stability.largest_certified_noise(stability.layers(signals.dictionaries, signals.codes)) > 0.01).all()


def test_nonnegative_draws_are_nonnegative_at_every_layer():
    signals = multilayer.draw("K3-1D", 3, np.random.default_rng(2), nonnegative=True)
    assert all(bool((code >= 0).all()) for code in signals.codes)


def test_placing_atoms_equals_the_product():
    rng = np.random.default_rng(3)
    filters = rng.normal(size=(2, 3, 2, 4, 3))
    codes = rng.normal(size=(2, 3, 8, 7)) * (rng.random((2, 3, 8, 7)) < 0.2)
    product = convolutional.ConvolutionalDictionary(filters, (8, 7)).synthesize(torch.from_numpy(codes))
    np.testing.assert_allclose(multilayer.place_atoms(filters, codes), product, atol=1e-12)


def test_rows_of_a_batch_keep_their_dictionaries():
    signals = multilayer.draw("K2-compact", 4, np.random.default_rng(4))
    some = signals[[1, 3]]
    assert len(some) == 2
    assert (some.dictionaries[1].synthesize(some.codes[1]) - some.codes[0]).abs().max() < 1e-12


@pytest.mark.parametrize(("call", "said"), [
    (lambda rng: multilayer.draw("K4", 1, rng), "unknown"),
    (lambda rng: multilayer.draw("K2-1D", 0, rng), "smaller than 1"),
    (lambda rng: multilayer.draw("K2-1D", 1, rng, spikes=6), "no room for 6 spikes"),
    (lambda rng: multilayer.sparse_filters(multilayer.SparseLayer(2, (60,), 4, 49), 4, rng), "too short for 4 taps"),
    (lambda rng: multilayer.sparse_filters(multilayer.SparseLayer(3, (60,), 2, 49, True), 4, rng), "needs 6 channels"),
])
def test_impossible_requests_are_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call(np.random.default_rng(0))


@pytest.mark.parametrize(("kernel", "count", "spacing"), [((9,), 3, 3), ((7,), 3, 3), ((6, 6), 3, 2), ((4, 4), 2, 3)])
def test_places_are_inside_and_as_far_apart_as_asked_and_no_farther_than_that(kernel, count, spacing):
    generator, gaps = np.random.default_rng(0), set()
    for _ in range(3000):
        places = multilayer._spaced(kernel, count, spacing, generator)
        if places is not None:
            assert places.shape == (count, len(kernel)) and (places >= 0).all() and (places < kernel).all()
            gaps |= {int(abs(one - other).max()) for one, other in itertools.combinations(places, 2)}
    assert min(gaps) == spacing


def test_a_kernel_without_room_is_refused_and_the_shortest_with_room_is_not():
    assert multilayer._spaced((7,), 3, 3, np.random.default_rng(0)).ravel().tolist() == [0, 3, 6]
    with pytest.raises(ValueError, match="kernel = .*use at least 7"):
        multilayer._spaced((6,), 3, 3, np.random.default_rng(0))


def test_misleading_noise_raises_the_absent_atom_that_correlates_most_and_turns_with_the_signal():
    signals = multilayer.draw("K2-compact", 4, np.random.default_rng(0))
    noise = multilayer.misleading_noise(signals, 0.3)
    D, absent = signals.dictionaries[0], signals.codes[0] == 0
    before, after = ((D.analyze(each).abs() * absent).flatten(1).amax(1) for each in (signals.signal, signals.signal + noise))
    chosen = (D.analyze(signals.signal).abs() * absent).flatten(1).argmax(1, keepdim=True)
    added = math.prod(D.analyze(each).flatten(1).gather(1, chosen) for each in (noise, signals.signal))
    assert (after > before).all() and (added > 0).all()
    turned = dataclasses.replace(signals, signal=-signals.signal, codes=[-code for code in signals.codes])
    assert torch.allclose(multilayer.misleading_noise(turned, 0.3), -noise)
    assert torch.allclose(multilayer.worst_noise(turned, 0.3), -multilayer.worst_noise(signals, 0.3))
    shrunk = D.analyze(multilayer.worst_noise(signals, 0.3)) * signals.codes[0].sign()
    assert float(shrunk.sum()) < 0
