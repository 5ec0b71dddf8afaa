"""Networks and inputs that somebody names: each rule of reading them at both of its sides, without a report."""

import argparse
import inspect
import json
import pathlib
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from deepatoms import reports
from deepatoms.reports import choosing, command, given, inputs, loading
from deepatoms.theory import induced


@pytest.fixture
def written(tmp_path):
    def of(text, name="model.py"):
        (tmp_path / name).write_text(text)
        return tmp_path / name
    return of


# ---- names ----

def test_an_error_is_told_by_the_innermost_line_of_the_file_that_counts_or_of_all(written):
    path = written("def fail():\n    return {}['a']\ndef outer():\n    return fail()\n", "first.py")
    with pytest.raises(loading.ForeignError, match=r"first.py, line 2, in fail: return {}\['a'\]\nKeyError: 'a'"):
        loading.network(f"{path}:outer")
    try:
        json.loads("{")
    except ValueError as error:
        innermost, mine = loading.foreign(error), loading.foreign(error, pathlib.Path(__file__))
    assert "in raw_decode" in str(innermost) and 'json.loads("{")' in str(mine)
    assert str(loading.foreign(ValueError("raised nowhere"))) == "ValueError: raised nowhere"


def test_an_error_s_cause_is_looked_through_and_its_own_words_are_kept():
    try:
        try:
            {}["a"]
        except KeyError as error:
            raise ValueError("said by us") from error
    except ValueError as error:
        told = str(loading.foreign(error))
    assert '{}["a"]' in told and told.endswith("\nsaid by us")


@pytest.mark.parametrize("text", ["model.py", "model.py:", "model.py:1x", "torch.nn"])
def test_what_names_no_function_is_refused(text):
    with pytest.raises(ValueError, match="names no function; write FILE.py:NAME"):
        loading.target(text)


def test_a_file_offers_its_functions_classes_and_names_and_nothing_private(written):
    path = written("import os\nclass Net: pass\ndef build(): pass\ndef _own(): pass\nclass _Own: pass\nready = 1\nif os: pass\n")
    assert loading._offer(path) == f"write {path}:Net or {path}:build or {path}:ready"
    many = written("".join(f"def f{i}(): pass\n" for i in range(7)))
    assert loading._offer(many).endswith("f5") and loading._offer(written("def (")) == loading._offer(path / "no") == ""
    assert loading._offer(written("1\n")) == ""


def test_what_a_function_needs_is_what_has_no_default(written):
    assert loading._needed(lambda a, *rest, b, c=1, **more: 0) == ["a", "b"]
    assert loading._needed(lambda *rest, **more: 0) == [] == loading._needed(dict)


@pytest.mark.parametrize(("made", "said"), [("3", "is neither a torch module nor a function"),
    ("lambda: 3", "is no torch.nn.Module")])
def test_what_gives_no_module_is_refused(written, made, said):
    path = written(f"made = {made}\n")
    with pytest.raises(TypeError, match=said):
        loading.network(f"{path}:made")


# ---- checkpoints ----

@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model", None])
def test_a_checkpoint_s_tensors_are_found_under_the_usual_keys(tmp_path, key):
    tensors = {"a": torch.ones(2), "b": torch.zeros(1)}
    torch.save({key: tensors, "epoch": torch.ones(1)} if key else tensors, tmp_path / "a.pt")
    assert loading.checkpoint(tmp_path / "a.pt").keys() == {"a", "b"}


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", ""])
def test_a_wrapper_s_prefix_is_taken_off(prefix):
    model, other = nn.Linear(2, 3), nn.Linear(2, 3).train()
    loading.filled(other, {prefix + name: each for name, each in model.state_dict().items()})
    assert torch.equal(other.weight, model.weight) and not other.training


