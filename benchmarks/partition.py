"""Neighbours in code, codes of a batch and exact planar partitions beside their peers; prints a table.

With ``--record`` the table goes to the recorded results that the chapter shows.
"""

import sys

from deepatoms.runs import results
from deepatoms.studies.spline_partitions import speed

planned = results.experiments()["partition-speed"]
if "--record" in sys.argv:
    table = results.run(planned.name, planned.configurations, planned.function)[0]["result"]
else:
    table = speed.recorded(planned.configurations[0], "cpu")
print("\n".join(speed.lines(table)))
