"""The affine map of a network is exact on its region, its templates split by blocks, and bad input is refused."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import avg_pool2d, max_pool2d

from deepatoms.learning.networks import digits_cnn, residual_cnn
from deepatoms.learning.training import seeded
from deepatoms.theory import pullback, splines
from deepatoms.theory.partition import slice_segment


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def demand_jacobians(model, x):
    expected = torch.func.vmap(torch.func.jacrev(lambda one: model(one[None])[0]))(x)
    torch.testing.assert_close(splines.affine_map(model, x)[0], expected.flatten(2), rtol=1e-12, atol=1e-12)


def cnn(**options):
    return seeded(digits_cnn, 0, widths=(3, 4), **options).double().eval()


def test_the_map_is_that_of_torch_autograd():
    model, x = cnn(), normal(3, 1, 8, 8)
    A, b = splines.affine_map(model, x, chunk=2)
    reference = torch.stack([torch.autograd.functional.jacobian(lambda one: model(one[None])[0], each) for each in x])
    assert torch.allclose(A, reference.flatten(2), atol=1e-12)
    assert torch.allclose(torch.einsum("ncd,nd->nc", A, x.flatten(1)) + b, model(x), atol=1e-12)


@given(st.integers(0, 2**31))
@settings(max_examples=15, deadline=None)
def test_the_map_holds_inside_its_region_and_fails_beyond(seed):
    model, x, direction = cnn(batch_norm=False), normal(1, 1, 8, 8, seed=seed), normal(1, 1, 8, 8, seed=seed + 1)
    A, b = splines.affine_map(model, x)
    distance = splines.distance_to_break(model, x, direction)
    error = [float((model(y).detach() - (torch.einsum("ncd,nd->nc", A, y.flatten(1)) + b)).abs().max())
             for y in (x + 0.999 * distance * direction, x + 10 * direction)]
    assert error[0] < 1e-10 < error[1]


def test_linear_map_and_constant_outputs():
    A, b = splines.affine_map(lambda x: torch.stack([2 * x[:, 0] + 1, torch.ones(len(x))], 1), torch.ones(2, 3))
    assert A[0].tolist() == [[2, 0, 0], [0, 0, 0]] and b[0].tolist() == [1, 1]


def test_the_model_is_left_as_it_was():
    model, x = cnn(), normal(2, 1, 8, 8)
    splines.affine_map(model, x)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert not x.requires_grad and not model[0]._forward_hooks


def test_block_templates_sum_to_the_map():
    model, x = seeded(residual_cnn, 0, shape=(1, 8, 8), widths=(4, 6), blocks=2).double().eval(), normal(3, 1, 8, 8)
    templates = splines.block_templates(model, x)
    assert templates.shape == (3, 5, 10, 64)
    assert torch.allclose(templates.sum(1), splines.affine_map(model, x)[0], atol=1e-10)


def test_a_final_relu_breaks_the_split_unless_its_slopes_enter():
    model, x = seeded(residual_cnn, 0, shape=(1, 8, 8), widths=(4,), blocks=2).double().eval(), normal(3, 1, 8, 8)
    without = splines.block_templates(model, x).sum(1)
    model.head = nn.Sequential(nn.ReLU(), model.head)
    A, _ = splines.affine_map(model, x)
    assert torch.allclose(splines.block_templates(model, x).sum(1), A, atol=1e-10)
    assert (without - A).abs().max() > 1e-3


def test_only_residual_networks_with_affine_shortcuts_split():
    with pytest.raises(ValueError, match="stem, blocks"):
        splines.block_templates(cnn(), normal(1, 1, 8, 8))
    model = seeded(residual_cnn, 0, shape=(1, 8, 8), widths=(4,), blocks=1).double().eval()
    model.blocks[0].shortcut = nn.ReLU()
    with pytest.raises(ValueError, match="affine shortcuts"):
        splines.block_templates(model, normal(1, 1, 8, 8))


def test_the_conditions_of_theorem_2():
    model = cnn(batch_norm=False)
    assert any("negative factor" in reason for reason in splines.concavities(model, normal(1, 1, 8, 8)))
    with torch.no_grad():
        for module in list(model.modules())[2:]:
            if hasattr(module, "weight"):
                module.weight.abs_()
    assert splines.concavities(model, normal(1, 1, 8, 8)) == ()
    assert "non-decreasing" in str(splines.concavities(nn.Sequential(nn.ReLU(), Abs()), normal(1, 3)))
    assert splines.concavities(nn.Sequential(Abs(), nn.ReLU()), normal(1, 3)) == ()
    assert "not convex" in splines.concavities(nn.ReLU6(), normal(1, 3))[0]


class Abs(nn.Module):
    def forward(self, x):
        return x.abs()


def test_pieces_along_a_segment_are_all_found():
    model = cnn(batch_norm=False)
    start, end = normal(1, 8, 8), normal(1, 8, 8, seed=1)
    cuts = torch.from_numpy(slice_segment(model, start, end))
    ends = torch.cat([torch.zeros(1), cuts, torch.ones(1)])
    at = (ends[:-1] + ends[1:]) / 2
    A, b = splines.affine_map(model, start + at[:, None, None, None] * (end - start))
    for side in (0.1, 0.9):
        t = ends[:-1] + side * ends.diff()
        y = start + t[:, None, None, None] * (end - start)
        assert (model(y) - (torch.einsum("ncd,nd->nc", A, y.flatten(1)) + b)).abs().max() < 1e-8


@pytest.mark.parametrize("classes, budget", [(3, 2.0), (10, 10.0)])
def test_proposition_5_wants_squared_norms(classes, budget):
    x = nn.functional.normalize(normal(20), dim=0)
    expected = splines.optimal_templates(x, 1, classes, budget)
    squared = splines.optimise_templates(x, 1, classes, budget, generator=torch.Generator().manual_seed(0))
    plain = splines.optimise_templates(x, 1, classes, budget, norms="plain", generator=torch.Generator().manual_seed(0))
    assert squared.converged
    squared, plain = squared.best, plain.best
    assert torch.allclose(squared, expected, atol=1e-3)
    assert torch.linalg.vector_norm(plain, dim=1).sum() <= budget + 1e-9
    assert not torch.allclose(plain @ x, expected @ x, atol=0.1)


def test_templates_that_have_not_arrived_say_so_and_more_steps_are_no_worse(monkeypatch):
    x, losses = nn.functional.normalize(normal(20), dim=0), []
    for steps in (3, 30, 300):
        monkeypatch.setattr(splines, "STEPS", steps)
        found = splines.optimise_templates(x, 1, 10, 10.0, norms="plain", generator=torch.Generator().manual_seed(0))
        assert not found.converged
        losses.append(float(nn.functional.cross_entropy(found.best @ x, torch.tensor(1))))
    assert losses[0] > losses[1] > losses[2]


@given(st.integers(0, 2**31))
@settings(max_examples=15, deadline=None)
def test_greedy_equals_global_matching_for_nonnegative_weights(seed):
    weights = [normal(3, 4, seed=seed), normal(3, 3, seed=seed + 1).abs(), normal(2, 3, seed=seed + 2).abs()]
    biases = [normal(len(weight), seed=seed + 3) for weight in weights]
    x = normal(4, seed=seed + 4)
    assert torch.allclose(splines.greedy_matching(weights, biases, x), splines.global_matching(weights, biases, x))
    weights[2] = -weights[2]
    assert (splines.greedy_matching(weights, biases, x) <= splines.global_matching(weights, biases, x) + 1e-12).all()


@pytest.mark.parametrize("call, words", [
    (lambda: splines.affine_map(nn.Tanh(), normal(2, 3)), "Hardtanh"),
    (lambda: splines.affine_map(cnn(), normal(2, 1, 7, 7)), "layer '8'|layer '"),
    (lambda: splines.affine_map(cnn().train(), normal(2, 1, 8, 8)), "eval"),
    (lambda: splines.affine_map(cnn(), normal(2, 1, 8, 8).float()), "layer '0'"),
    (lambda: splines.affine_map(nn.Conv2d(1, 1, 3).double(), normal(2, 1, 8, 8)), "one vector"),
    (lambda: splines.affine_map(lambda x: x - x.mean(0), normal(3, 4)), "influence each other"),
    (lambda: splines.affine_map(torch.abs, torch.zeros(1, 2)), "noise"),
    (lambda: splines.affine_map(cnn(), normal(2, 1, 8, 8) * torch.nan), "NaN"),
    (lambda: splines.affine_map(cnn(), normal(64)), "batch"),
    (lambda: splines.global_matching([normal(30, 2)], [normal(30)] * 2, normal(2)), "2\\^30"),
    (lambda: splines.optimal_templates(normal(3), 0, 3, 1.0), "norm"),
    (lambda: splines.optimise_templates(torch.ones(1), 0, 3, 1.0, norms="cubic"), "'plain'")])
def test_bad_input_is_refused(call, words):
    with pytest.raises((ValueError, TypeError), match=words):
        call()


def test_a_map_larger_than_memory_is_refused_with_a_remedy():
    with pytest.raises(MemoryError, match=r"GiB.*x\.split"):
        splines.affine_map(lambda x: x.repeat(1, 2), torch.ones(100, 100_000))


FEW = [(inputs, 9, 3, options) for inputs in (1, 3) for options in ({}, {"stride": 2, "padding": 1}, {"dilation": 2},
       {"padding": "same"}, {"stride": (1, 2), "padding": (2, 0), "bias": False})]
PIXELS = [(6, 4, 1, options) for options in ({}, {"stride": 2}, {"padding": 1}, {"bias": False})]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("inputs", "outputs", "kernel", "options"), FEW + PIXELS)
def test_a_convolution_of_few_channels_or_single_pixels_is_pulled_back_exactly(inputs, outputs, kernel, options, dtype):
    """Slopes in single precision against those of the same network in double precision, the short way and torch's."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(inputs, outputs, kernel, **options), torch.nn.ReLU(), torch.nn.Flatten(),
                                torch.nn.LazyLinear(3))
    x = torch.randn(4, inputs, 8, 9)
    model(x)
    maps = splines.affine_map(model.to(dtype), x.to(dtype))[0].double()
    expected = torch.func.vmap(torch.func.jacrev(lambda one: model(one[None])[0]))(x.to(model.double()[0].weight))
    torch.testing.assert_close(maps, expected.flatten(2), rtol=0, atol=1e-12 if dtype == torch.float64 else 1e-6)


