"""``deepatoms report`` and ``deepatoms rank``: a page in one command, plain words for every mistake, nothing executed unasked."""

import json
import os
import pathlib
import pickle
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from deepatoms.reports import choosing, command, inputs, loading
from deepatoms.studies.deep_frame_potential import worth
from deepatoms.theory import induced

MODEL = '''
import torch
from torch import nn

def build():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))

ready = nn.Linear(64, 3)

def needs(width):
    return nn.Linear(width, 1)

def broken():
    raise KeyError("no such width")

def nothing():
    return 3

class Cross(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(64, 8)

    def forward(self, x):
        h = self.first(x.flatten(1))
        return h @ h
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with model.py in it, in which the command runs."""
    (tmp_path / "model.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ran(capsys, *words):
    """Run the command in this process: (status, what it printed, what it complained of)."""
    status = command.main([*map(str, words)])
    said = capsys.readouterr()
    return status, said.out, said.err


def complaint(capsys, *words):
    status, _, said = ran(capsys, *words)
    assert status == 2 and "Traceback" not in said
    return said.splitlines()[-1] if "\nKeyError" not in said else said


def process(*words, **options):
    """Start the command as a terminal does: a shell's background job would be deaf to Ctrl-C."""
    return subprocess.Popen([sys.executable, "-m", "deepatoms", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler), **options)


def interrupted(running, timeout):
    """Press Ctrl-C; return what the command said, killed where it does not end."""
    running.send_signal(signal.SIGINT)
    try:
        return running.communicate(timeout=timeout)
    finally:
        running.kill()


# ---- report ----

def test_one_command_gives_a_page_a_table_and_the_numbers(folder, capsys):
    status, table, progress = ran(capsys, "report", "model.py:build", "--data", "digits", "--inputs", 40, "--nulls", 1,
                                  "--html", "out.html", "--json", "out.json")
    assert status == 0 and "model.py:build (Sequential): 610 parameters" in table and "digits, 40 images" in table
    found, page = json.loads((folder / "out.json").read_text()), (folder / "out.html").read_text()
    assert found["entries"] and all(entry["name"] in page and entry["name"] in table.replace("\n    ", " ")
                                    for entry in found["entries"] if entry["value"] is not None)
    assert " s  splines" in progress and not found["partial"]


def test_a_network_is_the_same_whenever_it_is_built_from_one_seed(folder):
    for text in ("model.py:build", "model.py:ready"):
        weights = [next(loading.network(text, seed).parameters()) for seed in (0, 0, 1)]
        assert torch.equal(*weights[:2]) and not torch.equal(*weights[1:])
    before = torch.get_rng_state()
    loading.network("model.py:build")
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(("text", "kind"), [("model.py:ready", nn.Linear), ("torch.nn:Identity", nn.Identity)])
def test_a_module_and_a_class_are_networks_too(folder, text, kind):
    found = loading.network(text)
    assert isinstance(found, kind) and not found.training


MISTAKES = [
    (["model.py"], r"names no function; write model.py:build or .*model.py:ready"),
    (["model.py:biuld"], r"has no biuld; write .*model.py:build"),
    (["there.py:build"], r"there.py' is not a file; write FILE.py:NAME"),
    (["nosuchmodule:build"], r"neither a file that ends in .py nor a module"),
    (["torch.nn:nothing"], r"has no nothing"),
    (["model.py:needs"], r"needs width; write a function without arguments, for example def build\(\): return needs\(...\)"),
    (["model.py:nothing"], r"is no torch.nn.Module"),
    (["model.py:broken"], r"model.py, line 14, in broken: raise KeyError\(\"no such width\"\)\nKeyError: 'no such width'"),
    (["model.py:torch"], r"is neither a torch module nor a function"),
    ([], r"is missing; write FILE.py:NAME.*--checkpoint"),
    (["model.py:build", "--data", "nowhere"], r"'nowhere' is not there; name a set \(digits"),
    (["model.py:build", "--data", "there.npz"], r"is not a file"),
    (["model.py:build", "--data", "digits", "--inputs", "0"], r"inputs = 0 is smaller than 1"),
    (["model.py:build", "--data", "photographs"], r"has 3,?072 numbers an image, and the network's first layer takes 64"),
    (["model.py:build", "--html", "no/such/folder/out.html"], r"is no file in a folder that is there; write --html out.html"),
    (["--checkpoint", "there.safetensors"], r"is not a file"),
]


@pytest.mark.parametrize(("words", "said"), MISTAKES, ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_a_mistake_is_told_in_a_sentence_that_says_what_to_write(folder, capsys, words, said):
    assert re.search(said, complaint(capsys, "report", *words))


def test_what_their_forward_raises_is_told_by_their_line(folder, capsys):
    status, _, said = ran(capsys, "report", "model.py:Cross", "--data", "digits")
    assert status == 2 and "Traceback" not in said
    assert re.search(r"model.py, line 26, in forward: return h @ h\n.*shapes cannot be multiplied", said)


@pytest.mark.parametrize(("source", "said"), [
    ("def build(:", r"model.py, line 1: def build\(:\nSyntaxError"),
    ("import sys\nsys.exit(3)", r"model.py ended by itself while it was loaded"),
    ("import nosuch\n", r"model.py, line 1, in <module>: import nosuch\nModuleNotFoundError"),
])
def test_a_file_that_cannot_be_loaded_is_told_by_its_line(folder, source, said):
    (folder / "model.py").write_text(source)
    with pytest.raises(loading.ForeignError, match=said):
        loading.network("model.py:build")


def test_a_fault_of_ours_is_not_taken_for_theirs(folder, monkeypatch):
    def fails(*_, **__):
        raise ValueError("ours")
    monkeypatch.setattr(command.reports, "report", fails)
    monkeypatch.setattr(command, "place", lambda _: "")
    with pytest.raises(ValueError, match="ours"):
        command.main(["report", "model.py:build"])


@pytest.mark.slow
def test_ctrl_c_leaves_a_partial_report_that_says_so(folder):
    running = process("report", "model.py:build", "--data", "digits", "--nulls", "999", "--html", "out.html",
                      "--json", "out.json")
    assert any("frame potential" in line for line in iter(running.stderr.readline, "")), "it ended before it was interrupted"
    time.sleep(1)
    table, said = interrupted(running, 120)
    assert running.returncode == 130 and "PARTIAL" in table and "Traceback" not in said, said
    assert json.loads((folder / "out.json").read_text())["partial"]
    assert "<strong>Partial.</strong>" in (folder / "out.html").read_text()


@pytest.mark.slow
def test_ctrl_c_before_anything_is_measured_says_so(folder):
    (folder / "slow.py").write_text("import time\nprint('begun', flush=True)\ntime.sleep(60)\n")
    running = process("report", "slow.py:build")
    assert running.stdout.readline() == "begun\n"
    _, said = interrupted(running, 60)
    assert running.returncode == 130 and said.splitlines()[-1] == "deepatoms: interrupted before anything was measured"


# ---- checkpoints ----

@pytest.fixture
def saved(folder):
    """A trained-looking network and its tensors, saved three ways."""
    model = loading.network("model.py:build", seed=5)
    torch.save(model.state_dict(), folder / "weights.pt")
    wrapped = {f"module.{name}": each for name, each in model.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": wrapped}, folder / "run.pt")
    from safetensors.torch import save_file
    save_file(model.state_dict(), folder / "weights.safetensors")
    return model


@pytest.mark.parametrize("name", ["weights.pt", "run.pt", "weights.safetensors"])
def test_a_checkpoint_fills_the_network(saved, name):
    found = command.network("model.py:build", name)
    assert all(torch.equal(each, other) for each, other in zip(found.parameters(), saved.parameters(), strict=True))


def test_a_checkpoint_alone_gives_what_its_layers_show(saved, capsys):
    found = command.network(None, "weights.safetensors")
    assert {name: tuple(each.weight.shape) for name, each in found.named_modules() if isinstance(each, nn.Linear)} == {
        "1": (8, 64), "3": (10, 8)}
    with pytest.raises(ValueError, match="has weights and no network; name the function"):
        found(torch.zeros(1, 64))
    assert ran(capsys, "report", "--checkpoint", "weights.safetensors", "--nulls", 1)[0] == 0
    assert "has weights and no network" in complaint(capsys, "report", "--checkpoint", "weights.safetensors", "--data", "digits")


def test_layers_of_convolutions_and_nested_names():
    tensors = {"a.b.weight": torch.ones(4, 3, 5, 5), "a.weight": torch.ones(2, 2), "a.b.bias": torch.ones(4),
               "norm.weight": torch.ones(4)}
    found = dict(loading.Layers(tensors).named_modules())
    assert isinstance(found["a.b"], nn.Conv2d) and found["a.b"].kernel_size == (5, 5) and found["a.b"].bias is not None
    assert isinstance(found["a"], nn.Linear) and "norm" not in found


class Bomb:
    """Leaves a file where it is unpickled."""

    def __reduce__(self):
        return pathlib.Path.touch, (pathlib.Path("exploded"),)


@pytest.mark.parametrize("name", ["bomb.pt", "bomb.pth", "bomb.bin"])
def test_nothing_in_a_checkpoint_runs_without_trust(folder, capsys, name):
    torch.save({"weights": Bomb()}, folder / name)
    assert "add --trust if you know who made it" in complaint(capsys, "report", "--checkpoint", name)
    assert not (folder / "exploded").exists()
    command.main(["report", "--checkpoint", name, "--trust"])
    assert (folder / "exploded").exists()  # trust means what it says


def test_a_whole_module_needs_trust(saved, folder, capsys):
    torch.save(saved, folder / "whole.pt")
    assert "holds more than tensors" in complaint(capsys, "report", "--checkpoint", "whole.pt")
    assert isinstance(command.network(None, "whole.pt", trust=True), nn.Sequential)


@pytest.mark.parametrize(("name", "content"), [("a.safetensors", b"\x10\0\0\0\0\0\0\0{not json"), ("a.safetensors", b""),
                                               ("a.pt", b"PK nothing"), ("a.pt", b""), ("a.pt", pickle.dumps([1, 2]))])
def test_a_damaged_checkpoint_is_refused_by_name(folder, capsys, name, content):
    (folder / name).write_bytes(content)
    assert f"checkpoint = '{name}'" in complaint(capsys, "report", "--checkpoint", name)


@pytest.mark.parametrize(("change", "said"), [
    (lambda tensors: tensors.pop("1.bias"), r"lacks 1.bias"),
    (lambda tensors: tensors.update(extra=torch.ones(2)), r"has besides extra"),
    (lambda tensors: tensors.update({"3.bias": torch.ones(4)}), r"has another shape of 3.bias: \(4,\), the model's \(10,\)"),
    (lambda tensors: tensors.clear(), r"holds no tensors by name; save model.state_dict\(\)"),
])
def test_a_checkpoint_of_another_network_is_refused_by_name(saved, folder, capsys, change, said):
    tensors = saved.state_dict()
    change(tensors)
    torch.save(dict(tensors), folder / "weights.pt")
    assert re.search(said, complaint(capsys, "report", "model.py:build", "--checkpoint", "weights.pt"))


# ---- data ----

def image(path, size=(8, 8), mode="L", value=100):
    path.parent.mkdir(exist_ok=True, parents=True)
    Image.new(mode, size, value).save(path)


def test_a_folder_of_sub_folders_has_labels_and_the_network_s_channels(tmp_path):
    for at, name in enumerate(("cat", "dog")):
        for k in range(3):
            image(tmp_path / name / f"{k}.png", value=50 * (at + 1))
    found = inputs.load(str(tmp_path), nn.Conv2d(3, 4, 3))
    assert found.x.shape == (6, 3, 8, 8) and found.y.tolist() == [0, 0, 0, 1, 1, 1]
    assert found.x[0].unique().item() == pytest.approx(50 / 255) and "2 classes" in found.name
    assert inputs.load(str(tmp_path), nn.Conv2d(1, 4, 3), count=2).y.tolist() == [0, 1]  # spread over the classes
    assert inputs.load(str(tmp_path), nn.Conv2d(1, 4, 3), size=5).x.shape == (6, 1, 5, 5)


@pytest.mark.parametrize(("length", "shape"), [(16, (1, 4, 4)), (3 * 25, (3, 5, 5))])
def test_a_vector_s_length_tells_the_size_of_images(tmp_path, length, shape):
    image(tmp_path / "a.png")
    assert inputs.load(str(tmp_path), nn.Sequential(nn.Flatten(), nn.Linear(length, 2))).x.shape == (1, *shape)
    assert inputs.load(str(tmp_path), nn.Linear(length, 2)).x.shape == (1, length)


def test_images_of_many_sizes_need_a_size_and_damaged_ones_are_named(tmp_path):
    image(tmp_path / "a.png")
    image(tmp_path / "b.png", size=(9, 7))
    (tmp_path / "c.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"has images of 2 sizes, up to 8 x 8; say .* --size 224"):
        inputs.load(str(tmp_path), nn.Conv2d(1, 1, 1))
    found = inputs.load(str(tmp_path), nn.Conv2d(1, 1, 1), size=6)
    assert found.x.shape == (2, 1, 6, 6) and found.y is None
    assert len(found.notes) == 1 and re.search(r"c.png was left out: cannot identify", found.notes[0])


def test_an_image_that_unpacks_into_too_many_pixels_is_left_out(tmp_path, monkeypatch):
    image(tmp_path / "a.png")
    image(tmp_path / "b.png", size=(40, 40))
    monkeypatch.setattr(inputs, "MOST_PIXELS", 1000)
    found = inputs.load(str(tmp_path), nn.Conv2d(1, 1, 1))
    assert len(found.x) == 1 and "has 1,600 pixels" in found.notes[0]


@pytest.mark.parametrize(("files", "said"), [([], "holds no images"), (["a.png"], "has no image that can be read")])
def test_a_folder_without_images_is_refused(tmp_path, files, said):
    for name in files:
        (tmp_path / name).write_bytes(b"no image")
    with pytest.raises(ValueError, match=said):
        inputs.load(str(tmp_path), nn.Conv2d(1, 1, 1))


def test_arrays_keep_their_numbers_and_bytes_are_scaled(tmp_path):
    place = str(tmp_path / "a.npz")
    np.savez(place, x=np.arange(12.0).reshape(4, 3), y=np.array([0, 1, 2, 1]))
    found = inputs.load(place, nn.Linear(3, 1), count=2)
    assert found.x.dtype == torch.float64 and found.x.tolist() == [[0, 1, 2], [9, 10, 11]] and found.y.tolist() == [0, 1]
    np.savez(place, x=np.full((2, 3), 51, np.uint8))
    found = inputs.load(place, nn.Linear(3, 1))
    assert found.x.unique().item() == pytest.approx(0.2) and found.notes == ["x holds bytes: divided by 255"] and found.y is None


@pytest.mark.parametrize(("arrays", "said"), [
    ({"images": np.ones(3)}, "has no array x, but images; save it with np.savez"),
    ({"x": np.ones(3)}, "is no batch of numbers"), ({"x": np.ones((2, 0))}, "is no batch"),
    ({"x": np.array([["a"]])}, "is no batch"), ({"x": np.ones((2, 2), complex)}, "is no batch"),
    ({"x": np.ones((2, 2)), "y": np.ones(2)}, "is not one whole number for each of 2 inputs"),
    ({"x": np.ones((2, 2)), "y": np.ones(3, int)}, "is not one whole number"),
    ({"x": np.array([[Bomb()]], object)}, "holds Python objects, and loading them would run what they say"),
])
def test_arrays_of_another_kind_are_refused(tmp_path, monkeypatch, arrays, said):
    monkeypatch.chdir(tmp_path)
    np.savez("a.npz", **arrays)
    with pytest.raises(ValueError, match=said):
        inputs.load("a.npz", nn.Linear(2, 1))
    assert not os.path.exists("exploded")


def test_a_damaged_or_swelling_file_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    place = tmp_path / "a.npz"
    place.write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(ValueError, match="is no whole .npz file"):
        inputs.load(str(place), nn.Linear(2, 1))
    np.savez_compressed(place, x=np.zeros((1000, 100)))
    monkeypatch.setattr(inputs, "MOST_BYTES", 10_000)
    with pytest.raises(ValueError, match=r"unpacks to 800,128 bytes; save at most 10,000"):
        inputs.load(str(place), nn.Linear(2, 1))


def test_images_come_in_one_row_where_the_network_takes_vectors_only():
    assert inputs.fitting(nn.Sequential(nn.Linear(64, 2)).double(), torch.zeros(3, 1, 8, 8)).shape == (3, 64)
    assert inputs.fitting(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), torch.zeros(3, 1, 8, 8)).shape == (3, 1, 8, 8)


# ---- rank ----

CANDIDATES = '''
from deepatoms.theory import induced
candidates = {"narrow": induced.chain([64, 8, 16]), "wide": induced.chain([64, 16, 32])}
mixed = {"chain": induced.chain([8, 16, 16, 16]), "skips": induced.residual([8, 16, 16, 16])}
def built():
    return candidates
