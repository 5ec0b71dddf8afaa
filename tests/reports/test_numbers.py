"""Every number of a report is what the theory's own function returns for the same network and the same inputs."""

import numpy as np
import outside
import pytest
import torch

from deepatoms.reports import nulls, report
from deepatoms.reports.lenses import residual_features, skip_dictionaries, sparse_coding
from deepatoms.reports.subject import View
from deepatoms.theory import (
    convolutional,
    dictionaries,
    frame_potential,
    induced,
    partition,
    resnests,
    splines,
    stability,
)
from deepatoms.theory import skip_dictionaries as skip
from deepatoms.theory.partition import graph

X, Y = outside.data()


@pytest.fixture(scope="module")
def chain():
    model = outside.mlp()
    return model, report(model, X, Y, nulls=2)


@pytest.fixture(scope="module")
def residual():
    model = outside.residual()
    return model, report(model, X, Y, nulls=0)


def linear(model):
    return [module for module in model.modules() if isinstance(module, torch.nn.Linear)]


def test_frame_potential_and_its_floor(chain):
    model, found = chain
    net = induced.chain([6, 8, 7], form="analysis")
    weights = net.unit([layer.weight.detach() for layer in linear(model)[:2]])
    assert found["deep frame potential F"].value == float(frame_potential.potential(net, weights))
    assert found["deep frame potential F"].threshold == frame_potential.floor(net)


def test_frame_potential_of_a_residual_network_of_the_paper():
    model = outside.CifarResidual(blocks=2, width=4).double().eval()
    randomise_norms(model)
    net = induced.cifar("resnet", blocks=2, width=4, image=32)
    weights = [folded(conv, norm) for conv, norm in norms(model)]
    found = report(model, torch.randn(2, 3, 32, 32).double(), nulls=0)["deep frame potential F"]
    assert found.value == pytest.approx(float(frame_potential.potential(net, net.unit(weights))), rel=1e-12)


def randomise_norms(model):
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 2.0)
            module.running_var.uniform_(0.5, 2.0)


def norms(model):
    yield model.conv, model.bn
    for block in model.blocks:
        yield from ((block.conv1, block.bn1), (block.conv2, block.bn2))


def folded(conv, norm):
    return (conv.weight * (norm.weight / (norm.running_var + norm.eps).sqrt())[:, None, None, None]).detach().double()


def test_coherence_and_the_uniqueness_share(chain):
    model, found = chain
    for name, layer in (("0", linear(model)[0]), ("2", linear(model)[1])):
        mu = float(dictionaries.mutual_coherence(layer.weight.detach().T))
        assert found[f"coherence, {name}"].value == mu
        assert found[f"coherence, {name}"].threshold == dictionaries.welch_bound(layer.in_features, layer.out_features)
        code = (model[: int(name) + 2](X) > 0).sum(1)
        share = float((code < dictionaries.uniqueness_threshold(mu)).double().mean())
        assert found[f"inputs with a code sparse enough to be unique, {name}"].value == pytest.approx(share, abs=1e-12)


def test_coherence_and_stripes_of_a_convolution():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3, padding=1), torch.nn.ReLU()).double().eval()
    x = torch.randn(4, 2, 6, 6, dtype=torch.float64)
    found = report(torch.nn.Sequential(model, torch.nn.Flatten()).eval(), x, nulls=0)
    mu = float(convolutional.filter_coherence(model[0].weight.detach()))
    stripes = np.asarray(convolutional.stripe_count(model(x).detach(), (3, 3)))
    assert found["coherence, 0.0"].value == mu
    share = float((stripes < dictionaries.uniqueness_threshold(mu)).mean())
    assert found["inputs with a code sparse enough to be unique, 0.0"].value == share


def test_coherence_of_a_convolution_with_a_stride():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(2, 5, 3, 2, 1), torch.nn.ReLU(), torch.nn.Flatten()).double().eval()
    found = report(model, torch.randn(2, 2, 8, 8).double(), nulls=0)["coherence, 0"]
    folded = convolutional.unstrided(model[0].weight.detach(), 2)
    assert found.value == float(convolutional.filter_coherence(folded)) < float(
        convolutional.filter_coherence(model[0].weight.detach())) and folded.shape == (5, 8, 2, 2)
    assert found.threshold == convolutional.filter_welch_bound(5, 8, (2, 2)) <= found.value


