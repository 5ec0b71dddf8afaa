"""Checks of the chapter on partitions and orthogonal templates: spline theory, Sections 6 and 7."""

from deepatoms.runs import prefetch
from deepatoms.studies.spline_partitions.checks import (
    certificates,
    codes,
    neighbours,
    orthogonality,
    penalised,
    regions,
    trained,
)

__all__ = ["certificates", "codes", "neighbours", "orthogonality", "penalised", "regions", "trained"]

prefetch.plan("spline-partitions", (trained.digits_nets,), (trained.orthogonal_net,))
