"""Minimising the frame potential by descent, under a stated convention for magnitudes."""

import math
from dataclasses import dataclass

import torch

from deepatoms.theory import arguments
from deepatoms.theory.frame_potential import chains, evaluation

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
        tolerance: stop early when 20 steps lower no start's energy by more than this fraction (0: never).
        progress: called with (step, energies) at every step, for a progress bar.

    Returns:
        A ``Minimum``; ``weights`` are those of the lowest energy.

    >>> from deepatoms.theory import induced
    >>> round(minimize(induced.chain([2, 3]), iterations=200, dtype=torch.float64).energies[0], 6)
    1.5
    """
    arguments.one_of("magnitudes", magnitudes, CONVENTIONS)
    iterations = arguments.integer("iterations", iterations)
    rate = arguments.number("rate", rate if rate is not None else {"unit": 0.05, "free": 0.03}[magnitudes], 0)
    starts = [net.init(seed, gain) for seed in seeds] if starts is None else [net.check_filters(start) for start in starts]
    stacked = [torch.stack(layer).to(device, dtype) for layer in zip(*starts, strict=True)]
    histories, weights = _descend(net, stacked, magnitudes == "unit", iterations, rate, tolerance, progress)
    energies = tuple(min(history) for history in histories)
    lowest = energies.index(min(energies))
    count = net.structural_count
    value = math.sqrt(max(0.0, energies[lowest]) / count) if count else 0.0
    return Minimum(value, energies, histories, tuple(map(_converged, histories)), [layer[lowest] for layer in weights])


def _descend(net, stacked, unit, iterations, rate, tolerance, progress):
    """Descend from all starts at once (they do not interact: Adam works entry by entry)."""
    weights = [layer.clone().requires_grad_() for layer in stacked]
    first, second = ([torch.zeros_like(layer) for layer in stacked] for _ in range(2))
    energies, shape = _batched(net), torch.func.vmap(net.unit) if unit else list
    histories, best, lowest = [], shape(stacked), [math.inf] * len(stacked[0])
    for step in range(iterations + 1):
        current = shape(weights)
        values = energies(current)
        histories.append(_finite(values.detach()).tolist())
        best, lowest = _keep_lowest(histories[-1], lowest, current, best)
        if progress is not None:
            progress(step, histories[-1])
        if step == iterations or (tolerance and _stalled(histories, tolerance)):
            break
        gradients = torch.autograd.grad(values.sum(), weights)
        _adam(weights, gradients, first, second, step + 1, rate * (1 + math.cos(math.pi * step / iterations)) / 2)
    return tuple(zip(*histories, strict=True)), best


@torch.no_grad()
def _adam(weights, gradients, first, second, step, rate):
    """One step of Adam in place (importing ``torch.optim`` takes longer than most descents here)."""
    for w, g, m, v in zip(weights, gradients, first, second, strict=True):
        m.lerp_(g, 0.1)
        v.lerp_(g**2, 0.001)
        w -= rate / (1 - 0.9**step) * m / ((v / (1 - 0.999**step)).sqrt() + 1e-8)


def _batched(net):
    """Return the function from stacked weights to the energies of all starts."""
    if net.image == 1 and net.form == "synthesis":
        return chains.synthesis_energy
    return torch.func.vmap(lambda one: evaluation.sum_of_blocks(net, one))


def _finite(values):
    if not bool(torch.isfinite(values).all()):
        arguments.refuse("starts", values, "left the finite numbers", "use dtype=torch.float64, or a start with no zero atom")
    return values


def _keep_lowest(values, lowest, current, best):
    lower = [value < before for value, before in zip(values, lowest, strict=True)]
    if any(lower):
        chosen = torch.tensor(lower, device=current[0].device)
        best = [torch.where(chosen.view(-1, *[1] * (new.ndim - 1)), new.detach(), old)
                for new, old in zip(current, best, strict=True)]
    return best, list(map(min, values, lowest))


def _stalled(histories, tolerance):
    if len(histories) <= 20:
        return False
    return all(before - now < tolerance * now for before, now in zip(histories[-21], histories[-1], strict=True))


def _converged(history):
    return history[-1 - len(history) // 4] - history[-1] <= 0.01 * history[-1]