def test_certified_noise_of_codes_that_the_network_finds_exactly():
    """One orthogonal layer without biases on sparse inputs: the model holds, and the certificate is the theory's."""
    model, x = torch.nn.Sequential(torch.nn.Linear(4, 4, bias=False), torch.nn.ReLU()).double().eval(), torch.eye(4).double()
    model[0].weight.data = torch.eye(4, dtype=torch.float64)
    found = report(model, x, nulls=0)
    code = model(x).detach()[..., None]
    numbers = stability.layers([torch.eye(4, dtype=torch.float64)[..., None]], [code])
    assert found["certified noise"].value == float(np.median(stability.largest_certified_noise(numbers))) > 0
    assert (found["certified noise"].verdict, found["distance from the sparse model"].verdict) == ("certified", "holds")


def test_a_certificate_needs_its_hypothesis():
    model, x = torch.nn.Sequential(torch.nn.Linear(4, 4, bias=False), torch.nn.ReLU()).double().eval(), torch.eye(4).double()
    model[0].weight.data = torch.eye(4, dtype=torch.float64)
    found = report(model, x - 0.5 * x.roll(1, 1), nulls=0)  # what is negative, the ReLU drops: X is not D times the code
    assert found["certified noise"].value > 0 and found["certified noise"].verdict == "not certified"
    assert found["distance from the sparse model"].verdict == "fails"


def test_certified_noise_of_two_layers_moves_the_scale_into_the_next(chain):
    model, found = chain
    first, second = linear(model)[0].weight.detach(), linear(model)[1].weight.detach()
    sizes = first.norm(dim=1)
    D = [convolutional.normalize_filters(each[..., None]) for each in (first, second * sizes)]
    codes = [model[:2](X).detach() / sizes, model[:4](X).detach() / (second * sizes).norm(dim=1)]
    there = (codes[0] > 0).any(1) & (codes[1] > 0).any(1)
    numbers = stability.layers(D, [code[there][..., None] for code in codes])
    median = float(np.median(stability.largest_certified_noise(numbers)))
    assert found["certified noise"].value == pytest.approx(median, rel=1e-12)


def test_the_representation_of_a_convolution_lies_where_the_network_reads():
    """A filter of norm 1 that finds its own copy: X is D times the code, at every padding that keeps the grid."""
    model = torch.nn.Sequential(torch.nn.Conv1d(1, 1, 3, padding=1, bias=False), torch.nn.ReLU()).double().eval()
    model[0].weight.data = torch.tensor([[[0.0, 0.6, 0.8]]], dtype=torch.float64)
    model[0].weight.requires_grad_(False)
    x = torch.zeros(1, 1, 9, dtype=torch.float64)
    x[..., 4], x[..., 5] = 0.6, 0.8
    kept = torch.nn.Sequential(model[0], torch.nn.Threshold(0.9, 0.0)).eval()
    view = View(kept, x)
    D, code = torch.tensor([[[0.0, 0.6, 0.8]]], dtype=torch.float64), kept(x)
    assert float(sparse_coding._distances(D, code, x, view.layers[0])[0]) < 1e-12


def test_templates_regions_neighbours(chain):
    model, found = chain
    A, b = splines.affine_map(model, X)
    products = torch.einsum("ncd,nd->nc", A, X)
    own = torch.zeros_like(products, dtype=torch.bool).scatter_(1, Y[:, None], True)
    assert found["template AUC"].value == splines.area_under_roc(products[own], products[~own])
    cosines = torch.cosine_similarity(A[torch.arange(len(X)), Y], X, 1).abs()
    assert found["template cosine"].value == float(cosines.mean())
    codes = partition.region_codes(model, X)
    both = np.concatenate([layer.bits for layer in codes], 1)
    assert found["regions that the inputs lie in"].value == len(np.unique(both, axis=0))
    near = partition.neighbours(codes[-1][:20], codes[-1][20:], 5)
    same = (Y[20:, None] == Y[None, :20]).numpy()
    share = float(near.average(np.take_along_axis(same, near.indices, 1)).mean())
    assert found["neighbours of one class by code"].value == share
    pixels = torch.cdist(X[20:], X[:20]).topk(5, largest=False).indices
    alike = float((Y[20:, None] == Y[:20][pixels]).double().mean())
    assert found["neighbours of one class by code"].threshold == pytest.approx(alike, rel=1e-12)


