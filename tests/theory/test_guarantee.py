"""What is returned holds for the function that the model computes, or the call is refused by operation, place and remedy."""

import array
import collections
import contextvars
import copy
import ctypes
import functools
import io
import os
import queue
import random
import sys
import threading
import types
import warnings
import weakref

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.residual import Block, Residual
from torch import nn

from deepatoms.theory import operations, partition, splines
from deepatoms.theory.operations import PIECES
from deepatoms.theory.piecewise import NotPiecewiseAffineError, Wish, trace, watch
from deepatoms.theory.untouched import untouched

D = torch.float64


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=D)


def dense(*widths, inplace=False):
    torch.manual_seed(0)
    layers = [part for pair in zip(widths[:-1], widths[1:], strict=True) for part in (nn.Linear(*pair), nn.ReLU(inplace))]
    return nn.Sequential(*layers[:-1]).double()


class Halved(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, slope):
        return slope


class Doubled(Halved):
    @staticmethod
    def backward(ctx, slope):
        return 2 * slope


BODY = dense(4, 5)


def frozen(x):
    with torch.no_grad():
        return BODY(x)


@pytest.mark.parametrize("model, words", [
    (lambda x: x + frozen(x)[:, :4], "no_grad in the model"), (lambda x: x + x.detach(), "detach in the model"),
    (lambda x: x + x.data, "data in the model"), (Halved.apply, "the backward of Halved"),
    (lambda x: torch.from_numpy(np.maximum(x.detach().numpy(), 0)), "numpy in the model takes numbers"),
    (lambda x: x + torch.tensor(x.tolist(), dtype=D), "tolist"), (lambda x: x + x.long(), "converts to integers"),
    (lambda x: x.div(2, rounding_mode="floor"), "div in the model rounds"), (lambda x: x.view(torch.int64) * x, "bits"),
    (lambda x: F.prelu(x, x.mean().reshape(1)), "_prelu_kernel"), (lambda x: torch.fft.rfft(x).abs(), "complex"),
    (lambda x: x + torch.randperm(4), "randperm in the model draws"), (lambda x: x * torch.logical_not(x), "logical_not"),
    (lambda x: F.batch_norm(x, torch.zeros(4, dtype=D), torch.ones(4, dtype=D), x.mean(0)), "native_batch_norm"),
    (lambda x: x.relu_().add_(1), "no derivative"), (lambda x: x.relu().unsqueeze(0).flatten(0, 1)[:2], "one vector"),
    (lambda x: x.argmax(-1, keepdim=True), "holds int64")])
def test_what_torch_does_not_see_is_refused_by_name(model, words):
    with pytest.raises((ValueError, TypeError), match=words):
        splines.affine_map(model, normal(3, 4))


def test_a_layer_whose_hook_changes_the_slope_is_named():
    model = dense(4, 5, 3)
    model[1].register_full_backward_hook(lambda module, below, above: (2 * below[0],))
    with pytest.raises(ValueError, match="backward hooks of layer '1'"):
        splines.affine_map(model, normal(3, 4))


def test_a_function_with_a_right_backward_of_its_own_is_answered():
    assert torch.equal(splines.affine_map(Doubled.apply, normal(2, 3))[0], 2 * torch.eye(3, dtype=D).expand(2, 3, 3))


def gain(x):
    """One loud sample turns its whole batch over."""
    return torch.where((x > 5).any(), -3.0, 1.0) * x


def crowd(count, loud):
    """Samples of about one, but for a loud one."""
    x = normal(count, 2)
    x[loud] = 9
    return x


@pytest.mark.parametrize("count, loud", [(2, 0), (2, 1), (3, 2), (12, 0), (12, 5), (12, 11)])
@pytest.mark.parametrize("scale", [1, 1e5])
def test_what_a_loud_sample_does_to_all_others_is_seen_where_they_are_alone(count, loud, scale):
    x = crowd(count, loud)
    x[loud] *= scale
    for call in (splines.affine_map, partition.region_codes, splines.concavities, trace):
        for given in (x, x.float()):
            with pytest.raises(ValueError, match="influence each other"):
                call(lambda x: gain(x).relu(), given)


def test_a_loud_sample_among_the_points_of_a_slice_or_a_walk_is_seen():
    """All regions of a plane are followed in one batch: what that does to them is compared with points by themselves."""
    with pytest.raises(NotPiecewiseAffineError, match="is not affine on"):
        partition.slice_plane(gain, torch.tensor([[0.0, 0.0], [8, 0], [0, 8]], dtype=D))
    x = crowd(5, 3) * torch.tensor([[0.1], [0.1], [0.1], [1], [0.1]], dtype=D)
    with pytest.raises(NotPiecewiseAffineError, match="is not affine on"):
        partition.in_radius(gain, x)
    with pytest.raises(ValueError, match="not affine up to the break"):
        splines.distance_to_break(lambda x: gain(x.relu()), x, x)


def test_codes_that_a_loud_sample_turns_are_seen_where_no_output_shows_them():
    with pytest.raises(ValueError, match="units of relu .* change their code"):
        partition.region_codes(lambda x: x + 0 * gain(x).relu(), crowd(3, 2))


def test_a_model_that_admits_no_batch_of_one_is_compared_with_copies():
    def squeezed(x):
        return x.squeeze().relu()
    A, _ = splines.affine_map(squeezed, normal(3, 4))
    assert torch.equal(A, torch.diag_embed((normal(3, 4) > 0).to(D))) and partition.region_codes(squeezed, normal(3, 4))
    with pytest.raises(ValueError, match="influence each other"):
        splines.affine_map(lambda x: gain(x.squeeze()), crowd(3, 2))


SELECTIONS = [lambda mask: len(mask.nonzero()), lambda mask: len(mask.unique()), lambda mask: torch.equal(mask, mask.T),
              lambda mask: mask.masked_select(mask).numel(), lambda mask: len(torch.arange(9)[mask.flatten()]),
              lambda mask: torch.bincount(mask.long().flatten()).numel(), lambda mask: mask.to_sparse()._nnz(),
              lambda mask: len(torch.repeat_interleave(mask.long().flatten())), lambda mask: len(mask.argwhere()),
              lambda mask: len(torch.where(mask)[0]), lambda mask: bool(mask.all()),
              lambda mask: torch.allclose(mask * 1.0, mask + 0.0)]


@pytest.mark.parametrize("count", SELECTIONS)
def test_a_mask_does_not_decide_in_python(count):
    """A shape and a number of Python's are out of sight: the model's other way is not seen."""
    for call in (splines.affine_map, partition.region_codes, splines.concavities, partition.in_radius):
        with pytest.raises(NotPiecewiseAffineError, match="in the model .*(the input decides|selects a number|not known to be)"):
            call(lambda x: x.relu() if count(x > 5) else 3 * x.relu(), normal(3, 3))


def test_a_mask_may_be_assigned_through_and_what_is_fixed_may_decide():
    kept, x = torch.tensor([True, False, True]), normal(4, 3)

    def model(x):
        out = torch.zeros_like(x)
        out[x > 0] = 2.0
        return out.masked_fill(x < -1, -5.0)[:, kept] if len(kept.nonzero()) == 2 and torch.equal(kept, kept) else x
    assert splines.affine_map(model, x)[1].shape == (4, 2)


def two_units(second):
    """Two outputs of different units, a large one and a small one."""
    return lambda x: torch.stack([1e5 * x[:, 0], second(x[:, 1])], 1)


@pytest.mark.parametrize("second, words", [
    (lambda one: one + one.detach(), "look at detach"), (lambda one: one - one.mean(0), "influence each other"),
    (lambda one: Halved.apply(one), "the backward of Halved")])
