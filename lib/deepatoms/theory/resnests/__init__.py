r"""ResNEsts, A-ResNEsts and DenseNEsts: why, at fixed features, adding a block cannot hurt the training risk.

Batches come first: a feature :math:`v_i` is an array of shape (samples, :math:`K_i`), targets have shape
(samples, outputs). Every risk is the mean over samples of the squared error summed over outputs.
"""

from deepatoms.theory.resnests.assumptions import Assumption, assumption_1, assumption_3, assumption_4
from deepatoms.theory.resnests.augmented import (
    augmented_hessian,
    augmented_optimum,
    augmented_risk,
    linear_risk,
    prefix_risks,
    unpredictability,
)
from deepatoms.theory.resnests.coupled import CoupledProblem, coupling_gap
from deepatoms.theory.resnests.cross_entropy import coupled_cross_entropy, cross_entropy_risk
from deepatoms.theory.resnests.descent import lbfgs, lbfgs_cross_entropy, trust_region
from deepatoms.theory.resnests.lattice import components, lattice_network, lattice_sets, neuron_bound, relu_maximum
from deepatoms.theory.resnests.models import (
    AResNEst,
    DenseNEst,
    ResNEst,
    TanhBlock,
    augment,
    dense_to_resnest,
    random_densenest,
    random_resnest,
)
from deepatoms.theory.resnests.probes import BlockRisk, block_risks

__all__ = ["AResNEst", "Assumption", "BlockRisk", "CoupledProblem", "DenseNEst", "ResNEst", "TanhBlock",
           "assumption_1", "assumption_3", "assumption_4", "augment", "augmented_hessian", "augmented_optimum",
           "augmented_risk", "block_risks", "components", "coupled_cross_entropy", "coupling_gap",
           "cross_entropy_risk", "dense_to_resnest", "lattice_network", "lattice_sets", "lbfgs", "lbfgs_cross_entropy",
           "linear_risk", "neuron_bound", "prefix_risks", "random_densenest", "random_resnest", "relu_maximum",
           "trust_region", "unpredictability"]
