"""What a model must be, asked of every function that takes one; and what a wrong derivative is called."""

import pytest
import torch
from tests.residual import Block, Residual
from torch import nn

from deepatoms.theory import max_affine, partition, piecewise, splines

X = torch.tensor([[0.5, -1.0], [2.0, 0.3]], dtype=torch.float64)
CORNERS = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
CALLS = {"affine_map": lambda model: splines.affine_map(model, X), "concavities": lambda model: splines.concavities(model, X),
         "distance_to_break": lambda model: splines.distance_to_break(model, X, torch.ones_like(X)),
         "region_codes": lambda model: partition.region_codes(model, X), "in_radius": lambda model: partition.in_radius(model, X),
         "trace": lambda model: piecewise.trace(model, X),
         "nearest_walls": lambda model: partition.nearest_walls(model, X),
         "slice_plane": lambda model: partition.slice_plane(model, CORNERS),
         "slice_segment": lambda model: partition.slice_segment(model, CORNERS[0], CORNERS[1]),
         "block_templates": lambda model: splines.block_templates(model, X)}


@pytest.mark.parametrize("name", list(CALLS))
def test_a_model_can_be_called_and_has_its_shapes(name):
    """What its first batch will shape is refused, and not shaped."""
    with pytest.raises(TypeError, match="model = .*cannot be called"):
        CALLS[name]("no model")
    lazy = nn.Sequential(nn.LazyLinear(3), nn.ReLU(), nn.LazyLinear(1)).double()
    with pytest.raises(ValueError, match="'0.weight' that the first batch has yet to shape"):
        CALLS[name](lazy)
    assert isinstance(lazy[0], nn.LazyLinear) and lazy[0].has_uninitialized_params()


class Tilted(torch.autograd.Function):
    """An identity whose backward is something else."""

    @staticmethod
    def forward(context, x, tilt):
        context.tilt = tilt
        return x.clone()

    @staticmethod
    def backward(context, slope):
        return (1 + context.tilt) * slope, None


@pytest.mark.parametrize("place", ["first", "last"])
def test_a_backward_of_ones_own_is_named(place):
    def model(x):
        x = Tilted.apply(x, 0.5) if place == "first" else x
        return (Tilted.apply(x.relu(), 0.5) if place == "last" else x.relu()).sum(1, keepdim=True)
    with pytest.raises(ValueError, match="look at .*the backward of Tilted"):
        splines.affine_map(model, X)


def test_where_no_backward_is_to_blame_none_is_named():
    def model(x):
        return (x.relu() + 3 * x.detach()).sum(1, keepdim=True)
    with pytest.raises(ValueError, match="does not follow its map") as refused:
        splines.affine_map(model, X)
    assert "the backward of" not in str(refused.value)


class Tilting(nn.Module):
    """A branch that scales, with a slope that is off by a tilt."""

    def __init__(self, scale, tilt):
        super().__init__()
        self.scale, self.tilt = scale, tilt

    def forward(self, x):
        return _Scaled.apply(x, self.scale, self.tilt) if self.tilt else self.scale * x


class _Scaled(torch.autograd.Function):
    @staticmethod
    def forward(context, x, scale, tilt):
        context.slope = scale + tilt
        return scale * x

    @staticmethod
    def backward(context, slope):
        return context.slope * slope, None, None


def test_slopes_of_blocks_that_are_wrong_and_cancel_are_noticed():
    """(1 + a + s)(1 + b + t) = (1 + a)(1 + b): the map is right, and the template of neither block is."""
    a, b, s = 0.5, 0.25, 0.3
    t = (1 + a) * (1 + b) / (1 + a + s) - 1 - b
    wrong, right = (Residual([Block(Tilting(a, one)), Block(Tilting(b, other))]) for one, other in ((s, t), (0, 0)))
    maps = [splines.affine_map(model, X)[0] for model in (wrong, right)]
    assert torch.allclose(*maps)
    assert torch.allclose(splines.block_templates(right, X).sum(1), maps[1])
    with pytest.raises(ValueError, match="model = "):
        splines.block_templates(wrong, X)


def test_every_block_has_a_branch_and_a_shortcut():
    model = Residual([Block(Tilting(0.5, 0)), nn.Identity()])
    with pytest.raises(ValueError, match="is not a residual network with stem, blocks"):
        splines.block_templates(model, X)


def test_progress_waits_for_its_second_up_to_the_limit_itself():
    told = []
    budget = partition.refine.Budget(3, told.append, 0, 1)
    budget.regions(3)
    assert told == []
    with pytest.raises(ValueError, match="limit = 3 is less than the 4 regions"):
        budget.regions(4)


@pytest.mark.parametrize(("padding", "padded"), [("same", (2, 1)), ("valid", 0)])
def test_padding_by_its_name_is_the_padding_in_numbers(padding, padded):
    named = nn.Conv2d(1, 2, (5, 3), padding=padding).double()
    numbered = nn.Conv2d(1, 2, (5, 3), padding=padded).double()
    numbered.load_state_dict(named.state_dict())
    x = torch.arange(48.0, dtype=torch.float64).reshape(1, 48)
    one, other = (max_affine.operators(nn.Sequential(layer, nn.Flatten()), (1, 6, 8))[0](x) for layer in (named, numbered))
    assert torch.allclose(one, other, atol=1e-12)


@pytest.mark.parametrize("kind", ["register_full_backward_hook", "register_full_backward_pre_hook"])
def test_the_layer_of_a_backward_hook_is_named(kind):
    """A hook that doubles the slope; on the first layer, or on the second."""
    def hook(module, slopes, above=None):
        return (2 * slopes[0],)
    for number in (0, 2):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)).double().eval()
        getattr(model[number], kind)(hook)
        with pytest.raises(ValueError, match=f"the backward hooks of layer '{number}'"):
            splines.affine_map(model, X)
