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


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor])
def test_an_array_is_refused_for_each_thing_it_is_not_and_told_so(kind):
    said = {"is not an array": [[1.0]], "has rank 1, not 2": kind([1.0]), "is not real floating point": kind([[1]]),
            "is empty": kind(np.zeros((0, 3))), "has 1 entries that are NaN": kind([[1.0, math.nan, 2.0]]),
            "has 2 entries that are NaN": kind([[math.inf, 1.0, -math.inf]])}
    for message, value in said.items():
        with pytest.raises((TypeError, ValueError), match=f"D = .*{message}"):
            arguments.real_array("D", value, rank=2)
    good = kind([[1.0, -1e30]])
    assert arguments.real_array("D", good, 2) is good and arguments.real_array("D", kind([1.0])).ndim == 1


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor])
@pytest.mark.parametrize(("norms", "refused"), [((1.0, 1 + 9e-6), False), ((1 - 9e-6, 1.0), False), ((1.0, 1 + 1.2e-5), True),
                                                ((1 - 1.2e-5, 1.0), True), ((2.0, 1.0), True), ((1.0, 0.5), True)])
def test_atoms_of_one_norm_are_all_looked_at_up_to_single_precision(kind, norms, refused):
    D = kind(np.array([[0.6, -0.8], [-0.8, 0.6]]) * norms)
    assert arguments.dictionary("D", D) is D
    if refused:
        with pytest.raises(ValueError, match=f"differs from 1 by up to {max(abs(norms[0] - 1), abs(norms[1] - 1)):.3g};"):
            arguments.dictionary("D", D, unit=True)
    else:
        assert arguments.dictionary("D", D, unit=True) is D


def test_a_message_shows_what_fits_and_shortens_what_does_not():
    assert arguments.summary("a" * 118) == repr("a" * 118) and len(arguments.summary("a" * 119)) == 120
    assert arguments.summary("a" * 119) == repr("a" * 119)[:117] + "..."


def test_numbers_are_held_to_their_ends_both_included():
    assert [arguments.number("x", value, 0, 1) for value in (0, 1, 0.5)] == [0.0, 1.0, 0.5]
    assert [arguments.integer("n", value, 2) for value in (2, np.int64(3))] == [2, 3]
    for value, error in ((-1e-9, ValueError), (1 + 1e-9, ValueError), (math.inf, ValueError), (math.nan, ValueError),
                         (True, TypeError), ("0", TypeError)):
        with pytest.raises(error, match="x = "):
            arguments.number("x", value, 0, 1)
    for value, error in ((1, ValueError), (0, ValueError), (True, TypeError), (2.0, TypeError)):
        with pytest.raises(error, match="n = "):
            arguments.integer("n", value, 2)
    with pytest.raises(ValueError, match="x = inf is not finite"):
        arguments.number("x", math.inf)
