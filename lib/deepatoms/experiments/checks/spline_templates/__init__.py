"""Checks of the chapter "a network is a set of templates": spline theory, Sections 2 to 5."""

from deepatoms.experiments.checks.spline_templates import approximation, convexity, maps, operators, templates

__all__ = ["approximation", "convexity", "maps", "operators", "templates"]
