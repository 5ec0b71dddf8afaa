"""Neighbours in code, codes of a batch, exact partitions of a square and a cube, beside their peers, each in its own process."""

import numpy as np
import torch
from torch import nn

from benchmarks.costs import fresh, peak, timed
from deepatoms.learning import networks
from deepatoms.learning.training import seeded
from deepatoms.runs import results
from deepatoms.theory import partition
from deepatoms.theory.partition.codes import pack

POINTS, UNITS, QUERIES, NEIGHBOURS = 50_000, 8192, 100, 15
WAYS = {"neighbours": ("deepatoms", "scipy cdist", "scikit-learn brute"), "codes": ("forward pass", "deepatoms"),
        "planar": ("deepatoms", "grid 1000 x 1000", "relucent"),
        "space": ("deepatoms", "relucent")}


@results.experiment("partition-speed", [{"points": POINTS, "units": UNITS, "queries": QUERIES, "threads": 1}], minutes=4,
                    title="Neighbours, codes and planar partitions beside their peers")
def recorded(configuration, device):
    """Measure every way in a fresh process, so that peak memory is its own; CPU seconds."""
    return {task: {way: fresh("partition", task, way) for way in ways} for task, ways in WAYS.items()}


def main(task, way):
    """Return what one way needs, and its work."""
    torch.set_num_threads(1)
    return {"neighbours": neighbours, "codes": codes, "planar": planar, "space": space}[task](way)


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
    corners = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
    if way == "deepatoms":
        partition.slice_plane(model, corners, 1)
        found, exact = _measured(lambda: partition.slice_plane(model, corners), repeats=3)
        distinct = len(np.unique(np.concatenate([layer.bits for layer in exact.codes()], 1), axis=0))
        return {**found, "regions": len(exact), "distinct": distinct, "area": float(abs(exact.areas.sum() - 1))}
    if way == "relucent":
        return _relucent(model)
    found, regions = _measured(lambda: _grid(model))
    return {**found, "regions": regions}


def space(way):
    """Partition a cube under an untrained network with two layers of 32 units."""
    model = seeded(networks.relu_network, 0, widths=(3, 32, 32, 1))
    if way == "relucent":
        return _relucent(model)
    corners = torch.tensor([[-1.0, -1, -1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=torch.float64)
    partition.slice_space(model, corners, 1)
    found, exact = _measured(lambda: partition.slice_space(model, corners), repeats=3)
    return {**found, "regions": len(exact), "volume": float(abs(exact.volumes.sum() - 1))}


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
