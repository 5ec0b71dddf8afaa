"""Explicit max-affine operators equal torch's layers, and their product equals autograd's map."""

import inspect

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


def variants(layer, *given, **options):
    """Return ways to build a layer: as it comes, and with each value of each option alone."""
    return [(layer, given, {})] + [(layer, given, {name: value}) for name, values in options.items() for value in values]


BATCH_NORM_S = {"bias": [False]} if "bias" in inspect.signature(nn.BatchNorm2d).parameters else {}
# For each kind of layer the shape of its input, and ways to build it that vary every option.
BUILT = {
    nn.Linear: ((4,), variants(nn.Linear, 4, 3, bias=[False])),
    nn.Conv2d: ((4, 6, 7), variants(
        nn.Conv2d, 4, 4, 3, stride=[2, (2, 1)], padding=[1, (2, 0), "same", "valid"], dilation=[2, (1, 2)], groups=[2],
        bias=[False], padding_mode=["reflect", "circular", "replicate"]) + variants(nn.Conv2d, 4, 2, (2, 3), padding=["same"])
              + [(nn.Conv2d, (4, 2, sides), {"padding": "same", "dilation": gap}) for sides in ((5, 3), (3, 7))
                 for gap in (1, 2)]),
    nn.BatchNorm2d: ((4, 3, 2), variants(nn.BatchNorm2d, 4, eps=[0.5], momentum=[None], affine=[False],
                                         track_running_stats=[False], **BATCH_NORM_S)),
    nn.ReLU: ((5,), variants(nn.ReLU, inplace=[True])),
    nn.LeakyReLU: ((5,), variants(nn.LeakyReLU, negative_slope=[0.3, -0.4, 2.0], inplace=[True])),
    nn.MaxPool2d: ((2, 6, 7), variants(nn.MaxPool2d, 3, stride=[1, (2, 3)], padding=[1, (0, 1)], dilation=[2, (1, 2)],
                                       return_indices=[True], ceil_mode=[True]) + variants(nn.MaxPool2d, (2, 3))),
    nn.AvgPool2d: ((2, 6, 7), variants(nn.AvgPool2d, 3, stride=[1, (2, 3)], padding=[1, (0, 1)], ceil_mode=[True],
                                       count_include_pad=[False], divisor_override=[5]) + [
        (nn.AvgPool2d, (3, 1, 1), {}), (nn.AvgPool2d, ((3, 2), 1, 1), {"count_include_pad": False})]),
    nn.Flatten: ((2, 3, 4), variants(nn.Flatten, start_dim=[0, 2], end_dim=[2])),
}
REFUSED = {"padding_mode", "return_indices", "ceil_mode", "start_dim", "track_running_stats"}


@pytest.mark.parametrize("kind", list(max_affine.LAYERS), ids=lambda kind: kind.__name__)
def test_every_option_of_an_accepted_layer_is_in_the_table(kind):
    entry = max_affine.LAYERS[kind]
    options = set(inspect.signature(kind).parameters) - {"device", "dtype", "inplace"}
    missing = {*entry.used, *entry.demanded} - {"training"} - options
    assert options <= {*entry.used, *entry.demanded} and missing <= {"bias"}  # of batch norm, in later versions of torch
    varied = {name for _, _, given in BUILT[kind][1] for name in given}
    free = {"in_features", "out_features", "in_channels", "out_channels", "num_features", "kernel_size"}
    assert options - free <= varied


@pytest.mark.parametrize(("kind", "build"), [(kind, build) for kind, (_, builds) in BUILT.items() for build in builds],
                         ids=lambda each: each.__name__ if isinstance(each, type) else str(each[1:]))
