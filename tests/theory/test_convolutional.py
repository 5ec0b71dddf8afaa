"""Convolutional dictionaries: every fast product and norm against an explicit matrix or direct loops."""

import itertools
import math

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


def windows(values, kernel, measure):
    """Return the largest measure of a window of all maps, by visiting every window of the circular grid."""
    grid = values.shape[1:]
    found = []
    for place in itertools.product(*map(range, grid)):
        cells = {tuple((p + s) % n for p, s, n in zip(place, shift, grid, strict=True))
                 for shift in itertools.product(*map(range, kernel))}
        found.append(measure(np.stack([values[(slice(None), *cell)] for cell in cells])))
    return max(found)


@pytest.mark.parametrize(("grid", "kernel"), [((7,), (3,)), ((3,), (5,)), ((4,), (4,)), ((5, 4), (2, 3)), ((2, 6), (3, 2)),
                                              ((5,), (1,))])
def test_norms_and_counts_of_patches_are_those_of_every_window(grid, kernel):
    draw = np.random.default_rng(len(grid) + grid[0])
    values = draw.normal(size=(3, *grid)) * (draw.random((3, *grid)) < 0.4)
    values[0].flat[0] = 1.0
    assert convolutional.patch_norm(values, kernel) == pytest.approx(windows(values, kernel, np.linalg.norm))
    assert convolutional.patch_count(values, kernel) == windows(values, kernel, np.count_nonzero)
    stripe = tuple(2 * length - 1 for length in kernel)
    assert convolutional.stripe_count(values, kernel) == windows(values, stripe, np.count_nonzero)


@pytest.mark.parametrize(("channels", "atoms"), [(1, 3), (2, 5), (4, 2), (3, 1), (1, 1)])
def test_the_resolvent_solves_and_the_norm_is_that_of_the_matrix(channels, atoms):
    draw = np.random.default_rng(channels + 10 * atoms)
    filters, penalty = draw.normal(size=(atoms, channels, 3)), 0.7
    D, whole = convolutional.ConvolutionalDictionary(filters, (8,)), convolutional.matrix(filters, (8,))
    signals = draw.normal(size=(channels, 8))
    solved = np.linalg.solve(whole @ whole.T + penalty * np.eye(8 * channels), signals.ravel())
    assert np.allclose(np.asarray(D.resolvent(penalty)(signals)).ravel(), solved)
    assert D.squared_norm == pytest.approx(np.linalg.norm(whole, 2) ** 2)
    for wrong in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="penalty = "):
            D.resolvent(wrong)
    assert D.unit_excess() == pytest.approx(abs(np.linalg.norm(whole, axis=0) - 1).max())


@pytest.mark.parametrize(("grid", "dilation"), [((5,), 1), ((4,), 3), ((3, 5), (2, 1)), ((4, 3), 2)])
def test_the_bound_of_a_padded_convolution_is_the_norm_of_the_circular_one_where_just_nothing_wraps(grid, dilation):
    steps = (dilation,) * len(grid) if isinstance(dilation, int) else dilation
    filters = torch.from_numpy(drawn((2, 3, *[2] * len(grid))))
    spread = np.zeros((2, 3, *[step + 1 for step in steps]))
    for taps in itertools.product(range(2), repeat=len(grid)):
        spread[(..., *np.multiply(taps, steps))] = filters[(..., *taps)]
    whole = convolutional.matrix(spread, tuple(size + step for size, step in zip(grid, steps, strict=True)))
    assert convolutional.padded_norm(filters, grid, dilation) == pytest.approx(np.linalg.norm(whole, 2))


def test_orthogonal_atoms_have_no_coherence_and_others_keep_a_small_one():
    quarter = np.array([[[1.0, 1.0, 1.0, 1.0]], [[1.0, -1.0, 1.0, -1.0]]]) / 2
    assert convolutional.filter_coherence(np.eye(7)[:, :, None]) == 0.0
    assert convolutional.filter_coherence(quarter, (4,)) == 1.0  # a filter of one value is all its shifts
    for small in (1e-10, 1e-13):
        pair = np.array([[[1.0], [0.0]], [[small], [1.0]]])
        assert convolutional.filter_coherence(pair) == pytest.approx(small, rel=1e-2)


