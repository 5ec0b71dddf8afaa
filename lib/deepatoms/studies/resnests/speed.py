"""What the closed forms save: Hessian against automatic differentiation, and the cost after compression."""

import statistics
import time

import numpy as np
import torch

from deepatoms.runs import results
from deepatoms.studies.resnests import tanh


@results.experiment("resnests-speed", [{"repeats": 21}], minutes=1, claims=(), title="Cost of risk, gradient and Hessian")
def speed(configuration, device):
    """Return median seconds: the two Hessians, and risk, gradient and Hessian at N = 1,000 and N = 100,000."""
    rng, repeats = np.random.default_rng(0), configuration["repeats"]
    task = tanh.random_task(rng, 16)
    problem, point = task.coupled(), (rng.normal(size=(16, 4)), rng.normal(size=(3, 16)))
    closed, automatic, difference = hessians(problem, point, repeats)
    return {"hessian_closed": closed, "hessian_automatic": automatic, "difference": difference,
            **{f"{kind}_{samples}": evaluations(rng, samples, kind == "compressed", repeats)
               for samples in (1000, 100_000) for kind in ("compressed", "plain")}}


def hessians(problem, point, repeats):
    """Return the median seconds of the closed form and of ``torch.func.hessian``, and their largest difference."""
    width, units, outputs = problem.sizes
    previous, last, y = (torch.tensor(part) for part in (problem.previous, problem.last, problem.targets))

    def risk(v):
        W, B = v[:width * units].reshape(width, units), v[width * units:].reshape(outputs, width)
        return (((previous + last @ W.T) @ B.T - y) ** 2).sum() / len(y)

    flat = torch.tensor(np.concatenate([part.ravel() for part in point]))
    difference = np.abs(torch.func.hessian(risk)(flat).numpy() - problem.hessian(*point)).max()
    return (median(lambda: problem.hessian(*point), repeats), median(lambda: torch.func.hessian(risk)(flat), repeats),
            float(difference))


def evaluations(rng, samples, compressed, repeats):
    """Return the median seconds of one risk, gradient and Hessian."""
    problem = tanh.random_task(rng, 16, samples=samples).coupled()
    problem = problem.compressed() if compressed else problem
    W, B = rng.normal(size=(16, 4)), rng.normal(size=(3, 16))
    return median(lambda: (problem.risk(W, B), problem.gradient(W, B), problem.hessian(W, B)), repeats)


def median(call, repeats):
    """Return the median seconds of a call."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def table(result):
    """Return the record as lines of text."""
    ratio = result["hessian_automatic"] / result["hessian_closed"]
    lines = [f"Hessian, 112 parameters: closed form {1e3 * result['hessian_closed']:.2f} ms, automatic differentiation "
             f"{1e3 * result['hessian_automatic']:.2f} ms ({ratio:.0f} times), difference {result['difference']:.0e}"]
    for kind in ("plain", "compressed"):
        small, large = result[f"{kind}_1000"], result[f"{kind}_100000"]
        lines.append(f"risk, gradient and Hessian, {kind}: N = 1,000 {1e3 * small:.2f} ms, N = 100,000 {1e3 * large:.2f} ms "
                     f"(ratio {large / small:.2f})")
    return "\n".join(lines)
