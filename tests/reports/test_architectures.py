"""Networks of torchvision's kinds: their maps are autograd's, they hold at another point of the region, and each lens answers."""

import re

import architectures
import pytest
import torch

from deepatoms.reports import report
from deepatoms.reports.entries import LENSES, MISSING
from deepatoms.theory import frame_potential, induced, partition, splines

Y = torch.arange(24) % 3
needs_torchvision = pytest.mark.skipif(architectures.torchvision() is None, reason="needs torchvision, which is not locked")


def demand_map(model, x, rows):
    """The map's first rows are autograd's, and it is the function's at another point of the same region, all to 1e-9."""
    A, b = splines.affine_map(model, x)
    size = max(1.0, float(A.abs().max()))
    for one, mine in zip(x, A, strict=True):
        at = one[None].clone().requires_grad_()
        output = model(at)[0]
        theirs = torch.stack([torch.autograd.grad(output[row], at, retain_graph=True)[0].flatten() for row in range(rows)])
        assert float((mine[:rows] - theirs).abs().max()) <= 1e-9 * size
    other, moved = elsewhere(model, x)
    assert moved > 0
    with torch.no_grad():
        there = torch.einsum("ncd,nd->nc", A, other.flatten(1)) + b
        assert float((model(other) - there).abs().max()) <= 1e-9 * size


def elsewhere(model, x):
    """Return another point of each input's region, as far along one direction as keeps all codes, and the least way."""
    way = torch.randn(x.shape, generator=torch.Generator().manual_seed(3), dtype=x.dtype)
    way /= way.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)
    far = splines.distance_to_break(model, x, way).clamp(max=1.0) / 2
    other = x + far.reshape(-1, 1, 1, 1) * way
    for mine, theirs in zip(partition.region_codes(model, x), partition.region_codes(model, other), strict=True):
        assert (mine.bits == theirs.bits).all()
    return other, float(far.min())


@pytest.mark.parametrize("kind", architectures.KINDS)
def test_a_map_is_autograds_and_holds_in_its_region(kind):
    demand_map(architectures.build(kind), architectures.images(3), 3)


@needs_torchvision
@pytest.mark.parametrize("name", architectures.ORIGINALS)
def test_a_map_of_torchvisions_own_is_autograds_and_holds_in_its_region(name):
    demand_map(architectures.original(name), architectures.images(2, 64 if name in ("googlenet", "densenet121") else 32), 2)


SHORTCUT, PLANE = "the network has no shortcut|no residual", "the plane has more than 20,000 regions"
CHAINS = ("certified noise", "distance from the sparse model")
BLOCKS = ("condition number of I + S(h)W", "k90 of I + S(h)W")
NONE = {**dict.fromkeys(BLOCKS, SHORTCUT), "risk": SHORTCUT, "rank margin of Assumption 4": SHORTCUT}
CODE = "inputs with a code sparse enough to be unique"
F = "deep frame potential F"
MISSES = {
    "residual": {F: r"reads the code of '0.0' after max_pool2d.* 3/2 3/2", "rank margin of Assumption 4": "stream is not linear",
                 **dict.fromkeys((f"{each}, 3" for each in BLOCKS), "another of the same shape"),
                 **dict.fromkeys(CHAINS, "of the first layer, '0.0': the layer is a convolution with stride 2"),
                 **dict.fromkeys((f"{CODE}, {each}" for each in ("0.0", "3.branch.0.0")), "stride 2"),
                 **dict.fromkeys((f"{CODE}, {each}" for each in ("2.branch.1.0", "3.shortcut.0")), "is added before"),
                 **dict.fromkeys((f"{CODE}, {each}" for each in ("3.branch.1.0", "7")), "no activation follows")},
    "plain": {**NONE, F: r"reads the code of '0.0' after max_pool2d.* 2/2 2/2", f"{CODE}, 9": "no activation follows"},
    "dense": {**NONE, F: "'1.conv' is followed by no activation at once",
              **{f"{CODE}, {each}": "no activation follows" for each in ("1.conv", "2.conv", "5", "7.conv", "11")}},
    "inception": {**NONE, F: "'2.one.0' reads the code of '0.0' after max_pool2d",
                  **dict.fromkeys(CHAINS, "of the first layer, '0.0': the layer is a convolution with stride 2"),
                  f"{CODE}, 0.0": "stride 2", f"{CODE}, 7": "no activation follows"},
    "inverted": {F: r"reads the output of '1.branch.2.0' plus the code of '0.0'",
                 **dict.fromkeys((f"coherence, {each}.branch.1.0" for each in (1, 2)), "convolution with groups 8"),
                 **dict.fromkeys(CHAINS, r"of the first layer, '0.0': what follows the layer is hardtanh \(nn.ReLU6"),
                 **dict.fromkeys((f"{CODE}, {each}" for each in ("0.0", "1.branch.0.0", "1.branch.1.0", "2.branch.0.0",
                                                                 "2.branch.1.0")), "hardtanh .*train with nn.ReLU"),
                 **dict.fromkeys((f"{CODE}, {each}" for each in ("1.branch.2.0", "2.branch.2.0", "6")), "no activation follows")},
}


