"""The sampler: every layer sparse, exactly consistent, coherence as designed."""

import dataclasses
import hashlib
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


def test_the_names_of_configurations_mean_what_the_records_measured():
    """Recorded results carry these names alone: another number under an old name would make each of them untrue."""
    digest = hashlib.sha256(repr(sorted(multilayer.CONFIGURATIONS.items())).encode()).hexdigest()
    assert digest == "5ea707790180c9aa2fabe294760464587976143374e40b76e4ae6661d652d492", "give a new one a name of its own"


def test_a_stripe_of_the_layer_above_sees_one_tap_of_a_sparse_filter():
    """The rule behind the spacings: stripes of the first layer are 2 n - 1 wide, shifts of taps add up from layer to layer."""
    for name in sorted(set(multilayer.CONFIGURATIONS) - {"K2-compact", "K2-fail"}):
        chosen = multilayer.CONFIGURATIONS[name]
        reach = 2 * max(chosen.kernel) - 1
        for layer in chosen.layers:
            assert layer.spacing == reach, name
            reach = 2 * max(layer.kernel) - 1 if not layer.own_channels else reach + max(layer.kernel) - 1
        assert all(size >= 2 * chosen.gap for size in chosen.grid)


@pytest.mark.parametrize("wrong", [[], [0], [1], [0, 2]])
def test_one_entry_too_many_or_too_few_makes_a_support_wrong_and_a_changed_size_does_not(wrong):
    signals = multilayer.draw("K2-compact", 3, np.random.default_rng(5))
    found = [code * 1.5 for code in signals.codes]
    for row in wrong:
        there = found[0][row] != 0
        place = tuple(torch.nonzero(there if row == 0 else ~there)[0])
        found[0][(row, *place)] = 0.0 if row == 0 else 1.0
    told = signals.wrong_supports(found)
    assert told[0].tolist() == [row in wrong for row in range(3)] and not told[1].any()


def test_errors_are_measured_on_the_patch_that_the_next_layer_sees():
    signals = multilayer.draw("K2-compact", 2, np.random.default_rng(6))  # supports: 100, then 9, then one position
    assert signals.kernels == [(100,), (9,), (1,)]
    moved = [code.clone() for code in signals.codes]
    for code, distance in zip(moved, (8, 8), strict=True):
        code[0, 0, 500] += 3.0
        code[0, 1, 500 + distance] += 4.0
    for near, wanted in ((moved, [5.0, 4.0]), ([code.roll(600, -1) for code in moved], None)):
        for layer, error in enumerate(signals.errors(near)):
            if wanted:
                assert error == pytest.approx([wanted[layer], 0.0], abs=1e-12)
    moved[0][0, 1, 508] -= 4.0
    moved[0][0, 1, 509] += 4.0
    assert signals.errors(moved)[0] == pytest.approx([4.0, 0.0], abs=1e-12)


def test_sizes_of_spikes_are_uniform_or_uniform_in_the_logarithm_between_their_ends():
    def sizes(**changes):
        spikes = multilayer.draw("K2-fail", 4, np.random.default_rng(7), spikes=100, gap=1, grid=(10000,), **changes).codes[-1]
        return spikes[spikes != 0]
    usual, signed = sizes().abs(), sizes()
    assert 0.95 <= float(usual.min()) < 0.952 and 0.998 < float(usual.max()) <= 1.0
    assert 0.3 < float((signed > 0).double().mean()) < 0.7 and (sizes(nonnegative=True) > 0).all()
    for logarithmic, middle in ((False, 5.005), (True, 0.1)):
        drawn = sizes(amplitudes=(0.01, 10.0), logarithmic=logarithmic).abs()
        assert 0.01 <= float(drawn.min()) and float(drawn.max()) <= 10.0
        assert float((drawn < 0.316).double().mean()) == pytest.approx(0.5 if logarithmic else 0.03, abs=0.1)
        assert float((drawn < middle).double().mean()) == pytest.approx(1 / 3 if logarithmic else 0.5, abs=0.1)


