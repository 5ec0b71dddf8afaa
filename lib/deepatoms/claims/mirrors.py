"""A control must be measured on altered data: one that follows from the measured number by a formula says nothing."""

import itertools
import math
from collections.abc import Sequence

from deepatoms.theory.signatures import named

FAR = 10  # units by which counts, or means of counts, have to differ between draws before a formula with a constant says anything
UNITS = (1.0, 0.1, 0.01, 0.001)
FORMULAS = {"x": lambda x: x, "-x": lambda x: -x, "1 / x": lambda x: 1 / x if x else math.nan, "1 - x": lambda x: 1 - x}


def mirror(pairs: Sequence[tuple[float, float]]) -> str | None:
    """Return the formula by which the controls follow from what was measured over several draws, or None.

    Whole numbers that lie near each other are passed over: counts, and extremes that an example attains exactly, can be
    0 and 1 by right. So are draws that all measure the same, which tell nothing.

    Args:
        pairs: (measured, control) for each draw, at least two.

    Returns:
        "x", "-x", "1 / x", "1 - x", "c x" or "c - x" with the constant c (what was measured, counted from the other end), or
        None. A control that is the same in every draw may be measured: the ratio of an error to its bound at the zero
        vector, for one.

    >>> mirror([(0.25, -0.25), (0.5, -0.5)])
    '-x'
    >>> mirror([(0.25, 0.75), (0.5, 0.1)]) is None
    True
    """
    measured, controls = zip(*pairs, strict=True)
    if _same(measured) or _whole(pairs) and _near(measured):
        return None
    for name, formula in FORMULAS.items():
        if all(math.isclose(control, formula(x), rel_tol=1e-9, abs_tol=1e-12) for x, control in pairs):
            return name
    return _multiple(measured, controls) or (None if _same(controls) else _complement(pairs))


def _same(values):
    return any(math.isclose(one, other, rel_tol=1e-6) for one, other in itertools.combinations(values, 2))


def _whole(pairs):
    return all(not math.isfinite(value) or abs(value - round(value)) < 1e-9 for pair in pairs for value in pair)


def _near(measured, unit=1.0):
    """Two counts of one half and the other half meet by chance when they hardly move: 3 and 5 of 8, then 4 and 4."""
    return max(measured) - min(measured) < (FAR - 0.5) * unit


def _multiple(measured, controls):
    if not all(measured) or not any(controls) or not all(map(math.isfinite, measured + controls)):
        return None
    ratios = [control / x for x, control in zip(measured, controls, strict=True)]
    return f"{ratios[0]:g} x" if all(math.isclose(ratio, ratios[0], rel_tol=1e-9) for ratio in ratios) else None


def _complement(pairs):
    sums, unit = [sum(pair) for pair in pairs], _unit(itertools.chain(*pairs))
    if _near([measured for measured, _ in pairs], unit):
        return None
    if not all(map(math.isfinite, sums)) or not all(math.isclose(sums[0], other, rel_tol=1e-9) for other in sums):
        return None
    return f"{sums[0]:g} - x"


def _unit(values):
    """Return what values are whole multiples of, such as the hundredths of means of a hundred counts; 0 where of nothing."""
    values = list(values)
    return next((unit for unit in UNITS if all(abs(value / unit - round(value / unit)) < 1e-6 for value in values
                                               if math.isfinite(value))), 0.0)


named(__name__)
