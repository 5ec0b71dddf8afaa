"""What the networks compute: their formulas written out, plain data that another program computes with, torch's own starts."""

import base64
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, conv2d, max_pool2d, relu

from deepatoms.learning.networks import convolutional, digits_cnn, export, families, residual_cnn, sparse, wide_residual


def random_statistics(model, seed=0):
    """Give every batch norm statistics and a map of its own, and evaluate in float64."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            for values in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                values.copy_(0.5 + torch.rand(values.shape, generator=generator))
    return model.double().eval()


def decoded(layer, name):
    return torch.from_numpy(np.frombuffer(base64.b64decode(layer[name]), "<f8").copy())


def computed(layers, x):
    """What a program without torch's modules would do with the layers."""
    for layer in layers:
        if "weight" in layer:
            weight, bias = decoded(layer, "weight").reshape(layer["shape"]), decoded(layer, "bias")
            x = conv2d(x, weight, bias, padding=layer["padding"]) if layer["op"] == "conv" else x @ weight.T + bias
        elif layer["op"] == "sum":
            x = computed(layer["branch"], x) + computed(layer["shortcut"], x)
        else:
            x = {"relu": relu, "flatten": lambda h: h.flatten(1), "maxpool": lambda h: max_pool2d(h, 2),
                 "avgpool": lambda h: avg_pool2d(h, 2)}[layer["op"]](x)
    return x


@pytest.mark.parametrize("build", [
    lambda: digits_cnn(widths=(3, 4)), lambda: digits_cnn(widths=(3, 4), batch_norm=False, xavier=True),
    lambda: residual_cnn((1, 8, 8), widths=(3, 5), blocks=2),
    lambda: nn.Sequential(nn.Conv2d(1, 2, 3, bias=True), nn.BatchNorm2d(2), nn.Identity(), nn.AvgPool2d(2), nn.Flatten(),
                          nn.Linear(18, 4))])
