"""What an experiment costs is told from its own steps, then from its records, then as estimated."""

import pytest

from deepatoms.runs import partial_states, prices, record_files, results, sweeps

NUMBERS = tuple({"number": number} for number in range(4))
SQUARES = results.Experiment("squares", NUMBERS, lambda configuration, device: configuration["number"] ** 2, 8.0, (), "Squares")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(results.FOLDER, str(tmp_path))
    monkeypatch.setitem(results._experiments, "squares", SQUARES)
    return tmp_path / "squares"


def test_nothing_done_costs_what_was_estimated():
    assert prices.price(SQUARES).seconds == 480
    said = str(prices.price(SQUARES))
    assert "0 of   4 recorded\n    about 8 minutes of two cores left as estimated: make full EXPERIMENT=squares" in said


def record(number, seconds):
    path = results.folder() / "squares" / f"{results.key(NUMBERS[number])}.json"
    path.parent.mkdir(exist_ok=True)
    record_files.write(path, "squares", NUMBERS[number], 0, {"seconds": seconds})


def test_records_tell_what_the_rest_costs():
    record(0, 10.0)
    record(1, 30.0)
    assert (prices.price(SQUARES).seconds, prices.price(SQUARES).basis) == (20, "by its records")


def test_steps_tell_it_better_and_what_they_did_is_taken_off(folder, monkeypatch):
    record(0, 10.0)
    record(1, 30.0)
    monkeypatch.setattr(partial_states.PartialState, "sitting", lambda partial: {"from": 0, "to": 3, "seconds": 30.0})
    path = sweeps.partial_path(folder, results.key(NUMBERS[2]))
    partial_states.PartialState(path, NUMBERS[2], "cpu").save({}, 3, 12)
    found = prices.price(SQUARES)
    assert found.seconds == pytest.approx(120 * (2 - 3 / 12) / 2) and found.begun == ("step 3 of 12",)
    path.write_text("no header")
    assert prices.price(SQUARES).basis == "by its records"


def test_a_whole_one_costs_nothing(folder):
    results.run("squares", NUMBERS, SQUARES.function)
    assert str(prices.price(SQUARES)) == "squares                            4 of   4 recorded"


@pytest.mark.parametrize(("seconds", "said"), [(0.4, "0.4 seconds"), (89, "89 seconds"), (90, "1.5 minutes"), (600, "10 minutes"),
                                               (5399, "90 minutes"), (5400, "1.5 hours"), (360_000, "1e+02 hours")])
def test_durations_turn_to_the_next_unit_at_one_and_a_half_of_it(seconds, said):
    assert prices.duration(seconds) == said


def test_a_sitting_without_a_step_is_no_division_by_zero_and_the_last_sitting_counts(folder):
    path = sweeps.partial_path(folder, results.key(NUMBERS[0]))
    partial = partial_states.PartialState(path, NUMBERS[0], "cpu")
    partial._before = [{"from": 0, "to": 4, "seconds": 400.0}]
    folder.mkdir()
    partial.sitting = lambda: {"from": 4, "to": 4, "seconds": 7.0}
    partial.save({}, 4, 10)
    assert prices.price(SQUARES).seconds == pytest.approx(7 * 10 * (4 - 0.4) / 2)
    assert str(prices.price(SQUARES)).startswith("squares                            0 of   4 recorded, 1 begun (step 4 of 10)\n")
