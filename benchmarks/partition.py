"""Neighbours in code, codes of a batch and exact planar partitions beside their peers; prints a table.

With ``--record`` the table goes to the recorded results that the chapter shows.
"""

import sys

from deepatoms.experiments import partition_speed, results

planned = results.experiments()["partition-speed"]
if "--record" in sys.argv:
    table = results.run(planned.name, planned.configurations, planned.function)[0]["result"]
else:
    table = partition_speed.recorded(planned.configurations[0], "cpu")
print("\n".join(partition_speed.lines(table)))
