"""How the claims of the chapter on the deep frame potential are measured; one module for each part of the paper."""

from deepatoms.experiments import ahead
from deepatoms.experiments.checks.deep_frame_potential import blocks, bounds, bridge, descent, dictionaries, grid

__all__ = ["blocks", "bounds", "bridge", "descent", "dictionaries", "grid"]

ahead.plan("deep-frame-potential", (descent.unit_runs,), (descent.free_runs,))
