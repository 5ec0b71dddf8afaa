"""All templates of a batch of MNIST size (N = 256, C = 10) beside the alternatives; prints a table.

With ``--record`` the table goes to the recorded results that the chapter shows.
"""

import sys

from deepatoms.runs import results
from deepatoms.studies.spline_templates import speed

planned = results.experiments()["template-speed"]
if "--record" in sys.argv:
    table = results.run(planned.name, planned.configurations, planned.function)[0]["result"]
else:
    table = speed.template_speed(planned.configurations[0], "cpu")
slowest = table["vmap(jacrev)"]["seconds"]
print(f"{'':34}{'CPU s':>8}{'forward passes':>16}{'MiB':>7}{'x vmap(jacrev)':>16}")
for name, found in table.items():
    print(f"{name:34}{found['seconds']:8.2f}{found['forward_passes']:16.1f}{found['mebibytes']:7.0f}"
          f"{slowest / found['seconds']:16.1f}")
