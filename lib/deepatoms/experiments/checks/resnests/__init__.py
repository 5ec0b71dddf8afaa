"""How the claims of the ResNEst paper are measured."""

from deepatoms.experiments.checks.resnests import augmented, identities, landscape, trained

__all__ = ["augmented", "identities", "landscape", "trained"]
