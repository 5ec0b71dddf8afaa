"""How the claims of the chapter on skip dictionaries are measured, one module a part of the note."""

from deepatoms.experiments import ahead, skip_comparison
from deepatoms.experiments.checks.skip_dictionaries import coding, identity, layers, propagation, ranks, trained

__all__ = ["coding", "identity", "layers", "propagation", "ranks", "trained"]

ahead.plan("skip-dictionaries", *((skip_comparison.trained, kind) for kind in skip_comparison.NAMES),
           *((skip_comparison.log_losses, kind) for kind in ("resnet", "plain", "orthogonal")))
