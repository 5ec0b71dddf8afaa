"""The chapter's experiments: neighbours, penalties, breaks, and the ladder from certificate to break."""

import numpy as np
import torch
from torch import nn

from deepatoms.learning import training
from deepatoms.studies.spline_partitions import certificate, moons, neighbourhoods, penalties


class LabelsAsCodes(nn.Module):
    """Its code is the class that the image carries in its first pixel."""

    def forward(self, x):
        """Return one unit for each class, on for the image's own."""
        return torch.relu(0.5 - (x.flatten(1)[:, :1] - torch.arange(3.0)).abs())


def test_labels_as_codes_have_neighbours_of_their_own_class_only():
    """The control of the claims of Fig. 4 that has to pass."""
    labels = torch.arange(60) % 3
    images = torch.randn(60, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    images[:, 0, 0, 0] = labels.float()
    found = neighbourhoods.profile(LabelsAsCodes().eval(), images[:20], labels[:20], images[20:], labels[20:], k=10)
    assert found["same_class"][-1] > 1 - 1e-12 and found["permuted"][-1] < 0.6
    both = neighbourhoods.baselines(images[:20], labels[:20], images[20:], labels[20:], k=10)
    assert both["pixels"]["euclidean"] < both["random"]["euclidean"]


def test_the_order_of_the_ladder_holds_inside_the_hypotheses():
    found = certificate.ladders(4, 0, directions=2)
    assert found["support"].all()
    for shorter, longer in (("certified", "local"), ("local", "radius"), ("radius", "random")):
        assert (found[shorter] <= found[longer] * (1 + 1e-7)).all()
    assert np.allclose(found["adversarial"], found["radius"], rtol=1e-6)


def test_signed_codes_break_it():
    assert not certificate.ladders(2, 0, nonnegative=False, directions=1)["support"].any()


def test_adversarial_steps_change_the_class_and_no_shorter_one_along_them_does():
    model = moons.snapshots(0, (0, 60))[1]
    points = moons.moons(0)[0][:20]
    step = moons.adversarial_steps(model, points)
    with torch.no_grad():
        classes = [model(points + length * step).argmax(1) for length in (0.0, 0.9999, 1.0001)]
    assert (classes[0] == classes[1]).all() and (classes[0] != classes[2]).all()


def test_a_penalty_reaches_every_member_of_an_ensemble_by_itself():
    models = [nn.Linear(4, 3) for _ in range(2)]
    inputs, labels = torch.randn(2, 30, 4), torch.randint(3, (2, 30))
    strengths = torch.tensor([0.0, 1.0])
    together = training.train(models, inputs, labels, training.Recipe(2, batch_size=10), penalty=lambda weights: (
        strengths * weights["weight"].square().sum((1, 2))).sum())
    plain = training.train(models, inputs, labels, training.Recipe(2, batch_size=10))
    assert torch.allclose(together[0].weight, plain[0].weight, atol=1e-6)
    assert not torch.allclose(together[1].weight, plain[1].weight, atol=1e-4)


def test_differences_are_paired_by_seed():
    nets = [{"configuration": {"penalty": name, "lambda": strength}, "result": [{"test": value} for value in values]}
            for name, strength, values in (("none", 0.0, [0.5, 0.9]), ("Eq. 13", 0.1, [0.51, 0.88]))]
    (name, strength, differences), = penalties.paired(nets, lambda net: net["test"])
    assert (name, strength) == ("Eq. 13", 0.1) and np.allclose(differences, [1.0, -2.0])
