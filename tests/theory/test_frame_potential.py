"""The fast evaluation against explicit dictionaries, and the closed forms against descent and random networks."""

import itertools
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepatoms.theory import dictionaries, frame_potential, induced
from deepatoms.theory.frame_potential import Descent, chains, evaluation
from deepatoms.theory.induced import explicit

widths = st.lists(st.integers(1, 12), min_size=2, max_size=5)
SMALL = {"chain": induced.cifar("chain", blocks=1, width=1, image=20),
         "synthesis": induced.cifar("chain", blocks=1, width=1, form="synthesis", image=20),
         "resnet": induced.cifar("resnet", blocks=1, width=1, image=20),
         "densenet": induced.densenet(layers=2, growth=1, first=1, image=20)}


def positive_count(net):
    """N(G) from the explicit dictionary with every parameter and identity positive."""
    positive = replace(net, blocks=tuple(replace(block, sign=1) for block in net.blocks))
    B = explicit.sparse_dictionary(positive, [torch.ones(weight.shape) for weight in net.weights])
    return (B.T @ B).nnz - net.atoms


def families(widths):
    return (induced.chain(widths), induced.chain(widths, "analysis"), induced.dense(widths),
            induced.residual([widths[0], *[widths[1]] * 5]))


@settings(max_examples=40, deadline=None)
@given(widths, st.integers(0, 1000))
def test_connected_energy_count_and_bounds(widths, seed):
    for net in families(widths):
        weights = net.init(seed)
        B = net.dictionary(weights)
        energy = float(frame_potential.energy(net, weights))
        assert energy == pytest.approx(float(dictionaries.frame_energy(B)), rel=1e-10, abs=1e-12 * net.atoms)
        assert net.structural_count == positive_count(net)
        if net.atoms > 1:
            potential = float(frame_potential.potential(net, weights))
            assert frame_potential.floor(net) - 1e-9 <= potential <= float(dictionaries.mutual_coherence(B)) + 1e-9


@pytest.mark.parametrize("family", SMALL)
def test_convolutional_energy_and_count_equal_the_explicit_dictionary(family):
    net = SMALL[family]
    weights = net.init(1)
    slow = float(dictionaries.frame_energy(net.dictionary(weights)))
    assert float(frame_potential.energy(net, weights)) == pytest.approx(slow, rel=1e-10)
    assert net.structural_count == positive_count(net)


def test_energy_grows_with_the_number_of_positions_only():
    net = induced.cifar("resnet", blocks=2, width=2)
    weights = net.init(0)
    double = frame_potential.energy(net.resized(64), weights)
    assert float(double) == pytest.approx(4 * float(frame_potential.energy(net, weights)), rel=1e-12)


def test_zero_padded_dictionary_is_read_off_its_gram_matrix():
    net = SMALL["densenet"]
    weights = net.init(0)
    G = dictionaries.gram(explicit.sparse_dictionary(net, weights, "zero").toarray())
    energy, count = frame_potential.zero_padded(net, weights)
    assert energy == pytest.approx(float(((G - np.diag(G.diagonal())) ** 2).sum()), rel=1e-10)
    assert count == pytest.approx((abs(G) > 1e-15).sum() - net.atoms)


def test_zero_padding_is_a_quadratic_of_the_grid():
    net = induced.cifar("resnet", blocks=1, width=1, image=40)
    weights = net.init(0)
    assert frame_potential.zero_padded(net, weights) == pytest.approx(evaluation._padded(net, weights), rel=1e-10)


def test_gradient_is_that_of_finite_differences():
    net = SMALL["resnet"]
    weights = tuple(weight.requires_grad_() for weight in net.init(2))
    assert torch.autograd.gradcheck(lambda *w: frame_potential.energy(net, list(w)) / 1000, weights, fast_mode=True)


def test_numpy_and_single_precision_agree_with_double():
    net = induced.residual([4, 5, 5, 5])
    weights = net.init(0)
    double = float(frame_potential.energy(net, weights))
    assert frame_potential.energy(net, [weight.numpy() for weight in weights]) == pytest.approx(double, rel=1e-14)
    assert float(frame_potential.energy(net, [weight.float() for weight in weights])) == pytest.approx(double, rel=1e-5)


