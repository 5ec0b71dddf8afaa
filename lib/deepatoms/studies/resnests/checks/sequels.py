"""What the authors proved next: a ReLU network for every piecewise affine function, no larger than quadratic in its pieces."""

import numpy as np
import torch

from deepatoms.claims.checking import Measurement, check, instances
from deepatoms.runs.prefetch import Remembered
from deepatoms.theory import partition, resnests

NETS = 30


@Remembered
def functions(setting):
    """Return, for random ReLU nets 2-6-4-1 on a square: affine pieces, their corners and 1,000 points with the net's values."""
    corners = torch.tensor([[-2.0, -2.0], [2.0, -2.0], [-2.0, 2.0]], dtype=torch.float64)
    found = []
    for _ in range(NETS):
        net, rng = random_net(setting, len(found)), setting.numpy(f"points {len(found)}")
        cut = partition.slice_plane(net, corners)
        slopes, offsets = cut.affine_maps()
        points = rng.random((1000, 2))
        with torch.no_grad():
            values = net(cut.points(points)).numpy()[:, 0]
        found.append((slopes[:, 0], offsets[:, 0], cut.polygons(), points, values))
    return found


def random_net(setting, number):
    """Return a net with weights and biases N(0, 1 / fan-in)."""
    generator = setting.torch(f"piecewise {number}")
    net = torch.nn.Sequential(torch.nn.Linear(2, 6), torch.nn.ReLU(), torch.nn.Linear(6, 4), torch.nn.ReLU(),
                              torch.nn.Linear(4, 1)).double()
    with torch.no_grad():
        for layer in net[::2]:
            for part in (layer.weight, layer.bias):
                part.copy_(torch.randn(part.shape, generator=generator, dtype=torch.float64) / layer.in_features**0.5)
    return net.eval()


@check("nest.cpwl/equal", instances(NETS, of="networks"))
def rebuilt(setting):
    """Rebuild each net from its pieces and compare at 1,000 points; the control looks at one point of each piece."""
    def error(slopes, offsets, polygons, points, values):
        sets = resnests.lattice_sets(slopes, offsets, polygons)
        return abs(resnests.lattice_network(slopes, offsets, sets)(points)[0] - values).max()

    found = [error(*each) for each in functions(setting)]
    control = [error(slopes, offsets, [corners.mean(0, keepdims=True) for corners in polygons], *rest)
               for slopes, offsets, polygons, *rest in functions(setting)]
    return Measurement(max(found), max(control), count=len(found))


@check("nest.cpwl/neurons", instances(NETS, of="networks"))
def neurons(setting):
    """Divide the neurons of each rebuilt net by the bound; the control joins one pair a layer instead of all."""
    def share(slopes, offsets, polygons, chain):
        sets = resnests.lattice_sets(slopes, offsets, polygons)
        count = resnests.lattice_network(slopes, offsets, sets, chain)(np.zeros((1, 2)))[1]
        return count / resnests.neuron_bound(len(resnests.components(slopes, offsets)), len(slopes))

    found, control = ([share(*each[:3], chain) for each in functions(setting)] for chain in (False, True))
    return Measurement(max(found), max(control), count=len(found))
