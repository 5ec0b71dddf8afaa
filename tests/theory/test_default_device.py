"""Another default device than the model's changes nothing: what the library draws and counts itself lies where x lies.

The device "meta" holds no numbers, so whatever is made on it by mistake cannot come out as a number.
"""

import numpy as np
import pytest
import torch
from tests.residual import Block, Residual
from tests.theory.test_guarantee import normal
from torch import nn

from deepatoms.theory import max_affine, partition, splines
from deepatoms.theory.induced import chain
from deepatoms.theory.resnests import random_resnest

D = torch.float64
torch.manual_seed(0)
IMAGES = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2, padding=1), nn.AdaptiveMaxPool2d(2),
                       nn.Flatten(), nn.Linear(8, 5), nn.Hardtanh(), nn.Linear(5, 3), nn.ReLU6()).double().eval()
DENSE = [nn.Linear(4, 3, dtype=D), nn.Linear(3, 2, dtype=D)]
RESIDUAL = Residual([Block(nn.Sequential(nn.ReLU(), nn.Linear(16, 16, dtype=D)))], head=nn.Linear(16, 3, dtype=D)).eval()
X = normal(5, 1, 4, 4)


CALLS = {
    "affine_map": lambda: splines.affine_map(IMAGES, X),
    "block_templates": lambda: splines.block_templates(RESIDUAL, X.reshape(5, 16)),
    "region_codes": lambda: [np.asarray(code) for code in partition.region_codes(IMAGES, X)],
    "nearest_walls": lambda: partition.nearest_walls(IMAGES, X).step,
    "distance_to_break": lambda: splines.distance_to_break(IMAGES, X, X.flip(0)),
    "concavities": lambda: splines.concavities(IMAGES, X),
    "slice_segment": lambda: partition.slice_segment(IMAGES, X[0], X[1]),
    "slice_plane": lambda: partition.slice_plane(IMAGES, X[:3]).centres,
    "slice_space": lambda: partition.slice_space(IMAGES, X[:4]).centres,
    "operators": lambda: [each.slopes for each in max_affine.operators(DENSE, (4,))],
    "init": lambda: chain([4, 6, 3]).init(0),
    "random_resnest": lambda: list(random_resnest(2, 1, [3], 5, torch.Generator().manual_seed(0)).prediction)}


def numbers(found):
    """Return all numbers, and words, of an answer as one flat list."""
    if isinstance(found, (torch.Tensor, np.ndarray)):
        return np.asarray(found.detach() if isinstance(found, torch.Tensor) else found).ravel().tolist()
    return [number for each in found for number in numbers(each)] if isinstance(found, (list, tuple)) else [found]


@pytest.mark.parametrize("name", CALLS)
def test_another_default_device_changes_no_number(name):
    expected = numbers(CALLS[name]())
    with torch.device("meta"):
        found = CALLS[name]()
    assert expected and numbers(found) == expected  # the same operations on the same processor


def test_the_device_would_show():
    with torch.device("meta"), pytest.raises((TypeError, NotImplementedError), match="meta"):
        numbers([torch.zeros(1)])
