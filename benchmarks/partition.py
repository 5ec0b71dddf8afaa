"""Neighbours in code, codes of a batch, exact partitions of a square and a cube, beside their peers, each in its own process."""

import importlib.util
import itertools
import pathlib

import numpy as np
import torch
from torch import nn

from benchmarks import resnet18
from benchmarks.costs import fresh, peak, timed
from deepatoms.learning import networks
from deepatoms.learning.training import seeded
from deepatoms.runs import results
from deepatoms.theory import partition
from deepatoms.theory.partition.codes import pack

POINTS, UNITS, QUERIES, NEIGHBOURS = 50_000, 8192, 100, 15
WAYS = {"neighbours": ("deepatoms", "scipy cdist", "scikit-learn brute"), "codes": ("forward pass", "deepatoms"),
        "planar": ("deepatoms", "edge subdivision", "grid 1000 x 1000", "relucent"),
        "space": ("deepatoms", "edge subdivision", "relucent"),
        "skips and max-pooling": ("deepatoms", "edge subdivision", "relucent")}
# Networks that edge subdivision's authors trained, in the folder of that program: file, and dimension of the input.
THEIRS = {"2-50-50-1": ("2,2x50,relu,bunny", 2), "2-100-100-1": ("2,2x100,relu,bunny", 2),
          "2-32-32-32-32-1": ("2,4x32,relu,bunny", 2), "3-16-16-16-1": ("3,3x16,relu,bunny", 3)}
ALTERNATE = ("deepatoms", "edge subdivision")  # run in turn, because a machine's speed drifts
IMAGE = 32  # pixels on a side of the two images between which ResNet-18 is followed


@results.experiment("partition-speed", [{"points": POINTS, "units": UNITS, "queries": QUERIES, "threads": 1},
                                        {"tasks": ["planar", "space", "skips and max-pooling"], "threads": 1},
                                        {"tasks": [*THEIRS], "threads": 1},
                                        {"tasks": ["segment of ResNet-18"], "image": IMAGE, "threads": 1}], minutes=14,
                    title="Neighbours, codes and exact partitions beside their peers")
def recorded(configuration, device):
    """Measure every way in a fresh process, so that peak memory is its own; CPU seconds, of the best of three for the fast."""
    tasks = configuration.get("tasks", ["neighbours", "codes"])
    return {task: _in_turn(task, WAYS.get(task, ALTERNATE)) for task in tasks}


def _in_turn(task, ways):
    found = {way: fresh("partition", task, way) for way in ways}
    for way in 2 * [way for way in ways if way in ALTERNATE and found[way].get("seconds", 9) < 1]:
        found[way] = min(found[way], fresh("partition", task, way), key=lambda each: each["seconds"])
    return found


def main(task, way):
    """Return what one way needs, and its work."""
    torch.set_num_threads(1)
    if task in THEIRS:
        return _theirs(way, task)
    ways = {"neighbours": neighbours, "codes": codes, "planar": planar, "space": space, "skips and max-pooling": beyond,
            "segment of ResNet-18": segment}
    return ways[task](way)


def _measured(function, repeats=1, between=lambda: None):
    """Return the best CPU time of some calls (with another in ``between``), the growth of peak memory in MiB, the last value."""
    start, found = peak(), []
    for _ in range(repeats):
        between()
        value, spent = timed(function)
        found.append(spent)
    return {"seconds": min(found), "mebibytes": peak() - start}, value


