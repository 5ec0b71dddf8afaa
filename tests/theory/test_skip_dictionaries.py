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


def test_a_row_of_zeros_makes_a_matrix_singular_at_the_first_product():
    D, start = torch.eye(4, dtype=torch.float64), torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    D[2] = 0
    assert skip.extreme_singular_values(lambda v: D @ v, lambda u: D.T @ u, start).condition == math.inf


@pytest.mark.parametrize(("change", "said"), [({"forward": None}, "is no function"), ({"start": torch.zeros(3)}, "start from"),
                                              ({"steps": 0}, "steps"), ({"tolerance": -1.0}, "tolerance")])
def test_products_and_starts_that_do_not_fit_are_refused(change, said):
    given = {"forward": lambda v: v, "adjoint": lambda v: v, "start": torch.ones(3)}
    with pytest.raises((ValueError, TypeError), match=said):
        skip.extreme_singular_values(**(given | change))
