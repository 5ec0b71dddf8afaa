"""Deep Atoms: five theories of deep networks, reproduced and runnable.

The names that people come for stand at the door, and every room and every module of the theory is an attribute; each is
imported when it is first asked for, so that ``import deepatoms`` itself takes no time.

``deepatoms.frame_potential`` is the frame potential of one dictionary (``theory.dictionaries``); how a network's is
computed and minimised is the module ``deepatoms.theory.frame_potential``. ``deepatoms.stability`` is the module.

>>> import numpy as np
>>> import deepatoms
>>> float(deepatoms.mutual_coherence(np.array([[1.0, 0.6], [0.0, 0.8]])))
0.6
>>> deepatoms.theory.dictionaries.welch_bound(2, 3)
0.5
"""

from typing import TYPE_CHECKING

from deepatoms import _doors

__version__ = "0.1.0"

if TYPE_CHECKING:  # for editors and type checkers, which do not run what follows
    from deepatoms.pages.explore import explore
    from deepatoms.reports import report
    from deepatoms.reports.panel import ask
    from deepatoms.theory import stability
    from deepatoms.theory.dictionaries import frame_potential, mutual_coherence
    from deepatoms.theory.partition import region_codes, slice_plane
    from deepatoms.theory.partition.neighbours import neighbours
    from deepatoms.theory.pursuit import layered_thresholding
    from deepatoms.theory.resnests import block_risks
    from deepatoms.theory.splines import affine_map

__all__ = ["affine_map", "ask", "block_risks", "explore", "frame_potential", "layered_thresholding", "mutual_coherence",
           "neighbours", "region_codes", "report", "slice_plane", "stability"]

__getattr__, __dir__ = _doors.lazy(__name__, {
    "affine_map": "theory.splines",
    "ask": "reports.panel",
    "block_risks": "theory.resnests",
    "explore": "pages.explore",
    "frame_potential": "theory.dictionaries",
    "layered_thresholding": "theory.pursuit",
    "mutual_coherence": "theory.dictionaries",
    "neighbours": "theory.partition",
    "region_codes": "theory.partition",
    "report": "reports",
    "slice_plane": "theory.partition",
    "stability": "theory",
})