@pytest.mark.parametrize(("inputs", "outputs", "dtype", "short"), [
    (4, 12, torch.float32, True), (4, 11, torch.float32, False), (5, 20, torch.float32, False), (4, 12, torch.float64, False)])
def test_the_short_way_is_taken_in_single_precision_from_few_channels_to_not_too_few(inputs, outputs, dtype, short):
    x, weight = torch.zeros(1, inputs, 8, 8, dtype=dtype), torch.zeros(outputs, inputs, 3, 3, dtype=dtype)
    slope = torch.zeros(1, outputs, 6, 6, dtype=dtype)
    call = pullback.Convolution(slope, x, weight, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1, [True, False, False])
    assert call.few == short and (pullback.Pullback().convolution(*call) is not None) == short


APART = [(nn.Conv2d, (2, 12, (2, 1)), {"groups": 2}, (2, 5, 4)), (nn.ConvTranspose2d, (12, 1, 2), {}, (12, 4, 4)),
         (nn.Conv1d, (1, 12, 2), {}, (1, 7)), (nn.Conv2d, (4, 12, 1), {"groups": 4}, (4, 3, 3)),
         (nn.ConvTranspose2d, (4, 3, 1), {}, (4, 3, 3)), (nn.Conv3d, (1, 24, (2, 1, 1)), {}, (1, 3, 3, 3))]


