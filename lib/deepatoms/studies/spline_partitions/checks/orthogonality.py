"""Orthogonal templates (Section 6): what orthogonal rows of the last layer do, and what they do not."""

from functools import lru_cache

import torch

from deepatoms.claims.checking import Measurement, check, experiment, instances
from deepatoms.studies.spline_partitions.checks.codes import normal
from deepatoms.studies.spline_partitions.checks.trained import SEEDS, digits_nets, orthogonal_net
from deepatoms.theory import orthogonality, splines


@check("spl.orth_sufficient/counterexample", experiment(1))
def counterexample(setting):
    """Take the two-row example by hand, and the templates of 200 held-out digits under an orthonormal last layer."""
    example = orthogonality.cosines(torch.eye(2, dtype=torch.float64) @ torch.tensor([[1.0, 0], [1, 1]], dtype=torch.float64))
    model, held_out = orthogonal_net(setting)
    A, _ = splines.affine_map(model, held_out.images[:200].double())
    isotropic = 3 * torch.linalg.qr(normal(setting.torch("counterexample"), 96, model[-1].in_features))[0].T
    kept = orthogonality.cosines(model[-1].weight.detach() @ isotropic)
    largest = float(orthogonality.cosines(A).amax(1).mean())
    return Measurement(min(float(example.max()), largest), float(kept.max()), count=1)


@check("spl.orth_sufficient/exact_condition", instances(200, of="maps"))
def exact_condition(setting):
    """Measure both sufficient cases on 200 random maps, and a general map under the same rows as the control."""
    generator = setting.torch("exact_condition")
    measured, control = [], []
    for _ in range(200):
        A, W = normal(generator, 12, 20), orthogonality.orthonormal_rows(normal(generator, 5, 12))
        isotropic = 2 * orthogonality.orthonormal_rows(normal(generator, 12, 20))
        singular = torch.linalg.svd(A).U[:, :5].T
        measured += [orthogonality.cosines(W @ isotropic).max(), orthogonality.cosines(singular @ A).max()]
        control.append(orthogonality.cosines(W @ A).max())
    return Measurement(float(max(measured)), float(min(control)), count=len(control))


@check("spl.eq13/gradient", instances(100, of="matrices"))
def gradient(setting):
    """Differentiate the penalty with autograd and compare with the matrix formula; likewise the authors' penalty."""
    generator = setting.torch("gradient")
    errors = [[_gradient_error(W, penalty) for penalty in (orthogonality.penalty, orthogonality.authors_penalty)]
              for W in (normal(generator, 10, 32) for _ in range(100))]
    measured, control = zip(*errors, strict=True)
    return Measurement(max(measured), min(control), count=len(errors))


def _gradient_error(W, penalty):
    W = W.requires_grad_()
    (found,) = torch.autograd.grad(penalty(W), W)
    G = (W @ W.T).detach()
    formula = 4 * (G - torch.diag(G.diagonal())) @ W.detach()
    return float((found - formula).norm() / formula.norm())


@check("spl.eq13/norm_blind", instances(100, of="matrices"))
def norm_blind(setting):
    """Evaluate both penalties on orthogonal rows of different lengths."""
    generator = setting.torch("norm_blind")
    found = []
    for _ in range(100):
        lengths = 0.1 + 9.9 * torch.rand(10, 1, generator=generator, dtype=torch.float64)
        W = lengths * orthogonality.orthonormal_rows(normal(generator, 10, 32))
        found.append([float(orthogonality.penalty(W)), float(orthogonality.authors_penalty(W))])
    measured, control = zip(*found, strict=True)
    return Measurement(max(measured), min(control), count=len(found))


@lru_cache(maxsize=2)
def cosine_ratios(setting):
    """Return, for rows and for templates, mean absolute cosine with the penalty over that without, seed by seed."""
    nets = digits_nets(setting)
    found = {"rows": [], "templates": []}
    for held_out, plain, penalised in zip(nets.held_out, nets.plain, nets.penalised, strict=True):
        cosines = [_mean_cosines(model, held_out.images[:200]) for model in (plain, penalised)]
        for name in found:
            found[name].append(cosines[1][name] / cosines[0][name])
    return found


def _mean_cosines(model, images):
    A, _ = splines.affine_map(model, images)
    return {"rows": float(orthogonality.cosines(model[-1].weight.detach()).mean()),
            "templates": float(orthogonality.cosines(A).mean())}


@check("spl.orth_created/templates", experiment(SEEDS))
def templates(setting):
    """Compare the templates' mean absolute cosine with and without the penalty, paired, ten seeds."""
    ratios = cosine_ratios(setting)
    return Measurement(*(sum(ratios[name]) / SEEDS for name in ("templates", "rows")), count=len(ratios["rows"]))


@check("spl.orth_created/rows_only", experiment(SEEDS))
def rows_only(setting):
    """Compare the rows' mean absolute cosine with and without the penalty on the same nets."""
    ratios = cosine_ratios(setting)
    return Measurement(*(sum(ratios[name]) / SEEDS for name in ("rows", "templates")), count=len(ratios["rows"]))


@lru_cache(maxsize=2)
def update_cosines(setting):
    """Return absolute cosines between class outputs' gradients: at the last features and at the last convolution's weights."""
    model, held_out = orthogonal_net(setting)
    convolution = [module for module in model.modules() if isinstance(module, torch.nn.Conv2d)][-1]
    features, weights = [], []
    for image in held_out.images[:50].double().split(1):
        last = model[:-1](image)
        scores = model[-1](last)[0]
        rows = [torch.autograd.grad(score, (last, convolution.weight), retain_graph=True) for score in scores]
        features.append(orthogonality.cosines(torch.stack([row[0].flatten() for row in rows])))
        weights.append(orthogonality.cosines(torch.stack([row[1].flatten() for row in rows])))
    return torch.stack(features), torch.stack(weights)


@check("spl.orth_updates/hidden_weights", experiment(1))
def hidden_weights(setting):
    """Take the mean over 50 held-out digits and all pairs of classes, at the last convolution's weights."""
    features, weights = update_cosines(setting)
    return Measurement(float(weights.mean()), float(features.mean()), count=1)


@check("spl.orth_updates/features_only", experiment(1))
def features_only(setting):
    """Take the largest over 50 held-out digits and all pairs of classes, at the last features."""
    features, weights = update_cosines(setting)
    return Measurement(float(features.max()), float(weights.max()), count=1)
