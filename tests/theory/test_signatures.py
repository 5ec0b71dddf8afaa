"""What fails inside numpy or torch is told by the argument that broke it; what the caller's own function raises stays."""

import sys
import types
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import pytest
import torch

from deepatoms.theory import signatures
from deepatoms.theory.arguments import refuse
from deepatoms.theory.arrays import Array


@pytest.fixture
def module(monkeypatch):
    found = types.ModuleType("little")

    def product(left: np.ndarray, right: np.ndarray, times: int = 1) -> np.ndarray:
        """Return a product."""
        return times * (left @ right)

    def called(function: Callable, value: float) -> float:
        """Return what a function returns."""
        return function(value)

    def strict(value: float) -> None:
        """Refuse."""
        refuse("value", value, "is wrong", "pass another")

    def _private(value: int) -> int:
        return value + 1

    for function in (product, called, strict, _private):
        function.__module__ = "little"
        setattr(found, function.__name__, function)
    monkeypatch.setitem(sys.modules, "little", found)
    signatures.named("little")
    return found


def test_the_argument_that_does_not_fit_is_named(module):
    assert (module.product(np.eye(2), np.eye(2), 2) == 2 * np.eye(2)).all()
    for left, right, said in ((np.eye(2), None, "right = None does not fit the signature; pass a numpy array"),
                              ("D", np.eye(2), "left = 'D' does not fit"), (np.eye(2), torch.eye(2).to("meta"), "right = ")):
        with pytest.raises(TypeError, match=said) as refusal:
            module.product(left, right)
        assert refusal.value.__cause__ is not None
    with pytest.raises(ValueError, match=r"left = array .* does not go together with right = array of shape \(3, 3\)"):
        module.product(np.eye(2), np.eye(3))
    with pytest.raises(ValueError, match="right = .*is empty"):
        module.product(np.eye(2), np.ones((0, 2)))
    with pytest.raises(TypeError, match="positional argument"):
        module.product(np.eye(2))


def test_a_file_that_is_missing_and_what_takes_no_argument_keep_their_own_errors(monkeypatch):
    found = types.ModuleType("files")

    def opened(path: str) -> str:
        """Return what a file holds."""
        return open(path).read()

    def alone() -> float:
        """Divide."""
        return 1 / 0

    for function in (opened, alone):
        function.__module__ = "files"
        setattr(found, function.__name__, function)
    monkeypatch.setitem(sys.modules, "files", found)
    signatures.named("files")
    with pytest.raises(FileNotFoundError):
        found.opened("/nowhere/at/all")
    with pytest.raises(ZeroDivisionError):
        found.alone()


def test_what_is_already_told_and_what_the_caller_s_function_raises_stay_as_they_are(module):
    with pytest.raises(ValueError, match="^value = 1.0 is wrong; pass another$"):
        module.strict(1.0)

    def broken(value):
        raise RuntimeError("my own")
    with pytest.raises(RuntimeError, match="^my own$"):
        module.called(broken, 1.0)
    with pytest.raises(TypeError, match="function = 3 does not fit the signature; pass a function"):
        module.called(3, 1.0)
    with pytest.raises(TypeError, match="can only|unsupported"):
        module._private("x")


@pytest.mark.parametrize(("value", "kind", "right"), [
    (1, int, True), (True, int, False), (1.0, int, False), (np.int64(2), int, True), (2, float, True), ("2", float, False),
    (np.float32(2), float, True), (None, int | None, True), ("a", int | None, False), ([1, 2], Sequence[int], True),
    ((1, 2.5), Sequence[int], False), ("ab", Sequence[str], False), ({}, Sequence, False), ({}, Mapping, True),
    (np.ones(2), Array, True), (torch.ones(2), Array, True), ([1.0], Array, False), (len, Callable, True), (2, Callable, False),
    (np.ones(2), tuple[int, int], False), ((1, 2), tuple[int, int], True), (np.bool_(True), bool, True), (1, bool, False)])
def test_a_value_fits_an_annotation_or_not(value, kind, right):
    assert signatures.fits(value, kind) is right


@pytest.mark.parametrize(("value", "kind", "right"), [
    ([1] * 100 + ["a"], Sequence[int], True), ([1] * 99 + ["a"], Sequence[int], False), (iter([1]), Iterable, True),
    (iter([1]), Sequence, False), (3, Iterable, False), ({1}, Iterable, True), ({1}, Sequence, False), ("ab", Iterable, False),
    ((1, 2), Sequence, True), ([1, 2], tuple, True), (np.ones(2), Sequence, True), (np.ones(2), list, True), (b"x", Any, True),
    ({1: 2}, Callable, False), ([], Mapping, False), (True, float, False), (1j, float, False), (np.float64(1), int, False),
    (torch.ones(1), np.ndarray, False), (1, str, False), ("x", str, True), ("x", "unknown", True)])