@pytest.mark.parametrize(("kind", "sizes", "options", "shape"), APART)
def test_convolutions_of_groups_transposed_or_of_no_images_are_pulled_back_exactly(kind, sizes, options, shape):
    """Those of few inputs and of single pixels, for which other convolutions take a shorter way."""
    torch.manual_seed(0)
    model = nn.Sequential(kind(*sizes, **options), nn.ReLU(), nn.Flatten()).double()
    demand_jacobians(model, normal(3, *shape))


class Pooled(torch.nn.Module):
    """Features of a convolution, passed through some way of rectifying and pooling them."""

    def __init__(self, pool):
        super().__init__()
        self.features, self.pool, self.head = torch.nn.Conv2d(2, 8, 3), pool, torch.nn.LazyLinear(3)

    def forward(self, x):
        return self.head(self.pool(self.features(x)).flatten(1))


def half_rectified(h):
    h = h.clone()
    h[:, :4].relu_()
    return max_pool2d(h, 2)


WAYS_TO_POOL = {
    "of rectified values": lambda h: max_pool2d(h.relu(), 2), "in place": lambda h: max_pool2d(h.clone().relu_(), 2),
    "overlapping": lambda h: max_pool2d(h.relu(), 3, 2), "with gaps": lambda h: max_pool2d(h.relu(), 2, 3),
    "padded": lambda h: max_pool2d(h.relu(), 2, padding=1), "of values not rectified": lambda h: max_pool2d(h, 2),
    "rectified twice": lambda h: max_pool2d((h.relu() + 1).relu(), 2),
    "of leaky values": lambda h: max_pool2d(torch.nn.functional.leaky_relu(h, 0.3), 2), "half rectified": half_rectified,
    "of half the channels": lambda h: max_pool2d(h.relu()[:, :4], 2),
    "transposed": lambda h: max_pool2d(h.relu().transpose(1, 2), 2),
    "twice": lambda h: max_pool2d(h.relu(), 2) + max_pool2d(h.relu()[:, :, 1:, 1:], 2),
    "beside a skip": lambda h: max_pool2d(h.relu(), 2) + avg_pool2d(h.relu(), 2),
    "shared with a skip": lambda h: (lambda on: max_pool2d(on, 2) + avg_pool2d(on, 2))(h.relu()),
    "shared by two pools": lambda h: (lambda on: max_pool2d(on, 2) - max_pool2d(on, 2, padding=1)[:, :, 1:, 1:])(h.relu()),
    "in channels-last": lambda h: max_pool2d(h.transpose(1, 3).contiguous().transpose(1, 3).relu(), 2)}


