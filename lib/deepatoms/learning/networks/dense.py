"""Dense ReLU networks, the ones whose regions can be drawn or counted."""

from collections.abc import Sequence

from torch import nn

from deepatoms.theory.signatures import named


def relu_network(widths: Sequence[int]) -> nn.Sequential:
    """Return a dense ReLU network with torch's initialisation, in float64 and evaluation mode.

    Args:
        widths: inputs, units of each hidden layer, outputs.

    >>> relu_network((2, 3, 1))
    Sequential(
      (0): Linear(in_features=2, out_features=3, bias=True)
      (1): ReLU()
      (2): Linear(in_features=3, out_features=1, bias=True)
    )
    """
    layers = [layer for pair in zip(widths[:-1], widths[1:], strict=True) for layer in (nn.Linear(*pair), nn.ReLU())]
    return nn.Sequential(*layers[:-1]).double().eval()


named(__name__)
