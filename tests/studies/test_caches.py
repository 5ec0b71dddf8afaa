"""What is remembered belongs to the setting it was made in."""

import ast
from pathlib import Path

import pytest

import deepatoms
from deepatoms.claims.checking import Setting
from deepatoms.pages import chapter
from deepatoms.studies.spline_templates import drawing

MEMORIES = {"cache", "lru_cache", "Remembered"}


def stale(source):
    """Return the cached functions that read the chapter's setting, themselves or through a function beside them."""
    functions = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
    calls = {name: {_called(node) for node in ast.walk(function) if isinstance(node, ast.Call)}
             for name, function in functions.items()}
    reads = {"setting"}
    while grown := {name for name, called in calls.items() if called & reads} - reads:
        reads |= grown
    return {name for name in reads & set(functions) if any(_remembers(each) for each in functions[name].decorator_list)}


def _called(node):
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def _remembers(decorator):
    node = decorator.func if isinstance(decorator, ast.Call) else decorator
    return getattr(node, "attr", getattr(node, "id", "")) in MEMORIES


def test_no_cached_function_reads_the_setting_behind_its_key():
    assert {path.name: found for path in Path(deepatoms.__file__).parent.rglob("*.py")
            if (found := stale(path.read_text("utf-8")))} == {}


@pytest.mark.parametrize("body", ["return chapter.setting()", "return other()"])
def test_the_scan_finds_a_cache_that_does(body):
    source = f"@functools.lru_cache(maxsize=1)\ndef net():\n    {body}\n\ndef other():\n    return chapter.setting()\n"
    assert stale(source) == {"net"}


def test_another_seed_draws_another_net(monkeypatch):
    nets = []
    for seed in (0, 5):
        monkeypatch.setattr(chapter, "setting", lambda seed=seed: Setting(seed=seed))
        nets.append(drawing.residual_net()[0])
    assert nets[0] is not nets[1]
