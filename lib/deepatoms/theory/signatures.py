"""What the types in a signature promise, held where a call has failed: the argument that broke it is refused by its name.

A function checks what would give a wrong number; what merely cannot work fails by itself, somewhere inside numpy or torch,
and says nothing of the argument. The last line of a module, ``named(__name__)``, wraps its public functions: where one fails
with an error that names no argument, the call is held against the annotations, the one declaration that there is, and the
first argument that does not fit is refused. A call that succeeds costs nothing, so inner loops check nothing twice.
"""

import functools
import inspect
import math
import numbers
import sys
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from deepatoms.theory.arguments import refuse, summary

FEW = 100  # entries of a sequence that are looked at


def named(module: str) -> None:
    """Wrap the public functions of a module so that what fails inside them names the argument.

    Raises:
        KeyError: if no such module has been imported.

    Source: standard.

    >>> named("deepatoms.theory.counting")
    Traceback (most recent call last):
    ...
    KeyError: 'deepatoms.theory.counting'
    """
    names = vars(sys.modules[module])
    for name, function in list(names.items()):
        if inspect.isfunction(function) and function.__module__ == module and not name.startswith("_") \
                and not hasattr(function, "__wrapped__") and not inspect.isgeneratorfunction(function):
            names[name] = _naming(function)


def _naming(function):
    @functools.wraps(function)
    def call(*given, **named_ones):
        try:
            return function(*given, **named_ones)
        except Exception as error:
            if _told(error):
                raise
            _blame(function, given, named_ones, error)
            raise
    return call


def _told(error):
    """An error tells what is wrong if it is one of ours, has the form of ``refuse`` (name, value, remedy), or names a file.

    A warning that somebody has turned into an error is no fault of the arguments, nor is a missing package.
    """
    text, ours = str(error), type(error).__module__.startswith("deepatoms")
    return ours or (" = " in text and "; " in text) or isinstance(error, (ImportError, OSError, Warning))


def _blame(function, given, named_ones, error):
    try:
        bound = inspect.signature(function).bind(*given, **named_ones)
    except TypeError:  # too many arguments, or too few: python's own message names them
        return
    kinds = _kinds(function)
    values = [(name, value, kinds[name]) for name, value in bound.arguments.items() if name in kinds]
    for name, value, kind in values:
        if not fits(value, kind):
            _refuse(error, name, value, "does not fit the signature", f"pass {words(kind)}", TypeError)
    for name, value, kind in values:
        if fault := _unusual(value, kind):
            _refuse(error, name, value, fault, f"pass {words(kind)} as the documentation says")
    if bound.arguments and not any(_calls(kind) for kind in kinds.values()):  # else the fault may be the caller's own function's
        name, value, _ = values[0] if values else ("arguments", (), None)
        others = ", ".join(f"{other} = {summary(each)}" for other, each, _ in values[1:])
        _refuse(error, name, value, f"does not go together{' with ' + others if others else ''} ({error})",
                f"see the shapes in help({function.__name__})")


def _refuse(error, name, value, fault, remedy, kind=ValueError):
    try:
        refuse(name, value, fault, remedy, kind)
    except kind as refusal:
        raise refusal from error


@functools.cache
def _kinds(function):
    try:
        found = typing.get_type_hints(function)
    except (NameError, TypeError):
        return {}
    return {name: kind for name, kind in found.items() if name != "return"}


def fits(value: Any, kind: Any) -> bool:
    """Tell whether a value is what an annotation says; what it does not say counts as fitting.

    Source: standard.

    >>> fits(2, float), fits(True, int), fits([1, "a"], Sequence[int]), fits(None, int | None)
    (True, False, False, True)
    """
    if kind is Any:
        return True
    if isinstance(kind, typing.TypeVar):
        return not kind.__constraints__ or any(fits(value, each) for each in kind.__constraints__)
    origin, inner = typing.get_origin(kind) or kind, typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, each) for each in inner)
    if origin in (float, int):
        return isinstance(value, {float: numbers.Real, int: numbers.Integral}[origin]) and not isinstance(value, bool)
    if origin is bool:
        return isinstance(value, (bool, np.bool_))
    if origin in (Sequence, Collection, Iterable, tuple, list):
        return _is_row(value, origin) and all(fits(each, inner[0]) for each in _few(value) if inner)
    if origin is Callable:
        return callable(value)
    if origin is Mapping:
        return isinstance(value, Mapping)
    return not isinstance(origin, type) or isinstance(value, origin)


def _is_row(value, origin):
    if origin is tuple:
        return isinstance(value, (tuple, list))
    return not isinstance(value, (str, Mapping)) and hasattr(value, "__iter__" if origin is Iterable else "__getitem__")


def _few(value):
    return value[:FEW] if isinstance(value, (list, tuple)) else ()


def _unusual(value, kind):
    """Return in words what a number or an array of the right type has that few functions can mean."""
    if isinstance(value, torch.Tensor) and value.is_nested:
        return "is nested"
    if isinstance(value, (np.ndarray, torch.Tensor)):
        return "is empty" if 0 in value.shape else "holds NaN or infinity" if not _finite(value) else ""
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        return "is not finite" if not math.isfinite(value) else "is negative" if value < 0 else "is huge" if value > 1e9 else ""
    return "is empty" if isinstance(value, (list, tuple, Mapping)) and not len(value) else ""


def _finite(value):
    try:
        return bool((torch.isfinite(value) if isinstance(value, torch.Tensor) else np.isfinite(value)).all())
    except (TypeError, RuntimeError):  # of objects, of text, or without numbers
        return False


def _calls(kind):
    return kind in (Callable, torch.nn.Module) or typing.get_origin(kind) is Callable or \
        any(_calls(each) for each in typing.get_args(kind) if each is not kind)


def words(kind: Any) -> str:
    """Return an annotation in words.

    Source: standard.

    >>> words(Sequence[int] | None), words(np.ndarray), words(float)
    ('a sequence of int or None', 'a numpy array', 'a number')
    """
    plain = {np.ndarray: "a numpy array", torch.Tensor: "a torch tensor", float: "a number", int: "an integer",
             bool: "True or False", str: "a text", type(None): "None"}
    if kind in plain:
        return plain[kind]
    if isinstance(kind, typing.TypeVar):
        return " or ".join(map(words, kind.__constraints__)) or "what the documentation says"
    origin, inner = typing.get_origin(kind) or kind, typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(words, inner))
    if origin in (Sequence, Collection, Iterable, tuple, list):
        return "a sequence" + (f" of {getattr(inner[0], '__name__', str(inner[0]))}" if inner else "")
    return "a function" if origin is Callable else f"a {getattr(origin, '__name__', origin)}"
