"""How well a score ranks networks: correlations of ranks and concordant pairs with bootstrap intervals, and regret."""

import itertools

import numpy as np
from scipy.stats import rankdata

RESAMPLES = 1000


def spearman(scores, accuracies):
    """Return the correlation of ranks along the last axis, ties at their mean rank.

    >>> float(spearman(np.array([1.0, 2.0, 4.0]), np.array([0.1, 0.3, 0.9])))
    1.0
    """
    first, second = (rankdata(values, axis=-1) for values in (scores, accuracies))
    first, second = (ranks - ranks.mean(-1, keepdims=True) for ranks in (first, second))
    # A score without any difference ranks nothing.
    return (first * second).sum(-1) / np.maximum(np.sqrt((first**2).sum(-1) * (second**2).sum(-1)), 1e-300)


def least_agreement(columns):
    """Return the smallest correlation of ranks between two of some columns.

    >>> least_agreement([np.array([1, 2, 3]), np.array([2, 4, 9]), np.array([3, 2, 1])])
    -1.0
    """
    return min(float(spearman(one, other)) for one, other in itertools.combinations(columns, 2))


def correlation(scores, accuracies, draw):
    """Return the correlation of ranks with its 95 % bootstrap interval over networks."""
    return difference(scores, None, accuracies, draw)


def difference(scores, others, accuracies, draw):
    """Return how much better one score ranks than another (or than none), with the interval over the same networks.

    Args:
        scores, others: arrays (networks,), high where good; ``others`` may be None.
        accuracies: array (networks,).
        draw: numpy generator of the resamples.
    """
    def value(chosen):
        found = spearman(scores[chosen], accuracies[chosen])
        return found if others is None else found - spearman(others[chosen], accuracies[chosen])
    resampled = value(draw.integers(len(scores), size=(RESAMPLES, len(scores))))
    return float(value(np.arange(len(scores)))), interval(resampled)


def partial_correlation(scores, given, accuracies):
    """Return the correlation of the ranks of scores and accuracies that is left at equal ranks of what is given.

    >>> float(partial_correlation(np.arange(4.0), np.array([0.0, 3.0, 1.0, 2.0]), np.arange(4.0)).round(6))
    1.0
    """
    direct, first, second = spearman(scores, accuracies), spearman(scores, given), spearman(given, accuracies)
    return (direct - first * second) / np.sqrt(np.maximum((1 - first**2) * (1 - second**2), 1e-12))


def beyond(scores, given, accuracies, draw):
    """Return the partial correlation with its interval over networks."""
    chosen = draw.integers(len(scores), size=(RESAMPLES, len(scores)))
    found, resampled = (partial_correlation(scores[each], given[each], accuracies[each])
                        for each in (np.arange(len(scores)), chosen))
    return float(found), interval(resampled)


def interval(resampled):
    """Return the interval that holds 95 % of resampled values."""
    return tuple(float(end) for end in np.percentile(resampled, [2.5, 97.5]))


def concordance(scores, accuracies, groups, draw, others=None):
    """Return, over pairs of one group, the share ordered alike minus the share ordered oppositely, with its interval.

    With ``others`` it is that of the scores minus that of these, over the same groups.

    Args:
        scores, accuracies, others: arrays (networks,), high where good.
        groups: array (networks,); only pairs of equal entries are compared.
        draw: numpy generator; whole groups are resampled.

    >>> ordered = concordance(np.array([1, 2, 0]), np.array([5, 6, 9]), np.array([0, 0, 1]), np.random.default_rng(0))
    >>> ordered[0]
    1.0
    """
    sums, pairs = [], []
    for name in np.unique(groups):
        own, known, other = (np.sign(values[groups == name][:, None] - values[groups == name])
                             for values in (scores, accuracies, np.zeros_like(scores) if others is None else others))
        sums.append(((own - other) * known).sum() / 2)
        pairs.append(len(own) * (len(own) - 1) / 2)
    sums, pairs = np.array(sums)[np.array(pairs) > 0], np.array(pairs)[np.array(pairs) > 0]
    chosen = draw.integers(len(sums), size=(RESAMPLES, len(sums)))
    return float(sums.sum() / pairs.sum()), interval(sums[chosen].sum(1) / pairs[chosen].sum(1))


def shuffled(values, groups, draw):
    """Return the values exchanged at random within each group.

    >>> shuffled(np.array([3, 1, 2]), np.array([0, 1, 1]), np.random.default_rng(0))[0]
    np.int64(3)
    """
    found = values.copy()
    for name in np.unique(groups):
        found[groups == name] = draw.permutation(values[groups == name])
    return found


def regrets(scores, accuracies, draws):
    """Return, for each draw of candidates, the best accuracy minus that of the candidate of highest score.

    Args:
        scores, accuracies: arrays (networks,).
        draws: indices, array (draws, candidates); of equal scores the first counts.
    """
    chosen = np.take_along_axis(draws, scores[draws].argmax(1)[:, None], 1)[:, 0]
    return accuracies[draws].max(1) - accuracies[chosen]


def candidates(networks, size, count, draw):
    """Return draws of different networks: indices, array (count, size)."""
    return np.array([draw.choice(networks, size, replace=False) for _ in range(count)])


def ratio(losses, others, draw):
    """Return the mean of one loss divided by that of another, with its interval over draws."""
    chosen = draw.integers(len(losses), size=(RESAMPLES, len(losses)))
    return float(losses.mean() / others.mean()), interval(losses[chosen].mean(1) / others[chosen].mean(1))
