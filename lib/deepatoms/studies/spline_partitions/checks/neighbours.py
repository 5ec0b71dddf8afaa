"""Figure 4: neighbours under the partition distance, on digits in the page and on CIFAR-10 and MNIST from records."""

from functools import lru_cache

import numpy as np

from deepatoms.claims import catalogue
from deepatoms.claims.checking import Measurement, check, experiment
from deepatoms.studies.spline_partitions import neighbourhoods
from deepatoms.studies.spline_partitions.checks.trained import SEEDS, digits_nets

QUERIES = 500
PERFECT = 1.0  # the same-class share with labels as codes: all neighbours are of the query's class


@lru_cache(maxsize=2)
def digits_profiles(setting):
    """Return ten seeds' profiles, trained and untrained, with pixels and random images beside them."""
    nets = digits_nets(setting)
    found = []
    for held_out, untrained, trained in zip(nets.held_out, nets.untrained, nets.plain, strict=True):
        queries, base = held_out.subset(slice(0, QUERIES)), held_out.subset(slice(QUERIES, None))
        sets = (queries.images, queries.labels, base.images, base.labels)
        found.append({"trained": neighbourhoods.profile(trained, *sets), "untrained": neighbourhoods.profile(untrained, *sets),
                      **neighbourhoods.baselines(*sets)})
    return found


def of(records, name):
    """Return the recorded results of one data set."""
    return [record["result"] for record in records if record["configuration"]["dataset"] == name]


def of_profiles(identifier):
    """Register a function of profiles twice: on digits in the page (layer 5 alone), on the recorded CIFAR-10 nets at full.

    The last layer of the digits net is 64 pools of one cell each; the catalogue reduces "layers 5 and 6" to layer 5.
    """
    def decorate(function):
        check(identifier, experiment(SEEDS))(lambda setting: function(digits_profiles(setting), (4,)))
        check(identifier, experiment(SEEDS), scale="full", records=neighbourhoods.NAME)(
            lambda setting, records: function(of(records, "cifar10"), (4, 5)))
        return function

    return decorate


def mean(profiles, state, measure):
    """Return a measure's mean over seeds, one entry a layer."""
    return np.mean([profile[state][measure] for profile in profiles], axis=0)


def _opposed(identifier, measured, exchanged, altered):
    """Return the control that opposes what was measured: an exchange where it holds, altered neighbours where it fails."""
    holds = catalogue.load().check(identifier).criterion.accepts(measured)
    return Measurement(measured, exchanged if holds else altered)


@of_profiles("spl.fig4_class/rise")
def rise(profiles, last):
    """Subtract the first layer's same-class fraction from that of the last layers."""
    same = mean(profiles, "trained", "same_class")
    top = same[list(last)].max()
    return _opposed("spl.fig4_class/rise", top - same[0], same[0] - top, PERFECT - same[0])


@of_profiles("spl.fig4_class/learned")
def learned(profiles, last):
    """Subtract the untrained nets' same-class fraction at layer 5 from that of the trained nets."""
    trained, untrained = (mean(profiles, state, "same_class")[4] for state in ("trained", "untrained"))
    return _opposed("spl.fig4_class/learned", trained - untrained, untrained - trained, PERFECT - untrained)


@of_profiles("spl.fig4_euclid/further")
def further(profiles, last):
    """Divide the neighbours' mean Euclidean distance at layer 6 by that at layer 1."""
    far = mean(profiles, "trained", "euclidean")
    random = np.mean([profile["random"]["euclidean"] for profile in profiles])
    return _opposed("spl.fig4_euclid/further", far[5] / far[0], far[0] / far[5], random / far[0])


@of_profiles("spl.fig4_euclid/first_near")
def first_near(profiles, last):
    """Divide the first layer's neighbours' mean Euclidean distance by that of random images."""
    random = np.mean([profile["random"]["euclidean"] for profile in profiles])
    return Measurement(mean(profiles, "trained", "euclidean")[0] / random, random / random)


@check("spl.fig4_mainly/majority", experiment(SEEDS), scale="full", records=neighbourhoods.NAME)
def majority(setting, records):
    """Take the better of layers 5 and 6 on the recorded CIFAR-10 nets, and on those of MNIST as the control."""
    return Measurement(*(mean(of(records, name), "trained", "same_class")[4:].max() for name in ("cifar10", "mnist")))


@of_profiles("spl.fig4_mainly/above_pixels")
def above_pixels(profiles, last):
    """Subtract the same-class fraction of pixel neighbours from that of the last layers."""
    pixels = np.mean([profile["pixels"]["same_class"] for profile in profiles])
    gain = mean(profiles, "trained", "same_class")[list(last)].max() - pixels
    return Measurement(gain, -gain)
