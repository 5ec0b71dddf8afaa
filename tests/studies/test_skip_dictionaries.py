"""K-SVD, the smallest counterexamples, and the comparison's operators."""

import numpy as np
import pytest
import torch

from deepatoms.learning.networks.sparse import SkipNetwork
from deepatoms.studies.skip_dictionaries import comparison, counterexamples, ksvd
from deepatoms.theory import dictionaries, pursuit


def test_ksvd_recovers_the_dictionary_of_sparse_codes():
    draw = np.random.default_rng(0)
    D = dictionaries.normalize(draw.normal(size=(16, 20)))
    codes = draw.normal(size=(600, 20)) * (draw.random((600, 20)).argsort(1) < 2)
    learned = ksvd.learn(codes @ D.T, 20, 2, 15)
    assert np.allclose(np.linalg.norm(learned, axis=0), 1)
    assert np.mean(abs(learned.T @ D).max(0) > 0.99) > 0.7


def test_ksvd_lowers_the_error_and_repeats_itself():
    X = np.random.default_rng(1).normal(size=(200, 8))
    errors = [((X - pursuit.matching_pursuit(D, X, 2) @ D.T) ** 2).sum()
              for D in (ksvd.learn(X, 12, 2, iterations) for iterations in (1, 10))]
    assert errors[1] < errors[0]
    assert (ksvd.learn(X, 12, 2, 2) == ksvd.learn(X, 12, 2, 2)).all()  # promised: the same steps twice on one machine


def test_ksvd_refuses_more_atoms_than_signals():
    with pytest.raises(ValueError, match="atoms = 4 exceeds the 3 signals that are not zero"):
        ksvd.learn(np.vstack([np.eye(3), np.zeros((5, 3))]), 4, 1, 1)


@pytest.mark.parametrize("statement", counterexamples.STATEMENTS)
def test_every_statement_has_a_counterexample_of_integers(statement):
    measure, breaks = counterexamples.STATEMENTS[statement]
    D, pair = counterexamples.smallest(measure, breaks)
    assert len(D) <= 2 and breaks(len(D), pair) and pair == measure(D)
    assert statement in counterexamples.text()


@pytest.mark.parametrize("kind", comparison.NAMES)
def test_a_layers_operator_is_exact_where_the_branch_is_linear(kind):
    net = SkipNetwork(kind, 1, 0.5, width=16, seed=1).eval()
    h = comparison.layer_features(net, torch.rand(300, 16))
    operator, = comparison.layer_operators(kind, net, h)
    error = np.linalg.norm(h[0] @ operator.T - h[1]) / np.linalg.norm(h[1])
    assert error < {"linear": 1e-6, "resnet": 0.2, "resnet_bn": 0.3, "plain": 0.8, "sparse": 0.5}[kind]


def test_paired_intervals():
    mean, (low, high) = comparison.interval([1.0, 2.0, 3.0])
    assert mean == 2 and low == pytest.approx(2 - 2.484, abs=1e-3) and high == pytest.approx(2 + 2.484, abs=1e-3)
