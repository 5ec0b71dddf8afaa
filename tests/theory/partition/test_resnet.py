"""Segments and walls through a residual network of ResNet-18's kind."""

import numpy as np
import pytest
import torch
from benchmarks import resnet18

from deepatoms.theory import partition

SHARE = 0.4


@pytest.fixture(scope="module")
def line():
    model, (start, end) = resnet18.resnet18(width=2), resnet18.images(32)
    end = start + SHARE * (end - start)
    return model, start, end, partition.slice_segment(model, start, end)


def test_every_piece_is_one_code_and_every_wall_changes_it(line):
    still, missed = resnet18.faults(*line)
    assert len(line[3]) > 50 and len(still) == 0 and len(missed) == 0


def test_the_search_for_faults_bites(line):
    model, start, end, walls = line
    assert len(resnet18.faults(model, start, end, np.delete(walls, 7))[1]) == 1
    widest = np.diff(walls).argmax()
    more = np.insert(walls, widest + 1, walls[widest:widest + 2].mean())
    assert resnet18.faults(model, start, end, more)[0].tolist() == [widest + 1]


def test_the_network_is_affine_on_every_piece(line):
    model, start, end, walls = line
    ends = np.concatenate([[0.0], walls, [1.0]])
    at = [ends[:-1] + share * np.diff(ends) for share in (0.2, 0.5, 0.8)]
    low, middle, high = (model(start + torch.from_numpy(each).reshape(-1, 1, 1, 1) * (end - start)) for each in at)
    assert float(((low + high) / 2 - middle).abs().max()) <= 1e-11 * float(middle.abs().max())


def test_the_first_wall_of_the_segment_is_no_nearer_than_the_nearest_wall(line):
    """The ball around the start is open: along any direction its code stays at least as far as the in-radius."""
    model, start, end, walls = line
    small, corner = resnet18.resnet18(width=1), resnet18.images(8)[0]
    towards = resnet18.images(8, seed=1)[0]
    radius = partition.in_radius(small, corner[None]).item()
    first = partition.slice_segment(small, corner, towards)[0] * float((towards - corner).norm())
    wall = partition.nearest_walls(small, corner[None])
    assert 0 < radius <= first
    for share, same in ((1 - 1e-6, True), (1 + 1e-6, False)):
        codes = partition.region_codes(small, torch.stack([corner, corner + share * wall.step[0]]))
        assert all(np.array_equal(*each.bits) for each in codes) == same
