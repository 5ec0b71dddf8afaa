"""The tracer: what it sees, which piece it names, what it refuses and how."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deepatoms.theory import piecewise, splines
from deepatoms.theory.piecewise import NotPiecewiseAffineError, company, trace


def batch(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, x):
        return x + torch.relu(self.layer(F.relu(self.layer(x))))


def test_functional_calls_and_reused_modules_are_seen():
    found = trace(Functional(), batch(3, 6))
    assert [each.operation for each in found.nonlinearities] == ["relu", "relu"]
    assert found.codes.shape == (3, 12)


@pytest.mark.parametrize("model, operation", [
    (nn.ReLU(), "relu"), (nn.LeakyReLU(0.1), "leaky_relu"), (nn.PReLU(), "_prelu_kernel"), (nn.ReLU6(), "hardtanh"),
    (nn.Hardtanh(), "hardtanh"), (nn.Hardsigmoid(), "hardsigmoid"), (nn.Softshrink(), "softshrink"), (torch.abs, "abs"),
    (lambda x: x.clamp(min=0), "clamp"), (lambda x: torch.maximum(x, -x), "maximum"), (lambda x: x.amax(-1), "amax"),
    (lambda x: x.max(-1).values, "max"), (lambda x: torch.where(x > 0, x, 0.1 * x), "gt"), (lambda x: x * (x > 0), "gt"),
    (nn.RReLU().eval(), "rrelu_with_noise"), (nn.MaxPool1d(2), "max_pool2d_with_indices"),
    (lambda x: F.relu_(x * 1.0), "relu")])
def test_accepted(model, operation):
    found = trace(model, batch(4, 2, 6))
    assert [each.operation for each in found.nonlinearities] == [operation]
    assert found.codes.shape[0] == 4


@pytest.mark.parametrize("model, words", [
    (nn.Sigmoid(), "sigmoid"), (nn.Tanh(), "Hardtanh"), (nn.Softmax(-1), "drop the softmax"), (nn.GELU(), "gelu"),
    (nn.SiLU(), "silu"), (nn.Softplus(), "softplus"), (nn.ELU(), "elu"), (nn.LayerNorm(6), "native_layer_norm"),
    (nn.GroupNorm(1, 6), "native_group_norm"), (nn.InstanceNorm1d(6), "running statistics"), (nn.Dropout(), "eval"),
    (nn.BatchNorm1d(6), "eval"), (nn.Hardshrink(), "discontinuous"), (nn.RMSNorm(6), "pow|rsqrt|rms"),
    (nn.MultiheadAttention(6, 2), "."), (lambda x: x * x, "both depend"), (lambda x: x / x.sum(), "divides"),
    (lambda x: x * float(x[0, 0, 0]), "branch"), (lambda x: x.median(), "mixed"), (lambda x: x.round(), "round")])
def test_refused_by_name(model, words):
    if isinstance(model, nn.MultiheadAttention):
        attention, model = model, lambda x: attention(x, x, x)[0]
    with pytest.raises(NotPiecewiseAffineError, match=words):
        trace(model, batch(4, 6, 6))


def test_the_place_is_named():
    model = nn.Sequential(nn.Linear(6, 6), nn.Sequential(nn.ReLU(), nn.Sigmoid()))
    with pytest.raises(NotPiecewiseAffineError, match=r"sigmoid in layer '1\.1' \(Sigmoid\)"):
        trace(model, batch(2, 6))
    with pytest.raises(ValueError, match=r"layer '0' \(Linear\)"):
        trace(model, batch(2, 5))


def test_time_first_is_refused_because_samples_would_be_mixed_up():
    class TimeFirst(nn.Module):
        def forward(self, x):
            return torch.relu(x.transpose(0, 1)).sum(0)

    with pytest.raises(NotPiecewiseAffineError, match="batch"):
        trace(TimeFirst(), batch(2, 4, 3))
    with pytest.raises(NotPiecewiseAffineError, match="batch"):
        trace(TimeFirst(), batch(4, 2, 3))


@pytest.mark.parametrize("options", [{}, {"stride": 1}, {"padding": 1}, {"stride": 2, "padding": 1, "dilation": 2}])
def test_pooling_codes_are_positions_in_the_window(options):
    x = batch(2, 3, 9, 9)
    pool = nn.MaxPool2d(3, **options)
    (found,) = trace(pool, x).nonlinearities
    padding, dilation, stride = (options.get(key, default) for key, default in
                                 (("padding", 0), ("dilation", 1), ("stride", 3)))
    padded = F.pad(x, (padding,) * 4, value=-torch.inf)
    codes = found.codes.reshape(2, *found.shape)
    for row, column in ((0, 0), (1, 1), (codes.shape[-2] - 1, codes.shape[-1] - 1)):
        window = padded[:, :, row * stride:row * stride + 2 * dilation + 1:dilation,
                        column * stride:column * stride + 2 * dilation + 1:dilation]
        assert (window.flatten(2).argmax(-1) == codes[:, :, row, column]).all()


@pytest.mark.parametrize("plane, kernel, padding, dilation", [
    ((7, 1), 3, 1, 1), ((5, 2), (2, 3), 1, 1), ((9, 3), 3, 1, 2), ((20, 20), 17, 0, 1)])
def test_pooling_codes_of_windows_wider_than_the_plane_and_of_many_cells(plane, kernel, padding, dilation):
    x = batch(2, 3, *plane)
    pool = nn.MaxPool2d(kernel, 1, padding, dilation)
    codes = trace(pool, x).codes.reshape(2, 3, -1)
    padded = F.pad(x, (padding,) * 4, value=-1e9)
    windows = F.unfold(padded.flatten(0, 1)[:, None], kernel, dilation=dilation, stride=1).reshape(2, 3, -1, codes.shape[-1])
    assert torch.equal(codes, windows.argmax(2))


def test_ties_are_reported_with_and_without_codes():
    kinked = [torch.abs, lambda x: torch.abs_(x * 1.0), lambda x: torch.maximum(x, -x), lambda x: x.amax(-1)]
    for model in kinked:
        with_codes, without = (trace(model, torch.zeros(2, 3), codes=codes) for codes in (True, False))
        assert without.nonlinearities[0].codes is None and without.concavities == with_codes.concavities
        assert without.nonlinearities[0].ties == with_codes.nonlinearities[0].ties > 0


@pytest.mark.parametrize("dims", [(2, 3), (1,), (1, 3), (3,), (1, 2, 3)])
@pytest.mark.parametrize("name", ["amax", "amin"])
def test_ties_count_the_extremes_that_are_there_more_than_once(name, dims):
    x = torch.randint(3, (2, 3, 2, 2), generator=torch.Generator().manual_seed(5)).double()
    best = getattr(x, name)(dims, keepdim=True)
    tied = int(((x == best).sum(dims) > 1).sum())
    assert int(trace(lambda x: getattr(x, name)(dims), x).nonlinearities[0].ties) == tied > 0


def test_ties_go_to_the_documented_side():
    zero = torch.zeros(1, 4)
    assert not trace(nn.ReLU(), zero).codes.any()
    assert trace(lambda x: x.clamp(min=0), zero).codes.unique().tolist() == [1]
    assert trace(lambda x: x.max(-1).values[:, None], zero).codes.tolist() == [[0]]
    assert trace(torch.abs, zero).nonlinearities[0].ties == 4
    assert trace(lambda x: x.amax(-1, keepdim=True), zero).nonlinearities[0].ties == 1


def test_in_place_activation_has_the_codes_of_its_input():
    x = batch(3, 5)
    model = nn.Linear(5, 5)
    assert torch.equal(trace(nn.Sequential(model, nn.ReLU(inplace=True)), x).codes, (model(x) > 0).long())  # one product, twice


@pytest.mark.parametrize("overwrite", [
    lambda x: F.leaky_relu_(x * 1.0, -0.5), lambda x: F.hardtanh_(x * 1.0), lambda x: (x * 1.0).abs_(),
    lambda x: (x * 1.0).clamp_(-0.3, 0.4)])
def test_codes_of_what_is_overwritten_are_those_of_its_input(overwrite):
    x = batch(3, 5)
    found = trace(overwrite, x, inputs=True)
    assert torch.equal(found.nonlinearities[0].inputs[0], x)
    low, high = {"hardtanh": (-1, 1), "clamp": (-0.3, 0.4)}.get(found.nonlinearities[0].operation, (0, torch.inf))
    assert torch.equal(found.codes, (x > low).long() + (x > high))


def test_the_slope_of_a_leaky_unit_is_torch_s_own_unless_given():
    x = torch.tensor([[-2.0, 3.0]], dtype=torch.float64)
    for call in (torch.nn.functional.leaky_relu, lambda x: torch.nn.functional.leaky_relu(x, 0.3)):
        found = trace(call, x).nonlinearities[0]
        assert found.codes.tolist() == [[0, 1]]
        assert torch.equal(splines.affine_map(call, x)[0][0] @ x[0], call(x)[0])


def test_a_largest_entry_that_stands_alone_is_no_tie():
    apart, tied = (torch.tensor([row], dtype=torch.float64) for row in ([1.0, 2.0, 3.0, 0.0], [3.0, 2.0, 3.0, 0.0]))
    A, b = splines.affine_map(lambda x: x.amax(-1, keepdim=True), apart)
    assert A.tolist() == [[[0, 0, 1, 0]]] and b.tolist() == [[0]]
    with pytest.raises(ValueError, match="tie|equal|break|several"):
        splines.affine_map(lambda x: x.amax(-1, keepdim=True), tied)


def seen_to_give(output):
    """What is seen of a ReLU at ones, but for its output."""
    x = torch.ones(len(output) if output.ndim else 1, 2, dtype=torch.float64)
    seen = piecewise.watch(torch.relu, x, piecewise.Wish(pieces=True))
    return dataclasses.replace(seen, trace=dataclasses.replace(seen.trace, output=output))


@pytest.mark.parametrize(("moved", "refused"), [(0.0, False), (0.9e-9, False), (-0.9e-9, False), (1.2e-9, True), (-1.2e-9, True)])
def test_an_output_may_move_in_other_company_by_rounding_of_its_own_numbers_and_no_more(moved, refused):
    """An output of 0.5, beside one of 200 that forgives it nothing: a billionth of 0.5 + 0.5 + 0.01."""
    together = torch.tensor([[1.0, -200.0], [0.5, 200.0]], dtype=torch.float64)
    alone = together[[1]] + torch.tensor([[moved, 0.0]], dtype=torch.float64)
    if refused:
        with pytest.raises(ValueError, match="model = 'the function' lets the samples .* moves by 1.2e-09 "):
            piecewise.demand_alone(seen_to_give(together), alone, torch.tensor([1]))
    else:
        piecewise.demand_alone(seen_to_give(together), alone, torch.tensor([1]))


@pytest.mark.parametrize(("together", "alone"), [
    (torch.ones(()), torch.ones(2, 2)), (torch.ones(2, 2), torch.ones(())), (torch.ones(2, 2), torch.ones(2, 3)),
    (torch.ones(1, 2), torch.ones(2, 2))])
def test_an_output_whose_shape_depends_on_the_batch_is_refused(together, alone):
    with pytest.raises(ValueError, match="gives outputs whose shape depends on the batch"):
        piecewise.demand_alone(seen_to_give(together), alone, torch.tensor([0, 1]))


def test_what_is_no_number_or_nothing_is_not_compared():
    rows = torch.tensor([0])
    integers = torch.ones(1, 2, dtype=torch.int64), torch.zeros(1, 2, dtype=torch.int64)
    for together, alone in (integers, (torch.ones(1, 0), torch.ones(1, 0)), (torch.ones(1, 2), torch.ones(2, 2))):
        piecewise.demand_alone(seen_to_give(together), alone, rows)
    text = piecewise.watch(lambda x: "text", torch.ones(1, 2), piecewise.Wish())
    piecewise.demand_alone(text, torch.ones(1, 2), rows)
    with pytest.raises(ValueError, match="lets the samples"):
        piecewise.demand_alone(seen_to_give(torch.full((1, 2), torch.nan)), torch.ones(1, 2), rows)


def cancelling(x):
    """An output of zero, made of numbers of a million that cancel up to rounding; one of about one; and a large one."""
    return torch.stack([1e6 * (x[:, 0] / 3) - 1e6 / 3 * x[:, 0], x[:, 1], 1e4 * x[:, 1]], 1)


@pytest.mark.parametrize(("error", "expected"), [([0.1, 0.0], [False, False]), ([0.0, 0.1], [False, True]),
                                                 ([1e5, 0.0], [True, False]), ([torch.nan, 0.0], [True, False])])
def test_numbers_that_cancel_forgive_their_own_output_what_rounding_does_to_it(error, expected):
    """In single precision a tenth is less than rounding of a million, which is measured; for the other output it is wrong."""
    seen = piecewise.watch(cancelling, torch.ones(1, 2), piecewise.Wish(pieces=True))
    found = piecewise.beyond_rounding(seen, torch.tensor([[*error, 0.0]]), torch.tensor([[1e-3, 1.0, 1e4]]), seen.x, held=True)
    assert found.tolist() == [[*expected, False]]


def test_roundings_move_what_depends_on_the_input_and_nothing_else():
    weight = torch.ones(2, 2, dtype=torch.float64)
    seen = piecewise.watch(lambda x: (x @ (weight * 1.0)).relu_().T.contiguous().T * (x > 0),
                           torch.ones(3, 2, dtype=torch.float64), piecewise.Wish(pieces=True))
    for held in (False, True):
        moved = seen.roundings(seen.x, held)
        assert bool((moved > 0).all()) and float(moved.max()) < 1e-12
    assert torch.equal(weight, torch.ones_like(weight)) and torch.equal(seen.x, torch.ones_like(seen.x))
    fixed = piecewise.watch(lambda x: weight * 1.0, seen.x, piecewise.Wish())
    assert not fixed.roundings(seen.x, False).any()


def test_only_a_unit_on_its_kink_is_turned_by_rounding():
    """The first of three units is zero up to rounding, the others lie a tenth and a billionth off."""
    x = torch.tensor([[1.0, 0.3, 1.0]], dtype=torch.float64)
    weight = torch.tensor([[0.3, -1.0, 0.0], [0.0, 0.0, 0.1], [1e-9, 0.0, 0.0]], dtype=torch.float64)
    again = piecewise.watch(lambda x: (x @ weight.T).relu(), x, piecewise.Wish(codes=True, pieces=True))
    assert again.kinks(0).tolist() == [[True, False, False]]
    codes = again.trace.nonlinearities[0].codes
    for unit, units in ((0, 0), (1, 1), (2, 1)):
        other = codes.clone()
        other[0, unit] = ~other[0, unit]
        if units:
            with pytest.raises(ValueError, match="1 units of relu .* change their code"):
                piecewise._demand_same_codes(again, 0, other, slice(0, 1))
        else:
            piecewise._demand_same_codes(again, 0, other, slice(0, 1))


@pytest.mark.parametrize(("size", "most"), [(1, 4), (3, 4), (4, 4), (5, 4), (9, 4), (2, 8)])
def test_company_puts_strangers_around_some_samples_and_is_another_number_of_them(size, most):
    x = batch(size, 3)
    some, rows = piecewise.company(x, torch.linspace(0, size - 1, min(size, most)).long())
    assert len(set(rows.tolist())) == min(size, most) and rows.min() == 0 and rows.max() == size - 1
    assert torch.equal(some[1:1 + len(rows)], x[rows]) and (len(some) - size) % 2 == 1
    for stranger in (some[0], *some[1 + len(rows):]):
        assert not any(torch.equal(stranger, each) for each in x)
    assert not torch.equal(piecewise.displaced(x, 1), piecewise.displaced(x, 2))
    assert torch.equal(piecewise.displaced(x, 1), piecewise.displaced(x, 1))
    moved = (piecewise.displaced(100 * batch(40, 50)) - 100 * batch(40, 50)).std()
    assert float(moved / (100 * batch(40, 50)).abs().mean()) == pytest.approx(1, rel=0.1)
    assert float(piecewise.displaced(torch.zeros(40, 50)).std()) == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e3 * 2**-23), (torch.float16, 0.1)])
def test_the_tolerance_is_a_thousand_roundings_between_a_billionth_and_a_tenth(dtype, tolerance):
    seen = piecewise.watch(lambda x: x * 1, torch.ones(1, 2, dtype=dtype), piecewise.Wish())
    assert seen.tolerance == pytest.approx(tolerance)


@pytest.mark.parametrize(("x", "said"), [
    ([[1.0]], "x = .* is not a torch tensor"), (torch.ones(3), "x = .* is not a batch of inputs"),
    (torch.eye(2).to_sparse(), "x = .* is stored as torch.sparse"), (torch.ones(2, 2, dtype=torch.int64), "x = .*floating"),
    (torch.tensor([[torch.nan]]), "x = .*NaN")])
def test_what_is_no_batch_is_refused(x, said):
    with pytest.raises((TypeError, ValueError), match=said):
        trace(nn.ReLU(), x)


def test_a_model_that_cannot_be_called_or_is_not_yet_shaped_is_refused():
    with pytest.raises(TypeError, match="model = 3 cannot be called"):
        trace(3, batch(2, 3))
    with pytest.raises(ValueError, match="model = 'LazyLinear' has a parameter 'weight' that the first batch has yet to shape"):
        trace(nn.LazyLinear(2), batch(2, 3))


def test_codes_of_all_nonlinearities_stand_side_by_side_and_a_linear_model_has_none():
    x = batch(4, 3)
    assert trace(nn.Linear(3, 2), x).codes.shape == (4, 0)
    model = nn.Sequential(nn.ReLU(), nn.Linear(3, 2), nn.Hardtanh())
    found = trace(model, x)
    assert torch.equal(found.codes, torch.cat([each.codes.long() for each in found.nonlinearities], 1))
    assert found.codes.dtype == torch.int64 and found.codes.shape == (4, 5)


def test_a_sparse_matrix_that_the_network_makes_itself_is_a_matrix():
    dense = batch(4, 6)
    sparse = dense.to_sparse()
    slopes, _ = splines.affine_map(lambda x: torch.relu((2 * sparse) @ x.T).T, batch(3, 6))
    assert torch.allclose(slopes, splines.affine_map(lambda x: torch.relu((2 * dense) @ x.T).T, batch(3, 6))[0])


@pytest.mark.parametrize(("norm", "remedy"), [
    (nn.BatchNorm1d(6), r"call \.eval\(\) on the model"),
    (nn.BatchNorm1d(6, track_running_stats=False).eval(), "use batch norm with running statistics")])
def test_batch_norm_in_training_and_without_statistics_have_different_remedies(norm, remedy):
    with pytest.raises(NotPiecewiseAffineError, match=remedy):
        trace(norm, batch(4, 6))


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("sign", [1, -1])
def test_company_begins_and_ends_with_others_that_all_differ(count, sign):
    x = batch(count, 4)
    some, rows = company(x, torch.linspace(0, count - 1, min(count, 3)).long(), sign)
    assert torch.equal(some[1:1 + len(rows)], x[rows]) and len(some) != count
    assert len(some.unique(dim=0)) == len(some) == len(rows) + (3 if (len(rows) - count) % 2 == 0 else 2)
    assert not (some[[0, *range(1 + len(rows), len(some))]][:, None] == x).all(-1).any()


@pytest.mark.parametrize("ask", [trace, lambda model, x: splines.affine_map(model, x, 3), splines.concavities])
@pytest.mark.parametrize("size", [3, 4, 6, 9, 11, 12])
def test_a_model_that_asks_whether_its_batch_is_even_is_found_out(ask, size):
    with pytest.raises(ValueError, match="influence each other|does not follow its map"):
        ask(lambda x: x.relu() if len(x) % 2 else 2 * x.relu(), batch(size, 4))


@pytest.mark.parametrize("pair", [(0, 1), (14, 15), (15, 16), (28, 29)])
def test_two_samples_that_look_at_each_other_are_parted_wherever_their_size_lies(pair):
    x = batch(30, 6)
    one, other = x.abs().mean(1).argsort()[list(pair)]
    x[other] = x[one] + 0.01

    def model(z):
        near = (z[:, None] - z[None]).abs().sum(2) < 0.3
        return z.relu() * near.sum(1, keepdim=True)
    with pytest.raises(ValueError, match="influence each other"):
        splines.affine_map(model, x)
    assert splines.affine_map(model, x[:one] if one else x[1:2])  # none is near another


@pytest.mark.parametrize("model", [lambda x: x[x > 0], lambda x: x[:, (x > 0)[0]], lambda x: (x * 2)[(x > 0).any(1)]])
def test_a_mask_of_the_input_selects_a_number_of_entries_that_depends_on_it(model):
    with pytest.raises(NotPiecewiseAffineError, match="selects a number of entries|mixed|samples"):
        trace(model, batch(3, 5))


def test_positions_that_the_input_chooses_select_as_many_entries_each_time():
    x = batch(3, 5)
    found = trace(lambda x: x[torch.arange(len(x)), x.argmax(1)][:, None], x)
    assert torch.equal(found.output, x.max(1, keepdim=True).values)


def test_where_a_result_is_written_is_told_from_what_is_read():
    x, out = batch(2, 3), torch.empty(2, 3)
    assert piecewise._without_targets(torch.ops.aten.clamp_min.Tensor_out, {"min": x, "out": out})[0] == {"min": x}
    assert piecewise._without_targets(torch.ops.aten.clamp_min.Tensor_out, {"min": x, "out": out})[1][0] is out
    assert piecewise._without_targets(torch.ops.aten.clamp.default, {"min": 0.0}) == ({"min": 0.0}, [])
