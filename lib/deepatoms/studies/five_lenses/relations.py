"""Rank correlations between columns of numbers, with or without what a recipe explains, and which of them survive Holm."""

import itertools
from dataclasses import dataclass

import numpy as np
from scipy import stats

from deepatoms.studies.five_lenses import measures

LEVEL = 0.05


@dataclass(frozen=True)
class Relation:
    """A rank correlation with its two-sided p-value and its 95 % interval."""

    correlation: float
    p: float
    interval: tuple[float, float]


def relation(a, b, recipe=None):
    """Return the Spearman correlation of two columns, the partial one given a recipe.

    Given a recipe, the ranks' residuals on it are correlated, and its columns are taken off the degrees of freedom. p-values
    are Student's, intervals Fisher's with Fieller's variance 1.06 / (n - 3).

    Args:
        a, b: the columns, shape (networks,).
        recipe: the columns to hold fixed, shape (networks, columns), without the constant.
    """
    design = np.ones((len(a), 1)) if recipe is None else np.column_stack([np.ones(len(a)), recipe])
    first, second = (residuals(stats.rankdata(column), design) for column in (a, b))
    correlation = float(np.clip(first @ second / np.sqrt((first @ first) * (second @ second)), -1, 1))
    freedom = len(a) - 1 - np.linalg.matrix_rank(design)
    t = abs(correlation) * np.sqrt(freedom / max(1 - correlation**2, 1e-300))
    middle, half = np.arctanh(np.clip(correlation, -1 + 1e-12, 1 - 1e-12)), 1.96 * np.sqrt(1.06 / (freedom - 1))
    low, high = np.tanh([middle - half, middle + half])
    return Relation(correlation, float(2 * stats.t.sf(t, freedom)), (float(low), float(high)))


def residuals(column, design):
    """Return what least squares on a design leaves of a column."""
    return column - design @ np.linalg.lstsq(design, column, rcond=None)[0]


def survivors(p):
    """Return which p-values are significant at 5 % after Holm's correction for all of them.

    >>> survivors([0.04, 0.01, 0.03])
    array([False,  True, False])
    """
    p = np.asarray(p)
    order = np.argsort(p)
    passed = np.logical_and.accumulate(p[order] <= LEVEL / np.arange(len(p), 0, -1))
    found = np.zeros(len(p), dtype=bool)
    found[order] = passed
    return found


def least(count, tests, columns=0):
    """Return the least correlation that is significant after Holm's correction when the others are not: what can be seen.

    Args:
        count: networks.
        tests: relations that are looked at together.
        columns: of the recipe that is held fixed.

    >>> round(least(60, 89), 2)
    0.43
    """
    freedom = count - 2 - columns
    t = stats.t.isf(LEVEL / tests / 2, freedom)
    return float(t / np.sqrt(freedom + t**2))


def categories(columns):
    """Return indicators of each column's values but the first, side by side: what each value changes, with no order assumed.

    Args:
        columns: a list of lists, each of shape (networks,).
    """
    return np.column_stack([np.equal(column, value) for column in ([*map(str, column)] for column in columns)
                            for value in sorted(set(column))[1:]]).astype(float)


def recipe(records):
    """Return the recipe of recorded networks as columns: width, units, depth, and epochs with labels."""
    told = [record["configuration"] for record in records]
    return categories([*([one[name] for one in told] for name in ("width", "units", "depth")),
                       [(one["labels"], one["epochs"]) for one in told]])


def table(records, place="lenses"):
    """Return each lens's numbers over the recorded networks, by name."""
    return {name: np.array([record["result"][place][name] for record in records]) for name in measures.MEASURES}


def pairs():
    """Return all pairs of lenses that belong to different theories."""
    return [pair for pair in itertools.combinations(measures.MEASURES, 2)
            if measures.THEORY[pair[0]] != measures.THEORY[pair[1]]]


def across(records, given=None):
    """Return the relation of each pair of lenses of different theories over the recorded networks."""
    columns = table(records)
    return {(a, b): relation(columns[a], columns[b], given) for a, b in pairs()}


def surviving(relations):
    """Return the keys of the relations that are significant after Holm's correction for all of them."""
    kept = survivors([one.p for one in relations.values()])
    return [key for key, keeps in zip(relations, kept, strict=True) if keeps]


def holding(records):
    """Return, for each lens, how many of the pairs without it are related, and how many when its ranks are held fixed."""
    columns, found = table(records), {}
    for name, column in columns.items():
        others, ranks = [pair for pair in pairs() if name not in pair], stats.rankdata(column)[:, None]
        found[name] = tuple(len(surviving({(a, b): relation(columns[a], columns[b], fixed) for a, b in others}))
                            for fixed in (None, ranks))
    return found


def with_itself(records, given=None):
    """Return the relation of each lens that looks at inputs with itself on other inputs."""
    here, there = table(records), table(records, "elsewhere")
    return {name: relation(here[name], there[name], given) for name in here if not np.array_equal(here[name], there[name])}


def with_accuracy(records, given=None, order=None):
    """Return each lens's relation with test accuracy over the recorded networks; ``order`` exchanges the accuracies."""
    accuracies = np.array([record["result"]["accuracy"] for record in records])
    accuracies = accuracies if order is None else accuracies[order]
    return {name: relation(column, accuracies, given) for name, column in table(records).items()}


def honest(records):
    """Return the records of the networks that were trained on the true labels."""
    return [record for record in records if record["configuration"]["labels"] == "true" and record["configuration"]["epochs"]]


def in_condition(records, condition):
    """Return each lens's numbers over the seeds in one condition, by name."""
    return {name: np.array([record["result"][condition]["lenses"][name] for record in records]) for name in measures.MEASURES}


def apart(records, one, other):
    """Return the lenses whose numbers in one condition all lie on one side of those in the other."""
    first, second = (in_condition(records, condition) for condition in (one, other))
    return [name for name in first
            if first[name].max() < second[name].min() or second[name].max() < first[name].min()]


def theories(names):
    """Return the theories to which some lenses belong, in the order of the book.

    >>> theories(["gap", "left", "potential"])
    ['frame potential', 'residual features']
    """
    return [theory for theory, known in measures.THEORIES.items() if {measure.__name__ for measure in known} & set(names)]
