"""What the README shows works: its Python runs in a new process, its targets and folders are there."""

import ast
import inspect
import pathlib
import re
import subprocess
import sys
import textwrap

from deepatoms.claims import checking

ROOT = pathlib.Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_python_of_the_readme_runs_as_it_stands():
    shown = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert any("deepatoms.affine_map" in source for source in shown)
    for source in shown:
        subprocess.run([sys.executable, "-c", source], check=True)


def test_every_target_that_the_readme_names_is_in_the_makefile():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE))
    assert named and named <= targets


def test_every_module_that_contributing_names_is_there():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = re.findall(r"`((?:pages|claims|data|runs|theory|deepatoms)/[\w./]+\.(?:py|yml))`", text)
    lib = ROOT / "lib" / "deepatoms"
    assert len(named) > 5
    assert [name for name in named if not ((lib / name).exists() or (lib.parent / name).exists())] == []


def test_the_check_that_contributing_shows_fits_what_it_calls():
    source = re.search(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)[1]
    calls = [node for node in ast.walk(ast.parse(textwrap.dedent(source))) if isinstance(node, ast.Call)]
    assert {call.func.id for call in calls} >= {"check", "instances", "Measurement"}
    for call in calls:
        if function := getattr(checking, call.func.id, None):
            inspect.signature(function).bind(*call.args, **{word.arg: word.value for word in call.keywords})
            assert call.func.id != "Measurement" or "count" in {word.arg for word in call.keywords}
