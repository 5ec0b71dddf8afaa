"""The orderings of the authors' tables, on recorded runs: digits with fewer images and layers, CIFAR with fewer epochs."""

import numpy as np

from deepatoms.claims import catalogue
from deepatoms.claims.checking import Measurement, check, experiment
from deepatoms.claims.intervals import mean_and_interval
from deepatoms.studies.resnests import digits, tables

# The authors' accuracies: CIFAR-10 then CIFAR-100, each WRN-16-8, WRN-40-4, ResNet-110, ResNet-20.
PUBLISHED = {"standard": (95.56, 95.45, 94.46, 92.60, 79.14, 79.08, 74.08, 68.56),
             "resnest": (94.39, 94.58, 92.77, 91.02, 75.43, 75.16, 69.08, 64.73),
             "bn-resnest": (95.48, 95.61, 94.52, 92.56, 78.99, 78.97, 73.95, 68.47),
             "a-resnest": (95.29, 95.48, 93.97, 92.47, 78.74, 78.62, 72.53, 68.16)}


def points(records):
    """Return each variant's accuracies in points, paired by seed."""
    return {record["configuration"]["variant"]: 100 * np.array(record["result"]["accuracy"]) for record in records}


def of_digits(identifier):
    """Register a function of the recorded digits runs at the reduced scale."""
    return check(identifier, experiment(digits.SETTING["seeds"]), scale="reduced", records="digits-resnests")


def ordered(identifier, differences, better, worse):
    """Return the measurement of a claim that one variant is more accurate than another, from its paired differences.

    The control exchanges the two labels in every second seed where the claim holds, and is the published table where not.
    """
    mean, interval = mean_and_interval(differences)
    exchanged = differences * (-1) ** np.arange(len(differences))
    holds = catalogue.load().check(identifier).criterion.judge(mean, interval) == "holds"
    control = mean_and_interval(exchanged if holds else np.subtract(PUBLISHED[better], PUBLISHED[worse]))
    return Measurement(mean, control[0], interval, control[1], count=len(differences))


def above(identifier, better, worse):
    """Register a claim that one variant is more accurate than another on digits."""
    def ordering(setting, records):
        found = points(records)
        return ordered(identifier, found[better] - found[worse], better, worse)

    ordering.__doc__ = f"Subtract the accuracies of {worse} from those of {better}, paired by seed."
    return of_digits(identifier)(ordering)


def above_in_tables(identifier, better):
    """Register a claim that a variant of ResNet-20 is more accurate than its ResNEst on both data sets."""
    @check(identifier, experiment(tables.SEEDS), scale="reduced", records=tables.NAME)
    def ordering(setting, records):
        lead = [min((np.array(tables.differences(records, name, better, "resnest", rate)) for rate in (0.1, 0.01)), key=np.mean)
                for name in tables.STANDARD]
        return ordered(identifier, min(lead, key=np.mean), better, "resnest")

    ordering.__doc__ = f"Subtract ResNEst's accuracies, at its better rate, from those of {better}; the smaller of two sets."
    return ordering


above("nest.tab_bn/above_resnest", "bn-resnest", "resnest")
above("nest.tab_augmented/above_resnest", "a-resnest", "resnest")
above("nest.tab_standard/above_resnest", "standard", "resnest")
above("nest.tab_standard/above_augmented", "standard", "a-resnest")
above_in_tables("nest.tab_order/bn_above_resnest", "bn-resnest")
above_in_tables("nest.tab_order/augmented_above_resnest", "a-resnest")
above_in_tables("nest.tab_order/standard_above_resnest", "standard")


@of_digits("nest.tab_bn/near_standard")
def near_standard(setting, records):
    """Subtract the accuracies of BN-ResNEst from those of the standard network; the control takes published ones of two kinds."""
    found = points(records)
    differences = found["standard"] - found["bn-resnest"]
    holds = catalogue.load().check("nest.tab_bn/near_standard").criterion.accepts(differences.mean())
    other = "resnest" if holds else "bn-resnest"
    return Measurement(differences.mean(), np.subtract(PUBLISHED["standard"], PUBLISHED[other]).mean(), count=len(differences))
