"""The walk along a segment: nothing missed, nothing kept in memory, told of and refused in time."""

import gc
from fractions import Fraction

import little
import numpy as np
import pytest
import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef

from deepatoms.reports import report
from deepatoms.theory import partition, splines
from deepatoms.theory.partition import guards, segment


def layer_by_layer(weights, start, end):
    """The refinement of Section 7.1 in rational arithmetic: each layer cuts each piece at the roots of its units."""
    ends = [Fraction(0), Fraction(1)]
    for depth in range(1, len(weights) + 1):
        more = set()
        for low, high in zip(ends, ends[1:], strict=False):
            near, far = ([a + t * (b - a) for a, b in zip(start, end, strict=True)] for t in (low, high))
            for layer, (W, b) in enumerate(weights[:depth]):
                near, far = ([sum(w * value for w, value in zip(row, one, strict=True)) + c for row, c in zip(W, b, strict=True)]
                             for one in (near, far))
                if layer < depth - 1:
                    on = [p + q > 0 for p, q in zip(near, far, strict=True)]
                    near, far = ([value if is_on else 0 for value, is_on in zip(one, on, strict=True)] for one in (near, far))
            more |= {low + (high - low) * p / (p - q) for p, q in zip(near, far, strict=True) if p * q < 0}
        ends = sorted({*ends, *more})
    return np.array([float(t) for t in ends[1:-1]])


@pytest.mark.parametrize("seed", range(20))
def test_the_walls_are_those_of_rational_arithmetic(seed):
    rng = np.random.default_rng(seed)
    sizes = [3, *rng.integers(2, 7, rng.integers(1, 4))]
    weights = [(rng.integers(-4, 5, (after, before)), rng.integers(-4, 5, after)) for before, after in zip(sizes, sizes[1:],
                                                                                                     strict=False)]
    start, end = rng.integers(-5, 6, (2, 3))
    end[0] += start.tolist() == end.tolist()

    def model(x):
        for W, b in weights:
            x = torch.relu(x @ torch.tensor(W.T).to(x) + torch.tensor(b).to(x))
        return x
    exact = layer_by_layer([([[Fraction(int(w)) for w in row] for row in W], [Fraction(int(c)) for c in b]) for W, b in weights],
                           *([Fraction(int(value)) for value in point] for point in (start, end)))
    found = partition.slice_segment(model, torch.tensor(start).double(), torch.tensor(end).double())
    assert len(found) == len(exact) and abs(found - exact).max(initial=0) <= 1e-12


