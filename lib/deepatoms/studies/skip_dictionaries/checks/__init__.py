"""How the claims of the chapter on skip dictionaries are measured, one module a part of the note."""

from deepatoms.runs import prefetch
from deepatoms.studies.skip_dictionaries import comparison
from deepatoms.studies.skip_dictionaries.checks import coding, identity, layers, propagation, ranks, trained

__all__ = ["coding", "identity", "layers", "propagation", "ranks", "trained"]

prefetch.plan("skip-dictionaries", *((comparison.trained, kind) for kind in comparison.NAMES),
           *((comparison.log_losses, *start) for start in comparison.DEEP))