@pytest.mark.parametrize("way", WAYS_TO_POOL)
def test_pooling_is_pulled_back_exactly(way):
    torch.manual_seed(0)
    model = Pooled(WAYS_TO_POOL[way]).double()
    x = torch.randn(4, 2, 11, 11, dtype=torch.float64)
    model(x)
    demand_jacobians(model, x)


def test_slopes_of_pooled_inputs_are_not_overwritten_by_the_next_output():
    model = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Flatten(), torch.nn.Linear(4, 3)).double()
    x = torch.randn(4, 1, 4, 4, dtype=torch.float64)
    demand_jacobians(model, x)


def test_a_way_that_is_not_in_double_precision_or_leaves_the_pieces_is_refused():
    x = torch.tensor([[-2.0]], dtype=torch.float64)
    for bad_x, way, said in ((x.float(), x.float(), "x = "), (x, x.float(), "direction = "), (x, x[:, :0], "direction = ")):
        with pytest.raises((TypeError, ValueError), match=said):
            splines.distance_to_break(torch.nn.ReLU(), bad_x, way)
    with pytest.raises(ValueError):
        splines.distance_to_break(torch.sigmoid, x, x)


@given(st.integers(0, 2**31), st.integers(1, 6), st.integers(1, 6))
@settings(max_examples=30)
def test_the_area_under_the_curve_counts_pairs_in_the_right_order_and_ties_by_half(seed, own, others):
    draw = torch.Generator().manual_seed(seed)
    one, other = (torch.randint(4, (size,), generator=draw).double() for size in (own, others))
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a in one for b in other]
    assert splines.area_under_roc(one, other) == pytest.approx(sum(pairs) / len(pairs))
    assert splines.area_under_roc(-one, -other) == pytest.approx(1 - sum(pairs) / len(pairs))


