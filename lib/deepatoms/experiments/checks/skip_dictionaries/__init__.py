"""How the claims of the chapter on skip dictionaries are measured, one module a part of the note."""

from deepatoms.experiments.checks.skip_dictionaries import coding, identity, layers, propagation, ranks, trained

__all__ = ["coding", "identity", "layers", "propagation", "ranks", "trained"]
