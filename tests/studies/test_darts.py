"""Networks of the DARTS space: their graphs, their parameters, and that a made-up F with a known answer gets it."""

import numpy as np
import pytest

from deepatoms.claims import catalogue, checking
from deepatoms.claims.checking import Setting
from deepatoms.data import benchmarks
from deepatoms.runs import results
from deepatoms.studies.deep_frame_potential import darts, darts_conventions, drawing
from deepatoms.studies.deep_frame_potential.checks import darts as checks
from deepatoms.theory import induced

TABLE = benchmarks.load("nas301")
NAMES = [check.id for claim in catalogue.load().claims.values() for check in claim.checks
         if check.id.startswith(("dfp.nas301", "dfp.beyond_count/nas301")) and claim.id != "dfp.nas301_rivals"]
SETTINGS = ("cells", "steps", "pooling", "magnitudes", "channels")
OTHERS = [*darts.OTHERS.values(), *darts_conventions.OTHERS.values()]


def made_up(values, start):
    """Records in which every setting's F is the same: the eight parts of the lead, and those of the other settings."""
    lead = [one for one in results.experiments()[darts.NAME].configurations]
    return [[{"configuration": one, "result": {which: [[float(value)] * 3 for value in given[one.get("start", 0)::one["every"]]]
                                               for which, given in (("reached", values), ("initial", start))}}
             for one in configurations] for configurations in (lead, OTHERS)]


def outcome(name, values, monkeypatch):
    """The outcome of a check on made-up records, its control demanded as ever."""
    lead, others = made_up(values, np.random.default_rng(0).uniform(0.1, 0.2, len(TABLE)))
    monkeypatch.setattr(checks.results, "complete", lambda *_: lead)
    entry = next(one for one in checking.registered("deep-frame-potential") if one.id == name)
    found = entry.function(Setting(), lead if entry.records == darts.NAME else others)
    planned = catalogue.load().check(name)
    checking._demand_control(planned, found)
    assert found.count == (61 if name.split("/")[1] in SETTINGS else 725)
    return planned.criterion.judge(found.measured, found.interval)


@pytest.mark.parametrize("name", NAMES)
def test_a_perfect_score_meets_every_claim_and_one_without_sense_none(name, monkeypatch):
    assert outcome(name, 1 / TABLE.columns["cifar10 accuracy"], monkeypatch) == "holds"
    if name.split("/")[0] not in ("dfp.nas301_settled", "dfp.nas301_conventions"):
        assert outcome(name, np.random.default_rng(1).uniform(0.1, 0.2, len(TABLE)), monkeypatch) != "holds"


def test_parts_are_put_together_in_the_order_of_the_table():
    values = np.arange(1.0, 1 + len(TABLE))
    merged = darts.merged(made_up(values, values)[0][::-1])
    assert [each[0] for each in merged["result"]["reached"]] == values.tolist()
    assert merged["configuration"] == darts.LEAD


def test_every_parameter_count_is_the_published_one():
    counts = [darts.parameters(name) for name in TABLE.architectures]
    np.testing.assert_array_equal(counts, np.round(1e6 * TABLE.columns["params"]))


def test_a_network_is_that_of_its_cells():
    name = "[[(0, 3), (1, 0), (0, 1), (2, 2), (3, 5), (2, 2), (1, 2), (4, 6)], [(0, 2)] ]"
    assert darts.edges(name, "n") == [
        (0, 1, "conv 1"), (0, 2, "conv 1"),  # the two inputs, both of the stem
        (1, 3, "separable 3"), (3, 4, "separable 3"), (2, 4, "pool 3"),  # first node, number 4: twice separable, and maximum
        (1, 5, "pool 3"), (4, 5, "skip"), (5, 6, "dilated 3"), (4, 6, "skip"), (2, 7, "skip"), (6, 7, "dilated 5"),
        *((node, 8, "conv 1") for node in (4, 5, 6, 7))]


@pytest.mark.parametrize("plan", ["n", "nr", "nrn"])
def test_a_cell_reads_the_two_before_it_and_counts_its_layers(plan):
    for name in TABLE.architectures[::90]:
        graph = darts.edges(name, plan)
        ends = [end for _, end, _ in graph]
        assert sorted(set(ends)) == list(range(1, max(ends) + 1)) and ends == sorted(ends)
        separable = sum(operation.startswith("separable") for kind in plan for _, operation in darts.cells(name)[kind])
        assert max(ends) == len(plan) * (2 + darts.NODES) + separable + 1
        reading = sum(len(outputs) for outputs in ([1, 1], [1, 4], [4, 4])[:len(plan)] for outputs in map(range, outputs))
        assert len(graph) == reading + len(plan) * 2 * darts.NODES + separable + darts.NODES


def test_maximum_pooling_is_read_as_told_and_poolings_are_counted():
    name = TABLE.architectures[0]
    maxima = sum(operation == "maximum" for _, operation in darts.cells(name)["n"])
    pools = [sum(operation == "pool 3" for *_, operation in darts.edges(name, "n", maximum)) for maximum in ("pool 3", "skip")]
    assert pools[0] - pools[1] == maxima > 0
    both = [operation for pairs in darts.cells(name).values() for _, operation in pairs]
    assert darts.operations(name, darts.POOLINGS) == sum(each in ("maximum", "pool 3") for each in both)


def test_a_small_run_records_what_the_checks_read():
    one = {**darts.LEAD, "every": 400, "start": 1, "iterations": 2, "channels": 1}
    found = darts.measure(one, "cpu")
    assert [len(found[which]) for which in ("initial", "reached")] == [2, 2]
    assert all(b <= a for first, last in zip(found["initial"], found["reached"], strict=True)
               for a, b in zip(first, last, strict=True))
    net = induced.graph(darts.edges(TABLE.architectures[1]), 1, image=darts.IMAGE)
    assert found["reached"][0] == darts.potentials_of(net, one)[1]
    assert len({results.key(each) for name in (darts.NAME, darts.NAME_SETTINGS, darts_conventions.NAME)
                for each in results.experiments()[name].configurations}) == darts.PARTS + len(OTHERS)


@pytest.mark.parametrize("change", darts_conventions.CHANGES.values())
def test_another_convention_is_measured_as_the_lead_is(change):
    """One network at one step: free magnitudes and more channels reach the descent, and give another F."""
    found = [darts.measure({**darts.LEAD, "every": 800, "seeds": [0], **kind, "iterations": 1, "channels": channels}, "cpu")
             for kind, channels in (({}, 1), (change, min(change.get("channels", 1), 2)))]
    assert [len(each["reached"]) for each in found] == [1, 1]
    assert found[0]["reached"] != found[1]["reached"] and all(0 < each["reached"][0][0] < 1 for each in found)


def test_the_figure_is_contradicted_where_low_f_ranks_better_than_parameters(monkeypatch):
    accuracies = TABLE.columns["cifar10 accuracy"]
    for values, held in ((1 / accuracies, False), (accuracies, True)):
        drawing.darts_networks.cache_clear()
        lead = made_up(values, values)[0]
        monkeypatch.setattr(drawing.results, "records", lambda name, lead=lead: lead)
        assert list(drawing.accuracy_in_darts(Setting()).findings.values()) == [held]
    drawing.darts_networks.cache_clear()
