"""What the closed forms save: Hessian against automatic differentiation, and the cost after compression."""

import numpy as np
import torch

from benchmarks.costs import least
from deepatoms.runs import results
from deepatoms.studies.resnests import tanh


@results.experiment("resnests-speed", [{"repeats": 21}], minutes=1, claims=(), title="Cost of risk, gradient and Hessian")
def speed(configuration, device):
    """Return least CPU seconds: the two Hessians, and risk, gradient and Hessian at N = 1,000 and N = 100,000."""
    rng, repeats = np.random.default_rng(0), configuration["repeats"]
    task = tanh.random_task(rng, 16)
    problem, point = task.coupled(), (rng.normal(size=(16, 4)), rng.normal(size=(3, 16)))
    closed, automatic, difference = hessians(problem, point, repeats)
    return {"one Hessian": {"ours, closed form": {**_row(closed, 1, "Hessian"), "difference": difference},
                            "torch.func.hessian": _row(automatic, 1, "Hessian")},
            **{f"N = {samples:,}": {name: _row(evaluations(rng, samples, name == "ours, compressed", repeats), samples, "samples")
                                    for name in ("ours, compressed", "plain")} for samples in (1000, 100_000)}}


def _row(seconds, work, unit):
    return {"seconds": seconds, "work": work, "unit": unit}


def hessians(problem, point, repeats):
    """Return the least CPU seconds of the closed form and of ``torch.func.hessian``, and their largest difference."""
    width, units, outputs = problem.sizes
    previous, last, y = (torch.tensor(part) for part in (problem.previous, problem.last, problem.targets))

    def risk(v):
        W, B = v[:width * units].reshape(width, units), v[width * units:].reshape(outputs, width)
        return (((previous + last @ W.T) @ B.T - y) ** 2).sum() / len(y)

    flat = torch.tensor(np.concatenate([part.ravel() for part in point]))
    difference = np.abs(torch.func.hessian(risk)(flat).numpy() - problem.hessian(*point)).max()
    seconds = least(lambda: problem.hessian(*point), lambda: torch.func.hessian(risk)(flat), rounds=repeats)
    return *seconds, float(difference)


def evaluations(rng, samples, compressed, repeats):
    """Return the least CPU seconds of one risk, gradient and Hessian."""
    problem = tanh.random_task(rng, 16, samples=samples).coupled()
    problem = problem.compressed() if compressed else problem
    W, B = rng.normal(size=(16, 4)), rng.normal(size=(3, 16))
    return least(lambda: (problem.risk(W, B), problem.gradient(W, B), problem.hessian(W, B)), rounds=repeats)[0]
