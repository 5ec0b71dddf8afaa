"""What a report costs: CPU seconds of a three-layer network and of a residual one of twenty layers, and peak memory."""

import torch

from benchmarks.costs import fresh, peak, timed
from deepatoms.learning import networks
from deepatoms.reports import report

NETWORKS = {
    "three layers, 200 inputs of 64": (lambda: networks.relu_network([64, 48, 32, 10]).float(), (200, 64)),
    "ResNet-20, 256 inputs of 3 x 32 x 32": (lambda: networks.residual_cnn((3, 32, 32), 10, (16, 32, 64), 3), (256, 3, 32, 32)),
}


def main(name=None):
    """Print the table; given a network's name, return its CPU seconds and MiB."""
    if name is None:
        for each in NETWORKS:
            seconds, size = fresh("reports", each)
            print(f"{each:40} {seconds:7.1f} CPU s {size:7.0f} MiB")
        return None
    build, shape = NETWORKS[name]
    torch.manual_seed(0)
    model, x = build().eval(), torch.randn(shape)
    report(torch.nn.Linear(2, 2).eval(), torch.randn(4, 2), nulls=0)  # imports
    return timed(lambda: report(model, x, torch.arange(len(x)) % 10))[1], peak()