@pytest.mark.parametrize("kind", architectures.KINDS)
def test_each_lens_answers_or_refuses_by_name(kind, monkeypatch):
    monkeypatch.setattr("deepatoms.reports.lenses.splines.LIMIT", 200)  # that a plane is refused takes less time
    found = report(architectures.build(kind), architectures.images(24), Y, nulls=0)
    assert {entry.lens for entry in found} == set(LENSES)
    missing = {entry.name: entry for entry in found if entry.value is None}
    plane = {name: entry for name, entry in missing.items() if "on a plane" in name}
    assert len(plane) == 2 and all("the plane has more than 200 regions" in entry.reason for entry in plane.values())
    assert set(missing) - set(plane) == set(MISSES[kind])
    for name, reason in MISSES[kind].items():
        assert re.search(reason, missing[name].reason), (name, missing[name].reason)
        assert missing[name].verdict in MISSING


@needs_torchvision
@pytest.mark.slow
@pytest.mark.parametrize("name", architectures.ORIGINALS)
def test_torchvisions_own_get_a_report(name):
    size = 64 if name in ("googlenet", "densenet121") else 32
    model = architectures.original(name).float()
    found = report(model, architectures.images(4, size).float(), Y[:4], nulls=0)
    assert {entry.lens for entry in found} == set(LENSES) and not found.partial
    for wanted in ("measured gain", "template cosine", "regions that the inputs lie in"):
        assert found[wanted].value is not None, (wanted, found[wanted].reason)
    assert found["in-radius"].value is not None or "it would take" in found["in-radius"].reason
    assert any(entry.value is not None for entry in found if entry.name.startswith("coherence"))
    assert all(entry.reason for entry in found if entry.value is None)


# ---- what the frame potential makes of concatenation ----

class Dense(torch.nn.Module):
    """Every layer reads the codes of all layers before it, side by side."""

    def __init__(self, layers, head):
        super().__init__()
        self.layers, self.head = torch.nn.ModuleList(layers), head

    def forward(self, x):
        h = torch.relu(self.layers[0](x))
        for layer in self.layers[1:]:
            h = torch.cat([h, torch.relu(layer(h))], 1)
        return self.head(h)


def dense(seed=0):
    torch.manual_seed(seed)
    return Dense([torch.nn.Linear(6, 5), torch.nn.Linear(5, 4), torch.nn.Linear(9, 3)], torch.nn.Linear(12, 3)).double().eval()


def weights(model):
    return [layer.weight.detach() for layer in model.layers]


def test_a_dense_network_has_the_frame_potential_of_its_family():
    model, net = dense(), induced.dense([6, 5, 4, 3])
    found = report(model, torch.randn(20, 6).double(), nulls=0)
    assert found[F].value == pytest.approx(float(frame_potential.potential(net, net.unit(weights(model)))), rel=1e-12)
    assert found[F].threshold == frame_potential.floor(net)
    assert found["measured gain"].value < found["Lipschitz product"].value  # side by side: the root of the sum of squares


def test_a_dense_convolutional_network_too():
    torch.manual_seed(0)
    conv = torch.nn.Conv2d
    model = Dense([conv(3, 4, 3, padding=1), conv(4, 2, 3, padding=1), conv(6, 2, 3, padding=1)],
                  torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(8, 3))).double().eval()
    net = induced.densenet(layers=2, growth=2, first=4, groups=1, image=8)
    found = report(model, torch.randn(4, 3, 8, 8).double(), nulls=0)[F]
    assert found.value == pytest.approx(float(frame_potential.potential(net, net.unit(weights(model)))), rel=1e-12)


class Late(Dense):
    """The third layer reads the code of the second alone, the fourth those of the second and third."""

    def forward(self, x):
        one = torch.relu(self.layers[0](x))
        two = torch.relu(self.layers[1](one))
        three = torch.relu(self.layers[2](two))
        return self.head(torch.relu(self.layers[3](torch.cat([two, three], 1))))


