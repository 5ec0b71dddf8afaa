"""The trained families: their networks are those whose F is read; the checks tell right from wrong on any errors."""

import functools

import numpy as np
import pytest
import torch
from torch import nn

from deepatoms.claims import checking
from deepatoms.learning.networks import families
from deepatoms.runs import partial_states, results
from deepatoms.studies.deep_frame_potential import (
    drawing,
    fully_connected,
    minima,
    rankings,
    trained_grid,
    trained_whole,
)
from deepatoms.studies.deep_frame_potential.checks import grid, trained

CHECKS = {entry.id: entry for entry in checking.registered("deep-frame-potential")
          if entry.records in (trained_grid.NAME, fully_connected.NAME, fully_connected.NAME_WIDE)}


@pytest.fixture(scope="module")
def potentials():
    return grid.Grid(minima.recorded())


@pytest.mark.parametrize("configuration", trained_grid.configurations()[:24], ids=lambda one: f"{one['family']}{one['size']}")
def test_convolutions_are_those_of_the_architecture_whose_potential_is_read(configuration, potentials):
    net = trained_grid.network(configuration["family"], configuration["size"])
    counted = sum(module.weight.numel() for module in net.modules() if isinstance(module, nn.Conv2d))
    assert counted == potentials.get(configuration["family"], tuple(configuration["size"]), quantity="parameters")


