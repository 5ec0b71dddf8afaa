"""The interval of a mean over seeds, in one place for all checks and figures."""

import numpy as np
from scipy import stats


def mean_and_interval(values: np.ndarray) -> tuple[float, tuple[float, float]]:
    """Return the mean of independent values, or of paired differences, and its 95 % interval (Student's t).

    >>> mean, (low, high) = mean_and_interval(np.array([1.0, 2.0, 3.0]))
    >>> float(mean), round(float(high - low), 2)
    (2.0, 4.97)
    """
    values = np.asarray(values, dtype=float)
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    return values.mean(), (values.mean() - half, values.mean() + half)
