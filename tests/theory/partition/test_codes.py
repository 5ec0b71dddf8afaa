"""Codes, their distance and neighbours, against plain NumPy; and the walls of a region."""

import little
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from deepatoms.theory import partition
from deepatoms.theory.partition import LayerCodes
from deepatoms.theory.partition.codes import pack, unpack
from deepatoms.theory.piecewise import NotPiecewiseAffineError


def reference_neighbours(base, queries, k):
    """Return Eq. 15's distances of all pairs, and weights that share ties for the k-th place."""
    distances = (queries[:, None] != base[None]).mean(2)
    last = np.sort(distances, 1)[:, k - 1:k]
    nearer, tied = distances < last, distances == last
    return distances, (nearer + tied * (k - nearer.sum(1, keepdims=True)) / tied.sum(1, keepdims=True)) / k


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 9), st.integers(1, 40))
def test_packing_keeps_codes_and_distances(seed, pieces, units):
    codes = np.random.default_rng(seed).integers(0, pieces, (7, units))
    packed = LayerCodes(pack(codes, pieces), units, pieces)
    assert np.array_equal(np.asarray(packed), codes) and np.array_equal(unpack(packed.bits, units, pieces), codes)
    assert np.array_equal(partition.distance(packed[0], packed), (codes[:1] != codes).mean(1))  # counts over one number


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([2, 3, 4, 6]), st.integers(1, 60))
def test_neighbours_are_the_reference_s(seed, pieces, k):
    """Few units, so that ties abound."""
    rng = np.random.default_rng(seed)
    base, queries = rng.integers(0, pieces, (60, 9)), rng.integers(0, pieces, (8, 9))
    codes = [LayerCodes(pack(each, pieces), 9, pieces) for each in (base, queries)]
    found = partition.neighbours(*codes, k)
    distances, weights = reference_neighbours(base, queries, k)
    spread = np.zeros_like(weights)
    for row, (indices, shares) in enumerate(zip(found.indices, found.weights, strict=True)):
        spread[row, indices[indices >= 0]] = shares[indices >= 0]
    assert np.allclose(spread, weights) and np.allclose(found.weights.sum(1), 1)
    assert np.array_equal(found.distances[:, :k], np.sort(distances, 1)[:, :k])  # counts over one number
    labels = rng.integers(0, 3, 60)
    assert np.allclose(found.average(labels[found.indices] == 1), (weights * (labels == 1)).sum(1))


def test_codes_are_signs_and_argmax_positions():
    model, x = little.seeded(little.pooled), little.images(50)
    codes = partition.region_codes(model, x)
    with torch.no_grad():
        signs = model[0](x) > 0
        pooled = model[:4](x)
    windows = nn.functional.unfold(pooled, 2, stride=2).reshape(50, 6, 4, -1)
    assert [each.operation for each in codes] == ["relu", "max_pool2d_with_indices", "max_pool2d_with_indices", "relu"]
    assert np.array_equal(np.asarray(codes[0]), signs.flatten(1).int().numpy())
    assert np.array_equal(np.asarray(codes[2]), windows.argmax(2).flatten(1).numpy())


def test_the_distance_is_a_metric_on_codes():
    codes = partition.region_codes(little.seeded(little.pooled), little.images(60))
    a, b, c = ([layer[part] for layer in codes] for part in (slice(0, 20), slice(20, 40), slice(40, 60)))
    ab, bc, ac = partition.distance(a, b), partition.distance(b, c), partition.distance(a, c)
    assert ab.shape == (4, 20) and np.array_equal(ab, partition.distance(b, a))
    assert (ac <= ab + bc + 1e-15).all() and (partition.distance(a, a) == 0).all()


@pytest.mark.parametrize("build", [little.pooled, little.Residual])
def test_the_in_radius_is_exact(build):
    """Nothing changes inside; just beyond the nearest wall, along the step that was returned, the code does."""
    model, x = little.seeded(build), little.images(12, 5)
    wall = partition.nearest_walls(model, x)
    assert torch.allclose(torch.linalg.vector_norm(wall.step.flatten(1), dim=1), wall.radius, rtol=1e-9)
    assert same_codes(model, x, x + (1 - 1e-6) * wall.step).all()
    assert not same_codes(model, x, x + (1 + 1e-6) * wall.step).any()
    for seed in range(20):
        step = little.images(12, 100 + seed)
        step = step / torch.linalg.vector_norm(step.flatten(1), dim=1)[:, None, None, None]
        assert same_codes(model, x, x + 0.999999 * wall.radius[:, None, None, None] * step).all()


def same_codes(model, x, y):
    return (partition.distance(partition.region_codes(model, x), partition.region_codes(model, y)) == 0).all(0)


def test_a_network_without_walls():
    model = nn.Linear(3, 2).double()
    assert partition.in_radius(model, torch.zeros(2, 3, dtype=torch.float64)).tolist() == [np.inf, np.inf]


def test_counts_of_regions():
    assert partition.most_regions(5, 9) == 32 and partition.most_regions(10, 2) == 56
    assert partition.most_regions(0, 3) == 1


def test_codes_that_count_nothing_when_compared_are_refused():
    first, second = little.seeded(little.pooled), little.seeded(little.pooled, 1)
    a, b = (partition.region_codes(model, little.images(4)) for model in (first, second))
    with pytest.raises(ValueError, match="another network"):
        partition.distance(a, b)
    with pytest.raises(ValueError, match="do not belong to layer 0"):
        partition.distance(a[0], a[1])
    with pytest.raises(ValueError, match="4 layers"):
        partition.distance(a, a[:2])
    with pytest.raises(ValueError, match="cannot be paired"):
        partition.distance(a[0][:2], a[0][:3])
    with pytest.raises(TypeError, match="region_codes"):
        partition.neighbours(np.zeros((3, 3)), a[0], 1)


def test_bad_neighbours_are_refused():
    codes = partition.region_codes(little.seeded(little.pooled), little.images(4))[0]
    with pytest.raises(ValueError, match="exceeds the 4"):
        partition.neighbours(codes, codes, 5)
    with pytest.raises(ValueError, match="empty set"):
        partition.neighbours(codes[:0], codes, 1)
    with pytest.raises(ValueError, match="empty"):
        partition.region_codes(nn.ReLU(), torch.zeros(0, 3))
    with pytest.raises(NotPiecewiseAffineError, match="gelu"):
        partition.region_codes(nn.GELU(), torch.zeros(2, 3))


def test_codes_of_other_layers_networks_and_batches_are_not_compared():
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    nets = [nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU()).double() for _ in range(2)]
    first, other = (partition.region_codes(net, x) for net in nets)
    assert (partition.distance(first, first) == 0).all() and partition.distance(first, first).shape == (2, 6)
    for a, b, said in ((first[0], first[1], "do not belong to layer 0"), (first[0], other[0], "another network"),
                       (first[0][:2], first[0][:3], "cannot be paired"), (first, first[:1], "do not match the 2 layers")):
        with pytest.raises(ValueError, match=said):
            partition.distance(a, b)
    assert partition.distance(first[0][:1], first[0]).shape == (6,)