def test_radius_and_plane(chain):
    model, found = chain
    assert found["in-radius"].value == float(partition.in_radius(model, X[:16]).median())
    assert found["in-radius"].reason.startswith("exact")
    plane = partition.slice_plane(model, X[:3])
    assert found["regions on a plane through three inputs"].value == len(plane)
    assert found["average degree of the regions on a plane"].value == graph.average_degree(plane)


def test_a_bound_on_the_radius_is_above_it(chain):
    from deepatoms.reports.lenses.splines import radius

    view = View(chain[0], X)
    exact, bound = radius(view, 4, True)["in-radius"], radius(view, 4, False)["in-radius"]
    assert exact.value < bound.value and bound.reason.startswith("an upper bound")


def test_spectra_of_blocks_and_of_the_whole(residual):
    model, found = residual
    h = X[:4]
    for number in range(3):
        D = splines.affine_map(model[number], h)[0]
        W, a = model[number].inner.weight.detach(), model[number].inner(h)
        assert torch.allclose(D[0], torch.eye(6).double() + (a[0] > 0)[:, None] * W)  # it is I + S(h) W
        assert found[f"condition number of I + S(h)W, {number}"].value == float(skip.condition_number(D).max())
        assert found[f"k90 of I + S(h)W, {number}"].value == float(skip.energy_dimensions(D).double().median())
        h = model[number](h).detach()
    A = splines.affine_map(model, X)[0]
    assert found["condition number of the end-to-end Jacobian"].value == float(skip.condition_number(A).median())
    assert found["k90 of the end-to-end Jacobian"].value == float(skip.energy_dimensions(A).double().median())
    assert found["effective rank of the end-to-end Jacobian"].value == float(skip.effective_rank(A).median())
    assert found["measured gain"].value == float(skip.singular_values(A)[:, 0].max())
    spectrum = found["k90 of the end-to-end Jacobian"].curve
    assert spectrum == tuple(skip.singular_values(A).median(0).values.tolist()) and list(spectrum) == sorted(spectrum)[::-1]


def test_the_spectra_of_the_nulls_are_those_of_their_networks(chain):
    model, found = chain
    entry = found["k90 of the end-to-end Jacobian"]
    for null, rows in entry.null_curves.items():
        for seed, row in enumerate(rows):
            A = splines.affine_map(nulls.draw(model, null, seed, X), X)[0]
            assert row == tuple(skip.singular_values(A).median(0).values.tolist()) != entry.curve
    assert [len(rows) for rows in entry.null_curves.values()] == [2, 2]


def condition(model, x, monkeypatch, widest):
    monkeypatch.setattr(skip_dictionaries, "WIDEST", widest)
    return report(model, x, nulls=1)


def test_a_block_too_wide_to_be_written_out_has_the_same_condition_number(monkeypatch):
    model, name = outside.residual(width=40, depth=2), "condition number of I + S(h)W, 1"
    x = outside.data(2, 40)[0]
    written, multiplied = (condition(model, x, monkeypatch, widest) for widest in (512, 8))
    assert multiplied[name].value == pytest.approx(written[name].value, rel=1e-9) and "converged" in multiplied[name].reason
    assert multiplied[name].nulls.keys() == written[name].nulls.keys()
    lost = multiplied["k90 of I + S(h)W, 1"]
    assert lost.verdict == "skipped" and "needs every singular value" in lost.reason and "40 wide" in lost.reason


def test_a_block_that_ends_in_a_relu_is_singular_at_any_width(monkeypatch):
    model = torch.nn.Sequential(Rectified(40), torch.nn.Linear(40, 3)).double().eval()
    written, multiplied = (condition(model, outside.data(2, 40)[0], monkeypatch, widest)["condition number of I + S(h)W, 0"]
                           for widest in (512, 8))
    assert written.value == multiplied.value == float("inf") and "a row of it is 0" in multiplied.reason


