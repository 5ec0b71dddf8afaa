"""Theorem 1, Corollaries 1 and 2 and Proposition 3 with cross-entropy, which satisfies Assumption 2 as squared loss does."""

from functools import partial

import numpy as np

from deepatoms.claims.checking import Measurement, check, instances
from deepatoms.runs.prefetch import Remembered
from deepatoms.studies.resnests import tanh
from deepatoms.studies.resnests.checks.identities import dense_features
from deepatoms.theory import resnests

PROBLEMS = 10
CRITICAL = 1e-6  # the largest entry of a gradient at an end that counts as one of Theorem 1


@Remembered
def ends(setting, width):
    """Return, for each problem: ends of descent on the first 1, 2, 3 blocks, the augmented optimum and the best linear risk.

    N_in = 5, N_o = 3, three blocks of 4, 300 samples, labelled by the largest target; ``cross_entropy_risk`` refuses
    separable data, so a minimiser exists.
    """
    rng, found = setting.numpy(f"cross-entropy {width}"), []
    for _ in range(PROBLEMS):
        task = tanh.random_task(rng, width, samples=300)
        labels = task.y.argmax(1)
        reached = [descend(rng, task.coupled(blocks), labels) for blocks in (1, 2, 3)]
        risks = [resnests.cross_entropy_risk(parts, labels)[0] for parts in (task.features, [task.x])]
        found.append((reached, *risks))
    return found


def descend(rng, problem, labels):
    """Return the end of L-BFGS from a start of size 0.1."""
    width, units, outputs = problem.sizes
    start = 0.1 * rng.normal(size=(width, units)), 0.1 * rng.normal(size=(outputs, width))
    return resnests.lbfgs_cross_entropy(problem, labels, *start, steps=2000)


def differences(setting, width, of):
    """Return a number of each problem's ends; on the wide nets all ends must be critical."""
    slope = max(end.slope for reached, *_ in ends(setting, width) for end in reached)
    if width == 16 and slope > CRITICAL:
        raise ValueError(f"largest gradient = {slope:.2g} at an end, above {CRITICAL}; take more steps")
    return [of(*each) for each in ends(setting, width)]


def compared(identifier, of, narrow, doc):
    """Register a number of the wide nets' ends, its control on nets of another width."""
    def measure(setting):
        found = differences(setting, 16, of)
        return Measurement(max(found), max(differences(setting, narrow, of)), count=len(found))

    measure.__doc__ = doc
    return check(identifier, instances(PROBLEMS, of="networks"))(measure)


compared("nest.thm1_gap/cross_entropy", lambda reached, least, linear: reached[-1].risk - least, 8,
         "Compare the ends of L-BFGS on the cross-entropy with the augmented optimum, wide and narrow.")
compared("nest.cor1/nested_cross_entropy", lambda reached, least, linear: max(np.diff([end.risk for end in reached])), 3,
         "Compare the ends of L-BFGS on the first 1, 2 and 3 blocks of one net.")
compared("nest.cor2/cross_entropy", lambda reached, least, linear: reached[-1].risk - linear, 3,
         "Compare the ends of L-BFGS with the best linear classifier.")


@check("nest.prop3/cross_entropy", instances(PROBLEMS, of="networks"))
@Remembered
def dense(setting):
    """Minimise cross-entropy over the last matrix of random DenseNEsts; subtract the best linear classifier's."""
    rng, found, control = setting.numpy("dense cross-entropy"), [], []
    for _ in range(PROBLEMS):
        parts, y = dense_features(rng, (4, 3, 2), samples=300)
        risk = partial(_risk, y.argmax(1))
        linear = risk(parts[:1])
        found.append(risk(parts) - linear)
        control.append(risk(parts[1:]) - linear)
    return Measurement(max(found), max(control), count=len(found))


def _risk(labels, parts):
    return resnests.cross_entropy_risk(parts, labels)[0]