empty, foreign = {}, {"a": 3}
'''


@pytest.fixture
def nets(tmp_path, monkeypatch):
    (tmp_path / "candidates.py").write_text(CANDIDATES)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("text", ["candidates.py", "candidates.py:built"])
def test_candidates_are_ranked_in_the_closed_form_where_all_have_one(nets, capsys, text):
    status, said, _ = ran(capsys, "rank", text)
    assert status == 0 and said.index("wide") < said.index("narrow") and choosing.CONVENTIONS["infimum"] in said
    assert "Lowest F: wide. Most parameters: the same one." in said


@pytest.mark.parametrize(("words", "convention"), [([], "unit"), (["--magnitudes", "free"], "free")])
def test_a_column_has_one_convention_which_is_stated(nets, capsys, words, convention):
    said = ran(capsys, "rank", "candidates.py:mixed", "--iterations", 5, *words)[1]
    assert [line.split()[2] for line in said.splitlines() if line.startswith(("chain", "skips"))] == [convention] * 2
    assert [each for each, sentence in choosing.CONVENTIONS.items() if sentence in said] == [convention]
    assert "abstains" not in said


def test_a_budget_leaves_out_and_says_how_many(nets, capsys):
    said = ran(capsys, "rank", "candidates.py", "--budget", 700)[1]
    assert "wide" not in said and "1 with more than 700 parameters left out." in said
    assert "no candidate has at most 3 parameters" in ran(capsys, "rank", "candidates.py", "--budget", 3)[1]


@pytest.mark.parametrize(("words", "said"), [
    (["candidates.py:empty"], "is no mapping from names to architectures"), (["there.py"], "is not a file"),
    (["candidates.py:foreign"], r"candidates.py:foreign\['a'\] = 3 is no architecture"),
    (["candidates.py", "--budget", 0], "budget = 0"),
    (["candidates.py:mixed", "--iterations", 0], "smaller than 1")])
def test_a_mistake_about_candidates_is_told(nets, capsys, words, said):
    assert re.search(said, complaint(capsys, "rank", *words))


def test_an_interrupted_ranking_shows_what_it_has(nets, capsys, monkeypatch):
    real, calls = choosing.frame_potential.rank, []

    def once(*arguments, **options):
        calls.append(1)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return real(*arguments, **options)
    monkeypatch.setattr(choosing.frame_potential, "rank", once)
    status, said, _ = ran(capsys, "rank", "candidates.py")
    assert status == 130 and "PARTIAL: interrupted; F of 1 of 2 candidates is missing." in said and "narrow" in said


def test_what_choosing_by_f_was_worth_is_measured_from_the_records():
    found = worth.sentences()
    assert len(found) == 7 and found[0].startswith("Measured on 724 cells of NAS-Bench-201")
    assert all(re.search(r"−?\d\.\d\d \[−?\d\.\d\d, −?\d\.\d\d\]", sentence) for sentence in found[1:])
    assert found[2].startswith("F ranks worse than the number of parameters")
    assert found[3].startswith("Of two cells made of the same six operations F orders the share 0.1")
    assert found[4].startswith("F knows nothing about wiring, as far as these cells tell")
    assert found[6].startswith("On 725 networks of the DARTS space")


class Outcome:
    def __init__(self, *interval):
        self.interval, self.measured = interval, sum(interval) / 2


@pytest.mark.parametrize(("tell", "middle", "words"), [
    (worth.counting, 0, ("F ranks worse", "rank alike", "F ranks better")),
    (worth.wiring, 0, ("wrong way round", "knows nothing about wiring", "knows something about wiring")),
    (worth.regret, 1, ("costs less accuracy than", "costs as much accuracy as", "costs more accuracy than"))])
def test_the_words_follow_the_interval(tell, middle, words):
    for shift, word in zip((-1, 0, 1), words, strict=True):
        assert word in tell(Outcome(middle + shift - 0.5, middle + shift + 0.5))


def test_in_the_darts_space_the_words_follow_the_difference_and_not_the_rank():
    for shift, word in ((-1, "worse than"), (0, "like"), (1, "better than")):
        told = worth.in_darts(Outcome(0.3, 0.5), Outcome(shift - 0.5, shift + 0.5))
        assert f"F ranks {word} the number of parameters" in told and "0.40 [0.30, 0.50]" in told


def test_a_ranking_tells_its_worth_or_which_package_is_missing(nets, capsys):
    assert command.main(["rank", "candidates.py"], worth=lambda: ["It was worth it."]) == 0
    assert "  It was worth it." in capsys.readouterr().out

    def missing():
        raise ModuleNotFoundError("scikit-learn is not installed")
    assert command.main(["rank", "candidates.py"], worth=missing) == 0
    assert "(It is not shown here: scikit-learn is not installed.)" in capsys.readouterr().out


def test_the_console_script_is_the_module(nets):
    running = process("rank", "candidates.py")
    said, _ = running.communicate(timeout=120)
    assert running.returncode == 0 and "What choosing by F was worth" in said
    assert isinstance(choosing.candidates("candidates.py")["wide"], induced.Net)
