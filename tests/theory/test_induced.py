"""Induced dictionaries: explicit against torch's own convolutions, structure against the equations, bad input refused."""

import dataclasses
import itertools
import math
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as nn
from hypothesis import given, settings
from hypothesis import strategies as st

from deepatoms.theory import induced
from deepatoms.theory.induced import explicit, interactions

widths = st.lists(st.integers(1, 9), min_size=2, max_size=6)


def forward_map(weight, stride, size, columns=None):
    """The forward convolution as a matrix, by torch on every unit image (circular boundary)."""
    units = torch.eye(weight.shape[1] * size**2, dtype=torch.float64).reshape(-1, weight.shape[1], size, size)
    found = nn.conv2d(nn.pad(units, (1, 1, 1, 1), mode="circular"), weight, stride=stride)
    return found.flatten(1).T


def test_convolutional_blocks_are_torch_convolutions():
    net = induced.cifar("resnet", blocks=1, width=1, image=12)
    weights = net.init(0)
    B = net.dictionary(weights)
    ends = np.cumsum([0, *(layer.channels * net.positions(j) for j, layer in enumerate(net.layers))])[1:] - ends_of_input(net)
    rows = np.cumsum([0, *(net.layers[j].channels * net.positions(j) for j in net.row_layers)])
    torch.testing.assert_close(B[:rows[1], :ends[1]], forward_map(weights[0], 1, 12).T)
    for j in range(2, net.depth + 1):
        size = net.image >> net.layers[j - 1].level
        block = B[rows[j - 1]:rows[j], ends[j - 2]:ends[j - 1]]
        torch.testing.assert_close(block, -forward_map(weights[j - 1], net.weights[j - 1].stride, size))


def ends_of_input(net):
    return net.layers[0].channels * net.positions(0)


