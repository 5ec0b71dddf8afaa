"""How operators cut the input space (Section 7.1)."""

from functools import lru_cache

import numpy as np
import torch
from torch import nn

from deepatoms.claims.checking import EXHAUSTIVE, Measurement, check, examples, instances
from deepatoms.learning import networks
from deepatoms.learning.training import seeded
from deepatoms.theory import partition
from deepatoms.theory.partition.extension import observe
from deepatoms.theory.partition.graph import average_degree
from deepatoms.theory.piecewise import trace

BOX = torch.tensor([[-3.0, -3.0], [3.0, -3.0], [-3.0, 3.0]], dtype=torch.float64)
LINES = (10, 50, 150)
POOLED = 200_000


def _double(array):
    return torch.as_tensor(array, dtype=torch.float64)


@check("spl.def1/layers", examples(1, of="networks"))
def layers(setting):
    """Run the authors' small CNN once and count its non-affine operators."""
    found = trace(networks.small_cnn().eval(), torch.zeros(1, 3, 32, 32), codes=False).nonlinearities
    return Measurement(len(found), sum("pool" in each.operation for each in found), count=1)


# ---- counts ----

@check("spl.relu_regions/count", EXHAUSTIVE)
def relu_count(setting):
    """Count the codes of a coordinate ReLU over all sign vectors, and the regions of ten lines; then with one unit copied."""
    found = [[_orthants(dimension, copied) / 2**dimension for copied in (False, True)] for dimension in range(2, 13)]
    ratios, copied = zip(*found, strict=True)
    return Measurement(max(*ratios, len(lines_in_the_plane(setting, 10)) / 2**10), max(copied))


def _orthants(dimension, copied):
    """Count the codes of a ReLU that sees every coordinate, or in place of the last one the first once more."""
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * dimension).reshape(-1, dimension)
    if copied:
        signs[:, -1] = signs[:, 0]
    codes = partition.region_codes(nn.ReLU(), signs, chunk=5000)[0]
    return len(np.unique(codes.bits, axis=0))


@lru_cache(maxsize=8)
def lines_in_the_plane(setting, count, parallel=False):
    """Return the exact partition by lines at spread angles and normal offsets, in a square that holds every crossing."""
    random = setting.numpy(f"lines {count}")
    angles = (np.arange(count) + random.uniform(0.25, 0.75, count)) * np.pi / count
    normals = np.stack([np.cos(angles), np.sin(angles)], 1)
    offsets = random.normal(size=count)
    first, second = np.triu_indices(count, 1)
    pairs, right = (np.stack([each[first], each[second]], 1) for each in (normals, -offsets[:, None]))
    crossings = np.linalg.solve(pairs, right)
    half = 2 * abs(crossings).max()
    layer = nn.Linear(2, count).double()
    with torch.no_grad():
        layer.weight.copy_(_double(normals[:1].repeat(count, 0) if parallel else normals))
        layer.bias.copy_(_double(offsets))
    return partition.slice_plane(nn.Sequential(layer, nn.ReLU()), half * _double([[-1, -1], [1, -1], [-1, 1]]))


@check("spl.relu_regions/planar_count", instances(len(LINES), of="arrangements"))
def planar_count(setting):
    """Compare the exact count of regions of 10, 50 and 150 lines with 1 + n + n (n - 1) / 2."""
    excess = [[abs(len(lines_in_the_plane(setting, n, parallel)) - partition.planar_regions(n)) for n in LINES]
              for parallel in (False, True)]
    return Measurement(max(excess[0]), min(excess[1]), count=len(excess[0]))


@check("spl.pool_regions/count", examples(4, of="operators"))
def pool_count(setting):
    """Count the argmax codes that 200,000 random inputs find, for disjoint and for overlapping windows."""
    generator = setting.torch("pool")
    windows = ((2, 2, 12), (3, 3, 7), (4, 4, 6), (3, 1, 7))  # cells, stride, outputs
    found = [_pool_codes(generator, cells, stride, outputs) / cells**outputs for cells, stride, outputs in windows]
    return Measurement(max(found), found[-1], count=len(found))


def _pool_codes(generator, cells, stride, outputs):
    x = torch.randn(POOLED, 1, 1, cells + stride * (outputs - 1), generator=generator)
    codes = np.asarray(partition.region_codes(nn.MaxPool2d((1, cells), stride), x, chunk=20_000)[0])
    return len(np.unique(codes @ cells ** np.arange(outputs)))


# ---- where the boundaries are ----

@check("spl.rotates/right_angles", instances(100, of="layers"))
def right_angles(setting):
    """Read the normals of all walls of 100 random layers off their exact regions; orthogonal weights are the control."""
    generator = setting.torch("right_angles")
    random, orthogonal = [], []
    for _ in range(100):
        W = torch.randn(8, 8, generator=generator, dtype=torch.float64)
        random.append(_largest_cosine(W))
        orthogonal.append(_largest_cosine(torch.linalg.qr(W)[0]))
    return Measurement(max(random), max(orthogonal), count=len(random))


