"""Minimising the frame potential by descent, under a stated convention for magnitudes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from deepatoms.theory import arguments
from deepatoms.theory.frame_potential import chains, evaluation
from deepatoms.theory.induced.architecture import Net
from deepatoms.theory.signatures import named

CONVENTIONS = ("unit", "free")


STATIONARY = 0.05


@dataclass(frozen=True)
class Descent:
    """How to descend: steps of Adam, its first rate (falling along a cosine), and the variance of a start times fan-in.

    The rate is 0.05 for unit and 0.03 for free magnitudes unless given.
    """

    iterations: int = 300
    rate: float | None = None
    gain: float = 2.0

    def rate_for(self, magnitudes: str) -> float:
        """Return the first rate under a convention for magnitudes."""
        return {"unit": 0.05, "free": 0.03}[magnitudes] if self.rate is None else self.rate


DESCENT = Descent()


@dataclass(frozen=True)
class Minimum:
    r"""What descent reached: the lowest F, and energy, history, convergence and weights of every start.

    Converged means stationary: at the best weights :math:`\lVert \nabla E \rVert \lVert w \rVert \le 0.05\, E`, a change of
    the weights by one per cent of their norm lowers the energy by at most 0.05 per cent of it to first order; or an energy
    below 1e-6 for each atom, where the minimum is 0. (That the last steps lower little says nothing: their rate falls to 0.)
    """

    potential: float
    energies: tuple[float, ...]
    histories: tuple[tuple[float, ...], ...]
    converged: tuple[bool, ...]
    weights: list[torch.Tensor]

    @property
    def spread(self) -> float:
        """(Largest - smallest) / mean of the energies over the starts."""
        return (max(self.energies) - min(self.energies)) / max(sum(self.energies) / len(self.energies), 1e-300)


def minimize(net: Net, magnitudes: str = "unit", seeds: Sequence[int] = (0,), starts: Sequence[list] | None = None,
             descent: Descent = DESCENT, device: str | torch.device = "cpu",
             dtype: torch.dtype = torch.float32) -> Minimum:
    r"""Return what Adam with a cosine rate reaches from random starts: the least of the energy of Equation :eq:`dfp-eq-12`.

    With ``magnitudes="unit"`` every filter block has unit norm (``Net.unit``) and the minimum is well posed. With
    ``"free"`` the infimum is approached only as norms go to 0 or infinity: the value is *reached* by the protocol
    (He start of the given gain, rate 0.03), and is no minimum.

    Args:
        net: an architecture.
        magnitudes: "unit" or "free".
        seeds: one start each.
        starts: lists of weights to start from, in place of seeds.
        descent: steps, rate and gain.
        device: where to compute.
        dtype: float32 is enough down to energies of 0.001 per atom.

    Returns:
        A ``Minimum``; ``weights`` are those of the lowest energy.

    Raises:
        ValueError: on an unknown convention, numbers of steps, rates or gains that mean nothing, starts that do not fit or
            hold a zero filter, or energies that leave the finite numbers.

    >>> from deepatoms.theory import induced
    >>> found = minimize(induced.chain([2, 3]), descent=Descent(200), dtype=torch.float64)
    >>> round(found.energies[0], 6), found.converged
    (1.5, (True,))
    """
    arguments.one_of("magnitudes", magnitudes, CONVENTIONS)
    iterations = arguments.integer("descent.iterations", descent.iterations)
    rate = arguments.number("descent.rate", descent.rate_for(magnitudes), 0)
    given = ([net.init(seed, descent.gain) for seed in seeds] if starts is None
             else [list(net.check_filters(start)) for start in starts])
    if not given:
        arguments.refuse("seeds", seeds, "gives no start", "pass at least one seed, or starts")
    stacked = [torch.stack(layer).to(device, dtype) for layer in zip(*given, strict=True)]
    shape = torch.func.vmap(net.unit) if magnitudes == "unit" else list
    histories, weights = _descend(_batched(net), shape, stacked, iterations, rate)
    energies = tuple(min(history) for history in histories)
    lowest = energies.index(min(energies))
    count = net.structural_count
    value = math.sqrt(max(0.0, energies[lowest]) / count) if count else 0.0
    return Minimum(value, energies, histories, _stationary(net, shape, weights), [layer[lowest] for layer in weights])


def _descend(energies, shape, stacked, iterations, rate):
    """Descend from all starts at once (they do not interact: Adam works entry by entry)."""
    weights = [layer.clone().requires_grad_() for layer in stacked]
    first, second = ([torch.zeros_like(layer) for layer in stacked] for _ in range(2))
    histories, best, lowest = [], shape(stacked), [math.inf] * len(stacked[0])
    for step in range(iterations + 1):
        current = shape(weights)
        values = energies(current)
        histories.append(_finite(values.detach()).tolist())
        best, lowest = _keep_lowest(histories[-1], lowest, current, best)
        if step == iterations:
            break
        gradients = torch.autograd.grad(values.sum(), weights)
        _adam(weights, gradients, first, second, step + 1, rate * (1 + math.cos(math.pi * step / iterations)) / 2)
    return tuple(zip(*histories, strict=True)), best


def _stationary(net, shape, weights):
    """Tell for each start whether its best weights are stationary under the convention (see ``Minimum``)."""
    weights = [layer.detach().clone().requires_grad_() for layer in weights]
    values = _batched(net)(shape(weights))
    gradients = torch.autograd.grad(values.sum(), weights)
    slope, size = (sum((layer**2).flatten(1).sum(1) for layer in layers) ** 0.5 for layers in (gradients, weights))
    small = (slope * size <= STATIONARY * values) | (values <= 1e-6 * net.atoms)
    return tuple(bool(one) for one in small.detach())


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

named(__name__)
