"""Refuse what a function cannot mean, naming the argument, its value and the remedy."""

import math
import numbers
from collections.abc import Collection
from typing import Any, NoReturn

import numpy as np
import torch


def refuse(name: str, value: Any, problem: str, remedy: str, error: type[Exception] = ValueError) -> NoReturn:
    """Raise ``error`` with a message that names the argument, its value, what is wrong and what to do.

    >>> refuse("threshold", -1.0, "is negative", "pass a number >= 0")
    Traceback (most recent call last):
    ...
    ValueError: threshold = -1.0 is negative; pass a number >= 0
    """
    raise error(f"{name} = {summary(value)} {problem}; {remedy}")


def summary(value: Any) -> str:
    """Return a short text for a value: arrays by shape and type, everything else by ``repr``.

    >>> summary(np.zeros((2, 3)))
    'array of shape (2, 3), float64'
    """
    if isinstance(value, np.ndarray):
        return f"array of shape {value.shape}, {value.dtype}"
    if isinstance(value, torch.Tensor):
        return f"tensor of shape {tuple(value.shape)}, {str(value.dtype).removeprefix('torch.')}"
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."


def real_array(name: str, value: Any, rank: int | None = None) -> Any:
    """Return ``value`` if it is a finite, real floating-point numpy array or torch tensor (of the given rank).

    >>> real_array("D", np.eye(2), rank=2).shape
    (2, 2)
    """
    if not isinstance(value, (np.ndarray, torch.Tensor)):
        refuse(name, value, "is not an array", "pass a numpy array or a torch tensor", TypeError)
    if rank is not None and value.ndim != rank:
        refuse(name, value, f"has rank {value.ndim}, not {rank}", "reshape it")
    if not is_real_floating(value):
        refuse(name, value, "is not real floating point", "convert it, for example to float64", TypeError)
    if 0 in value.shape:
        refuse(name, value, "is empty", "pass at least one entry along each axis")
    finite = _tensor_is_finite(value) if isinstance(value, torch.Tensor) else np.isfinite(value).all()
    if not finite:
        bad = int((~(torch.isfinite(value) if isinstance(value, torch.Tensor) else np.isfinite(value))).sum())
        refuse(name, value, f"has {bad} entries that are NaN or infinite", "remove or replace them")
    return value


def _tensor_is_finite(value):
    low, high = value.detach().aminmax()  # NaN shows in both, and no tensor of truth values is needed
    return math.isfinite(low) and math.isfinite(high)


def is_real_floating(value: np.ndarray | torch.Tensor) -> bool:
    """Tell whether an array or tensor holds real floating-point numbers.

    >>> is_real_floating(np.arange(3))
    False
    """
    if isinstance(value, torch.Tensor):
        return value.is_floating_point()
    return value.dtype.kind == "f"


def matrix(name: str, value: Any) -> Any:
    """Return ``value`` if it is a finite real matrix.

    >>> matrix("D", np.eye(2)).shape
    (2, 2)
    """
    return real_array(name, value, rank=2)


def dictionary(name: str, value: Any, unit: bool = False) -> Any:
    """Return ``value`` if it is a matrix without zero columns (and, if ``unit``, with columns of norm 1).

    >>> dictionary("D", np.eye(2), unit=True).shape
    (2, 2)
    """
    matrix(name, value)
    zero = (value == 0).all(0)
    if bool(zero.any()):
        refuse(name, value, f"has {int(zero.sum())} zero atoms (columns)", "drop them")
    if not unit:
        return value
    norms = (value.detach() ** 2).sum(0) ** 0.5 if isinstance(value, torch.Tensor) else (value**2).sum(0) ** 0.5
    excess = float(abs(norms - 1).max())
    if excess > 1e-5:
        refuse(name, value, f"has atoms whose norm differs from 1 by up to {excess:.3g}",
               "call deepatoms.theory.dictionaries.normalize on it first")
    return value


def integer(name: str, value: Any, minimum: int = 1) -> int:
    """Return ``value`` if it is an integer of at least ``minimum``.

    >>> integer("atoms", 3)
    3
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        refuse(name, value, "is not an integer", f"pass an integer >= {minimum}", TypeError)
    if value < minimum:
        refuse(name, value, f"is smaller than {minimum}", f"pass an integer >= {minimum}")
    return int(value)


def number(name: str, value: Any, minimum: float = -math.inf, maximum: float = math.inf) -> float:
    """Return ``value`` if it is a finite real number between ``minimum`` and ``maximum``.

    >>> number("coherence", 0.5, minimum=0, maximum=1)
    0.5
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        refuse(name, value, "is not a real number", "pass a float", TypeError)
    if not math.isfinite(value):
        refuse(name, value, "is not finite", "pass a finite number")
    if not minimum <= float(value) <= maximum:
        refuse(name, value, f"is outside [{minimum}, {maximum}]", "pass a number in that range")
    return float(value)


def one_of(name: str, value: Any, choices: Collection) -> Any:
    """Return ``value`` if it is one of ``choices``.

    >>> one_of("kind", "soft", ["soft", "hard"])
    'soft'
    """
    if value not in choices:
        refuse(name, value, "is unknown", "choose one of " + ", ".join(map(repr, choices)))
    return value
