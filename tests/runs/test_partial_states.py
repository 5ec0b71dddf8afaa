"""A partial state is whole or not there, and nothing in it runs."""

import io
import pickle

import pytest
import torch

from deepatoms.runs import partial_states
from deepatoms.runs.partial_states import PartialState

CONFIGURATION = {"seed": 0}
STATE = {"epoch": 2, "weights": torch.arange(3.0), "steps": [torch.tensor(1), None], "name": "one"}


@pytest.fixture
def path(tmp_path):
    PartialState(tmp_path / "key.partial", CONFIGURATION, "cpu").save(STATE, 2, 5)
    return tmp_path / "key.partial"


def test_what_is_saved_is_loaded_with_how_far_it_came(path):
    partial = PartialState(path, CONFIGURATION, "cpu")
    state = partial.load()
    assert torch.equal(state.pop("weights"), STATE["weights"]) and state["steps"][1] is None and state["epoch"] == 2
    assert (partial.done, partial.total) == (2, 5)
    assert partial_states.progress(path)["sittings"][0]["to"] == 2


def test_nothing_saved_is_nothing_loaded(tmp_path):
    assert PartialState(tmp_path / "key.partial", CONFIGURATION, "cpu").load() is None
    assert partial_states.progress(tmp_path / "key.partial") is None


def flipped(content):
    return content[:-40] + bytes([content[-40] ^ 1]) + content[-39:]


@pytest.mark.parametrize("damage", [lambda content: content[:-1], flipped, lambda content: b"", lambda content: content[:64],
                                    lambda content: b"0" + content[1:] if content[:1] != b"0" else b"1" + content[1:]])
def test_a_damaged_one_is_named_removed_and_begun_anew(path, damage):
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(RuntimeWarning, match=f"{path.name}.*is not as it was written.*begins anew"):
        assert PartialState(path, CONFIGURATION, "cpu").load() is None
    assert not path.exists()


def test_that_of_another_configuration_is_not_taken(path):
    with pytest.warns(RuntimeWarning, match="belongs to another configuration"):
        assert PartialState(path, {"seed": 1}, "cpu").load() is None


def test_no_code_in_a_partial_state_runs(path, tmp_path, monkeypatch):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    def dump(state, file):
        assert isinstance(file, io.BytesIO)
        file.write(pickle.dumps(Evil()))

    monkeypatch.setattr(torch, "save", dump)
    PartialState(path, CONFIGURATION, "cpu").save(STATE, 2, 5)
    with pytest.warns(RuntimeWarning, match="holds what torch does not read without pickle"):
        assert PartialState(path, CONFIGURATION, "cpu").load() is None
    assert not (tmp_path / "ran").exists()


def test_sizes_are_limited_both_ways(path, monkeypatch):
    monkeypatch.setattr(partial_states, "LIMIT", 1000)
    with pytest.raises(ValueError, match="bytes of at most 1,000"):
        PartialState(path, CONFIGURATION, "cpu").save(STATE, 3, 5)
    assert partial_states.progress(path)["done"] == 2, "the last one is still there"
    with pytest.warns(RuntimeWarning, match="more than 1,000 bytes"):
        assert PartialState(path, CONFIGURATION, "cpu").load() is None


def test_a_full_disk_leaves_the_last_state_and_no_part(path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(partial_states.record_files.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        PartialState(path, CONFIGURATION, "cpu").save(STATE, 3, 5)
    assert [each.name for each in path.parent.iterdir()] == ["key.partial"]
    assert partial_states.progress(path)["done"] == 2


def test_a_computation_of_several_sittings_tells_each_and_their_sum(tmp_path, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(partial_states.time, "perf_counter", lambda: clock[0])
    path = tmp_path / "key.partial"
    first = PartialState(path, CONFIGURATION, "cpu")
    assert first.load() is None
    clock[0] += 8
    first.save(STATE, 2, 10)
    assert first.told(8) == {} and first.left() == pytest.approx(8 / 2 * 8)
    clock[0] += 1000  # between the two nothing is computed
    second = PartialState(path, CONFIGURATION, "cpu")
    second.load()
    assert second.left() == 0.0  # no step yet: nothing to go by
    clock[0] += 3
    second.save(STATE, 3, 10)
    clock[0] += 3
    second.save(STATE, 4, 10)
    assert second.left() == pytest.approx(6 / 2 * 6)
    told = second.told(6.5)
    assert told["seconds"] == 14.5 and [(each["from"], each["to"], each["seconds"]) for each in told["sittings"]] == [
        (0, 2, 8.0), (2, 4, 6.5)]
    assert [each["to"] for each in partial_states.progress(path)["sittings"]] == [2, 4]


def test_who_waits_is_told_after_each_state_and_may_break_off(tmp_path):
    def stop(partial):
        told.append((partial.done, partial.total, partial.path.exists()))
        if partial.done == 2:
            raise InterruptedError
    told = []
    partial = PartialState(tmp_path / "key.partial", CONFIGURATION, "cpu", stop)
    partial.save(STATE, 1, 3)
    with pytest.raises(InterruptedError):
        partial.save(STATE, 2, 3)
    assert told == [(1, 3, True), (2, 3, True)] and partial_states.progress(partial.path)["done"] == 2


@pytest.mark.parametrize("content", [b"", b"digest\n", b"digest\n[1, 2]\n", b"digest\n{\"done\": 1}\n", b"digest\n7\n"])
def test_a_header_that_says_not_how_far_it_came_is_none(tmp_path, content):
    (tmp_path / "key.partial").write_bytes(content)
    assert partial_states.progress(tmp_path / "key.partial") is None


def test_a_size_just_at_the_limit_is_written_and_read(path, monkeypatch):
    size = path.stat().st_size
    for limit, taken in ((size, True), (size - 1, False)):
        monkeypatch.setattr(partial_states, "LIMIT", limit)
        if taken:
            assert partial_states.read(path, CONFIGURATION)[0]["done"] == 2
        else:
            with pytest.raises(ValueError, match="bytes"):
                partial_states.read(path, CONFIGURATION)


def test_seconds_are_told_in_hundredths_and_a_damaged_state_where_it_was_asked_for(path, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(partial_states.time, "perf_counter", lambda: clock[0])
    partial = PartialState(path, CONFIGURATION, "cpu")
    clock[0] += 1.23456
    assert partial.sitting()["seconds"] == 1.23
    path.write_bytes(b"")
    with pytest.warns(RuntimeWarning) as told:
        assert partial.load() is None
    assert told[0].filename == __file__, "the warning leads to who asked"
