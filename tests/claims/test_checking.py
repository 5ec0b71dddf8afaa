"""Controls are mandatory, and a measurement is a number."""

import math
import re

import pytest

from deepatoms.claims import catalogue, checking
from deepatoms.claims.checking import EXACT, ControlError, Measurement, Registered, Setting

FAILS, PASSES, OPPOSES = "dfp.eq2/two_forms", "dfp.welch/is_minimum", "dfp.fig4a/outliers"  # <= 1e-12, <= 1e-3, > 0


def outcome(identifier, measurement):
    return checking.run(Registered(identifier, lambda setting: measurement, EXACT, "laptop", None), Setting())


def test_what_a_control_must_do_is_read_off_the_catalogue():
    checks = catalogue.load().checks
    assert [checks[name].control_must for name in (FAILS, PASSES, OPPOSES)] == ["fail", "pass", "oppose"]
    assert {check.control_must for check in checks.values()} == {"fail", "pass", "oppose"}


@pytest.mark.parametrize("identifier, measurement, result", [
    (FAILS, Measurement(0, 1), "holds"),
    (FAILS, Measurement(1, 1), "fails"),
    (FAILS, Measurement(0, 1, control_interval=(0, 2)), "holds"),
    (PASSES, Measurement(1, 0), "fails"),
    (PASSES, Measurement(0, 0), "holds"),
    (OPPOSES, Measurement(1, -1), "holds"),
    (OPPOSES, Measurement(-1, 1), "fails"),
    (OPPOSES, Measurement(1, -1, interval=(-1, 3)), "inconclusive"),
])
def test_a_control_that_comes_out_the_other_way_is_accepted(identifier, measurement, result):
    assert outcome(identifier, measurement).result == result


@pytest.mark.parametrize("identifier, measurement", [
    (FAILS, Measurement(0, 0)),
    (PASSES, Measurement(1, 1)),
    (PASSES, Measurement(1, 0, control_interval=(0, 1))),
    (OPPOSES, Measurement(1, 1)),
    (OPPOSES, Measurement(-1, -1)),
])
def test_a_control_that_comes_out_like_the_claim_is_refused(identifier, measurement):
    with pytest.raises(ControlError, match=identifier):
        outcome(identifier, measurement)


@pytest.mark.parametrize("measurement", [
    Measurement(math.nan, 1), Measurement(0, math.nan), Measurement(0, 1, interval=(math.nan, 1)),
    Measurement(0, 1, interval=(2, 1)), Measurement(0, 1, control_interval=(1, math.nan))])
def test_what_is_no_number_is_refused(measurement):
    with pytest.raises(ValueError, match=FAILS):
        outcome(FAILS, measurement)


def test_the_evidence_is_what_was_counted_and_never_less_than_promised():
    def said(count):
        promised, measured = checking.instances(100, "networks"), Measurement(0, 1, count=count)
        entry = Registered(FAILS, lambda setting: measured, promised, "laptop", None)
        return checking.run(entry, Setting()).evidence
    assert said(100) == "100 random networks" and said(120) == "120 random networks"
    with pytest.raises(ValueError, match="count = 24 networks measured, but the evidence promises 100"):
        said(24)
    with pytest.raises(ValueError, match=f"{FAILS}: count = None says nothing of the networks measured; count them"):
        said(None)


def test_examples_that_somebody_chose_are_not_called_random():
    assert str(checking.examples(10, "compositions")) == "10 compositions, chosen, not drawn"
    assert str(checking.examples(1, "networks")) == "1 network, chosen, not drawn"
    assert str(checking.examples(1, "pairs of inputs")) == "1 pair of inputs, chosen, not drawn"
    assert str(checking.instances(1, "matrices")) == "1 random matrix"


def plural(noun):
    """Return the plural as English makes it of the nouns that checks count."""
    return re.sub("um$", "a", re.sub("ix$", "ice", re.sub("y$", "ie", noun))) + "s" * (not noun.endswith("um"))


def test_one_of_what_any_check_counts_is_said_in_the_singular():
    chapters = {claim.chapter for claim in catalogue.load().claims.values()}
    counted = {entry.evidence.of for chapter in chapters for entry in checking.registered(chapter)}
    assert {"dictionaries", "matrices", "minima", "critical points", "inputs of one layer"} <= counted
    for several in counted:
        _, _, one = str(checking.instances(1, several)).partition("random ")
        head, *rest = one.partition(" of ")
        assert one != several and plural(head) + "".join(rest) == several, one


@pytest.mark.parametrize(("evidence", "said"), [
    (checking.experiment(1), "experiment, 1 seed"), (checking.experiment(3), "experiment, 3 seeds"), (EXACT, "exact identity"),
    (checking.EXHAUSTIVE, "exhaustive"), (checking.instances(1, "networks"), "1 random network"),
    (checking.instances(12_345, "networks"), "12,345 random networks"),
    (checking.benchmark(724, "networks"), "724 networks of a benchmark")])
def test_evidence_in_words(evidence, said):
    assert str(evidence) == said


