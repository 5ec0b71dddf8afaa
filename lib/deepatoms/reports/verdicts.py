"""From a number, its threshold and its nulls to a word. One rule for each kind of yardstick, and no rule adds words up."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from deepatoms.reports.entries import NULLS, Entry
from deepatoms.theory.signatures import named

NEAR = 1e-3  # relative: a number so close to its bound is at it


def judge(entry: Entry, rule: str) -> Entry:
    """Return the entry with its verdict, and with whether it tells more than the parameter count.

    Args:
        entry: With its value, threshold and nulls; one that is saturated stays so, whatever the rule.
        rule: One of ``RULES``.

    >>> judge(Entry("splines", "a", 2.0, nulls={"re-initialised": [0.0, 1.0]}), "null").verdict
    'beyond its null'
    """
    word = "saturated" if entry.saturated else RULES[rule](entry)
    return replace(entry, verdict=word, parameters=_more_than_parameters(entry))


def _more_than_parameters(entry):
    """Networks of a null have as many parameters: what differs from all of them is not their number alone."""
    drawn = entry.nulls.get(NULLS[0])
    return None if not drawn or entry.saturated else _outside(entry.value, drawn)


def _outside(value, drawn):
    return not math.isnan(value) and (value > max(drawn) or value < min(drawn))


def _null(entry):
    drawn = [values for values in entry.nulls.values() if values]
    if not drawn:
        return "no yardstick"
    return "beyond its null" if all(_outside(entry.value, values) for values in drawn) else "within its null"


def _share(entry):
    """The value is the share of inputs that meet a condition."""
    return "certified" if entry.value >= 1 else "certified in part" if entry.value > 0 else "not certified"


def _margin(entry):
    """The value is what is left above the threshold."""
    return "certified" if entry.value > entry.threshold else "not certified"


def _unmet(entry):
    """What the certificate supposes does not hold, whatever the number is."""
    return "not certified"


def _representation(entry):
    return "holds" if entry.value <= entry.threshold else "fails"


def _assumption(entry):
    return "holds" if entry.value > entry.threshold else "fails"


def _above(entry):
    if abs(entry.value - entry.threshold) <= NEAR * abs(entry.threshold):
        return "at its bound"
    return "within its bound" if entry.value > entry.threshold else "beyond its bound"


def _below(entry):
    if abs(entry.value - entry.threshold) <= NEAR * abs(entry.threshold):
        return "at its bound"
    return "within its bound" if entry.value < entry.threshold else "beyond its bound"


RULES: dict[str, Callable[[Entry], str]] = {
    "null": _null, "share": _share, "margin": _margin, "assumption": _assumption, "above": _above, "below": _below,
    "unmet": _unmet, "representation": _representation}


named(__name__)
