"""The stability theorems: intervals and conditions agree, certified signals are recovered within the bound, others are not."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepatoms.theory import convolutional, multilayer, pursuit, stability
from deepatoms.theory.stability import LayerNumbers

SMALL = ["K2-1D", "K2-compact", "K3-1D", "K3-1D-m8", "K2-1D-q8"]
sizes = st.floats(0.5, 2)


def noisy(signals, noise, kind):
    return signals.signal + (multilayer.worst_noise(signals, noise) if kind == "worst" else
                             multilayer.gaussian_noise(signals, noise, np.random.default_rng(5)))


@settings(max_examples=300)
@given(mu=st.floats(0, 0.5), s=st.integers(1, 8), large=sizes, contrast=st.floats(0.05, 1), noise=st.floats(0, 0.5))
def test_the_interval_is_empty_exactly_when_the_condition_fails(mu, s, large, contrast, noise):
    layer = LayerNumbers(mu, s, 1, large * contrast, large)
    lower, upper = stability.threshold_interval(layer, noise * layer.smallest)
    limit = stability.stripe_limit(layer, noise * layer.smallest)
    if abs(upper - lower) > 1e-9 * large:
        assert (lower < upper) == (s < limit)


@settings(max_examples=100)
@given(mu=st.floats(0, 0.3), s=st.integers(1, 3), p=st.integers(1, 5), contrast=st.floats(0.2, 1), position=st.floats(0.001, 0.9))
def test_the_largest_certified_noise_is_where_the_certificate_ends(mu, s, p, contrast, position):
    layers = [LayerNumbers(mu, s, p, contrast, 1.0), LayerNumbers(mu / 2, 1, 1, 2 * contrast, 2.0)]
    for kind, bounds in [("soft", stability.soft_thresholding_bounds), ("hard", stability.hard_thresholding_bounds)]:
        limit = stability.largest_certified_noise(layers, position=position, kind=kind)
        if limit > 1e-6:
            assert bounds(layers, limit * (1 - 1e-7), position=position)[-1].holds
            assert not bounds(layers, limit * (1 + 1e-7), position=position)[-1].holds
        elif limit < 0:
            assert not bounds(layers, 0.0, position=position)[-1].holds


def test_the_largest_certified_noise_of_fixed_thresholds():
    layers, thresholds = [LayerNumbers(0.1, 2, 2, 0.9, 1.0), LayerNumbers(0.2, 1, 1, 2.0, 2.0)], [0.3, 1.0]
    limit = stability.largest_certified_noise(layers, thresholds)
    assert limit > 0
    assert stability.soft_thresholding_bounds(layers, limit * 0.999, thresholds)[-1].holds
    assert not stability.soft_thresholding_bounds(layers, limit * 1.001, thresholds)[-1].holds


@pytest.mark.parametrize("kind", ["gaussian", "worst"])
@pytest.mark.parametrize("name", SMALL)
def test_certified_signals_are_recovered_within_the_bound(name, kind):
    signals = multilayer.draw(name, 20, np.random.default_rng(1))
    layers = stability.layers(signals.dictionaries, signals.codes)
    for bounds, thresholding in [(stability.soft_thresholding_bounds, "soft"), (stability.hard_thresholding_bounds, "hard")]:
        noise = 0.9 * stability.largest_certified_noise(layers, kind=thresholding)
        certified = noise > 0
        noise = np.maximum(noise, 0)
        promised = bounds(layers, noise)
        assert all(bound.holds[certified].all() for bound in promised)
        found = pursuit.layered_thresholding(noisy(signals, noise, kind), signals.dictionaries,
                                             [signals.aligned(b.threshold) for b in promised], thresholding)
        assert not np.any(np.array(signals.wrong_supports(found))[:, certified])
        for error, bound in zip(signals.errors(found), promised, strict=True):
            assert (error <= bound.error * (1 + 1e-9))[certified].all()


def test_outside_the_certificate_supports_are_lost():
    signals = multilayer.draw("K2-1D", 10, np.random.default_rng(2))
    layers = stability.layers(signals.dictionaries, signals.codes)
    promised = stability.soft_thresholding_bounds(layers, 6 * stability.largest_certified_noise(layers))
    assert not promised[-1].holds.any()
    found = pursuit.layered_thresholding(noisy(signals, promised[0].noise, "worst"), signals.dictionaries,
                                         [signals.aligned(b.threshold) for b in promised])
    assert signals.wrong_supports(found)[1].all()


def test_exact_sparse_basis_pursuit_keeps_its_bound():
    signals = multilayer.draw("K2-1D", 10, np.random.default_rng(3))
    layers = stability.layers(signals.dictionaries, signals.codes)
    promised = stability.basis_pursuit_bounds(layers, np.full(10, 0.003))
    code = noisy(signals, promised[0].noise, "worst")
    for D, true, bound, kernel in zip(signals.dictionaries, signals.codes, promised, [(200,), (1,)], strict=True):
        code = pursuit.sparse_basis_pursuit(code, D, torch.from_numpy(bound.weight), tolerance=1e-10)
        assert bound.holds.all()
        assert not bool(((code != 0) & (true == 0)).any())
        assert (convolutional.patch_norm(code - true, kernel).numpy() <= bound.error).all()


def test_without_coherence_nothing_is_divided_by_zero():
    layer = LayerNumbers(0.0, 5, 2, 1.0, 2.0)
    assert stability.stripe_limit(layer, 0.4) == np.inf
    assert stability.stripe_limit(layer, 0.5) == -np.inf
    assert stability.threshold_interval(layer, 0.4) == (0.4, 0.6)
    assert stability.uniqueness_limit(layer) == np.inf
    assert stability.deep_coding_bounds([layer], 1.0) == [2.0]


def test_deep_coding_is_verified_and_a_moved_coefficient_found():
    signals = multilayer.draw("K3-1D", 1, np.random.default_rng(4))
    limits = [1, 2, 1]
    assert all(layer.holds for layer in stability.verify_deep_coding(signals.signal, signals.dictionaries, signals.codes, limits))
    moved = [signals.codes[0], signals.codes[1].roll(1, -1), signals.codes[2]]
    assert [layer.holds for layer in stability.verify_deep_coding(signals.signal, signals.dictionaries, moved, limits)] \
        == [True, False, False]


@pytest.mark.parametrize(("call", "said"), [
    (lambda: stability.layers([np.ones((2, 1, 3))], [np.ones((2, 8))]), "call deepatoms.theory.convolutional.normalize_filters"),
    (lambda: stability.layers([np.ones((1, 1, 1))], [np.zeros((1, 8))]), "zero everywhere"),
    (lambda: stability.layers([np.ones((1, 1, 1)), np.ones((1, 3, 1))], [np.ones((1, 8))] * 2), r"dictionaries\[0\] has 1 atoms"),
    (lambda: stability.layers([np.ones((1, 1, 1))], []), "0 layers"),
    (lambda: stability.soft_thresholding_bounds([LayerNumbers(0.1, 1, 1, 1.0, 1.0)], -1.0), "noise = -1.0"),
    (lambda: stability.soft_thresholding_bounds([LayerNumbers(0.1, 1, 1, 1.0, 1.0)], 0.1, [-0.5]), "thresholds = -0.5"),
    (lambda: stability.soft_thresholding_bounds([LayerNumbers(0.1, 1, 1, 1.0, 1.0)], 0.1, [0.5, 0.5]), "2 entries for 1 layers"),
    (lambda: stability.hard_thresholding_bounds([LayerNumbers(0.1, 1, 1, 1.0, 1.0)], np.nan), "not finite"),
    (lambda: stability.largest_certified_noise([LayerNumbers(0.1, 1, 1, 1.0, 1.0)], kind="basis"), "unknown"),
])
def test_bad_input_is_refused_by_name(call, said):
    with pytest.raises(ValueError, match=said):
        call()


@pytest.mark.parametrize(("call", "said"), [
    (lambda: LayerNumbers(float("nan"), 1, 1, 1.0, 1.0), "coherence = nan is negative or not finite"),
    (lambda: LayerNumbers(-1.0, 1, 1, 1.0, 1.0), "coherence = -1.0 is negative"),
    (lambda: LayerNumbers(1.5, 1, 1, 1.0, 1.0), "coherence = 1.5 exceeds 1"),
    (lambda: LayerNumbers(0.5, 1, 1, np.array([1.0, np.inf]), 1.0), "smallest = array.* is negative or not finite"),
    (lambda: stability.unique([]), "layers = .* is empty"),
])
def test_no_certificate_comes_from_numbers_that_mean_nothing(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_the_constants_of_layered_basis_pursuit_worked_out_by_hand():
    """Weight 4 e, error 7.5 sqrt(p) e, entries above 7.5 e found; the next layer's noise is this one's error."""
    first, second = stability.basis_pursuit_bounds([LayerNumbers(0.25, 1, 9, 1.0, 1.0), LayerNumbers(0.1, 2, 4, 1.0, 1.0)], 0.02)
    assert (first.weight, first.found_above, first.error) == pytest.approx((0.08, 0.15, 0.45))
    assert (second.noise, second.weight, second.found_above, second.error) == pytest.approx((0.45, 1.8, 3.375, 6.75))
    assert (first.limit, second.limit) == pytest.approx((5 / 3, 11 / 3))


@pytest.mark.parametrize("counts", [(1, 2), (2, 1), (1, 1), (2, 2)])
def test_a_layer_holds_where_it_and_every_one_above_does(counts):
    layers = [LayerNumbers(0.25, count, 1, 1.0, 1.0) for count in counts]  # the limit is 5/3
    found = [bool(each.holds) for each in stability.basis_pursuit_bounds(layers, 0.01)]
    assert found == [counts[0] == 1, counts == (1, 1)]
    assert bool(stability.unique(layers))
    assert not stability.unique([*layers, LayerNumbers(0.25, 3, 1, 1.0, 1.0)])


@settings(max_examples=60)
@given(st.floats(0.01, 0.9), st.integers(1, 6), st.floats(0.01, 2))
def test_the_bound_between_solutions_doubles_without_coherence_and_ends_at_the_limit(mu, s, noise):
    free = stability.deep_coding_bounds([LayerNumbers(0.0, s, 1, 1.0, 1.0)] * 2, noise)
    assert free == pytest.approx([2 * noise, 4 * noise])
    layer = LayerNumbers(mu, s, 1, 1.0, 1.0)
    if abs(s - stability.uniqueness_limit(layer)) > 1e-6:
        assert np.isinf(stability.deep_coding_bounds([layer], noise)[0]) == (s > stability.uniqueness_limit(layer))


def test_bounds_of_thresholding_worked_out_by_hand():
    """Three spikes in a stripe, mu = 0.1, sizes 1.5 to 2, noise 0.05: leak 0.6, interference 0.4."""
    first, second = LayerNumbers(0.1, 3, 4, 1.5, 2.0), LayerNumbers(0.02, 2, 9, 9.0, 10.0)
    assert (first.leakage, first.interference) == pytest.approx((0.6, 0.4))
    assert stability.threshold_interval(first, 0.05) == pytest.approx((0.65, 1.05))
    assert stability.stripe_limit(first, 0.05) == pytest.approx(0.5 + (0.75 - 0.05) / 0.2)
    soft = stability.soft_thresholding_bounds([first, second], 0.05, [0.8, 4.0])
    hard = stability.hard_thresholding_bounds([first, second], 0.05, [0.8, 4.0])
    assert [each.error for each in soft] == pytest.approx([2 * (0.05 + 0.4 + 0.8), 3 * (2.5 + 0.2 + 4.0)])
    assert [each.error for each in hard] == pytest.approx([2 * (0.05 + 0.4), 3 * (0.9 + 0.2)])
    assert [each.noise for each in soft] == pytest.approx([0.05, 2.5])
    assert [each.lower for each in soft] == pytest.approx([0.65, 2.9])
    assert [each.upper for each in soft] == pytest.approx([1.05, 6.3]) and all(each.holds for each in soft + hard)


@pytest.mark.parametrize(("bounds", "usual"), [
    (stability.soft_thresholding_bounds, 0.01), (stability.hard_thresholding_bounds, 0.5)])
def test_a_threshold_lies_where_asked_and_an_end_of_the_interval_does_not_hold(bounds, usual):
    layer = LayerNumbers(0.25, 1, 1, 1.0, 1.0)  # at noise 0.125 the interval is 0.375 to 0.875
    for position in (0.0, 0.25, 1.0):
        found = bounds([layer], 0.125, position=position)[0]
        assert found.threshold == pytest.approx(0.375 + 0.5 * position) and found.holds == (position == 0.25)
    assert bounds([layer], 0.125)[0].threshold == pytest.approx(0.375 + 0.5 * usual)
    for ends in ([0.375], [0.875]):
        assert not bounds([layer], 0.125, ends)[0].holds
    for wrong in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match="position = "):
            bounds([layer], 0.125, position=wrong)
        with pytest.raises(ValueError, match="position = "):
            stability.largest_certified_noise([layer], position=wrong)
    assert not bounds([layer, LayerNumbers(0.0, 1, 1, 9.0, 9.0)], 0.125, [0.9, 4.0])[1].holds  # after one that does not


@settings(max_examples=60)
@given(mu=st.floats(0.001, 0.1), s=st.integers(1, 3), p=st.integers(1, 5), place=st.floats(0.1, 0.9),
       kind=st.sampled_from(["soft", "hard"]))
def test_the_largest_certified_noise_of_fixed_thresholds_is_where_bisection_finds_it(mu, s, p, place, kind):
    bounds = stability.soft_thresholding_bounds if kind == "soft" else stability.hard_thresholding_bounds
    layers = [LayerNumbers(mu, s, p, 0.9, 1.0), LayerNumbers(mu / 2, s, 1, 15.0, 16.0)]
    thresholds = [low + place * (high - low) for low, high in (stability.threshold_interval(each, 0.0) for each in layers)]
    if not bounds(layers, 0.0, thresholds)[-1].holds:
        assert stability.largest_certified_noise(layers, thresholds, kind=kind) <= 1e-12
        return
    low, high = 0.0, 2.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if bounds(layers, middle, thresholds)[-1].holds else (low, middle)
    assert stability.largest_certified_noise(layers, thresholds, kind=kind) == pytest.approx(low, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("noise", [0.0, 0.25])
def test_a_limit_that_is_just_met_is_not_below_itself(noise):
    layer = LayerNumbers(0.25, 2, 1, 1.0, 1.0)
    assert stability.uniqueness_limit(layer) == 2.5
    equal = LayerNumbers(0.2, 3, 1, 1.0, 1.0)
    assert stability.uniqueness_limit(equal) == 3 and not stability.unique([equal])
    assert stability.deep_coding_bounds([layer, layer], 0.5) == pytest.approx([2.0, 8.0])
    assert stability.deep_coding_bounds([equal], 0.5) == [np.inf]
    met = LayerNumbers(0.5, 2, 1, 1.0, 1.0)  # the limit of layered basis pursuit is (1 + 2) / 3 = 1
    assert not stability.basis_pursuit_bounds([LayerNumbers(0.2, 2, 1, 1.0, 1.0)], 0.01)[0].holds
    assert stability.basis_pursuit_bounds([met], noise)[0].limit == pytest.approx(1.0)
    assert LayerNumbers(1 + 5e-7, 1, 1, 1.0, 1.0).coherence > 1  # rounding of single precision is let pass
    with pytest.raises(ValueError, match="exceeds 1"):
        LayerNumbers(1 + 2e-6, 1, 1, 1.0, 1.0)


def test_deep_coding_is_met_up_to_its_tolerance_and_its_limits():
    filters, code = [np.array([[[0.6, 0.8]]])], np.array([[2.0, 0.0, 0.0, 1.0, 0.0, 0.0]])
    signal = convolutional.synthesize(filters[0], code)
    for added, limit, holds in ((0.0, 1, True), (9e-10, 1, True), (2e-9, 1, False), (-2e-9, 1, False), (0.0, 0, False),
                                (0.0, 2, True)):
        found = stability.verify_deep_coding(signal + added, filters, [code], [limit])[0]
        assert found.holds == holds and found.residual == pytest.approx(abs(added), abs=1e-14)
        assert (found.stripes, found.limit) == (1, limit)
    assert stability.verify_deep_coding(signal + 1e-3, filters, [code], [1], tolerance=1e-2)[0].holds
    with pytest.raises(ValueError, match="2 entries for 1 layers"):
        stability.verify_deep_coding(signal, filters, [code], [1, 1])


def test_numbers_of_a_batch_are_those_of_each_signal_and_norms_are_looked_at():
    draw = np.random.default_rng(6)
    filters = [convolutional.normalize_filters(draw.normal(size=shape)) for shape in ((3, 1, 4), (2, 3, 2))]
    codes = [draw.normal(size=(5, 3, 12)) * (draw.random((5, 3, 12)) < 0.3), draw.normal(size=(5, 2, 12))]
    together = stability.layers(filters, codes)
    for i in range(5):
        alone = stability.layers(filters, [code[i] for code in codes])
        for layer, code, width, each in zip(together, codes, (2, 1), alone, strict=True):
            sizes = abs(code[i][code[i] != 0])
            assert (each.smallest, each.largest) == (sizes.min(), sizes.max()) == (layer.smallest[i], layer.largest[i])
            assert each.patches == layer.patches[i] == convolutional.patch_count(code[i], (width,))
            assert each.stripes == layer.stripes[i] and each.coherence == layer.coherence
    for scale, refused in ((1 + 8e-6, False), (1 - 8e-6, False), (1 + 1.2e-5, True), (1 - 1.2e-5, True)):
        scaled = [filters[0] * scale, filters[1]]
        if refused:
            with pytest.raises(ValueError, match="norm differs from 1"):
                stability.layers(scaled, codes)
        else:
            stability.layers(scaled, codes)


@pytest.mark.parametrize("noise", [1j, np.full(2, 0.1 + 0j), np.full((2, 2), 1j)])
def test_a_certificate_for_complex_noise_is_refused(noise):
    layer = LayerNumbers(0.1, 1, 1, 1.0, 1.0)
    for bounds in (stability.soft_thresholding_bounds, stability.hard_thresholding_bounds, stability.basis_pursuit_bounds,
                   stability.deep_coding_bounds):
        with pytest.raises(TypeError, match="noise = .* complex"):
            bounds([layer], noise)
    for limit in (stability.stripe_limit, stability.threshold_interval):
        with pytest.raises(TypeError, match="noise = .* complex"):
            limit(layer, noise)


@pytest.mark.parametrize("signal", [0.5, np.ones((1, 1)), np.ones((3, 1, 4))])
def test_a_signal_of_another_shape_is_not_spread_over_the_grid(signal):
    code = np.array([[2.0, 0.0, 0.0, 0.0]])
    with pytest.raises(ValueError, match="signal = .*is not of shape"):
        stability.verify_deep_coding(signal, [np.array([[[0.6, 0.8]]])], [code], [1])