def test_rows_mappings_and_numbers_fit_as_far_as_they_are_looked_at(value, kind, right):
    assert signatures.fits(value, kind) is right


@pytest.mark.parametrize(("kind", "said"), [
    (str, "a text"), (bool, "True or False"), (int, "an integer"), (type(None), "None"), (torch.Tensor, "a torch tensor"),
    (float | None, "a number or None"), (Sequence, "a sequence"), (list[int], "a sequence of int"), (Callable, "a function"),
    (Mapping, "a Mapping"), (Array, "a numpy array or a torch tensor"), (torch.nn.Module, "a Module"), (dict, "a dict"),
    (TypeVar("Free"), "what the documentation says")])
def test_annotations_in_words(kind, said):
    assert signatures.words(kind) == said


def unusual(value: Any, other: float = 1.0) -> Any:
    """Fail, whatever is given."""
    raise IndexError("inside")


@pytest.mark.parametrize(("value", "said"), [
    (np.ones((0, 2)), "is empty"), (torch.ones(0), "is empty"), (np.array([1.0, np.nan]), "holds NaN or infinity"),
    (torch.tensor([np.inf]), "holds NaN or infinity"), (np.array([1.0, 2.0]), "does not go together with other = 1.0"),
    (np.array(["a"], dtype=object), "holds NaN or infinity"), (np.nan, "is not finite"), (-np.inf, "is not finite"),
    (-1e-9, "is negative"), (0.0, "does not go together"), (1.1e9, "is huge"), (1e9, "does not go together"), ([], "is empty"),
    ((), "is empty"), ({}, "is empty"), ([0], "does not go together"), (True, "does not go together"),
    ("", "does not go together"), (False, "does not go together"), (torch.tensor([True]), "does not go together")])
def test_what_is_unusual_of_a_value_that_fits_is_told(value, said):
    with pytest.raises(ValueError, match=f"value = .* {said}.*;"):
        signatures._naming(unusual)(value, other=1.0)


def test_an_unusual_second_value_is_blamed_before_the_first_that_is_not():
    with pytest.raises(ValueError, match="other = -2.0 is negative; pass a number as the documentation says"):
        signatures._naming(unusual)("x", -2.0)
    with pytest.raises(TypeError, match="other = 'y' does not fit the signature; pass a number"):
        signatures._naming(unusual)(-1.0, "y")


@pytest.mark.parametrize(("error", "kept"), [
    (ValueError("a = 1 is wrong; pass 2"), True), (ValueError("a = 1 is wrong"), False), (ValueError("wrong; pass 2"), False),
    (ImportError("no module"), True), (IndexError("out"), False)])
def test_an_error_that_names_value_and_remedy_stays_and_others_are_explained(error, kept):
    def failing(value: float) -> float:
        raise error
    with pytest.raises(Exception) as raised:
        signatures._naming(failing)(1.0)
    assert (raised.value is error) == kept
    assert kept or raised.value.__cause__ is error and f"({error})" in str(raised.value)


def test_classes_of_ours_and_generators_are_left_alone(module):
    class Ours(Exception):
        __module__ = "deepatoms.little"

    def failing(value: float) -> float:
        raise Ours("mine")
    with pytest.raises(Ours, match="^mine$"):
        signatures._naming(failing)(-1.0)
    plain = types.ModuleType("plain")

    def numbers(count: int):
        yield from range(count)

    def hidden(value: int) -> int:
        return value
    wrapped = signatures._naming(hidden)
    plain.numbers, plain.wrapped, plain.foreign = numbers, wrapped, hidden
    numbers.__module__ = wrapped.__module__ = "plain"
    sys.modules["plain"] = plain
    try:
        signatures.named("plain")
    finally:
        del sys.modules["plain"]
    assert (plain.numbers, plain.wrapped, plain.foreign) == (numbers, wrapped, hidden)


def test_a_warning_that_somebody_made_an_error_is_no_fault_of_the_arguments(module):
    with np.errstate(over="warn"), warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning, match="overflow"):
            module.product(np.full((1, 1), 1e300), np.full((1, 1), 1e300))
