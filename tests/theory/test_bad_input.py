"""Two hundred generated bad calls: each is refused, and the message holds the argument's name and its value."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepatoms.theory import arguments, dictionaries, multilayer, pursuit, recovery

good_matrix = np.array([[1.0, 0.0, 0.6], [0.0, 1.0, 0.8]])
bad_matrices = st.one_of(
    st.sampled_from([np.ones(3), np.ones((2, 2, 2)), np.array(1.0)]),                        # wrong rank
    st.integers(2, 5).map(lambda n: np.ones((n, n), dtype=int)),                            # integer
    st.integers(2, 5).map(lambda n: np.ones((n, n)) * 1j),                                  # complex
    st.tuples(st.integers(0, 2), st.sampled_from([math.nan, math.inf, -math.inf])).map(
        lambda where: np.where(np.arange(3) == where[0], where[1], good_matrix)),           # not finite
    st.integers(0, 2).map(lambda column: good_matrix * (np.arange(3) != column)),           # a zero atom
    st.just(np.ones((0, 3))), st.just([[1.0, 2.0]]), st.just(None), st.just("D"),
)
bad_matrices = st.one_of(bad_matrices, bad_matrices.filter(lambda value: isinstance(value, np.ndarray)).map(torch.tensor))
bad_integers = st.one_of(st.integers(-9, 0), st.floats(), st.booleans(), st.just("2"), st.none())
bad_coherences = st.one_of(st.floats(min_value=1.0001, allow_infinity=True), st.floats(max_value=-1e-9),
                           st.just(math.nan), st.just("0.5"), st.none(), st.booleans())

CALLS = [
    *((getattr(dictionaries, name), "D", bad_matrices, ()) for name in
      ("normalize", "gram", "mutual_coherence", "one_sided_coherence", "frame_energy", "frame_potential")),
    (recovery.representations, "D", bad_matrices, (np.ones(2), 1)),
    (recovery.least_l1, "D", bad_matrices, (np.ones(2),)),
    (dictionaries.welch_bound, "dimension", bad_integers, (3,)),
    (dictionaries.simplex_frame, "dimension", bad_integers, ()),
    (dictionaries.planar_frame, "atoms", bad_integers, ()),
    (dictionaries.uniqueness_threshold, "mu", bad_coherences, ()),
    (dictionaries.two_orthobases_threshold, "mu", bad_coherences, ()),
    (dictionaries.stability_threshold, "mu", bad_coherences, ()),
]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(CALLS).flatmap(lambda call: st.tuples(st.just(call), call[2])))
def test_a_bad_call_is_refused_by_name_and_value(drawn):
    (function, argument, _, others), value = drawn
    with pytest.raises((ValueError, TypeError)) as refusal:
        function(value, *others)
    assert f"{argument} = {arguments.summary(value)} " in str(refusal.value)
    assert ";" in str(refusal.value)


def test_unit_atoms_are_asked_for_with_the_remedy():
    with pytest.raises(ValueError, match="normalize"):
        arguments.dictionary("D", 2 * good_matrix, unit=True)


def test_one_of_lists_the_choices():
    with pytest.raises(ValueError, match=r"kind = 'soff' is unknown; choose one of 'soft', 'hard'"):
        arguments.one_of("kind", "soff", ["soft", "hard"])


@pytest.mark.parametrize("tolerance", [-1.0, math.nan, math.inf])
def test_tolerances_that_no_gap_or_every_gap_meets_are_refused(tolerance):
    x = np.ones(2)
    for call in (lambda: pursuit.basis_pursuit(x, good_matrix, 0.1, tolerance=tolerance),
                 lambda: pursuit.splitting_basis_pursuit(x, good_matrix, 0.1, tolerance=tolerance),
                 lambda: pursuit.multilayer_ista(x, [good_matrix], [0.1], tolerance=tolerance),
                 lambda: recovery.representations(good_matrix, x, 1, tolerance=tolerance)):
        with pytest.raises(ValueError, match="tolerance = "):
            call()


@pytest.mark.parametrize("noise", [-1.0, math.nan, [0.1, -0.1]])
def test_noise_that_is_no_norm_is_refused(noise):
    signals = multilayer.draw("K2-compact", 2, np.random.default_rng(0))
    for call in (multilayer.worst_noise, multilayer.misleading_noise,
                 lambda *given: multilayer.gaussian_noise(*given, np.random.default_rng(0))):
        with pytest.raises(ValueError, match="noise = .* is negative or not finite"):
            call(signals, noise)