def test_pooled_skip_is_average_pooling_and_zero_channels():
    net = induced.cifar("resnet", blocks=1, width=2, image=12)
    image = torch.randn(1, 2, 12, 12, dtype=torch.float64)
    block = next(b for b in net.blocks if b.kind == "pool")
    from deepatoms.theory.induced import explicit
    ours = -explicit._block(net, net.init(0), "circular", block) @ image.numpy().ravel()
    theirs = nn.pad(nn.avg_pool2d(image, 2), (0, 0, 0, 0, 1, 1))
    np.testing.assert_allclose(ours, theirs.numpy().ravel(), atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(widths, st.integers(0, 1000))
def test_counts_agree_with_the_explicit_dictionary(widths, seed):
    for net in (induced.chain(widths), induced.chain(widths, "analysis"), induced.dense(widths)):
        B = net.dictionary(net.init(seed))
        assert B.shape == (net.rows, net.atoms)
        assert net.parameter_count == sum(weight.numel() for weight in net.init(seed))


@settings(max_examples=30, deadline=None)
@given(widths, st.integers(0, 1000))
def test_linear_forward_pass_solves_every_constraint_of_the_analysis_form(widths, seed):
    draw = np.random.default_rng(seed)
    square = [widths[1], *widths[1:]]
    for net in (induced.chain(square, "analysis"), induced.dense(square), induced.residual([square[0]] * 6)):
        weights = [draw.normal(size=weight.shape) for weight in net.weights]
        weights[0] = np.linalg.qr(weights[0])[0]
        x = draw.normal(size=net.layers[0].channels)
        w = induced.forward(net, weights, x, activation=False)
        scale = 1 + np.abs(w).max()
        assert np.abs(induced.constraints(net.dictionary(weights), w, x)).max() < 1e-11 * scale


def test_published_sizes():
    counts = {blocks: induced.cifar("resnet", blocks=blocks, width=32).parameter_count for blocks in (4, 5, 8, 10)}
    assert [round(counts[blocks] / 1e6, 2) for blocks in counts] == [1.46, 1.84, 3.01, 3.78]
    assert induced.cifar("resnet", blocks=5, width=16).atoms == 303_104
    dense = {(2, 2, 16): 3676, (2, 4, 8): 4936, (4, 4, 8): 15_352, (6, 4, 16): 38_528}
    for (layers, growth, first), count in dense.items():
        assert induced.densenet(layers=layers, growth=growth, first=first).parameter_count == count


def test_unit_magnitudes():
    net = induced.densenet(layers=2, growth=2)
    weights = net.unit(net.init(3))
    assert torch.allclose((weights[0] ** 2).sum((1, 2, 3)), torch.ones(16, dtype=torch.float64))
    assert torch.allclose((weights[2] ** 2).sum((0, 2, 3)), torch.ones(18, dtype=torch.float64))
    transition = next(w for w, rule in zip(weights, net.weights, strict=True) if rule.norm == 2)
    assert torch.allclose((transition**2).sum((0, 2, 3)), 4 * torch.ones(20, dtype=torch.float64))


def test_sparse_code_meets_the_conditions_of_the_minimum():
    draw = np.random.default_rng(0)
    B, y = draw.normal(size=(20, 12, 18)), draw.normal(size=(20, 12))
    w = induced.sparse_code(B, y, 0.3, gap=1e-11)
    slope = 2 * np.einsum("brk,br->bk", B, np.einsum("brk,bk->br", B, w) - y) + 0.3
    assert (w >= 0).all() and (slope > -1e-4).all()
    assert np.abs(slope[w > 1e-6]).max() < 1e-4


@pytest.mark.parametrize(("build", "message"), [
    (lambda: induced.chain([3, 0]), r"widths\[1\] = 0 is smaller than 1"),
    (lambda: induced.chain([3, 2.5]), r"widths\[1\] = 2.5 is not an integer"),
    (lambda: induced.chain([3]), "names no layer"),
    (lambda: induced.chain([3, 4], "synthetic"), "choose one of 'synthesis', 'analysis'"),
    (lambda: induced.residual([8, 4, 4, 5]), "joins layers 1 and 3 of different width"),
    (lambda: induced.cifar("vgg", blocks=1, width=1), "choose one of 'resnet', 'chain'"),
    (lambda: induced.cifar("resnet", blocks=1, width=1, image=30), "not divisible by the strides"),
    (lambda: induced.cifar("resnet", blocks=1, width=1, image=8), "smaller than the filters"),
    (lambda: induced.cifar("resnet", blocks=1, width=1, form="synthesis"), "has no skips"),
    (lambda: induced.cifar("resnet", blocks=5, width=16).dictionary(induced.cifar("resnet", blocks=5, width=16).init()),
     r"makes a dictionary of [\d,]+\.\d GiB"),
    (lambda: induced.chain([3, 4]).dictionary([np.full((4, 3), math.nan)]), "12 entries that are NaN"),
    (lambda: induced.chain([3, 4]).dictionary([np.ones((3, 4))]), r"pass shape \(4, 3\)"),
    (lambda: induced.chain([3, 4]).check_filters([torch.zeros(4, 3)]), "holds a zero filter"),
])
def test_bad_input_is_refused(build, message):
    with pytest.raises((ValueError, TypeError), match=message):
        build()


@pytest.mark.parametrize(("family", "name"), [("resnet", "blocks"), ("resnet", "width"), ("resnet", "groups"),
                                              ("densenet", "layers"), ("densenet", "growth"), ("densenet", "first")])
@pytest.mark.parametrize("value", [0, -1, 2.5, None, True])
def test_sizes_that_make_no_network_are_refused_by_name(family, name, value):
    build, sizes = {"resnet": (partial(induced.cifar, "resnet"), {"blocks": 1, "width": 2}),
                    "densenet": (induced.densenet, {"layers": 1, "growth": 2})}[family]
    with pytest.raises((TypeError, ValueError), match=f"{name} = "):
        build(**(sizes | {name: value}))


def test_the_random_weights_have_the_variance_that_the_rule_says():
    weight = induced.chain([200, 300]).init(0, gain=2.0)[0]
    assert float(weight.var()) == pytest.approx(2 / 200, rel=0.05)
    assert float(induced.chain([200, 300]).init(0, gain=0.5)[0].var()) == pytest.approx(0.5 / 200, rel=0.05)


def on_the_grid(kernel, n):
    """A kernel as a matrix from column positions x to row positions y of a circular grid: entry values[r, c, y - x]."""
    values = np.asarray(kernel.values)
    found = np.zeros((values.shape[0], n, n, values.shape[1], n, n))
    for (i, j), (y, x) in itertools.product(itertools.product(range(values.shape[-1]), repeat=2),
                                            itertools.product(range(n), repeat=2)):
        found[:, (y + i + kernel.start) % n, (x + j + kernel.start) % n, :, y, x] += values[:, :, i, j]
    return found


def random_kernel(draw, rows, columns, size, start):
    return interactions.Kernel(torch.from_numpy(draw.normal(size=(rows, columns, size, size))), start, 0)


@pytest.mark.parametrize(("sizes", "starts"), [((1, 1), (0, 0)), ((3, 3), (-1, -1)), ((2, 3), (-1, 0)), ((3, 1), (-2, 1)),
                                               ((1, 2), (1, -1))])
def test_kernels_are_correlated_mirrored_and_added_as_their_matrices_are(sizes, starts):
    draw = np.random.default_rng(sum(sizes))
    a, b, c = (random_kernel(draw, 2, k, size, start)
               for k, size, start in ((3, sizes[0], starts[0]), (4, sizes[1], starts[1]), (3, sizes[1], starts[1])))
    A, B = (on_the_grid(each, 8).reshape(128, -1) for each in (a, b))
    np.testing.assert_allclose(on_the_grid(interactions.correlate(a, b), 8).reshape(192, -1), A.T @ B, atol=1e-12)
    np.testing.assert_allclose(on_the_grid(interactions.mirror(a), 8).reshape(192, -1), A.T, atol=1e-12)
    for one, other in ((a, c), (c, a)):
        total = on_the_grid(a, 8) + on_the_grid(c, 8)
        np.testing.assert_allclose(on_the_grid(interactions.add(one, other), 8), total, atol=1e-12)


@pytest.mark.parametrize("start", [-2, -1, 0, 1])
@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize(("rows", "columns"), [((0, 1), (0, 1)), ((0,), (0, 1)), ((0, 1), (0,)), ((0,), (0,))])
def test_a_lifted_kernel_is_the_same_matrix_with_phases_for_channels(start, size, rows, columns):
    if size == 1 and start % 2 and len(rows) == len(columns) == 1:
        return  # no coarse position has that offset, and no network has such a block
    kernel = random_kernel(np.random.default_rng(size), 2, 1, size, start)
    lifted = interactions.lift(kernel, rows, columns)
    p, q = len(rows), len(columns)
    fine = on_the_grid(kernel, 6).reshape(2, 3, 2, 3, 2, 1, 3, 2, 3, 2)[:, :, :p, :, :p, :, :, :q, :, :q]
    wanted = fine.transpose(0, 2, 4, 1, 3, 5, 7, 9, 6, 8)
    np.testing.assert_allclose(on_the_grid(lifted, 3), wanted.reshape(2 * p**2, 3, 3, q**2, 3, 3), atol=1e-12)
    assert lifted.level == 1


@pytest.mark.parametrize("net", [induced.chain([3, 4, 2]), induced.chain([3, 4, 2], "analysis"), induced.dense([2, 3, 4]),
                                 induced.residual([2, 3, 3, 3, 3, 3]), induced.cifar("resnet", blocks=1, width=1, image=20)])
def test_the_gram_matrix_of_local_interactions_is_that_of_the_dictionary(net):
    weights = net.init(2)
    B = net.dictionary(weights)
    B = B / B.norm(dim=0)
    assert float((interactions.interaction_gram(net, weights) - B.T @ B).abs().max()) < 1e-12


@pytest.mark.parametrize(("size", "grid", "refused"), [(5, 5, False), (5, 4, True), (3, 3, False), (3, 2, True)])
def test_an_image_has_room_where_the_interactions_just_fit_its_grid(size, grid, refused):
    net = dataclasses.replace(induced.cifar("chain", blocks=1, width=1), image=4 * grid)
    if not refused:
        return interactions.demand_room(net, size, 2)
    with pytest.raises(ValueError, match=f"leaves a grid of {grid} positions.*at least {4 * size} pixels"):
        interactions.demand_room(net, size, 2)


def test_batches_of_sparse_codes_are_refused_where_they_mean_nothing_and_the_measures_have_known_values():
    B, y = np.eye(2)[None], np.array([[1.0, 0.2]])
    for wrong, said in (((B[0], y, 0.5), "B = .*rank 2"), ((B, y[0], 0.5), "y = .*rank 1"),
                        ((B, np.full((1, 2), np.nan), 0.5), "y = .*NaN"), ((B, y[:, :1], 0.5), "y = .* does not match B"),
                        ((B, y, 0.0), "penalty = 0.0"), ((B, y, -1.0), "penalty = -1.0"), ((B, y, np.nan), "penalty = nan")):
        with pytest.raises(ValueError, match=said):
            induced.sparse_code(*wrong)
    with pytest.raises(ValueError, match="rounds = 0"):
        induced.sparse_code(B, y, 0.5, rounds=0)
    draw = np.random.default_rng(1)
    hard = draw.normal(size=(3, 6, 12)), draw.normal(size=(3, 6))
    with pytest.raises(ValueError, match="gap = 1e-300 was not reached for . of 3 problems"):
        induced.sparse_code(*hard, 0.3, gap=1e-300, rounds=1)
    code = induced.sparse_code(B, y, 0.5)  # max(y - penalty / 2, 0)
    np.testing.assert_allclose(code, [[0.75, 0.0]], atol=1e-12)
    # Half the objective: 1.04 / 2 at zero, 0.05125 + 0.1875 at the code, 0.65125 + 0.1875 at the other activation.
    for w, wanted in ((code, (0, 0, 1)), (np.zeros((1, 2)), (1, 1, 0)),
                      (np.array([[0.0, 0.75]]), (2**0.5, (0.83875 - 0.23875) / (0.52 - 0.23875), 0))):
        assert [float(each[0]) for each in induced.agreement(B, w, code, y, 0.5)] == pytest.approx(wanted, abs=1e-9)
    nothing = induced.agreement(B, np.zeros((1, 2)), np.zeros((1, 2)), 0.1 * y, 0.5)
    assert [float(each[0]) for each in nothing] == [0.0, 0.0, 1.0]


def test_nothing_is_counted_on_an_image_on_which_filters_meet_around_the_edge():
    net = induced.cifar("chain", blocks=1, width=1, image=12)
    for call in (interactions.structural_count, lambda net: list(interactions.block_terms(net, net.init(0)))):
        with pytest.raises(ValueError, match="filters meet around the edge"):
            call(net)


@pytest.mark.parametrize(("call", "said"), [
    (lambda: induced.forward(induced.chain([2, 3]), [np.ones((3, 2))], np.ones((2, 1))), "x = .*rank 2"),
    (lambda: induced.forward(induced.chain([2, 3]), [np.ones((3, 2))], np.full(2, np.nan)), "x = .*NaN"),
    (lambda: induced.forward(induced.chain([2, 3]), [np.ones((3, 2))], np.ones(2), -0.1), "penalty = -0.1"),
    (lambda: induced.forward(induced.cifar("chain", blocks=1, width=1), [], np.ones(2)), "net = 'chain' is convolutional"),
    (lambda: induced.chain([2, 3]).init(-1), "seed = -1"), (lambda: induced.chain([2, 3]).init(0, -1.0), "gain = -1.0"),
    (lambda: induced.chain([2, 3]).init(0, math.nan), "gain = nan"),
    (lambda: induced.filter_dictionary(np.ones((1, 2)), 3), "filters = .*rank 2"),
    (lambda: induced.filter_dictionary(np.full((1, 1, 2), np.nan), 3), "filters = .*NaN"),
    (lambda: induced.filter_dictionary(np.ones((1, 1, 3)), 2), "positions = 2 is smaller than 3"),
    (lambda: induced.filter_dictionary(np.ones((1, 1, 3)), 3, "mirror"), "boundary = 'mirror'"),
    (lambda: induced.toeplitz_order(0, 1), "channels = 0"), (lambda: induced.toeplitz_order(1, 0), "positions = 0"),
    (lambda: induced.cifar("resnet", blocks=1, width=1, image=0), "image = 0"),
    (lambda: induced.cifar("resnet", blocks=1, width=1, image=14), "image = 14 .* multiple of 4 of at least 12"),
    (lambda: induced.cifar("resnet", blocks=10**6, width=1), "blocks = 1000000 is more than"),
    (lambda: induced.densenet(layers=10**6, growth=1), "layers = 1000000 is more than"),
    (lambda: induced.graph([(0, 1, "skip")], 0), "channels = 0"),
    (lambda: induced.graph([(0, 1, "skip")], 1, 0), "cells = 0"), (lambda: induced.graph([(0, 0, "skip")], 1), "leads back"),
    (lambda: explicit.sparse_dictionary(induced.cifar("chain", blocks=1, width=1), [], "mirror"), "boundary = 'mirror'")])
def test_what_no_architecture_can_mean_is_refused_by_name(call, said):
    with pytest.raises((ValueError, TypeError), match=said):
        call()


@pytest.mark.parametrize("boundary", ["circular", "zero"])
def test_a_dictionary_of_filters_repeats_them_over_the_positions(boundary):
    filters = np.random.default_rng(0).normal(size=(2, 3, 3))
    D = induced.filter_dictionary(filters, 5, boundary).reshape(2, 5, 3, 5)
    for channel, row, atom, position in np.ndindex(D.shape):
        tap = (row - position) % 5 if boundary == "circular" else row - position
        assert D[channel, row, atom, position] == (filters[channel, atom, tap] if 0 <= tap < 3 else 0)
    assert induced.filter_dictionary(filters, 3).shape == (6, 9)
    order = induced.toeplitz_order(2, 5)
    assert [(place % 5, place // 5) for place in order] == [(position, channel) for position in range(5) for channel in range(2)]


def test_the_smallest_images_are_accepted_and_unit_filters_have_norm_one():
    assert induced.cifar("resnet", blocks=1, width=1, image=12).image == 12
    for net in (induced.cifar("resnet", blocks=1, width=2, image=12), induced.chain([3, 4, 2]), induced.dense([2, 3, 4])):
        unit = net.unit([7 * weight for weight in net.init(1)])
        for one, other in zip(unit, net.unit(net.init(1)), strict=True):
            assert torch.allclose(one, other)
        again = net.unit(unit)
        assert all(torch.allclose(one, other) for one, other in zip(unit, again, strict=True))


@pytest.mark.parametrize("net", [induced.chain([3, 4, 2]), induced.dense([2, 3, 4]), induced.residual([2, 3, 3, 3]),
                                 induced.cifar("chain", blocks=1, width=1, image=12)])
def test_a_dictionary_is_of_the_kind_and_the_type_of_its_weights(net):
    weights = net.init(3)
    found = net.dictionary(weights)
    assert isinstance(found, torch.Tensor) and found.dtype == torch.float64
    assert net.dictionary([weight.float() for weight in weights]).dtype == torch.float32
    arrays = net.dictionary([weight.numpy() for weight in weights])
    assert isinstance(arrays, np.ndarray)
    np.testing.assert_array_equal(arrays, found.numpy())


@pytest.mark.parametrize("net", [
    induced.cifar("resnet", 1, 2, groups=2, image=8), induced.cifar("chain", 1, 2, groups=2, form="synthesis", image=8),
    induced.densenet(1, 2, first=2, groups=2, image=8),
    induced.graph([(0, 1, "pool 3"), (0, 2, "conv 3"), (1, 2, "skip"), (0, 2, "dilated 3")], 2, image=7)],
    ids=lambda net: net.family + net.form)
def test_a_block_as_a_kernel_is_the_explicit_block(net):
    weights = [torch.as_tensor(weight) for weight in net.init(0)]
    for block in net.blocks:
        kernel = interactions.natural(net, block, weights)
        levels = (net.layers[net.row_layers[block.row]].level, net.layers[block.first].level)
        down, across = (slice(None, None, 2 ** (level - kernel.level)) for level in levels)
        placed = on_the_grid(kernel, net.image >> kernel.level)[:, down, down, :, across, across]
        block_of_B = explicit._block(net, weights, "circular", block).toarray()
        np.testing.assert_allclose(placed.reshape(block_of_B.shape), block_of_B, atol=1e-12)


def test_a_dictionary_too_large_is_refused_with_its_size():
    """2**16 rows and as many atoms, eight bytes each."""
    with pytest.raises(ValueError, match=r"65,536 rows x 65,536 atoms. makes a dictionary of 32\.0 GiB"):
        explicit.dictionary(induced.chain([2**15] * 3), (), "circular")