def test_a_large_output_forgives_a_small_one_nothing(second, words):
    for x in (normal(4, 2), normal(4, 2).float()):
        with pytest.raises(ValueError, match=words):
            splines.affine_map(two_units(second), x)
    if "influence" in words:
        for call in (partition.region_codes, splines.concavities):
            with pytest.raises(ValueError, match=words):
                call(two_units(second), normal(4, 2).float())


def test_a_small_output_that_bends_beside_a_large_one_is_not_affine():
    bent = two_units(lambda one: one - Bent.apply(one))
    with pytest.raises(NotPiecewiseAffineError, match="is not affine although"):
        splines.concavities(bent, normal(4, 2).float())


class Bent(torch.autograd.Function):
    """A square that torch does not show, taken where numbers leave it unseen."""

    @staticmethod
    def forward(ctx, x):
        with torch._C._DisableTorchDispatch():
            return x * x

    @staticmethod
    def backward(ctx, slope):
        return slope


def test_a_wrong_slope_of_a_small_output_of_a_part_is_seen():
    """What the shortcut leaves out of its small output the branch puts in: the sum is right, the division is not."""
    class Part(nn.Module):
        def __init__(self, large, small):
            super().__init__()
            self.large, self.small = large, small

        def forward(self, x):
            return torch.stack([self.large * x[:, 0], x[:, 1] + self.small * x[:, 1].detach()], 1)
    model = Residual([Block(Part(1e5, 0.5), Part(1e5, -0.5))], nn.Identity(), nn.Identity())
    with pytest.raises(ValueError, match="derivative of its part Part is not the function's"):
        splines.block_templates(model, normal(3, 2).float())


def test_outputs_of_zero_made_of_numbers_that_cancel_are_no_error():
    """In single precision a tenth may be left of a million; that output is as honest as the one beside it."""
    def model(x):
        wide = torch.cat([x, -x], 1).relu() @ torch.full((2 * x.shape[1], 400), 1e3)
        return torch.stack([wide[:, :200].sum(1) - wide[:, 200:].sum(1), x[:, 0].relu() * 1e5, x[:, 1]], 1)
    for seed in range(5):
        x = normal(6, 4, seed=seed).float()
        A, b = splines.affine_map(model, x)
        assert torch.allclose(torch.einsum("ncd,nd->nc", A, x) + b, model(x), atol=1.0)
        assert len(partition.region_codes(model, x)) == 2 and splines.concavities(model, x)


LINEAR = nn.Linear(4, 2, dtype=D)


def time_first(x):
    """Two outputs as two steps of one unit, the time before the batch."""
    return LINEAR(x).T.reshape(-1, 1).relu().reshape(2, -1).T


def test_codes_of_small_layers_that_run_time_first_are_refused_or_right():
    """One unit of two is much: only one within rounding of its wall may turn."""
    with torch.no_grad():
        LINEAR.weight.copy_(normal(2, 4, seed=9))
        LINEAR.bias.zero_()
    answered = 0
    for seed in range(60):
        x = normal(2, 4, seed=seed)
        try:
            found = partition.region_codes(time_first, x)[0]
        except ValueError as error:
            assert "change their code" in str(error)
            continue
        answered += 1
        assert np.asarray(found).tolist() == (LINEAR(x) > 0).int().tolist()
    assert 0 < answered < 40


def test_a_unit_on_its_wall_up_to_rounding_does_not_refuse_a_layer_of_two():
    """Where all units are rounding of zero, their codes may turn from batch to batch; this is nobody's influence."""
    weight = normal(64, 2, seed=3).float()

    def model(x):
        return ((x @ weight) - (x.flip(1) @ weight.flip(0))).relu() + x[:, :2]
    for seed in range(5):
        assert len(partition.region_codes(model, normal(5, 64, seed=seed).float())) == 1


def test_modes_around_the_call_do_not_matter():
    model, x = dense(4, 6, 3), normal(5, 4)
    expected = splines.affine_map(model, x), partition.region_codes(model, x), splines.distance_to_break(model, x, x.flip(0))
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            made_inside = x.clone()
            for given in (x, made_inside):
                found = splines.affine_map(model, given)
                assert all(torch.equal(a, b) for a, b in zip(found, expected[0], strict=True))  # one computation, twice
                assert (partition.distance(partition.region_codes(model, given), expected[1]) == 0).all()
                assert torch.allclose(splines.distance_to_break(model, given, x.flip(0)), expected[2])


def test_inference_mode_inside_does_not_hide_the_codes():
    model, x = dense(4, 6, 3), normal(5, 4)

    def inside(x):
        with torch.inference_mode():
            return model(x)
    seen, hidden = partition.region_codes(model, x), partition.region_codes(inside, x)
    assert len(seen) == len(hidden) == 1 and np.array_equal(np.asarray(seen[0]), np.asarray(hidden[0]))


@pytest.mark.parametrize("samples, chunk", [(257, 256), (257, 1), (1, 256), (2, 2), (3, 2), (5, 5)])
@pytest.mark.parametrize("model", [lambda x: x - x.mean(0), lambda x: x + x.roll(1, 0).relu(), lambda x: x + x[:1].relu(),
                                   lambda x: x - x[-1:], lambda x: x / len(x), lambda x: x.cumsum(0)])
def test_samples_that_influence_each_other_are_refused_at_any_size(model, samples, chunk):
    for call in (splines.affine_map, partition.region_codes):
        with pytest.raises(ValueError, match="influence each other|first axis"):
            call(model, normal(samples, 3), chunk)


def residual(after, shortcut=None):
    return Residual([Block(dense(4, 4, 4), shortcut, after) for _ in range(2)], dense(3, 4), dense(4, 2))


@pytest.mark.parametrize("after", [nn.ReLU(), lambda x: 2 * x, lambda x: x + 1])
def test_templates_that_do_not_sum_to_the_map_are_refused(after):
    with pytest.raises(ValueError, match=r"not divided by its blocks.*shortcut\(x\) \+ branch\(x\)"):
        splines.block_templates(residual(after), normal(5, 3))


@pytest.mark.parametrize("shortcut", [None, nn.Hardtanh(-0.1, 0.2)])
def test_templates_sum_to_the_map_also_where_a_shortcut_bends(shortcut):
    model, x = residual(nn.Identity(), shortcut), normal(5, 3)
    assert torch.allclose(splines.block_templates(model, x).sum(1), splines.affine_map(model, x)[0], atol=1e-12)


@pytest.mark.parametrize("first", [nn.ReLU(inplace=True), nn.Hardtanh(-0.4, 0.6, inplace=True), lambda x: x.mul_(2)])
def test_a_first_layer_that_works_in_place_changes_nothing_of_the_caller_s(first):
    x, direction = normal(4, 3), normal(4, 3, seed=1)
    before, second = x.clone(), dense(3, 5, 2)

    def model(x):
        return second(first(x))

    def out_of_place(x):
        return second(first(x * 1.0))
    assert torch.equal(splines.affine_map(model, x)[0], splines.affine_map(out_of_place, x)[0])  # one computation, twice
    assert torch.equal(splines.distance_to_break(model, x, direction), splines.distance_to_break(out_of_place, x, direction))
    partition.region_codes(model, x)
    assert torch.equal(x, before)


