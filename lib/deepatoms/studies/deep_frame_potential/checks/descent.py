"""Sections 4.1, 4.2 and 1: what descent reaches under each convention for magnitudes, and what an evaluation costs."""

import functools

import numpy as np
from torch.utils.flop_counter import FlopCounterMode

from deepatoms.claims.checking import Measurement, check, examples, experiment
from deepatoms.runs.prefetch import Remembered
from deepatoms.studies.deep_frame_potential.checks.bounds import free_descents
from deepatoms.theory import frame_potential, induced

# ---- does the minimum depend on the start? ----


@Remembered
def unit_runs(setting):
    """Return what three seeds reach with unit magnitudes, by (family, n), base width 4, 100 steps."""
    seeds = [3 * setting.seed + i for i in range(3)]
    return {(family, n): frame_potential.minimize(induced.cifar(family, n, 4), "unit", seeds,
                                                  descent=frame_potential.Descent(100, 0.05), device=setting.device)
            for family in ("resnet", "chain") for n in (1, 2)}


@Remembered
def free_runs(setting):
    """Return the energies that the analysis chain (n = 2, base width 4) reaches with free magnitudes from three gains."""
    net = induced.cifar("chain", 2, 4)
    starts = [net.init(setting.seed, gain) for gain in (0.02, 2.0, 30.0)]
    return frame_potential.minimize(net, "free", starts=starts, descent=frame_potential.Descent(40, 0.03),
                                    device=setting.device)


@check("dfp.structure_only/unit_magnitudes", experiment(3))
def unit_magnitudes(setting):
    """Descend from three seeds with unit-norm filter blocks; control: free magnitudes from three gains."""
    runs = unit_runs(setting).values()
    return Measurement(max(found.spread for found in runs), free_runs(setting).spread,
                       count=min(len(found.energies) for found in runs))


@check("dfp.structure_only/free_magnitudes", examples(3, of="starts"))
def free_magnitudes(setting):
    """Descend with free magnitudes from three gains; control: unit magnitudes from three seeds."""
    runs, free = unit_runs(setting), free_runs(setting)
    return Measurement(free.spread, max(runs[family, 2].spread for family in ("resnet", "chain")), count=len(free.energies))


@functools.lru_cache(maxsize=2)
def one_layer_excess(setting):
    """Return the excesses over the closed form, single layers of two sizes, ten starts, 200 steps; shape (sizes, starts)."""
    found = []
    for sizes in ([64, 128], [16, 64]):
        starts = [induced.chain(sizes).init(10 * setting.seed + i) for i in range(10)]
        found.append(frame_potential.descend(starts, 200) / frame_potential.chain_bracket(sizes)[1] - 1)
    return np.array(found)


@check("dfp.descent/structured", examples(3, of="starts"))
def structured(setting):
    """Descend on the chain 16-32-32 with free magnitudes from three starts; control: single layers."""
    attained, found = frame_potential.chain_bracket([16, 32, 32])[1], free_descents(setting)
    return Measurement(max(found) / attained - 1, one_layer_excess(setting).max(), count=len(found))


@check("dfp.descent/one_layer", experiment(10))
def one_layer(setting):
    """Descend on single layers from ten starts; control: the chain 16-32-32 from c = 3."""
    attained = frame_potential.chain_bracket([16, 32, 32])[1]
    found = one_layer_excess(setting)
    return Measurement(found.max(), free_descents(setting)[1] / attained - 1, count=found.shape[1])


# ---- the cost of an evaluation ----

def multiply_adds(net):
    """Count the multiply-adds that matrix products and convolutions take in one evaluation of the energy."""
    weights = net.init(0)
    with FlopCounterMode(display=False) as counter:
        frame_potential.energy(net, weights)
    return counter.get_total_flops() // 2


def _connected(net):
    """Multiply-adds of explicit Gram blocks, only between connected layers and over the rows that both use."""
    pattern, total = net.pattern() > 0, 0
    units = [net.layers[j].channels * net.positions(j) for j in range(1, net.depth + 1)]
    rows = [net.layers[j].channels * net.positions(j) for j in net.row_layers]
    for a in range(net.depth):
        for b in range(net.depth):
            total += units[a] * units[b] * sum(size for size, own in zip(rows, pattern, strict=True) if own[a] and own[b])
    return total


@check("dfp.efficient/speed", examples(1, of="networks"))
def speed(setting):
    """Divide the multiply-adds of the explicit Gram product by those of one evaluation."""
    net = induced.cifar("resnet", 1, 1, image=20)
    explicit = net.rows * net.atoms**2
    return Measurement(explicit / multiply_adds(net), explicit / _connected(net), count=1)


@check("dfp.efficient/size_free", examples(1, of="networks"))
def size_free(setting):
    """Divide the multiply-adds at 64 x 64 by those at 32 x 32; control: the explicit product at 40 x 40 and 20 x 20."""
    large, small = (induced.cifar("resnet", 2, 4, image=image) for image in (64, 32))
    explicit = [net.rows * net.atoms**2 for net in (induced.cifar("resnet", 1, 1, image=image) for image in (40, 20))]
    return Measurement(multiply_adds(large) / multiply_adds(small), explicit[0] / explicit[1], count=1)
