"""The theorems that stand, on instances inside their hypotheses; the printed statements that fall, by one instance each."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deepatoms.theory import dictionaries
from deepatoms.theory import skip_dictionaries as skip

RNG = np.random.default_rng(0)
ALL = np.array(list(itertools.product((-1, 0, 1), repeat=9))).reshape(-1, 3, 3)


def test_exact_rank_equals_the_numerical_one_where_that_is_safe():
    assert (skip.exact_rank(ALL) == np.linalg.matrix_rank(ALL)).all()
    wide = RNG.integers(-9, 9, (50, 5, 7))
    wide[:, 3] = 2 * wide[:, 0] - wide[:, 1]
    assert (skip.exact_rank(wide) == np.linalg.matrix_rank(wide)).all()


def test_characteristic_polynomials_and_multiplicities():
    coefficients = skip.characteristic_polynomial(ALL)
    assert np.allclose(coefficients[777], np.poly(ALL[777]))
    shifted = skip.characteristic_polynomial(ALL + np.eye(3, dtype=int))
    assert (skip.root_multiplicity(shifted, 0) == skip.root_multiplicity(coefficients, -1)).all()


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_weyl_for_every_matrix_and_the_printed_bound_for_the_upper_half_only(kind):
    D = RNG.normal(size=(300, 5, 5)) * RNG.uniform(0.1, 2, (300, 1, 1))
    D = torch.from_numpy(D) if kind == "torch" else D
    lower, upper = skip.weyl_bounds(D)
    sigma = skip.singular_values(skip.residual_dictionary(D))
    assert (sigma >= lower - 1e-12).all() and (sigma <= upper + 1e-12).all()
    printed = skip.printed_lower_bound(D) <= sigma + 1e-12
    assert printed[:, :3].all() and not printed[:, 3:].all()
    assert type(sigma) is type(D)


def test_condition_number_of_contractions():
    D = RNG.normal(size=(200, 6, 6))
    norms = RNG.uniform(0, 0.99, 200)
    D *= (norms / np.linalg.norm(D, 2, axis=(1, 2)))[:, None, None]
    bounds = [skip.condition_bound(norm) for norm in norms]
    assert (skip.condition_number(skip.residual_dictionary(D)) <= np.array(bounds) * (1 + 1e-9)).all()


def test_a_reflection_loses_its_invertibility():
    D = skip.reflection(RNG.normal(size=8))
    assert abs(skip.condition_number(D) - 1) < 1e-9 and skip.condition_number(skip.residual_dictionary(D)) == math.inf


def test_flat_and_steep_spectra():
    assert skip.energy_dimensions(np.eye(10)) == 9
    assert skip.effective_rank(np.diag([1.0, 0.0, 0.0])) == pytest.approx(1)
    assert skip.energy_shares(torch.eye(4, dtype=torch.float64))[-1] == pytest.approx(1)


def test_count_of_nonzeros():
    D = ALL.astype(float)
    gained = (skip.residual_dictionary(D) != 0).sum((1, 2)) - (D != 0).sum((1, 2))
    assert (gained == skip.nonzeros_gained(D)).all()


@pytest.mark.parametrize("name", skip.ACTIVATIONS)
def test_an_activation_is_a_matrix_for_one_input(name):
    a = RNG.normal(size=500)
    assert abs(skip.activation_matrix(name, a) * a - skip.activate(name, a)).max() < 1e-12


@pytest.mark.parametrize("name", ["relu", "tanh", "elu", "gelu", "softplus"])
def test_expected_slopes_by_automatic_differentiation(name):
    a = torch.linspace(-9, 9, 20001, dtype=torch.float64, requires_grad=True)
    slope, = torch.autograd.grad(skip.activate(name, a).sum(), a)
    density = torch.exp(-a * a / 2) / math.sqrt(2 * math.pi)
    assert torch.trapezoid(slope * density, a).item() == pytest.approx(skip.expected_slope(name), abs=1e-3)


def test_sigmoid_at_zero_needs_centring():
    with pytest.raises(ValueError, match="1 zeros, where sigmoid is 0.5 .* centred=True"):
        skip.activation_matrix("sigmoid", np.zeros(1))
    assert skip.activation_matrix("sigmoid", np.zeros(1), centred=True) == 0


def test_deep_coding_is_feasible_without_the_equalities_only():
    D = [RNG.normal(size=(6, 6)) for _ in range(2)]
    x = RNG.normal(size=(20, 6))
    codes, distances = skip.deep_coding(x, D, [3, 2])
    slack = [distance + 1e-9 for distance in distances]
    assert skip.is_feasible(x, codes, D, [3, 2], slack).all()
    assert not skip.is_feasible(x, codes, D, [3, 2], slack, equalities=True).any()
    assert not skip.is_feasible(x, codes, D, [3, 2], [distance / 2 for distance in distances]).any()


def test_stability_needs_both_counts():
    angle = -0.3
    gram = np.full((3, 3), angle) + (1 - angle) * np.eye(3)
    D = np.linalg.cholesky(gram).T
    T, other = np.array([1.0, 0, 0]), np.array([0, -1.0, -1.0])
    noise = np.linalg.norm(D @ (T - other)) / 2
    error = ((T - other) ** 2).sum()
    assert error / skip.stability_bound(noise, 0.3, 1) == pytest.approx(1.75)
    assert error / skip.stability_bound(noise, 0.3, 1, 2) == pytest.approx(1)


def test_the_recursion_grows_at_least_fourfold():
    bounds = skip.stability_recursion(1.0, [0.1] * 4, [2] * 4)
    assert all(after >= 4 * before for before, after in itertools.pairwise([1.0, *bounds]))
    assert skip.stability_recursion(1.0, [1.0, 0.1], [5, 1]) == [math.inf, math.inf]


def test_the_printed_propagation_bound_fails_at_the_identity_and_the_fixed_one_holds():
    assert skip.printed_bound(1.0, 1.0, [0.0] * 4, [2] * 4) == 0.25
    assert skip.fixed_bound(1.0, [np.eye(3)] * 5) == pytest.approx(1.0)
    assert skip.sparse_difference_bound(1.0, [0.5], 2) == 1.5


def net(depth, n=6):
    return [RNG.normal(size=(n, n)) / 2 for _ in range(depth)], [RNG.normal(size=n) for _ in range(depth)]


@pytest.mark.parametrize("depth", [1, 3])
def test_residual_nets_stay_within_both_bounds(depth):
    weights, biases = net(depth)
    for _ in range(20):
        x, y = RNG.normal(size=(2, 6))
        moved = np.linalg.norm(skip.residual_forward(y, weights, biases) - skip.residual_forward(x, weights, biases))
        sharp = skip.largest_slope(x, y, weights, biases) * np.linalg.norm(y - x)
        assert moved <= sharp * (1 + 1e-9)
        assert sharp <= skip.residual_bound(np.linalg.norm(y - x), weights) * (1 + 1e-9)


def test_the_walk_finds_every_region_that_sampling_finds():
    weights, biases = net(2)
    x, y = RNG.normal(size=(2, 6)) * 3
    places, norms = skip.segment_slopes(x, y, weights, biases)
    for t in RNG.uniform(size=100):
        point = torch.tensor(x + t * (y - x))
        A = torch.autograd.functional.jacobian(
            lambda h: forward(h, weights, biases), point).numpy()
        assert np.linalg.norm(A, 2) == pytest.approx(norms[np.searchsorted(places, t) - 1])


def forward(h, weights, biases):
    for W, b in zip(weights, biases, strict=True):
        h = h + torch.relu(torch.tensor(W) @ h + torch.tensor(b))
    return h


def test_properties_of_a_tight_frame():
    D = dictionaries.six_lines()
    assert np.allclose(skip.frame_bounds(D), 2)
    assert skip.mean_square_coherence(D) == pytest.approx(1 / math.sqrt(3))
    assert skip.nearest_coherence(D) == pytest.approx(1 / math.sqrt(5))
    assert skip.babel(D, 5) == pytest.approx(5 / math.sqrt(5))


@given(st.integers(1, 4), st.integers(1, 4))
def test_a_residual_layer_is_square(rows, columns):
    D = np.ones((rows, columns))
    if rows == columns:
        assert skip.residual_dictionary(D).shape == D.shape
    else:
        with pytest.raises(ValueError, match="not square.*as many outputs as inputs"):
            skip.residual_dictionary(D)


@pytest.mark.parametrize("call, message", [
    (lambda: skip.residual_dictionary(np.full((2, 2), np.nan)), "4 entries that are NaN"),
    (lambda: skip.singular_values(np.ones(3)), "not a matrix"),
    (lambda: skip.energy_shares(np.zeros((2, 2))), "no energy to share"),
    (lambda: skip.hoyer_index(np.zeros((2, 2))), "is zero"),
    (lambda: skip.keep_largest(np.ones(3), 4), "sparsity = 4 exceeds the number of atoms, 3"),
    (lambda: skip.babel(np.eye(3), 3), "not smaller than the 3 atoms"),
    (lambda: skip.frame_bounds(np.array([[1.0, 0.0], [0.0, 0.0]])), "1 zero atoms"),
    (lambda: skip.activate("swish", np.ones(1)), "is unknown"),
    (lambda: skip.best_diagonal(np.zeros((3, 1)), np.ones((3, 1))), "0 on all samples"),
])
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_ranks_of_real_numbers_are_refused():
    with pytest.raises(TypeError, match="does not hold integers"):
        skip.exact_rank(np.eye(2))


@pytest.mark.parametrize("keeps", [True, False])
def test_the_jacobian_from_end_to_end_is_what_automatic_differentiation_finds(keeps):
    weights, biases = net(4)
    x = RNG.normal(size=6)

    def forward(h):
        for W, b in zip(weights, biases, strict=True):
            h = keeps * h + torch.relu(torch.as_tensor(W) @ h + torch.as_tensor(b))
        return h

    expected = torch.autograd.functional.jacobian(forward, torch.as_tensor(x)).numpy()
    assert np.allclose(skip.end_to_end_jacobian(x, weights, biases, skip=keeps), expected)


def test_an_orthogonal_map_is_isometric_at_one_scale_only():
    Q = skip.orthogonal(8, RNG)
    assert [float(skip.isometric_share(scale * Q)) for scale in (0.05, 1.0, 20.0)] == [0.0, 1.0, 0.0]


def test_coding_layer_by_layer_can_miss_a_solution_of_all_layers():
    x, D, tolerances = np.array([1.0, 0.9]), [np.eye(2), np.array([[1.0, 1.0], [1.0, 0.0]])], [1.05, 0.5]
    greedy, _ = skip.deep_coding(x, D, [1, 1])
    other = [np.array([0.0, 0.9]), np.array([0.9, 0.0])]
    assert [bool(skip.is_feasible(x, codes, D, [1, 1], tolerances)) for codes in (greedy, other)] == [False, True]


def test_the_best_diagonal_finds_the_slopes_that_made_the_outputs():
    W, s, h = RNG.normal(size=(4, 4)), RNG.uniform(-1, 1, 4), RNG.normal(size=(50, 4))
    a = h @ W.T
    assert np.allclose(skip.best_diagonal(a, s * a), s)
    assert np.allclose(skip.residual_operator(W, a, s * a), np.eye(4) + np.diag(s) @ W)
    assert np.allclose(skip.residual_operator(W, a, s * a, skip=False), np.diag(s) @ W)
    noisy = s * a + RNG.normal(size=a.shape)
    best = ((noisy - a * skip.best_diagonal(a, noisy)) ** 2).sum()
    assert all(((noisy - a * (skip.best_diagonal(a, noisy) + step)) ** 2).sum() > best for step in 0.1 * RNG.normal(size=(20, 4)))
    assert skip.unexplained_share(a, noisy, np.zeros((4, 4))) == pytest.approx(1)
    assert skip.unexplained_share(a, a @ W.T, W) == pytest.approx(0, abs=1e-20)


def test_a_code_is_feasible_up_to_the_sparsity_and_below_the_tolerance():
    D, code = np.eye(3), np.array([1.0, 2.0, 0.0])
    x = code + np.array([0.0, 0.0, 0.5])
    for sparsity, tolerance, feasible in ((2, 0.6, True), (1, 0.6, False), (2, 0.5, False), (3, 0.500001, True)):
        assert bool(skip.is_feasible(x, [code], [D], [sparsity], [tolerance])) is feasible
    assert not skip.is_feasible(x, [code], [D], [2], [0.6], equalities=True)
    assert skip.is_feasible(code, [code], [D], [2], [0.6], equalities=True)
    both = skip.is_feasible(np.stack([x, code]), [np.stack([code, code])] * 2, [D, D], [2, 2], [0.2, 0.2])
    assert both.tolist() == [False, True]


def test_frame_bounds_are_the_least_and_largest_energy_of_a_unit_signal():
    D = RNG.normal(size=(3, 7))
    unit = dictionaries.normalize(D)
    low, high = skip.frame_bounds(D)
    directions = RNG.normal(size=(2000, 3))
    energies = ((directions @ unit) ** 2).sum(1) / (directions**2).sum(1)
    assert low <= energies.min() <= energies.max() <= high and energies.min() < 1.1 * low and energies.max() > 0.95 * high
    flat = np.vstack([D[:2], np.zeros(7)])  # spans a plane: the bound is that of the plane
    assert skip.frame_bounds(flat)[0] > 1e-3


def test_babel_by_trying_every_set_of_others():
    D = dictionaries.normalize(RNG.normal(size=(4, 6)))
    gram = abs(D.T @ D)
    for count in (1, 2, 5):
        tried = max(gram[atom, list(others)].sum() for atom in range(6)
                    for others in itertools.combinations(set(range(6)) - {atom}, count))
        assert skip.babel(D, count) == pytest.approx(tried)
    assert skip.babel(D, 1) == pytest.approx(dictionaries.mutual_coherence(D))
    for wrong in (0, 6):
        with pytest.raises(ValueError, match="atoms = "):
            skip.babel(D, wrong)


def test_integers_beyond_64_bits_are_counted_exactly_or_refused():
    """2**22 is no root of x**3, though 2**66 is 0 in 64 bits; nor may a small type wrap."""
    assert skip.root_multiplicity(np.array([1, 0, 0, 0]), 2**22) == 0
    assert skip.root_multiplicity(np.array([1, -120], dtype=np.int8), 120) == 1
    assert skip.root_multiplicity(np.array([[1, -(2**31), 0], [1, 0, 0]]), 2**31).tolist() == [1, 0]
    small = np.full((3, 3), 100, dtype=np.int8)
    assert skip.characteristic_polynomial(small).tolist() == [1, -300, 0, 0]
    large = np.diag([2**20, 2**20, 2**20])
    assert skip.characteristic_polynomial(large).tolist() == [1, -3 * 2**20, 3 * 2**40, -(2**60)]
    with pytest.raises(ValueError, match="64 bits"):
        skip.characteristic_polynomial(np.diag([2**33, 2**33]))
    assert skip.exact_rank(np.array([[2**62, 2**62], [2**62, 2**62]])) == 1


def test_spectral_measures_of_matrices_with_known_singular_values():
    """U diag(s) V^T has singular values s: every measure is written down from s, for one matrix and for a stack."""
    spectra = [[3.0, 2.0, 1.0], [10.001, 1.0, 0.0999], [5.0, 5.0, 0.0]]
    left, right = (skip.orthogonal(3, np.random.default_rng(seed), 3) for seed in (1, 2))
    stack = left @ (np.array(spectra)[:, :, None] * right)
    shares = [np.cumsum(np.square(s)) / np.sum(np.square(s)) for s in spectra]
    powers = [np.square(s)[np.array(s) > 0] / np.sum(np.square(s)) for s in spectra]
    wanted = {skip.singular_values: spectra, skip.energy_shares: shares,
              skip.effective_rank: [np.exp(-(p * np.log(p)).sum()) for p in powers],
              skip.energy_dimensions: [int((share < 0.9).sum()) + 1 for share in shares],
              skip.isometric_share: [1, 1 / 3, 2 / 3], skip.condition_number: [3.0, 10.001 / 0.0999, np.inf]}
    for measure, values in wanted.items():
        for kind in (np.asarray, torch.from_numpy):
            np.testing.assert_allclose(np.asarray(measure(kind(stack))), np.array(values), rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(np.asarray(measure(kind(stack[0]))), values[0], rtol=1e-9)
    assert skip.energy_dimensions(np.diag([3.0, 1.0])) == 1  # nine tenths to the digit
    assert [float(skip.isometric_share(np.diag([value]))) for value in (0.1, 10.0, 0.0999, 10.001)] == [1, 1, 0, 0]


@pytest.mark.parametrize(("smallest", "finite"), [(1e-15, False), (5e-15, True), (0.0, False)])
def test_a_singular_value_below_rounding_counts_as_none(smallest, finite):
    D = np.diag([2.0, 1.0, 1.0, 1.0, smallest])  # rounding: 5 eps 2 = 2.2e-15
    assert np.isfinite(skip.condition_number(D)) == finite


def test_bounds_on_the_spectrum_of_a_residual_layer_are_met_by_known_matrices():
    D = np.diag([0.5, -0.25, 0.0])
    lower, upper = skip.weyl_bounds(D)
    assert lower.tolist() == [1.0, 0.75, 0.5] and upper.tolist() == [1.5, 1.25, 1.0]
    assert skip.printed_lower_bound(D).tolist() == [0.5, 0.75, 1.0]
    assert skip.singular_values(skip.residual_dictionary(D)).tolist() == [1.5, 1.0, 0.75]
    assert [skip.condition_bound(norm) for norm in (0.0, 0.5, 1.0, 2.0)] == [1.0, 3.0, math.inf, math.inf]
    for norm in (0.3, 0.9):  # attained by diag(norm, -norm)
        attained = skip.condition_number(skip.residual_dictionary(np.diag([norm, -norm])))
        assert attained == pytest.approx(skip.condition_bound(norm))
    for wrong in (-0.1, np.nan, np.inf):
        with pytest.raises(ValueError, match="norm = "):
            skip.condition_bound(wrong)


def test_hoyer_s_index_of_equal_entries_single_entries_and_what_lies_between():
    draw, D = np.random.default_rng(3), np.array([[3.0, 4.0, 0.0], [0.0, 0.0, 0.0]])
    assert skip.hoyer_index(D) == pytest.approx((6**0.5 - 7 / 5) / (6**0.5 - 1))
    stack = draw.normal(size=(3, 2, 5))
    for kind in (np.asarray, torch.from_numpy):
        found = np.asarray(skip.hoyer_index(kind(stack)))
        assert found == pytest.approx([float(skip.hoyer_index(-7 * np.sort(each.ravel()).reshape(5, 2))) for each in stack])
        assert ((found > 0) & (found < 1)).all()
    for wrong in (np.array([[2.0]]), np.array([np.eye(2), np.zeros((2, 2))])):
        with pytest.raises(ValueError, match="D = .* is zero or has a single entry"):
            skip.hoyer_index(wrong)
    with pytest.raises(ValueError, match="D = .* is zero and has no energy"):
        skip.energy_shares(np.array([np.eye(2), np.zeros((2, 2))]))


def test_random_matrices_have_the_variance_and_the_orthogonality_that_they_say():
    draw = np.random.default_rng(4)
    matrices = skip.gaussian(20, 3.0, draw, 50)
    assert matrices.shape == (50, 20, 20) and float(matrices.std()) == pytest.approx(3 / 20**0.5, rel=0.03)
    assert np.linalg.norm(skip.gaussian(200, 1.0, draw), 2) == pytest.approx(2, rel=0.1)
    assert not skip.gaussian(2, 0.0, draw).any()
    Q = skip.orthogonal(4, draw, 500)
    np.testing.assert_allclose(Q @ np.swapaxes(Q, 1, 2), np.broadcast_to(np.eye(4), Q.shape), atol=1e-12)
    assert abs(Q.mean(0)).max() < 0.1 and skip.orthogonal(3, draw).shape == (3, 3)  # Haar: no entry prefers a sign
    for wrong in ((0, 1.0), (2, -1.0), (2.0, 1.0)):
        with pytest.raises((ValueError, TypeError), match="n = |scale = "):
            skip.gaussian(*wrong, draw)
    normals = draw.normal(size=(6, 4))
    for H, v in zip(skip.reflection(normals), normals, strict=True):
        np.testing.assert_allclose(H @ v, -v)
        np.testing.assert_allclose(H @ H, np.eye(4), atol=1e-12)
        assert np.linalg.det(H) == pytest.approx(-1)
    with pytest.raises(ValueError, match="normal = "):
        skip.reflection(np.array([1.0, np.nan]))


def test_nonzeros_gained_are_those_counted_after_adding_the_identity():
    D = np.random.default_rng(5).integers(-1, 2, (40, 4, 4)).astype(float)
    gained = (skip.residual_dictionary(D) != 0).sum((1, 2)) - (D != 0).sum((1, 2))
    assert (skip.nonzeros_gained(D) == gained).all() and len(set(gained)) > 3
    for measure in (skip.nonzeros_gained, skip.weyl_bounds, skip.printed_lower_bound, skip.residual_dictionary):
        for wrong, said in ((np.ones((2, 3)), "is not square"), (np.ones(4), "is not a matrix"),
                            (np.full((2, 2), np.inf), "infinite")):
            with pytest.raises(ValueError, match=f"D = .*{said}"):
                measure(wrong)


def test_polynomials_and_multiplicities_of_integer_roots_chosen_beforehand():
    draw = np.random.default_rng(6)
    for roots in ([2, 2, 2, -1], [0, 0, 3], [5], [1, -1, 1, -1, 1]):
        coefficients = np.round(np.poly(roots)).astype(int)
        for root in (*set(roots), 7):
            assert skip.root_multiplicity(coefficients, root) == roots.count(root)
        triangle = np.triu(draw.integers(-3, 4, (len(roots), len(roots))), 1) + np.diag(roots)
        assert (skip.characteristic_polynomial(triangle) == coefficients).all()
    large = draw.integers(-4, 5, (6, 5, 5))
    np.testing.assert_allclose(skip.characteristic_polynomial(large), [np.poly(each) for each in large], atol=1e-6)
    assert (skip.characteristic_polynomial(large)[:, -1] == np.round(-np.linalg.det(large))).all()
    for call, wrong in ((skip.characteristic_polynomial, np.ones((2, 3), int)), (skip.characteristic_polynomial, np.ones(3, int)),
                        (skip.characteristic_polynomial, np.eye(2)), (skip.exact_rank, [[1]])):
        with pytest.raises((ValueError, TypeError), match="matrices = "):
            call(wrong)
    with pytest.raises(TypeError, match="root = 1.0"):
        skip.root_multiplicity(coefficients, 1.0)


def test_bounds_of_propagation_worked_out_by_hand():
    assert skip.printed_bound(2.0, 3.0, [0.1, 0.2], [2, 3]) == pytest.approx(9 * 4 / 4 * (1 - 3 * 0.1) * (1 - 5 * 0.2))
    assert skip.printed_bound(2.0, 3.0, [0.1, 0.02], [2, 3]) == pytest.approx(9 * 0.7 * 0.9)
    assert skip.sparse_difference_bound(2.0, [0.1, 0.5], 3) == pytest.approx(4 * 1.2 * 2.0)
    assert skip.fixed_bound(2.0, [3 * np.eye(2), np.diag([0.5, 0.1])]) == pytest.approx(4 * 9 * 0.25)
    assert skip.residual_bound(2.0, [3 * np.eye(2), np.diag([0.5, 0.1])]) == pytest.approx(2 * 4 * 1.5)
    assert skip.stability_bound(2.0, 0.1, 2) == pytest.approx(4 * 4 / 0.7)
    assert skip.stability_bound(2.0, 0.1, 2, 5) == pytest.approx(16 / 0.4)
    assert skip.stability_bound(2.0, 0.25, 2, 3) == math.inf
    assert skip.stability_bound(1.0, 0.1, 2, factor=3.0) == pytest.approx(3 / 0.7)
    assert skip.stability_recursion(1.0, [0.1, 0.05], [2, 3]) == pytest.approx([4 / 0.7, 4 * 4 / 0.7 / 0.75])
    assert skip.stability_recursion(1.0, [0.9, 0.0], [2, 3]) == [math.inf, math.inf]
    assert skip.printed_sparsity_bound(0.25) == 0.8
    eye = [np.eye(2)]
    for call, said in ((lambda: skip.printed_bound(-1.0, 1.0, [0.1], [1]), "noise = "),
                       (lambda: skip.printed_bound(1.0, -1.0, [0.1], [1]), "first_norm = "),
                       (lambda: skip.printed_bound(1.0, 1.0, [-0.1], [1]), r"coherences\[0\] = "),
                       (lambda: skip.fixed_bound(-1.0, eye), "noise = "),
                       (lambda: skip.fixed_bound(1.0, []), "dictionaries = .* is empty"),
                       (lambda: skip.residual_bound(1.0, []), "weights = .* is empty"),
                       (lambda: skip.residual_bound(-1.0, eye), "noise = "),
                       (lambda: skip.residual_bound(1.0, [np.ones(2)]), "W = "),
                       (lambda: skip.fixed_bound(1.0, [np.ones(2)]), "D = "),
                       (lambda: skip.sparse_difference_bound(1.0, [0.1], 0), "nonzeros = 0"),
                       (lambda: skip.sparse_difference_bound(1.0, [], 1), "coherences = .* is empty"),
                       (lambda: skip.sparse_difference_bound(-1.0, [0.1], 1), "noise = "),
                       (lambda: skip.stability_bound(1.0, 1.1, 1), "mu = "),
                       (lambda: skip.stability_bound(1.0, 0.1, -1), "sparsity = "),
                       (lambda: skip.stability_bound(1.0, 0.1, 1, -1), "other = "),
                       (lambda: skip.stability_bound(-1.0, 0.1, 1), "noise = "),
                       (lambda: skip.printed_sparsity_bound(1.1), "mu = "),
                       (lambda: skip.end_to_end_jacobian(np.ones((2, 1)), eye, [np.ones(2)]), "x = "),
                       (lambda: skip.segment_slopes(np.ones((2, 1)), np.ones(2), eye, [np.ones(2)]), "start = "),
                       (lambda: skip.segment_slopes(np.ones(2), np.full(2, np.nan), eye, [np.ones(2)]), "end = ")):
        with pytest.raises(ValueError, match=said):
            call()


def test_properties_do_not_depend_on_the_order_or_the_scale_of_atoms_and_have_known_values():
    draw = np.random.default_rng(7)
    D = draw.normal(size=(4, 7))
    other = (D * draw.uniform(0.1, 9, 7) * draw.choice([-1, 1], 7))[:, draw.permutation(7)]
    cosines = abs((D / np.linalg.norm(D, axis=0)).T @ (D / np.linalg.norm(D, axis=0)))
    wanted = {skip.nearest_coherence: np.mean([max(np.delete(row, i)) for i, row in enumerate(cosines)]),
              skip.mean_square_coherence: np.sqrt((cosines**2).mean())}
    for measure in (skip.frame_bounds, skip.nearest_coherence, skip.mean_square_coherence, lambda D: skip.babel(D, 3)):
        assert measure(other) == pytest.approx(measure(D))
        assert measure not in wanted or measure(D) == pytest.approx(wanted[measure])
    low, high = skip.frame_bounds(np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]))
    assert (low, high) == pytest.approx((1.0, 2.0))  # where no atom reaches there is no signal to bound
    X = draw.normal(size=(5, 3))
    for share in (0.1, 1.0, 2.0):
        assert skip.signal_to_noise(X, X * (1 - share)) == pytest.approx(-20 * np.log10(share))
    for call, said in ((lambda: skip.signal_to_noise(X, X[:4]), "approximation = .* does not match"),
                       (lambda: skip.signal_to_noise(X[0], X[0]), "X = "),
                       (lambda: skip.babel(D, 0), "atoms = 0"), (lambda: skip.babel(D, 7), "atoms = 7")):
        with pytest.raises(ValueError, match=said):
            call()


def test_the_largest_entries_are_kept_the_last_among_equals_and_none_or_all():
    x = np.array([[1.0, -3.0, 2.0, 3.0], [2.0, 2.0, -2.0, 0.0]])
    assert skip.keep_largest(x, 2).tolist() == [[0, -3, 0, 3], [0, 2, -2, 0]]
    assert not skip.keep_largest(x, 0).any() and (skip.keep_largest(x, 4) == x).all()
    for wrong, said in ((5, "sparsity = 5 exceeds"), (-1, "sparsity = -1"), (1.5, "sparsity = 1.5")):
        with pytest.raises((ValueError, TypeError), match=said):
            skip.keep_largest(x, wrong)
    with pytest.raises(ValueError, match="x = .*NaN"):
        skip.keep_largest(np.array([np.nan]), 1)


@pytest.mark.parametrize("name", list(skip.ACTIVATIONS))
def test_an_activation_is_its_matrix_times_its_input_and_its_slope_is_the_regression_on_normal_inputs(name):
    a = np.array([-2.0, -0.5, 0.0, 0.3, 4.0])
    centred = skip.activate(name, a) - skip.activate(name, np.zeros(1))
    np.testing.assert_allclose(skip.activation_matrix(name, a, centred=True) * a, centred, atol=1e-15)
    points = np.linspace(-9, 9, 100_001)
    weights = np.exp(-points**2 / 2)
    slope = (weights * points * skip.activate(name, points)).sum() / weights.sum()
    assert skip.expected_slope(name) == pytest.approx(slope, abs=1e-5)
    assert isinstance(skip.activate(name, torch.zeros(2)), torch.Tensor)
    if skip.activate(name, np.zeros(1))[0]:
        with pytest.raises(ValueError, match="a = .* has 1 zeros"):
            skip.activation_matrix(name, a)
        np.testing.assert_allclose(skip.activation_matrix(name, a[a != 0]) * a[a != 0], skip.activate(name, a[a != 0]))


def test_the_best_matrix_and_the_best_diagonal_leave_residuals_at_right_angles():
    draw = np.random.default_rng(8)
    a, z = draw.normal(size=(30, 3)) + 2, draw.normal(size=(30, 3)) - 1
    S, centred = (skip.best_single_matrix(a, z, centred=each) for each in (False, True))
    diagonal = skip.best_diagonal(a, z)
    np.testing.assert_allclose((z - a @ S.T).T @ a, 0, atol=1e-10)
    np.testing.assert_allclose((z - z.mean(0) - (a - a.mean(0)) @ centred.T).T @ (a - a.mean(0)), 0, atol=1e-10)
    np.testing.assert_allclose(((z - a * diagonal) * a).sum(0), 0, atol=1e-10)
    assert skip.unexplained_share(a, z, np.zeros((3, 3))) == 1.0 and skip.unexplained_share(a, a @ S.T, S) < 1e-25
    assert skip.unexplained_share(a, z, S) == pytest.approx(np.linalg.norm(z - a @ S.T) ** 2 / np.linalg.norm(z) ** 2)
    W = draw.normal(size=(3, 3))
    np.testing.assert_allclose(skip.residual_operator(W, a, z) - np.eye(3), skip.residual_operator(W, a, z, skip=False))
    np.testing.assert_allclose(skip.residual_operator(W, a, z, skip=False), np.diag(diagonal) @ W)
    for call in (skip.best_single_matrix, skip.best_diagonal):
        for wrong, said in (((a, z[:9]), "z = .* does not match a"), ((a[0], z[0]), "a = .*rank 1"),
                            ((a, np.full_like(z, np.nan)), "z = .*NaN")):
            with pytest.raises(ValueError, match=said):
                call(*wrong)
    with pytest.raises(ValueError, match="S = "):
        skip.unexplained_share(a, z, np.ones(3))
    with pytest.raises(ValueError, match="a = .* has a unit that is 0"):
        skip.best_diagonal(a * [1.0, 0.0, 1.0], z)


def test_stacks_of_stacks_of_residual_layers_each_gain_the_identity():
    D = np.random.default_rng(9).normal(size=(2, 3, 4, 4))
    np.testing.assert_allclose(skip.residual_dictionary(D) - D, np.broadcast_to(np.eye(4), D.shape), atol=1e-15)


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.0])
def test_the_ends_of_a_spectrum_from_products_alone_are_those_of_the_matrix(scale):
    generator = torch.Generator().manual_seed(0)
    W = scale * torch.randn(120, 120, generator=generator, dtype=torch.float64) / 120**0.5
    D = torch.eye(120, dtype=torch.float64) + (torch.rand(120, generator=generator) > 0.5).double()[:, None] * W
    start, sigma = torch.randn(120, generator=generator, dtype=torch.float64), skip.singular_values(D)
    found = skip.extreme_singular_values(lambda v: D @ v, lambda u: D.T @ u, start)
    assert found.converged and found.largest == pytest.approx(float(sigma[0]), rel=1e-9)
    assert found.smallest == pytest.approx(float(sigma[-1]), rel=1e-9)
    for steps in (1, 5, 20):
        early = skip.extreme_singular_values(lambda v: D @ v, lambda u: D.T @ u, start, steps)
        assert early.largest <= found.largest * (1 + 1e-12) and early.smallest >= found.smallest * (1 - 1e-12)
        assert early.condition <= found.condition * (1 + 1e-9) and not early.converged


def test_a_start_may_have_zeros():
    D, start = torch.diag(torch.tensor([3.0, 2.0, 1.0], dtype=torch.float64)), torch.tensor([0.0, 1, 1], dtype=torch.float64)
    found = skip.extreme_singular_values(lambda v: D @ v, lambda u: D.T @ u, start)
    assert (found.largest, found.smallest) == (pytest.approx(2), pytest.approx(1))  # of what it reaches


def test_a_singular_matrix_is_divided_by_nothing():
    with np.errstate(all="raise"):
        found = skip.condition_number(np.stack([np.diag([4.0, 2.0]), np.diag([1.0, 0.0]), np.zeros((2, 2))]))
    assert found.tolist() == [2.0, math.inf, math.inf]


@pytest.mark.parametrize("root", [2.5, "2", None])
def test_a_root_is_a_whole_number(root):
    with pytest.raises((ValueError, TypeError), match="root = "):
        skip.root_multiplicity(np.array([1, -4, 4]), root)


@pytest.mark.parametrize("call", [lambda W, b: skip.residual_forward(np.ones(2), W, b),
                                  lambda W, b: skip.end_to_end_jacobian(np.ones(2), W, b),
                                  lambda W, b: skip.segment_slopes(np.ones(2), np.zeros(2), W, b)])
def test_every_layer_has_a_bias(call):
    call([np.eye(2)] * 2, [np.zeros(2)] * 2)
    with pytest.raises(ValueError, match="shorter|longer|biases"):
        call([np.eye(2)] * 2, [np.zeros(2)])


def test_a_row_of_zeros_makes_a_matrix_singular_at_the_first_product():
    D, start = torch.eye(4, dtype=torch.float64), torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    D[2] = 0
    assert skip.extreme_singular_values(lambda v: D @ v, lambda u: D.T @ u, start).condition == math.inf


@pytest.mark.parametrize(("change", "said"), [({"forward": None}, "is no function"), ({"start": torch.zeros(3)}, "start from"),
                                              ({"start": np.ones(3)}, "start from"), ({"start": torch.ones(3).int()}, "start"),

                                              ({"steps": 0}, "steps"), ({"tolerance": -1.0}, "tolerance")])
def test_products_and_starts_that_do_not_fit_are_refused(change, said):
    given = {"forward": lambda v: v, "adjoint": lambda v: v, "start": torch.ones(3)}
    with pytest.raises((ValueError, TypeError), match=said):
        skip.extreme_singular_values(**(given | change))


def test_extreme_singular_values_take_no_more_products_than_they_need():
    values, calls = torch.linspace(1, 2, 60, dtype=torch.float64), []

    def product(v):
        calls.append(1)
        return values * v

    found = skip.extreme_singular_values(product, product, torch.ones(60, dtype=torch.float64), tolerance=0.2)
    assert found.converged and len(calls) < 60
    assert abs(found.largest - 2) < 0.4 and abs(found.smallest - 1) < 0.2