@pytest.mark.parametrize(("call", "said"), [
    (lambda D: convolutional.ConvolutionalDictionary(np.full((2, 1, 3), np.inf), (8,)), "filters = .* NaN or infinite"),
    (lambda D: convolutional.ConvolutionalDictionary(np.ones((2, 1, 3, 3, 3)), (4, 4, 4)), "grid = .* has 3 axes"),
    (lambda D: convolutional.ConvolutionalDictionary(np.ones((2, 3)), (8,)), "filters = .* lacks axes"),
    (lambda D: convolutional.ConvolutionalDictionary(np.ones((2, 1, 2, 3)), (2, 2)), "longer than the grid"),
    (lambda D: convolutional.ConvolutionalDictionary(np.ones((2, 1, 3)), (0,)), "grid = 0 is smaller than 1"),
    (lambda D: D.analyze(np.ones((3, 8))), r"signals = .* does not end in \(maps, \*grid\) = \(1, 8\)"),
    (lambda D: D.analyze(np.ones((1, 9))), "signals = .* does not end in"),
    (lambda D: D.synthesize(np.ones((1, 8))), "codes = .* does not end in"),
    (lambda D: convolutional.ConvolutionalDictionary(np.array([[[1.0]], [[0.0]]]), (4,)).coherence(), "has 1 zero atoms"),
    (lambda D: convolutional.normalize_filters(np.array([[[1.0]], [[0.0]]])), "has 1 zero atoms"),
    (lambda D: convolutional.matrix(np.ones((1, 1, 3)), (4097,)), "16,785,409 entries"),
    (lambda D: convolutional.padded_norm(torch.full((1, 1, 2), torch.nan), 4), "filters = .* NaN"),
    (lambda D: convolutional.patch_norm(np.ones((2, 8, 8)), (2, 2, 2)), "grid axes"),
    (lambda D: convolutional.patch_count(np.ones((1, 4)), 0), "kernel = 0 is smaller"),
    (lambda D: convolutional.filter_welch_bound(0, 1, 3), "atoms = 0"),
    (lambda D: convolutional.filter_welch_bound(1, 0, 3), "channels = 0"),
    (lambda D: convolutional.minimize_filter_coherence(2, 1, 3, iterations=0), "iterations = 0"),
    (lambda D: convolutional.minimize_filter_coherence(2, 1, 3, designs=0), "designs = 0"),
])
def test_what_fits_no_grid_is_refused_by_name(call, said):
    with pytest.raises(ValueError, match=said):
        call(convolutional.ConvolutionalDictionary(np.ones((2, 1, 3)), (8,)))


@pytest.mark.parametrize(("atoms", "channels", "kernel"), [
    (4, 1, (25,)), (5, 2, (3, 4)), (3, 3, (2,)), (2, 4, (3,)), (1, 1, (1,))])
def test_the_welch_bound_is_the_root_mean_square_of_what_a_tight_frame_spreads(atoms, channels, kernel):
    """A tight frame of m P unit atoms in c P dimensions has squared norm m^2 P / c; m P are products of an atom with itself."""
    lags, positions = math.prod(2 * n - 1 for n in kernel), 1000
    spread = atoms**2 * positions / channels - atoms * positions
    others = atoms * positions * max(1, atoms * lags - 1)
    assert convolutional.filter_welch_bound(atoms, channels, kernel) == pytest.approx(math.sqrt(max(0, spread) / others))


def test_correlations_are_products_of_shifted_atoms_also_where_they_wrap():
    filters = drawn((2, 2, 3))
    for size in (3, 4, 5, 8):
        D, whole = convolutional.ConvolutionalDictionary(filters, (size,)), convolutional.matrix(filters, (size,))
        found = np.asarray(D.correlations())
        for a, b, lag in itertools.product(range(2), range(2), range(-2, 3)):
            product = whole[:, a * size + lag % size] @ whole[:, b * size]
            assert found[a, b, lag % found.shape[-1]] == pytest.approx(product), (size, a, b, lag)


def test_trained_designs_are_unit_independent_and_repeat():
    one = convolutional.minimize_filter_coherence(3, 2, (2, 2), designs=2, iterations=3).best
    again = convolutional.minimize_filter_coherence(3, 2, (2, 2), designs=2, iterations=3).best
    other = convolutional.minimize_filter_coherence(3, 2, (2, 2), 2, torch.Generator().manual_seed(1), iterations=3).best
    assert one.shape == (2, 3, 2, 2, 2) and torch.equal(one, again) and not torch.equal(one, other)
    assert torch.allclose(one.flatten(2).norm(dim=-1), torch.ones(2, 3, dtype=one.dtype))
    assert convolutional.minimize_filter_coherence(2, 1, 3).best.shape == (1, 2, 1, 3)


def test_of_two_designs_the_less_coherent_is_kept_one_by_one():
    apart, alike = np.array([[[1.0, 0.0]], [[0.0, 1.0]]]), np.array([[[1.0, 1.0]], [[1.0, 0.9]]])
    good, bad = (torch.from_numpy(convolutional.normalize_filters(each + 0.01)) for each in (apart[:, :, ::-1].copy(), alike))
    one, other = torch.stack([good, bad]), torch.stack([bad, good])
    single = [float(convolutional.filter_coherence(each)) for each in (good, bad)]
    wanted = min(single)
    for pair in ((one, other), (other, one)):
        kept = convolutional._less_coherent(*pair, (3,))
        assert [float(convolutional.filter_coherence(each)) for each in kept] == pytest.approx([wanted, wanted])
    assert single[0] != single[1]


