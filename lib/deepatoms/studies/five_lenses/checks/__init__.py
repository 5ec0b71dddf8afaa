"""Checks of the chapter on five lenses: two exact links, sixty recorded networks, five conditions."""

from deepatoms.studies.five_lenses.checks import links, recorded

__all__ = ["links", "recorded"]
