"""The verdict of each number that a bound or a null judges flips with the network: two small networks for each, a step apart."""

import importlib
import pathlib

import outside
import pytest
import torch
from torch import nn

from deepatoms.reports import ROOMS, report
from deepatoms.reports.entries import Entry
from deepatoms.theory import resnests


def layers(*weights, act=nn.ReLU):
    """A chain without biases, activated between its layers, of given weights."""
    parts = []
    for weight in weights:
        weight = torch.as_tensor(weight, dtype=torch.float64)
        parts += [nn.Linear(*weight.shape[::-1], bias=False), act()]
        parts[-2].weight.data = weight
    return nn.Sequential(*parts[:-1]).double().eval()


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def orthogonal(size, seed=0):
    return torch.linalg.qr(random(size, size, seed=seed)).Q


def block(weight, bias=0.0, head=None):
    """h + relu(W h + b), and a head."""
    weight = torch.as_tensor(weight, dtype=torch.float64)
    model = nn.Sequential(outside.Residual(len(weight)), nn.Linear(len(weight), 2)).double().eval()
    model[0].inner.weight.data, model[0].inner.bias.data[:] = weight, bias
    return model


class Maximum(nn.Module):
    """One maximum of many planes that touch a bowl, so that each is the largest somewhere; or ReLUs of as many."""

    def __init__(self, largest):
        super().__init__()
        self.largest, self.inner = largest, nn.Linear(2, 60)
        points = 2 * torch.rand(60, 2, generator=torch.Generator().manual_seed(0)) - 1
        self.inner.weight.data, self.inner.bias.data = points, -(points**2).sum(1) / 2

    def forward(self, x):
        z = self.inner(x)
        return z.amax(1, keepdim=True) if self.largest else torch.relu(z)


I4, EYE = torch.eye(4, dtype=torch.float64), torch.eye(4, dtype=torch.float64).repeat(6, 1)
X4, CORNERS = random(24, 4), torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
SIDE = (X4[:, 0] > 0).long()
COHERENT = torch.cat([I4[:3], (I4[:1] + 0.6 * I4[1:2]) / 1.36**0.5])
CODE, CODED = "inputs with a code sparse enough to be unique, 0", torch.cat([EYE, EYE + EYE.roll(1, 1)])
RISKS, MIXING = random(24, 3).abs(), block(random(3, 3))
MIXED = MIXING[0](RISKS).detach()[:, :1] + 0.1 * random(24, 1, seed=2)
torch.manual_seed(0)
USUAL = [nn.Linear(6, 6).weight.detach().double(), nn.Linear(6, 2).weight.detach().double()]


FLIPS = [
    (CODE, (layers(COHERENT, I4), EYE[2::4], None), "certified", (layers(COHERENT, I4), CODED, None), "certified in part"),
    (CODE, (layers(COHERENT, I4), CODED, None), "certified in part", (layers(COHERENT, I4), EYE + 1, None), "not certified"),
    ("certified noise", (layers(I4, I4), EYE, None), "certified", (layers(I4, I4), EYE - 0.5 * EYE.roll(1, 1), None),
     "not certified"),
    ("distance from the sparse model", (layers(I4, I4), EYE, None), "holds", (layers(I4, I4), EYE - 0.5 * EYE.roll(1, 1), None),
     "fails"),
    ("condition number of I + S(h)W, 0", (block(0.5 * torch.diag(torch.tensor([1.0, 1, 1, -1])), 1), 0.1 * X4, None),
     "at its bound", (block(0.1 * random(4, 4), 1), 0.1 * X4, None), "within its bound"),
    ("measured gain", (layers(orthogonal(4)), X4, None), "at its bound", (layers(random(6, 4), random(3, 6)), X4, None),
     "within its bound"),
    ("neighbours of one class by code", (layers(100 * I4[[0] * 5], random(2, 5)), X4 * torch.tensor([1.0, 9, 9, 9]), SIDE),
     "within its bound", (layers(100 * I4[[1] * 5], random(2, 5)), X4 * torch.tensor([9.0, 1, 1, 1]), SIDE), "beyond its bound"),
    ("average degree of the regions on a plane", (Maximum(False).double().eval(), CORNERS, None), "within its bound",
     (Maximum(True).double().eval(), CORNERS, None), "beyond its bound"),
    ("risk, 0", (MIXING, RISKS, MIXED), "within its bound", (block(-torch.eye(3)), -RISKS, MIXED), "beyond its bound"),
    ("rank margin of Assumption 4",
     (resnests.random_resnest(3, 2, [4, 4], 9, torch.Generator().manual_seed(0)).eval(), random(24, 3), random(24, 2)), "holds",
     (resnests.random_resnest(3, 2, [4, 4], 5, torch.Generator().manual_seed(0)).eval(), random(24, 3), random(24, 2)), "fails"),
    ("coherence, 0", (layers(random(8, 6), random(2, 8)), random(9, 6), None), "within its null",
     (layers(torch.eye(6).double(), random(2, 6)), random(9, 6), None), "beyond its null"),
    ("deep frame potential F", (layers(random(6, 6), random(2, 6)), random(9, 6), None), "within its null",
     (layers(orthogonal(6), random(2, 6)), random(9, 6), None), "beyond its null"),
    ("Lipschitz product", (layers(*USUAL), random(9, 6), None), "within its null",
     (layers(torch.outer(random(6), random(6, seed=1)), random(2, 6)), random(9, 6), None), "beyond its null"),
]



@pytest.mark.parametrize(("name", "one", "word", "other", "flipped"), FLIPS, ids=[f"{row[0]}: {row[4]}" for row in FLIPS])
def test_a_verdict_flips_with_the_network(name, one, word, other, flipped):
    nulls = 12 if "null" in word else 0
    first, second = (report(*given, nulls=nulls)[name] for given in (one, other))
    assert (first.verdict, second.verdict) == (word, flipped), (first, second)


def test_every_number_equals_its_module_s_function_in_a_test():
    """Each number of each lens is compared by name, with ``value``, in the tests of numbers."""
    text = (pathlib.Path(__file__).parent / "test_numbers.py").read_text()
    names = {value.name for room in ROOMS for value in vars(importlib.import_module(f"deepatoms.reports.lenses.{room}")).values()
             if isinstance(value, Entry)}
    assert len(names) >= 20
    assert [name for name in sorted(names) if f'found["{name}' not in text and f'found[f"{name}' not in text] == []
