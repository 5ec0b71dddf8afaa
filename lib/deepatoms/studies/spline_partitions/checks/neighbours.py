"""Figure 4: neighbours under the partition distance, on digits in the page and on CIFAR-10 and MNIST from records."""

from functools import lru_cache

import numpy as np

from deepatoms.claims import catalogue
from deepatoms.claims.checking import Measurement, check, experiment
from deepatoms.studies.spline_partitions import neighbourhoods
from deepatoms.studies.spline_partitions.checks.trained import SEEDS, digits_nets

QUERIES = 500
RELUS = slice(0, None, 2)  # the layers 1, 3 and 5; the others are pooling


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
    """Register a function of profiles twice: on digits in the page, and on the recorded CIFAR-10 nets, a reduced run.

    The last layer of the digits net is 64 pools of one cell each: there the last layer for classes is the fifth.
    """
    def decorate(function):
        check(identifier, experiment(SEEDS))(lambda setting: function(digits_profiles(setting), (4,)))
        check(identifier, experiment(SEEDS), scale="reduced", records=neighbourhoods.NAME)(
            lambda setting, records: function(of(records, "cifar10"), (4, 5)))
        return function

    return decorate


def of_svhn(identifier, function):
    """Register a function of profiles on the recorded SVHN nets, if a reader who has its files has recorded them."""
    check(identifier, experiment(SEEDS), scale="reduced", records=neighbourhoods.SVHN)(
        lambda setting, records: function(of(records, "svhn"), (4, 5)))


def mean(profiles, state, measure):
    """Return a measure's mean over seeds, one entry a layer."""
    return np.mean([profile[state][measure] for profile in profiles], axis=0)


def _pixels(profiles, measure):
    """Return a measure's mean over seeds for neighbours in pixel space."""
    return np.mean([profile["pixels"][measure] for profile in profiles])


@of_profiles("spl.fig4_class/monotone")
def class_from_layer_to_layer(profiles, last):
    """Take the smallest step of the same-class fraction from a layer to the next; the control keeps the ReLU layers."""
    same = mean(profiles, "trained", "same_class")[:max(last) + 1]
    return Measurement(np.diff(same).min(), np.diff(same[RELUS]).min(), count=len(profiles))


def _rise(profiles, state, last):
    same = mean(profiles, state, "same_class")
    return same[list(last)].max() - same[0]


@of_profiles("spl.fig4_class/rise")
def rise(profiles, last):
    """Subtract the first layer's same-class fraction from that of the last layers; the control is untrained."""
    return Measurement(_rise(profiles, "trained", last), _rise(profiles, "untrained", last), count=len(profiles))


@of_profiles("spl.fig4_class/learned")
def learned(profiles, last):
    """Subtract the untrained nets' same-class fraction at layer 5 from that of the trained nets; labels permuted beside it."""
    gains = (mean(profiles, "trained", name)[4] - mean(profiles, "untrained", name)[4] for name in ("same_class", "permuted"))
    return Measurement(*gains, count=len(profiles))


@of_profiles("spl.fig4_euclid/monotone")
def distance_from_layer_to_layer(profiles, last):
    """Take the smallest step of the neighbours' Euclidean distance, in units of that at layer 1."""
    far = mean(profiles, "trained", "euclidean")
    far = far / far[0]
    return Measurement(np.diff(far).min(), np.diff(far[RELUS]).min(), count=len(profiles))


@of_profiles("spl.fig4_euclid/further")
def further(profiles, last):
    """Divide the neighbours' mean Euclidean distance at layer 6 by that at layer 1."""
    return _further(profiles, "trained")


@of_profiles("spl.fig4_euclid/untrained")
def further_untrained(profiles, last):
    """Divide the same distances in the untrained networks."""
    return _further(profiles, "untrained")


def _further(profiles, state):
    far = mean(profiles, state, "euclidean")
    return Measurement(far[5] / far[0], _pixels(profiles, "euclidean") / far[0], count=len(profiles))


@of_profiles("spl.fig4_euclid/first_near")
def first_near(profiles, last):
    """Divide the first layer's neighbours' mean Euclidean distance by that of random images; these of the next seed beside it."""
    random = np.array([profile["random"]["euclidean"] for profile in profiles])
    near = mean(profiles, "trained", "euclidean")[0]
    return Measurement(near / random.mean(), (np.roll(random, 1) / random).min(), count=len(profiles))


@check("spl.fig4_mainly/majority", experiment(SEEDS), scale="reduced", records=neighbourhoods.NAME)
def majority(setting, records):
    """Take the better of layers 5 and 6 on the recorded CIFAR-10 nets; the control opposes: MNIST, or permuted labels."""
    colour = of(records, "cifar10")
    measured, permuted = (mean(colour, "trained", name)[4:].max() for name in ("same_class", "permuted"))
    holds = catalogue.load().check("spl.fig4_mainly/majority").criterion.accepts(measured)
    easy = mean(of(records, "mnist"), "trained", "same_class")[4:].max()
    return Measurement(measured, permuted if holds else easy, count=len(colour))


@of_profiles("spl.fig4_mainly/above_pixels")
def above_pixels(profiles, last):
    """Subtract the same-class fraction of pixel neighbours from that of the last layers; labels permuted beside it."""
    best = (mean(profiles, "trained", name)[list(last)].max() for name in ("same_class", "permuted"))
    return Measurement(*(each - _pixels(profiles, "same_class") for each in best), count=len(profiles))


of_svhn("spl.fig4_svhn/monotone", class_from_layer_to_layer)
of_svhn("spl.fig4_svhn/rise", rise)
