"""How the claims of the chapter on ML-CSC are measured."""

from deepatoms.runs import prefetch
from deepatoms.studies.ml_csc.checks import context, definitions, samples, sequel, theorem, trained

__all__ = ["context", "definitions", "sequel", "theorem", "trained"]

prefetch.plan("ml-csc", *((samples.pool, name, False) for name in samples.POOL),
           (context.noiseless,), (context.pursued,), (context.stable,),
              *((sequel.gain, number) for number in range(sequel.NETWORKS)))
