"""The two exact links: a block's template is its sparse code's contribution; a low potential forbids no failure of pursuit."""

import functools

import numpy as np

from deepatoms.claims.checking import EXHAUSTIVE, Measurement, check, instances
from deepatoms.studies.five_lenses import links
from deepatoms.theory import arguments, dictionaries

NETWORKS = 20


@functools.lru_cache(maxsize=4)
def drawn(setting):
    """Return the four differences of each of twenty random networks, shape (20, 4)."""
    return np.array([links.differences(NETWORKS * setting.seed + number) for number in range(NETWORKS)])


@check("lens.contribution/template", instances(NETWORKS, "networks"))
def template(setting):
    """Compare templates with differences of code contributions inside each region; between regions as the control."""
    inside, across, _, _ = drawn(setting).T
    return Measurement(inside.max(), across.min(), count=len(inside))


@check("lens.contribution/sum", instances(NETWORKS, "networks"))
def summed(setting):
    """Compare the sum of all code contributions with the output; without the last block's as the control."""
    _, _, whole, short = drawn(setting).T
    return Measurement(whole.max(), short.min(), count=len(whole))


@functools.lru_cache(maxsize=1)
def two_dictionaries():
    """Return F and the number of missed signals of the tilted dictionary and of the six lines, whose F has to be higher."""
    found = [(float(dictionaries.frame_potential(D)), int(links.missed(D).sum()))
             for D in (links.tilted(), dictionaries.six_lines())]
    if not found[0][0] < found[1][0]:
        arguments.refuse("F", found[0][0], f"is not below that of the six lines, {found[1][0]:.3g}", "take more atoms")
    return found


@check("lens.potential/misses", EXHAUSTIVE)
def misses(setting):
    """Count the one-atom signals that pursuit misses in the tilted dictionary; in the six lines as the control."""
    (_, low), (_, high) = two_dictionaries()
    return Measurement(low, high)


@check("lens.potential/level", EXHAUSTIVE)
def level(setting):
    """Take F of the tilted dictionary, whose pursuit fails; of the six lines, whose does not, as the control."""
    (low, failures), (high, none) = two_dictionaries()
    if none or not failures:
        arguments.refuse("missed", (failures, none), "are not the failures of the first alone", "tilt the atom further")
    return Measurement(low, high)
