"""What a caption or a description states of the drawn data goes with its condition, and the condition can be false."""

import ast
import pathlib
import re
import types

import pytest

import deepatoms.studies
from deepatoms.claims.checking import Setting
from deepatoms.studies.atoms import drawing as atoms
from deepatoms.studies.ml_csc import drawing as ml_csc
from deepatoms.studies.resnests import drawing as resnests
from deepatoms.studies.skip_dictionaries import drawing as skip

DRAWINGS = sorted(pathlib.Path(deepatoms.studies.__file__).parent.glob("*/drawing.py"))
# Words that compare, or follow a line: what they say of data may turn out otherwise.
STATES = re.compile(r"\b(rises?|lies? (far )?(above|below)|far more|climbs?|follows|densest|bends|dropping|go(es)? with)\b")


def described(path):
    """Each call of ``describe``: its function, the words of its caption and description, and whether it has findings."""
    for function in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(function, ast.FunctionDef):
            for call in ast.walk(function):
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "describe":
                    words = [each.value for given in call.args[1:3] for each in ast.walk(given)
                             if isinstance(each, ast.Constant) and isinstance(each.value, str)]
                    starred = any(isinstance(each, ast.Starred) for each in call.args)
                    yield function.name, " ".join(words), starred or len(call.args) > 3 or bool(call.keywords)


@pytest.mark.parametrize("path", DRAWINGS, ids=lambda path: path.parent.name)
def test_what_compares_goes_with_a_condition(path):
    found = list(described(path))
    assert found and [(name, STATES.search(words)[0]) for name, words, held in found if not held and STATES.search(words)] == []


def test_the_words_are_found():
    assert STATES.search("The printed bound lies below all.") and STATES.search("the best possible rises from 0")
    assert not STATES.search("Two squares cut into regions by thin lines.")


@pytest.mark.parametrize(("coherence", "stripes", "held"), [(0.8, 200, True), (0.8, 5, False), (0.2, 200, False)])
def test_layers_that_hold_what_the_theorem_allows_contradict_their_figure(coherence, stripes, held, monkeypatch):
    layer = types.SimpleNamespace(coherence=coherence, stripes=[stripes])
    monkeypatch.setattr(ml_csc.trained, "trained", lambda setting: [None])
    monkeypatch.setattr(ml_csc.trained, "measured_layers", lambda net: [layer, layer])
    assert list(ml_csc.counts_and_limit(Setting()).findings.values()) == [held, True]


def test_engineered_signals_above_the_limit_contradict_their_figure(monkeypatch):
    layers = [types.SimpleNamespace(coherence=0.5, stripes=[2])]
    monkeypatch.setattr(ml_csc, "certified", lambda *_: types.SimpleNamespace(layers=layers))
    assert list(ml_csc.counts_and_limit(Setting()).findings.values()) == [True, False]


@pytest.mark.parametrize(("moved", "held"), [
    (lambda size: size * (1 + 0.1 * (size > 0.1)), [True, True, True]), (lambda size: 2 * size, [False, True, True]),
    (lambda size: size * (1 + 99 * (size > 0.1)), [True, False, True]), (lambda size: size / 3, [False, False, False])])
def test_an_error_of_another_course_contradicts_the_kink(moved, held, monkeypatch):
    monkeypatch.setattr(skip, "_moved", lambda start, size, *_: moved(size))
    assert list(skip.kink(0.5, 1).findings.values()) == held


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_the_walk_from_a_saddle_is_told_as_it_is(rank, monkeypatch):
    figure = resnests.escape_frame(rank, 0.5)
    assert list(figure.findings.values()) == [True] and ("later rises" in figure.description) == (rank > 0)
    problem, point, direction = resnests._saddle(rank)
    monkeypatch.setattr(type(problem), "curvature", lambda *_: 1.0)
    assert list(resnests.escape_frame(rank, 0.5).findings.values()) == [False]


def test_a_gap_that_stays_contradicts_its_figure(monkeypatch):
    assert all(resnests.gap_frame(14, features).findings == {
        "the gap drops to rounding error, at seventeen at the latest": True} for features in resnests.FEATURES)
    real = resnests._gap
    monkeypatch.setattr(resnests, "_gap", lambda width, predictable: (0.2, real(width, predictable)[1]))
    assert list(resnests.gap_frame(14, resnests.FEATURES[0]).findings.values()) == [False]


@pytest.mark.parametrize(("bound", "held"), [(lambda d, k: 0.0, [True, False, False]), (lambda d, k: 0.72, [True, False, True])])
def test_another_bound_contradicts_the_lines_in_the_plane(bound, held, monkeypatch):
    assert list(atoms.lines_in_the_plane(5).findings.values()) == [True, True, True]
    monkeypatch.setattr(atoms.dictionaries, "welch_bound", bound)
    assert list(atoms.lines_in_the_plane(5).findings.values()) == held
