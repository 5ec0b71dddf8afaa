"""A planar classifier at several moments of its training, and how far an image is from a change of code and of class."""

from functools import lru_cache

import torch
from sklearn.datasets import make_moons

from deepatoms import data
from deepatoms.learning import networks
from deepatoms.learning.training import Recipe, seeded, train_one
from deepatoms.theory import splines

BOX = torch.tensor([[-2.0, -1.8], [3.0, -1.8], [-2.0, 2.3]], dtype=torch.float64)
STEPS = (0, 30, 100, 400)
WIDTHS = (2, 10, 10, 10, 2)


@lru_cache(maxsize=4)
def moons(seed=0, shuffled=False):
    """Return 200 points of two half-moons, float64, and their classes, or these permuted at random."""
    points, labels = map(torch.from_numpy, make_moons(200, noise=0.15, random_state=seed))
    return points, labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))] if shuffled else labels


@lru_cache(maxsize=4)
def snapshots(seed=0, steps=STEPS, shuffled=False):
    """Train on the two half-moons with full-batch Adam and return the network after the given steps.

    Each is trained anew from the one start, along the one path.
    With ``shuffled`` the classes are permuted at random: a control that trains without learning the moons.
    """
    points, labels = moons(seed, shuffled)
    start = seeded(networks.relu_network, seed, widths=WIDTHS)
    return [train_one(start, points, labels, Recipe(step, 0.01, len(points))) for step in steps]


@lru_cache(maxsize=2)
def little_digits_net(seed=0):
    """Train a digits net of few filters, whose planar slices stay small enough to draw; return it in float64."""
    learning = data.load("digits", "train", seed)
    model = seeded(networks.digits_cnn, seed, widths=(3, 4, 8))
    return train_one(model, learning.images, learning.labels, Recipe(15, 0.005, 64), seed).double()


def adversarial_steps(model, x):
    """Return, for each input, a short step that changes its class: towards the nearest wall of its class, map by map.

    Each iteration treats the class scores as the affine map of the present region, as DeepFool does; at the end the step is
    shortened by bisection. It is an upper bound on the smallest such step.

    Args:
        model: A network in evaluation mode.
        x: Inputs, shape (inputs, ...).
    """
    with torch.no_grad():
        start = model(x).argmax(1)
    step = torch.zeros_like(x)
    for _ in range(30):
        A, b = splines.affine_map(model, x + step)
        scores = torch.einsum("ncd,nd->nc", A, (x + step).flatten(1)) + b
        change = _towards_nearest(A, scores, start)
        staying = (scores.argmax(1) == start).reshape(-1, *[1] * (x.ndim - 1))
        step = step + 1.02 * staying * change.reshape(x.shape)  # a little too far, or it would end on the wall
    return class_breaks(model, x, step).reshape(-1, *[1] * (x.ndim - 1)) * step


def _towards_nearest(A, scores, start):
    rows = torch.arange(len(A))
    normals = A - A[rows, start][:, None]
    gaps = scores[rows, start][:, None] - scores
    distances = torch.where(gaps.new_zeros(gaps.shape).scatter(1, start[:, None], 1) > 0, torch.inf,
                            gaps / normals.norm(dim=2).clamp_min(1e-12))
    nearest = distances.argmin(1)
    normal = normals[rows, nearest]
    return (gaps[rows, nearest] / normal.square().sum(1).clamp_min(1e-12))[:, None] * normal


def class_breaks(model, x, direction, farthest=1.0):
    """Return the multiple of each direction at which the class is no longer that of x (``farthest`` if it still is there)."""
    shape = (-1, *[1] * (x.ndim - 1))
    with torch.no_grad():
        start = model(x).argmax(1)
        near, far = torch.zeros(len(x), dtype=x.dtype), torch.full((len(x),), float(farthest), dtype=x.dtype)
        for _ in range(40):
            middle = (near + far) / 2
            same = model(x + middle.reshape(shape) * direction).argmax(1) == start
            near, far = torch.where(same, middle, near), torch.where(same, far, middle)
    return far
