"""Checks of the chapter on partitions and orthogonal templates: spline theory, Sections 6 and 7."""

from deepatoms.experiments import ahead
from deepatoms.experiments.checks.spline_partitions import codes, neighbours, orthogonality, regions, trained

__all__ = ["codes", "neighbours", "orthogonality", "regions", "trained"]

ahead.plan("spline-partitions", (trained.digits_nets,), (trained.orthogonal_net,))
