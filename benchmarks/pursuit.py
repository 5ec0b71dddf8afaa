"""Basis pursuit beside scikit-learn (one dense layer) and sporco (a convolutional one); prints a table.

sporco is wanted here only: ``pip install -e .[benchmarks]``. Without it the table shows our side alone. With ``--record``
the table goes to the recorded results that the chapter shows.
"""

import sys

from deepatoms.runs import results
from deepatoms.studies.ml_csc import speed

planned = results.experiments()["pursuit-speed"]
if "--record" in sys.argv:
    records = results.run(planned.name, planned.configurations, planned.function)
else:
    records = [{"configuration": each, "result": planned.function(each, "cpu")} for each in planned.configurations]
print("\n".join(speed.lines(records)))