def _layer(W, bias):
    layer = nn.Linear(W.shape[1], W.shape[0]).double()
    with torch.no_grad():
        layer.weight.copy_(W)
        layer.bias.copy_(bias)
    return layer


def _largest_cosine(W):
    model = nn.Sequential(_layer(W, torch.linspace(-1, 1, len(W))), nn.ReLU())
    basis = torch.eye(W.shape[1], dtype=torch.float64)
    normals = nn.functional.normalize(observe(model, basis[:1] / 3, basis)[0][0].slopes[:, 0].T, dim=1)
    return float((normals @ normals.T).fill_diagonal_(0).abs().max())


@check("spl.rotates/preimage", instances(100, of="layers"))
def preimage(setting):
    """Find boundary points of 100 random layers by bisection on the layer's own output, and measure their distances."""
    generator = setting.torch("preimage")
    shapes, scales = ((8, 8), (8,), (64, 8), (64, 8)), (1, 1, 3, 3)
    drawn = [[scale * torch.randn(shape, generator=generator, dtype=torch.float64)
              for shape, scale in zip(shapes, scales, strict=True)] for _ in range(100)]
    W, bias, near, far = map(torch.stack, zip(*drawn, strict=True))
    unit = torch.arange(64) % 8
    points, crossing = _boundary_points(W, bias, near, far, unit)
    rows, lengths = W[:, unit], W.norm(dim=2)[:, unit]
    levels = (points * rows).sum(2)
    measured, control = ((crossing * each.abs() / lengths).amax(1) for each in (levels + bias[:, unit], levels))
    return Measurement(float(measured.max()), float(control.min()), count=len(W))


def _boundary_points(W, bias, near, far, unit):
    """Bisect segments at whose ends one unit of a layer's output is on and off, many layers at once."""
    def on(points):
        return torch.relu(points @ W.mT + bias[:, None])[:, torch.arange(len(unit)), unit] > 0

    start = on(near)
    crossing = start != on(far)
    for _ in range(60):
        middle = (near + far) / 2
        same = (on(middle) == start)[..., None]
        near, far = torch.where(same, middle, near), torch.where(same, far, middle)
    return near, crossing


# ---- layer by layer ----

@lru_cache(maxsize=2)
def planar_nets(setting):
    """Return three planar nets of three layers of 16 units, with torch's default weights and biases."""
    return [seeded(networks.relu_network, 100 * setting.seed + number, widths=(2, 16, 16, 16, 3)) for number in range(3)]


@check("spl.refine/nested", instances(3, of="networks"))
def nested(setting):
    """Evaluate five random points of each exact polygon and look for a second code of the layers before."""
    random = setting.numpy("nested")
    violations, mixed = 0, 0
    for model in planar_nets(setting):
        for level in (1, 2):
            found = partition.slice_plane(model, BOX, level + 1)
            codes = partition.region_codes(model, found.points(_inside(random, found)))
            before = np.concatenate([layer.bits for layer in codes[:level]], 1)
            violations += _groups_with_two(before, np.repeat(np.arange(len(found)), 5))
            mixed += _groups_with_two(before, np.unique(codes[level].bits, axis=0, return_inverse=True)[1].ravel())
    return Measurement(violations, mixed, count=len(planar_nets(setting)))


def _inside(random, found):
    """Return five random mixtures of each polygon's corners, polygon by polygon."""
    used = np.arange(found.vertices.shape[1]) < found.counts[:, None]
    weights = random.uniform(0.05, 1, (len(found), 5, found.vertices.shape[1])) * used[:, None]
    return np.einsum("rpv,rvd->rpd", weights / weights.sum(2, keepdims=True), found.vertices).reshape(-1, 2)


def _groups_with_two(codes, groups):
    """Return the number of groups that hold more than one code."""
    labels = np.unique(codes, axis=0, return_inverse=True)[1].ravel()
    pairs = np.unique(np.stack([groups, labels], 1), axis=0)
    return int((np.bincount(pairs[:, 0]) > 1).sum())


@check("spl.refine/area", instances(3, of="networks"))
def area(setting):
    """Sum the areas of all polygons, and of those that a 200 x 200 grid finds."""
    measured, control = [], []
    for model in planar_nets(setting):
        found = partition.slice_plane(model, BOX)
        measured.append(abs(found.areas.sum() - 1))
        control.append(abs(found.areas[seen_by_a_grid(model, found)].sum() - 1))
    return Measurement(max(measured), max(control), count=len(measured))