def test_the_layers_of_a_network_compute_what_it_computes(build):
    torch.manual_seed(0)
    model, x = random_statistics(build()), torch.randn(5, 1, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(computed(export.as_layers(model), x), model(x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("layer", [nn.Conv2d(2, 2, 3, stride=2), nn.Conv2d(2, 2, 3, dilation=2), nn.Conv2d(2, 2, 3, groups=2),
                                   nn.Conv2d(2, 2, 3, padding="same"), nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular"),
                                   nn.MaxPool2d(3), nn.AvgPool2d(2, stride=1), nn.Sigmoid(), nn.BatchNorm2d(2), nn.LeakyReLU()])
def test_what_has_no_form_as_plain_data_is_refused_by_name(layer):
    with pytest.raises(TypeError, match="model = .*; use"):
        export.as_layers(nn.Sequential(nn.ReLU(), layer).eval())


def test_a_network_in_training_mode_has_no_plain_data():
    with pytest.raises(ValueError, match="is in training mode; call model.eval"):
        export.as_layers(digits_cnn())


@pytest.mark.parametrize(("width", "blocks"), [(4, 1), (3, 2)])
def test_a_chain_is_a_residual_network_without_its_skips(width, blocks):
    """The same layers with the same weights; each block differs by its shortcut, and by that alone."""
    torch.manual_seed(1)
    resnet, chain = (random_statistics(families.grouped(family, blocks, width)) for family in families.FAMILIES)
    chain.load_state_dict(resnet.state_dict())
    pairs = [(one, other) for one, other in zip(resnet, chain, strict=True) if isinstance(one, families.Block)]
    h = torch.randn(2, width, 8, 8, dtype=torch.float64)
    for number, (one, other) in enumerate(pairs):
        assert isinstance(one.opening, nn.Identity if number == 0 else families.Rectified)
        torch.testing.assert_close(one(h) - other(h), one.shortcut(h))
        h = one(h)
    assert len(pairs) == 3 * blocks and h.shape == (2, 4 * width, 2, 2)


@pytest.mark.parametrize(("inputs", "outputs"), [(3, 3), (2, 4), (2, 5), (1, 4)])
def test_a_shortcut_has_no_parameters_it_pools_and_sets_zeros_on_both_sides(inputs, outputs):
    x = torch.randn(2, inputs, 4, 4)
    found = families.Block(inputs, outputs, True, False).shortcut(x)
    if inputs == outputs:
        assert torch.equal(found, x)
        return
    before = (outputs - inputs) // 2
    expected = torch.zeros(2, outputs, 2, 2)
    expected[:, before:before + inputs] = x.reshape(2, inputs, 2, 2, 2, 2).mean((3, 5))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("layers", "growth"), [(1, 2), (3, 4)])
def test_a_dense_network_has_the_layers_that_its_definition_counts(layers, growth):
    channels, parameters = 16, 3 * 16 * 9
    for group in range(3):
        for _ in range(layers):
            parameters += 2 * channels + channels * growth * 9
            channels += growth
        parameters += 2 * channels + channels**2 if group < 2 else 0
    parameters += 2 * channels + 10 * channels + 10
    assert sum(values.numel() for values in families.dense(layers, growth).parameters()) == parameters
    x = torch.randn(2, 5, 4, 4)
    assert torch.equal(families.Concatenated(5, 3)(x)[:, :5], x) and families.Concatenated(5, 3)(x).shape[1] == 8


@pytest.mark.parametrize("build", [lambda: families.grouped("resnet", 1, 24), lambda: families.dense(1, 24)])
def test_convolutions_start_as_he_et_al_say_by_what_goes_out(build):
    torch.manual_seed(0)
    for module in build().modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 1000:
            fan_out = module.out_channels * module.kernel_size[0] ** 2
            assert float(module.weight.detach().std()) == pytest.approx(math.sqrt(2 / fan_out), rel=0.1)


@pytest.mark.parametrize(("call", "name"), [
    (lambda bad: families.grouped("resnet", bad, 4), "blocks"), (lambda bad: families.grouped("resnet", 1, bad), "width"),
    (lambda bad: families.dense(bad, 4), "layers"), (lambda bad: families.dense(1, bad), "growth"),
    (lambda bad: residual_cnn((1, 8, 8), widths=(2, 2), blocks=bad), "blocks")])
@pytest.mark.parametrize(("bad", "kind"), [(0, ValueError), (1001, ValueError), (2.5, TypeError), ("two", TypeError)])
def test_a_number_of_layers_or_filters_that_means_nothing_is_refused_by_name(call, name, bad, kind):
    with pytest.raises(kind, match=f"{name} = "):
        call(bad)


@pytest.mark.parametrize(("call", "name"), [
    (lambda: families.grouped("densenet", 1, 2), "family"), (lambda: families.grouped("chain", 1, 2, 1), "classes"),
    (lambda: families.dense(1, 2, 1), "classes"), (lambda: digits_cnn(classes=1), "classes"),
    (lambda: wide_residual.authors_network("resnet-20", "standard", 1), "classes")])
def test_a_family_or_a_number_of_classes_that_there_is_not_is_refused_by_name(call, name):
    with pytest.raises(ValueError, match=f"{name} = "):
        call()


@pytest.mark.parametrize(("widths", "blocks"), [((3, 5), 1), ((4, 4, 6), 2), ((2,), 3)])
def test_a_residual_network_has_the_layers_that_its_definition_counts(widths, blocks):
    """Stem, blocks of two 3 x 3 convolutions with batch norm, a 1 x 1 convolution at each widening, a head without bias."""
    count, before, side = 9 * widths[0] + 2 * widths[0], widths[0], 8
    for stage, wide in enumerate(widths):
        for _ in range(blocks):
            count += 9 * wide * (before + wide) + 4 * wide + (before * wide if before != wide else 0)
            before = wide
        side //= 2 if stage else 1
    model = residual_cnn((1, 8, 8), widths=widths, blocks=blocks)
    assert sum(values.numel() for values in model.parameters()) == count + 10 * widths[-1] * side**2


def test_a_widening_block_pools_the_sum_of_both_terms():
    torch.manual_seed(0)
    block = random_statistics(convolutional.ResidualBlock(2, 3))
    x = torch.randn(2, 2, 6, 6, dtype=torch.float64)
    expected = avg_pool2d(block.branch[:-1](x) + block.shortcut[0](x), 2)
    torch.testing.assert_close(block(x), expected)
    same = random_statistics(convolutional.ResidualBlock(2, 2))
    torch.testing.assert_close(same(x), x + same.branch(x))


@pytest.mark.parametrize("bias", [True, False])
def test_a_start_after_xavier_fills_its_interval_and_its_biases_are_zero(bias):
    torch.manual_seed(0)
    model = digits_cnn(widths=(24, 24), batch_norm=not bias, xavier=True)
    for module in model:
        if isinstance(module, nn.Conv2d):
            area = module.kernel_size[0] ** 2
            bound = math.sqrt(6 / (area * (module.in_channels + module.out_channels)))
            assert 0.97 * bound < float(module.weight.detach().abs().max()) <= bound
            assert (module.bias is not None) == bias and (not bias or not module.bias.any())


@pytest.mark.parametrize(("inputs", "outputs", "stride", "expands", "shortcut"), [
    (3, 3, 1, True, False), (3, 5, 1, True, True), (3, 3, 2, True, True), (3, 5, 2, True, True), (3, 5, 2, False, False)])
def test_a_block_changes_its_shortcut_where_channels_or_size_change(inputs, outputs, stride, expands, shortcut):
    block = random_statistics(wide_residual.Block(inputs, outputs, stride, expands))
    assert (block.shortcut is not None) == shortcut
    x = torch.randn(2, inputs, 6, 6, dtype=torch.float64)
    feature, state = block.step(x)
    opened = relu(block.norm1(x))
    torch.testing.assert_close(feature, relu(block.norm2(block.conv1(opened))))
    assert feature.shape == (2, outputs, 6 // stride, 6 // stride)
    if not expands:
        assert state is None
        return
    torch.testing.assert_close(state, block.conv2(feature) + (block.shortcut(opened) if shortcut else x))


@pytest.mark.parametrize("variant", wide_residual.VARIANTS)
def test_the_variants_differ_at_their_ends_as_they_are_defined(variant):
    torch.manual_seed(0)
    model = random_statistics(wide_residual.WideResidual((2, 4), (1, 2), variant, channels=1))
    x = torch.randn(3, 1, 8, 8, dtype=torch.float64)
    states, features = [model.expand(x)], [x.mean((2, 3))]
    for block in model.blocks:
        feature, state = block.step(states[-1])
        features.append(feature.mean((2, 3)))
        states.append(state)
    if variant == "a-resnest":
        assert states[-1] is None and len(model.heads) == 4
        expected = sum(head(feature) for head, feature in zip(model.heads, features, strict=True))
    else:
        end = states[-1] if variant == "resnest" else model.norm(states[-1])
        expected = model.heads[0]((relu(end) if variant == "standard" else end).mean((2, 3)))
    torch.testing.assert_close(model(x), expected)
    for found, feature in zip(model.features(x), features, strict=True):
        torch.testing.assert_close(found, feature)


@pytest.mark.parametrize(("inputs", "outputs"), [(5, 3), (49, 2), (1, 7)])
def test_a_linear_map_starts_with_torch_s_own_numbers(inputs, outputs):
    torch.manual_seed(4)
    theirs = nn.Linear(inputs, outputs)
    ours = sparse.started(nn.Linear(inputs, outputs), torch.Generator().manual_seed(4))
    torch.testing.assert_close(ours.weight, theirs.weight)
    torch.testing.assert_close(ours.bias, theirs.bias)


@pytest.mark.parametrize("kind", sparse.KINDS)
def test_a_layer_of_each_kind_is_its_formula(kind):
    layer = random_statistics(sparse.Layer(kind, 40, 0.7, kept=5, generator=torch.Generator().manual_seed(0)))
    h = torch.randn(6, 40, dtype=torch.float64)
    a = h @ layer.linear.weight.T
    if kind == "resnet_bn":
        assert layer.linear.bias is None
        a = (a - layer.norm.running_mean) / (layer.norm.running_var + layer.norm.eps).sqrt() * layer.norm.weight + layer.norm.bias
    else:
        assert not layer.linear.bias.any()
    expected = {"linear": a, "plain": a.clamp(min=0)}.get(kind, h + a.clamp(min=0))
    if kind == "sparse":
        rows = [sorted(row.abs())[-5] for row in expected]
        expected = torch.stack([torch.where(row.abs() >= least, row, 0) for row, least in zip(expected, rows, strict=True)])
        assert torch.equal((expected != 0).sum(1), torch.full((6,), 5))
    torch.testing.assert_close(layer(h), expected)
    assert float(layer.linear.weight.detach().std()) == pytest.approx(0.7 / math.sqrt(40), rel=0.1)


@pytest.mark.parametrize("shape", [(2, 6, 9), (1, 1, 4)])
def test_the_two_ways_to_keep_the_largest_agree(shape):
    h = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    for kept in (1, 2, shape[-1]):
        assert torch.equal(sparse.keep_largest(h, kept), sparse.keep_largest_of_many(h, kept))
    assert torch.equal(sparse.keep_largest(h, shape[-1]), h)


def test_features_of_a_network_are_the_input_and_the_output_of_every_layer():
    model = sparse.SkipNetwork("resnet", 3, 0.5, width=16, classes=2, pixels=6).double()
    x = torch.randn(5, 6, dtype=torch.float64)
    found = model.features(x)
    assert len(found) == 4 and torch.equal(found[0], model.enter(x))
    assert all(torch.equal(layer(before), after)
               for layer, before, after in zip(model.layers, found, found[1:], strict=False))
    torch.testing.assert_close(model(x), found[-1] @ model.readout.weight.T + model.readout.bias)
    assert torch.equal(sparse.SkipNetwork("plain", 1, 0.5, width=16).enter(x), x)


@pytest.mark.parametrize(("given", "said"), [({"kind": "dense"}, "kind = 'dense'"), ({"kept": 2.5}, "kept = 2.5"),
                                             ({"kept": 9}, "kept = 9 exceeds the width 8"), ({"kept": None}, "kept = None")])
def test_a_layer_of_no_known_kind_or_size_is_refused(given, said):
    with pytest.raises((ValueError, TypeError), match=said):
        sparse.Layer(**({"kind": "sparse", "width": 8, "scale": 1.0} | given))
