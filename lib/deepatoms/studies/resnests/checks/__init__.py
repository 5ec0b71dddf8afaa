"""How the claims of the ResNEst paper are measured."""

from deepatoms.runs import prefetch
from deepatoms.studies.resnests import descents, digits
from deepatoms.studies.resnests.checks import (
    augmented,
    cross_entropy,
    identities,
    landscape,
    recorded,
    sequels,
    trained,
)

__all__ = ["augmented", "cross_entropy", "identities", "landscape", "recorded", "sequels", "trained"]

# In the order in which the chapter shows them.
prefetch.plan("resnests", (landscape.full_minima,), (landscape.ends, 16, 100), (landscape.ends, 16, 20),
              (landscape.ends, 8, 20), *((cross_entropy.ends, width) for width in (16, 8, 3)), (landscape.saddles,),
              (landscape.real_saddles,), (landscape.searched,), (landscape.minima,), (landscape.dense_descent_arrives,),
              (augmented.nested_increases, 28, 1000), *((trained.trained_task, name) for name in trained.SETS),
              *((trained.wide_nets, name, steps) for name, steps in trained.STEPS.items()),
              (descents.arrivals,), (digits.probed,),
              (identities.parameter_counts,), (augmented.predictable_changes_nothing,), (augmented.refitted_strictness,),
              (augmented.unique_strictness,), (augmented.every_minimiser,), (identities.dense_gap,),
              (identities.fewer_assumptions,), (identities.dense_no_worse,), (cross_entropy.dense,),
              *((trained.dense_training, name, steps) for name, steps in trained.STEPS.items()), (sequels.functions,))