def test_a_damaged_safetensors_file_says_so(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{not json")
    with pytest.raises(ValueError, match="is no whole safetensors file"):
        loading.checkpoint(tmp_path / "a.safetensors")


@pytest.mark.parametrize(("count", "said"), [(4, "a, b, c, d"), (5, "a, b, c, d and 1 more"), (1, "a")])
def test_four_names_are_said_and_the_others_counted(count, said):
    assert loading._some(reversed("abcdefg"[:count])) == said


@pytest.mark.parametrize(("shape", "kind"), [((2, 3), nn.Linear), ((2, 3, 4), nn.Conv1d), ((2, 3, 4, 5), nn.Conv2d),
                                             ((2, 3, 1, 2, 2), nn.Conv3d), ((2,), None), ((2, 3, 1, 1, 1, 1), None)])
def test_a_weight_becomes_the_layer_of_its_axes(shape, kind):
    found = loading.Layers({"a.weight": torch.ones(shape)})
    assert type(dict(found.named_modules()).get("a")) is (kind or type(None))
    assert kind is None or found.a.bias is None and tuple(found.a.weight.shape) == shape
    assert not list(loading.Layers({"a.weight": torch.ones(shape, dtype=torch.long), "a.scale": torch.ones(2, 2)}).children())


# ---- inputs ----

@pytest.mark.parametrize(("length", "size", "channels", "side"), [
    (None, None, 3, None), (64, None, 1, 8), (75, None, 3, 5), (75, 5, 3, 5), (75, 4, 1, 5), (36, None, 1, 6), (108, None, 3, 6),
    (7, None, 1, None), (3, None, 3, 1), (10, None, 1, None), (12, None, 3, 2), (144, None, 1, 12)])
def test_a_vector_s_length_tells_channels_and_side(length, size, channels, side):
    assert inputs._channels(length, size) == channels and inputs._side(inputs.Need(length=length)) == side


@pytest.mark.parametrize(("there", "count", "at"), [(10, 3, [0, 4, 9]), (3, 10, [0, 1, 2]), (5, 1, [0]), (1, 1, [0]),
    (4, 4, [0, 1, 2, 3])])
def test_what_is_taken_is_spread_from_the_first_to_the_last(there, count, at):
    assert inputs._spread(there, count) == at


@pytest.mark.parametrize(("model", "need"), [
    (nn.Sequential(nn.ReLU(), nn.Conv2d(3, 2, 1), nn.Linear(4, 2)), inputs.Need(channels=3)),
    (nn.Sequential(nn.Linear(4, 2), nn.Conv2d(3, 2, 1)), inputs.Need(length=4)), (nn.ReLU(), inputs.Need())])
def test_the_first_layer_says_what_it_needs(model, need):
    assert inputs.need(model) == need


def test_none_is_no_data_and_an_array_is(tmp_path):
    found = inputs.load("none", nn.Linear(3, 1))
    assert (found.x, found.y, found.name, found.notes) == (None, None, "no data", [])
    for dtype, notes, value in ((np.uint8, ["x holds bytes: divided by 255"], 51 / 255), (np.int32, [], 51.0),
        (np.float32, [], 51.0)):
        np.savez(tmp_path / "a.npz", x=np.full((2, 3), 51, dtype), y=np.array([1, 0]))
        found = inputs.load(str(tmp_path / "a.npz"), nn.Linear(3, 1))
        assert found.notes == notes and found.x.unique().tolist() == pytest.approx([value]) and found.x.dtype == torch.float32
        assert found.y.tolist() == [1, 0] and found.name.endswith("2 of 2 inputs")


# ---- what a report is given ----

@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("where", ["weight", "running_mean"])
def test_one_number_that_is_not_finite_is_enough(value, where):
    model = nn.BatchNorm1d(3).eval()
    given.demand_network(model)
    getattr(model, where).data[1] = value
    with pytest.raises(ValueError, match=f"has 1 entries of '{where}' that are NaN or infinite"):
        given.demand_network(model)


def test_what_is_no_module_is_refused_and_a_module_is_not():
    given.demand_network(nn.ReLU().eval())
    with pytest.raises(TypeError, match="is no torch module"):
        given.demand_network(torch.relu)


@pytest.mark.parametrize(("y", "dtype", "shape"), [([0, 1, 2], torch.int64, (3,)), ([[0], [1], [2]], torch.int64, (3,)),
                                                   ([[0, 1]] * 3, torch.float32, (3, 2)), ([0.5, 1, 2], torch.float32, (3,))])
def test_whole_numbers_are_labels_and_others_targets(y, dtype, shape):
    x, found = given.fitting(nn.Linear(2, 1), np.zeros((3, 2)), y)
    assert (x.dtype, found.dtype, tuple(found.shape)) == (torch.float32, dtype, shape)


@pytest.mark.parametrize(("y", "said"), [(None, "no labels"), (torch.tensor([0, 2, 2]), "labels of 2 classes"),
                                         (torch.zeros(3), "real targets")])
def test_data_are_described(y, said):
    assert given.described(torch.zeros(3, 1, 2, 2), y) == f"3 inputs of 1 x 2 x 2, {said}."


# ---- the command ----

@pytest.mark.parametrize(("path", "fits"), [("out.html", True), ("no/out.html", False), (".", False)])
def test_a_place_that_cannot_be_written_to_is_refused_before_the_long_part(tmp_path, monkeypatch, path, fits):
    monkeypatch.chdir(tmp_path)
    command._demand_place("html", None)
    if fits:
        assert command._demand_place("html", path) is None and (tmp_path / path).exists()
    else:
        with pytest.raises(ValueError, match="--html = .* is no file in a folder that is there; write --html out.html"):
            command._demand_place("html", path)


@pytest.mark.parametrize(("model", "kind"), [(None, loading.Layers), ("torch.nn:Identity", None)])
def test_a_checkpoint_alone_is_layers_and_with_a_network_it_fills_it(tmp_path, model, kind):
    torch.save({"a.weight": torch.ones(2, 3)}, tmp_path / "a.pt")
    if kind:
        found = command.network(model, str(tmp_path / "a.pt"))
        assert isinstance(found, kind) and not found.training
    else:
        with pytest.raises(ValueError, match="has besides a.weight"):
            command.network(model, str(tmp_path / "a.pt"))


class Fails(nn.Module):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def forward(self, x):
        raise self.error


@pytest.mark.parametrize("error", [ValueError("theirs"), KeyError("theirs")])
def test_an_error_of_theirs_is_told_by_their_line(error):
    data = inputs.Inputs(torch.zeros(2, 2), None, "zeros")
    with pytest.raises(loading.ForeignError, match=r"in forward: raise self.error(.|\n)*theirs"):
        command.looked_at(Fails(error).eval(), data, 0, print, "name")


def test_an_interruption_of_theirs_stays_one(monkeypatch):
    wrapped = RuntimeError("while a class was made")
    wrapped.__cause__ = KeyboardInterrupt()

    def fails(*_, **__):
        raise wrapped
    monkeypatch.setattr(command.reports, "report", fails)
    with pytest.raises(RuntimeError, match="while a class was made"):
        command.looked_at(nn.ReLU(), inputs.Inputs(None, None, "none"), 0, print, "name")
    assert command.interrupted(wrapped) and not command.interrupted(ValueError()) and not command.interrupted(None)


# ---- rank ----

def test_a_budget_keeps_what_has_as_many_parameters_and_none_keeps_all():
    nets = {"small": induced.chain([8, 4, 4]), "large": induced.chain([8, 6, 6])}
    edge = nets["small"].parameter_count
    for budget, kept in ((None, {"small", "large"}), (edge, {"small"}), (edge - 1, set())):
        ranking, missing = choosing.rank(nets, budget, 1, None)
        assert {row.name for row in ranking.rows} == kept and missing == 0
    with pytest.raises(ValueError, match="budget"):
        choosing.rank(nets, 0, 1, None)


@pytest.mark.parametrize("stopped", [False, True])
def test_only_a_ranking_that_is_not_whole_is_called_partial(tmp_path, capsys, monkeypatch, stopped):
    (tmp_path / "nets.py").write_text("from deepatoms.theory import induced\n"
                                      "candidates = {str(n): induced.chain([8, n, n]) for n in (4, 6, 7)}\n")
    options = argparse.Namespace(candidates=f"{tmp_path}/nets.py", budget=100, iterations=1, magnitudes=None)
    if stopped:
        real = choosing.rank
        monkeypatch.setattr(choosing, "rank", lambda *given: (real(*given)[0], 1))
    status = choosing.command(options, lambda: ["It was worth it."])
    said = capsys.readouterr().out
    assert status == (130 if stopped else 0) and ("PARTIAL" in said) == stopped == ("It was worth it." not in said)


def test_the_command_asks_as_the_function_does():
    asked = vars(command.parser().parse_args(["report"]))
    usual = inspect.signature(reports.report).parameters
    assert asked["nulls"] == usual["nulls"].default == 9 and asked["inputs"] == inputs.INPUTS and asked["seed"] == 0
    assert (asked["data"], asked["trust"]) == ("none", False)
    assert [name for name, value in asked.items() if value is None] == ["model", "size", "checkpoint", "html", "json"]


@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("asked", [(), ("html",), ("json",), ("html", "json")])
def test_what_is_asked_for_is_written_and_nothing_else(tmp_path, monkeypatch, capsys, asked, partial):
    found = reports.Report(reports.Network("net", 1, ()), "Data.", (), partial)
    monkeypatch.setattr(command, "looked_at", lambda *_: found)
    words = [word for name in asked for word in (f"--{name}", str(tmp_path / f"out.{name}"))]
    assert command.main(["report", "torch.nn:Identity", *words]) == (130 if partial else 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"out.{name}" for name in asked]
    assert "html" not in asked or "<!doctype html>" in (tmp_path / "out.html").read_text()
    assert "json" not in asked or json.loads((tmp_path / "out.json").read_text())["partial"] is partial
    assert "net: 1 parameters" in capsys.readouterr().out


def test_a_network_of_as_many_channels_as_no_image_has_is_refused(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="channels of the network's first layer = 2"):
        inputs.load(str(tmp_path), nn.Conv2d(2, 1, 1))


def test_a_checkpoint_that_is_not_there_or_needs_a_package_says_so(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="is not a file; name a .safetensors file"):
        loading.checkpoint(tmp_path / "a.safetensors")
    (tmp_path / "a.safetensors").touch()
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ModuleNotFoundError, match="deepatoms report --checkpoint"):
        loading.checkpoint(tmp_path / "a.safetensors")
