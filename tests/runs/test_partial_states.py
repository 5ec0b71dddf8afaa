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
