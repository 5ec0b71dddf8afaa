"""What a machine without a network is brought: what the book needs, as installed here, but what it has; and how it is run."""

import importlib.metadata
import os
import subprocess

import pytest

from deepatoms.press import checkout, wheelhouse


def test_the_book_s_needs_are_brought_and_nothing_of_the_tests():
    found = wheelhouse.closure(wheelhouse.NEEDED, ["Torch"])
    assert {"papermill", "matplotlib", "scikit-learn", "ipykernel", "joblib"} <= set(found)
    assert not {"torch", "pytest", "playwright", "mypy", "jupyterlab", "sympy"} & set(found)  # sympy is torch's need alone
    assert found["numpy"] == importlib.metadata.version("numpy")


def test_a_missing_one_is_named():
    with pytest.raises(importlib.metadata.PackageNotFoundError, match="no-such-thing"):
        wheelhouse.closure("no-such-thing")


def test_pip_is_asked_for_the_pinned_wheels_of_another_python(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(wheelhouse.subprocess, "run", lambda command, check: asked.append(command))
    monkeypatch.setattr(wheelhouse, "closure", lambda needed, without: {"torch": "2.13.0+cpu", "deepatoms": "1"})
    for name, size in (("one.whl", 5), ("two.whl", 7), ("note.txt", 9)):
        (tmp_path / name).write_bytes(bytes(size))
    assert wheelhouse.fetch(tmp_path, "3.12", ()) == 12
    command, = asked
    assert "torch==2.13.0" in command and not [word for word in command if word.startswith("deepatoms")]
    assert command[command.index("--python-version") + 1] == "3.12" and "--no-deps" in command


def test_each_need_of_a_need_is_brought_once_by_its_extras_and_markers_and_none_of_what_is_left_out(monkeypatch):
    needs = {"a": ["b[more]", "c; extra == 'more'", "B", "w; sys_platform == 'none'"], "b": ["a", "d; extra == 'more'"],
             "d": ["Left_Out"], "left-out": ["e"]}
    monkeypatch.setattr(wheelhouse.importlib.metadata, "requires", needs.get)
    monkeypatch.setattr(wheelhouse.importlib.metadata, "version", lambda name: f"1-{name}")
    assert wheelhouse.closure("a", ["Left.Out"]) == {name: f"1-{name}" for name in "abd"}
    assert set(wheelhouse.closure("a[more]")) == {"a", "b", "c", "d", "left-out", "e"}


def script(*words, **environment):
    return subprocess.run(["sh", "benchmarks/gpu.sh", *words], cwd=checkout.ROOT, capture_output=True, text=True, check=False,
                          env=os.environ | environment)


def test_the_script_for_a_gpu_says_what_its_calls_are():
    said = script()
    assert said.returncode == 2 and all(f"gpu.sh {call}" in said.stdout for call in "123")


@pytest.mark.slow
def test_a_call_without_time_starts_nothing_and_says_what_is_to_do(tmp_path):
    said = script("2", FRESH=str(tmp_path / "fresh"), DEVICE="cpu", MINUTES="0", PYTHON=wheelhouse.sys.executable)
    assert "30 not started: the 0 minutes were over" in said.stdout, said.stderr
    assert "make full EXPERIMENT=resnest-tables" in said.stdout and not list((tmp_path / "fresh").rglob("*.json"))