def test_scores_that_are_no_numbers_have_no_area():
    for call, said in ((lambda: splines.area_under_roc(torch.tensor([torch.nan]), torch.ones(2)), "own = .*NaN"),
                       (lambda: splines.area_under_roc(torch.ones(2), torch.tensor([torch.inf])), "others = .*infinite")):
        with pytest.raises(ValueError, match=said):
            call()


@given(st.integers(0, 2**31), st.floats(0.1, 6))
@settings(max_examples=12)
def test_projections_are_inside_their_ball_and_nothing_inside_is_nearer(seed, budget):
    templates, others = normal(4, 3, seed=seed), normal(30, 4, 3, seed=seed + 1)
    for project, size in ((splines._project_norms, lambda m: torch.linalg.vector_norm(m, dim=-1).sum(-1)),
                          (splines._project_frobenius, lambda m: (m**2).sum((-1, -2)))):
        found = project(templates, budget)
        assert float(size(found)) <= budget * (1 + 1e-9)
        assert torch.equal(found, templates) == (float(size(templates)) <= budget)
        inside = torch.stack([project(each, budget) for each in torch.cat([others, found + 0.05 * others])])
        distance = ((inside - templates) ** 2).sum((1, 2)).min()
        assert float(((found - templates) ** 2).sum()) <= float(distance) + 1e-9


