"""Explicit max-affine operators equal torch's layers, and their product equals autograd's map."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from deepatoms.learning.networks import digits_cnn
from deepatoms.learning.training import seeded
from deepatoms.theory import max_affine, splines


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(st.integers(1, 3), st.integers(1, 2), st.integers(0, 1), st.sampled_from([1, 2]), st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_convolution_is_torchs(kernel, stride, padding, groups, seed):
    weight, bias, x = normal(4, 4 // groups, kernel, kernel, seed=seed), normal(4, seed=seed + 1), normal(2, 4, 5, 6)
    operator = max_affine.convolution(weight, bias, (4, 5, 6), stride, padding, groups)
    expected = nn.functional.conv2d(x, weight, bias, stride, padding, groups=groups).flatten(1)
    assert torch.allclose(operator(x.flatten(1)), expected, atol=1e-12)


@pytest.mark.parametrize("kernel, stride, padding", [(2, 2, 0), (3, 2, 1), (3, 1, 1), (2, 1, 0)])
def test_pooling_is_torchs(kernel, stride, padding):
    x = normal(3, 2, 6, 7)
    most = max_affine.max_pooling((2, 6, 7), kernel, stride, padding)(x.flatten(1))
    mean = max_affine.average_pooling((2, 6, 7), kernel, stride, padding)(x.flatten(1))
    assert torch.equal(most, nn.functional.max_pool2d(x, kernel, stride, padding).flatten(1))  # a choice among given numbers
    assert torch.allclose(mean, nn.functional.avg_pool2d(x, kernel, stride, padding, count_include_pad=False).flatten(1))


@pytest.mark.parametrize("batch_norm", [True, False])
def test_the_product_of_selected_pieces_is_the_affine_map(batch_norm):
    model = seeded(digits_cnn, 0, widths=(3, 4), batch_norm=batch_norm).double().eval()
    layers, x = max_affine.operators(model, (1, 8, 8)), normal(3, 1, 8, 8)
    A, b = splines.affine_map(model, x)
    for each, slopes, offsets in zip(x, A, b, strict=True):
        product, bias = max_affine.chain_map(max_affine.select(layers, each.flatten()))
        assert torch.allclose(product, slopes, atol=1e-12) and torch.allclose(bias, offsets, atol=1e-12)


def test_a_layer_is_again_max_affine():
    affine, x = max_affine.fully_connected(normal(4, 3), normal(4)), normal(5, 3, seed=1)
    assert torch.allclose(max_affine.activation([0.0, 1.0], 4).after(affine)(x), affine(x).relu())


@given(st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_max_affine_operators_are_convex(seed):
    operator = max_affine.MaxAffine(normal(2, 5, 3, seed=seed), normal(2, 5, seed=seed + 1))
    x, y = normal(50, 3, seed=seed + 2), normal(50, 3, seed=seed + 3)
    assert (operator((x + y) / 2) <= (operator(x) + operator(y)) / 2 + 1e-12).all()


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="offsets"):
        max_affine.MaxAffine(normal(2, 3, 4), normal(2, 2))
    with pytest.raises(ValueError, match="channels"):
        max_affine.convolution(normal(2, 3, 3, 3), None, (2, 5, 5))
    with pytest.raises(TypeError, match="affine_map"):
        max_affine.operators([nn.Tanh()], (3,))
    with pytest.raises(ValueError, match="one piece"):
        max_affine.activation([0.0, 1.0], 2).after(max_affine.activation([0.0, 1.0], 2))
