"""The theorems on ResNEsts, A-ResNEsts and DenseNEsts as theorems: inside the hypotheses, and outside."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from deepatoms.theory import resnests
from deepatoms.theory.resnests import augmented, cross_entropy

SUBSETS = [subset for size in range(4) for subset in itertools.combinations(range(3), size)]


def problem(seed, width=16, units=(4, 4, 4), samples=120):
    generator = torch.Generator().manual_seed(seed)
    net = resnests.random_resnest(5, 3, units, width, generator)
    x, y = (torch.randn(samples, size, generator=generator, dtype=torch.float64) for size in (5, 3))
    with torch.no_grad():
        features, states = net.trace(x)
    return net, x, features, states, y


def arrays(seed, **options):
    _, _, features, states, y = problem(seed, **options)
    return [v.numpy() for v in features], [s.numpy() for s in states], y.numpy()


def coupled(seed, **options):
    features, states, y = arrays(seed, **options)
    return resnests.CoupledProblem(states[-2], features[-1], y)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 20))
def test_the_gap_is_never_negative_and_zero_under_assumption_4(seed, width):
    net, _, features, states, y = problem(seed, width=width)
    gap = resnests.coupling_gap(features, states[-2], y)
    assert gap >= -1e-10
    if resnests.assumption_4(list(net.weights)[:-1], 1e-6).holds and width >= 3:
        assert gap <= 1e-12


def test_a_net_too_narrow_has_a_gap_and_predictable_features_close_it():
    net, x, features, states, y = problem(0, width=8)
    assert not resnests.assumption_4(list(net.weights)[:-1]).holds
    assert resnests.coupling_gap(features, states[-2], y) > 1e-3
    predictable = [x, x @ x.T[:, :4], x @ x.T[:, 4:8], features[-1]]
    assert resnests.coupling_gap(predictable, x @ torch.randn(5, 8, dtype=torch.float64), y) < 1e-10


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_prefix_risks_never_increase_and_a_predictable_feature_changes_nothing(seed):
    features, _, y = arrays(seed)
    risks = resnests.prefix_risks([*features, features[1] @ np.ones((4, 2))], y)
    assert all(later <= earlier + 1e-12 for earlier, later in itertools.pairwise(risks))
    assert risks[-1] == pytest.approx(risks[-2], abs=1e-12)
    assert resnests.unpredictability([*features, features[1]])[-1] < 1e-20


@pytest.mark.parametrize("subset", SUBSETS)
def test_explicit_points_are_critical_with_the_stated_risk_and_rank(subset):
    task = coupled(1)
    W, B = task.critical_point(subset)
    assert max(np.abs(part).max() for part in task.gradient(W, B)) < 1e-12
    assert task.risk(W, B) == pytest.approx(task.critical_value(subset), abs=1e-12)
    assert np.linalg.matrix_rank(B, tol=1e-6) == len(subset)
    lowest = np.linalg.eigvalsh(task.hessian(W, B))[0]
    if len(subset) < 3:
        direction = task.escape_direction(W, B)
        assert lowest <= task.curvature(W, B, *direction) < -1e-6
        step = [part + 1e-3 * move for part, move in zip((W, B), direction, strict=True)]
        assert task.risk(*step) < task.risk(W, B)
    else:
        assert lowest > -1e-10


def test_below_the_width_of_the_output_a_full_rank_critical_point_is_a_saddle():
    task = coupled(2, width=2)
    W, B = task.critical_point([0, 2])
    assert np.linalg.matrix_rank(B) == 2
    assert np.linalg.eigvalsh(task.hessian(W, B))[0] < -1e-6
    assert task.risk(W, B) > task.infimum() + 1e-6


def test_hessian_and_gradient_equal_automatic_differentiation():
    task = coupled(3, width=6)
    width, units, outputs = task.sizes
    point = torch.randn(width * units + outputs * width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    previous, last, y = (torch.tensor(part) for part in (task.previous, task.last, task.targets))

    def risk(v):
        W, B = v[:width * units].reshape(width, units), v[width * units:].reshape(outputs, width)
        return (((previous + last @ W.T) @ B.T - y) ** 2).sum() / len(y)

    W, B = point[:width * units].reshape(width, units), point[width * units:].reshape(outputs, width)
    ours = resnests.CoupledProblem(previous, last, y)
    torch.testing.assert_close(ours.hessian(W, B), torch.func.hessian(risk)(point), rtol=0, atol=1e-10)
    torch.testing.assert_close(torch.cat([part.flatten() for part in ours.gradient(W, B)]), torch.func.grad(risk)(point),
                               rtol=0, atol=1e-12)
    H, direction = ours.hessian(W, B), torch.ones_like(point)
    split = direction[:width * units].reshape(width, units), direction[width * units:].reshape(outputs, width)
    assert ours.curvature(W, B, *split) == pytest.approx(float(direction @ H @ direction))


def test_compression_changes_no_risk_gradient_or_hessian():
    task = coupled(4, samples=500)
    small, rng = task.compressed(), np.random.default_rng(0)
    W, B = rng.normal(size=(16, 4)), rng.normal(size=(3, 16))
    assert len(small.targets) == 23
    assert small.risk(W, B) == pytest.approx(task.risk(W, B))
    np.testing.assert_allclose(small.hessian(W, B), task.hessian(W, B), atol=1e-10)
    np.testing.assert_allclose(small.gradient(W, B)[0], task.gradient(W, B)[0], atol=1e-10)
    assert small.infimum() == pytest.approx(task.infimum())


@pytest.mark.parametrize("descend", [resnests.trust_region, resnests.lbfgs])
def test_descent_reaches_the_closed_form_within_1e_8(descend):
    task, rng = coupled(5).compressed(), np.random.default_rng(1)
    end = descend(task, 0.1 * rng.normal(size=(16, 4)), 0.1 * rng.normal(size=(3, 16)))
    assert -1e-12 <= end.risk - task.infimum() < 1e-8


@pytest.mark.parametrize("descend", [resnests.trust_region, resnests.lbfgs])
def test_an_end_tells_the_risk_the_gradient_and_the_norm_of_its_point(descend):
    rng, task = np.random.default_rng(5), coupled(5).compressed()
    end = descend(task, 0.1 * rng.normal(size=(16, 4)), 0.1 * rng.normal(size=(3, 16)), steps=3)
    assert end.risk == pytest.approx(task.risk(end.W, end.B), rel=1e-12)
    assert end.size == pytest.approx(np.linalg.norm(np.concatenate([end.W.ravel(), end.B.ravel()])), rel=1e-12)
    assert end.slope == pytest.approx(max(abs(part).max() for part in task.gradient(end.W, end.B)), rel=1e-9)


@pytest.mark.parametrize("descend", [resnests.trust_region, resnests.lbfgs])
def test_a_descent_without_steps_enough_says_so_and_more_steps_end_lower(descend):
    task, rng = coupled(5).compressed(), np.random.default_rng(1)
    start = 0.1 * rng.normal(size=(16, 4)), 0.1 * rng.normal(size=(3, 16))
    ends = [descend(task, *start, steps=steps) for steps in (2, 5, 2000)]
    assert [end.converged for end in ends] == [False, False, True]
    assert task.risk(*start) > ends[0].risk > ends[1].risk > ends[2].risk


def test_torch_and_numpy_agree():
    _, _, features, states, y = problem(6)
    same = arrays(6)
    gap = resnests.coupling_gap(same[0], same[1][-2], same[2])
    assert resnests.coupling_gap(features, states[-2], y) == pytest.approx(gap, abs=1e-12)
    assert resnests.augmented_risk(features, y) == pytest.approx(resnests.augmented_risk(same[0], same[2]))
    assert isinstance(resnests.augmented_optimum(features, y)[0], torch.Tensor)


def test_models_equal_their_formulas_and_the_augmented_one_contains_the_resnest():
    net, x, features, _, _ = problem(7)
    superposition = sum(v @ w.T for v, w in zip(features, net.weights, strict=True)) @ net.prediction.T
    torch.testing.assert_close(net(x), superposition)
    torch.testing.assert_close(resnests.augment(net)(x), net(x))
    dense = resnests.random_densenest(5, 3, [4, 3, 2], torch.Generator().manual_seed(0))
    torch.testing.assert_close(dense(x), torch.cat(dense.features(x), 1) @ dense.prediction.T)
    wide = resnests.dense_to_resnest(dense, inputs=5)
    torch.testing.assert_close(wide(x), dense(x))  # two orders of summation: which bits agree is the processor's
    assert resnests.assumption_4(list(wide.weights)[:-1]).margin == pytest.approx(1)
    assert len(net.truncated(2).blocks) == 2


def test_refitting_matters_where_features_are_collinear():
    features, _, y = arrays(8)
    x = features[0]
    half = resnests.augmented_optimum([x, x], y)[0]
    literal = float(((x @ half.T - y) ** 2).sum()) / len(y)
    assert literal > resnests.linear_risk(x, y) + 1e-3
    assert resnests.prefix_risks([x, x], y)[0] == pytest.approx(resnests.prefix_risks([x, x], y)[1])


def mean_cross_entropy(heads, v, labels):
    logits = v @ heads
    return np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(len(v)), labels])


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_cross_entropy_lies_within_its_proved_gap(seed):
    features, _, y = arrays(seed, samples=60)
    labels, v = y.argmax(1), features[0]
    risk, gap = resnests.cross_entropy_risk([v], labels)
    assert 0 <= gap <= 1e-9
    other = minimize(lambda h: mean_cross_entropy(h.reshape(5, 3), v, labels), np.zeros(15)).fun
    assert risk - gap <= other + 1e-12 and risk <= other + 1e-12
    assert resnests.cross_entropy_risk([v, v[:, :1] ** 2], labels)[0] <= risk + gap


def test_the_hessian_of_cross_entropy_is_that_of_automatic_differentiation():
    features, _, y = arrays(9, samples=60)
    labels, v = np.eye(3)[y.argmax(1)], features[0]
    hessian = resnests.augmented_hessian([v], np.zeros((60, 3)))
    assert np.linalg.eigvalsh(hessian)[0] > -1e-14
    exact = torch.func.hessian(lambda h: torch.nn.functional.cross_entropy(
        torch.tensor(v) @ h.T, torch.tensor(labels)))(torch.zeros(3, 5, dtype=torch.float64)).reshape(15, 15)
    np.testing.assert_allclose(hessian, exact.numpy(), atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 4))
def test_data_that_a_plane_labels_are_separable_and_one_opposite_pair_makes_them_overlap(seed, classes):
    rng = np.random.default_rng(seed)
    v = rng.normal(size=(40, 3))
    labels = np.unique((v @ rng.normal(size=(3, classes))).argmax(1), return_inverse=True)[1]
    assume(labels.max() > 0)
    with pytest.raises(ValueError, match="separable by the features"):
        resnests.cross_entropy_risk([v], labels)
    both = np.tile(v, (labels.max() + 1, 1)), np.repeat(np.arange(labels.max() + 1), 40)
    risk, gap = resnests.cross_entropy_risk([both[0]], both[1])  # each sample in every class: all logits equal
    assert risk == pytest.approx(np.log(labels.max() + 1)) and gap <= 1e-9


def test_separable_in_part_is_separable():
    """Two samples overlap at 0; the third alone can be pushed away for ever."""
    v = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    with pytest.raises(ValueError, match="no minimiser; add a ridge"):
        resnests.cross_entropy_risk([v], np.array([0, 1, 1]))


def test_block_risks_are_the_risks_of_the_representations():
    net, x, _, states, y = problem(10)
    constant = torch.ones(120, 1, dtype=torch.float64)
    found = resnests.block_risks(net, (x, y), held_out=(x[:50], y[:50]))
    assert [risk.name for risk in found] == ["input", "x_0", "x_1", "x_2", "x_3"]
    for risk, state in zip(found[1:], states, strict=True):
        assert risk.training == pytest.approx(resnests.linear_risk(torch.cat([state, constant], 1), y))
    assert all(risk.accuracy is None and risk.held_out > 0 for risk in found)
    labelled = resnests.block_risks(net, (x, y.argmax(1)), held_out=(x, y.argmax(1)))
    assert all(0 <= risk.accuracy <= 1 and risk.held_out == pytest.approx(risk.training) for risk in labelled)


V = np.random.default_rng(0).normal(size=(20, 3))


@pytest.mark.parametrize(("call", "said"), [
    (lambda: resnests.augmented_risk([V], V[:19]), "y = array of shape (19, 3)"),
    (lambda: resnests.augmented_risk([V, V[:4]], V), "features[1] = array of shape (4, 3)"),
    (lambda: resnests.augmented_risk([V * np.nan], V), "60 entries that are NaN"),
    (lambda: resnests.augmented_risk([], V), "features = [] is empty"),
    (lambda: resnests.CoupledProblem(V, V[:, [0, 0]], V).critical_point([]), "Assumption 1 fails: rank 1 of 2"),
    (lambda: resnests.CoupledProblem(V, V[:, :1] ** 2, V).critical_point([]), "rank 1 of 3"),
    (lambda: resnests.CoupledProblem(V, V**2, V).critical_point([3]), "subset = [3]"),
    (lambda: resnests.CoupledProblem(V[:, :1], V**2, V).critical_point([0, 1]), "M = 1"),
    (lambda: resnests.CoupledProblem(V, V**2, V).escape_direction(V[:3], np.eye(3)), "has no kernel"),
    (lambda: resnests.CoupledProblem(V[:2], V[:2], V[:2]), "fewer samples than outputs"),
    (lambda: resnests.cross_entropy_risk([V], V[:, 0]), "one class for each of 20"),
    (lambda: resnests.cross_entropy_risk([V], np.zeros(19, int)), "labels = array of shape (19,)"),
    (lambda: resnests.cross_entropy_risk([V], np.zeros(20, int)), "run from 0 to 0"),
    (lambda: resnests.block_risks(torch.nn.Linear(3, 3), (torch.ones(4, 3), torch.ones(4))), "no residual blocks"),
    (lambda: resnests.block_risks(torch.nn.Linear(3, 3), (torch.ones(4, 3), torch.ones(5))), "(4, 5)"),
    (lambda: resnests.block_risks(torch.nn.Linear(3, 3), (torch.ones(4, 3), torch.ones(4)), blocks=["a"]), "names modules"),
    (lambda: resnests.block_risks(None, None), "not a torch module"),
    (lambda: resnests.ResNEst([torch.eye(3)], torch.eye(3), []), "do not fit 0 blocks"),
    (lambda: resnests.ResNEst([torch.eye(3), torch.eye(4)], torch.eye(3), [torch.nn.Identity()]), "does not have M = 3"),
    (lambda: resnests.AResNEst([torch.eye(3)], problem(0)[0]), "1 matrices for 4"),
    (lambda: resnests.dense_to_resnest(resnests.random_densenest(2, 1, [], torch.Generator()), 3), "gives 3 features"),
    (lambda: resnests.random_resnest(0, 1, [1], 1, torch.Generator()), "inputs = 0"),
    (lambda: problem(0)[0].truncated(4), "exceeds the 3 blocks"),
    (lambda: resnests.assumption_3(2.5, 1), "width = 2.5"),
])
def test_bad_input_is_refused_with_the_argument_and_its_value(call, said):
    with pytest.raises((ValueError, TypeError)) as refusal:
        call()
    assert said in str(refusal.value)


def test_assumptions_say_by_how_much_they_hold():
    assert resnests.assumption_1(V, V).margin > 0.1
    assert "product 0" in resnests.assumption_1(V, np.zeros((20, 2))).name
    assert not resnests.assumption_3(2, 3).holds


def test_the_coupled_cross_entropy_and_its_gradients_are_those_of_automatic_differentiation():
    features, states, y = arrays(11, samples=60)
    labels, rng = y.argmax(1), np.random.default_rng(0)
    W, B = rng.normal(size=(16, 4)), rng.normal(size=(3, 16))
    risk, *slopes = resnests.coupled_cross_entropy(resnests.CoupledProblem(states[-2], features[-1], y), labels, W, B)
    parts = [torch.tensor(part, requires_grad=True) for part in (W, B)]
    state = torch.tensor(states[-2]) + torch.tensor(features[-1]) @ parts[0].T
    exact = torch.nn.functional.cross_entropy(state @ parts[1].T, torch.tensor(labels))
    assert risk == pytest.approx(exact.item())
    for ours, theirs in zip(slopes, torch.autograd.grad(exact, parts), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-13)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12), st.booleans())
def test_relu_layers_find_the_maximum(seed, count, chain):
    values = np.random.default_rng(seed).normal(size=(count, 7))
    largest, neurons = resnests.relu_maximum(values, chain)
    np.testing.assert_allclose(largest, values.max(0), atol=1e-12)
    assert neurons >= 3 * (count - 1)


@pytest.mark.parametrize(("call", "said"), [
    (lambda: resnests.relu_maximum(np.zeros((0, 2))), "is empty"),
    (lambda: resnests.neuron_bound(0, 1), "components = 0"),
    (lambda: resnests.lattice_sets(np.ones((2, 1)), np.ones(2), [np.ones((2, 1))]), "which differ"),
    (lambda: resnests.coupled_cross_entropy(resnests.CoupledProblem(V, V, V), np.arange(20) % 3,
                                            np.ones((3, 3)), np.ones((2, 3))),
     "name 3 classes for 2 outputs")])
def test_bad_input_to_the_sequels_is_refused(call, said):
    with pytest.raises(ValueError) as refusal:
        call()
    assert said in str(refusal.value)


def test_the_direction_of_escape_is_a_unit_and_its_scale_the_best():
    coupled_problem = coupled(3)
    width, last, outputs = coupled_problem.sizes
    draw = np.random.default_rng(0)
    W, B = 0.1 * draw.normal(size=(width, last)), 0.1 * draw.normal(size=(outputs, width))
    first, second = coupled_problem.escape_direction(W, B)
    assert (first**2).sum() + (second**2).sum() == pytest.approx(1)

    def curvature(turn):
        one, other = first * np.cos(turn) / np.linalg.norm(first), second * np.sin(turn) / np.linalg.norm(second)
        step = 1e-3
        values = [coupled_problem.risk(W + t * one, B + t * other) for t in (-step, 0, step)]
        return (values[0] - 2 * values[1] + values[2]) / step**2

    best = np.arctan2(np.linalg.norm(second), np.linalg.norm(first))
    assert curvature(best) == pytest.approx(min(curvature(turn) for turn in np.linspace(0.01, 1.56, 300)), rel=1e-3, abs=1e-6)


def test_a_probe_counts_the_right_answers():
    """Labels that are the sign of one input: a linear probe knows all of them, and none once they are exchanged."""
    net = resnests.random_resnest(2, 2, [2], 4, torch.Generator().manual_seed(0))
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [2.0, 0.0], [-2.0, 0.0]], dtype=torch.float64)
    y = (x[:, 0] > 0).long()
    assert [risk.accuracy for risk in resnests.block_risks(net, (x, y), (x, y))] == [1.0, 1.0, 1.0]
    assert [risk.accuracy for risk in resnests.block_risks(net, (x, y), (x, 1 - y))] == [0.0, 0.0, 0.0]
    with pytest.raises(ValueError, match="data = .*differ"):
        resnests.block_risks(net, (x, y[:3]))


def test_a_net_reads_a_batch_and_is_cut_at_its_own_blocks_only():
    net = resnests.random_resnest(3, 1, [2, 2], 9, torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match="x = .*rank 1"):
        net.trace(torch.ones(3, dtype=torch.float64))
    assert [len(net.truncated(count).blocks) for count in (1, 2)] == [1, 2]
    for count in (0, 3, -1):
        with pytest.raises(ValueError, match="blocks = "):
            net.truncated(count)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_assumptions_do_not_depend_on_scale_and_their_margin_is_a_ratio(scale):
    last, y = scale * np.diag([4.0, 2.0, 1.0]), np.ones((3, 1))
    found = resnests.assumption_1(last, y)
    assert (found.holds, found.rank, found.margin) == (True, 3, pytest.approx(0.25))
    flat = resnests.assumption_1(last[:, [0, 1, 1]], y)
    assert (flat.holds, flat.rank, flat.needed, flat.margin) == (False, 2, 3, 0.0)
    vanishing = resnests.assumption_1(scale * np.array([[1.0], [1.0]]), np.array([[1.0], [-1.0]]))
    assert not vanishing.holds and "product 0" in vanishing.name
    assert resnests.assumption_3(3, 3).holds and not resnests.assumption_3(2, 3).holds
    assert resnests.assumption_3(6, 3).margin == 2.0


@pytest.mark.parametrize("chain", [False, True])
def test_a_lattice_network_is_the_maximum_of_minima_and_counts_its_neurons(chain):
    """One hidden layer of a chain or a tree joins two values; the shallow minima are carried on, two neurons a layer."""
    draw = np.random.default_rng(0)
    slopes, offsets, points = draw.normal(size=(5, 2)), draw.normal(size=5), draw.normal(size=(40, 2))
    sets = [np.array([0]), np.array([1, 2]), np.array([0, 2, 3, 4])]
    values, neurons = resnests.lattice_network(slopes, offsets, sets, chain)(points)
    affine = points @ slopes.T + offsets
    assert np.allclose(values, np.max([affine[:, each].min(1) for each in sets], axis=0))
    counts, depths = zip(*((resnests.relu_maximum(np.zeros(size), chain)[1], deep) for size, deep in
                           zip((1, 2, 4), (0, 1, 3) if chain else (0, 1, 2), strict=True)), strict=True)
    last = resnests.relu_maximum(np.zeros(3), chain)[1]
    assert neurons == last + sum(counts) + 2 * sum(max(depths) - deep for deep in depths)
    assert counts == ((0, 3, 3 + 4 + 3 + 2 + 3) if chain else (0, 3, 9))


def test_the_risk_of_an_intercept_is_the_entropy_of_the_classes_and_no_scale_shift_or_order_changes_it():
    draw = np.random.default_rng(0)
    for counts in ([3, 5], [4, 2, 6]):
        labels = np.repeat(np.arange(len(counts)), counts)
        share = np.array(counts) / sum(counts)
        risk, gap = resnests.cross_entropy_risk([np.ones((len(labels), 1))], labels)
        assert risk == pytest.approx(-(share * np.log(share)).sum(), abs=1e-9) and 0 <= gap < 1e-9
    features, labels = [np.ones((40, 1)), draw.normal(size=(40, 2))], draw.integers(3, size=40)
    risk = resnests.cross_entropy_risk(features, labels)[0]
    order, classes, mixing = draw.permutation(40), draw.permutation(3), draw.normal(size=(2, 2))
    for others, named in (([each[order] for each in features], labels[order]), (features, classes[labels]),
                          ([features[0] * 3, features[1] @ mixing + 2], labels),
                          ([np.concatenate([each, each]) for each in features], np.tile(labels, 2))):
        assert resnests.cross_entropy_risk(others, named)[0] == pytest.approx(risk, abs=1e-8)
    assert resnests.cross_entropy_risk(features[:1], labels)[0] > risk


def test_the_mean_margin_of_separable_data_is_worked_out_and_scales_with_the_features():
    x, labels = np.array([[-1.0], [2.0]]), np.array([0, 1])
    assert cross_entropy.separation(x, labels) == pytest.approx((2 + 4) / 2)  # h_1 - h_0 = 2, its largest in the box
    assert cross_entropy.separation(1e-3 * x, labels) == pytest.approx(3e-3)
    assert cross_entropy.separation(np.tile(x, (3, 1)), np.tile(labels, 3)) == pytest.approx(3.0)
    draw = np.random.default_rng(1)
    x, labels = draw.normal(size=(9, 2)), np.arange(9) % 3
    x = np.c_[x, np.eye(3)[labels]]  # each class has a feature of its own
    margin, order = cross_entropy.separation(x, labels), draw.permutation(9)
    assert margin > 0 and cross_entropy.separation(x[order], (2 - labels)[order]) == pytest.approx(margin)
    assert cross_entropy.separation(np.r_[x, x], np.r_[labels, (labels + 1) % 3]) > 0  # two of the classes overlap at a time
    assert cross_entropy.separation(np.r_[x, x, x], np.r_[labels, (labels + 1) % 3, (labels + 2) % 3]) == 0.0


@pytest.mark.parametrize("labels", [np.array([0, 1]), np.array([0.0, 1.0, 1.0]), [0, 1, 1], np.array([[0, 1, 1]]),
                                    np.array([-1, 0, 1]), np.zeros(3, dtype=int), np.array([True, False, True])])
def test_labels_that_are_no_classes_are_refused(labels):
    with pytest.raises(ValueError, match="labels = "):
        cross_entropy.separation(np.ones((3, 1)), labels)
    with pytest.raises(ValueError, match="labels = "):
        resnests.cross_entropy_risk([np.ones((3, 1))], labels)


def test_a_proof_that_leaves_the_simplex_proves_nothing():
    """At random heads the dual point bounds the optimum from below, or is refused; at the optimum it meets it."""
    draw = np.random.default_rng(2)
    stacked, targets = np.c_[np.ones(12), draw.normal(size=12)], np.eye(2)[np.arange(12) % 2]
    risk, told = resnests.cross_entropy_risk([stacked], np.arange(12) % 2)[0], set()
    for scale in (0.0, 0.1, 1.0, 30.0):
        bound = cross_entropy._dual(stacked, targets, scale * draw.normal(size=4))
        told.add(bool(np.isfinite(bound)))
        assert bound <= risk + 1e-12
    assert told == {True, False}


@pytest.mark.parametrize(("call", "said"), [
    (lambda: resnests.lattice_sets(np.ones(2), np.ones(2), [np.ones((2, 1))] * 2), "slopes = .*rank 1"),
    (lambda: resnests.lattice_sets(np.ones((2, 1)), np.ones(3), [np.ones((2, 1))] * 2), "which differ"),
    (lambda: resnests.lattice_network(np.ones(2), np.ones(2), [np.array([0])]), "slopes = .*rank 1"),
    (lambda: resnests.lattice_network(np.ones((2, 1)), np.ones(3), [np.array([0])]), "offsets = .* does not match the 2 slopes"),
    (lambda: resnests.lattice_network(np.ones((2, 1)), np.full(2, np.nan), [np.array([0])]), "offsets = .*NaN"),
    (lambda: resnests.lattice_network(np.ones((2, 1)), np.ones(2), []), "sets = .* holds no set"),
    (lambda: resnests.lattice_network(np.ones((2, 1)), np.ones(2), "ab"), "sets = .* holds no set"),
    (lambda: resnests.relu_maximum(np.array([np.nan])), "values = .*NaN"), (lambda: resnests.neuron_bound(1, 0), "pieces = 0"),
    (lambda: resnests.augmented_risk([V], V[:, 0]), "y = .*rank 1"),
    (lambda: resnests.augmented_risk([V, V[:, 0]], V), r"features\[1\] = .*rank 1"),
    (lambda: resnests.CoupledProblem(V, V, V).critical_value([3]), "subset = .* names an output beyond 2"),
    (lambda: resnests.CoupledProblem(V, V, V).critical_value([-1]), "subset = -1"),
    (lambda: resnests.assumption_3(0, 1), "width = 0"), (lambda: resnests.assumption_3(1, 0), "outputs = 0"),
    (lambda: resnests.assumption_1(V[:, 0], V), "last = .*rank 1"), (lambda: resnests.assumption_1(V, V[:, 0]), "y = .*rank 1"),
    (lambda: resnests.assumption_4([V, V[:, 0]]), "weights = .*rank 1"),
])
def test_what_the_resnests_cannot_mean_is_refused_by_name(call, said):
    with pytest.raises(ValueError, match=said):
        call()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 5))
def test_no_tree_of_relu_layers_needs_more_neurons_than_its_bound(seed, components, pieces):
    draw = np.random.default_rng(seed)
    sets = [draw.choice(components, draw.integers(1, components + 1), replace=False) for _ in range(pieces)]
    network = resnests.lattice_network(draw.normal(size=(components, 2)), draw.normal(size=components), sets)
    neurons = network(np.zeros((1, 2)))[1]
    assert neurons <= resnests.neuron_bound(components, pieces)
    assert [resnests.neuron_bound(*sizes) for sizes in ((1, 1), (2, 2), (3, 3), (4, 3), (5, 1))] == [0, 11, 44, 44, 24 - 3]


def test_the_pieces_that_lie_above_one_s_own_are_those_on_its_corners():
    slopes, offsets = np.array([[1.0], [-1.0], [1.0]]), np.array([0.0, 0.0, 0.0])  # the third is the first again
    left, right = np.array([[-1.0], [0.0]]), np.array([[0.0], [1.0]])
    found = resnests.lattice_sets(slopes, offsets, [right, left, right])
    assert [slopes[each].ravel().tolist() for each in found] == [[1.0], [-1.0], [1.0]]
    for gap, members in ((5e-10, 2), (2e-9, 1)):  # a piece below by less than the tolerance still counts
        both = resnests.lattice_sets(np.array([[0.0], [0.1]]), np.array([0.0, -gap]), [np.zeros((1, 1))] * 2)
        assert (len(both[0]), len(both[1])) == (members, 2)


def test_least_squares_of_a_matrix_without_full_rank_is_the_shortest_and_projections_are_projections():
    draw = np.random.default_rng(5)
    x, y = draw.normal(size=(12, 4)), draw.normal(size=(12, 2))
    for matrix in (x, x[:, [0, 1, 1, 2]], np.c_[x, 1e-18 * draw.normal(size=12)], x[:3]):
        targets = y[:len(matrix)]
        shortest = np.linalg.pinv(matrix, rcond=1e-14) @ targets
        np.testing.assert_allclose(augmented.least_squares(matrix, targets), shortest, atol=1e-10)
        basis = augmented.column_basis(matrix)
        assert basis.shape[1] == np.linalg.matrix_rank(matrix)
        np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=1e-12)
        inside = augmented.project(matrix, targets)
        np.testing.assert_allclose(augmented.project(matrix, inside), inside, atol=1e-12)
        np.testing.assert_allclose(matrix.T @ augmented.unexplained(matrix, targets), 0, atol=1e-10)
    left = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    assert resnests.unpredictability([x, y]) == pytest.approx([np.linalg.norm(left) ** 2 / np.linalg.norm(y) ** 2])
    assert resnests.augmented_risk([x], y) == pytest.approx(np.linalg.norm(left) ** 2 / 12)
    heads = resnests.augmented_optimum([x[:, :1], x[:, 1:]], y)
    assert [head.shape for head in heads] == [(2, 1), (2, 3)]
    np.testing.assert_allclose(np.hstack(heads), np.linalg.lstsq(x, y, rcond=None)[0].T, atol=1e-12)
    np.testing.assert_allclose(resnests.augmented_hessian([x[:, :1], x[:, 1:]]), x.T @ x / 6)


def test_the_neurons_of_a_lattice_network_counted_by_hand():
    """The least of three takes two layers: 3 + 2, then 3. A single piece is carried through both by 2, the maximum takes 3."""
    network = resnests.lattice_network(np.array([[1.0], [2.0], [-1.0]]), np.zeros(3), [np.array([0, 1, 2]), np.array([0])])
    assert network(np.ones((1, 1)))[1] == 5 + 3 + 2 * 2 + 3


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_features_of_an_input_that_is_no_number_are_refused(bad):
    x = torch.ones(4, 2, dtype=torch.float64)
    x[2, 1] = bad
    generator = torch.Generator().manual_seed(0)
    dense = resnests.random_densenest(inputs=2, outputs=1, units=[3, 1], generator=generator)
    residual = resnests.random_resnest(2, 2, [2], 4, generator)
    for call in (dense.features, residual.trace):
        with pytest.raises(ValueError, match="x = .*NaN or infinite"):
            call(x)