def test_a_chain_is_a_residual_net_without_its_skips():
    residual, chain = (families.grouped(family, 2, 4).double().eval() for family in families.FAMILIES)
    chain.load_state_dict(residual.state_dict())
    x = torch.randn(3, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    state = residual[:2](x)
    assert torch.equal(state, chain[:2](x))
    for block, alone in zip(residual[2:-1], chain[2:-1], strict=True):
        assert torch.allclose(block(state), alone(state) + block.shortcut(state)) and block.shortcut(state).any()
        state = block(state)
    assert len(residual[2:-1]) == 6


def test_a_shortcut_pools_and_puts_zeros_on_both_sides():
    block = families.Block(4, 8, skips=True, opens=True)
    x = torch.randn(2, 4, 6, 6)
    found = block.shortcut(x)
    assert torch.equal(found[:, 2:6], nn.functional.avg_pool2d(x, 2)) and not found[:, :2].any() and not found[:, 6:].any()


def test_a_layer_of_a_dense_network_keeps_what_came_in():
    layer, x = families.Concatenated(4, 3), torch.randn(2, 4, 5, 5)
    assert layer(x).shape == (2, 7, 5, 5) and torch.equal(layer(x)[:, :4], x)


class Noise:
    pixels = torch.randint(256, (120, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = torch.randint(10, (120,), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("number", [0, 18])
def test_a_broken_off_training_ends_with_the_same_numbers(number, tmp_path, monkeypatch):
    monkeypatch.setattr(trained_grid.data, "load", lambda *words: Noise)
    configuration = trained_grid.configurations()[number] | {"epochs": 2, "batch_size": 16, "images": 60}
    whole = trained_grid.trained(configuration, "cpu")
    assert set(whole) == {"train", "test"} and all(0 <= error <= 100 for error in whole.values())

    class Break(Exception):
        pass

    def after(partial):
        raise Break
    path = tmp_path / "one.partial"
    with pytest.raises(Break):
        trained_grid.trained(configuration, "cpu", partial_states.PartialState(path, configuration, "cpu", after))
    assert trained_grid.trained(configuration, "cpu", partial_states.PartialState(path, configuration, "cpu")) == whole


def test_configurations_are_distinct_and_whole_grids_come_seed_by_seed():
    configurations = trained_grid.configurations()
    assert len({results.key(one) for one in configurations}) == len(configurations) == 72
    assert [one["seed"] for one in configurations] == sorted(one["seed"] for one in configurations)


def made_up(error):
    """Return records of the whole grid with errors given by a function of family, size and seed."""
    return [{"configuration": one, "result": {"test": error(one["family"], one["size"], one["seed"])}}
            for one in trained_grid.configurations()]


@functools.cache
def standing_of(hidden):
    return fully_connected.standing(list(hidden))


def connected(plain, regularised, widths=fully_connected.WIDTHS):
    """Return records of Fig. 4 with errors given by functions of (F, parameters)."""
    found = []
    for one in fully_connected.configurations(widths):
        standing = standing_of(tuple(one["hidden"]))
        error = (regularised if one["regularisation"] else plain)(standing["potential"], standing["parameters"])
        reached = [2 - one["regularisation"]] * 5
        found.append({"configuration": one, "result": {**standing, "test_errors": [error] * 5, "reached": reached}})
    return found


def measured(identifier, records):
    entry = CHECKS[identifier]
    return checking.outcome(entry, entry.function(checking.Setting(), records), 0)


# Errors as the paper draws them: chains get worse with depth, the others better, dense below residual below chain.
LEVEL = {"chain": 60, "resnet": 40, "densenet": 10}


@pytest.fixture(scope="module")
def printed(potentials):
    def as_printed(family, size, seed):
        size_pays = np.log(potentials.get(family, tuple(size), quantity="parameters"))
        return LEVEL[family] + (8 if family == "chain" else -0.2) * size[0] - size_pays + 0.01 * seed
    return made_up(as_printed)


@pytest.fixture(scope="module")
def reversed_(printed):
    return [record | {"result": {"test": 60 - record["result"]["test"]}} for record in printed]


SHAPED = ["dfp.fig2d/envelopes", "dfp.fig5a/chain_rises", "dfp.fig5a/residual_lower", "dfp.fig5a/residual_decreases",
          "dfp.fig6a/below_diagonal", "dfp.fig7a/deeper_worse", "dfp.fig7c/falls", "dfp.fig7c/deeper_not_worse",
          "dfp.fig7e/falls", "dfp.fig7e/deeper_not_worse"]


@pytest.mark.parametrize("identifier", SHAPED)
def test_errors_as_printed_hold_and_reversed_ones_fail(identifier, printed, reversed_):
    assert measured(identifier, printed).result == "holds"
    assert measured(identifier, reversed_).result == "fails"
    assert measured(identifier, printed).evidence == "experiment, 3 seeds"


@pytest.mark.parametrize("identifier", sorted(name for name, entry in CHECKS.items() if entry.records == trained_grid.NAME))
@pytest.mark.parametrize("seed", range(3))
def test_the_control_opposes_whatever_the_errors_are(identifier, seed):
    draw = np.random.default_rng(seed)
    assert measured(identifier, made_up(lambda *words: float(draw.uniform(5, 60)))).result in ("holds", "fails", "inconclusive")


@pytest.mark.parametrize(("gain", "depth", "width"), [
    (lambda blocks, width: blocks + 20 / width, "holds", "fails"), (lambda blocks, width: width - blocks, "fails", "holds"),
    (lambda blocks, width: blocks * width, "holds", "holds"), (lambda blocks, width: 5, "fails", "fails"),
    (lambda blocks, width: {2: 1, 6: 3, 10: 2}[blocks], "fails", "fails")])
def test_the_gain_by_skips_is_followed_along_depth_and_along_width(gain, depth, width):
    """The dense networks' errors do not enter; a gain that rises and falls again does not grow."""
    records = made_up(lambda family, size, seed: 50 + (gain(*size) if family == "chain" else 0) + seed)
    found = {name: measured(f"dfp.fig6a_growth/{name}", records).result for name in ("depth", "width")}
    assert found == {"depth": depth, "width": width}


@pytest.mark.parametrize(("whole", "order", "families"), [
    (lambda errors: errors / 2, ("holds", 1), ("holds", 3)), (lambda errors: -errors, ("fails", -1), ("fails", 0)),
    (lambda errors: errors.reshape(3, 2)[:, ::-1].ravel(), ("holds", 29 / 35), ("fails", 0)),
    (lambda errors: errors.reshape(3, 2)[::-1].ravel(), ("fails", -29 / 35), ("holds", 3))])
def test_errors_on_whole_images_are_compared_in_the_order_of_the_networks(whole, order, families, monkeypatch):
    """Errors 1 to 6 on averaged images, by depth and in it chain, residual; on whole ones halved, negated or exchanged."""
    places = {(family, blocks): index for index, (blocks, family) in enumerate(
        (blocks, family) for blocks in trained_grid.DEPTHS for family in ("chain", "resnet"))}
    grid_records = made_up(lambda family, size, seed: 1.0 + places.get((family, size[0]), 9))
    monkeypatch.setattr(trained.results, "complete", lambda *_: grid_records)
    errors = whole(np.arange(1.0, 7))
    records = [{"configuration": one, "result": {"test": errors[places[one["family"], one["size"][0]]]}}
               for one in trained_whole.CONFIGURATIONS]
    for name, (result, value) in (("order", order), ("families", families)):
        entry = next(each for each in checking.registered("deep-frame-potential") if each.id == f"dfp.fig5a_reduction/{name}")
        found = checking.outcome(entry, entry.function(checking.Setting(), records), 0)
        assert (found.result, found.measured, found.evidence) == (result, pytest.approx(value), "experiment, 1 seed")


def test_whole_images_are_left_as_they_are():
    pixels = Noise.pixels[:4]
    assert {one["pooled"] for one in trained_whole.CONFIGURATIONS} == {1}
    assert torch.equal(trained_grid.pooled(pixels, 1), pixels) and trained_grid.pooled(pixels, 2).shape[-1] == 16


def test_a_score_that_is_the_error_correlates_and_chooses_best(potentials):
    like_F = made_up(lambda family, size, seed: 100 * potentials.get(family, tuple(size)))
    for name in ("dfp.correlation/pooled", "dfp.correlation/within_size", "dfp.params_poor/beats_count"):
        assert measured(name, like_F).result == "holds"
    assert measured("dfp.select/regret_random", like_F).measured == 0
    draw = np.random.default_rng(0)
    by_count = made_up(lambda family, size, seed: draw.normal(scale=0.1) - np.log(
        potentials.get(family, tuple(size), quantity="parameters")))
    assert measured("dfp.select/regret_count", by_count).measured >= 0
    assert measured("dfp.params_poor/beats_count", by_count).result == "fails"


def test_partial_correlation_is_that_of_residual_ranks():
    draw = np.random.default_rng(0)
    scores, given, errors = draw.permuted(np.tile(np.arange(30.0), (3, 1)), axis=1)

    def residual(ranks):
        return ranks - np.polyval(np.polyfit(given, ranks, 1), given)
    expected = np.corrcoef(residual(scores), residual(errors))[0, 1]
    assert rankings.partial_correlation(scores, given, errors) == pytest.approx(expected)


def test_errors_between_two_widths_are_read_along_log_parameters(potentials):
    """Where the error is a line in log parameters plus a number for each depth, depth orders it at every count."""
    def error(family, size, seed):
        return 100 - 3 * np.log(potentials.get(family, tuple(size), quantity="parameters")) + 5 * size[0]
    found = trained.Networks(trained_grid.mean_errors(made_up(error)), potentials, None)
    assert trained.at_equal_parameters(found, "chain") == trained.at_equal_parameters(found, "densenet") == 1
    assert trained.at_equal_parameters(found.replaced(lambda family, size, error: error - 10 * size[0]), "chain") == -1


@pytest.mark.parametrize(("identifier", "plain", "regularised", "result"), [
    ("outliers", lambda F, count: count, lambda F, count: 0.0, "holds"),
    ("outliers", lambda F, count: -count, lambda F, count: 0.0, "fails"),
    ("high_correlation", lambda F, count: 0.0, lambda F, count: F, "holds"),
    ("high_correlation", lambda F, count: 0.0, lambda F, count: -F, "fails"),
    ("better_than_4a", lambda F, count: -F, lambda F, count: F, "holds"),
    ("better_than_4a", lambda F, count: F, lambda F, count: -F, "fails"),
    ("diminishing_error", lambda F, count: 0.0, lambda F, count: 50 - 8 * min(np.log(count), 12), "holds"),
    ("diminishing_error", lambda F, count: 0.0, lambda F, count: -np.log(count), "fails")])
def test_the_checks_of_fig_4(identifier, plain, regularised, result):
    name = ("dfp.fig4a/" if identifier == "outliers" else "dfp.fig4b/") + identifier
    entry = next(each for each in checking.registered("deep-frame-potential")
                 if each.id == name and each.scale == "reduced")
    found = checking.outcome(entry, entry.function(checking.Setting(), connected(plain, regularised)), 0)
    assert (found.result, found.scale) == (result, "reduced")


@pytest.mark.parametrize("error, held", [
    (lambda F, count: -count, [True, True, True, True]),
    (lambda F, count: count, [False, False, False, True]),
    (lambda F, count: F, [False, False, True, True])])
def test_the_figure_of_fig_4_is_contradicted_by_other_data(monkeypatch, error, held):
    monkeypatch.setattr(drawing.results, "records", lambda name: connected(error, error))
    figure = drawing.errors_of_fully_connected(checking.Setting())
    assert list(figure.findings.values()) == held


def test_a_slope_that_halves_has_ratio_one_half():
    place = np.linspace(0, 1, 21)
    assert trained.slope_ratio(place, np.where(place < 0.5, -2 * place, -0.5 - place)) == pytest.approx(0.5)
    assert trained.slope_ratio(place, place) == 10


@pytest.mark.parametrize(("error", "said", "held"), [
    (lambda F, family, size: 100 * F, "with the least F among residual and dense networks (rank correlation 1.00 [1.00, 1.00]",
     [True, False]),
    (lambda F, family, size: {"chain": 40, "resnet": 30, "densenet": 20}[family] + size[0] / 10, "in 9 of 9 sizes", None),
    (lambda F, family, size: {"chain": -40, "resnet": -30, "densenet": -20}[family] + size[0] / 10, "in 0 of 9 sizes", None),
    (lambda F, family, size: -100 * F, "Over all 24 networks: -1.00 [-1.00, -1.00]", [False, True])])
def test_the_figure_of_the_trained_families_tells_its_correlations_from_the_errors(error, said, held, potentials, monkeypatch):
    kept = drawing.results.records
    records = made_up(lambda family, size, seed: error(potentials.get(family, tuple(size)), family, size))
    monkeypatch.setattr(drawing.results, "records",
                        lambda name, *more: records if name == trained_grid.NAME else kept(name, *more))
    figure = drawing.errors_by_family(checking.Setting())
    assert said in figure.caption
    assert held is None or list(figure.findings.values()) == held


def test_the_figure_of_depth_tells_what_changes_with_it_and_what_skips_gain(monkeypatch):
    kept = drawing.results.records
    slopes = {"chain": 1, "resnet": -0.5, "densenet": 0}
    errors = made_up(lambda family, size, seed: 30 + slopes[family] * size[0] - size[1] / 4)
    monkeypatch.setattr(drawing.results, "records",
                        lambda name, *more: errors if name == trained_grid.NAME else kept(name, *more))
    caption = drawing.errors_by_depth(checking.Setting()).caption
    assert "From 2 to 10 blocks the chains' error changes by +8.0, +8.0, +8.0 points (widths 4, 8, 16)" in caption
    assert "residual networks' by \u22124.0, \u22124.0, \u22124.0. What the skips gain" in caption
    assert "lies between 3.0 and 15.0 points" in caption