@settings(max_examples=60, deadline=None)
@given(widths, st.integers(0, 1000))
def test_chain_energies_lie_above_the_minimum(widths, seed):
    net = induced.chain(widths)
    draw = np.random.default_rng(seed)
    start = frame_potential.chain_start(widths, [np.exp(draw.normal(size=width)) for width in widths[1:]], seed)
    lower, attained = frame_potential.chain_bracket(widths)
    assert lower <= attained * (1 + 1e-12) + 1e-12
    assert float(frame_potential.energy(net, start)) >= attained - 1e-9
    assert (attained == 0) == (widths[-1] <= min(widths))


@pytest.mark.parametrize(("chain", "lower", "attained"), [
    ([4, 20, 10], 8.5714, 8.6), ([16, 64, 24], 9.6, 9.6042), ([3, 10, 9, 5], 2.2353, 2.45), ([2, 12, 12, 6], 4.8, 5.4167),
    ([64, 128, 128], 85.3333, 85.3359), ([64, 128], 128, 128), ([3072, 16, 64, 64], 76.8, 76.8125), ([8, 4], 0, 0)])
def test_brackets_worked_out_by_hand(chain, lower, attained):
    assert frame_potential.chain_bracket(chain) == pytest.approx((lower, attained), abs=1e-4)


@settings(max_examples=40, deadline=None)
@given(widths, st.integers(0, 1000))
def test_energy_of_magnitudes_is_that_of_the_dictionary_and_affine_in_each(widths, seed):
    draw, net = np.random.default_rng(seed), induced.chain(widths)
    directions = [u.numpy() for u in net.unit(net.init(seed))]
    shares = [*(draw.uniform(0.01, 0.99, width) for width in widths[1:-1]), np.ones(widths[-1])]
    weights = [u * np.sqrt(s / (1 - s))[:, None] for u, s in zip(directions, shares[:-1], strict=False)] + directions[-1:]
    energy = frame_potential.energy_of_magnitudes(directions, shares)
    assert energy == pytest.approx(frame_potential.energy(net, weights), rel=1e-9, abs=1e-12)
    if len(widths) > 2:
        ends = [frame_potential.energy_of_magnitudes(directions, [np.r_[s, shares[0][1:]], *shares[1:]]) for s in (0, 0.5, 1)]
        assert ends[1] == pytest.approx((ends[0] + ends[2]) / 2, rel=1e-9, abs=1e-12)


def test_no_pure_dictionary_of_random_directions_lies_below_the_minimum():
    draw = np.random.default_rng(0)
    for sizes in ([3, 5, 4], [2, 4, 4, 3]):
        least = frame_potential.chain_bracket(sizes)[1]
        for _ in range(200):
            directions = [u.numpy() for u in induced.chain(sizes).unit(induced.chain(sizes).init(int(draw.integers(2**31))))]
            shares = [*(draw.integers(0, 2, width).astype(float) for width in sizes[1:-1]), np.ones(sizes[-1])]
            assert frame_potential.energy_of_magnitudes(directions, shares) >= least - 1e-9


def test_integer_programme_equals_exhaustive_search():
    def cost(widths, counts):
        counts, total = (widths[0], *counts, widths[-1]), 0
        for j in range(1, len(counts)):
            excess = max(counts[j] - counts[j - 1], 0)
            total += excess + excess**2 / max(min(widths[j - 1], counts[j]), 1)
        return total
    for widths in ([3, 5, 4, 6], [2, 6, 3, 5], [6, 2, 4, 3]):
        best = min(cost(widths, (a, b)) for a in range(widths[1] + 1) for b in range(widths[2] + 1))
        assert frame_potential.chain_bracket(widths)[1] == pytest.approx(best)


@settings(max_examples=40, deadline=None)
@given(widths, st.integers(0, 1000))
def test_composed_bound_is_below_the_norm_of_the_gram_matrix(widths, seed):
    draw = np.random.default_rng(seed)
    norms = [np.exp(draw.normal(size=width)) for width in widths[1:]]
    G = dictionaries.gram(induced.chain(widths).dictionary(frame_potential.chain_start(widths, norms, seed)))
    assert frame_potential.composed_bound(widths, [c**2 / (c**2 + 1) for c in norms]) <= float((G**2).sum()) * (1 + 1e-12)


def test_descent_with_unit_magnitudes_is_well_posed_and_free_is_not():
    net = induced.cifar("chain", blocks=1, width=2, image=20)
    unit = frame_potential.minimize(net, "unit", seeds=(0, 1), descent=Descent(40))
    free = [frame_potential.minimize(net, "free", descent=Descent(15, gain=gain)).energies[0] for gain in (0.02, 30)]
    assert unit.spread < 0.1 < max(free) / min(free) - 1
    assert all(energy >= (frame_potential.floor(net) ** 2) * net.structural_count for energy in unit.energies)


