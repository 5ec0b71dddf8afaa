"""Our own statement: what the theorem on layered thresholding certifies stays in the region."""

from functools import lru_cache

import numpy as np

from deepatoms.claims.checking import Measurement, check, instances
from deepatoms.studies.spline_partitions import certificate

DRAWN, SIGNED = 16, 8


@lru_cache(maxsize=2)
def ladders(setting):
    """Return the ladders of sixteen instances that no record holds."""
    return certificate.ladders(DRAWN, 1000 + setting.seed)


@lru_cache(maxsize=2)
def signed_ladders(setting):
    """Return the ladders of eight instances with one negative tap in each atom of the second layer."""
    return certificate.ladders(SIGNED, setting.seed, nonnegative=False)


def recorded(records):
    """Return the recorded ladders as one."""
    names = ("certified", "without_bias", "local", "radius", "adversarial", "random", "support")
    return {name: np.concatenate([record["result"][name] for record in records]) for name in names}


def exceeding(found, name):
    """Return in how many instances a rung is above the local in-radius, or this above the Euclidean one."""
    slack = 1 + 1e-9
    return int(((found[name] > slack * found["local"]) | (found["local"] > slack * found["radius"])).sum())


def _order(found):
    return Measurement(exceeding(found, "certified"), exceeding(found, "without_bias"), count=len(found["local"]))


@check("spl.certificate/order", instances(DRAWN, of="signals"))
def order(setting):
    """Count the certificates above the in-radius on instances drawn now; the control leaves the threshold out of the error."""
    return _order(ladders(setting))


@check("spl.certificate/order", instances(1000, of="signals"), scale="full", records=certificate.NAME)
def order_recorded(setting, records):
    """Count them on the recorded instances."""
    return _order(recorded(records))


@check("spl.certificate/support", instances(DRAWN, of="signals"))
def support(setting):
    """Count the codes that are not the support; codes that ReLU cannot represent are the control."""
    found, signed = ladders(setting)["support"], signed_ladders(setting)["support"]
    return Measurement(int((~found).sum()), int((~signed).sum()), count=len(found))