def test_codes_can_be_compared_across_batches_and_chunks():
    model = nn.Sequential(nn.Linear(3, 12), nn.Unflatten(1, (4, 3)), nn.Flatten(0, 0)).double()
    for pool in (lambda z: z.max(1).values, lambda z: z.sort(2).values, lambda z: z.sign(), lambda z: z.amax((1, 2)),
                 lambda z: z.argmax(1) * 1.0, lambda z: F.adaptive_max_pool1d(z, 2)):
        def network(x, pool=pool):
            return pool(model(x)).flatten(1) if pool(model(x)).ndim > 1 else pool(model(x))[:, None]
        train, test = normal(20, 3), normal(7, 3, seed=1)
        whole, parts = partition.region_codes(network, train), partition.region_codes(network, train, 3)
        assert partition.distance(whole, parts).max() == 0
        assert partition.distance([layer[:7] for layer in whole], partition.region_codes(network, test)).max() > 0


def inverted(x):
    mask = x > 0
    mask.logical_not_()
    return x.masked_fill(mask, 0.0)


def sorted_whole(x):
    order = x.argsort(1)
    order += x.shape[1] * torch.arange(len(x))[:, None]
    return x.flatten()[order]


def lesser(x):
    place = x.argmax(1)
    place.clamp_(max=1)
    return x.gather(1, place[:, None])


def pooled_twice(x):
    values, places = F.max_pool2d(x.reshape(-1, 1, 2, 2), 2, return_indices=True)
    places.zero_()
    return values.flatten(1) + x[:, :1]


def into_itself(x):
    z = 1 * x
    return torch.clamp(z, min=0, out=z)


@pytest.mark.parametrize(("model", "plain"), [
    (inverted, lambda x: x.masked_fill(x <= 0, 0.0)), (sorted_whole, lambda x: x.gather(1, x.argsort(1))),
    (lesser, lambda x: x.gather(1, x.argmax(1).clamp(max=1)[:, None])), (into_itself, lambda x: x.clamp(min=0)),
    (pooled_twice, lambda x: F.max_pool2d(x.reshape(-1, 1, 2, 2), 2).flatten(1) + x[:, :1])])
def test_positions_and_masks_may_be_overwritten_by_the_model(model, plain):
    """What was recorded of them is a copy: maps and codes are those of the function written without it.

    In two of them torch has no derivative, which is said.
    """
    x = normal(7, 4)
    if model in (into_itself, pooled_twice):
        with pytest.raises(ValueError, match="has no derivative in torch"):
            splines.affine_map(model, x)
    else:
        for one, other in zip(splines.affine_map(model, x), splines.affine_map(plain, x), strict=True):
            assert torch.equal(one, other)
    codes = [np.asarray(partition.region_codes(each, x)[0]) for each in (model, plain)]
    assert np.array_equal(*codes) or model is inverted and np.array_equal(codes[0], 1 - codes[1])


def test_pooling_of_what_was_rectified_and_then_changed_takes_no_shortcut():
    constant = normal(1, 1, 4, 4)

    def model(x):
        y = torch.relu(constant.repeat(len(x), 1, 1, 1))
        y += x
        return F.max_pool2d(y, 2).flatten(1)
    x = normal(3, 1, 4, 4, seed=1)
    A, b = splines.affine_map(model, x)
    assert torch.allclose((A.flatten(2) @ x.flatten(1)[..., None])[..., 0] + b, model(x))
    assert (A.flatten(2).sum(2) == 1).all()


def test_x_may_be_a_part_of_the_model_s_own_numbers():
    net = dense(4, 5, 2)
    x = net[0].weight[:3].detach()
    for one, other in zip(splines.affine_map(net, x), splines.affine_map(net, x.clone()), strict=True):
        assert torch.equal(one, other)


def test_another_course_in_another_chunk_is_refused(monkeypatch):
    """A Python branch on a mask is refused by itself; what else may lead to other operations is noticed between chunks."""
    def branching(x):
        return (x.relu() - 1).relu() if len((x > 5).nonzero()) else x.relu()
    with pytest.raises(NotPiecewiseAffineError, match="nonzero in the model returns a Python number"):
        partition.region_codes(branching, normal(2, 3))
    once, twice = (partition.region_codes(model, normal(2, 3)) for model in (torch.relu, lambda x: (x.relu() - 1).relu()))
    parts = iter([list(once), list(twice)])
    monkeypatch.setattr(sys.modules["deepatoms.theory.partition.codes"], "_codes", lambda *_: next(parts))
    with pytest.raises(NotPiecewiseAffineError, match="other operations for other inputs .* .1 nonlinearities, then 2"):
        partition.region_codes(branching, normal(4, 3), chunk=2)


def test_a_kink_that_is_one_is_still_refused_and_off_units_are_not():
    x = normal(6, 4)
    for model in (lambda x: F.relu(x - 2).amax(1, keepdim=True), lambda x: torch.maximum(F.relu(x), F.relu(-x - 1)),
                  lambda x: F.relu(x).abs(), lambda x: torch.linalg.vector_norm(F.relu(x), 1, 1, True)):
        A, b = splines.affine_map(model, x)
        step = 1e-6 * normal(6, 4, seed=2)
        assert torch.allclose(model(x + step), torch.einsum("ncd,nd->nc", A, x + step) + b, atol=1e-15)
    for model in (torch.abs, lambda x: torch.maximum(x, -x), lambda x: x.amax(1, keepdim=True)):
        with pytest.raises(ValueError, match="sits on its kink"):
            splines.affine_map(model, torch.zeros(2, 3, dtype=D))


@pytest.mark.parametrize("x, words", [
    (np.ones((2, 3)), r"x = array of shape \(2, 3\), float64 is not a torch tensor; convert it with torch.as_tensor"),
    ([[1.0]], "x = .* is not a torch tensor"), (torch.ones(2, 3).to_sparse(), "to_dense"), (torch.ones(3), r"x\[None\]"),
    (torch.ones(2, 3, dtype=torch.int64), "real floating"), (torch.ones(0, 3), "empty")])
def test_bad_inputs_are_refused_by_argument_and_remedy(x, words):
    for call in (splines.affine_map, partition.region_codes, trace):
        with pytest.raises((ValueError, TypeError), match=words):
            call(nn.ReLU(), x)


def test_scripted_and_lazy_modules():
    x, model = normal(3, 4), dense(4, 5, 2)
    expected = splines.affine_map(model, x)[0]
    with pytest.warns(DeprecationWarning):
        scripted = torch.jit.script(model)
    assert torch.allclose(splines.affine_map(scripted, x)[0], expected)
    assert torch.allclose(splines.affine_map(nn.Sequential(scripted, nn.Identity()), x)[0], expected)
    lazy = nn.Sequential(nn.LazyLinear(3), nn.ReLU())
    for call in (splines.affine_map, partition.region_codes):
        with pytest.raises(ValueError, match="'0.weight' that the first batch has yet to shape; run it once"):
            call(lazy, x)
    assert torch.nn.parameter.is_lazy(lazy[0].weight)


@pytest.mark.parametrize("label", [3, -1, 1.5, torch.tensor([[1]])])
def test_labels_that_are_none_of_the_classes_are_refused(label):
    with pytest.raises((ValueError, TypeError), match="label = "):
        splines.optimal_templates(torch.ones(1), label, 3, 1.0)


