"""What fails inside numpy or torch is told by the argument that broke it; what the caller's own function raises stays."""

import sys
import types
from collections.abc import Callable, Mapping, Sequence

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