def test_an_option_is_right_or_refused(kind, build):
    make, given, options = build
    shape, layer = BUILT[kind][0], seeded(lambda: make(*given, **options), 0).double().eval()
    try:
        found = max_affine.operators([layer, nn.Flatten()], shape)
    except ValueError as error:
        assert REFUSED & set(options) or options in ({"negative_slope": 2.0}, {"padding": "same"}), error
        return
    x = normal(3, *shape, seed=4)
    assert torch.allclose(found[0](x.flatten(1)) if found else x.flatten(1), layer(x.clone()).flatten(1), atol=1e-12)


def test_a_layer_that_computes_something_else_is_refused():
    hooked, training = nn.Linear(3, 3).double(), nn.BatchNorm2d(3)
    hooked.register_forward_hook(lambda layer, given, output: 2 * output)
    with pytest.raises(ValueError, match="something else"):
        max_affine.operators([hooked], (3,))
    with pytest.raises(ValueError, match="training=True"):
        max_affine.operators([training], (3, 2, 2))
    with pytest.raises(ValueError, match="not flat"):
        max_affine.operators([nn.Linear(4, 2)], (3, 4))
    with pytest.raises(TypeError, match="no operator"):
        max_affine.operators([nn.Upsample(scale_factor=2)], (3, 4, 4))


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="offsets"):
        max_affine.MaxAffine(normal(2, 3, 4), normal(2, 2))
    with pytest.raises(ValueError, match="channels"):
        max_affine.convolution(normal(2, 3, 3, 3), None, (2, 5, 5))
    with pytest.raises(TypeError, match="affine_map"):
        max_affine.operators([nn.Tanh()], (3,))
    with pytest.raises(ValueError, match="one piece"):
        max_affine.activation([0.0, 1.0], 2).after(max_affine.activation([0.0, 1.0], 2))


@pytest.mark.parametrize(("layer", "shape", "said"), [
    (torch.nn.Conv2d(1, 2, 3), (9,), "is not .channels, rows, columns."),
    (torch.nn.BatchNorm2d(1).eval(), (9,), "is not .channels"),
    (torch.nn.MaxPool2d(2), (9,), "is not .channels"), (torch.nn.AvgPool2d(2), (3, 3), "is not .channels"),
    (torch.nn.Linear(9, 2), (1, 3, 3), "is not flat")])
def test_a_layer_that_reads_another_shape_is_refused(layer, shape, said):
    with pytest.raises(ValueError, match=f"shape = .*{said}"):
        max_affine.operators(torch.nn.Sequential(layer), shape)


@pytest.mark.parametrize(("shape", "kernel", "stride", "padding"), [
    ((2, 5, 4), 2, 1, 0), ((1, 6, 6), 3, 2, 1), ((3, 4, 4), 2, None, 1)])
def test_pooling_by_operators_is_torch_s(shape, kernel, stride, padding):
    x = torch.randn(4, *shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)
    found = max_affine.max_pooling(shape, kernel, stride, padding)(x.flatten(1))
    assert torch.equal(found, torch.nn.functional.max_pool2d(x, kernel, stride, padding).flatten(1))
    mean = max_affine.average_pooling(shape, kernel, stride, padding)(x.flatten(1))
    wanted = torch.nn.functional.avg_pool2d(x, kernel, stride, padding, count_include_pad=False)
    assert torch.allclose(mean, wanted.flatten(1), atol=1e-12)


@pytest.mark.parametrize(("roundings", "refused"), [(0, False), (900, False), (2100, True), (-2100, True)])
def test_a_layer_may_differ_from_its_operator_by_a_thousand_roundings(roundings, refused):
    layer = nn.Linear(3, 2).double()
    nn.init.zeros_(layer.weight)
    nn.init.ones_(layer.bias)
    layer.register_forward_hook(lambda layer, given, output: output + roundings * torch.finfo(torch.float64).eps)
    if refused:
        with pytest.raises(ValueError, match="computes something else"):
            max_affine.operators([layer], (3,))
    else:
        assert len(max_affine.operators([layer], (3,))) == 1


