"""F on networks that others trained: how rankings are judged, and that a made-up F with a known answer gets it."""

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from deepatoms.claims import catalogue, checking
from deepatoms.claims.checking import Setting
from deepatoms.data import benchmarks
from deepatoms.runs import results
from deepatoms.studies.deep_frame_potential import benchmarks as recorded
from deepatoms.studies.deep_frame_potential import drawing, rankings, rivals
from deepatoms.studies.deep_frame_potential.checks import benchmarks as checks

TABLE = benchmarks.load("nas201")
CONFIGURATIONS = [recorded.LEAD, recorded.FREE, *recorded.OTHERS.values()]


def made_up(values, start):
    """Records in which every setting's F is the same; None where a cell leads nowhere."""
    joined = [recorded.connected(recorded.cell(name)) for name in TABLE.architectures]
    reached, initial = ([[float(value)] * 3 if there else None for value, there in zip(own, joined, strict=True)]
                        for own in (values, start))
    return [{"configuration": one, "result": {"reached": reached[::step], "initial": initial[::step]}}
            for one in CONFIGURATIONS for step in [one.get("every", 1)]]


@pytest.fixture(autouse=True)
def no_records(monkeypatch):
    """The made-up lead stands for the recorded one wherever a check asks for more than its own records."""
    monkeypatch.setattr(checks.results, "complete", lambda *_: [])


@pytest.fixture(scope="module")
def start():
    return np.random.default_rng(0).uniform(0.1, 0.2, len(TABLE))


def outcome(name, records):
    """The outcome of a check on made-up records, its control demanded as ever."""
    entry = next(one for one in checking.registered("deep-frame-potential") if one.id == name)
    found, planned = entry.function(Setting(), records), catalogue.load().check(name)
    checking._demand_control(planned, found)
    return planned.criterion.judge(found.measured, found.interval)


NAMES = [check.id for claim in catalogue.load().claims.values() for check in claim.checks
         if check.id.startswith(("dfp.nas201", "dfp.beyond_count/nas201")) and claim.id != "dfp.nas201_rivals"]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_perfect_score_meets_every_claim(name, start):
    order = np.nan_to_num(sum(TABLE.columns[f"{each} accuracy"] for each in checks.SETS), nan=100)
    assert outcome(name, made_up(1 / (100 + order), start)) == "holds"


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if "settled" not in name])
def test_a_score_without_sense_meets_none(name, start):
    assert outcome(name, made_up(np.random.default_rng(1).uniform(0.1, 0.2, len(TABLE)), start)) != "holds"


def test_rankings_agree_with_scipy():
    draw = np.random.default_rng(0)
    scores, accuracies = draw.normal(size=(2, 60)).round(1)
    found, (low, high) = rankings.correlation(scores, accuracies, draw)
    assert found == pytest.approx(spearmanr(scores, accuracies).statistic) and low < found < high
    distinct = draw.permutation(60)
    tau = rankings.concordance(distinct, np.arange(60), np.zeros(60), draw)[0]
    assert tau == pytest.approx(kendalltau(distinct, np.arange(60)).statistic)
    assert rankings.difference(scores, scores, accuracies, draw) == (0, (0, 0))


def test_what_is_left_at_an_equal_count_is_what_the_count_does_not_tell():
    draw = np.random.default_rng(0)
    count, other = draw.normal(size=(2, 400))
    assert abs(rankings.beyond(count + 0.3 * draw.normal(size=400), count, count + draw.normal(size=400), draw)[0]) < 0.15
    found, (low, high) = rankings.beyond(other, count, count + 0.5 * other, draw)
    assert low < found < high and low > 0.5


def test_two_scores_are_compared_over_the_same_groups():
    draw, groups = np.random.default_rng(0), np.repeat(np.arange(20), 3)
    scores, others, accuracies = draw.normal(size=(3, 60))
    apart = [rankings.concordance(each, accuracies, groups, draw)[0] for each in (scores, others)]
    found, (low, high) = rankings.concordance(scores, accuracies, groups, draw, others)
    assert found == pytest.approx(apart[0] - apart[1]) and low < found < high
    assert rankings.concordance(scores, accuracies, groups, draw, scores) == (0, (0, 0))


