"""Pursuits: equal to a CNN's forward pass, to scikit-learn's Lasso, and certified by their own duality gap."""

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import Lasso, orthogonal_mp

from deepatoms.theory import convolutional, dictionaries, multilayer, pursuit

NETS = [((40,), [(3, 1, 7), (4, 3, 5), (3, 4, 4)]), ((12, 10), [(3, 1, 3, 3), (4, 3, 3, 2), (3, 4, 2, 2)])]


def drawn(shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def torch_forward(x, filters, biases):
    convolve = F.conv1d if x.ndim == 3 else F.conv2d
    for weight, bias in zip(filters, biases, strict=True):
        overhang = [side for n in reversed(weight.shape[2:]) for side in (0, n - 1)]
        x = F.relu(convolve(F.pad(x, overhang, mode="circular"), weight, bias))
    return x


@pytest.mark.parametrize(("grid", "shapes"), NETS)
def test_a_cnn_forward_pass_is_layered_nonnegative_thresholding(grid, shapes):
    filters = [convolutional.normalize_filters(drawn(shape, seed)) for seed, shape in enumerate(shapes)]
    thresholds = [torch.rand(shape[0], dtype=torch.float64) / 5 for shape in shapes]
    x = drawn((2, 1, *grid), 9)
    pass_ = torch_forward(x, filters, [-t for t in thresholds])
    assert (pursuit.layered_thresholding(x, filters, thresholds, "nonnegative")[-1] - pass_).abs().max() < 1e-12
    flipped = [f.flip(tuple(range(2, f.ndim))) for f in filters]
    assert (pursuit.layered_thresholding(x, flipped, thresholds, "nonnegative")[-1] - pass_).abs().max() > 0.01


def test_the_operators_are_the_proximal_ones():
    z, grid = 1.3 * drawn((50,)), torch.linspace(-6, 6, 120_001, dtype=torch.float64)
    for operator, allowed in [(pursuit.soft_threshold, grid), (pursuit.nonnegative_threshold, grid[grid >= 0])]:
        values = (allowed[:, None] - z) ** 2 / 2 + 0.7 * allowed[:, None].abs()
        assert (operator(z, 0.7) - allowed[values.argmin(0)]).abs().max() < 2e-4
    assert torch.equal(pursuit.hard_threshold(z, 0.7), z * (z.abs() > 0.7))  # a choice among given numbers


def lasso(seed=0, signals=30):
    rng = np.random.default_rng(seed)
    D = dictionaries.normalize(rng.normal(size=(16, 40)))
    codes = rng.normal(size=(signals, 40)) * (rng.random((signals, 40)) < 0.1)
    return codes @ D.T + 0.01 * rng.normal(size=(signals, 16)), D


def objective(x, D, code, weight):
    return ((x - code @ D.T) ** 2).sum(1) / 2 + weight * abs(code).sum(1)


def test_all_solvers_reach_the_objective_of_scikit_learn():
    x, D = lasso()
    reference = Lasso(alpha=0.1 / D.shape[0], fit_intercept=False, max_iter=10_000, tol=1e-12).fit(D, x.T)
    expected = objective(x, D, reference.coef_, 0.1)
    for code in (pursuit.sparse_basis_pursuit(x, D, 0.1), pursuit.basis_pursuit(x, D, 0.1, iterations=5000, tolerance=1e-9),
                 pursuit.splitting_basis_pursuit(x, D, 0.1, iterations=5000, tolerance=1e-9)):
        np.testing.assert_allclose(objective(x, D, code, 0.1), expected, rtol=1e-7)
        assert (pursuit.duality_gap(x, D, code, 0.1) <= 1e-8 * expected).all()


def test_the_gap_bounds_the_distance_to_the_minimum():
    x, D = lasso(1)
    best = objective(x, D, pursuit.sparse_basis_pursuit(x, D, 0.1, tolerance=1e-12), 0.1)
    rough = pursuit.basis_pursuit(x, D, 0.1, iterations=20, tolerance=0)
    assert (objective(x, D, rough, 0.1) - best <= pursuit.duality_gap(x, D, rough, 0.1) + 1e-12).all()


@pytest.mark.parametrize(("shape", "grid"), [((3, 1, 5), (30,)), ((2, 2, 3, 3), (7, 8)), ((2, 1, 5), (7,))])
def test_convolutional_basis_pursuit_equals_the_explicit_one(shape, grid):
    filters = convolutional.normalize_filters(drawn(shape).numpy())
    x = drawn((4, shape[1], *grid), 1).numpy()
    explicit = pursuit.sparse_basis_pursuit(x.reshape(4, -1), convolutional.matrix(filters, grid), 0.8)
    for code in (pursuit.sparse_basis_pursuit(x, filters, 0.8),
                 pursuit.basis_pursuit(x, filters, 0.8, iterations=5000, tolerance=1e-10),
                 pursuit.splitting_basis_pursuit(x, filters, 0.8, iterations=5000, tolerance=1e-10)):
        D, rows = convolutional.matrix(filters, grid), x.reshape(4, -1)
        np.testing.assert_allclose(objective(rows, D, code.reshape(4, -1), 0.8), objective(rows, D, explicit, 0.8), rtol=1e-7)


def test_nonnegative_basis_pursuit_is_optimal():
    x, D = lasso(2)
    for solver in (pursuit.basis_pursuit, pursuit.splitting_basis_pursuit):
        code = solver(x, D, 0.1, nonnegative=True, iterations=5000, tolerance=1e-9)
        assert code.min() >= 0
        assert (pursuit.duality_gap(x, D, code, 0.1, nonnegative=True) <= 1e-8 * objective(x, D, code, 0.1)).all()


def test_splitting_needs_fewer_iterations_than_fista_where_atoms_overlap():
    smooth = np.array([1.0, 2.0, 3.0, 2.0, 1.0])
    filters = convolutional.normalize_filters(np.stack([smooth, np.roll(smooth, 1), smooth**2])[:, None])
    x = drawn((4, 1, 60), 3).cumsum(-1).numpy()
    gaps = [pursuit.duality_gap(x, filters, solver(x, filters, 0.5, iterations=60, tolerance=0), 0.5).max()
            for solver in (pursuit.splitting_basis_pursuit, pursuit.basis_pursuit)]
    assert gaps[0] < gaps[1] / 3


def test_both_iterations_have_the_gradient_of_the_solution():
    filters, x = convolutional.normalize_filters(drawn((2, 1, 3))), drawn((1, 12), 4)
    found = []
    for solver in (pursuit.splitting_basis_pursuit, pursuit.basis_pursuit):
        given = [filters.clone().requires_grad_(), x.clone().requires_grad_()]
        code = solver(given[1], given[0], 0.2, iterations=2000, tolerance=0)
        found.append(torch.autograd.grad((code**2).sum(), given))
    for one, other in zip(*found, strict=True):
        assert one.abs().max() > 0.01 and torch.allclose(one, other, atol=1e-6)


def test_splitting_returns_zero_where_the_weight_exceeds_every_product():
    assert not pursuit.splitting_basis_pursuit(drawn((3, 1, 9)), convolutional.normalize_filters(drawn((2, 1, 3))), 100.0).any()


def test_pursuits_are_differentiable():
    filters = [convolutional.normalize_filters(drawn(shape)).requires_grad_() for shape in [(2, 1, 3), (2, 2, 2)]]
    x = drawn((1, 1, 6), 2).requires_grad_()
    for found in (lambda *given: pursuit.layered_thresholding(given[0], given[1:], [0.1, 0.1])[-1],
                  lambda *given: pursuit.layered_basis_pursuit(given[0], given[1:], [0.1, 0.1], iterations=5, tolerance=0)[-1],
                  lambda *given: pursuit.multilayer_ista(given[0], given[1:], [0.1, 0.1], iterations=4, tolerance=0)[-1]):
        found(x, *filters).sum().backward()
        assert x.grad.abs().max() > 0
        x.grad = None


def test_multilayer_ista_explains_the_signal_with_consistent_layers():
    signals = multilayer.draw("K2-compact", 3, np.random.default_rng(0))
    codes = pursuit.multilayer_ista(signals.signal, signals.dictionaries, [0.01, 0.01])
    first, second = signals.dictionaries
    rebuilt = first.synthesize(second.synthesize(codes[1]))
    assert (rebuilt - signals.signal).norm() < 0.1 * signals.signal.norm()


def test_results_stay_on_the_kind_and_device_of_the_signal():
    filters = drawn((2, 1, 3))
    assert isinstance(pursuit.layered_thresholding(np.ones((1, 6)), [filters], [0.1])[0], np.ndarray)
    for call in (lambda x, f: pursuit.layered_thresholding(x, [f], [0.1])[0],
                 lambda x, f: pursuit.basis_pursuit(x, f, 0.1, iterations=3, tolerance=0),
                 lambda x, f: pursuit.splitting_basis_pursuit(x, f, 0.1, iterations=12, tolerance=0)):
        assert call(torch.ones(1, 6, dtype=torch.float64), filters).dtype == torch.float64


@pytest.mark.parametrize(("call", "said"), [
    (lambda: pursuit.layered_thresholding(np.ones((1, 8)), [np.ones((2, 1, 3)), np.ones((2, 3, 3))], [0.1, 0.1]),
     r"dictionaries\[1\].*reads 3 channels, but dictionaries\[0\] has 2 atoms"),
    (lambda: pursuit.layered_thresholding(np.ones(4), [np.ones((4, 5)), np.ones((6, 7))], [0.1, 0.1]),
     r"dictionaries\[1\].*has 6 rows, but dictionaries\[0\] has 5 atoms"),
    (lambda: pursuit.layered_thresholding(np.ones((1, 8)), [np.ones((2, 1, 3))], [-0.1]), r"thresholds\[0\] = -0.1 is negative"),
    (lambda: pursuit.layered_thresholding(np.ones((1, 8)), [np.ones((2, 1, 3))], [0.1, 0.1]), "2 entries for 1 layers"),
    (lambda: pursuit.layered_thresholding(np.full((1, 8), np.nan), [np.ones((2, 1, 3))], [0.1]), "NaN"),
    (lambda: pursuit.layered_thresholding(np.ones((1, 8)), [np.ones((2, 1, 9))], [0.1]), "longer than the grid"),
    (lambda: pursuit.layered_thresholding(np.ones((1, 8)), [np.zeros((2, 1, 3))], [0.1]), "zero atoms"),
    (lambda: pursuit.layered_thresholding(np.ones((1, 8)), [], []), "is empty"),
    (lambda: pursuit.layered_thresholding(np.ones((1, 8)), [np.ones((2, 1, 3))], [0.1], "firm"), "unknown"),
    (lambda: pursuit.basis_pursuit(np.ones((1, 8)), np.ones((2, 1, 3)), 0.0), "weight = 0.0 is zero"),
    (lambda: pursuit.sparse_basis_pursuit(np.ones((1, 1, 8)), np.ones((2, 1, 3)), 0.1), "normalise"),
])
def test_bad_input_is_refused_by_name(call, said):
    with pytest.raises(ValueError, match=said):
        call()


@pytest.mark.parametrize("solver", [pursuit.basis_pursuit, pursuit.splitting_basis_pursuit])
@pytest.mark.parametrize("seed", range(4))
def test_too_few_iterations_are_said_and_more_are_never_worse(solver, seed):
    D, x = dictionaries.normalize(drawn((6, 12), seed)), drawn((3, 6), seed + 10)
    with pytest.warns(pursuit.NotConverged, match="iterations = 2 ended at a relative duality gap"):
        few = solver(x, D, 0.1, iterations=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error", pursuit.NotConverged)
        many = solver(x, D, 0.1, iterations=5000, tolerance=1e-9)
    assert (pursuit.objective(x, D, many, 0.1) <= pursuit.objective(x, D, few, 0.1)).all()


def test_multilayer_ista_says_when_it_stops_moving():
    x, layers = drawn((3, 6)), [dictionaries.normalize(drawn(size, 1)) for size in ((6, 8), (8, 9))]
    with pytest.warns(pursuit.NotConverged, match="iterations = 3 ended while a step changes"):
        pursuit.multilayer_ista(x, layers, [0.1, 0.1], iterations=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error", pursuit.NotConverged)
        found = pursuit.multilayer_ista(x, layers, [0.1, 0.1])[1]
    further = pursuit.multilayer_ista(x, layers, [0.1, 0.1], iterations=20_000, tolerance=0)[1]
    assert float((found - further).norm() / further.norm()) < 1e-3


def test_one_matrix_for_each_signal_equals_one_signal_after_the_other():
    B, y = drawn((3, 5, 7)), drawn((3, 5), 1)
    together = pursuit.basis_pursuit(y, pursuit.MatrixDictionary(B), 0.1, iterations=5000, tolerance=1e-10)
    assert torch.allclose(together, torch.stack([pursuit.basis_pursuit(one, D, 0.1, iterations=5000, tolerance=1e-10)
                                                 for one, D in zip(y, B, strict=True)]), atol=1e-5)
    one, *_ = pursuit.splitting_basis_pursuit(y, pursuit.MatrixDictionary(B), 0.1, iterations=5000, tolerance=1e-10)
    assert torch.allclose(one, together[0], atol=1e-5)
    B = B / B.norm(dim=1, keepdim=True)
    active = pursuit.sparse_basis_pursuit(y, pursuit.MatrixDictionary(B), 0.1)
    assert float(pursuit.duality_gap(y, pursuit.MatrixDictionary(B), active, 0.1).max()) < 1e-8
    with pytest.raises(ValueError, match="does not match signals"):
        pursuit.basis_pursuit(y[:2], pursuit.MatrixDictionary(B), 0.1)


def test_objective_without_the_half_is_twice_the_objective():
    draw = np.random.default_rng(0)
    D, x, code = draw.normal(size=(4, 6)), draw.normal(size=(5, 4)), draw.normal(size=(5, 6))
    without = ((x - code @ D.T) ** 2).sum(1) + 0.3 * abs(code).sum(1)
    np.testing.assert_allclose(2 * pursuit.objective(x, D, code, 0.15), without)


@pytest.mark.parametrize("name", ["soft_threshold", "nonnegative_threshold", "hard_threshold"])
def test_thresholds_keep_the_kind_and_refuse_what_is_no_threshold(name):
    operator, z = getattr(pursuit, name), np.array([-3.0, 0.5, 2.0])
    assert isinstance(operator(z, 1.0), np.ndarray)
    np.testing.assert_array_equal(operator(z, np.full(3, 1.0)), operator(torch.tensor(z), 1.0).numpy())
    for bad in (-1.0, float("nan"), np.array([1.0, -1.0, 1.0])):
        with pytest.raises(ValueError, match="threshold = .* is negative or not finite; pass numbers >= 0"):
            operator(z, bad)
    with pytest.raises(ValueError, match="z = .* NaN"):
        operator(np.array([np.nan]), 1.0)


def test_matching_pursuit_equals_scikit_learns():
    draw = np.random.default_rng(0)
    D, X = dictionaries.normalize(draw.normal(size=(10, 20))), draw.normal(size=(30, 10))
    assert np.allclose(pursuit.matching_pursuit(D, X, 4), orthogonal_mp(D, X.T, n_nonzero_coefs=4).T)
    with pytest.raises(ValueError, match="X = .* does not match the 10 rows of D"):
        pursuit.matching_pursuit(D, X.T, 4)


@pytest.mark.parametrize("solver", [pursuit.basis_pursuit, pursuit.splitting_basis_pursuit])
def test_more_iterations_are_never_worse(solver):
    D, x = dictionaries.normalize(drawn((10, 30))).numpy(), drawn((3, 10), 1).numpy()
    values = np.array([pursuit.objective(x, D, solver(x, D, 0.05, iterations=n, tolerance=0), 0.05) for n in range(1, 60)])
    assert (np.diff(values, axis=0) <= 1e-12 * values[:-1]).all()
    least = pursuit.objective(x, D, pursuit.sparse_basis_pursuit(x, D, 0.05, tolerance=1e-12), 0.05)
    assert (solver(x, D, 0.05, iterations=1, tolerance=0) != 0).any() and (values[0] > 1.01 * least).all()
    found = solver(x, D, 0.05, iterations=20_000, tolerance=1e-10)
    assert (pursuit.objective(x, D, found, 0.05) - least <= 1e-9 * least).all()


def test_the_last_iterate_alone_would_be_worse():
    best = pursuit._Best(torch.zeros(1, 1), pursuit.MatrixDictionary(torch.eye(1)), 1.0)
    for value in (0.5, 2.0):
        best.keep(torch.full((1, 1), value), torch.full((1, 1), value))
    assert float(best.code) == 0.5


def test_a_code_that_is_not_admissible_has_no_finite_gap():
    x, D = np.array([[2.0, -0.5], [2.0, -0.5]]), np.eye(2)
    gap = pursuit.duality_gap(x, D, np.array([[1.0, -0.1], [1.0, 0.0]]), 0.1, nonnegative=True)
    assert np.isinf(gap[0]) and np.isfinite(gap[1])


def test_one_unfinished_signal_of_a_batch_is_not_hidden_by_the_others():
    D = dictionaries.normalize(drawn((6, 12))).numpy()
    small = 1e-6 * drawn((1, 6), 1).numpy()
    with pytest.warns(pursuit.NotConverged, match="iterations = 12"):
        pursuit.multilayer_ista(np.concatenate([np.zeros((50, 6)) + D[:, 0], small]), [D], [1e-8], iterations=12,
                                tolerance=1e-4)


def test_more_iterations_of_multilayer_ista_never_move_more():
    x, layers = drawn((2, 6), 1), [dictionaries.normalize(drawn((6, 8))), dictionaries.normalize(drawn((8, 9), 2))]

    def moves(n):
        codes = pursuit.multilayer_ista(x, layers, [0.1, 0.1], iterations=n, tolerance=0)
        levels = [torch.tensor(0.1) / pursuit.MatrixDictionary(D).squared_norm for D in layers]
        operators = [pursuit.MatrixDictionary(D) for D in layers]
        again = pursuit._multilayer_step(x, operators, levels, codes[-1], False)[-1]
        return ((again - codes[-1]).norm(dim=1) / again.norm(dim=1)).numpy()

    found = np.array([moves(n) for n in (5, 20, 80, 320, 2000)])
    assert (np.diff(found, axis=0) <= 1e-12).all() and (found[-1] < 1e-3 * found[0]).all()


EYE, SHORT = np.eye(2), np.ones((2, 1, 3)) / 3**0.5


@pytest.mark.parametrize(("call", "said"), [
    (lambda: pursuit.MatrixDictionary(np.array([[1.0, 0.0], [1.0, 0.0]])), "D = .* has zero atoms"),
    (lambda: pursuit.MatrixDictionary(np.ones(3)), "D = .* has rank 1"),
    (lambda: pursuit.MatrixDictionary(np.full((2, 2), np.nan)), "D = .*NaN"),
    (lambda: pursuit.basis_pursuit(np.ones(2), EYE, -0.1), "weight = -0.1 is negative"),
    (lambda: pursuit.basis_pursuit(np.ones(2), EYE, np.inf), "weight = inf is negative or not finite"),
    (lambda: pursuit.basis_pursuit(np.ones(2), EYE, np.array([0.1, 0.0])), "weight = .* is zero"),
    (lambda: pursuit.basis_pursuit(np.ones(2), EYE, 0.1, iterations=0), "iterations = 0"),
    (lambda: pursuit.splitting_basis_pursuit(np.ones(2), EYE, 0.1, iterations=0), "iterations = 0"),
    (lambda: pursuit.splitting_basis_pursuit(np.ones(2), EYE, 0.0), "weight = 0.0 is zero"),
    (lambda: pursuit.basis_pursuit(np.ones(3), EYE, 0.1), r"dictionaries\[0\] = .* has 2 rows, but x has dimension 3"),
    (lambda: pursuit.basis_pursuit(np.full(2, np.nan), EYE, 0.1), "x = .*NaN"),
    (lambda: pursuit.layered_basis_pursuit(np.ones(2), [EYE, EYE], [0.1]), "weights = .* has 1 entries for 2 layers"),
    (lambda: pursuit.multilayer_ista(np.ones(2), [EYE], [0.0]), r"weights\[0\] = 0.0 is zero"),
    (lambda: pursuit.multilayer_ista(np.ones(2), [EYE], [0.1, 0.1]), "weights = .* has 2 entries for 1 layers"),
    (lambda: pursuit.multilayer_ista(np.ones(2), [EYE], [0.1], iterations=0), "iterations = 0"),
    (lambda: pursuit.sparse_basis_pursuit(np.ones((1, 2)), EYE, 0.0), "weight = 0.0 is not positive"),
    (lambda: pursuit.sparse_basis_pursuit(np.ones((1, 2)), EYE, 0.1, rounds=0), "rounds = 0"),
    (lambda: pursuit.sparse_basis_pursuit(np.ones((1, 2)), EYE * (1 + 2e-5), 0.1), "norm differs from 1 by up to 2e-05"),
    (lambda: pursuit.matching_pursuit(EYE, np.ones((1, 2)), 3), "sparsity = 3 exceeds"),
    (lambda: pursuit.matching_pursuit(EYE, np.ones((1, 2)), 0), "sparsity = 0"),
    (lambda: pursuit.matching_pursuit(EYE, np.full((1, 2), np.nan), 1), "X = .*NaN"),
    (lambda: pursuit.objective(np.ones(2), EYE, np.full(2, np.nan), 0.1), "code = .*NaN"),
    (lambda: pursuit.objective(np.ones(2), EYE, np.ones(2), 0.0), "weight = 0.0 is zero"),
    (lambda: pursuit.layered_thresholding(np.ones((1, 8)), [SHORT], [np.nan]), r"thresholds\[0\] = nan is negative"),
    (lambda: pursuit.layered_thresholding(np.ones((1, 8)), [SHORT, np.ones((1, 3, 2))], [0.1, 0.1]), "reads 3 channels"),
    (lambda: pursuit.layered_thresholding(np.ones((1, 8)), [np.full((2, 1, 3), np.nan)], [0.1]), r"dictionaries\[0\] = .*NaN"),
])
def test_what_no_pursuit_can_mean_is_refused_by_name(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_on_an_orthonormal_dictionary_every_pursuit_is_soft_thresholding():
    Q = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))[0]
    X = np.random.default_rng(1).normal(size=(4, 5))
    products, weights = X @ Q, np.array([0.1, 0.5, 0.2, 1.0, 0.3])
    for weight in (0.3, weights):
        wanted = np.sign(products) * np.maximum(abs(products) - weight, 0)
        for solver in (pursuit.basis_pursuit, pursuit.splitting_basis_pursuit):
            np.testing.assert_allclose(solver(X, Q, weight, tolerance=1e-12), wanted, atol=1e-6)
            positive = solver(X, Q, weight, nonnegative=True, tolerance=1e-12)
            np.testing.assert_allclose(positive, np.maximum(products - weight, 0), atol=1e-6)
        np.testing.assert_allclose(pursuit.layered_thresholding(X, [Q], [weight])[0], wanted)
        np.testing.assert_allclose(pursuit.multilayer_ista(X, [Q], [weight])[0], wanted, atol=1e-5)
    soft = pursuit.soft_threshold(products, 0.3)
    np.testing.assert_allclose(pursuit.sparse_basis_pursuit(X, Q, 0.3), soft, atol=1e-8)
    kept = np.where(abs(products) >= np.sort(abs(products), 1)[:, -2:-1], products, 0)
    np.testing.assert_allclose(pursuit.matching_pursuit(7 * Q, X, 2), kept, atol=1e-12)


def test_the_gap_of_a_lasso_worked_out_by_hand():
    """x = (2, 0.5), weight 1: the best code is (1, 0) of value 1/2 + 1/8 + 1; at 0 the value is 2.125."""
    x, D = np.array([2.0, 0.5]), np.eye(2)
    assert pursuit.objective(x, D, np.array([1.0, 0.0]), 1.0) == pytest.approx(1.625)
    assert pursuit.duality_gap(x, D, np.array([1.0, 0.0]), 1.0) == pytest.approx(0.0, abs=1e-12)
    assert pursuit.objective(x, D, np.zeros(2), 1.0) == pytest.approx(2.125)
    dual = np.array([1.0, 0.25])  # the residual (2, 0.5), scaled until no product exceeds the weight
    assert pursuit.duality_gap(x, D, np.zeros(2), 1.0) == pytest.approx(2.125 - (x @ x - (x - dual) @ (x - dual)) / 2)
    assert pursuit.duality_gap(-x, D, np.zeros(2), 1.0, nonnegative=True) == 0.0  # zero is the best nonnegative code
    assert pursuit.duality_gap(-x, D, np.zeros(2), 1.0) > 0.5


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("channels", [2, 7])
def test_products_and_resolvents_of_matrices_are_those_of_the_matrix(own, channels):
    draw = np.random.default_rng(2)
    D, x = draw.normal(size=(3, channels, 4) if own else (channels, 4)), draw.normal(size=(3, channels))
    each = D if own else np.broadcast_to(D, (3, channels, 4))
    operator, codes = pursuit.MatrixDictionary(D), draw.normal(size=(3, 4))
    np.testing.assert_allclose(operator.analyze(torch.tensor(x)), [d.T @ s for d, s in zip(each, x, strict=True)])
    np.testing.assert_allclose(operator.synthesize(torch.tensor(codes)), [d @ c for d, c in zip(each, codes, strict=True)])
    solved = [np.linalg.solve(d @ d.T + 0.7 * np.eye(channels), s) for d, s in zip(each, x, strict=True)]
    np.testing.assert_allclose(operator.resolvent(0.7)(torch.tensor(x)), solved, atol=1e-12)
    norms = np.array([np.linalg.norm(d, 2) ** 2 for d in each])
    np.testing.assert_allclose(np.ravel(operator.squared_norm), norms if own else norms[:1])
    assert operator.unit_excess() == pytest.approx(max(abs(np.linalg.norm(d, axis=0) - 1).max() for d in each))


def test_filters_of_each_signal_s_own_are_coded_as_one_after_the_other_by_working_sets():
    draw = np.random.default_rng(3)
    for shape, grid in (((3, 1, 3), (9,)), ((2, 1, 2, 2), (3, 4)), ((2, 1, 4), (5,))):
        filters = torch.stack([torch.from_numpy(convolutional.normalize_filters(draw.normal(size=shape))) for _ in range(2)])
        x = torch.from_numpy(draw.normal(size=(2, shape[1], *grid)))
        D = convolutional.ConvolutionalDictionary(filters, grid)
        together = pursuit.sparse_basis_pursuit(x, D, torch.tensor([0.5, 0.9]), batch=2)
        for i, weight in enumerate((0.5, 0.9)):
            alone = pursuit.sparse_basis_pursuit(x[i:i + 1], filters[i], weight, batch=50)
            assert torch.allclose(together[i], alone[0], atol=1e-6)
            assert float(pursuit.duality_gap(x[i:i + 1], filters[i], alone, weight)) < 1e-8
    with pytest.raises(RuntimeError, match="rounds = 1 left 2 signals with a relative gap"):
        pursuit.sparse_basis_pursuit(x, D, 1e-3, batch=1, rounds=1)


def test_of_two_iterates_each_signal_keeps_its_own_and_of_equals_the_later():
    best = pursuit._Best(torch.zeros(2, 1), pursuit.MatrixDictionary(torch.eye(1)), 1.0)
    for first, second in ((1.0, 3.0), (2.0, 2.0), (-2.0, -2.0)):
        best.keep(torch.tensor([[first], [second]]), torch.tensor([[first], [second]]))
    assert best.code.ravel().tolist() == [1.0, -2.0]
    norms = [(4.0, 1.0, 1.0, 1.0), (1.0, 1.0, 4.0, 1.0), (1e9, 1.0, 1.0, 1.0), (1.0, 1e9, 1.0, 1.0), (1.0, 0.0, 1.0, 1.0)]
    scaled = [pursuit._imbalance(*map(torch.tensor, parts)) for parts in norms]
    assert scaled == pytest.approx([2.0, 0.5, 10.0, 0.1, 10.0])