def test_what_stands_side_by_side_is_one_group_of_columns():
    """The dictionary written out by hand: chain, chain, chain, then one layer that meets two codes."""
    torch.manual_seed(0)
    linear = torch.nn.Linear
    model = Late([linear(6, 5), linear(5, 4), linear(4, 3), linear(7, 2)], linear(2, 3)).double().eval()
    found = report(model, torch.randn(9, 6).double(), nulls=0)[F]
    one, *others = weights(model)
    one = one / one.norm(dim=1, keepdim=True)
    two, three, four = (each / each.norm(dim=0, keepdim=True) for each in others)
    B = torch.zeros(6 + 4 + 3 + 2, 5 + 4 + 3 + 2, dtype=torch.float64)
    B[:6, :5], B[6:10, :5], B[6:10, 5:9] = one.T, -two, torch.eye(4)
    B[10:13, 5:9], B[10:13, 9:12], B[13:, 5:12], B[13:, 12:] = -three, torch.eye(3), -four, torch.eye(2)
    there, B = (B != 0).double(), B / B.norm(dim=0)
    structural = (there.T @ there > 0).double() - torch.eye(14)
    energy = ((B.T @ B) ** 2 - torch.eye(14)).sum()
    assert found.value == pytest.approx(float((energy / structural.sum()).sqrt()), rel=1e-12)


class Swapped(Dense):
    """What is new stands before what was there."""

    def forward(self, x):
        h = torch.relu(self.layers[0](x))
        h = torch.cat([torch.relu(self.layers[1](h)), h], 1)
        return self.head(torch.relu(self.layers[2](h)))


class WithInput(Dense):
    """The input stands beside the code."""

    def forward(self, x):
        h = torch.cat([x, torch.relu(self.layers[0](x))], 1)
        return self.head(torch.relu(self.layers[1](h)))


@pytest.mark.parametrize(("model", "said"), [
    (Swapped([torch.nn.Linear(6, 5), torch.nn.Linear(5, 4), torch.nn.Linear(9, 3)], torch.nn.Linear(3, 2)),
     "'layers.2' reads the code of 'layers.1' beside the code of 'layers.0', where .* alone or beside earlier codes"),
    (WithInput([torch.nn.Linear(6, 5), torch.nn.Linear(11, 4)], torch.nn.Linear(4, 2)),
     "'layers.1' reads the input beside the code of 'layers.0'"),
])
def test_another_order_is_refused_by_what_stands_beside_what(model, said):
    found = report(model.double().eval(), torch.randn(9, 6).double(), nulls=0)[F]
    assert found.value is None and re.search(said, found.reason)


def test_a_layer_that_the_dictionary_has_no_place_for_is_not_left_out():
    """Norm and ReLU before each product: the products are not activated, and F of the first layer alone would be another's."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.ReLU(), torch.nn.Linear(5, 4), torch.nn.Linear(4, 4),
                                torch.nn.ReLU(), torch.nn.Linear(4, 2)).double().eval()
    found = report(model, torch.randn(9, 6).double(), nulls=0)[F]
    assert found.value is None and re.search("'3' reads the output of '2'|'2' is followed by no activation", found.reason)
    pre = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.ReLU(), torch.nn.Linear(5, 4), torch.nn.BatchNorm1d(4),
                              torch.nn.Linear(4, 2)).double().eval()
    assert "'2' is followed by no activation at once" in report(pre, torch.randn(9, 6).double(), nulls=0)[F].reason


def test_one_costly_layer_costs_its_own_number_only(monkeypatch):
    from deepatoms.reports.lenses import sparse_coding
    model = torch.nn.Sequential(torch.nn.Linear(6, 40), torch.nn.ReLU(), torch.nn.Linear(40, 5), torch.nn.ReLU(),
                                torch.nn.Linear(5, 3)).double().eval()
    x = torch.randn(30, 6).double()
    whole = report(model, x, nulls=0)
    monkeypatch.setattr(sparse_coding, "MOST", 8000)  # 40 atoms of 6 numbers take 9,600 products, 5 of 40 take 1,000
    found = report(model, x, nulls=0)
    assert "the layer's coherence would take" in found[f"{CODE}, 0"].reason and found[f"{CODE}, 0"].verdict == "skipped"
    assert found[f"{CODE}, 2"].value == whole[f"{CODE}, 2"].value is not None and whole[f"{CODE}, 0"].value is not None


def test_norms_that_take_too_long_cost_the_bound_and_not_the_gain(monkeypatch):
    from deepatoms.reports.lenses import skip_dictionaries
    x = torch.randn(20, 6).double()
    whole = report(dense(), x, nulls=0)
    monkeypatch.setattr(skip_dictionaries, "MOST", 100)
    found = report(dense(), x, nulls=0)["measured gain"]
    assert found.value == whole["measured gain"].value and found.threshold is None
    assert "no Lipschitz product: the layers' norms would take" in found.reason
