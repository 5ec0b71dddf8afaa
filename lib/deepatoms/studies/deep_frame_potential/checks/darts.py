"""What F is worth on the DARTS space: networks of two searched cells, their accuracies told by the surrogate of NAS-Bench-301."""

from dataclasses import replace
from functools import wraps

import numpy as np

from deepatoms.claims.checking import EXHAUSTIVE, Measurement, benchmark, check
from deepatoms.data import benchmarks
from deepatoms.runs import results
from deepatoms.studies.deep_frame_potential import darts, darts_conventions
from deepatoms.studies.deep_frame_potential.checks.benchmarks import (
    Networks,
    against,
    agreement,
    at_equal_count,
    beside,
    gained,
    ranked,
    regret,
)

SETS = benchmarks.SOURCES["nas301"].sets
results.also_read_by(darts.NAME, ["dfp.beyond_count"])


class DartsNetworks(Networks):
    """The networks of the DARTS space."""

    def __init__(self, records):
        super().__init__("nas301", darts.LEAD, records)
        self.poolings = np.array([darts.operations(name, darts.POOLINGS) for name in self.table.architectures])


def on_darts(identifier, networks=725):
    """Register a function of the setting and the recorded ``DartsNetworks``."""
    def decorate(function):
        @check(identifier, benchmark(networks, of="networks"), records=darts.NAME)
        @wraps(function)
        def measure(setting, found):
            recorded = DartsNetworks([darts.merged(found)])
            return replace(function(setting, recorded), count=recorded.known)
        return measure
    return decorate


@on_darts("dfp.nas301_rank/cifar10")
def ranks(setting, networks):
    """Correlate the ranks of minus F and of accuracy; control: accuracies shuffled."""
    return ranked(setting, networks.low(), networks.accuracies("cifar10"))


@on_darts("dfp.nas301_initial/gain_of_minimising")
def gain_of_minimising(setting, networks):
    """Compare the minimum with F of random filters; control: one seed's random filters with another's."""
    return gained(setting, networks)


@on_darts("dfp.nas301_count/beats_parameters")
def beats_parameters(setting, networks):
    """Compare F with the number of parameters; control: the accuracy, or minus it where F wins."""
    return against(setting, networks, "parameters", names=SETS)


@on_darts("dfp.nas301_beyond/beats_poolings")
def beats_poolings(setting, networks):
    """Compare F with the number of poolings; control: the accuracy, or minus it where F wins."""
    return against(setting, networks, "few poolings", names=SETS)


@on_darts("dfp.nas301_beyond/beside_parameters")
def beside_parameters(setting, networks):
    """Add the ranks of minus F to those of the parameters; control: F shuffled among the networks."""
    return beside(setting, networks, SETS)


@on_darts("dfp.beyond_count/nas301")
def at_equal_count_nas301(setting, networks):
    """Take what low F tells at equal parameter counts; control: the accuracy, or minus it."""
    return at_equal_count(setting, networks, SETS)


@on_darts("dfp.nas301_choice/regret_random")
def regret_random(setting, networks):
    """Choose among ten networks by F, or at random; control: the best chosen, or the worst where F is good."""
    return regret(setting, networks, None)


@on_darts("dfp.nas301_choice/regret_count")
def regret_count(setting, networks):
    """Choose among ten networks by F, or by the most parameters; control: the best chosen, or the worst."""
    return regret(setting, networks, networks.column("params"))


@on_darts("dfp.nas301_settled/seeds")
def seeds_agree(setting, networks):
    """Correlate the ranks of F between seeds; control: one seed's shuffled."""
    return agreement(setting, *networks.seeds().T)


def _beside_other_setting(identifier, other, records=darts.NAME_SETTINGS):
    """Register a check of the ranks of F at the lead and at another setting; control: the other's shuffled."""
    @check(identifier, benchmark(61, of="networks"), records=records)
    def measure(setting, found):
        lead = results.complete(darts.NAME, setting)
        if lead is None:
            return None
        networks = DartsNetworks([darts.merged(lead), *found])
        return agreement(setting, networks.low(), networks.low(other))
    return measure


cells_agree = _beside_other_setting("dfp.nas301_settled/cells", darts.OTHERS["three cells"])
steps_agree = _beside_other_setting("dfp.nas301_settled/steps", darts.OTHERS["200 steps"])
pooling_agrees = _beside_other_setting("dfp.nas301_settled/pooling", darts.OTHERS["no pooling"])
magnitudes_agree, channels_agree = (
    _beside_other_setting(f"dfp.nas301_conventions/{name}", darts_conventions.OTHERS[other], darts_conventions.NAME)
    for name, other in (("magnitudes", "free magnitudes"), ("channels", "8 channels")))


@check("dfp.nas301_rivals/parameters", EXHAUSTIVE)
def parameters_are_as_published(_):
    """Count the parameters of every network by the formula of its layers; control: two operations exchanged."""
    table = benchmarks.load("nas301")
    published = np.round(1e6 * table.columns["params"])
    swap = str.maketrans("45", "54")  # as numbers of operations in the names: separable 5 and dilated 3
    exchanged = [_swapped(name, swap) for name in table.architectures]
    found, control = ([darts.parameters(name) for name in names] for names in (table.architectures, exchanged))
    return Measurement(np.abs(found - published).max(), np.abs(control - published).max(), count=len(table))


def _swapped(name, swap):
    """Exchange the numbers of two operations in a name: the second of each pair."""
    return ", ".join(part.translate(swap) if ")" in part else part for part in name.split(", "))