def test_a_large_unit_of_a_layer_forgives_a_small_one_nothing():
    layer = nn.Linear(2, 2, bias=False)
    layer.weight.data = torch.tensor([[1e5, 0.0], [0.0, 1.0]])
    assert len(max_affine.operators([layer], (2,))) == 1
    layer.register_forward_hook(lambda layer, given, output: output * torch.tensor([1.0, 1.01]))
    with pytest.raises(ValueError, match="other values"):
        max_affine.operators([layer], (2,))


def test_ties_select_the_lowest_piece_and_the_selected_pieces_make_the_value():
    operator, x = max_affine.MaxAffine(normal(3, 4, 2), normal(3, 4, seed=1)), normal(5, 2, seed=2)
    for each, codes, value in zip(x, operator.selected(x), operator(x), strict=True):
        A, B = operator.at(each)
        pieces = [[float(operator.slopes[k, r] @ each + operator.offsets[k, r]) for r in range(4)] for k in range(3)]
        assert codes.tolist() == [row.index(max(row)) for row in pieces]
        assert torch.allclose(A @ each + B, value) and value.tolist() == pytest.approx([max(row) for row in pieces])
    assert max_affine.activation([0.0, 1.0], 2).selected(torch.zeros(1, 2).double()).tolist() == [[0, 0]]
    offset = max_affine.activation([1.0, 0.0, -1.0], 1, offsets=[-1.0, 0.5, -2.0])
    assert [float(offset(torch.tensor([[u]]).double())) for u in (3.0, 0.0, -4.0)] == [2.0, 0.5, 2.0]


@pytest.mark.parametrize(("given", "options"), [((5, 7), {}), ((5, 7), {"stride": (2, 1)}), ((4, 6), {"padding": (0, 2)}),
                                                ((6, 6), {"dilation": (1, 2), "padding": 1})])
def test_windows_are_those_that_unfold_takes(given, options):
    plane = torch.arange(given[0] * given[1], dtype=torch.float64).reshape(1, 1, *given) + 1
    cells = nn.functional.unfold(plane, (2, 3), **options)[0].T  # zero in the padding
    found = max_affine.windows(given, (2, 3), **options)
    outside = found == given[0] * given[1]
    assert torch.equal(torch.where(outside, 0, found + 1), cells.long())


@pytest.mark.parametrize(("call", "said"), [
    (lambda: max_affine.windows((2, 3), (3, 3)), "kernel = .* exceeds the padded plane of 2 x 3"),
    (lambda: max_affine.windows((3, 3), 0), "kernel = 0"), (lambda: max_affine.windows((3, 3), 2, 0), "stride = 0"),
    (lambda: max_affine.windows((3, 3), 2, 1, -1), "padding = -1"),
    (lambda: max_affine.windows((3, 3), 2, 1, 0, 0), "dilation = 0"),
    (lambda: max_affine.windows((3, 3), 2, 1, 0, 3), "kernel = .* exceeds the padded plane"),
    (lambda: max_affine.activation([0.0, 1.0], 0), "units = 0"),
    (lambda: max_affine.average_pooling((1, 2, 2), 2, divisor=0), "divisor = 0"),
    (lambda: max_affine.MaxAffine(normal(2, 3), normal(2, 3)), "slopes = .*rank 2"),
    (lambda: max_affine.MaxAffine(normal(2, 3, 4) * torch.nan, normal(2, 3)), "slopes = .*NaN"),
    (lambda: max_affine.operators([nn.BatchNorm2d(2, track_running_stats=False).eval()], (2, 3, 3)), "statistics from the batch"),
    (lambda: max_affine.operators([nn.Conv2d(1, 1, 2, padding="same")], (1, 4, 4)), "pads one side more")])
def test_what_no_layer_can_mean_is_refused_by_name(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_a_window_that_just_fits_is_one():
    assert max_affine.windows((3, 3), 3).shape == (1, 9) and max_affine.windows((3, 3), 2, 1, 0, 2).shape == (1, 4)
    assert max_affine.windows((2, 3), 4, padding=1).shape == (2, 16)