class Meddler(nn.Module):
    """A network that writes wherever it can."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3).double()
        self.norm = nn.BatchNorm1d(3).double()
        self.register_buffer("calls", torch.zeros(2, dtype=D))
        self.notes = {}

    def forward(self, x):
        self.calls[1:] += 1
        self.notes["x"] = self.last = x
        self.layer.weight.data.mul_(1.5).div_(1.5)
        self.layer.weight.requires_grad_(False)
        np.random.rand(3)
        random.random()
        torch.manual_seed(5)
        torch.set_default_dtype(D)
        x.mul_(1.0)
        return self.norm(self.layer(x)).relu()


@pytest.mark.parametrize("training", [False, True])
def test_nothing_of_the_caller_s_changes_also_in_a_refusal(training):
    model, x = Meddler().train(training), normal(4, 3)

    def state():
        return [x.clone(), torch.get_rng_state(), torch.from_numpy(np.random.get_state()[1].astype(np.int64)),
                *(value.clone() for value in model.state_dict().values())], [
                    random.getstate(), torch.get_default_dtype(), model.training, dict(model.notes), hasattr(model, "last"),
                    [each.requires_grad for each in model.parameters()], [each.grad for each in model.parameters()]]
    before = state()
    for call in (splines.affine_map, partition.region_codes, splines.concavities, trace):
        try:
            call(model, x)
        except NotPiecewiseAffineError:
            assert training
        after = state()
        assert all(map(torch.equal, before[0], after[0])) and before[1] == after[1]


def test_what_was_made_inside_is_not_put_back_and_errors_pass():
    outside = torch.zeros(4)
    with pytest.raises(KeyError), untouched(None):
        outside[1:].add_(1)
        inside = torch.zeros(2).add_(1)
        raise KeyError
    assert outside.tolist() == [0] * 4 and inside.tolist() == [1, 1]


def test_tensors_that_the_model_does_not_hold_are_put_back_also_in_parts_and_where_their_storage_is_gone():
    whole, part, freed = sparse(), sparse(), torch.arange(4.0)
    with untouched(None):
        whole.mul_(2)
        part._values().mul_(2)
        freed.add_(1)
        freed.untyped_storage().resize_(0)
    assert entries(whole) == entries(part) == torch.eye(3).tolist() and freed.tolist() == [0, 1, 2, 3]


def test_a_hard_sigmoid_in_float64_is_exact():
    x = torch.tensor([[0.3, -2.0, 2.5, -3.5, 4.0]], dtype=D)
    A, b = splines.affine_map(nn.Hardsigmoid(), x)
    y = torch.tensor([[-2.9, 2.9, -1.0, -4.0, 3.1]], dtype=D)
    assert (torch.einsum("ncd,nd->nc", A, y) + b - F.hardsigmoid(y)).abs().max() < 1e-15


HELD = {"relu": torch.relu, "leaky_relu": lambda x: F.leaky_relu(x, 0.3), "abs": torch.abs, "hardtanh": F.hardtanh,
        "hardsigmoid": F.hardsigmoid, "clamp": lambda x: x.clamp(-0.5, 0.2), "clamp_min": lambda x: torch.clamp_min(x, 0.1),
        "clamp_max": lambda x: torch.clamp_max(x, 0.1), "softshrink": F.softshrink, "threshold": lambda x: F.threshold(x, 0.1, 3),
        "linalg_vector_norm": lambda x: torch.linalg.vector_norm(x, 1, -1), "maximum": lambda x: torch.maximum(x, -x),
        "norm": lambda x: torch.ops.aten.norm(x, 1, [-1]),
        "minimum": lambda x: torch.minimum(x, -x), "fmax": lambda x: torch.fmax(x, -x),
        "fmin": lambda x: torch.fmin(x, -x), "max": lambda x: x.max(1).values, "min": lambda x: x.min(2, True).values,
        "median": lambda x: x.median(1).values, "nanmedian": lambda x: x.nanmedian(-1).values, "sort": lambda x: x.sort(1)[0],
        "kthvalue": lambda x: x.kthvalue(2, 1, True).values, "topk": lambda x: x.topk(2, 1).values,
        "argmin": lambda x: x.argmin(1),
        "cummax": lambda x: x.cummax(1)[0], "cummin": lambda x: x.cummin(-1)[0], "amax": lambda x: x.amax((1, 3)),
        "amin": lambda x: x.amin((-1, 1), keepdim=True), "argmax": lambda x: x.argmax(-1, True), "gt": lambda x: x > 0.1,
        "ge": lambda x: x >= 0.1, "lt": lambda x: x < 0.1, "le": lambda x: x <= 0.1, "sign": torch.sign, "sgn": torch.sgn,
        "_prelu_kernel": lambda x: F.prelu(x, torch.full((3,), 0.3, dtype=D)), "rrelu_with_noise": F.rrelu,
        "max_pool2d_with_indices": lambda x: F.max_pool2d(x, 3, 1, 1),
        "adaptive_max_pool2d": lambda x: F.adaptive_max_pool2d(x, 3),
        "max_pool3d_with_indices": lambda x: F.max_pool3d(x, (2, 3, 2), (1, 2, 1), (1, 1, 0)),
        "adaptive_max_pool3d": lambda x: F.adaptive_max_pool3d(x[:, None], (2, 3, 2))}


@pytest.mark.parametrize("name", sorted(PIECES))
def test_pieces_held_at_the_same_point_give_the_operation_and_its_codes_are_among_its_pieces(name):
    x = normal(3, 3, 4, 5)
    seen = watch(HELD[name], x, Wish(codes=True, pieces=True))
    (found,) = seen.trace.nonlinearities
    assert found.operation == name and torch.allclose(seen.held(x).double(), seen.trace.output.double(), atol=1e-7)
    assert 0 <= int(found.codes.min()) and int(found.codes.max()) < found.pieces


@pytest.mark.parametrize("name", sorted(PIECES))
def test_pieces_held_at_another_point_of_theirs_give_the_operation_there(name):
    """So near that no code changes: what is held is the map, and not the value."""
    x = normal(3, 3, 4, 5)
    moved = x + 1e-6 * normal(3, 3, 4, 5, seed=1)
    seen = watch(HELD[name], x, Wish(codes=True, pieces=True))
    there = trace(HELD[name], moved)
    assert torch.equal(there.codes, seen.trace.codes)
    assert torch.allclose(seen.held(moved).double(), there.output.double(), atol=1e-12)
    assert name in ("argmin", "argmax", "gt", "ge", "lt", "le", "sign", "sgn") or not torch.equal(there.output, seen.trace.output)


@pytest.mark.parametrize("options", [{"kernel_size": 2}, {"kernel_size": (2, 3, 1), "stride": (1, 2, 1), "padding": (1, 1, 0)},
                                     {"kernel_size": 2, "dilation": 2, "stride": 1}])
def test_codes_of_three_dimensional_pooling_are_positions_in_the_window(options):
    x = normal(2, 1, 5, 6, 5)
    pool = nn.MaxPool3d(**options)
    (found,) = trace(pool, x).nonlinearities
    triple = {key: value if isinstance(value, tuple) else (value,) * 3 for key, value in options.items()}
    (kernel, stride, padding, gap) = (triple["kernel_size"], triple.get("stride", triple["kernel_size"]),
                                      triple.get("padding", (0, 0, 0)), triple.get("dilation", (1, 1, 1)))
    padded = F.pad(x, [side for pad in padding[::-1] for side in (pad, pad)], value=-torch.inf)
    codes = found.codes.reshape(2, *found.shape)
    for place in np.ndindex(*codes.shape[2:]):
        window = padded[(slice(None), 0, *(slice(at * step, at * step + (size - 1) * jump + 1, jump) for at, step, size, jump in
                                           zip(place, stride, kernel, gap, strict=True)))]
        assert (window.flatten(1).argmax(1) == codes[(slice(None), 0, *place)]).all()


@pytest.mark.parametrize("model", [
    lambda x: torch.add(x, x.relu(), alpha=-1), lambda x: torch.sub(x, x.relu()), lambda x: torch.rsub(x.relu(), x),
    lambda x: torch.addmm(x.relu(), x, torch.eye(3), beta=-1), lambda x: torch.lerp(x, x.relu(), -0.5),
    lambda x: torch.lerp(x.relu(), x, 1.5), lambda x: torch.index_add(x, 1, torch.arange(3), x.relu(), alpha=-1),
    lambda x: torch.addcmul(x, x.relu(), torch.ones(3), value=-1), lambda x: torch.fft.rfft(x.relu()).real,
    lambda x: x.relu() / -2, lambda x: F.leaky_relu(x.abs(), -0.1), lambda x: F.leaky_relu(x.abs(), 1.1),
    lambda x: F.interpolate(x.relu()[:, None, None], size=(4, 5), mode="bicubic").flatten(1), lambda x: F.threshold(x, 0, 1),
    lambda x: F.softshrink(x), lambda x: x.topk(1).values, lambda x: torch.addmm(x, x.relu(), torch.eye(3), alpha=-1),
    lambda x: torch.take_along_dim(x[:, :2].flip(1), x[:, :2].max(1, True).indices, 1), lambda x: x.max(1, True).indices.float(),
    lambda x: torch.arange(3.0)[x.max(1).indices], lambda x: x * (x.cummax(1).indices > 0),
    lambda x: F.max_unpool1d(*F.max_pool1d(x.abs()[:, None, :2], 2, return_indices=True), 2),
    lambda x: torch.linalg.cross(x.relu(), torch.tensor([1.0, 2.0, 3.0]).expand(len(x), 3)),
    lambda x: F.avg_pool2d(x.relu()[:, None, None], (1, 3), divisor_override=-3).flatten(1),
    lambda x: F.avg_pool3d(x.relu()[:, None, None, None], (1, 1, 3), divisor_override=-3).flatten(1)])
def test_no_option_lets_a_concave_function_pass_as_convex(model):
    assert splines.concavities(model, torch.randn(4, 3))


@pytest.mark.parametrize("model", [lambda x: torch.add(x, x.relu(), alpha=2), lambda x: torch.sub(x.relu(), x),
                                   lambda x: torch.sub(x, x.relu(), alpha=-1), lambda x: torch.lerp(x, x.relu(), 0.5),
                                   lambda x: torch.linalg.vector_norm(x, 1, -1, True), lambda x: x.max(1, True).values,
                                   lambda x: F.max_pool1d(x[:, None], 2), lambda x: F.max_pool2d(x[:, None, None], (1, 2)),
                                   lambda x: F.leaky_relu(x.abs(), 0.0), lambda x: F.leaky_relu(x.abs(), 1.0),
                                   lambda x: F.avg_pool2d(x.relu()[:, None, None], (1, 2), divisor_override=5).flatten(1),
                                   lambda x: x.relu()[:, [2, 0]], lambda x: x.relu().index_select(1, torch.tensor([1, 2])),
                                   lambda x: x.relu().masked_fill(torch.tensor([True, False, True]), 0.5)])
def test_convex_functions_are_proved_convex(model):
    assert splines.concavities(model, torch.randn(4, 3)) == ()


def test_columns_are_refused_where_the_geometry_follows_rows():
    """The map itself is right in columns; a distance to a break, which tells samples apart at every layer, is refused."""
    left, right, x = normal(2, 4), normal(4, 3, seed=1), normal(4, 3, seed=2)

    def columns(x):
        return (left @ torch.relu(right @ x.T)).T

    def rows(x):
        return torch.relu(x @ right.T) @ left.T
    assert torch.allclose(splines.affine_map(columns, x)[0], splines.affine_map(rows, x)[0])
    assert splines.distance_to_break(rows, x, x.flip(0)).shape == (4,)
    with pytest.raises(ValueError, match="first axis"):
        splines.distance_to_break(columns, x, x.flip(0))


def test_a_distance_that_was_followed_wrong_is_refused(monkeypatch):
    """Were the walls of an operation not its own (a ceiling that it does not have), the function itself would show it."""
    from deepatoms.theory.partition import rules
    ceiling = rules.WallRule(lambda hold, self: rules.WALLS["clamp"].function(hold, self, 0.0, 1.0))
    monkeypatch.setitem(rules.WALLS, "relu", ceiling)
    with pytest.raises(ValueError, match="not affine up to the break"):
        splines.distance_to_break(torch.relu, torch.full((1, 2), 1.5, dtype=D), torch.ones(1, 2, dtype=D))


def test_a_sparse_matrix_inside_is_a_matrix():
    matrix, x = normal(3, 4) * (normal(3, 4, seed=1) > 0), normal(2, 4)
    A, _ = splines.affine_map(lambda x: torch.sparse.mm(matrix.to_sparse(), x.T).T, x)
    assert torch.allclose(A, matrix.expand(2, 3, 4))
    assert splines.concavities(lambda x: torch.sparse.mm(matrix.to_sparse(), x.relu().T).T, x)


CALLS = {"global": 0, "rows": []}


class Helper:
    calls, of_all = 0, 0


@pytest.mark.parametrize("call", [splines.affine_map, partition.region_codes, splines.concavities, partition.in_radius])
def test_what_a_function_closes_over_and_names_is_as_it_was(call):
    count, rows, helper, array, weight = 0, [1], Helper(), np.zeros(2), nn.Linear(3, 3).double()

    def model(x, defaults=[0]):  # noqa: B006 (what is tested)
        nonlocal count
        count += 1
        CALLS["global"] += 1
        CALLS["rows"].append(len(x))
        Helper.of_all += 1
        helper.calls += 1
        rows.append(len(x))
        defaults[0] += 1
        array[:] += 1
        with torch.no_grad():
            weight.bias.numpy()[0] += 0.0
        return weight(x).relu()
    call(model, normal(4, 3))
    assert (count, rows, helper.calls, Helper.of_all, CALLS) == (0, [1], 0, 0, {"global": 0, "rows": []})
    assert model.__defaults__ == ([0],) and not array.any()


def test_numbers_of_a_module_that_numpy_wrote_and_gradients_are_put_back():
    model = nn.Linear(3, 3).double()
    before = model.weight.detach().clone()
    with untouched(model):
        model.weight.detach().numpy()[:] = 7
        model.weight.grad = torch.ones(3, 3, dtype=D)
    assert torch.equal(model.weight, before) and model.weight.grad is None


def test_convexity_is_not_proved_of_what_torch_does_not_see():
    state = [0]

    def remembers(x):
        state[0] += 1
        return torch.relu(x) * state[0]
    for model, words in ((remembers, "is not affine although"), (lambda x: x - copy.deepcopy(x.detach()).abs(), "__deepcopy__"),
                         (lambda x: x + x.detach().clone().apply_(lambda value: -abs(value)), "apply_")):
        with pytest.raises(NotPiecewiseAffineError, match=words):
            splines.concavities(model, normal(4, 3))


FIXED = {"index", "indices", "condition", "mask", "grid"}  # torch's own names of what selects
FACTOR = {"self", "other", "input", "weight", "vec", "vec1", "vec2", "mat", "mat1", "mat2", "batch1", "batch2",
          "tensor", "tensor1", "tensor2"}


def positions(name):
    """The positions of an operation's arguments in torch's own declaration of it, by their names."""
    packet = getattr(torch.ops.aten, name)
    overload = packet.default if "default" in packet.overloads() else getattr(packet, packet.overloads()[0])
    return {argument.name: place for place, argument in enumerate(overload._schema.arguments)}


@pytest.mark.parametrize("name", sorted(operations.SELECTING))
def test_what_selects_stands_where_torch_declares_it(name):
    declared = {place for argument, place in positions(name).items() if argument in FIXED}
    assert set(operations.SELECTING[name]) == declared


@pytest.mark.parametrize("name", sorted(set(operations.FACTORS) - {"mul"}))
def test_factors_stand_where_torch_declares_them(name):
    """What is added (``self`` of addmm and its like) is no factor."""
    declared = {place for argument, place in positions(name).items() if argument in FACTOR}
    added = {0} if name.lstrip("_").startswith(("add", "badd", "sparse_add")) else set()
    assert set(operations.FACTORS[name]) == declared - added


@pytest.mark.parametrize("name", sorted(operations.TRAINING_FLAG))
def test_the_flag_of_batch_norm_stands_where_torch_declares_it(name):
    assert (operations.TRAINING_FLAG[name] or None) == positions(name).get("training")


class Written(nn.Module):
    """Whatever a subclass does in forward beside its one layer."""

    def __init__(self):
        super().__init__()
        self.layer, self.count = nn.Linear(4, 2, dtype=D), 0
        self.register_buffer("total", torch.zeros(2, dtype=D))
        self.table = nn.Parameter(torch.zeros(8, dtype=D))

    def forward(self, x):
        self.count += 1
        return self.beside(x, self.layer(x)).relu()


class Summed(Written):
    def beside(self, x, z):
        self.total.add_(z.sum(0))
        return z


class Cast(Written):
    def __init__(self):
        super().__init__()
        self.float().double()  # so that nothing is lost below

    def beside(self, x, z):
        self.float()
        self.double()
        self.layer.weight.data = self.layer.weight.data * 1
        return z


class Shortened(Written):
    def beside(self, x, z):
        self.table.data = self.table.data[:4].clone()
        return z


class Drawing(Written):
    def __init__(self):
        super().__init__()
        self.draws = [np.random.default_rng(0), np.random.RandomState(0), random.Random(0), torch.Generator()]

    def beside(self, x, z):
        for each in self.draws[:3]:
            each.random()
        self.draws[3].manual_seed(5)
        return z


class Kept:
    __slots__ = ("bytes", "count")

    def __init__(self):
        self.count, self.bytes = 0, bytearray(3)


class Noting(Written):
    def __init__(self):
        super().__init__()
        self.note, self.log, self.after = Kept(), [[each] for each in range(9999)], Summed()

    def beside(self, x, z):
        self.note.count += 1
        self.note.bytes[0] += 1
        self.after(x)
        return z


def standing(model):
    """What can be seen of a model: its numbers, where they lie, their standing, and what its objects hold."""
    tensors = [(each.detach().clone().tolist(), each.data_ptr(), each.dtype, each.shape, each.requires_grad, each.is_leaf)
               for each in (*model.parameters(), *model.buffers())]
    draws = [repr(each.bit_generator.state if isinstance(each, np.random.Generator) else each.get_state() if hasattr(
        each, "get_state") else each.getstate()) for each in getattr(model, "draws", ())]
    note = getattr(model, "note", None)
    return tensors, draws, model.count, note and (note.count, bytes(note.bytes), model.after.count), np.random.get_state()[2]


@pytest.mark.parametrize("call", [splines.affine_map, partition.region_codes, partition.in_radius])
@pytest.mark.parametrize("kind", [Summed, Cast, Shortened, Drawing, Noting])
def test_whatever_a_model_writes_is_put_back_also_where_it_lies_and_how_it_stands(kind, call):
    torch.manual_seed(0)
    model = kind().eval()
    before = standing(model)
    call(model, normal(3, 4))
    assert standing(model) == before
    copy.deepcopy(model)


def counted(counts=[0]):  # noqa: B006 (what is tested)
    counts[0] += 1
    return counts[0]


class Counting:
    """Counts in ways that only the class itself shows."""

    __slots__ = ("__hidden", "late")
    property_calls, static_calls = [0], [0]

    def __init__(self):
        self.__hidden = 0

    def __setattr__(self, name, value):
        if hasattr(self, name):
            raise AttributeError("it is frozen")
        object.__setattr__(self, name, value)

    @property
    def shown(self):
        self.property_calls[0] += 1
        return self.property_calls[0]

    @staticmethod
    def static():
        STATIC[0] += 1
        return STATIC[0]

    def count(self):
        object.__setattr__(self, "_Counting__hidden", self.__hidden + 1)
        if not hasattr(self, "late"):
            self.late = 1

    def state(self):
        return self.__hidden, hasattr(self, "late")


class Guarded(type):
    def __setattr__(cls, name, value):
        raise KeyError(f"{cls.__name__} does not change")


class Total(metaclass=Guarded):
    count = 0


class Log(list):
    def clear(self):
        raise OSError("a log is only written to")


class Reads(dict):
    hits = 0

    def get(self, *key):
        self.hits += 1
        return super().get(*key)


STATIC = [0]
remembered = functools.lru_cache(lambda size, counts=[0]: counts.append(size) or counts)


def new_names(model):
    global APPEARED
    APPEARED = 1
    type(model).appeared = 1


def in_inference_mode(model):
    with torch.inference_mode():
        model.held.add_(1)


def made_in_inference_mode():
    with torch.inference_mode():
        return torch.zeros(2)


def shape(tensor):
    return tensor.tolist(), tensor.shape, tensor.stride(), tensor.requires_grad, tensor.untyped_storage().nbytes()


def entries(tensor):
    return tensor.to_dense().tolist()


def sparse():
    return torch.eye(3, dtype=D).to_sparse()


def jagged():
    return torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged)


# What a model holds, what its forward does to it, and what is seen of it.
HOLDINGS = {
    "data of a plain tensor": (lambda: torch.zeros(2, 3), lambda model: setattr(model.held, "data", torch.ones(5)), shape),
    "plain tensor turned": (lambda: torch.zeros(2, 3), lambda model: model.held.t_(), shape),
    "plain tensor unsqueezed": (lambda: torch.zeros(2, 3), lambda model: model.held.unsqueeze_(0), shape),
    "plain tensor grown": (lambda: torch.zeros(2, 3), lambda model: model.held.resize_(40).fill_(1), shape),
    "plain tensor set": (lambda: torch.zeros(2, 3), lambda model: model.held.set_(torch.ones(7)), shape),
    "plain tensor by numpy": (lambda: torch.zeros(2, 3), lambda model: model.held.numpy().fill(1), shape),
    "storage freed": (lambda: torch.arange(9.0), lambda model: model.held.untyped_storage().resize_(0), shape),
    "inference tensor": (made_in_inference_mode, in_inference_mode, torch.Tensor.tolist),
    "hook of a tensor": (lambda: nn.Parameter(torch.ones(2)), lambda model: model.held.register_hook(lambda slope: 2 * slope),
                         lambda held: held._backward_hooks),
    "late hook of a tensor": (lambda: nn.Parameter(torch.ones(2)), lambda model: model.held.register_post_accumulate_grad_hook(
        lambda held: None), lambda held: held._post_accumulate_grad_hooks),
    "note on a tensor": (lambda: nn.Parameter(torch.ones(2)), lambda model: setattr(model.held, "note", 1),
                         lambda held: dict(vars(held))),
    "sparse": (sparse, lambda model: model.held.mul_(2), entries),
    "sparse, emptied": (sparse, lambda model: model.held.zero_(), entries),
    "values of sparse": (sparse, lambda model: model.held._values().mul_(2), entries),
    "rows": (lambda: sparse().to_sparse_csr(), lambda model: model.held.mul_(2), entries),
    "values of rows": (lambda: sparse().to_sparse_csr(), lambda model: model.held.values().mul_(2), entries),
    "values of columns by numpy": (lambda: sparse().to_sparse_csc(), lambda model: model.held.values().numpy().fill(2), entries),
    "nested": (lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), lambda model: model.held.mul_(2),
               lambda held: [each.tolist() for each in held.unbind()]),
    "jagged": (jagged, lambda model: model.held.mul_(2), lambda held: held.values().tolist()),
    "meta": (lambda: torch.zeros(3, device="meta"), lambda model: model.held.add_(1).unsqueeze_(0), lambda held: held.shape),
    "namespace": (lambda: types.SimpleNamespace(count=0), lambda model: setattr(model.held, "count", 1), repr),
    "user's table": (lambda: collections.UserDict(count=0), lambda model: model.held.update(count=1), dict),
    "numbers of the array module": (lambda: array.array("d", [0]), lambda model: model.held.append(1), list),
    "order of a table": (lambda: {"a": 0, "b": 1}, lambda model: model.held.update(a=model.held.pop("a")), list),
    "order of an ordered table": (lambda: collections.OrderedDict(a=0, b=1), lambda model: model.held.move_to_end("a"), list),
    "list that refuses": (Log, lambda model: model.held.append(1), list),
    "table that counts": (lambda: Reads(b=1), lambda model: model.held.update(a=1), lambda held: (held.hits, list(held))),
    "function in a frozen set": (lambda: frozenset([counted]), lambda model: [each() for each in model.held],
                                 lambda held: list(counted.__defaults__[0])),
    "array of objects": (lambda: np.array([None, [1]], object), lambda model: (
        model.held[1].append(2), model.held.__setitem__(0, 5)), np.ndarray.tolist),
    "array flattened": (lambda: np.zeros((2, 3)), lambda model: model.held.resize(6, refcheck=False), np.shape),
    "array locked": (lambda: np.zeros(2), lambda model: (model.held.flags.writeable and model.held.fill(1), model.held.setflags(
        write=False)), lambda held: (held.tolist(), held.flags.writeable)),
    "masked array": (lambda: np.ma.masked_array([1.0, 2.0], [False, True]), lambda model: model.held.__setitem__(
        0, np.ma.masked), repr),
    "bits": (lambda: np.random.PCG64(0), lambda model: model.held.random_raw(), lambda held: str(held.state)),
    "new names": (lambda: globals().pop("APPEARED", None), new_names, lambda held: (
        "APPEARED" in globals(), hasattr(Beside, "appeared"))),
    "property": (Counting, lambda model: model.held.shown, lambda held: list(held.property_calls)),
    "static method": (Counting, lambda model: model.held.static(), lambda held: list(STATIC)),
    "slots": (Counting, lambda model: model.held.count(), Counting.state),
    "guarded class": (lambda: Total, lambda model: type.__setattr__(model.held, "count", model.held.count + 1),
                      lambda held: held.count),
    "weak table": (weakref.WeakKeyDictionary, lambda model: model.held.__setitem__(Written, 1), dict),
    "weak values": (lambda: weakref.WeakValueDictionary(a=Total), lambda model: model.held.update(b=Written), dict),
    "weak set": (weakref.WeakSet, lambda model: model.held.add(Written), list),
    "queue": (queue.Queue, lambda model: model.held.put(1), lambda held: (held.qsize(), held.unfinished_tasks)),
    "queue of priorities": (queue.PriorityQueue, lambda model: model.held.put(1), queue.Queue.qsize),
    "event": (threading.Event, lambda model: model.held.set(), threading.Event.is_set),
    "thread's own": (threading.local, lambda model: setattr(model.held, "seen", 1), lambda held: dict(vars(held))),
    "context variable": (lambda: contextvars.ContextVar("held", default=0), lambda model: model.held.set(model.held.get() + 1),
                         contextvars.ContextVar.get),
    "text in memory": (lambda: io.StringIO("abc"), lambda model: model.held.write("d"), lambda held: (
        held.getvalue(), held.tell())),
    "bytes in memory": (lambda: io.BytesIO(b"abc"), lambda model: (model.held.seek(1), model.held.truncate()), lambda held: (
        held.getvalue(), held.tell())),
    "number of ctypes": (lambda: ctypes.c_int(3), lambda model: setattr(model.held, "value", 4), lambda held: held.value),
    "structure of ctypes": (lambda: (ctypes.c_double * 2)(1, 2), lambda model: model.held.__setitem__(0, 4), list),
    "view of memory": (lambda: memoryview(bytearray(4)), lambda model: model.held.__setitem__(0, 1), bytes),
    "memory that is read only": (lambda: memoryview(b"abc"), lambda model: None, bytes),
    "function that remembers": (lambda: remembered.cache_clear() or remembered, lambda model: model.held(7), lambda held: list(
        held.__wrapped__.__defaults__[0]))}


class Beside(Written):
    def __init__(self, held, do, buffer):
        super().__init__()
        if buffer:
            self.register_buffer("held", held)
        else:
            self.held = held
        self.do = do

    def beside(self, x, z):
        self.do(self)
        return z


@pytest.mark.parametrize("call", [splines.affine_map, partition.region_codes])
@pytest.mark.parametrize("name, buffer", [
    (name, buffer) for name, (_, _, look) in HOLDINGS.items() for buffer in (False, True)
    if not buffer or look in (shape, entries) or name in ("nested", "jagged", "meta", "inference tensor")])
@pytest.mark.filterwarnings("ignore:.*(nested|Sparse)")
def test_whatever_a_model_holds_is_put_back(name, buffer, call):
    build, do, look = HOLDINGS[name]
    model = Beside(build(), do, buffer)
    held, before = model.held, look(model.held)
    call(model, normal(3, 4))
    assert look(model.held) == before and model.held is held and model.count == 0


def quietly(*_):
    return None


# Settings that are everyone's: how a forward changes them, and how they are read.
EVERYONE = {
    "threads": (lambda: torch.set_num_threads(1 + torch.get_num_threads()), torch.get_num_threads),
    "determinism": (lambda: torch.use_deterministic_algorithms(True, warn_only=True), lambda: (
        torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled())),
    "anomalies": (lambda: torch.autograd.set_detect_anomaly(True, check_nan=False), torch.is_anomaly_enabled),
    "precision": (lambda: torch.set_float32_matmul_precision("medium"), torch.get_float32_matmul_precision),
    "type": (lambda: torch.set_default_dtype(torch.float64), torch.get_default_dtype),
    "errors of numpy": (lambda: np.seterr(all="raise"), np.geterr),
    "environment": (lambda: os.environ.update(DEEPATOMS_TRIED="1"), lambda: dict(os.environ)),
    "environment emptied": (lambda: os.environ.pop("PATH", None), lambda: dict(os.environ)),
    "warnings": (lambda: warnings.simplefilter("error", ResourceWarning), lambda: list(warnings.filters)),
    "recursion": (lambda: sys.setrecursionlimit(1 + sys.getrecursionlimit()), sys.getrecursionlimit),
    "hooks on all modules": (lambda: nn.modules.module.register_module_forward_hook(quietly),
                             lambda: len(nn.modules.module._global_forward_hooks))}


@pytest.mark.parametrize("call", [splines.affine_map, partition.region_codes, partition.in_radius])
@pytest.mark.parametrize("name", EVERYONE)
def test_settings_that_are_everyone_s_are_put_back(name, call):
    change, look = EVERYONE[name]
    before = look()

    def model(x):
        change()
        return x.relu()
    with untouched(None):  # which the last assertion needs: it shows that the change is one
        call(model, normal(3, 4))
        assert look() == before
        change()
        assert look() != before
    assert look() == before


def test_a_warning_is_shown_as_before_when_filters_are_put_back():
    """Python keeps note of what it has shown; it must not go by filters that are gone."""
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        with untouched(None):
            warnings.simplefilter("ignore")
            warnings.warn("hidden", stacklevel=1)
        warnings.warn("seen", stacklevel=1)
    assert [str(each.message) for each in shown] == ["seen"]


def test_a_buffer_that_is_a_view_stays_one_and_takes_no_derivative():
    class View(Written):
        def __init__(self):
            super().__init__()
            many = torch.zeros(4, 2, dtype=D)
            self.register_buffer("one", many[1])
            self.register_buffer("many", many)

        def beside(self, x, z):
            self.one.add_(z.sum(0))
            return z
    model = View()
    one, place = model.one, model.one.data_ptr()
    splines.affine_map(model, normal(3, 4))
    assert model.one is one and one.data_ptr() == place and one._base is model.many
    assert not model.many.requires_grad and not one.requires_grad and not model.many.any()
    model(normal(3, 4))  # it can be written to with gradients as before
    assert model.many.requires_grad and model.many[1].any() and not model.many[0].any()


def test_what_cannot_be_put_back_is_told_and_all_else_is():
    """A tensor that was computed from others does not get this back."""
    model, start = Summed().eval(), torch.ones(2, dtype=D, requires_grad=True)
    computed = start * 2

    def writing(x):
        z = model(x)
        computed.add_(z.sum(0))
        return z
    with pytest.raises(ValueError, match=r"model: what it changed cannot be put back .a tensor of shape \(2,\), itself.*; leave"):
        splines.affine_map(writing, normal(3, 4))
    assert model.count == 0 and model.total.tolist() == [0, 0] and computed.tolist() == [2, 2]


def test_a_view_of_what_was_computed_is_no_change_where_its_base_is_put_back():
    computed = torch.ones(2, dtype=D, requires_grad=True) * 2
    part = computed[:1]

    def writing(x):
        with torch.no_grad():
            computed.add_(1)
        return x.relu() + 0 * len(part)
    splines.affine_map(writing, normal(3, 4))
    assert computed.tolist() == [2, 2] and part.tolist() == [2]


def test_hooks_that_forward_puts_on_a_weight_are_not_called_afterwards():
    called, layer = [], nn.Linear(4, 2, dtype=D)

    def hooking(x):
        layer.weight.register_hook(lambda slope: called.append(slope))
        layer.weight.register_post_accumulate_grad_hook(lambda weight: called.append(weight))
        return layer(x).relu()
    splines.affine_map(hooking, normal(3, 4))
    called.clear()
    layer(normal(3, 4)).sum().backward()
    assert not called


def test_an_interruption_is_passed_on_also_where_something_cannot_be_put_back():
    start = torch.ones(2, requires_grad=True)
    computed, counts = start * 2, [0]

    def interrupted(x):
        counts[0] += 1
        computed.add_(start)
        np.random.random()
        raise KeyboardInterrupt
    before = np.random.get_state()[2]
    with pytest.raises(KeyboardInterrupt), torch.enable_grad():
        trace(interrupted, normal(3, 4))
    assert counts == [0] and np.random.get_state()[2] == before


class Scripted(nn.Module):
    count: int

    def __init__(self):
        super().__init__()
        self.layer, self.count, self.log, self.notes, self.last = nn.Linear(4, 2, dtype=D), 0, [1], {"a": 1}, torch.zeros(1)
        self.register_buffer("total", torch.zeros(1, dtype=D))

    def forward(self, x):
        self.count += 1
        self.total = self.total + 1
        self.last = self.last + 1
        self.log.append(2)
        self.notes["b"] = 3
        return torch.relu(self.layer(x))


def saved_and_loaded(module):
    file = io.BytesIO()
    torch.jit.save(module, file)
    file.seek(0)
    return torch.jit.load(file)


@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.parametrize("build", [lambda module: module, lambda module: torch.jit.freeze(module.eval()), saved_and_loaded,
                                   nn.Sequential])
def test_attributes_of_a_scripted_module_are_put_back(build):
    module = build(torch.jit.script(Scripted()))
    splines.affine_map(module, normal(3, 4))
    partition.region_codes(module, normal(3, 4))
    own = (module[0] if isinstance(module, nn.Sequential) else module)._c
    assert (own.getattr("count"), own.getattr("log"), own.getattr("total").tolist()) == (0, [1], [0])
    if own.hasattr("notes"):
        assert own.getattr("notes") == {"a": 1} and own.getattr("last").tolist() == [0]


def test_a_scripted_part_keeps_its_mode_and_a_gradient_outside_is_not_left():
    part, weight = torch.jit.script(nn.Linear(4, 2, dtype=D)).train(), torch.ones(4, 2, dtype=D, requires_grad=True)

    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.part = part

        def forward(self, x):
            self.part.eval()
            with torch.enable_grad():
                (weight * weight).sum().backward()
            return self.part(x).relu()
    splines.affine_map(Outer(), normal(2, 4))
    assert part.training and weight.grad is None


@pytest.mark.filterwarnings("ignore:.*(nested|Sparse|quantize)")
def test_codes_leave_storages_resizable_and_look_at_any_layout():
    net = dense(4, 6, 2)
    net.register_buffer("sparse", torch.eye(3).to_sparse())
    net.register_buffer("rows", torch.eye(3).to_sparse_csr())
    net.register_buffer("nowhere", torch.zeros(3, device="meta"))
    net.register_buffer("huge", torch.sparse_coo_tensor([[1], [2]], [1.0], (10**7, 10**7)))  # dense, it would not fit in memory
    net.register_buffer("quantized", torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.quint8))
    net.register_buffer("several", torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]))
    net.register_buffer("jagged", jagged())
    partition.region_codes(net, normal(3, 4))
    assert all(each.untyped_storage().resizable() for each in net.parameters())
    before = partition.codes.fingerprint(net)
    for values in (net.sparse._values(), net.rows.values(), net.huge._values(), net.several.unbind()[1], net.jagged.values()):
        values.mul_(2)
        assert partition.codes.fingerprint(net) != before
        values.div_(2)
    assert partition.codes.fingerprint(net) == before


def test_a_buffer_that_the_first_batch_will_shape_is_refused():
    net = nn.Sequential(nn.Linear(4, 3, dtype=D), nn.LazyBatchNorm1d(affine=False, dtype=D), nn.ReLU()).eval()
    for call in (splines.affine_map, partition.region_codes, splines.concavities):
        with pytest.raises(ValueError, match="has a buffer '1.running_mean' that the first batch has yet to shape; run it once"):
            call(net, normal(3, 4))


def test_answers_written_into_one_buffer_are_told_apart():
    class Static(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 2, dtype=D)
            self.register_buffer("out", torch.zeros(64, 2, dtype=D))

        def forward(self, x):
            answers = self.out[:len(x)]
            answers.copy_(self.layer(x).relu())
            return answers
    torch.manual_seed(0)
    model, x = Static().requires_grad_(False), normal(5, 4)
    for one, other in zip(splines.affine_map(model, x), splines.affine_map(lambda x: model.layer(x).relu(), x), strict=True):
        assert torch.allclose(one, other)
    assert not model.out.requires_grad and not model.out.any()


def test_a_nested_batch_is_refused_and_a_shortcut_may_be_a_method():
    rows = torch.nested.nested_tensor([normal(4), normal(4)])
    with pytest.raises(TypeError, match="nested"):
        splines.affine_map(dense(4, 2), rows)
    block = Block(dense(4, 4, 4))
    del block.shortcut
    block.shortcut = lambda x: 2 * x
    assert splines.block_templates(Residual([block]), normal(3, 4)).shape == (3, 2, 4, 4)
