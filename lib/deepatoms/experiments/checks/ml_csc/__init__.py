"""How the claims of the chapter on ML-CSC are measured."""

from deepatoms.experiments import ahead
from deepatoms.experiments.checks.ml_csc import context, definitions, drawn, theorem, trained

__all__ = ["context", "definitions", "theorem", "trained"]

ahead.plan("ml-csc", *((drawn.pool, name, False) for name in drawn.POOL),
           (context.noiseless,), (context.pursued,), (context.stable,))