def test_an_operation_is_in_use_where_a_path_to_the_output_takes_it(start):
    """Against all paths of four nodes, written out."""
    paths = [[(0, 3)], [(0, 1), (1, 3)], [(0, 2), (2, 3)], [(0, 1), (1, 2), (2, 3)]]
    cells = checks.Cells(made_up(start, start))
    for name, counted in zip(cells.names, cells.in_use, strict=True):
        kinds = {edge[:2]: edge[2] for edge in recorded.cell(name)}
        used = {edge for path in paths if all(kinds[edge] != "none" for edge in path) for edge in path}
        assert counted.tolist() == [sum(kinds[edge] == kind for edge in used) for kind in recorded.OPERATIONS]
    assert (cells.convolutions_in_use <= np.isin(cells.operations, checks.CONVOLUTIONS).sum(1)).all()
    assert len(set(cells.groups["same in use"])) < len(cells.names)


def test_only_pairs_of_one_group_are_compared():
    found = rankings.concordance(np.array([1, 2, 9, 8]), np.array([1, 2, 3, 4]), np.array([0, 0, 1, 1]), np.random.default_rng(0))
    assert found[0] == 0  # one pair each way; every pair across the groups would be ordered rightly
    mixed = rankings.shuffled(np.arange(6), np.array([0, 0, 0, 1, 1, 1]), np.random.default_rng(0))
    assert set(mixed[:3]) == {0, 1, 2} and set(mixed[3:]) == {3, 4, 5}


def test_the_interval_covers_the_truth_as_often_as_it_says():
    draw, covered = np.random.default_rng(0), 0
    for _ in range(60):
        pair = draw.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], 100).T
        low, high = rankings.correlation(*pair, draw)[1]
        covered += low < 6 / np.pi * np.arcsin(0.25) < high  # Spearman's correlation of a normal pair
    assert 50 <= covered <= 60


def test_regret_of_the_best_is_nothing():
    accuracies, draw = np.arange(30.0), np.random.default_rng(0)
    draws = rankings.candidates(30, 10, 50, draw)
    assert rankings.regrets(accuracies, accuracies, draws).max() == 0
    assert all(len(set(one)) == 10 for one in draws)
    assert (rankings.regrets(-accuracies, accuracies, draws) == np.ptp(accuracies[draws], axis=1)).all()


def test_the_order_of_edges_is_the_one_in_which_only_the_worst_cell_leads_nowhere():
    accuracies = TABLE.columns["cifar10 accuracy"]
    apart = [not recorded.connected(recorded.cell(name)) for name in TABLE.architectures]
    assert accuracies[apart].tolist() == [10.0] and sum(accuracies == 10) == 1
    other = [not recorded.connected(rivals.exchanged(recorded.cell(name))) for name in TABLE.architectures]
    assert accuracies[other].max() > 80  # read in the other order, networks that learned would be none


def test_every_parameter_count_is_rebuilt():
    counts = [rivals.parameters(recorded.cell(name)) for name in TABLE.architectures]
    np.testing.assert_array_equal(counts, np.round(1e6 * TABLE.columns["params"]))


def test_scores_of_the_rivals_are_near_the_published_ones():
    edges = recorded.cell(TABLE.architectures[0])
    assert rivals.synflow(edges, 0) == pytest.approx(TABLE.columns["cifar10 synflow"][0], abs=0.2)
    dead = [(0, 1, "conv 3"), (0, 2, "skip"), (0, 3, "conv 1"), (1, 2, "none"), (1, 3, "none"), (2, 3, "skip")]
    assert (0, 1, "conv 3") not in rivals.leading(dead) and len(rivals.leading(dead)) == 5


def test_a_small_run_records_what_the_checks_read():
    one = {**recorded.setting(1, 1), "iterations": 3}
    first, last = recorded.potentials(recorded.cell(TABLE.architectures[0]), one)
    assert len(first) == len(last) == 3 and all(b <= a for a, b in zip(first, last, strict=True))
    assert len({results.key(each) for each in CONFIGURATIONS}) == 5


@pytest.mark.parametrize(("sign", "held"), [(1, True), (-1, False)])
def test_the_figure_is_contradicted_where_low_f_goes_with_low_accuracy(monkeypatch, start, sign, held):
    low_where_good = 1 - sign * TABLE.columns["cifar10 accuracy"] / 1000
    monkeypatch.setattr(drawing, "cells", lambda: checks.Cells(made_up(low_where_good, start)))
    assert list(drawing.accuracy_against_potential(Setting()).findings.values()) == [held]
