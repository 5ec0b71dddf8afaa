"""What sorts and selects: walls, regions and radii against all ties of two entries, of which those count that change the code."""

import little
import numpy as np
import pytest
import torch

from deepatoms.theory import partition
from deepatoms.theory.piecewise import NotPiecewiseAffineError

N, D = 6, torch.float64
PAIRS = np.triu_indices(N, 1)


def running(best):
    return lambda z: np.stack([best(z[:, :i + 1], 1) for i in range(N)], 1)


def ranked(place):
    """The entry at a rank, and which ones are below."""
    def code(z):
        order = z.argsort(1)
        return np.concatenate([order[:, place:place + 1], np.sort(order[:, :place], 1)], 1)
    return code


# For each operation a call, and the code of rows of entries, up to their names.
CALLS = {
    "sort": (lambda z: z.sort(1).values, lambda z: z.argsort(1)),
    "sort downwards": (lambda z: z.sort(dim=-1, descending=True, stable=True)[0], lambda z: z.argsort(1)),
    "argsort": (lambda z: z.gather(1, z.argsort(1)), lambda z: z.argsort(1)),
    "topk": (lambda z: z.topk(2, 1).values, lambda z: z.argsort(1)[:, :-3:-1]),
    "smallest": (lambda z: z.topk(3, 1, largest=False).values, lambda z: z.argsort(1)[:, :3]),
    "all of them": (lambda z: z.topk(N, 1).values, lambda z: z.argsort(1)),
    "kthvalue": (lambda z: z.kthvalue(2, 1).values, ranked(1)), "largest": (lambda z: z.kthvalue(N, 1, True)[0], ranked(N - 1)),
    "median": (lambda z: z.median(1, keepdim=True).values, ranked(2)), "nanmedian": (lambda z: z.nanmedian(1)[0], ranked(2)),
    "cummax": (lambda z: z.cummax(1).values, running(np.argmax)), "cummin": (lambda z: z.cummin(1)[0], running(np.argmin)),
    "argmax": (lambda z: torch.take_along_dim(z, z.argmax(1, keepdim=True), 1), lambda z: z.argmax(1)[:, None])}


@pytest.fixture(scope="module")
def entries():
    """Six affine functions of four inputs, and some inputs."""
    random = torch.Generator().manual_seed(1)
    return (torch.randn(4, N, dtype=D, generator=random), torch.randn(N, dtype=D, generator=random),
            2 * torch.randn(4, 4, dtype=D, generator=random))


@pytest.mark.parametrize("name", CALLS)
def test_walls_of_a_segment_are_the_ties_that_change_the_code(name, entries):
    (weights, bias, x), (call, code) = entries, CALLS[name]
    start, end = (x[:2] @ weights + bias).numpy()
    gap, change = ((z[PAIRS[0]] - z[PAIRS[1]]) for z in (start, end - start))
    ties = np.sort((-gap / change)[(-gap / change > 0) & (-gap / change < 1)])
    before, after = (code(start + (ties + shift)[:, None] * (end - start)) for shift in (-1e-9, 1e-9))
    expected = ties[(before != after).any(1)]
    found = partition.slice_segment(lambda x: call(x @ weights + bias), x[0], x[1])
    assert len(found) == len(expected) > 0 and abs(found - expected).max() <= 1e-12


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("dimension", [2, 3])
def test_regions_are_the_cells_between_all_ties_joined_by_their_code(name, dimension, entries):
    (weights, bias, x), (call, code) = entries, CALLS[name]
    cut = partition.slice_plane if dimension == 2 else partition.slice_space

    def ties(x):
        z = x @ weights + bias
        return torch.relu(z[:, PAIRS[0]] - z[:, PAIRS[1]])
    cells = cut(ties, x[:dimension + 1])
    expected = np.unique(code((cells.points(cells.centres) @ weights + bias).numpy()), axis=0)
    found = cut(lambda x: call(x @ weights + bias), x[:dimension + 1])
    assert len(found) == len(expected) > 2
    assert abs((found.areas if dimension == 2 else found.volumes).sum() - 1) <= 1e-12
    slopes, offsets = found.affine_maps()
    values = torch.from_numpy((slopes @ found.centres[..., None])[..., 0] + offsets)
    assert torch.allclose(call(found.points(found.centres) @ weights + bias).reshape(values.shape), values, atol=1e-11)


@pytest.mark.parametrize("name", ["sort", "topk", "median", "cummax"])
def test_the_radius_is_the_distance_to_the_nearest_tie_that_changes_the_code(name, entries):
    (weights, bias, x), (call, code) = entries, CALLS[name]
    z = (x @ weights + bias).numpy()
    normals = (weights[:, PAIRS[0]] - weights[:, PAIRS[1]]).numpy()
    gaps, lengths = z[:, PAIRS[0]] - z[:, PAIRS[1]], np.linalg.norm(normals, axis=0)
    steps = -(gaps / lengths**2)[..., None] * normals.T  # onto each tie
    beyond = code((x.numpy()[:, None] + (1 + 1e-7) * steps).reshape(-1, 4) @ weights.numpy() + bias.numpy())
    changed = (beyond.reshape(*gaps.shape, -1) != code(z)[:, None]).any(2)
    expected = np.where(changed, abs(gaps) / lengths, np.inf).min(1)
    wall = partition.nearest_walls(lambda x: call(x @ weights + bias), x)
    assert np.allclose(wall.radius, expected, rtol=1e-12) and (wall.unit < (N if name == "cummax" else 1)).all()


def test_ties_on_a_whole_region_are_no_walls():
    """Of three rectified entries the least two are often both 0: their order is nobody's."""
    box, weights = little.box(), torch.tensor([[1.0, 0.0, -1.0], [0.0, 1.0, -1.0]], dtype=D)
    for call in (lambda z: z.sort(1).values, lambda z: z.topk(3).values, lambda z: z.median(1, True)[0]):
        found = partition.slice_plane(lambda x: call((x @ weights).relu()), box)  # noqa: B023 (called at once)
        plain = partition.slice_plane(lambda x: (x @ weights).relu(), box)
        assert len(plain) < len(found) <= len(plain) + 3 and abs(found.areas.sum() - 1) < 1e-12


@pytest.mark.parametrize(("call", "words"), [
    (lambda x: x.topk(2, sorted=False).values, "an order that torch leaves open"), (lambda x: x.topk(0).values, "k=0"),
    (lambda x: x * x.argmax(), "name a dimension"), (lambda x: x.sort(0).values, "first axis"),
    (lambda x: x.cummax(0).values, "first axis"), (lambda x: torch.linalg.vector_norm(x, 1).expand(len(x), 1), "batch")])
def test_what_is_not_known_is_refused_by_name(call, words):
    with pytest.raises((NotPiecewiseAffineError, ValueError), match=words):
        partition.slice_segment(call, *little.box()[:2])
