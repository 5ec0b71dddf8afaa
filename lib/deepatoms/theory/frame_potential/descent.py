"""Minimising the frame potential by descent, under a stated convention for magnitudes."""

import math
from dataclasses import dataclass

import torch

from deepatoms.theory import arguments
from deepatoms.theory.frame_potential import evaluation

CONVENTIONS = ("unit", "free")


@dataclass(frozen=True)
class Minimum:
    """What descent reached: the lowest F, and energy, history, convergence and weights of every start.

    Converged means that the last quarter of the steps lowered the energy by less than one per cent of it.
    """

    potential: float
    energies: tuple[float, ...]
    histories: tuple[tuple[float, ...], ...]
    converged: tuple[bool, ...]
    weights: list

    @property
    def spread(self):
        """(Largest - smallest) / mean of the energies over the starts."""
        return (max(self.energies) - min(self.energies)) / max(sum(self.energies) / len(self.energies), 1e-300)


def minimize(net, magnitudes="unit", seeds=(0,), iterations=300, rate=None, gain=2.0, starts=None, device="cpu",
             dtype=torch.float32, tolerance=0.0, progress=None):
    r"""Return what Adam with a cosine rate reaches from random starts.

    With ``magnitudes="unit"`` every filter block has unit norm (``Net.unit``) and the minimum is well posed. With
    ``"free"`` the infimum is approached only as norms go to 0 or infinity: the value is *reached* by the protocol
    (He start of the given gain, rate 0.03), and is no minimum.

    Args:
        net: an architecture.
        magnitudes: "unit" or "free".
        seeds: one start each.
        iterations: steps of Adam.
        rate: learning rate; 0.05 for unit and 0.03 for free unless given.
        gain: variance of the start times fan-in.
        starts: lists of weights to start from, in place of seeds.
        device: where to compute.
        dtype: float32 is enough down to energies of 0.001 per atom.
        tolerance: stop a start early when 20 steps lower the energy by less than this fraction (0: never).
        progress: called with (start, step, energy) at every step, for a progress bar.

    Returns:
        A ``Minimum``; ``weights`` are those of the lowest energy.

    >>> from deepatoms.theory import induced
    >>> round(minimize(induced.chain([2, 3]), iterations=200, dtype=torch.float64).energies[0], 6)
    1.5
    """
    arguments.one_of("magnitudes", magnitudes, CONVENTIONS)
    iterations = arguments.integer("iterations", iterations)
    rate = arguments.number("rate", rate if rate is not None else {"unit": 0.05, "free": 0.03}[magnitudes], 0)
    starts = [net.init(seed, gain) for seed in seeds] if starts is None else [net.checked(start) for start in starts]
    starts = [[weight.to(device, dtype) for weight in start] for start in starts]
    shape = net.unit if magnitudes == "unit" else list
    histories, reached = [], []
    for index, start in enumerate(starts):
        history, weights = _descend(net, start, shape, iterations, rate, tolerance, progress, index)
        histories.append(tuple(history))
        reached.append(weights)
    energies = tuple(min(history) for history in histories)
    lowest = energies.index(min(energies))
    count = net.structural_count
    value = math.sqrt(max(0.0, energies[lowest]) / count) if count else 0.0
    return Minimum(value, energies, tuple(histories), tuple(map(_converged, histories)), reached[lowest])


def _descend(net, start, shape, iterations, rate, tolerance, progress, index):
    weights = [weight.clone().requires_grad_() for weight in start]
    adam = torch.optim.Adam(weights, lr=rate)
    history, lowest, best = [], math.inf, start
    for step in range(iterations + 1):
        for group in adam.param_groups:
            group["lr"] = rate * (1 + math.cos(math.pi * step / iterations)) / 2
        current = shape(weights)
        value = evaluation.unchecked_energy(net, current)
        history.append(float(value.detach()))
        if history[-1] < lowest:
            lowest, best = history[-1], [weight.detach().clone() for weight in current]
        if progress is not None:
            progress(index, step, history[-1])
        if step == iterations or (tolerance and step > 20 and history[-21] - history[-1] < tolerance * history[-1]):
            break
        adam.zero_grad()
        value.backward()
        adam.step()
    return history, best


def _converged(history):
    return history[-1 - len(history) // 4] - history[-1] <= 0.01 * history[-1]
