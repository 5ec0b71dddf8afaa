"""Penalties on the last layer's rows."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepatoms.theory import orthogonality


def drawn(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_eq13_counts_ordered_pairs_one_by_one(seed):
    W = drawn(seed, 5, 7)
    pairs = sum(float(W[i] @ W[j]) ** 2 for i in range(5) for j in range(5) if i != j)
    assert float(orthogonality.penalty(W)) == pytest.approx(pairs)
    assert float(orthogonality.mean_penalty(W)) == pytest.approx(pairs / 25)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_the_authors_penalty_is_eq13_over_c2_plus_norms(seed):
    """On the diagonal a row's sum of squares is lowered by their mean: what stays are fourth powers of norms."""
    W = drawn(seed, 4, 9)
    parts = orthogonality.mean_penalty(W) + orthogonality.norm_penalty(W)
    assert float(orthogonality.authors_penalty(W)) == pytest.approx(float(parts))


def test_orthogonal_rows_of_any_length_cost_nothing_under_eq13_only():
    W = orthogonality.orthonormal_rows(drawn(0, 3, 8)) * torch.tensor([[0.5], [1.0], [20.0]])
    assert float(orthogonality.penalty(W)) < 1e-20 < 1 < float(orthogonality.authors_penalty(W))
    assert float(orthogonality.cosines(W).max()) < 1e-14


def test_leading_axes_are_networks_of_an_ensemble():
    W = drawn(1, 6, 4, 9)
    for penalty in orthogonality.PENALTIES.values():
        assert torch.allclose(penalty(W), torch.stack([penalty(each) for each in W]))


@pytest.mark.parametrize("bad", [torch.zeros(3), torch.full((2, 2), float("nan")), "W"])
def test_what_is_no_matrix_is_refused(bad):
    with pytest.raises((ValueError, TypeError), match="W ="):
        orthogonality.penalty(bad)


def test_cosines_know_no_lengths_and_the_polar_factor_is_the_nearest_of_orthonormal_rows():
    W, lengths = drawn(2, 4, 6), torch.tensor([[0.1], [2.0], [-30.0], [1.0]], dtype=torch.float64)
    wanted = [abs(float(W[i] @ W[j] / (W[i].norm() * W[j].norm()))) for i in range(4) for j in range(i + 1, 4)]
    assert orthogonality.cosines(lengths * W).tolist() == pytest.approx(wanted)
    nearest = orthogonality.orthonormal_rows(W)
    assert torch.allclose(nearest @ nearest.T, torch.eye(4, dtype=W.dtype))
    for seed in range(20):
        other = torch.linalg.qr(nearest.T + 0.1 * drawn(seed, 6, 4))[0].T
        assert min(float((sign * other - W).norm()) for sign in (1, -1)) >= float((nearest - W).norm())
    for function in (*orthogonality.PENALTIES.values(), orthogonality.cosines, orthogonality.orthonormal_rows):
        for bad, said in ((torch.ones(3), "is not a matrix"), (W.numpy(), "is not a matrix"),
                          (torch.full((2, 2), torch.inf), "infinite"),
                          (torch.ones(2, 2, dtype=torch.int64), "floating")):
            with pytest.raises((ValueError, TypeError), match=f"W = .*{said}"):
                function(bad)
