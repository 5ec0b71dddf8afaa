"""Convolutional dictionaries: every fast product and norm against an explicit matrix or direct loops."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepatoms.theory import convolutional, dictionaries

SHAPES = [((3, 2, 4), (9,)), ((2, 1, 5), (5,)), ((4, 3, 2, 3), (6, 5)), ((2, 2, 3, 3), (4, 3))]


def drawn(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize(("shape", "grid"), SHAPES)
def test_products_equal_those_of_the_explicit_matrix(shape, grid):
    filters, codes, signals = drawn(shape), drawn((2, shape[0], *grid), 1), drawn((2, shape[1], *grid), 2)
    D = convolutional.matrix(filters, grid)
    synthesized, analyzed = convolutional.synthesize(filters, codes), convolutional.analyze(filters, signals)
    np.testing.assert_allclose(synthesized.reshape(2, -1), codes.reshape(2, -1) @ D.T, atol=1e-13)
    np.testing.assert_allclose(analyzed.reshape(2, -1), signals.reshape(2, -1) @ D, atol=1e-13)
    assert abs((synthesized * signals).sum() - (analyzed * codes).sum()) < 1e-12


@pytest.mark.parametrize(("shape", "grid"), SHAPES)
def test_the_resolvent_solves_with_the_explicit_matrix(shape, grid):
    filters, signals = drawn(shape), drawn((2, shape[1], *grid), 2)
    D = convolutional.matrix(filters, grid)
    expected = np.linalg.solve(D @ D.T + 0.3 * np.eye(len(D)), signals.reshape(2, -1).T).T
    found = convolutional.ConvolutionalDictionary(filters, grid).resolvent(0.3)(signals)
    np.testing.assert_allclose(found.reshape(2, -1), expected, atol=1e-12)


@pytest.mark.parametrize(("shape", "grid"), SHAPES)
def test_coherence_and_norm_equal_those_of_the_explicit_matrix(shape, grid):
    filters = drawn(shape)
    D = convolutional.matrix(filters, grid)
    assert abs(convolutional.filter_coherence(filters, grid) - dictionaries.mutual_coherence(D)) < 1e-13
    found = convolutional.ConvolutionalDictionary(filters, grid).squared_norm
    assert found == pytest.approx(np.linalg.norm(D, 2) ** 2, rel=1e-12)


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("options", [{"padding": 1}, {"padding": 0}, {"padding": 3}, {"padding": 1, "stride": 2},
                                     {"padding": 2, "dilation": 2}])
def test_no_padded_convolution_has_a_larger_norm_than_its_bound(axes, options):
    filters, grid = torch.from_numpy(drawn((3, 2, *[3] * axes))), (7,) * axes
    convolve = torch.nn.functional.conv1d if axes == 1 else torch.nn.functional.conv2d
    basis = torch.eye(2 * 7**axes, dtype=torch.float64).reshape(-1, 2, *grid)
    exact = float(torch.linalg.matrix_norm(convolve(basis, filters, **options).flatten(1), 2))
    bound = convolutional.padded_norm(filters, grid, options.get("dilation", 1))
    assert exact <= bound * (1 + 1e-12)
    assert options != {"padding": 3} or exact > 0.9 * bound  # where nothing is cut off, the bound is nearly met


def test_coherence_without_a_grid_is_that_of_a_long_one():
    filters = drawn((3, 2, 4))
    assert convolutional.filter_coherence(filters) == pytest.approx(convolutional.filter_coherence(filters, (31,)), abs=1e-14)


def test_one_dictionary_for_each_signal():
    filters, codes = torch.from_numpy(drawn((3, 2, 1, 4))), torch.from_numpy(drawn((3, 2, 9), 1))
    together = convolutional.ConvolutionalDictionary(filters, (9,))
    for i in range(3):
        single = convolutional.synthesize(filters[i], codes[i])
        assert (together.synthesize(codes)[i] - single).abs().max() < 1e-14
        assert abs(float(together.coherence()[i] - convolutional.filter_coherence(filters[i], (9,)))) < 1e-14


def direct_patch(values, kernel):
    """Every window, every position once, by loops."""
    grid = values.shape[1:]
    for start in np.ndindex(*grid):
        places = {tuple((s + t) % size for s, t, size in zip(start, step, grid, strict=True))
                  for step in np.ndindex(*kernel)}
        yield np.array([values[(slice(None), *place)] for place in places])


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), axes=st.integers(1, 2), n=st.integers(1, 6), density=st.floats(0.05, 0.5))
def test_local_norms_equal_direct_loops(seed, axes, n, density):
    rng = np.random.default_rng(seed)
    grid, kernel = tuple(rng.integers(6, 10, axes)), (n,) * axes
    codes = rng.normal(size=(3, *grid)) * (rng.random((3, *grid)) < density)
    stripe = tuple(min(2 * n - 1, size) for size in grid)
    patch = tuple(min(n, size) for size in grid)
    assert convolutional.stripe_count(codes, kernel) == max(np.count_nonzero(w) for w in direct_patch(codes, stripe))
    assert convolutional.patch_count(codes, kernel) == max(np.count_nonzero(w) for w in direct_patch(codes, patch))
    assert abs(convolutional.patch_norm(codes, kernel) - max(np.linalg.norm(w) for w in direct_patch(codes, patch))) < 1e-12


def test_trained_filters_come_near_the_welch_bound_and_never_below():
    for atoms, kernel in [(2, (25,)), (4, (8, 8))]:
        filters = convolutional.minimize_filter_coherence(atoms, 1, kernel, designs=2).best
        for design in filters:
            ratio = float(convolutional.filter_coherence(design)) / convolutional.filter_welch_bound(atoms, 1, kernel)
            assert 1 <= ratio < 1.7


@pytest.mark.parametrize(("atoms", "channels", "kernel"), list(itertools.product([3, 5], [1, 2], [(3,), (2, 2)])))
def test_no_dictionary_is_below_the_welch_bound(atoms, channels, kernel):
    bound = convolutional.filter_welch_bound(atoms, channels, kernel)
    for seed in range(20):
        assert convolutional.filter_coherence(drawn((atoms, channels, *kernel), seed)) >= bound - 1e-12


def test_products_and_coherence_are_differentiable():
    filters = torch.from_numpy(drawn((2, 2, 3))).requires_grad_()
    codes = torch.from_numpy(drawn((1, 2, 6), 1)).requires_grad_()
    assert torch.autograd.gradcheck(convolutional.synthesize, (filters, codes))
    assert torch.autograd.gradcheck(lambda f: convolutional.filter_coherence(f), (filters,))


@pytest.mark.parametrize(("call", "said"), [
    (lambda: convolutional.synthesize(np.ones((2, 1, 5)), np.ones((2, 4))), "longer than the grid"),
    (lambda: convolutional.synthesize(np.ones((2, 1, 3)), np.ones((3, 8))), "does not end in"),
    (lambda: convolutional.analyze(np.full((2, 1, 3), np.nan), np.ones((1, 8))), "NaN"),
    (lambda: convolutional.normalize_filters(np.zeros((2, 1, 3))), "zero atoms"),
    (lambda: convolutional.filter_coherence(np.zeros((2, 1, 3))), "zero atoms"),
    (lambda: convolutional.filter_coherence(np.ones((2, 3))), "rank 2"),
    (lambda: convolutional.matrix(np.ones((8, 8, 3)), (5000,)), "1,600,000,000 entries"),
    (lambda: convolutional.stripe_count(np.ones((2, 8)), (0,)), "smaller than 1"),
    (lambda: convolutional.patch_norm(np.ones(8), (2,)), "grid axes"),
])
def test_bad_input_is_refused_by_name(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_training_filters_says_whether_it_converged_and_keeps_the_best():
    few, many = (convolutional.minimize_filter_coherence(2, 1, 3, designs=3, iterations=steps) for steps in (2, 500))
    assert not few.converged and many.converged
    coherences = [[float(convolutional.filter_coherence(design)) for design in found.best] for found in (few, many)]
    assert (np.array(coherences[1]) <= np.array(coherences[0]) + 1e-9).all()