@pytest.mark.parametrize(("grid", "gap"), [((20,), 6), ((9, 8), 4), ((6,), 3)])
def test_spikes_are_a_gap_apart_around_the_edge_and_no_farther_than_asked(grid, gap):
    chosen = multilayer.Configuration(grid, 1, (1,) * len(grid), (), 2, gap)
    found, generator = set(), np.random.default_rng(8)
    for _ in range(400):
        one, other = multilayer._apart(chosen, generator)
        around = [min((a - b) % n, (b - a) % n) for a, b, n in zip(one, other, grid, strict=True)]
        found.add(max(around))
    assert min(found) == gap and max(found) == max(n // 2 for n in grid)


def test_designs_of_the_first_layer_are_taken_in_turn():
    signals = multilayer.draw("K2-compact", 10, np.random.default_rng(9))
    filters = signals.dictionaries[0].filters
    assert multilayer.first_layer(2, (100,)).shape == (8, 2, 1, 100)
    assert torch.equal(filters[8:], filters[:2])
    assert all(not torch.equal(filters[a], filters[b]) for a, b in itertools.combinations(range(8), 2))


def overlaps(where, places, others, other_places):
    """Return for each shift in how many taps one atom meets a shifted other, by laying them on a grid."""
    size = 2 * int(max(places.max(), other_places.max())) + 1
    atoms = [np.zeros((5, *[size] * places.shape[1])) for _ in range(2)]
    for atom, channels, at in zip(atoms, (where, others), (places, other_places), strict=True):
        np.add.at(atom, (channels, *at.T), 1.0)
    axes = tuple(range(1, places.shape[1] + 1))
    for shift in itertools.product(range(-size + 1, size), repeat=places.shape[1]):
        padded = np.pad(atoms[1], [(0, 0)] + [(size, size)] * len(axes))
        window = tuple(slice(size - s, 2 * size - s) for s in shift)
        yield shift, (atoms[0] * padded[(slice(None), *window)]).sum()


@pytest.mark.parametrize("axes", [1, 2])
def test_two_atoms_collide_twice_where_one_shift_brings_two_taps_together(axes):
    draw, told, taps = np.random.default_rng(axes), [], 1 + 2 * axes
    box = np.array(list(itertools.product(range(4), repeat=axes)))
    for _ in range(24 // axes**2):
        places = [box[draw.choice(len(box), taps, replace=False)] for _ in range(2)]
        channels = draw.integers(3, size=(2, taps))
        told.append(multilayer._collide_twice(channels[0], places[0], channels[1], places[1]))
        assert told[-1] == any(count > 1 for _, count in overlaps(channels[0], places[0], channels[1], places[1]))
        assert multilayer._collide_twice(channels[0], places[0], channels[0], places[0]) == any(
            count > 1 for shift, count in overlaps(channels[0], places[0], channels[0], places[0]) if any(shift))
    assert 0 < sum(told) < len(told)


def test_taps_have_both_signs_equal_sizes_and_channels_of_their_own_where_asked():
    layer = multilayer.SparseLayer(3, (90,), 2, 40, own_channels=True)
    filters = multilayer.sparse_filters(layer, 6, np.random.default_rng(10))
    atom, channel, _ = np.nonzero(filters)
    assert channel.tolist() == [0, 1, 2, 3, 4, 5] and atom.tolist() == [0, 0, 1, 1, 2, 2]
    signs = [multilayer.sparse_filters(layer, 6, np.random.default_rng(seed)) for seed in range(6)]
    taps = np.concatenate([each[each != 0] for each in signs])
    assert np.allclose(abs(taps), 0.5**0.5) and 10 < (taps > 0).sum() < 26
    assert (multilayer.sparse_filters(layer, 6, np.random.default_rng(0), nonnegative=True) >= 0).all()


def test_what_cancels_is_exactly_zero_and_what_is_small_is_not():
    filters, codes = np.array([[[[1.0, 1.0]]]]), np.zeros((1, 1, 6))
    codes[0, 0, :4] = 1.0, -1.0 + 2e-13, 1e-11, 0.0
    assert multilayer.place_atoms(filters, codes)[0, 0, 1] == 0.0
    assert multilayer.place_atoms(filters, codes)[0, 0, 3] == pytest.approx(1e-11)


def test_noise_has_the_norm_that_each_signal_is_given():
    signals, wanted = multilayer.draw("K2-compact", 3, np.random.default_rng(11)), np.array([0.0, 0.5, 2.0])
    for noise in (multilayer.gaussian_noise(signals, wanted, np.random.default_rng(12)), multilayer.worst_noise(signals, wanted),
                  multilayer.misleading_noise(signals, wanted)):
        assert convolutional.patch_norm(noise, (100,)).tolist() == pytest.approx(wanted.tolist())
    for wrong in (-0.1, math.inf, np.array([0.1, -0.1, 0.1])):
        with pytest.raises(ValueError, match="noise = .* is negative or not finite"):
            multilayer.worst_noise(signals, wrong)
    assert len(signals.to("cpu")) == 3 and torch.equal(signals.to("cpu").codes[1], signals.codes[1])
