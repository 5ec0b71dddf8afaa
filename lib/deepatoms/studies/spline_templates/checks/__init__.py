"""Checks of the chapter "a network is a set of templates": spline theory, Sections 2 to 5."""

from deepatoms.runs import prefetch
from deepatoms.studies.spline_templates.checks import approximation, convexity, maps, operators, smoothing, templates

__all__ = ["approximation", "convexity", "maps", "operators", "smoothing", "templates"]

prefetch.plan("spline-templates", (templates.trained_nets, False, True), (templates.trained_nets, True, True),
           (templates.trained_nets, True, False),
           (templates.optimum, "plain", False), (templates.optimum, "squared", False), (templates.white,))