class Rectified(outside.Residual):
    def forward(self, h):
        return torch.relu(super().forward(h))


def test_what_has_not_converged_is_called_a_lower_bound(monkeypatch):
    monkeypatch.setattr(skip_dictionaries, "STEPS", (5, 5))
    model, x = outside.residual(width=40, depth=1), outside.data(2, 40)[0]
    few = condition(model, x, monkeypatch, 8)["condition number of I + S(h)W, 0"]
    assert few.value < condition(model, x, monkeypatch, 512)["condition number of I + S(h)W, 0"].value
    assert "at least" in few.reason and "5 steps" in few.reason


def test_a_wide_block_that_is_not_piecewise_affine_says_so(monkeypatch):
    class Gelu(outside.Residual):
        def forward(self, h):
            return h + torch.nn.functional.gelu(self.inner(h))
    model = torch.nn.Sequential(Gelu(40), torch.nn.Linear(40, 3)).double().eval()
    found = condition(model, outside.data(2, 40)[0], monkeypatch, 8)["condition number of I + S(h)W, 0"]
    assert found.verdict == "does not apply" and "gelu" in found.reason


def test_the_condition_bound_stands_where_it_is_proved(residual):
    model, _ = residual
    small = outside.residual()
    for layer in linear(small)[:3]:
        layer.weight.data *= 0.1 / float(torch.linalg.matrix_norm(layer.weight.detach(), 2))
    found = report(small, X, nulls=0)["condition number of I + S(h)W, 0"]
    assert found.threshold and found.value <= found.threshold and found.verdict in ("within its bound", "at its bound")
    large = outside.residual()
    large[0].inner.weight.data *= 20
    assert report(large, X, nulls=0)["condition number of I + S(h)W, 0"].threshold is None


def test_the_lipschitz_product_is_the_residual_bound(residual):
    model, found = residual
    weights = [layer.weight.detach().numpy() for layer in linear(model)]
    expected = skip.residual_bound(1.0, weights[:-1]) * np.linalg.norm(weights[-1], 2)
    assert found["Lipschitz product"].value == pytest.approx(expected, rel=1e-9)
    assert found["measured gain"].threshold == found["Lipschitz product"].value
    assert found["measured gain"].verdict == "within its bound"


def test_the_lipschitz_product_of_a_chain_is_the_fixed_bound(chain):
    model, found = chain
    weights = [layer.weight.detach().numpy() for layer in linear(model)]
    assert found["Lipschitz product"].value == pytest.approx(skip.fixed_bound(1.0, weights) ** 0.5, rel=1e-9)


def test_the_lipschitz_product_bounds_a_convolutional_network():
    model = outside.CifarResidual(blocks=1, width=3, classes=4).eval()
    randomise_norms(model)
    view = View(model, torch.randn(3, 3, 8, 8))
    gain = skip_dictionaries.gain(view, 3)["measured gain"]
    assert 0 < gain.value < gain.threshold


def test_risks_and_ranks(residual):
    model, found = residual
    risks = resnests.block_risks(model, (X, Y), blocks=["0", "1", "2"])
    for risk in risks[1:]:
        assert found[f"risk, {risk.name}"].value == risk.training
        assert found[f"risk, {risk.name}"].threshold == risks[0].training
    identities = [np.eye(6)] * 3
    assert found["rank margin of Assumption 4"].value == resnests.assumption_4(identities).margin == 0
    assert found["rank margin of Assumption 4"].verdict == "fails"


@pytest.mark.parametrize(("width", "verdict"), [(9, "holds"), (5, "fails")])
def test_assumption_4_of_a_resnest(width, verdict):
    model = resnests.random_resnest(3, 2, [4, 4], width, torch.Generator().manual_seed(0)).eval()
    x = torch.randn(30, 3, dtype=torch.float64)
    found = report(model, x, torch.randn(30, 2), nulls=0)
    expected = resnests.assumption_4([weight.detach() for weight in model.weights[:-1]])
    assert found["rank margin of Assumption 4"].value == expected.margin
    assert found["rank margin of Assumption 4"].verdict == verdict
    assert [each.detach().tolist() for each in residual_features.entering(View(model, x))] == [
        weight.tolist() for weight in model.weights[:-1]]
