"""The interval of a mean over seeds, in one place for all checks and figures."""

import numpy as np
from scipy import stats

from deepatoms.theory.arguments import real_array, refuse
from deepatoms.theory.signatures import named


def mean_and_interval(values: np.ndarray | list[float]) -> tuple[float, tuple[float, float]]:
    """Return the mean of independent values, or of paired differences, and its 95 % interval (Student's t).

    Raises:
        ValueError: values that are not at least two numbers in a row.

    >>> mean, (low, high) = mean_and_interval(np.array([1.0, 2.0, 3.0]))
    >>> float(mean), round(float(high - low), 2)
    (2.0, 4.97)
    """
    numbers = real_array("values", np.array(values, dtype=float) if isinstance(values, list) else values)
    if numbers.ndim != 1 or len(numbers) < 2:
        refuse("values", values, "are not at least two numbers in a row", "pass one for each seed")
    half = stats.t.ppf(0.975, len(numbers) - 1) * stats.sem(numbers)
    return numbers.mean(), (numbers.mean() - half, numbers.mean() + half)


named(__name__)
