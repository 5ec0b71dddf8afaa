"""Figure 3 and what Section 6 says of it: paired trainings with and without the penalty of Eq. 13, recorded."""

import numpy as np

from deepatoms.claims import catalogue
from deepatoms.claims.checking import Measurement, check, experiment
from deepatoms.claims.intervals import mean_and_interval
from deepatoms.studies.spline_partitions import penalised

BETTER = 1.0  # points that a control gains where the claim does not hold


def recorded(identifier):
    """Register a function of the recorded trainings on CIFAR-100, a reduced run."""
    return check(identifier, experiment(penalised.SEEDS), scale="reduced", records=penalised.NAME)


def gains(records):
    """Return the paired differences of final test accuracies under Eq. 13, in points, shape (weights, seeds)."""
    before = penalised.curves(records, 0.0)[0][:, -1]
    return np.stack([penalised.curves(records, strength)[0][:, -1] - before for strength in penalised.STRENGTHS])


def judged(identifier, differences, gain):
    """Return the measurement of paired differences: the control exchanges every second pair where the claim holds.

    Where not, it is the runs without a penalty, ``gain`` points better, in place of those with one.
    """
    mean, interval = mean_and_interval(differences)
    holds = catalogue.load().check(identifier).criterion.judge(mean, interval) == "holds"
    altered = differences * (-1) ** np.arange(len(differences)) if holds else np.full(len(differences), gain)
    control, beside = mean_and_interval(altered)
    return Measurement(mean, control, interval, beside, count=len(differences))


@recorded("spl.fig3a/gain")
def gain(setting, records):
    """Take the mean over weights of the paired differences, seed by seed."""
    return judged("spl.fig3a/gain", gains(records).mean(0), BETTER)


@recorded("spl.fig3a/immediate")
def immediate(setting, records):
    """Subtract half of the largest mean difference from that at the smallest weight."""
    means = gains(records).mean(1)
    measured = means[0] - means.max() / 2
    holds = catalogue.load().check("spl.fig3a/immediate").criterion.accepts(measured)
    control = np.array(penalised.STRENGTHS) / max(penalised.STRENGTHS) if holds else np.ones(len(means))
    return Measurement(measured, control[0] - control.max() / 2, count=gains(records).shape[1])


@recorded("spl.fig3b/curve_above")
def curve_above(setting, records):
    """Count the epochs of the second half in which the mean curve at weight 1 lies above that without."""
    without, under = penalised.curves(records, 0.0)[0], penalised.curves(records, 1.0)[0]
    lower, upper = (each.mean(0)[without.shape[1] // 2:] for each in (without, under))
    measured = (upper > lower).mean()
    odd = np.arange(len(lower)) % 2 == 1
    exchanged = (np.where(odd, lower, upper) > np.where(odd, upper, lower)).mean()
    holds = catalogue.load().check("spl.fig3b/curve_above").criterion.accepts(measured)
    return Measurement(measured, exchanged if holds else (lower + BETTER > lower).mean(), count=len(without))


@recorded("spl.overfit/gap")
def gap(setting, records):
    """Subtract the gap between train and test accuracy without a penalty from that at weight 1, seed by seed."""
    without, under = (train - test[:, -1] for test, train in (penalised.curves(records, 0.0), penalised.curves(records, 1.0)))
    return judged("spl.overfit/gap", under - without, -2 * BETTER)


@check("spl.trends/all_positive", experiment(penalised.FEWER), scale="reduced", records=penalised.TRENDS)
def all_positive(setting, records):
    """Count the cells of data set and learning rate whose mean paired difference is positive."""
    arms = [[penalised.curves(records, strength, data=name, learning_rate=rate)[0][:, -1].mean()
             for name, rate in penalised.CELLS] for strength in (0.0, penalised.BETWEEN)]
    differences = np.subtract(arms[1], arms[0])
    measured = (differences > 0).mean()
    holds = catalogue.load().check("spl.trends/all_positive").criterion.accepts(measured)
    altered = differences * (-1) ** np.arange(len(differences)) if holds else np.full(len(differences), BETTER)
    return Measurement(measured, (altered > 0).mean(), count=penalised.FEWER)