@settings(max_examples=20, deadline=None)
@given(widths, st.integers(0, 1000))
def test_written_gradient_is_that_of_autograd(widths, seed):
    weights = [weight.requires_grad_() for weight in induced.chain(widths).init(seed)]
    energy = frame_potential.synthesis_energy(weights)
    gradients = torch.autograd.grad(energy, weights)
    value, ours = frame_potential.energy_and_gradient([weight.detach().numpy() for weight in weights])
    assert float(value) == pytest.approx(float(energy.detach()), rel=1e-12, abs=1e-12)
    for a, b in zip(ours, gradients, strict=True):
        np.testing.assert_allclose(a, b.numpy(), atol=1e-9)


def test_written_descent_is_adam_of_torch():
    net = induced.chain([6, 9, 7])
    starts = [net.init(seed) for seed in (0, 1)]
    theirs = frame_potential.minimize(net, "free", starts=starts, descent=Descent(40, 0.05), dtype=torch.float64)
    np.testing.assert_allclose(frame_potential.descend(starts, 40), theirs.energies, rtol=1e-6)


def test_descent_over_directions_keeps_the_norms_and_attains_the_closed_form():
    norms = [10.0 ** (16 * s - 8) for s in frame_potential.attained_magnitudes([4, 20, 10])]
    start = frame_potential.chain_start([4, 20, 10], norms)
    reached = frame_potential.descend([start], 600, hold=True)[0]
    assert reached == pytest.approx(frame_potential.chain_bracket([4, 20, 10])[1], rel=1e-6)


