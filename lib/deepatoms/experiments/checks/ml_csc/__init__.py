"""How the claims of the chapter on ML-CSC are measured."""

from deepatoms.experiments.checks.ml_csc import context, definitions, theorem, trained

__all__ = ["context", "definitions", "theorem", "trained"]
