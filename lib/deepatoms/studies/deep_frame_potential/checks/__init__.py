"""How the claims of the chapter on the deep frame potential are measured; one module for each part of the paper."""

from deepatoms.runs import prefetch
from deepatoms.studies.deep_frame_potential.checks import (
    benchmarks,
    blocks,
    bounds,
    darts,
    descent,
    dictionaries,
    forward_pass,
    grid,
    trained,
)

__all__ = ["benchmarks", "blocks", "bounds", "darts", "forward_pass", "descent", "dictionaries", "grid", "trained"]

prefetch.plan("deep-frame-potential", (descent.unit_runs,), (descent.free_runs,))
