"""The choices that the records of ``darts`` leave open, on every twelfth network: magnitudes let free, and more channels."""

from deepatoms.runs import results
from deepatoms.studies.deep_frame_potential import darts

NAME = "frame-potential-nas301-conventions"
CLAIMS = ("dfp.nas301_conventions",)
# Free magnitudes are minimised as on NAS-Bench-201.
CHANGES: dict[str, dict] = {"free magnitudes": {"magnitudes": "free", "iterations": 150, "rate": 0.03},
                            "8 channels": {"channels": 8}}
OTHERS = {name: {**darts.LEAD, "every": darts.EVERY, **change} for name, change in CHANGES.items()}

measured = results.experiment(NAME, list(OTHERS.values()), minutes=15, claims=CLAIMS,
                              title="The same with free magnitudes and with eight channels, every twelfth network")(darts.measure)
