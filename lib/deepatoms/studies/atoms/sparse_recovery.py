"""Sparse codes in practice: dictionaries learned from photographs, and how often a signal gives back its atoms."""

import functools
import math

import numpy as np
from sklearn.decomposition import MiniBatchDictionaryLearning
from sklearn.linear_model import Lasso, orthogonal_mp_gram

from deepatoms import data
from deepatoms.theory import arguments, dictionaries

PATCH = 8


def photograph_patches(split="train", seed=0):
    """Return grey patches of 8 x 8 pixels of scikit-learn's photographs, each less its mean; shape (64, patches)."""
    grey = data.load("photographs", split=split, seed=seed).images.mean(1).numpy().astype(float)
    count, side = grey.shape[0], grey.shape[1] // PATCH
    cut = grey.reshape(count, side, PATCH, side, PATCH).transpose(0, 1, 3, 2, 4).reshape(-1, PATCH**2)
    return (cut - cut.mean(1, keepdims=True)).T


@functools.lru_cache(maxsize=4)
def learned_dictionary(atoms=128, seed=0):
    """Return a dictionary learned from photograph patches by scikit-learn's mini-batch dictionary learning.

    Returns:
        Matrix of shape (64, atoms), float64, unit atoms.
    """
    patches = photograph_patches("train", seed)[:, ::2]  # every second one: neighbours look alike
    patches = patches / patches.std()
    learner = MiniBatchDictionaryLearning(arguments.integer("atoms", atoms, 2), alpha=2.0, max_iter=3, batch_size=64,
                                          fit_algorithm="cd", transform_max_iter=10_000, random_state=seed)
    return dictionaries.normalize(learner.fit(patches.T).components_.T)


def greedy_supports(D, signals, sparsity):
    """Return the atoms that orthogonal matching pursuit chooses for each signal, as a mask of shape (atoms, signals)."""
    codes = orthogonal_mp_gram(D.T @ D, D.T @ signals, n_nonzero_coefs=sparsity)
    return codes.reshape(D.shape[1], -1) != 0


def draw_codes(draw, atoms, sparsity, count):
    """Draw codes with random supports and signs and magnitudes uniform in [1, 2]; shape (atoms, count)."""
    ranks = draw.random((atoms, count)).argsort(0)
    return np.where(ranks < sparsity, draw.uniform(1, 2, (atoms, count)) * draw.choice([-1.0, 1.0], (atoms, count)), 0.0)


def greedy_recovery(D, sparsity, draw, trials=100):
    """Return the share of random codes whose support orthogonal matching pursuit finds exactly."""
    codes = draw_codes(draw, D.shape[1], arguments.integer("sparsity", sparsity), trials)
    return float((greedy_supports(D, D @ codes, sparsity) == (codes != 0)).all(0).mean())


def certified_sparsity(mu):
    """Return the largest number of atoms that coherence certifies: the last integer below the uniqueness threshold.

    >>> certified_sparsity(0.25)
    2
    """
    return math.ceil(dictionaries.uniqueness_threshold(mu)) - 1


def practical_sparsity(D, draw):
    """Return the largest number of atoms (by bisection, up to d / 2 or 32) at which greedy pursuit finds 95 % of supports."""
    found, missed = 0, min(32, D.shape[0] // 2) + 1
    while missed - found > 1:
        middle = (found + missed) // 2
        if greedy_recovery(D, middle, draw) >= 0.95:
            found = middle
        else:
            missed = middle
    return found


def with_close_pair(D, cosine):
    """Return a dictionary with its second atom moved so near to the first that their cosine is the given one."""
    across = D[:, 1] - (D[:, 0] @ D[:, 1]) * D[:, 0]
    moved = cosine * D[:, 0] + np.sqrt(1 - cosine**2) * across / np.linalg.norm(across)
    return np.hstack([D[:, :1], moved[:, None], D[:, 2:]])


def support_stability(D, signals, sparsity, noise, draw):
    """Return the share of a signal's atoms that greedy pursuit chooses again after noise of that relative norm."""
    disturbance = draw.normal(size=signals.shape)
    disturbance *= noise * np.linalg.norm(signals, axis=0) / np.linalg.norm(disturbance, axis=0)
    before, after = (greedy_supports(D, each, sparsity) for each in (signals, signals + disturbance))
    return float((before & after).sum() / before.sum())


def lasso_codes(D, signals, noise):
    r"""Return LASSO codes with :math:`\lambda = 2\epsilon\sqrt{2 \ln k / d}`, what noise of norm epsilon adds to a correlation.

    As printed, without the factor 1/2, and at least 0.02.
    """
    penalty = max(0.02, 2 * noise * np.sqrt(2 * np.log(D.shape[1]) / D.shape[0]))
    solver = Lasso(penalty / (2 * D.shape[0]), fit_intercept=False, precompute=True, tol=1e-4, max_iter=20_000)
    return solver.fit(D, signals).coef_.reshape(-1, D.shape[1]).T


def largest_are_true(codes, estimates):
    """Tell for each estimate whether its largest entries, as many as the true code has, are on the true atoms."""
    found = [set(np.argsort(-np.abs(estimate), kind="stable")[:np.count_nonzero(code)]) == set(np.flatnonzero(code))
             for code, estimate in zip(codes.T, estimates.T, strict=True)]
    return np.array(found)
