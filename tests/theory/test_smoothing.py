"""The smoothed ReLU lies near ReLU, and has no kink."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepatoms.theory.smoothing import smoothed_relu


@settings(max_examples=50, deadline=None)
@given(st.floats(0.5, 0.999), st.floats(-50, 50))
def test_it_is_within_one_minus_beta_of_relu(beta, u):
    u = torch.tensor(u, dtype=torch.float64)
    assert abs(float(smoothed_relu(u, beta) - u.relu())) <= 1 - beta


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.9])
def test_at_zero_its_slope_is_one_half_and_its_value_that_of_the_softplus(beta):
    u = torch.zeros((), dtype=torch.float64, requires_grad=True)
    value = smoothed_relu(u, beta)
    value.backward()
    assert float(u.grad) == pytest.approx(0.5) and float(value.detach()) == pytest.approx((1 - beta) * math.log(2) / 2)


@pytest.mark.parametrize("beta", [-0.1, 1.1])
def test_another_beta_is_refused(beta):
    with pytest.raises(ValueError, match=f"beta = {beta} is not between 0 and 1"):
        smoothed_relu(torch.zeros(1), beta)


def test_values_worked_out_by_hand():
    """sigmoid(1) = 0.7310585786, log(1 + e^2) = 2.1269280110, log(1 + e) = 1.3132616875."""
    u = torch.tensor([1.0], dtype=torch.float64)
    assert float(smoothed_relu(u, 0.5)) == pytest.approx(0.5 * 0.7310585786 + 0.25 * 2.1269280110)
    assert float(smoothed_relu(u, 0.0)) == pytest.approx(0.25 + 1.3132616875 / 2)
    assert smoothed_relu(torch.tensor([-2.0, 0.0, 3.0]), 1.0).tolist() == [0.0, 0.0, 3.0]
    for wrong, said in (((torch.tensor([torch.nan]), 0.5), "u = .*NaN"), ((u, math.nan), "beta = nan"), ((u, 1.0001), "beta = ")):
        with pytest.raises(ValueError, match=said):
            smoothed_relu(*wrong)
