"""What a report refuses, and what a network or data of an unusual kind cost it: named, with the place and the remedy."""

import pathlib

import numpy as np
import outside
import pytest
import torch
from torch import nn

from deepatoms.reports import report
from deepatoms.reports.entries import LENSES

X, Y = outside.data()
FILE = pathlib.Path(outside.__file__).name


def lines(word):
    return [number for number, line in enumerate(pathlib.Path(outside.__file__).read_text().splitlines(), 1) if word in line]


def test_training_mode_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match=r"in training mode.*call model.eval\(\) first"):
        report(outside.mlp().train(), X)
    part = outside.CifarResidual(1, 2)
    part.eval().bn.train()
    with pytest.raises(ValueError, match=r"has modules in training mode \('bn' is the first\)"):
        report(part, torch.randn(2, 3, 8, 8))


def test_weights_that_are_not_finite_are_named():
    model = outside.mlp()
    model[2].weight.data[0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"1 entries of '2.weight' that are NaN or infinite"):
        report(model, X)


@pytest.mark.parametrize(("x", "y", "said"), [
    (X[:, :4], None, r"does not fit layer '0'.*4 and 6x8|does not fit layer '0'"),
    (X[0], None, "is not a batch of inputs"),
    (X[:0], None, "is not a batch of inputs"),
    (X.clone().fill_(torch.nan), None, "NaN or infinite"),
    (X, Y[:3], "does not label the 40 inputs"),
    (None, Y, "is given without x"),
    ("digits", None, "is no array of numbers|is not a batch|no array"),
])
def test_data_that_do_not_fit_are_refused(x, y, said):
    with pytest.raises((ValueError, TypeError), match=said):
        report(outside.mlp(), x, y)


@pytest.mark.parametrize("model", [torch.relu, "resnet18", None])
def test_what_is_no_module_is_refused(model):
    with pytest.raises(TypeError, match="is no torch module"):
        report(model, X)


def test_numpy_and_other_types_are_fitted_to_the_network():
    one = report(outside.mlp(), X.float().numpy(), Y.numpy().tolist(), nulls=0)
    two = report(outside.mlp(), X.float().double(), Y[:, None], nulls=0)
    assert [entry.value for entry in one] == [entry.value for entry in two]
    assert one["neighbours of one class by code"].value is not None


def test_without_data_the_weights_still_speak_and_the_rest_says_what_it_costs():
    found = report(outside.mlp(), nulls=1)
    assert found["coherence, 0"].value == report(outside.mlp(), X, nulls=0)["coherence, 0"].value
    assert found["coherence, 0"].nulls and found.network.layers == ("0", "2", "4")
    missing = [entry for entry in found if entry.value is None]
    assert missing and all(entry.reason.startswith("no data were given") for entry in missing)
    assert f"missing: {', '.join(LENSES)}" in " ".join(found.notes)


def test_without_labels_only_what_needs_them_is_missing():
    with_labels, without = report(outside.residual(), X, Y, nulls=0), report(outside.residual(), X, nulls=0)
    lost = {entry.name for entry in with_labels if entry.value is not None} - {
        entry.name for entry in without if entry.value is not None}
    assert lost == {"neighbours of one class by code", "risk, 0", "risk, 1", "risk, 2"}
    assert "Without labels" in " ".join(without.notes)


def test_a_branch_on_values_is_named_by_its_line():
    found = report(outside.Branching().eval(), X.float(), Y, nulls=0)
    reason = found["template AUC"].reason
    assert found["template AUC"].verdict == "does not apply" and f"{FILE}:{lines('if float(h.mean()) > 0')[0]}" in reason
    assert found["coherence, one"].value is not None


def test_what_is_not_piecewise_affine_keeps_every_lens_that_does_not_need_it():
    found = report(outside.Smooth().eval().double(), X, Y, nulls=1)
    assert {entry.name for entry in found if entry.value is not None} >= {
        "coherence, one", "coherence, two", "coherence, gate", "condition number of the end-to-end Jacobian", "measured gain",
        "k90 of the end-to-end Jacobian", "effective rank of the end-to-end Jacobian"}
    for name in ("template AUC", "in-radius", "regions that the inputs lie in", "regions on a plane through three inputs"):
        assert found[name].verdict == "does not apply"
        assert "layer_norm" in found[name].reason and "'norm'" in found[name].reason and FILE in found[name].reason