def test_descent_repeats_and_reaches_the_known_optima():
    net = induced.chain([4, 6])
    runs = [frame_potential.minimize(net, descent=Descent(10)) for _ in range(2)]
    assert runs[0].energies == runs[1].energies and len(runs[0].histories[0]) == 11
    for widths in ([4, 6], [8, 4], [3, 7]):
        long = frame_potential.minimize(induced.chain(widths), descent=Descent(300))
        assert long.converged == (True,)
        assert long.potential == pytest.approx(frame_potential.chain_minimum(widths)[1], rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("build", [lambda: induced.chain([4, 6]), lambda: induced.residual([6, 9, 9, 9]), lambda: SMALL["chain"]])
@pytest.mark.parametrize("magnitudes", ["unit", "free"])
def test_more_steps_of_descent_are_not_worse_and_too_few_have_not_converged(build, magnitudes):
    few, more = (frame_potential.minimize(build(), magnitudes, seeds=(0, 1, 2), descent=Descent(steps)) for steps in (3, 80))
    assert not any(few.converged)
    assert (np.array(more.energies) <= np.array(few.energies)).all()
    assert all(energy == min(history) for energy, history in zip(more.energies, more.histories, strict=True))


def test_rank_orders_by_potential_within_the_budget_and_abstains_at_ties():
    nets = {name: induced.chain(k) for name, k in {"a": [64, 8, 16], "b": [64, 16, 32], "c": [64, 64, 64, 64]}.items()}
    found = frame_potential.rank(nets, budget=2000)
    assert [row.name for row in found.rows] == ["b", "a"] and found.chosen.name == "b"
    tied = frame_potential.rank({"x": induced.chain([8, 4]), "y": induced.chain([8, 2])})
    assert tied.chosen is None and "tie at F = 0" in str(tied)


def test_rank_shows_conventions_and_abstains_where_they_differ():
    mixed = {"chain": induced.chain([16, 16, 32, 32]), "residual": induced.residual([16, 32, 32, 32])}
    found = frame_potential.rank(mixed, iterations=5)
    assert {row.name: row.convention for row in found.rows} == {"chain": "infimum", "residual": "unit"}
    assert found.chosen is None and "conventions for magnitudes differ (infimum, unit)" in str(found)
    same = {"chain": induced.chain([16, 16, 32, 32], "analysis"), "residual": mixed["residual"]}
    assert frame_potential.rank(same, iterations=5).chosen is not None
    assert {row.convention for row in frame_potential.rank(mixed, potentials={"chain": 0.1, "residual": 0.2}).rows} == {"given"}


@pytest.mark.parametrize(("call", "message"), [
    (lambda: frame_potential.energy(induced.chain([3, 4]), [torch.zeros(4, 3)]), "atom of norm 0"),
    (lambda: frame_potential.energy(induced.chain([3, 4]), [torch.full((4, 3), torch.nan)]), "NaN"),
    (lambda: frame_potential.energy(induced.chain([3, 4]), []), "wrong number of tensors"),
    (lambda: frame_potential.potential(SMALL["chain"], SMALL["chain"].init(), boundary="reflect"), "choose one of"),
    (lambda: frame_potential.energy(*(lambda net: (net, net.init()))(induced.cifar("chain", blocks=1, width=1, image=12))),
     "on which filters meet around the edge"),
    (lambda: frame_potential.minimize(induced.chain([3, 4]), "best"), "choose one of 'unit', 'free'"),
    (lambda: frame_potential.rank({}), "is empty"),
    (lambda: frame_potential.energy_of_magnitudes([np.eye(2)], [np.full(2, 0.5)]), "is not 1 in the last layer"),
    (lambda: frame_potential.energy_of_magnitudes([np.eye(2)] * 2, [np.full(2, 1.5), np.ones(2)]), "leaves \\[0, 1\\]"),
    (lambda: frame_potential.chain_minimum([3, -1]), "is smaller than 1"),
])
def test_bad_input_is_refused(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_the_spread_of_starts_is_the_range_over_the_mean():
    minimum = frame_potential.Minimum(0.0, (1.0, 3.0, 2.0), (), (), [])
    assert minimum.spread == 1.0
    assert frame_potential.Minimum(0.0, (2.0, 2.0), (), (), []).spread == 0.0


def test_energies_that_leave_the_finite_numbers_are_refused():
    huge = [[torch.full((3, 2), 1e30)]]
    with pytest.raises(ValueError, match="left the finite numbers"):
        frame_potential.minimize(induced.chain([2, 3]), "free", starts=huge, descent=Descent(2))


def test_the_boundary_that_is_asked_for_is_the_one_that_is_taken():
    net = SMALL["densenet"]
    weights = net.init(1)
    energy, count = frame_potential.zero_padded(net, weights)
    assert frame_potential.potential(net, weights, "zero") == pytest.approx(np.sqrt(energy / count))
    circular = float(frame_potential.potential(net, weights))
    assert circular == pytest.approx(np.sqrt(float(frame_potential.energy(net, weights)) / net.structural_count))
    assert abs(circular - frame_potential.potential(net, weights, "zero")) > 1e-4
    with pytest.raises(ValueError, match="boundary = 'mirror'"):
        frame_potential.potential(net, weights, "mirror")


def test_a_budget_admits_what_it_just_pays_for():
    nets = {"small": induced.chain([4, 3]), "large": induced.chain([4, 9])}
    counts = [net.parameter_count for net in nets.values()]
    names = [[row.name for row in frame_potential.rank(nets, budget).rows] for budget in (counts[0], counts[1] - 1, counts[1])]
    assert names == [["small"], ["small"], ["small", "large"]]
    assert frame_potential.rank(nets, counts[0] - 1).abstains == f"no candidate has at most {counts[0] - 1} parameters"
    for budget in (0, -3, 2.5, True):
        with pytest.raises((TypeError, ValueError), match="budget = "):
            frame_potential.rank(nets, budget)


def test_candidates_that_tie_at_zero_or_mix_conventions_are_not_ranked():
    nets = {"a": induced.chain([4, 3]), "b": induced.chain([4, 2])}
    assert frame_potential.rank(nets).chosen is None and "2 candidates tie" in frame_potential.rank(nets).abstains
    assert frame_potential.rank(nets, potentials={"a": 0.3}).abstains.startswith("conventions")
    assert frame_potential.rank(nets, potentials={"a": 0.3, "b": 0.2}).chosen.name == "b"


@settings(max_examples=40)
@given(widths, st.integers(0, 1000))
def test_the_composed_bound_bounds_every_dictionary_of_those_magnitudes(widths, seed):
    draw, net = np.random.default_rng(seed), induced.chain(widths)
    shares = [*(draw.uniform(0, 1, width) for width in widths[1:-1]), np.ones(widths[-1])]
    directions = [u.numpy() for u in net.unit(net.init(seed))]
    bound = frame_potential.composed_bound(widths, shares)
    assert frame_potential.energy_of_magnitudes(directions, shares) + sum(widths[1:]) >= bound - 1e-9
    shuffled = [draw.permutation(layer) for layer in shares]
    assert frame_potential.composed_bound(widths, shuffled) == pytest.approx(bound)


def test_the_composed_bound_worked_out_by_hand_and_its_minimum_by_trying_all():
    assert frame_potential.composed_bound([2, 2, 2], [np.full(2, 0.5), np.ones(2)]) == pytest.approx(0.5 + 4.5 + 1)
    assert frame_potential.composed_bound([4, 4, 2], [np.zeros(4), np.ones(2)]) == pytest.approx(0 + 9)
    for widths in ([2, 3, 2], [3, 2, 3, 2], [2, 4]):
        layers = [list(itertools.product((0.0, 1.0), repeat=width)) for width in widths[1:-1]]
        least = min(frame_potential.composed_bound(widths, [*map(np.array, shares), np.ones(widths[-1])])
                    for shares in itertools.product(*layers))
        assert frame_potential.composed_minimum(widths) == pytest.approx(least)


@pytest.mark.parametrize(("x", "low", "high", "said"), [
    ([0, 1, 2], [0, 0, 2], [0, 1], "x = .* does not match low and high of lengths 3 and 2"),
    ([0, 1], [0, 0, 2], [0, 1, 2], "x = .* does not match low and high of lengths 3 and 3"),
    ([0, 1, 1], [0, 0, 2], [0, 1, 2], "x = .* does not increase"), ([0, 1, 2], [0, 2, 2], [0, 1, 2], "low = .* crosses high"),
    ([0, 1, 2], [0, 0, 1], [0, 1, 2], "leaves it at an end"), ([0, 1, 2], [0, 0, 2], [1, 1, 2], "leaves it at an end"),
    ([0, 1, np.nan], [0, 0, 2], [0, 1, 2], "x = .* NaN"), ([0, 1, 2], [0, -np.inf, 2], [0, 1, 2], "low = .* NaN or infinite"),
    ([0, 1, 2], [0, 0, 2], [[0], [1], [2]], "high = .* rank 2")])
def test_staircases_that_hold_no_string_are_refused(x, low, high, said):
    with pytest.raises(ValueError, match=said):
        chains.taut_string(x, low, high)


@settings(max_examples=30)
@given(st.integers(2, 7), st.integers(0, 10**6))
def test_the_taut_string_is_the_shortest_path_that_a_grid_of_heights_finds(count, seed):
    """Dynamic programming over heights a fifth apart: no path of them is shorter, and the string keeps between the stairs."""
    draw = np.random.default_rng(seed)
    x = np.cumsum(draw.integers(1, 4, count + 1))
    low = draw.integers(-3, 4, count + 1).astype(float)
    high = low + draw.integers(0, 4, count + 1)
    high[0], high[-1] = low[0], low[-1]
    slopes = np.array(chains.taut_string(x, low, high))
    heights = low[0] + np.cumsum(np.r_[0, slopes * np.diff(x)])
    assert (heights >= low - 1e-9).all() and (heights <= high + 1e-9).all() and heights[-1] == pytest.approx(low[-1])
    best = {low[0]: 0.0}
    for step, (least, most) in zip(np.diff(x), zip(low[1:], high[1:], strict=True), strict=True):
        best = {at: min(cost + np.hypot(step, at - before) for before, cost in best.items())
                for at in np.linspace(least, most, int(5 * (most - least)) + 1)}
    assert np.hypot(np.diff(x), slopes * np.diff(x)).sum() <= best[low[-1]] + 1e-9


def test_descents_without_steps_rates_or_starts_are_refused():
    net = induced.chain([2, 3])
    for wrong, said in ((Descent(0), "descent.iterations = 0"), (Descent(2.5), "descent.iterations = 2.5"),
                        (Descent(3, -0.1), "descent.rate = -0.1"), (Descent(3, np.nan), "descent.rate = nan")):
        with pytest.raises((ValueError, TypeError), match=said):
            frame_potential.minimize(net, descent=wrong)
    with pytest.raises(ValueError, match="seeds = .* gives no start"):
        frame_potential.minimize(net, seeds=())
    with pytest.raises(ValueError, match="zero filter"):
        frame_potential.minimize(net, starts=[[torch.zeros(3, 2)]])
    assert (Descent().rate_for("unit"), Descent().rate_for("free"), Descent(rate=0.2).rate_for("free")) == (0.05, 0.03, 0.2)


def test_the_conditions_of_convergence_are_those_that_are_written():
    """Stationary: |grad E| |w| <= 0.05 E; or an energy below a millionth for each atom."""
    net = induced.chain([3, 4])
    for seed, steps in itertools.product(range(3), (1, 60)):
        found = frame_potential.minimize(net, "free", seeds=(seed,), descent=Descent(steps), dtype=torch.float64)
        weights = [weight.clone().requires_grad_() for weight in found.weights]
        energy = frame_potential.energy(net, weights)
        slope, = torch.autograd.grad(energy, weights)
        energy, size = float(energy.detach()), float(weights[0].detach().norm())
        small = float(slope.norm()) * size <= 0.05 * energy or energy <= 1e-6 * net.atoms
        assert found.converged == (small,) and energy == pytest.approx(min(found.energies))
        assert found.potential == pytest.approx((min(found.energies) / net.structural_count) ** 0.5)
    assert frame_potential.minimize(induced.chain([4, 3]), descent=Descent(200), dtype=torch.float64).converged == (True,)


def test_composed_bounds_and_starts_refuse_what_fits_no_chain():
    composed = frame_potential.composed_bound
    for call, said in ((lambda: composed([2, 3, 2], [np.ones(2), np.ones(2)]), "do not fit the widths"),
                       (lambda: composed([2, 3, 2], [np.ones((3, 1)), np.ones(2)]), r"magnitudes\[0\] = .*rank 2"),
                       (lambda: composed([2, 3, 2], [np.full(3, np.nan), np.ones(2)]), r"magnitudes\[0\] = .*NaN"),
                       (lambda: frame_potential.chain_start([4, 3], [np.full(3, np.inf)]), r"magnitudes\[0\] = .*infinite"),
                       (lambda: frame_potential.energy_of_magnitudes([np.eye(2)] * 2, [np.full(2, -0.1), np.ones(2)]), "leaves"),
                       (lambda: chains.pair_count([3, 0]), r"widths\[1\] = 0")):
        with pytest.raises(ValueError, match=said):
            call()
    norms = [np.array([0.5, 2.0, 1.0]), np.array([3.0, 1e-3])]
    start = frame_potential.chain_start([4, 3, 2], norms, seed=3)
    for layer, wanted, other in zip(start, norms, frame_potential.chain_start([4, 3, 2], norms, seed=4), strict=True):
        assert layer.norm(dim=1).tolist() == pytest.approx(wanted.tolist())
        assert not torch.allclose(layer, other)


@pytest.mark.parametrize(("potentials", "chosen", "abstains"), [
    ({"a": 1e-7, "b": 2e-7}, None, "2 candidates tie at F = 0 (a, b)"), ({"a": 2e-6, "b": 3e-6}, "a", None),
    ({"a": 1e-7, "b": 0.3}, "a", None), ({"a": 0.3, "b": 0.3}, "b", None)])  # at equal F the smaller one
def test_a_choice_is_the_lowest_or_an_abstention_with_its_reason(potentials, chosen, abstains):
    found = frame_potential.ranked([frame_potential.Candidate(name, value, "unit", {"a": 9, "b": 8}[name], 7, 1)
                                    for name, value in potentials.items()])
    assert (found.chosen.name if found.chosen else None, found.abstains) == (chosen, abstains)
    assert ("abstains: " in str(found)) == bool(abstains)
    many = frame_potential.ranked([frame_potential.Candidate(f"n{i}", 0.0, "unit", i, 7, 1) for i in range(5)])
    assert many.abstains == "5 candidates tie at F = 0 (n0, n1, n2, n3, ...)"
    assert frame_potential.ranked([]).abstains == "no candidate is left" and frame_potential.ranked([]).chosen is None
    assert frame_potential.ranked([], 12345).abstains == "no candidate has at most 12,345 parameters"


def test_the_energy_of_a_batch_of_batches_is_that_of_each():
    draw = np.random.default_rng(0)
    weights = [torch.from_numpy(draw.normal(size=(2, 3, *shape))) for shape in ((4, 2), (5, 4))]
    found = frame_potential.synthesis_energy(weights)
    written, _ = frame_potential.energy_and_gradient([weight.numpy() for weight in weights])
    for i, j in itertools.product(range(2), range(3)):
        alone = float(frame_potential.energy(induced.chain([2, 4, 5]), [weight[i, j] for weight in weights]))
        assert float(found[i, j]) == pytest.approx(alone) and written[i, j] == pytest.approx(alone)


def test_a_grid_too_small_for_three_smaller_ones_is_padded_as_it_is():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for image in (20, 32):
            net = induced.cifar("resnet", blocks=1, width=1, image=image)
            weights = net.init(3)
            assert frame_potential.zero_padded(net, weights) == pytest.approx(evaluation._padded(net, weights), rel=1e-10)
