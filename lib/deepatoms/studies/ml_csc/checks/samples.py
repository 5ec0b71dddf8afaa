"""Signals that the checks of this chapter share, and one trial of a pursuit on them."""

from dataclasses import dataclass

import numpy as np
import torch

from deepatoms.runs.prefetch import Remembered
from deepatoms.theory import convolutional, multilayer, pursuit, stability

CHUNK = 100
POOL = {"K2-1D": 400, "K3-1D": 350, "K2-compact": 320, "K2-2D": 44, "K3-2D": 44}


@dataclass(frozen=True)
class Group:
    """Signals of one configuration and what the theory needs to know of their layers."""

    signals: multilayer.Signals
    layers: list

    def __getitem__(self, rows):
        """Return some of the signals."""
        return Group(self.signals[rows], [select(layer, rows) for layer in self.layers])

    def __len__(self):
        return len(self.signals)


def select(layer, rows):
    """Return the numbers of some signals."""
    return stability.LayerNumbers(*(value[rows] for value in (layer.coherence, layer.stripes, layer.patches, layer.smallest,
                                                       layer.largest)))


def group(setting, name, count, label="signals", **changes):
    """Draw signals of a configuration on the setting's device, with designs of its seed, and measure their layers."""
    signals = multilayer.draw(name, count, setting.numpy(f"{label} {name}"), design_seed=setting.seed, **changes)
    signals = signals.to(setting.device)
    return Group(signals, stability.layers(signals.dictionaries, signals.codes))


@Remembered
def pool(setting, name, nonnegative):
    """Return the signals of a configuration that the checks share, drawn without regard to certificates."""
    return group(setting, name, POOL[name], f"pool {nonnegative}", nonnegative=nonnegative)


def certified(setting, name, count, kind="soft", nonnegative=False, signed=False):
    """Return the first signals of the pool that are certified for some noise (``signed``: with a negative entry)."""
    drawn = pool(setting, name, nonnegative)
    good = stability.largest_certified_noise(drawn.layers, kind=kind) > 0
    if signed:
        good &= np.any([(code < 0).flatten(1).any(1).cpu().numpy() for code in drawn.signals.codes], axis=0)
    rows = np.flatnonzero(good)[:count]
    if len(rows) < count:
        raise ValueError(f"only {len(rows)} of {len(drawn)} drawn signals of {name} are certified; {count} are needed")
    return drawn[rows]


def with_random_filters(setting, drawn):
    """Return the layers' numbers of the same codes when the first layer's filters are Gaussian, of unit norm."""
    trained, *deeper = drawn.signals.dictionaries
    draw = setting.torch("random filters")
    filters = torch.stack([convolutional.normalize_filters(torch.randn(each.shape, dtype=each.dtype, generator=draw))
                           for each in trained.filters.cpu()])
    first = convolutional.ConvolutionalDictionary(filters.to(trained.filters.device), trained.grid)
    return stability.layers([first, *deeper], drawn.signals.codes)


def chunks(drawn):
    """Split a group, so that two-dimensional batches stay small."""
    size = 10 if len(drawn.signals.dictionaries[0].grid) == 2 else CHUNK
    for start in range(0, len(drawn), size):
        yield np.arange(start, min(start + size, len(drawn)))


def thresholded(signals, noise, thresholds, kind="soft"):
    """Return layered thresholding of the noisy signals, thresholds one for each signal."""
    return pursuit.layered_thresholding(signals.signal + noise, signals.dictionaries,
                                        [signals.aligned(threshold) for threshold in thresholds], kind)


def noises(setting, drawn, size, label):
    """Return the two noises of Theorem 2's checks: Gaussian, and the one that shrinks every coefficient."""
    return [multilayer.gaussian_noise(drawn.signals, size, setting.numpy(label)), multilayer.worst_noise(drawn.signals, size)]
