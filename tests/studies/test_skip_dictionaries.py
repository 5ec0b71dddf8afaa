"""K-SVD, the smallest counterexamples, and the comparison's operators."""

import numpy as np
import pytest
import torch

from deepatoms.claims.checking import Setting
from deepatoms.claims.intervals import mean_and_interval
from deepatoms.learning.networks.sparse import SkipNetwork
from deepatoms.studies.skip_dictionaries import comparison, counterexamples, drawing, ksvd, representation
from deepatoms.theory import dictionaries, pursuit
from deepatoms.theory import skip_dictionaries as skip


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
    assert statement in [said for said, *_ in counterexamples.listed()]


@pytest.mark.parametrize("kind", comparison.NAMES)
def test_a_layers_operator_is_exact_where_the_branch_is_linear(kind):
    net = SkipNetwork(kind, 1, 0.5, width=16, seed=1).eval()
    h = comparison.layer_features(net, torch.rand(300, 16))
    operator, = comparison.layer_operators(kind, net, h)
    error = np.linalg.norm(h[0] @ operator.T - h[1]) / np.linalg.norm(h[1])
    assert error < {"linear": 1e-6, "resnet": 0.2, "resnet_bn": 0.3, "plain": 0.8, "sparse": 0.5}[kind]


def test_paired_intervals():
    mean, (low, high) = mean_and_interval([1.0, 2.0, 3.0])
    assert mean == 2 and low == pytest.approx(2 - 2.484, abs=1e-3) and high == pytest.approx(2 + 2.484, abs=1e-3)


@pytest.mark.parametrize("scale", [0.5, comparison.HE])
def test_orthogonal_starts_have_condition_number_1_and_their_scale(scale):
    layers = comparison.layer_weights(comparison.deep(Setting(), "plain", "orthogonal", scale)[0])
    assert len(layers) == 32
    assert all(np.allclose(skip.singular_values(W), scale, atol=1e-5) for W in layers)
    gaussian = comparison.start_conditions(Setting(), "plain", "Gaussian", scale)
    assert np.median(gaussian) > 100


def test_the_jacobian_of_linear_orthogonal_nets_keeps_all_lengths_and_that_of_plain_ones_does_not():
    linear, plain = (comparison.start_spectra(Setting(), kind, "orthogonal", scale)
                     for kind, scale in (("linear", 1.0), ("plain", comparison.HE)))
    assert np.allclose(linear, 1, atol=1e-4)
    assert plain.shape == linear.shape == (30, 64) and plain[:, -1].max() < 1e-6


@pytest.mark.parametrize("kind", drawing.KINDS)
def test_the_explorers_two_numbers_run_against_each_other_up_to_scale_1(kind):
    raised = [skip.residual_dictionary(drawing.matrix(kind, scale)) for scale in drawing.SCALES]
    kappa, k90 = ([float(measure(D)) for D in raised] for measure in (skip.condition_number, skip.energy_dimensions))
    upto = drawing.SCALES.index(1.0) + 1
    assert kappa[:upto] == sorted(kappa[:upto]) and k90[:upto] == sorted(k90[:upto], reverse=True)
    if kind == "ReLU-masked":
        at2, at4 = drawing.SCALES.index(2.0), drawing.SCALES.index(4.0)
        assert kappa[at4] < kappa[at2] and k90[at4] < k90[at2]


def test_differences_on_photographs_are_paired():
    kinds = [{"configuration": {"kind": kind}, "result": {"accuracy": [0.5 + shift, 0.7 + shift],
                                                         "properties": [{"mu": 0.1 + shift}, {"mu": 0.4 + shift}]}}
             for kind, shift in zip(comparison.NAMES, (0.0, 0.1, 0.2, 0.3, 0.4), strict=True)]
    told = [cell for row in representation.photographs_differences(kinds) for cell in row]
    assert "+20.0 [+20.0, +20.0]" in told and "+0.100 [+0.100, +0.100]" in told


def test_a_record_of_another_recipe_is_refused():
    record = {"result": {"recipe": {**representation.RECIPE, "epochs": 1}}}
    with pytest.raises(ValueError, match="is not that of the program"):
        comparison.made_with(record, representation.RECIPE, representation.UNSTATED)
    with pytest.raises(ValueError, match="is not that of the program"):
        comparison.made_with({"result": {}}, {**representation.RECIPE, "epochs": 41}, representation.UNSTATED)
    assert comparison.made_with({"result": {}}, representation.RECIPE, representation.UNSTATED) == {"result": {}}
