"""What the chapter on ResNEsts draws says what it shows, and the small experiments behind it are what they claim."""

import numpy as np
import pytest

from deepatoms.studies.resnests import descents, drawing

RECORDS = [{"configuration": {"variant": variant}, "result": {"accuracy": [0.9, 0.92, 0.91 + shift]}}
           for variant, shift in (("standard", 0.01), ("resnest", 0), ("bn-resnest", 0.02), ("a-resnest", 0.03))]


@pytest.mark.parametrize("draw", [
    lambda: drawing.critical_levels(0), lambda: drawing.seen_and_unseen(0), lambda: drawing.four_variants(RECORDS),
    lambda: drawing.gap_frame(14, drawing.FEATURES[1]), lambda: drawing.escape_frame(2, 0.4),
    lambda: drawing.valley_frame(-0.7, 1.0)])
def test_every_figure_is_described_and_names_the_training_risk(draw):
    figure = draw()
    assert figure.description and "training risk" in figure.caption.lower()


def test_the_plane_has_one_minimum_and_a_valley_to_infinity():
    plane = descents.plane()
    best = plane.minimum()
    np.testing.assert_allclose(plane.slope(*best), 0, atol=1e-12)
    assert best[0] > 0 and plane.risk(*best) < plane.valley() < plane.moments[2, 2]
    ends = plane.descents([(-0.9, -3.0), (0.3, 1.5)], steps=5000)[-1]
    assert ends[1, 0] < -4 and ends[0, 0] < 0 and plane.risk(*ends[:, 0]) > plane.valley()
    assert plane.risk(*ends[:, 1]) == pytest.approx(plane.risk(*best), abs=1e-3)


def test_the_plane_is_the_coupled_problem_of_one_row_and_one_output():
    plane, step = descents.plane(), 1e-6
    b, w = 0.7, -0.4
    measured = [(plane.risk(b + step, w) - plane.risk(b - step, w)) / (2 * step),
                (plane.risk(b, w + step) - plane.risk(b, w - step)) / (2 * step)]
    np.testing.assert_allclose(plane.slope(b, w), measured, rtol=1e-6)


def test_a_predictable_block_closes_the_gap_earlier():
    rng = np.random.default_rng(0)
    assert descents.diabetes_gap(rng, 14)[0] > 1e-4
    assert abs(descents.diabetes_gap(rng, 14, predictable=True)[0]) < 1e-12