def test_the_jacobian_of_a_smooth_network_is_autograds():
    from deepatoms.reports.lenses.skip_dictionaries import jacobians
    from deepatoms.reports.subject import View
    model = outside.Smooth().eval().double()
    expected = torch.stack([torch.autograd.functional.jacobian(lambda one: model(one[None])[0], one) for one in X[:3]])
    assert torch.allclose(jacobians(View(model, X), 3), expected, atol=1e-12)


@pytest.mark.parametrize("model", [nn.Linear(6, 3), nn.Sequential(nn.Linear(6, 3), nn.ReLU()), nn.Linear(6, 1), nn.ReLU(),
                                   nn.Flatten()])
def test_a_network_of_one_layer_or_none_gets_what_there_is(model):
    found = report(model.double().eval(), X, Y, nulls=1)
    assert {entry.lens for entry in found} == set(LENSES)
    if isinstance(model, nn.Linear) and model.out_features > 1:
        assert any(entry.name.startswith("coherence") and entry.value is not None for entry in found)


def test_an_affine_network_has_no_regions_and_says_so():
    found = report(nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 3)).double().eval(), X, Y, nulls=0)
    assert "one affine map" in found["regions that the inputs lie in"].reason
    assert found["template AUC"].value is not None


def test_scikit_learns_network_is_the_same_function_with_all_its_numbers():
    model, fitted, x, y = outside.of_sklearn()
    assert np.allclose(torch.softmax(model(torch.as_tensor(x)), 1).detach().numpy(), fitted.predict_proba(x))
    found = report(model, x, y, nulls=1)
    assert [entry.name for entry in found if entry.value is None and "shortcut" not in entry.reason
            and "residual" not in entry.reason] == ["inputs with a code sparse enough to be unique, 4"]  # of the class scores


def test_functional_calls_are_the_same_network_as_modules():
    model = outside.Functional().eval().double()
    modules = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3, bias=False)).double().eval()
    modules[0].weight.data, modules[0].bias.data, modules[2].weight.data = (each.data for each in model.parameters())
    one, two = report(model, X, Y, nulls=0), report(modules, X, Y, nulls=0)
    assert one.network.layers == ("A", "B")
    same = [(a.name, a.value, b.value) for a, b in zip(one, two, strict=True) if a.value is not None]
    assert len(same) > 15 and all(a == pytest.approx(b, rel=1e-9) for _, a, b in same)


def test_a_layer_that_is_used_again_counts_once_as_a_dictionary():
    found = report(outside.Reused().eval().double(), X, Y, nulls=0)
    assert found.network.layers == ("inner", "inner (use 2)", "inner (use 3)", "outer")
    assert [entry.name for entry in found if entry.name.startswith("coherence")] == ["coherence, inner", "coherence, outer"]
    assert found["Lipschitz product"].value >= found["measured gain"].value


@pytest.mark.parametrize("wrap", [torch.jit.script, torch.compile])
def test_scripted_and_compiled_modules_have_the_numbers_of_what_they_hold(wrap):
    plain, wrapped = outside.mlp(), wrap(outside.mlp())
    one, two = (report(model, X, Y, nulls=0) for model in (plain, wrapped))
    assert [(each.name, each.value) for each in one] == [(each.name, each.value) for each in two]


def test_a_convolutional_network_with_pooling_and_groups_says_layer_by_layer_what_fits():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(4, 4, 3, groups=2),
                          nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).double().eval()
    found = report(model, torch.randn(30, 2, 8, 8).double(), Y[:30], nulls=0)
    assert "groups 2" in found["coherence, 3"].reason and found["coherence, 0"].value is not None
    assert "max_pool2d" in found["deep frame potential F"].reason
    assert found["Lipschitz product"].value > found["measured gain"].value


def test_a_network_with_several_outputs_keeps_the_rest():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(6, 4), nn.Linear(4, 2)

        def forward(self, x):
            h = torch.relu(self.a(x))
            return h, self.b(h)
    found = report(Two().double().eval(), X, Y, nulls=0)
    assert "not one vector" in found["template AUC"].reason and found["coherence, a"].value is not None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_network_on_a_gpu_stays_there_and_has_the_same_numbers():
    on, off = outside.residual().cuda(), outside.residual()
    one, two = report(on, X, Y, nulls=1), report(off, X, Y, nulls=1)
    assert all(each.is_cuda for each in on.parameters())
    for a, b in zip(one, two, strict=True):
        assert a.verdict == b.verdict and a.value == pytest.approx(b.value, rel=1e-6)
