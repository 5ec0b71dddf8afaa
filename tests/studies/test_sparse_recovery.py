"""Sparse codes in practice: what is drawn, found and certified."""

import math

import numpy as np
import pytest

from deepatoms.studies.atoms import checks, sparse_recovery
from deepatoms.theory import dictionaries

DRAW = np.random.default_rng(0)


def test_patches_of_the_two_splits_are_grey_and_have_no_mean():
    train, test = (sparse_recovery.photograph_patches(split) for split in ("train", "test"))
    assert train.shape == (64, 390 * 16) and test.shape == (64, 130 * 16)
    assert np.abs(train.mean(0)).max() < 1e-6


def test_codes_have_the_sparsity_and_magnitudes_asked_for():
    codes = sparse_recovery.draw_codes(DRAW, 20, 3, 50)
    assert ((codes != 0).sum(0) == 3).all()
    assert np.abs(codes[codes != 0]).min() >= 1 and np.abs(codes).max() <= 2


def test_greedy_pursuit_finds_what_coherence_certifies():
    D = dictionaries.identity_hadamard(64)
    certified = sparse_recovery.certified_sparsity(1 / 8)
    assert certified == 4
    assert sparse_recovery.greedy_recovery(D, certified, DRAW) == 1.0
    assert sparse_recovery.greedy_recovery(D, 40, DRAW) < 0.5  # the theorem is not about so many


def test_practice_goes_at_least_as_far_as_the_certificate():
    D = dictionaries.identity_hadamard(16)
    assert sparse_recovery.practical_sparsity(D, DRAW) >= sparse_recovery.certified_sparsity(0.25)


def test_lasso_codes_satisfy_the_optimality_conditions_of_the_printed_objective():
    D, noise = dictionaries.identity_hadamard(16), 0.5
    signal = D @ sparse_recovery.draw_codes(DRAW, 32, 2, 1)
    code = sparse_recovery.lasso_codes(D, signal, noise)
    penalty = 2 * noise * math.sqrt(2 * math.log(32) / 16)
    gradient = 2 * D.T @ (signal - D @ code)
    assert np.abs(gradient).max() <= penalty * (1 + 1e-2)
    assert gradient[code != 0] == pytest.approx(penalty * np.sign(code[code != 0]), rel=1e-2)


def test_without_noise_the_same_atoms_are_chosen_again():
    D = dictionaries.identity_hadamard(16)
    assert sparse_recovery.support_stability(D, DRAW.normal(size=(16, 20)), 3, 0.0, DRAW) == 1.0


def test_bad_sizes_are_refused():
    with pytest.raises(ValueError, match="sparsity = 0 is smaller than 1"):
        sparse_recovery.greedy_recovery(np.eye(3), 0, DRAW)
    with pytest.raises(TypeError, match="atoms = 1.5 is not an integer"):
        sparse_recovery.learned_dictionary(1.5)


def test_dictionaries_that_were_not_optimised_do_not_test_the_welch_bound(monkeypatch):
    monkeypatch.setattr(checks.dictionaries, "minimize_coherence", lambda D, steps: dictionaries.Descended(D, True))
    with pytest.raises(ValueError, match="no better than random ones"):
        checks._near_the_bound([np.random.default_rng(seed).normal(size=(4, 7)) for seed in range(3)])


def test_a_close_pair_changes_one_atom_and_sets_the_coherence():
    D = dictionaries.identity_hadamard(16)
    moved = sparse_recovery.with_close_pair(D, 0.97)
    assert dictionaries.mutual_coherence(moved) == pytest.approx(0.97)
    assert (np.abs(moved - D).max(0) > 0).sum() == 1
