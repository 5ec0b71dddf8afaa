"""What a check rests on is counted where it is measured, in the unit of its statement."""

import ast
import inspect
from pathlib import Path

import pytest

from deepatoms import studies
from deepatoms.claims import catalogue, checking

ENTRIES = [entry for chapter in sorted({claim.chapter for claim in catalogue.load().claims.values()})
           for entry in checking.registered(chapter)]
CHECKS = [path for path in sorted(Path(studies.__path__[0]).rglob("*.py")) if "checks" in str(path)]


def typed(tree):
    """Return the counts that a file types in: numbers above one, and names in capitals."""
    given = [word.value for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "Measurement"
             for word in node.keywords if word.arg == "count"]
    return [ast.unparse(count) for count in given
            if isinstance(count, ast.Constant) and count.value != 1 or isinstance(count, ast.Name) and count.id.isupper()]


@pytest.mark.parametrize("path", CHECKS, ids=lambda path: "/".join(path.parts[-3:]))
def test_no_count_is_typed(path):
    assert not typed(ast.parse(path.read_text("utf-8")))


def test_a_typed_count_is_seen():
    assert typed(ast.parse("Measurement(0, 1, count=SEEDS); Measurement(0, 1, count=3)")) == ["SEEDS", "3"]
    assert not typed(ast.parse("Measurement(0, 1, count=len(found)); Measurement(0, 1, count=1)"))


def draws(function):
    """Tell whether a check uses its setting, whose generators are where drawn numbers come from."""
    body = ast.parse(inspect.getsource(inspect.unwrap(function))).body[0].body
    return any(isinstance(node, ast.Name) and node.id == "setting" for part in body for node in ast.walk(part))


def test_an_identity_has_no_drawn_numbers():
    assert not [entry.id for entry in ENTRIES if entry.evidence.kind == "exact identity" and draws(entry.function)]


def test_drawn_numbers_are_seen():
    assert draws(next(entry.function for entry in ENTRIES if entry.id == "nest.prop4/equal"))


def test_every_unit_has_a_name():
    assert not [entry.id for entry in ENTRIES if entry.evidence.of == "instances"]


# What a statement about networks may count: networks, or what each has of its own (its problem at fixed features,
# a point, a signal through it). Inputs of one network are no networks.
NETWORKS = ("network", "problem", "minima", "descent", "saddle", "critical point", "layer", "signal", "start", "point")


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if entry.id.startswith("nest.")], ids=lambda entry: entry.id)
def test_the_theorems_on_resnests_count_nets_or_their_problems(entry):
    if entry.evidence.count is not None and entry.evidence.kind != "experiment":
        assert any(name in entry.evidence.of for name in NETWORKS), entry.evidence