def neighbours(way):
    """Find fifteen neighbours of 100 queries among 50,000 codes of 8,192 units; all ways start from packed or plain bits."""
    random = np.random.default_rng(0)
    bits = random.integers(0, 256, (POINTS + QUERIES, UNITS // 8), np.uint8)
    base, queries = bits[:POINTS], bits[POINTS:]
    if way == "deepatoms":
        import faiss
        faiss.omp_set_num_threads(1)
        layers = [partition.LayerCodes(each, UNITS, 2) for each in (base, queries)]
        partition.neighbours(layers[0][:100], layers[1][:2], 1)
        found, near = _measured(lambda: partition.neighbours(*layers, NEIGHBOURS), repeats=3)
        distances = near.distances[:, :NEIGHBOURS]
    else:
        plain = [np.unpackbits(each, axis=1).astype(bool) for each in (base, queries)]
        found, distances = _measured(lambda: _peer(way, *plain))
    return {**found, "work": QUERIES, "unit": "queries", "checksum": float(np.round(distances * UNITS).sum())}


def _peer(way, base, queries):
    if way == "scipy cdist":
        from scipy.spatial.distance import cdist
        return np.sort(np.partition(cdist(queries, base, "hamming"), NEIGHBOURS, axis=1)[:, :NEIGHBOURS], axis=1)
    from sklearn.neighbors import NearestNeighbors
    index = NearestNeighbors(n_neighbors=NEIGHBOURS, algorithm="brute", metric="hamming").fit(base)
    return index.kneighbors(queries)[0]


def codes(way):
    """Run the authors' small CNN on 256 CIFAR-sized images, or compute their codes, packed; both in turn, one is timed."""
    model = seeded(networks.small_cnn, 0).eval().requires_grad_(False)
    x = torch.randn(256, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    calls = {"forward pass": lambda: model(x), "deepatoms": lambda: partition.region_codes(model, x)}
    mine = calls.pop(way)
    with torch.no_grad():
        first = _measured(mine)[0]
        again = _measured(mine, repeats=15, between=calls.popitem()[1])[0]
        return {**first, "seconds": again["seconds"], "work": len(x), "unit": "images"}


def planar(way):
    """Partition a square under an untrained network with three layers of 64 units, exactly or by a grid."""
    model = seeded(networks.relu_network, 0, widths=(2, 64, 64, 64, 1))
    if way == "grid 1000 x 1000":
        found, regions = _measured(lambda: _grid(model))
        return {**found, "regions": regions}
    return _exactly(way, model)


def space(way):
    """Partition a cube under an untrained network with two layers of 32 units."""
    return _exactly(way, seeded(networks.relu_network, 0, widths=(3, 32, 32, 1)))


def beyond(way):
    """Partition a plane through the inputs of a small convolutional network with a skip and max-pooling."""
    if way != "deepatoms":
        return {"not_run": "takes chains of affine layers and ReLU only"}
    model = seeded(_skipping, 0)
    corners = 3 * torch.randn(3, 1, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found, exact = _measured(lambda: partition.slice_plane(model, corners), repeats=3)
    return {**found, "regions": len(exact), "outside": float(abs(exact.areas.sum() - 1))}


def segment(way):
    """Count the pieces of an untrained ResNet-18 of full width on all of the segment between two images."""
    if way != "deepatoms":
        return {"not_run": "takes chains of affine layers and ReLU only"}
    model, (start, end) = resnet18.resnet18(), resnet18.images(IMAGE)
    found, walls = _measured(lambda: partition.slice_segment(model, start, end))
    still, missed = resnet18.faults(model, start, end, walls)
    return {**found, "work": len(walls) + 1, "unit": "pieces", "faults": len(still) + len(missed)}


def _theirs(way, task):
    """Partition the box [-1, 1]^d under a network that edge subdivision's authors trained."""
    there, (file, inputs) = importlib.util.find_spec("edge_subdivision"), THEIRS[task]
    if there is None:
        return {"not_run": "their networks lie beside edge subdivision, which is not on the path"}
    weights = torch.load(pathlib.Path(there.origin).parent / "models" / file, map_location="cpu")
    model = networks.relu_network((inputs, *(len(each) for name, each in weights.items() if name.endswith("bias"))))
    for layer, (weight, bias) in zip([each for each in model if isinstance(each, nn.Linear)],
                                     zip(*[iter(weights.values())] * 2, strict=True), strict=True):
        layer.load_state_dict({"weight": weight, "bias": bias})
    return _exactly(way, model)


class _Skip(nn.Module):
    """x + f(x)."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        """Add what goes around."""
        return x + self.inner(x)


def _skipping():
    block = _Skip(nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1)))
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), block, nn.MaxPool2d(2), nn.Flatten(),
                         nn.Linear(36, 3)).double().eval().requires_grad_(False)


def _exactly(way, model):
    """Partition the box [-1, 1]^d; the sign of the output takes part, as in edge subdivision."""
    if way == "edge subdivision":
        return _edge_subdivision(model)
    if way == "relucent":
        return _relucent(model)
    model = nn.Sequential(model.requires_grad_(False), nn.ReLU())
    inputs = next(model.parameters()).shape[1]
    box = torch.cat([-torch.ones(1, inputs), 2 * torch.eye(inputs) - 1]).double()
    cut = partition.slice_plane if inputs == 2 else partition.slice_space
    cut(model, box, 1)
    found, exact = _measured(lambda: cut(model, box), repeats=5)
    return {**found, "regions": len(exact), "outside": float(abs(exact.cells.sizes.sum() - 1))}


def _edge_subdivision(model):
    """Let edge subdivision (github.com/arturs-berzins/relu_edge_subdivision, float32) do the same, where it is on the path.

    It returns corners and edges with their signs; its regions are counted here, outside of the time: the sign vectors around
    the corners, each of which lies on as many walls as there are inputs.
    """
    try:
        from edge_subdivision import skeletal_subdivision
        from NN import Net
    except ImportError as missing:
        return {"not_run": f"{missing}"}
    layers = [layer for layer in model if isinstance(layer, nn.Linear)]
    net = Net([layers[0].in_features, *(layer.out_features for layer in layers)])
    for mine, theirs in zip(layers, net.fcs, strict=True):
        theirs.load_state_dict(mine.state_dict())
    net.requires_grad_(False)
    found, (_, _, signs) = _measured(lambda: skeletal_subdivision(net, bbox=(-1, 1), device="cpu", verbose=False), repeats=5)
    return {**found, "regions": _around(signs.numpy()[:, -sum(layer.out_features for layer in layers):])}


def _around(signs):
    """Return the number of sign vectors without zeros that lie around those with some."""
    found = set()
    for row in signs:
        zeros = np.flatnonzero(row == 0)
        for choice in itertools.product((-1, 1), repeat=len(zeros)):
            row[zeros] = choice
            found.add(row.tobytes())
    return len(found)


def _grid(model, side=1000):
    """Count distinct codes on a grid, from plain forward passes."""
    axis = torch.linspace(-1, 1, side, dtype=torch.float64)
    seen = set()
    with torch.no_grad():
        for rows in axis.split(50):
            x, signs = torch.cartesian_prod(rows, axis), []
            for layer in model[:-1]:
                x = layer(x)
                if isinstance(layer, nn.ReLU):
                    signs.append((x > 0).numpy())
            packed = pack(np.concatenate(signs, 1), 2)
            seen.update(map(bytes, np.unique(packed, axis=0)))
    return len(seen)


def _relucent(model):
    """Let relucent search 100 regions, one worker, where it and its solver are installed."""
    try:
        import relucent
    except ImportError as missing:
        return {"not_run": f"{missing}"}
    complex_ = relucent.Complex(relucent.convert(model))
    found, _ = _measured(lambda: complex_.bfs(max_polys=100, nworkers=1, verbose=0))
    return {**found, "regions": len(complex_)}
