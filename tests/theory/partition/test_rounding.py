"""Units and cells that are equal, or 0, up to rounding: no wall of theirs is reported; where it may be one, it is refused."""

import little
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from deepatoms.theory import partition, splines
from deepatoms.theory.partition import extension
from deepatoms.theory.partition.extension import observe, rehearse

A, B = torch.tensor([0.37, -1.21], dtype=torch.float64), torch.tensor([1.3, 0.4], dtype=torch.float64)
BOX = little.box(-1, 1)
SPACE = torch.cat([torch.zeros(1, 3), 2 * torch.eye(3)]).double() - 1


def batch(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def one_way(x):
    return x[:, 0] * A[0] + x[:, 1] * A[1] + 0.1


def another(x):
    """Return the same, summed in another order."""
    return 0.1 + x[:, 1] * A[1] + x[:, 0] * A[0]


def remainder(size):
    """Return a network with one unit that is so much of another function, beside what cancels, and an output that hides it."""
    def model(x):
        unit = torch.relu(one_way(x) - another(x) + size * (x[:, :2] @ B - 0.2))
        return torch.stack([x[:, 0] + unit, x[:, 1]], 1)
    return model


CALLS = {"segment": lambda model: len(partition.slice_segment(model, BOX[0], BOX[1] + 0.3)),
         "plane": lambda model: len(partition.slice_plane(model, BOX)) - 1,
         "space": lambda model: len(partition.slice_space(model, SPACE)) - 1,
         "radius": lambda model: int(partition.in_radius(model, batch(40, 2)).isfinite().sum()),
         "break": lambda model: int((splines.distance_to_break(model, batch(40, 2), batch(40, 2, seed=1)) < 1000).sum())}
LEVEL = [lambda x: torch.relu(one_way(x) - another(x) + 9)[:, None],
         lambda x: torch.stack([one_way(x), another(x) - 9], 1).amax(1, True)]
TWINS = [*LEVEL, lambda x: torch.maximum(one_way(x), another(x))[:, None],
         lambda x: torch.minimum(another(x), one_way(x))[:, None],
         lambda x: torch.stack([one_way(x), another(x)], 1).amax(1, True),
         lambda x: torch.stack([one_way(x), another(x), one_way(x) - 9], 1).max(1, True).values,
         lambda x: torch.stack([another(x), one_way(x) - 9, one_way(x)], 1).topk(2, 1).values, remainder(0.0), remainder(1e-15)]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("model", TWINS)
def test_what_is_equal_up_to_rounding_makes_no_wall(call, model):
    assert CALLS[call](model) == 0


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("size", [1e-12, 3e-12])
def test_a_remainder_that_may_be_rounding_is_refused(call, size):
    with pytest.raises(ValueError, match="unit 0 of nonlinearity 0 that .* may be the rounding of 0; prune it"):
        CALLS[call](remainder(size))


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("size", [1e-6, 1e-3, 1.0])
def test_a_remainder_that_is_not_rounding_has_its_walls(call, size):
    assert CALLS[call](remainder(size)) == CALLS[call](remainder(1.0)) > 0


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("size", [1e-160, 1e-20, 1e20])
def test_a_small_unit_in_which_nothing_cancels_is_no_remainder(call, size):
    def model(x, size=size):
        return torch.relu(size * (x[:, :2] @ B - 0.2))[:, None] / size
    assert CALLS[call](model) == CALLS[call](lambda x: model(x, 1.0)) > 0


class Mirrored(nn.Module):
    """A convolution that is its own mirror image, over an image and its mirror image, and the largest of all."""

    def __init__(self, half):
        super().__init__()
        self.half, self.conv = half, nn.Conv2d(1, 3, 3, padding=1, padding_mode="reflect").double().requires_grad_(False)
        self.conv.weight.copy_((self.conv.weight + self.conv.weight.flip(3)) / 2)

    def forward(self, x):
        wide = self.conv(torch.cat([x, x.flip(3)], 3))
        return F.max_pool2d(wide[..., :2], (1, 2)).flatten(1) if self.half else F.max_pool2d(wide, (1, 4)).flatten(1)


@pytest.mark.parametrize("seed", range(5))
def test_the_largest_over_an_image_and_its_mirror_image_is_that_over_one(seed):
    torch.manual_seed(seed)
    whole, half = Mirrored(False), Mirrored(True)
    half.load_state_dict(whole.state_dict())
    start, end = batch(2, 1, 4, 2, seed=seed)
    walls = partition.slice_segment(half, start, end)
    assert len(walls) and np.allclose(partition.slice_segment(whole, start, end), walls, rtol=0, atol=1e-12)
    x = batch(5, 1, 4, 2, seed=seed)
    assert torch.allclose(partition.in_radius(whole, x), partition.in_radius(half, x), rtol=1e-9)


def halves(x):
    """Return the middle one of 0, the input and 0 again: 0 everywhere, whichever zero is taken."""
    zero = x[:, 1] - x[:, 1]
    return torch.stack([zero, x[:, 0], zero], 1).kthvalue(2, 1, True).values


def test_an_entry_that_only_exchanges_two_equal_ones_makes_no_wall():
    assert [CALLS[name](halves) for name in ("segment", "radius", "break")] == [0, 0, 0]
    pair = torch.stack([torch.zeros(3), torch.tensor([-0.5, 0.2, 0.7])], 1).double()

    def second(x):  # of 0, x and 1: the second is x where it lies between
        return torch.stack([x[:, 1] * 0, x[:, 1], x[:, 1] * 0 + 1], 1).kthvalue(2, 1, True).values
    assert torch.allclose(partition.in_radius(second, pair), torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64))


def test_a_mask_that_rounding_turns_hides_no_unit_behind_it():
    """Where x >= x is shaken its mask turns, and all behind it moves: that is no sign of numbers that cancel."""
    def model(x):
        return torch.relu(x.masked_fill(x.flip(1) >= x, 0.5) @ torch.tensor([[1.0], [2.0], [-1.0]]).double())
    found = rehearse(model, batch(1, 3))
    assert 1 not in found.noise and 0 in found.noise


def test_what_rounding_leaves_grows_with_the_inputs():
    near, far = (rehearse(remainder(0.0), torch.cat([BOX[:1], size * BOX[1:]])).noise[0] for size in (1, 1e6))
    assert 1e5 < float(far / near) < 1e7
    assert partition.slice_segment(remainder(0.0), BOX[0], 1e6 * BOX[1]).size == 0


def test_without_what_the_rehearsal_found_rounding_makes_walls(monkeypatch):
    """The guard bites: the same calls, with no remainder found, report walls that are not there."""
    monkeypatch.setattr(extension, "_remainders", lambda *_: [])
    assert sum(CALLS[call](remainder(0.0)) for call in ("segment", "radius")) > 0


def test_cells_are_equal_on_their_region_and_not_only_at_a_point():
    pieces = observe(lambda x: torch.stack([x[:, 0], x[:, 1], x[:, 0] + 0.0], 1).amax(1, True), torch.ones(1, 2).double(),
                     torch.tensor([[1.0, 0.0]]).double())[0][0]
    gap, changes, _ = pieces.leads()
    assert pieces.first.item() == 0 and gap.flatten().tolist() == [0, 0, 0] and changes.flatten().tolist() == [0, 1, 0]
