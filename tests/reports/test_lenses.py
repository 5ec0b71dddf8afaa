"""The parts of the lenses that no number of a whole report shows: what they refuse, count and cost, on handmade layers."""

import numpy as np
import outside
import pytest
import torch
from torch import nn

from deepatoms.reports import nulls, subject, tracing
from deepatoms.reports.entries import NULLS, Entry
from deepatoms.reports.lenses import frame_potential, residual_features, skip_dictionaries, sparse_coding, splines
from deepatoms.reports.subject import Found, Subject, View, Yardstick
from deepatoms.reports.tracing import Flow, Layer

X = torch.randn(20, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
USUAL = {"stride": 1, "padding": 1, "dilation": 1, "transposed": False, "groups": 1}


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def linear(weight, **given):
    return Layer("a", weight, "linear", Flow("input"), {}, **given)


def convolution(weight, grid=(8, 8), **options):
    return Layer("a", weight, "convolution", Flow("input"), USUAL | options, (grid, grid), activation="relu")


def chain(*parts):
    return nn.Sequential(*parts).double().eval()


# ---- frame potential ----

@pytest.mark.parametrize(("given", "fits"), [
    ({}, True), ({"stride": 2}, True), ({"stride": 3}, False), ({"dilation": 2}, False), ({"groups": 2}, False),
    ({"transposed": True}, False), ({"padding": 0}, False), ({"grid": (8, 7)}, False), ({"grid": (8,)}, False)])
def test_filters_of_the_paper_and_no_others_are_taken(given, fits):
    layer = convolution(random(2, 3, 3, 3), **given)
    if fits:
        frame_potential._demand_filters(layer, layer.options["stride"])
    else:
        with pytest.raises(ValueError, match="the paper's have square images, odd filters"):
            frame_potential._demand_filters(layer, layer.options["stride"])


@pytest.mark.parametrize("kernel", [(2, 2), (3, 1), (3,)])
def test_an_even_a_long_and_a_thin_filter_are_refused(kernel):
    with pytest.raises(ValueError, match="odd filters"):
        frame_potential._demand_filters(convolution(torch.ones(2, 3, *kernel), padding=kernel[0] // 2), 1)


def started(reads, before=2):
    layers = tuple(Layer(name, torch.ones(2, 2), "linear", None, {}) for name in "abc"[:before])
    return frame_potential._start(Layer("z", torch.ones(2, 2), "linear", reads, {}), list(layers), layers)


CODES = Flow("code", 0), Flow("code", 1)


@pytest.mark.parametrize(("reads", "before", "start"), [
    (Flow("input"), 0, 0), (CODES[0], 1, 0), (CODES[1], 2, 1), (Flow("code", 1, ("cat",), parts=CODES), 2, 0),
    (Flow("code", 2, ("cat",), parts=(CODES[1], Flow("code", 2))), 3, 1)])
def test_a_layer_reads_the_last_code_or_the_last_ones_side_by_side(reads, before, start):
    assert started(reads, before) == start


@pytest.mark.parametrize("reads", [
    CODES[0], Flow("input"), None, Flow("layer", 1), Flow("code", 1, ("mean",)), Flow("code", 1, ("cat",), parts=CODES[::-1]),
    Flow("code", 1, ("cat", "mean"), parts=CODES), Flow("code", 1, ("cat",), added=CODES[:1], parts=CODES),
    Flow("code", 1, ("cat",), parts=(Flow("input"), CODES[0]))])
def test_what_reads_something_else_is_refused_by_name(reads):
    with pytest.raises(ValueError, match="'z' reads .*, where the induced dictionary .* needs the code of 'b'"):
        started(reads)


# ---- skip dictionaries ----

@pytest.mark.parametrize("layer", [linear(random(5, 3)), Layer("a", random(4, 5, 3), "linear", None, {})])
def test_the_norm_of_a_matrix_is_its_largest_singular_value_that_of_several_the_largest(layer):
    assert skip_dictionaries.norm(layer) == pytest.approx(float(torch.linalg.svdvals(layer.weight).max()))


@pytest.mark.parametrize("options", [{}, {"dilation": 2}, {"groups": 2}])
def test_the_norm_of_a_convolution_bounds_its_map_and_is_near_it(options):
    weight = random(4, 4 // options.get("groups", 1), 3, 3)
    pad = options.get("dilation", 1)
    unit = torch.eye(4 * 64, dtype=torch.float64).reshape(-1, 4, 8, 8)
    exact = float(torch.linalg.matrix_norm(nn.functional.conv2d(unit, weight, padding=pad, **options).flatten(1), 2))
    assert exact <= skip_dictionaries.norm(convolution(weight, padding=pad, **options)) <= 1.3 * exact


def test_the_cost_of_a_norm_grows_with_what_it_is_made_of():
    cost = skip_dictionaries._norm_cost
    small = cost(convolution(torch.ones(4, 2, 3, 3)))
    assert cost(convolution(torch.ones(4, 2, 3, 3), grid=(16, 8))) == 2 * small == cost(convolution(torch.ones(8, 2, 3, 3)))
    assert cost(convolution(torch.ones(4, 4, 3, 3))) == 4 * small and cost(convolution(torch.ones(4, 2, 3, 3),
        groups=2)) == small / 2
    assert cost(linear(torch.ones(6, 4))) == cost(linear(torch.ones(4, 6))) == 4 * 6 * 4 * 4  # a singular value decomposition


def test_gains_multiply_along_add_at_sums_and_are_computed_once():
    layers = (linear(2 * torch.eye(3)), linear(5 * torch.eye(3)))
    gains, one = skip_dictionaries._Gains(layers), ("weight", 0, ("input",))
    assert gains.of(("plus", ("times", 3.0, ("weight", 1, one)), one)) == pytest.approx(3 * 5 * 2 + 2)
    assert gains.of(("stack", ("times", 3.0, ("input",)), ("times", 4.0, ("input",)))) == 5
    assert len({*gains.found}) == len(gains.found) and gains.of(one) is gains.of(one)


def test_a_block_s_norm_and_condition_are_those_of_its_worst_input():
    block = outside.Residual(3)
    block.inner.weight.data, block.inner.bias.data[:] = 0.5 * torch.eye(3), 0.0
    view = View(chain(block, nn.Linear(3, 2)), torch.tensor([[-1.0, -1, -1], [1, 1, -1]], dtype=torch.float64))
    found = skip_dictionaries.spectrum(view, "0")["condition number of I + S(h)W, 0"]
    assert found.value == pytest.approx(1.5) and found.reason == "2 inputs, largest ||S(h)W|| 0.5"
    assert found.threshold == pytest.approx(3.0)  # (1 + 0.5) / (1 - 0.5)


@pytest.mark.parametrize(("width", "wide"), [(512, False), (513, True)])
def test_a_block_is_wide_from_513_on(width, wide):
    class Same(nn.Module):
        def forward(self, h):
            return h + h
    assert skip_dictionaries._wide(View(chain(Same()), torch.zeros(1, width, dtype=torch.float64)), "0") == wide


# ---- sparse coding ----

def test_a_linear_code_s_distance_is_the_angle_between_it_and_the_input():
    D, code, x = random(5, 6), random(4, 5).abs(), random(4, 6, seed=1)
    placed = code @ D
    sine = (1 - torch.cosine_similarity(placed, x) ** 2).sqrt()
    found = sparse_coding._distances(D[..., None], code[..., None], x, linear(D))
    assert found == pytest.approx(sine.numpy(), rel=1e-9)
    assert sparse_coding._distances(D[..., None], 3 * code[..., None], 2 * x, linear(D)) == pytest.approx(found, rel=1e-9)
    assert sparse_coding._distances(D[..., None], code[..., None], 2 * placed, linear(D)) == pytest.approx(0, abs=1e-7)


def test_zero_atoms_are_left_out_and_counted_and_parallel_ones_saturate():
    weight = torch.tensor([[1.0, 0], [0, 0], [3, 4]])
    atoms, lost = sparse_coding.filters(linear(weight))
    assert lost == 1 and torch.equal(atoms, weight[[0, 2]].double())
    found = sparse_coding.coherence(linear(weight))
    assert (found.value, found.reason, found.saturated) == (pytest.approx(0.6), "1 zero atoms left out", "")
    assert sparse_coding.coherence(linear(torch.tensor([[1.0, 0], [-2, 0]]))).saturated
    with pytest.raises(ValueError, match="has 1 atoms, and a coherence needs two"):
        sparse_coding.coherence(linear(weight[:2]))


@pytest.mark.parametrize(("mu", "counts", "share"), [(0.5, [1, 2, 1], 2 / 3), (1.0, [0, 1, 2], 1 / 3), (0.0, [5, 9], 1.0),
    (1 / 3, [2, 1], 0.5)])
def test_a_code_is_sparse_enough_below_the_threshold_and_not_at_it(mu, counts, share):
    assert sparse_coding._share(linear(torch.ones(2, 2)), mu, np.array(counts)).value == pytest.approx(share)


def test_a_code_that_is_nowhere_active_says_nothing():
    assert sparse_coding._share(linear(torch.ones(2, 2)), 0.5, np.zeros(3)).saturated
    assert not sparse_coding._share(linear(torch.ones(2, 2)), 0.5, np.array([0, 1])).saturated


def test_the_chain_of_first_layers_ends_where_one_reads_something_else():
    class Skips(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = (nn.Linear(6, 6) for _ in range(3))

        def forward(self, x):
            one = self.a(x).relu()
            two = self.b(one).relu()
            return self.c(one + two).relu()
    assert sparse_coding._prefix(View(chain(Skips()), X)) == [0, 1]
    with pytest.raises(ValueError, match="of the first layer, '0': what follows the layer is sigmoid"):
        sparse_coding._prefix(View(chain(nn.Linear(6, 2), nn.Sigmoid()), X))


# ---- splines ----

def test_two_outputs_have_templates_and_one_has_none():
    assert splines.templates(View(chain(nn.Linear(6, 2)), X), 5)["template AUC"].value is not None
    with pytest.raises(ValueError, match="has a single output"):
        splines.templates(View(chain(nn.Linear(6, 1)), X), 5)


@pytest.mark.parametrize(("labels", "said"), [([0, 1, 2], "labelled"), ([0, 1, 3], "predicted"), ([-1, 1, 2], "predicted"),
    (None, "predicted")])
def test_classes_are_the_labels_where_these_name_outputs(labels, said):
    scores = torch.eye(3)[[2, 0, 1]]
    classes, how = splines._classes(View(None, X, None if labels is None else torch.tensor(labels)), 3, scores)
    assert how == f"classes as {said}" and classes.tolist() == (labels if said == "labelled" else [2, 0, 1])


def test_regions_are_counted_and_saturated_where_each_input_has_its_own():
    view = View(chain(nn.Linear(2, 2), nn.ReLU()), torch.tensor([[1.0, 1], [-1, 1], [1.0, 1]], dtype=torch.float64))
    view.model[0].weight.data, view.model[0].bias.data[:] = torch.eye(2, dtype=torch.float64), 0
    found = splines.regions(view, 3)["regions that the inputs lie in"]
    assert found.value == 2 and "each of the 2 inputs" in found.saturated
    assert not splines.regions(View(view.model, view.x[[0, 0, 0]] + torch.arange(3)[:, None]),
        3)["regions that the inputs lie in"].saturated


def test_a_plane_goes_through_the_first_three_different_inputs():
    x = X[[0, 0, 1, 1, 0, 2, 3]]
    assert torch.equal(splines._three(View(None, x)), X[:3])
    with pytest.raises(ValueError, match="three different inputs, and there are 2"):
        splines._three(View(None, X[[0, 1, 0]]))


@pytest.mark.parametrize(("count", "fits"), [(20, True), (19, False)])
def test_neighbours_need_four_times_as_many_inputs(count, fits):
    view = View(chain(nn.Linear(6, 4), nn.ReLU()), X[:count], torch.arange(count) % 2)
    if fits:
        assert 0 <= splines.near(view, count)["neighbours of one class by code"].value <= 1
    else:
        with pytest.raises(ValueError, match="need 20"):
            splines.near(view, count)


# ---- residual features ----

def stream(between):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = (nn.Linear(6, 6, bias=False) for _ in range(3))

        def forward(self, x):
            h = x + self.a(self.b(x).relu())
            return between(h) + self.c(h)
    return View(chain(Net()), X)


def test_the_maps_into_a_linear_stream_are_its_terms_and_a_rectified_one_is_refused():
    view = stream(lambda h: h)
    maps = residual_features.entering(view)
    assert len(maps) == 2 and torch.equal(maps[0], torch.eye(6).double()) and torch.equal(maps[1], view.model[0].a.weight)
    with pytest.raises(ValueError, match="the residual stream is not linear"):
        residual_features.entering(stream(torch.relu))
    with pytest.raises(ValueError, match="has no residual stream"):
        residual_features.entering(View(chain(nn.Linear(6, 2)), X))


def test_a_stream_that_changes_its_width_is_refused():
    class Broadcast(nn.Module):
        def __init__(self):
            super().__init__()
            self.wide, self.thin = nn.Linear(6, 6), nn.Linear(6, 1)

        def forward(self, x):
            return self.wide(x) + self.thin(x.relu())
    with pytest.raises(ValueError, match="the residual stream changes its width"):
        residual_features.entering(View(chain(Broadcast()), X))


@pytest.mark.parametrize(("needed", "there", "full"), [(4, 4, True), (5, 4, False)])
def test_more_features_than_channels_have_no_full_rank(needed, there, full):
    weights = [torch.ones(there, needed - 1, 1, 1), torch.ones(there, 1, 1, 1)]
    if full:
        with pytest.raises(ValueError, match="whose rank on a grid is not computed"):
            residual_features._by_count(weights)
    else:
        assert residual_features._by_count(weights).value == 0.0


# ---- nulls and budgets ----

def test_a_permutation_moves_what_has_two_axes_and_leaves_vectors():
    model = nn.Sequential(nn.Linear(3, 4), nn.Conv1d(2, 2, 3))
    drawn = nulls.draw(model, NULLS[1], 0)
    for before, after in zip(model.parameters(), drawn.parameters(), strict=True):
        assert torch.equal(before, after) == (before.ndim == 1)
        assert torch.equal(before.flatten().sort().values, after.flatten().sort().values)
    assert torch.equal(nulls.draw(model, NULLS[1], 0)[0].weight, drawn[0].weight)
    assert not torch.equal(nulls.draw(model, NULLS[1], 1)[0].weight, drawn[0].weight)


def test_parameters_that_no_method_draws_keep_their_mean_and_deviation():
    class Bare(nn.Module):
        def __init__(self):
            super().__init__()
            self.many = nn.Parameter(5 + 2 * torch.randn(20_000))
    drawn = nulls.draw(Bare(), NULLS[0], 0).many
    assert float(drawn.mean()) == pytest.approx(5, abs=0.1) and float(drawn.std()) == pytest.approx(2, rel=0.05)


def test_a_budget_is_shared_by_the_network_and_its_nulls():
    about = Subject(chain(nn.Linear(6, 2)), X, None, 4)
    work = about.own.work
    assert work == 12.0
    for passes in (1.0, subject.BUDGET / (work * 9 * 11.5), subject.BUDGET / (work * 9 * 3), 1e12):
        affordable = int(subject.BUDGET / (work * passes * 9))
        assert about.count(passes) == min(20, max(8, affordable))
    assert about.count(1.0, most=5) == 5 and about.count(1e12, fewest=2) == 2


def test_activations_fit_their_room(monkeypatch):
    view = View(chain(nn.Linear(6, 2)), X)
    monkeypatch.setattr(subject, "ROOM", view.passage.bytes * 5)
    assert (view.chunk(), view.chunk(2), view.chunk(100)) == (10, 5, 2)  # two inputs took these bytes


@pytest.mark.parametrize(("needed", "skipped"), [(subject.MOST, False), (1.01 * subject.MOST, True)])
def test_what_takes_too_long_is_skipped(needed, skipped):
    about = Subject(chain(nn.Linear(6, 2)), X, None, 0)
    found, = about.measure({"a": (Entry("splines", "a", None), Yardstick())}, lambda view: {"a": Found(1.0)}, lambda: needed)
    assert (found.verdict == "skipped") == skipped and (found.value is None) == skipped


def test_what_was_not_interrupted_does_not_say_so():
    about = Subject(chain(nn.Linear(6, 2)), X, None, 2)
    entry = Entry("splines", "a", None)
    found, = about.measure({"a": (entry, Yardstick("null"))}, lambda view: {"a": Found(float(view.model[0].weight.sum()))})
    assert "interrupted" not in (found.reason or "") and {len(ones) for ones in found.nulls.values()} == {2}


def test_an_identity_of_float64_is_not_copied_and_another_is():
    same, other = chain(nn.Linear(2, 2)), nn.Linear(2, 2)
    assert View(same, None).double is same and View(other, None).double.weight.dtype == torch.float64
    assert other.weight.dtype == torch.float32
    assert tracing.registered(nn.Sequential(nn.Conv1d(1, 1, 3, stride=2)))[0].options["stride"] == 2


# ---- shortcuts ----

class Shortcut(nn.Module):
    """Layers with ReLUs, each with what the rule adds before it is activated."""

    def __init__(self, count, added):
        super().__init__()
        self.layers, self.added = nn.ModuleList(nn.Linear(4, 4) for _ in range(count)), added

    def forward(self, x):
        codes = [x]
        for number, layer in enumerate(self.layers, 1):
            more = self.added(number)
            codes.append((layer(codes[-1]) + (0 if more is None else codes[more])).relu())
        return codes[-1]


@pytest.mark.parametrize(("added", "family"), [
    (lambda j: j - 2 if j >= 3 and j % 2 else None, "residual"), (lambda j: None, "chain"),
    (lambda j: j - 2 if j == 3 else None, None), (lambda j: j - 2 if j == 4 else None, None),
    (lambda j: 1 if j in (3, 5) else None, None)])
def test_the_shortcuts_of_the_paper_make_a_residual_network_and_no_others(added, family):
    view = View(chain(Shortcut(5, added)), X[:, :4])
    if family:
        net, weights = frame_potential.dictionary(view)
        assert net.family == family and all(torch.equal(*pair) for pair in zip(
            weights, [layer.weight for layer in view.model[0].layers], strict=True))
    else:
        with pytest.raises(ValueError, match="adds .* before it is activated, where the residual network of the paper adds"):
            frame_potential.dictionary(view)


def test_the_measured_gain_is_the_largest_over_the_inputs_and_along_no_direction_less():
    model = chain(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 2, bias=False))
    model[0].weight.data, model[2].weight.data = torch.eye(2).double(), torch.diag(torch.tensor([3.0, 5.0])).double()
    found = skip_dictionaries.gain(View(model, torch.tensor([[1.0, -1], [1.0, 1], [-1, -1]]).double()), 3)["measured gain"]
    assert (found.value, found.threshold) == (pytest.approx(5), pytest.approx(5)) and found.reason == "3 inputs"


class Calls(nn.Module):
    """A block that is called with as many tensors, and returns as many, as it is told."""

    def __init__(self, given, returned):
        super().__init__()
        self.given, self.block = given, self.Block(returned)

    def forward(self, x):
        found = self.block(*[x] * self.given)
        return found[0] if isinstance(found, tuple) else found

    class Block(nn.Module):
        def __init__(self, returned):
            super().__init__()
            self.returned = returned

        def forward(self, *given):
            return sum(given) if self.returned == 1 else given * self.returned


@pytest.mark.parametrize(("given", "returned"), [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_a_block_takes_one_tensor_to_one(given, returned):
    view = View(chain(Calls(given, returned)), X)
    if (given, returned) == (1, 1):
        assert torch.equal(skip_dictionaries._arriving(view, view.double[0].block), view.inputs(skip_dictionaries.FEW))
    else:
        with pytest.raises(ValueError, match="does not take one tensor to another of the same shape"):
            skip_dictionaries._arriving(view, view.double[0].block)


def test_a_derivative_with_a_zero_entry_is_none_that_vanishes():
    """Of three inputs one lies where the second output is off, one where both are: that one is left out and told."""
    model = chain(nn.Linear(2, 2, bias=False), nn.ReLU())
    model[0].weight.data = torch.diag(torch.tensor([2.0, 1.0])).double()
    every = skip_dictionaries.end_to_end(View(model, torch.tensor([[1.0, 1], [2, 3], [3, 1]]).double()), 3)
    assert every[skip_dictionaries.END_CONDITION.name].value == pytest.approx(2)
    some = skip_dictionaries.end_to_end(View(model, torch.tensor([[1.0, 1], [2, 3], [-1, -1]]).double()), 3)
    assert some[skip_dictionaries.END_CONDITION.name].value == pytest.approx(2)
    assert some[skip_dictionaries.END_CONDITION.name].reason == "2 inputs, 1 where it is 0 left out"


class Told(Subject):
    """Measures nothing: keeps what each measure says it costs."""

    def measure(self, entries, compute, cost=lambda: 0.0, parts=1):
        self.__dict__.setdefault("costs", {})[tuple(entries)] = cost()
        return iter(())


def costs(room, inputs, width):
    about = Told(chain(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 2)), random(inputs, 6), torch.arange(inputs) % 2, 1)
    list(room.lens(about))
    return about.costs


@pytest.mark.parametrize("room", [frame_potential, residual_features, skip_dictionaries, sparse_coding, splines],
                         ids=lambda room: room.__name__.split(".")[-1])
def test_more_inputs_and_wider_networks_cost_no_less(room):
    few, many, wide = costs(room, 8, 5), costs(room, 16, 5), costs(room, 8, 10)
    assert all(0 <= few[name] <= min(many[name], wide[name]) < float("inf") for name in few)
    assert room is frame_potential or any(few[name] < wide[name] for name in few)  # F costs no forward pass


def test_what_is_done_for_each_input_costs_twice_as_much_for_twice_as_many():
    few, many = costs(sparse_coding, 8, 5), costs(sparse_coding, 16, 5)
    names = next(name for name in few if sparse_coding.MODEL.name in name)
    assert many[names] == 2 * few[names] > 0


@pytest.mark.parametrize(("widest", "said"), [(3, "largest ||S(h)W||"), (2, "by Lanczos")])
def test_a_block_is_written_out_up_to_a_width_and_multiplied_beyond(monkeypatch, widest, said):
    monkeypatch.setattr(skip_dictionaries, "WIDEST", widest)
    about = Subject(chain(outside.Residual(3), nn.Linear(3, 2)), X[:, :3], None, 0)
    entries = {f"{each.name}, 0": (each, Yardstick()) for each in (skip_dictionaries.CONDITION, skip_dictionaries.SPREAD)}
    condition, spread = skip_dictionaries._block(about, entries, "0")
    assert said in condition.reason and (spread.verdict == "skipped") == (widest == 2)


def test_a_plane_of_too_many_regions_says_what_to_do(monkeypatch):
    monkeypatch.setattr(splines, "LIMIT", 3)
    about = Subject(outside.mlp(), X, None, 0)
    with pytest.raises(subject.TooLongError, match="more than 3 regions; call deepatoms.slice_plane yourself"):
        splines.plane(about.own, about)
