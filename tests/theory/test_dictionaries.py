"""Coherence, frame potential and the thresholds, as theorems on random dictionaries."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepatoms.theory import dictionaries, recovery

sizes = st.tuples(st.integers(2, 8), st.integers(2, 16))


def gaussian(size, seed):
    return np.random.default_rng(seed).normal(size=size)


@settings(max_examples=60, deadline=None)
@given(sizes, st.integers(0, 10_000))
def test_welch_and_frame_potential_bound_coherence_from_below(size, seed):
    D = gaussian(size, seed)
    mu = dictionaries.mutual_coherence(D)
    assert dictionaries.welch_bound(*size) <= mu + 1e-12
    assert dictionaries.frame_potential(D) <= mu + 1e-12
    assert dictionaries.frame_energy(D) + size[1] >= dictionaries.tight_frame_minimum(*size) - 1e-9


@settings(max_examples=30, deadline=None)
@given(sizes, st.integers(0, 10_000))
def test_torch_and_numpy_agree_and_column_scales_do_not_matter(size, seed):
    D = gaussian(size, seed)
    scaled = torch.tensor(D * np.exp(gaussian((1, size[1]), seed + 1)))
    for name in ("mutual_coherence", "frame_potential", "frame_energy"):
        ours = getattr(dictionaries, name)
        assert isinstance(ours(scaled), torch.Tensor)
        assert float(ours(scaled)) == pytest.approx(float(ours(D)), rel=1e-10)


@pytest.mark.parametrize("frame", [*map(dictionaries.simplex_frame, range(2, 12)), dictionaries.six_lines()])
def test_equiangular_tight_frames_attain_the_welch_bound(frame):
    assert float(dictionaries.mutual_coherence(frame)) == pytest.approx(dictionaries.welch_bound(*frame.shape))


def test_batched_descent_equals_descent_one_by_one():
    starts = gaussian((3, 4, 9), 0)
    together = dictionaries.minimize_frame_potential(starts, 20).best
    apart = np.stack([dictionaries.minimize_frame_potential(start, 20).best for start in starts])
    np.testing.assert_allclose(together, apart, rtol=1e-12)


@pytest.mark.parametrize("descent", [dictionaries.minimize_coherence, dictionaries.minimize_frame_potential])
@pytest.mark.parametrize("size", [(4, 9), (8, 12)])
def test_more_steps_of_a_descent_are_never_worse_and_too_few_have_not_converged(descent, size):
    starts = gaussian((3, *size), 1)
    value = {dictionaries.minimize_coherence: dictionaries.mutual_coherence,
             dictionaries.minimize_frame_potential: dictionaries.frame_energy}[descent]
    before = [value(dictionaries.normalize(start)) for start in starts]
    for steps in (1, 5, 50, 200, 1500):
        found = descent(starts, steps)
        now = [value(D) for D in found.best]
        assert (np.array(now) <= np.array(before) + 1e-12).all()
        assert not (steps < 6 and found.converged.any())
        before = now
    assert found.converged.any()


def test_descent_on_coherence_reaches_the_known_optima():
    for size, least in [((3, 6), dictionaries.welch_bound(3, 6)), ((2, 5), math.cos(math.pi / 5)), ((4, 5), 0.25)]:
        found = dictionaries.minimize_coherence(gaussian((4, *size), 2), 600)
        assert min(map(dictionaries.mutual_coherence, found.best)) == pytest.approx(least, abs=2e-3)


def test_norms_whose_squares_leave_the_type_are_no_zero_coherence():
    D = np.array([[200, 200], [200, 100]], dtype=np.float16)
    assert float(dictionaries.mutual_coherence(D)) == pytest.approx(0.949, abs=2e-3)
    assert float(dictionaries.mutual_coherence(torch.tensor(D))) == pytest.approx(0.949, abs=2e-3)
    assert float(dictionaries.mutual_coherence(D.astype(float) * 1e200)) == pytest.approx(3 / math.sqrt(10))
    assert float(dictionaries.mutual_coherence(D.astype(float) * 1e-200)) == pytest.approx(3 / math.sqrt(10))


def test_frame_energy_equals_the_double_loop():
    D = gaussian((3, 5), 4)
    unit = [column / np.linalg.norm(column) for column in D.T]
    loop = sum((a @ b) ** 2 for i, a in enumerate(unit) for j, b in enumerate(unit) if i != j)
    assert dictionaries.frame_energy(D) == pytest.approx(loop)


def test_thresholds_at_zero_coherence_are_infinite():
    assert dictionaries.uniqueness_threshold(0) == dictionaries.stability_threshold(0) == math.inf
    assert dictionaries.lasso_stability_bound(0, 5, 0.1, 0.1) == pytest.approx(0.04)


def test_the_picket_fence_has_two_sparsest_codes():
    D = dictionaries.identity_hadamard(16)
    fence = D[:, [0, 4, 8, 12]].sum(1)
    assert len(recovery.representations(D, fence, 4)) >= 2


@pytest.mark.parametrize(("call", "argument"), [
    (lambda: dictionaries.mutual_coherence(np.ones((2, 2, 2))), "D = array of shape (2, 2, 2)"),
    (lambda: dictionaries.mutual_coherence(np.array([[1.0, 0.0], [0.0, 0.0]])), "1 zero atoms"),
    (lambda: dictionaries.mutual_coherence(np.ones((2, 2), int)), "int64"),
    (lambda: dictionaries.mutual_coherence(np.ones((2, 2)) * 1j), "complex128"),
    (lambda: dictionaries.mutual_coherence(np.array([[1.0, np.nan]])), "NaN"),
    (lambda: dictionaries.mutual_coherence(np.ones((2, 1))), "single atom"),
    (lambda: dictionaries.mutual_coherence([[1.0, 2.0]]), "not an array"),
    (lambda: dictionaries.frame_potential(np.eye(2), pairs=3), "pairs = 3"),
    (lambda: dictionaries.welch_bound(0, 3), "dimension = 0"),
    (lambda: dictionaries.welch_bound(2.0, 3), "dimension = 2.0"),
    (lambda: dictionaries.uniqueness_threshold(1.5), "mu = 1.5"),
    (lambda: dictionaries.lasso_stability_bound(0.1, 1, -1.0, 0.0), "noise = -1.0"),
    (lambda: dictionaries.identity_hadamard(12), "dimension = 12"),
    (lambda: recovery.representations(np.ones((30, 60)), np.ones(30), 12), "sparsity = 12"),
    (lambda: recovery.least_l1(np.array([[1.0], [0.0]]), np.array([0.0, 1.0])), "no representation"),
])
def test_bad_input_is_refused_with_the_argument_and_its_value(call, argument):
    with pytest.raises((ValueError, TypeError)) as refusal:
        call()
    assert argument in str(refusal.value)


def test_a_stationary_point_above_the_least_frame_energy_is_not_taken_for_the_end():
    equal = np.repeat(np.eye(4)[:, :1], 9, axis=1)
    found = dictionaries.minimize_frame_potential(np.stack([equal, np.random.default_rng(0).normal(size=(4, 9))]))
    assert found.converged.tolist() == [False, True]
    assert dictionaries.frame_energy(found.best[0]) + 9 == pytest.approx(81)  # the least value is 20.25


def test_the_stability_bound_promises_nothing_where_the_residual_is_below_the_noise():
    assert dictionaries.lasso_stability_bound(0.1, 1, 0.5, 0.4) == np.inf
    assert np.isfinite(dictionaries.lasso_stability_bound(0.1, 1, 0.5, 0.5))


def test_a_search_that_is_too_long_says_how_long_it_would_be():
    D = np.random.default_rng(0).normal(size=(4, 40))
    for sparsity in (5, 7, 8):
        with pytest.raises(ValueError, match=f"makes {math.comb(40, sparsity):,} supports of 40 atoms"):
            recovery.representations(D, np.ones(4), sparsity)
    assert recovery._supports(40, 2).shape == (780, 2)
    for sparsity in (41, 0):
        with pytest.raises(ValueError, match="sparsity = "):
            recovery.representations(D, np.ones(4), sparsity)


def test_signals_that_fit_no_dictionary_are_refused():
    D = np.random.default_rng(0).normal(size=(4, 6))
    for call in (lambda x: recovery.representations(D, x, 1), lambda x: recovery.least_l1(D, x)):
        for x in (np.ones(3), np.ones(5), np.ones((4, 1))):
            with pytest.raises(ValueError, match="x = "):
                call(x)
    with pytest.raises(ValueError, match="x = .*has no representation"):
        recovery.least_l1(np.array([[1.0], [0.0]]), np.array([0.0, 1.0]))


@pytest.mark.parametrize("dimension", [3, 6, 12, 1, 0, -4, 2.0])
def test_hadamard_s_basis_needs_a_power_of_two_and_names_the_argument(dimension):
    with pytest.raises((ValueError, TypeError), match=f"dimension = {dimension}"):
        dictionaries.identity_hadamard(dimension)


@pytest.mark.parametrize("dimension", [2, 4, 8])
def test_the_union_of_identity_and_hadamard_is_two_orthobases(dimension):
    D = dictionaries.identity_hadamard(dimension)
    for basis in np.split(D, 2, axis=1):
        np.testing.assert_allclose(basis.T @ basis, np.eye(dimension), atol=1e-12)
    np.testing.assert_allclose(abs(D[:, :dimension].T @ D[:, dimension:]), dimension**-0.5)


def test_two_atoms_are_few_enough_to_part_and_one_is_refused():
    start = np.array([[1.0, 0.8], [0.0, 0.6]])
    assert dictionaries.mutual_coherence(dictionaries.minimize_coherence(start, 30).best) < 0.1
    with pytest.raises(ValueError, match="D = .* has a single atom"):
        dictionaries.minimize_coherence(np.array([[1.0], [0.0]]))
    for descent in (dictionaries.minimize_coherence, dictionaries.minimize_frame_potential):
        for wrong, said in ((np.ones(3), "two axes"), (np.array([[1.0, 0.0], [1.0, 0.0]]), "zero atoms"),
                            (np.array([[1.0, np.nan]]), "NaN")):
            with pytest.raises(ValueError, match=f"D = .* {said}"):
                descent(wrong)
        with pytest.raises(ValueError, match="iterations = 0"):
            descent(np.eye(2), iterations=0)


def test_the_least_frame_energy_is_that_of_orthonormal_atoms_and_of_a_tight_frame():
    for d, k in ((4, 3), (4, 4), (3, 7), (1, 5)):
        basis = np.linalg.qr(np.random.default_rng(0).normal(size=(max(d, k), max(d, k))))[0][:d, :k]
        tight = basis if k <= d else basis * (k / d) ** 0.5  # rows of an orthogonal matrix: D D^T = (k / d) I
        energy = ((tight.T @ tight) ** 2).sum()
        assert dictionaries.tight_frame_minimum(d, k) == pytest.approx(energy)
    for wrong in ((0, 3), (3, 0), (2.5, 3), (3, True)):
        with pytest.raises((ValueError, TypeError), match="dimension = |atoms = "):
            dictionaries.tight_frame_minimum(*wrong)


def test_every_representation_is_found_by_trying_all_supports_and_least_squares():
    draw = np.random.default_rng(3)
    D = draw.normal(size=(4, 7))
    D[:, 6] = D[:, 0] + D[:, 1]
    for x in (D[:, 0] + D[:, 1], D[:, 2] - 2 * D[:, 5], 1e-6 * (D[:, 0] - D[:, 6]), draw.normal(size=4)):
        for size in (1, 2, 3):
            left = {support: np.linalg.norm(D[:, support] @ np.linalg.lstsq(D[:, support], x, rcond=None)[0] - x)
                    for support in itertools.combinations(range(7), size)}
            wanted = [support for support, residual in left.items() if residual < 1e-9 * np.linalg.norm(x)]
            assert [tuple(row) for row in recovery.representations(D, x, size)] == wanted
    off = D[:, 0] + 1e-4 * np.linalg.norm(D[:, 0]) * np.array([D[1, 0], -D[0, 0], 0, 0]) / np.hypot(D[0, 0], D[1, 0])
    assert [0] in recovery.representations(D, off, 1, tolerance=2e-4).tolist()
    assert not len(recovery.representations(D, off, 1, tolerance=5e-5))
    for call in (lambda x: recovery.representations(D, x, 1), lambda x: recovery.least_l1(D, x)):
        for wrong, said in ((np.ones((4, 1)), "rank 2"), (np.full(4, np.nan), "NaN"), (np.ones(5), "does not match the 4 rows"),
                            (np.ones(4, dtype=int), "floating")):
            with pytest.raises((ValueError, TypeError), match=f"x = .*{said}"):
                call(wrong)


def test_the_code_of_least_l1_norm_represents_and_no_other_vertex_is_shorter():
    draw = np.random.default_rng(4)
    for _ in range(5):
        D, x = draw.normal(size=(3, 6)), draw.normal(size=3)
        code = recovery.least_l1(D, x)
        vertices = [abs(np.linalg.solve(D[:, support], x)).sum() for support in map(list, itertools.combinations(range(6), 3))]
        assert np.allclose(D @ code, x) and abs(code).sum() == pytest.approx(min(vertices))
    with pytest.raises(ValueError, match="x = .* has no representation"):
        recovery.least_l1(np.array([[1.0], [0.0]]), np.array([0.0, 1.0]))


@pytest.mark.parametrize(("call", "said"), [
    (lambda: dictionaries.welch_bound(3, 1), "atoms = 1"), (lambda: dictionaries.welch_bound(3, 2.5), "atoms = 2.5"),
    (lambda: dictionaries.welch_bound(3, True), "atoms = True"), (lambda: dictionaries.planar_frame(1), "atoms = 1"),
    (lambda: dictionaries.simplex_frame(0), "dimension = 0"), (lambda: dictionaries.two_orthobases_threshold(-0.1), "mu = -0.1"),
    (lambda: dictionaries.uniqueness_threshold(-0.1), "mu = -0.1"), (lambda: dictionaries.stability_threshold(1.1), "mu = 1.1"),
    (lambda: dictionaries.lasso_stability_bound(1.1, 1, 0.1, 0.1), "mu = 1.1"),
    (lambda: dictionaries.lasso_stability_bound(0.1, -1, 0.1, 0.1), "sparsity = -1"),
    (lambda: dictionaries.lasso_stability_bound(0.1, 1, 0.1, -0.1), "residual = -0.1"),
    (lambda: dictionaries.lasso_stability_bound(0.1, 1, np.inf, 0.1), "noise = inf"),
    (lambda: dictionaries.frame_potential(np.eye(2), pairs=0), "pairs = 0"),
    (lambda: dictionaries.one_sided_coherence(np.ones((2, 1))), "single atom"),
    (lambda: dictionaries.one_sided_coherence(np.array([[1.0, 0.0], [0.0, 0.0]])), "1 zero atoms"),
    (lambda: dictionaries.normalize(np.ones(3)), "D = .*rank 1"), (lambda: dictionaries.gram(np.zeros((2, 2))), "2 zero atoms"),
    (lambda: recovery.representations(np.eye(2), np.ones(2), 0), "sparsity = 0"),
    (lambda: recovery.representations(np.eye(2), np.ones(2), 3), "sparsity = 3 makes 0 supports"),
])
def test_sizes_bounds_and_atoms_that_mean_nothing_are_refused_by_name(call, said):
    with pytest.raises((ValueError, TypeError), match=said):
        call()


def test_thresholds_and_bounds_worked_out_by_hand():
    assert dictionaries.welch_bound(2, 3) == pytest.approx(0.5) and dictionaries.welch_bound(3, 2) == 0
    assert dictionaries.uniqueness_threshold(0.25) == 2.5
    assert dictionaries.two_orthobases_threshold(0.25) == pytest.approx((2**0.5 - 0.5) / 0.25)
    assert dictionaries.stability_threshold(0.25) == pytest.approx(1.25)
    assert dictionaries.frame_potential(np.array([[1.0, 0.6], [0.0, 0.8]])) == pytest.approx(0.6)
    assert dictionaries.frame_potential(np.array([[1.0, 0.6], [0.0, 0.8]]), pairs=1) == pytest.approx(0.6 * 2**0.5)
    D = np.array([[1.0, 2.0], [0.0, 2.0]])
    assert dictionaries.one_sided_coherence(D) == pytest.approx(2.0)  # <d_1, d_2> over |d_1|^2


@pytest.mark.parametrize("seed", range(5))
def test_one_sided_coherence_is_the_largest_of_all_ordered_pairs(seed):
    D = np.random.default_rng(seed).normal(size=(3, 5)) * [0.2, 1, 2, 3, 5]
    pairs = [abs(D[:, i] @ D[:, j]) / (D[:, i] @ D[:, i]) for i, j in itertools.permutations(range(5), 2)]
    assert dictionaries.one_sided_coherence(D) == pytest.approx(max(pairs), rel=1e-12)


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_atoms_whose_squares_leave_the_type_keep_their_signs(size):
    """A column without a positive entry, and one whose largest entry is 0."""
    D = np.array([[-3.0, 0.0], [-4.0, -2.0]])
    np.testing.assert_allclose(dictionaries.normalize(D * size), [[-0.6, 0], [-0.8, -1]], rtol=1e-15)


def test_the_whole_dictionary_is_one_support():
    assert recovery.representations(np.eye(2), np.array([1.0, 2.0]), 2).tolist() == [[0, 1]]


@pytest.mark.parametrize("seed", range(5))
def test_coherences_ask_for_no_sign(seed):
    """Turning an atom around changes no coherence; here every product of two atoms is negative."""
    D = np.random.default_rng(seed).uniform(0.1, 1, (4, 2)) * [1, 3]
    turned = D * [1, -1]
    for measure in (dictionaries.mutual_coherence, dictionaries.one_sided_coherence):
        assert measure(turned) == pytest.approx(measure(D), rel=1e-12) and measure(turned) > 0


def test_of_values_that_agree_up_to_rounding_the_later_dictionary_is_kept():
    """The later one has the smaller slope; what is truly higher is not taken, what is lower always is."""
    old, new = np.zeros((5, 1, 1)), np.ones((5, 1, 1))
    values = np.array([1 - 1e-9, 1.0, 1 + 4e-16, 1 + 4e-15, 2.0])
    best, lowest = dictionaries._keep_lowest(values, new, np.ones(5), old)
    assert best.ravel().tolist() == [1, 1, 1, 0, 0] and lowest.tolist() == [*values[:3], 1.0, 1.0]


@pytest.mark.parametrize("sparsity", [True, 1.0, "1", None])
def test_the_size_of_supports_is_a_whole_number_that_is_meant_as_one(sparsity):
    with pytest.raises(TypeError, match="sparsity = .* is not an integer"):
        recovery.representations(np.eye(2), np.ones(2), sparsity)