def test_an_atom_with_an_empty_channel_or_row_is_no_zero_atom_and_an_empty_one_is():
    for filters in (np.array([[[0.0, 0.0], [3.0, 4.0]]]), np.array([[[[0.0, 0.0], [3.0, 4.0]]]])):
        assert np.linalg.norm(convolutional.normalize_filters(filters)) == pytest.approx(1)
        empty = np.concatenate([filters, 0 * filters])
        grid = (4,) * (empty.ndim - 2)
        for function, passed in ((convolutional.matrix, (empty, grid)), (convolutional.filter_coherence, (empty,)),
                                (convolutional.synthesize, (empty, np.ones((2, *grid))))):
            with pytest.raises(ValueError, match="filters = .* has 1 zero atoms"):
                function(*passed)
    for wrong, said in ((np.ones((2, 3)), "rank 2"), (np.full((1, 1, 2), np.nan), "NaN"), (np.ones((1, 1, 1, 1, 1)), "rank 5")):
        with pytest.raises(ValueError, match=f"filters = .*{said}"):
            convolutional.matrix(wrong, (4,))


@pytest.mark.parametrize(("shape", "stride"), [((3, 2, 3), 2), ((4, 1, 5), 3), ((3, 2, 3, 3), 2), ((2, 3, 4, 5), (2, 3)),
                                               ((3, 1, 3, 3), 1), ((3, 4, 1, 1), 2)])
def test_filters_with_a_stride_have_the_coherence_of_their_explicit_dictionary(shape, stride):
    """The columns are the filters at every place that the stride meets, on a grid where nothing wraps around."""
    filters = np.random.default_rng(0).normal(size=shape)
    steps = (stride,) * (len(shape) - 2) if isinstance(stride, int) else stride
    starts = [range(0, 3 * -(-side // step) * step, step) for side, step in zip(shape[2:], steps, strict=True)]
    columns = []
    for place in itertools.product(*starts):
        for atom in filters:
            grid = np.zeros((shape[1], *(each[-1] + side for each, side in zip(starts, shape[2:], strict=True))))
            grid[(slice(None), *(slice(at, at + side) for at, side in zip(place, shape[2:], strict=True)))] = atom
            columns.append(grid.ravel())
    explicit = dictionaries.mutual_coherence(np.array(columns).T)
    assert convolutional.filter_coherence(convolutional.unstrided(filters, stride)) == pytest.approx(explicit, rel=1e-12)


def test_a_stride_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="stride"):
        convolutional.unstrided(np.ones((1, 1, 3)), (2, 2))
    with pytest.raises(ValueError, match="stride"):
        convolutional.unstrided(np.ones((1, 1, 3)), 0)


@pytest.mark.parametrize(("kernel", "grid", "lags"), [((3,), (9,), (5,)), ((3,), (5,), (5,)), ((3,), (4,), (4,)),
                                                      ((2, 4), (8, 6), (3, 6)), ((1, 2), (4, 7), (1, 3))])
def test_correlations_have_the_lags_at_which_filters_meet(kernel, grid, lags):
    filters = np.random.default_rng(0).normal(size=(2, 3, *kernel))
    found = convolutional.ConvolutionalDictionary(torch.from_numpy(filters), grid).correlations().numpy()
    assert found.shape == (2, 2, *lags)
    D = convolutional.matrix(filters, grid)
    gram = (D.T @ D).reshape(2, *grid, 2, *grid)[(slice(None), *[slice(None)] * len(grid), slice(None), *[0] * len(grid))]
    gram = np.moveaxis(gram, -1, 1)  # atom a at a lag, atom b at 0
    for lag in np.ndindex(*lags):
        signed = tuple(each if each <= side // 2 or side == whole else each - side
                       for each, side, whole in zip(lag, lags, grid, strict=True))
        np.testing.assert_allclose(found[(..., *lag)], gram[(..., *signed)], atol=1e-12)


def test_the_limit_of_a_matrix_counts_its_entries():
    """300 positions of one atom make 90,000 entries; 4,097 make 16,785,409, one position more than 4,096 = 2**12."""
    assert convolutional.matrix(np.ones((1, 1, 1)), (300,)).shape == (300, 300)
    with pytest.raises(ValueError, match="16,785,409 entries"):
        convolutional.matrix(np.ones((1, 1, 1)), (4097,))


@pytest.mark.parametrize("seed", range(3))
def test_a_descent_that_says_it_ended_gains_nothing_from_more_steps(seed):
    """Few steps, so that each of the two limits of the solver, its steps and its evaluations, ends some of the descents."""
    filters = torch.from_numpy(np.random.default_rng(seed).normal(size=(1, 3, 1, 4)))
    for exponent, iterations in itertools.product((4, 16), range(1, 16)):
        free = filters.clone().requires_grad_()
        ended = convolutional._descend(free, (7,), exponent, iterations)
        further = free.detach().clone().requires_grad_()
        if ended:
            convolutional._descend(further, (7,), exponent, 100)
            before, after = (convolutional.ConvolutionalDictionary(convolutional._unit(each.detach(), 1), (7,)).coherence()
                             for each in (free, further))
            assert float(after) == pytest.approx(float(before), abs=1e-3)
