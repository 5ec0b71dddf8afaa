r"""The deep frame potential: its value by local interactions, its minimum by descent or in closed form, and choosing by it.

For the induced dictionary with Gram matrix G of the normalised atoms, the energy is
:math:`E = \lVert G \rVert_F^2 - \operatorname{Tr} G` and :math:`F^2 = E / N(G)`. The book plots F.
"""

from deepatoms.theory.frame_potential.chains import (
    attained_magnitudes,
    chain_bracket,
    chain_minimum,
    chain_start,
    composed_bound,
    composed_minimum,
    descend,
    energy_and_gradient,
    energy_of_magnitudes,
    lower_energy,
    synthesis_energy,
)
from deepatoms.theory.frame_potential.descent import Descent, Minimum, minimize
from deepatoms.theory.frame_potential.evaluation import block_energies, energy, floor, potential, zero_padded
from deepatoms.theory.frame_potential.selection import Candidate, Ranking, closed_form, rank, ranked

__all__ = ["Candidate", "Descent", "Minimum", "Ranking", "attained_magnitudes", "block_energies", "chain_bracket",
           "chain_minimum", "chain_start", "closed_form", "composed_bound", "composed_minimum", "descend", "energy",
           "energy_and_gradient", "energy_of_magnitudes", "floor", "lower_energy", "minimize", "potential", "rank", "ranked",
           "synthesis_energy", "zero_padded"]