def seen_by_a_grid(model, found, steps=200):
    """Return which regions of an exact partition hold a point of a grid."""
    axis = (np.arange(steps) + 0.5) / steps
    grid = np.stack(np.meshgrid(axis, axis), 2).reshape(-1, 2)
    codes = [np.concatenate([layer.bits for layer in partition.region_codes(model, points, 10_000)], 1)
             for points in (found.points(grid), found.points(found.centres))]
    seen = set(map(bytes, codes[0]))
    return np.array([bytes(row) in seen for row in codes[1]])


# ---- the graph of the regions ----

DEGREE_WIDTHS = ((2, 16, 16, 16, 3), (2, 64, 3), (2, 8, 8, 8, 8, 8, 3))


@lru_cache(maxsize=2)
def degrees(setting):
    """Return the average degrees of the region graphs of twelve ReLU networks, and of four Voronoi diagrams."""
    relus = [seeded(networks.relu_network, 100 * setting.seed + number, widths=widths)
             for widths in DEGREE_WIDTHS for number in range(4)]
    maxima = [seeded(one_maximum, 100 * setting.seed + number) for number in range(4)]
    return [[average_degree(partition.slice_plane(model, BOX)) for model in models] for models in (relus, maxima)]


def one_maximum(dimension=2):
    """Return the maximum of 60 tangent planes of a paraboloid: its regions are the Voronoi cells of 60 random points."""
    side = 6 if dimension == 2 else 4
    points = side * torch.rand(60, dimension, dtype=torch.float64) - side / 2
    return nn.Sequential(_layer(points, -points.square().sum(1) / 2), nn.Unflatten(1, (1, 60)), nn.MaxPool1d(60), nn.Flatten())


SPACE = torch.tensor([[-2.0, -2, -2], [2, -2, -2], [-2, 2, -2], [-2, -2, 2]], dtype=torch.float64)
SPACE_WIDTHS = ((3, 16, 3), (3, 8, 8, 3), (3, 6, 6, 6, 3))


class Skipped(nn.Module):
    """Two residual blocks of eight units: ReLU layers with an identity around each."""

    def __init__(self, inputs):
        super().__init__()
        self.stem, self.last = nn.Linear(inputs, 8), nn.Linear(8, 3)
        self.blocks = nn.ModuleList([nn.Linear(8, 8) for _ in range(2)])
        self.double().eval()

    def forward(self, x):
        """Return three scores."""
        x = torch.relu(self.stem(x))
        for block in self.blocks:
            x = x + torch.relu(block(x))
        return self.last(x)


def pooled(inputs):
    """Return a network that takes the maximum of windows of four units in place of a ReLU, twice."""
    layers = [nn.Linear(inputs, 24), nn.Unflatten(1, (1, 24)), nn.MaxPool1d(4), nn.Flatten(),
              nn.Linear(6, 24), nn.Unflatten(1, (1, 24)), nn.MaxPool1d(4), nn.Flatten(), nn.Linear(6, 3)]
    return nn.Sequential(*layers).double().eval()


@lru_cache(maxsize=2)
def degrees_in_space(setting):
    """Return the average degrees in space of nine ReLU networks and of three Voronoi diagrams."""
    relus = [seeded(networks.relu_network, 100 * setting.seed + number, widths=widths)
             for widths in SPACE_WIDTHS for number in range(3)]
    maxima = [seeded(one_maximum, 100 * setting.seed + number, dimension=3) for number in range(3)]
    return [[average_degree(partition.slice_space(model, SPACE)) for model in models] for models in (relus, maxima)]


@check("spl.degree/space", instances(9, of="networks"))
def average_in_space(setting):
    """Count the faces that two regions share, exactly; under one maximum more regions meet in an edge."""
    relus, maxima = degrees_in_space(setting)
    return Measurement(max(relus), min(maxima), count=len(relus))


def degree_shares(setting, build):
    """Return the average degree over 2 d of three networks in the plane, and of three in space."""
    plane, space = ([seeded(build, 100 * setting.seed + number, inputs=inputs) for number in range(3)] for inputs in (2, 3))
    return [*(average_degree(partition.slice_plane(model, BOX)) / 4 for model in plane),
            *(average_degree(partition.slice_space(model, SPACE)) / 6 for model in space)]


@check("spl.degree_skips/average", instances(6, of="networks"))
def average_with_skips(setting):
    """Count the sides and faces that two regions share, with skips around the layers."""
    shares = degree_shares(setting, Skipped)
    return Measurement(max(shares), min(degrees_in_space(setting)[1]) / 6, count=len(shares))


@check("spl.degree/average", instances(12, of="networks"))
def average(setting):
    """Count the sides that two regions share, exactly; where three regions meet in a vertex the average may be larger."""
    relus, maxima = degrees(setting)
    return Measurement(max(relus), min(maxima), count=len(relus))
