"""No public function answers NaN or infinity with a plausible number: it refuses, or what it returns shows them."""

import dataclasses
import inspect
import math
import warnings

import numpy as np
import pytest
import torch
from tests.theory import test_bad_calls as generated

# Parts of a cut or of a trace, which run inside a call that has looked at its arguments, two that read shapes alone, one that
# reads a type, and what keeps and writes back the caller's numbers, whatever they are.
INSIDE = ("keepers.", "partition.complexes", "partition.extension", "partition.polygons", "partition.segment.demand",
          "piecewise.beyond_rounding", "piecewise.by_itself", "piecewise.demand_alone", "piecewise.extremes",
          "piecewise.some_roundings", "stability.fitted", "untouched.storage_name")
FUNCTIONS = {name: function for name, function in generated.public().items() if not name.startswith(INSIDE)}


def is_numbers(value):
    if not isinstance(value, (np.ndarray, torch.Tensor)) or 0 in value.shape:
        return False
    return value.is_floating_point() if isinstance(value, torch.Tensor) else value.dtype.kind == "f"


def spoilt(value, bad):
    """An array, or the last of several, with its last entry replaced; None for what is neither."""
    if isinstance(value, (list, tuple)) and value and all(map(is_numbers, value)):
        return [*value[:-1], spoilt(value[-1], bad)]
    if not is_numbers(value):
        return None
    changed = value.copy() if isinstance(value, np.ndarray) else value.detach().clone()
    changed.reshape(-1)[-1] = bad
    return changed


def shows(value):
    """Whether NaN or infinity stands anywhere in what was returned."""
    if isinstance(value, (np.ndarray, np.floating)) and np.asarray(value).dtype.kind in "fc":
        return not np.isfinite(value).all()
    if isinstance(value, torch.Tensor):
        return not bool(value.isfinite().all())
    if isinstance(value, float):
        return not math.isfinite(value)
    parts = (value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else
             [getattr(value, field.name) for field in dataclasses.fields(value)] if dataclasses.is_dataclass(value) else ())
    return any(map(shows, parts))


def answers(function, bad):
    """The arguments that a function takes with a bad entry, and answers without a sign of it."""
    found, signature = generated.example(function), inspect.signature(function)
    if found is None:
        return []
    plain = []
    for argument in signature.bind(*found[0], **found[1]).arguments:
        bound = signature.bind(*found[0], **found[1])
        if (changed := spoilt(bound.arguments[argument], bad)) is not None:
            bound.arguments[argument] = changed
            kept = []
            fate = generated.fate(lambda *given, kept=kept, **named: kept.append(function(*given, **named)), bound)
            if fate != "refused" and not (fate == "returns" and shows(kept[0])):
                plain.append((argument, fate))
    return plain


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_what_is_no_number_is_refused_or_shows(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert [answers(FUNCTIONS[name], bad) for bad in (math.nan, math.inf, -math.inf)] == [[], [], []]


def test_a_function_that_takes_no_notice_is_found():
    def counts(x: np.ndarray) -> int:
        """Return how many entries are positive.

        >>> counts(np.ones(3))
        3
        """
        return int((x > 0).sum())
    counts.__module__ = __name__
    globals()["counts"] = counts
    assert answers(counts, math.nan) == [("x", "returns")]
