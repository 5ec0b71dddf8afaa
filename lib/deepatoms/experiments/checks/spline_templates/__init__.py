"""Checks of the chapter "a network is a set of templates": spline theory, Sections 2 to 5."""

from deepatoms.experiments import ahead
from deepatoms.experiments.checks.spline_templates import approximation, convexity, maps, operators, templates

__all__ = ["approximation", "convexity", "maps", "operators", "templates"]

ahead.plan("spline-templates", *((templates.trained_nets, batch_norm) for batch_norm in (False, True)),
           (templates.optimum, "plain", False), (templates.optimum, "squared", False), (templates.white,))