@given(st.integers(1, 40), st.integers(1, 9))
def test_chunks_are_whole_in_order_and_none_holds_a_single_sample_where_another_could_take_it(size, chunk):
    parts = splines._several(torch.arange(size)[:, None], chunk)
    assert torch.equal(torch.cat(parts)[:, 0], torch.arange(size))
    assert max(map(len, parts)) <= chunk + 1 and (chunk == 1 or size == 1 or min(map(len, parts)) > 1)
    assert len(parts) == -(-size // chunk) - (size % chunk == 1 and 1 < chunk < size)


def test_the_templates_of_proposition_5_spend_their_budget_and_no_others_of_it_score_better():
    x = nn.functional.normalize(normal(5), dim=0)
    found, target = splines.optimal_templates(x, 2, 4, 3.0), torch.tensor(2)
    assert float((found**2).sum()) == pytest.approx(3.0) and torch.allclose(found.sum(0), torch.zeros(5, dtype=x.dtype))
    least = float(nn.functional.cross_entropy(found @ x, target))
    others = normal(500, 4, 5, seed=1)
    others = others * (3.0 / (others**2).sum((1, 2), keepdim=True)) ** 0.5
    assert float(nn.functional.cross_entropy(others @ x, target.expand(500), reduction="none").min()) > least
    templates = normal(4, 5, seed=2).requires_grad_()
    bias = normal(4, seed=3)
    slope, = torch.autograd.grad(nn.functional.cross_entropy(templates @ x + bias, target), templates)
    assert torch.allclose(splines._slope(templates.detach(), x, bias, 2), slope)


X = nn.functional.normalize(normal(3), dim=0)


@pytest.mark.parametrize("function", [splines.optimal_templates, splines.optimise_templates])
@pytest.mark.parametrize(("given", "said"), [
    ((X, 3, 3, 1.0), "label = 3 is none of the 3 classes"), ((X, -1, 3, 1.0), "label = -1"), ((X, 0.0, 3, 1.0), "label = 0.0"),
    ((X, 0, 1, 1.0), "classes = 1"), ((X, 0, 3, -1.0), "budget = -1.0"), ((X, 0, 3, torch.inf), "budget = inf"),
    ((X * (1 + 2e-5), 0, 3, 1.0), "x = .* has norm 1.00002"), ((X[None], 0, 3, 1.0), "x = .*rank 2"),
    ((X.numpy(), 0, 3, 1.0), "x = ")])
def test_templates_of_no_class_norm_or_budget_are_refused(function, given, said):
    with pytest.raises((ValueError, TypeError), match=said):
        function(*given)


@pytest.mark.parametrize("hidden", [(21,), (12, 9)])
def test_global_matching_tries_at_most_a_million_choices(hidden):
    widths = (2, *hidden, 1)
    weights, biases = [normal(b, a) for a, b in zip(widths, widths[1:], strict=False)], [normal(b) for b in widths[1:]]
    with pytest.raises(ValueError, match="weights = .* choices of active units"):
        splines.global_matching(weights, biases, normal(2))


def test_global_matching_is_the_best_of_all_choices_and_greedy_is_the_forward_pass():
    weights = [normal(2, 3), normal(3, 2, seed=1), normal(2, 3, seed=2)]
    biases = [normal(len(weight), seed=4) for weight in weights]
    x, layers = normal(3, seed=3), []
    for weight, bias in zip(weights, biases, strict=True):
        layers += [nn.Linear(*weight.shape[::-1]).double(), nn.ReLU()]
        layers[-2].weight.data, layers[-2].bias.data = weight, bias
    assert torch.allclose(splines.greedy_matching(weights, biases, x), nn.Sequential(*layers[:-1])(x))
    values = []
    for choice in itertools.product((0.0, 1.0), repeat=5):
        first = torch.tensor(choice[:2]) * (weights[0] @ x + biases[0])
        second = torch.tensor(choice[2:]) * (weights[1] @ first + biases[1])
        values.append(weights[2] @ second + biases[2])
    assert torch.allclose(splines.global_matching(weights, biases, x), torch.stack(values).amax(0))


@pytest.mark.parametrize("farthest", [0.0, 0.5, 3.0])
def test_the_way_to_a_break_ends_at_the_farthest_that_is_asked_for(farthest):
    x, way = (torch.tensor(each, dtype=torch.float64) for each in ([[-1.0, 5.0], [-2.0, 5.0]], [[1.0, 0.0], [1.0, 0.0]]))
    found = splines.distance_to_break(nn.ReLU(), x, way, farthest)
    assert found.tolist() == pytest.approx([min(1.0, farthest), min(2.0, farthest)])
    with pytest.raises(ValueError, match="farthest = -1.0"):
        splines.distance_to_break(nn.ReLU(), x, way, -1.0)


def test_a_model_that_returns_no_vector_of_scores_is_refused():
    x = normal(3, 4)
    for model, said in ((lambda x: x[:, :0], "one vector"), (lambda x: x[:2], "batch|one vector|influence"),
                        (lambda x: (x,), "one vector"), (lambda x: x[:, None], "one vector"),
                        (lambda x: (x > 0), "no real numbers")):
        with pytest.raises((ValueError, TypeError), match=said):
            splines.affine_map(model, x)
    for chunk in (0, -1, 2.5):
        with pytest.raises((ValueError, TypeError), match="chunk = "):
            splines.affine_map(torch.relu, x, chunk=chunk)


@pytest.mark.parametrize("options", [{}, {"dilation": 2}, {"stride": 1}, {"dilation": 2, "stride": 3}, {"stride": (2, 1)}])
def test_a_cell_that_is_the_largest_of_several_windows_has_the_slopes_of_all(options):
    """One large entry in the middle, which every window that reaches it takes."""
    x = torch.full((1, 1, 7, 7), 0.1, dtype=torch.float64) + 0.01 * torch.arange(49).reshape(1, 1, 7, 7)
    x[0, 0, 4, 4] = 5
    demand_jacobians(nn.Sequential(nn.ReLU(), nn.MaxPool2d(2, **({"stride": 2} | options)), nn.Flatten()).double(), x)