@pytest.mark.parametrize("places", [1, 3, 17])
def test_few_points_at_a_time_find_the_same_walls(places, monkeypatch):
    model = little.seeded(little.Residual)
    start, end = 3 * torch.randn(2, 1, 6, 6, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    usual = partition.slice_segment(model, start, end)
    monkeypatch.setattr(segment, "USUAL", places * (2 * partition.extension.rehearse(model, start[None])[1] + 1))
    rows, observe = [], segment.observe

    def watched(model, points, *rest, **named):
        rows.append(len(points))
        return observe(model, points, *rest, **named)
    monkeypatch.setattr(segment, "observe", watched)
    found = partition.slice_segment(model, start, end)
    assert max(rows) == places and len(usual) > 50 and np.allclose(found, usual, rtol=0, atol=1e-12)


def test_walls_at_the_first_points_looked_at_are_found():
    """Where a unit, a tie or a clip changes just in the middle of a gap, no piece begins there by mistake."""
    places = [1 / 32, 0.5, 3 / 32 + 1e-13, 0.25, 17 / 32]
    kinds = {"relu": lambda x, t: torch.relu(x - t), "abs": lambda x, t: (x - t).abs(), "sign": lambda x, t: x * (x > t),
             "clip": lambda x, t: x.clamp(min=t), "other": lambda x, t: torch.maximum(torch.full_like(x, t), x)}
    for kind in kinds.values():
        def model(x, kind=kind):
            return torch.cat([kind(x, t) for t in places], 1)
        found = partition.slice_segment(model, torch.zeros(1).double(), torch.ones(1).double())
        assert np.allclose(found, sorted(places), rtol=0, atol=1e-12)


def test_progress_is_told_with_the_share_that_is_done(monkeypatch):
    clock = iter(range(0, 10**6, 2))
    monkeypatch.setattr(segment.time, "monotonic", lambda: next(clock))
    told = []
    partition.slice_segment(little.seeded(lambda: little.dense(2, 12, 3)), *little.box(-3, 3)[:2], progress=told.append)
    assert told and all(" pieces so far, on " in each for each in told) and told[-1].endswith("on 100 % of the segment")


def test_a_point_too_large_for_the_memory_is_refused(monkeypatch):
    monkeypatch.setattr(guards, "memory", lambda: 2**10)
    with pytest.raises(MemoryError, match=r"start = .* needs about .* GiB at once.*take a smaller network or input"):
        partition.slice_segment(little.seeded(little.pooled), *little.images(2))


class Summed(nn.Module):
    """The sum of a few rectified units."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 3)

    def forward(self, x):
        return torch.relu(self.layer(x)).sum(1, keepdim=True)


@pytest.mark.parametrize("call", [
    lambda model, x: splines.affine_map(model, x), lambda model, x: partition.region_codes(model, x),
    lambda model, x: partition.nearest_walls(model, x), lambda model, x: partition.slice_segment(model, x[0], x[1]),
    lambda model, x: partition.slice_plane(model, x), lambda model, x: splines.concavities(model, x),
    lambda model, x: splines.distance_to_break(model, x, torch.ones_like(x)),
    lambda model, x: report(model, x.repeat(4, 1), nulls=0)])
def test_activations_are_freed_when_a_call_returns(call, monkeypatch):
    """By the last reference, not by the collector of cycles, which does not know how large they are."""
    model, refs, x = little.seeded(lambda: Summed().double()).eval(), [], little.box(-2, 2)

    def watched(x, relu=torch.relu):
        h = relu(x)
        refs.append(StorageWeakRef(h.untyped_storage()))
        return h
    monkeypatch.setattr(torch, "relu", watched)  # a list that the network itself holds would be as it was before the call
    call(model, x)  # the first call imports
    gc.collect()
    gc.disable()
    try:
        kept = call(model, x)
        alive = sum(not ref.expired() for ref in refs)
    finally:
        gc.enable()
    assert kept is not None and len(refs) > 0 and alive == 0


def test_a_point_that_does_not_lie_row_by_row_in_memory_is_walked_the_same():
    model, ends = little.seeded(little.Residual), 3 * torch.randn(2, 1, 6, 6, generator=torch.Generator().manual_seed(5)).double()
    turned = [end.transpose(1, 2).contiguous().transpose(1, 2) for end in ends]
    assert not turned[0].is_contiguous()
    assert np.array_equal(partition.slice_segment(model, *turned), partition.slice_segment(model, *ends))

    def along_the_grid(x):
        return model(x.transpose(2, 3)).flip(1)
    found = partition.slice_segment(along_the_grid, *(end.transpose(1, 2) for end in ends))
    assert np.allclose(found, partition.slice_segment(model, *ends), rtol=0, atol=1e-12)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("parts", [32, 64, 7])
def test_walls_where_a_gap_is_looked_at_are_found_once(sign, parts):
    """The middles of the first sixteen gaps are odd multiples of 1/32: there a point has no piece."""
    walls = torch.arange(1, parts, dtype=torch.float64) / parts
    start, end = torch.zeros(parts - 1, dtype=torch.float64), torch.ones(parts - 1, dtype=torch.float64)
    found = partition.slice_segment(lambda x: (sign * (x - walls)).relu(), start, end)
    np.testing.assert_allclose(found, walls.numpy(), atol=1e-12)


@pytest.mark.parametrize("limit", [0, 2.5, "2", None])
def test_a_limit_of_pieces_is_a_whole_number_from_one_on(limit):
    with pytest.raises((ValueError, TypeError), match="limit = "):
        partition.slice_segment(torch.relu, torch.zeros(2).double(), torch.ones(2).double(), limit=limit)
