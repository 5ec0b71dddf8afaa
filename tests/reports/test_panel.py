"""``deepatoms.ask()``, driven as a reader drives it: choose, run, read the card; and the cell that makes the card again."""

import ipywidgets
import numpy as np
import pytest
import torch
from torch import nn

import deepatoms
from deepatoms.reports import panel


def net():
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


@pytest.fixture
def names():
    """What a notebook has: a network in training mode, inputs, labels, and things that are neither."""
    x = torch.randn(30, 6, generator=torch.Generator().manual_seed(0))
    return {"mine": net(), "inputs": x, "classes": torch.arange(30) % 3, "number": 3, "_hidden": net(), "plain": np.zeros((2, 6))}


@pytest.fixture
def opened(names):
    found = deepatoms.ask(names)
    found.nulls.value = 1
    return found


def chosen(opened, network, data="none", labels=None):
    opened.network.value, opened.data.value = network, data
    if labels is not None:
        opened.labels.value = labels
    opened.run.click()
    return opened


def numbers(report):
    return {entry.name: (entry.value, entry.nulls, entry.verdict, entry.reason) for entry in report}


def test_it_offers_what_the_notebook_the_book_and_the_files_have(opened):
    assert opened.network.options == ("in this notebook: mine", *panel.NETWORKS, panel.FILE)
    assert opened.data.options == (*panel.SETS, "in this notebook: inputs", "in this notebook: plain", panel.PLACE)
    assert opened.labels.options == ("none", "classes")
    assert all(control.description for control in opened.children if isinstance(control, (ipywidgets.Dropdown, ipywidgets.Text)))


def test_a_network_and_tensors_of_the_notebook_give_a_card_and_the_cell_that_makes_it_again(opened, names):
    found = chosen(opened, "in this notebook: mine", "in this notebook: inputs", "classes")
    assert "done" in found.status.value and "deepatoms-report" in found.card.value and found.report[
        "regions that the inputs lie in"].name in found.card.value
    assert "model = copy.deepcopy(mine).eval()" in found.code and found.code.splitlines()[-1] in found.cell.value
    assert names["mine"].training  # left as it was
    scope = dict(names)
    exec("\n".join(found.code.splitlines()[:-1]), scope)
    again = eval(found.code.splitlines()[-1], scope)
    assert str(numbers(again)) == str(numbers(found.report))  # as text, since nan differs from itself


def test_without_labels_or_without_data_it_says_what_that_costs(opened):
    assert "labels" in chosen(opened, "in this notebook: mine", "in this notebook: inputs").card.value
    assert any("no data were given" in entry.reason for entry in chosen(opened, "in this notebook: mine").report)


def test_a_file_is_a_network_too(opened, tmp_path):
    (tmp_path / "model.py").write_text("from torch import nn\nclass Net(nn.Linear):\n    def __init__(self):\n"
                                       "        super().__init__(4, 2)\n")
    opened.file.value = f"{tmp_path}/model.py:Net"
    assert chosen(opened, panel.FILE).report.network.parameters == 10


@pytest.mark.parametrize(("network", "file", "data", "place", "said"), [
    (panel.FILE, "", "none", "", "names no function; write FILE.py:NAME"),
    (panel.FILE, "there.py:build", "none", "", "is not a file"),
    ("in this notebook: mine", "", panel.PLACE, "nowhere", "is not there; name a set"),
    ("in this notebook: mine", "", "digits", "", "has 64 numbers an image"),
    ("in this notebook: mine", "", "in this notebook: wrong<b>", "", "x = tensor of shape (5, 7), float32 does not fit layer"),
])
def test_what_goes_wrong_is_said_in_the_panel(names, network, file, data, place, said):
    wrong = data.endswith("wrong<b>")
    opened = deepatoms.ask(names | ({"wrong": torch.zeros(5, 7)} if wrong else {}))
    opened.file.value, opened.place.value = file, place
    found = chosen(opened, network, data.removesuffix("<b>"))
    assert 'role="alert"' in found.status.value and said.replace("'", "&#x27;") in found.status.value
    assert found.card.value == "" and found.report is None and not found.run.disabled


def test_their_own_error_is_told_by_their_line_and_escaped(opened, tmp_path):
    (tmp_path / "model.py").write_text("def build():\n    raise KeyError('<script>')\n")
    opened.file.value = f"{tmp_path}/model.py:build"
    said = chosen(opened, panel.FILE).status.value
    assert "line 2, in build" in said and "&lt;script&gt;" in said and "<script>" not in said


@pytest.mark.parametrize("where", ["report", "loading"])
def test_the_stop_button_leaves_the_panel_alive(opened, monkeypatch, where):
    def stopped(*_, **__):
        raise KeyboardInterrupt
    monkeypatch.setattr(panel.reports, "report", stopped) if where == "report" else monkeypatch.setattr(
        panel.Panel, "_code", stopped)
    assert "interrupted before anything was measured" in chosen(opened, "in this notebook: mine").status.value
    monkeypatch.undo()
    assert "done" in chosen(opened, "in this notebook: mine").status.value


def test_only_the_controls_that_a_choice_needs_are_shown(opened):
    def shown():
        return [control.description for control in (opened.file, opened.place, opened.labels) if control.layout.display != "none"]
    assert shown() == []
    opened.network.value = panel.FILE
    assert shown() == ["File"]
    opened.data.value = panel.PLACE
    assert shown() == ["File", "Place"]
    opened.data.value = "in this notebook: inputs"
    assert shown() == ["File", "Labels"]


def test_looking_again_finds_what_is_new_and_keeps_what_was_chosen(opened, names):
    opened.network.value = panel.FILE
    names["later"] = net()
    opened.again.click()
    assert "in this notebook: later" in opened.network.options and opened.network.value == panel.FILE
    opened.network.value = "in this notebook: later"
    del names["later"]
    opened.again.click()
    assert opened.network.value == "in this notebook: mine"


@pytest.mark.parametrize("name", panel.NETWORKS)
def test_every_network_of_the_book_s_is_one_that_takes_digits(name):
    scope = {}
    exec(panel.NETWORKS[name].replace("epochs=10", "epochs=1").replace("epochs=3", "epochs=1"), scope)
    x = deepatoms.reports.inputs.load("digits", scope["model"], count=2).x
    assert not scope["model"].training and scope["model"](x).shape == (2, 10)


def test_without_a_kernel_there_are_the_book_s_networks():
    assert deepatoms.ask().network.options == (*panel.NETWORKS, panel.FILE)