def test_draws_repeat_for_a_label_and_a_seed_and_differ_otherwise():
    drawn = {(seed, label): Setting(seed).numpy(label).random() for seed in (0, 1) for label in ("a", "b")}
    assert len(set(drawn.values())) == 4 and Setting(0).numpy("a").random() == drawn[0, "a"]
    first, again, other = (Setting(seed).torch("a").initial_seed() for seed in (0, 0, 1))
    assert first == again != other


def test_a_check_that_reads_records_runs_where_they_are_complete_and_on_them(monkeypatch):
    entry = Registered(FAILS, lambda setting, records: Measurement(*records), EXACT, "full", "an experiment")
    for recorded in (None, (0.0, 1.0)):
        monkeypatch.setattr(checking.results, "complete", lambda name, setting, recorded=recorded: recorded)
        found = checking.run(entry, Setting(3))
        assert (found is None) == (recorded is None)
    assert (found.recorded, found.scale, found.seed, found.result) == (True, "full", 3, "holds")
    assert not outcome(FAILS, Measurement(0, 1)).recorded


STORED = {"scale": "laptop", "measured": 0.0, "control": 1.0, "evidence": "1,200 random networks", "seed": 2}
NETWORKS = Registered(FAILS, None, checking.instances(1000, "networks"), "laptop", None)


def test_a_stored_outcome_is_judged_anew_from_its_numbers_alone():
    forged = STORED | {"result": "fails", "check": "another", "recorded": True, "vacuous": True, "interval": [0, 0],
                       "control_interval": [0.5, 2]}
    found = checking.read(NETWORKS, forged)
    assert (found.check, found.result, found.recorded, found.vacuous, found.seed) == (FAILS, "holds", False, True, 2)
    assert (found.evidence, found.interval, found.control_interval) == ("1,200 random networks", (0.0, 0.0), (0.5, 2.0))
    assert checking.read(NETWORKS, STORED | {"measured": 1.0}).result == "fails"
    assert checking.read(NETWORKS, STORED).interval is None
    exact = Registered(FAILS, None, EXACT, "laptop", None)
    assert checking.read(exact, STORED | {"evidence": "whatever"}).evidence == "exact identity"


@pytest.mark.parametrize(("changes", "error", "said"), [
    ({"scale": "full"}, ValueError, "scale = 'full' is not the check's, laptop"),
    ({"measured": "0"}, TypeError, "measured = '0' is not"), ({"measured": True}, TypeError, "measured = True"),
    ({"control": None}, TypeError, "measured = None"),
    ({"interval": [0, "1"]}, TypeError, "measured = '1'"), ({"control_interval": [None, 1]}, TypeError, "measured = None"),
    ({"evidence": "999 random networks"}, ValueError, "count = 999"), ({"evidence": "many networks"}, ValueError, "count = 0"),
    ({"control": 0.0}, ControlError, "cannot tell right from wrong"), ({"measured": math.nan}, ValueError, "is not a number")])
def test_a_stored_outcome_that_was_altered_is_refused(changes, error, said):
    with pytest.raises(error, match=said):
        checking.read(NETWORKS, STORED | changes)


def test_a_chapter_without_checks_has_none_and_one_that_cannot_be_imported_says_so(monkeypatch):
    assert checking.registered("not-written-yet") == []

    def fails(name):
        raise ModuleNotFoundError("No module named 'elsewhere'", name="elsewhere")
    monkeypatch.setattr(checking.importlib, "import_module", fails)
    with pytest.raises(ModuleNotFoundError, match="elsewhere"):
        checking.registered("atoms")


def test_a_check_is_registered_once_at_a_scale(monkeypatch):
    monkeypatch.setattr(checking, "_register", {})

    def measure(setting):
        return Measurement(0, 1)
    assert checking.check(FAILS, EXACT)(measure) is measure
    checking.check(FAILS, EXACT)(measure)  # a module may be imported anew
    checking.check(FAILS, EXACT, scale="full")(len)
    with pytest.raises(ValueError, match=f"check = '{FAILS}' is registered twice at scale laptop"):
        checking.check(FAILS, EXACT)(len)
    with pytest.raises(KeyError, match="is not in the catalogue"):
        checking.check("dfp.eq2/no_such", EXACT)
    assert sorted(checking._register) == [(FAILS, "full"), (FAILS, "laptop")]


def test_an_outcome_says_of_itself_only_what_it_was_told():
    """Not told to be recorded or vacuous it is neither, and it has no interval: a page would show a word that nobody gave."""
    told = checking.Outcome("a.b/c", 1.0, 0.0, "holds", "experiment, 1 seed", "laptop", 0).as_dict()
    assert (told["recorded"], told["vacuous"], told["interval"], told["control_interval"]) == (False, False, None, None)


def test_checks_come_in_the_order_of_the_catalogue_whatever_was_imported_first(monkeypatch):
    before = checking.registered("deep-frame-potential")
    assert len({entry.id for entry in before}) < len(before), "some checks read records of two scales"
    monkeypatch.setattr(checking, "_register", dict(reversed(checking._register.items())))
    assert checking.registered("deep-frame-potential") == before
