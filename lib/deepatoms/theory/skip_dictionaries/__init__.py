r"""What a skip connection does to a layer's dictionary: :math:`I + D` against :math:`D`, and what follows for deep coding.

The note that this module referees calls :math:`D_\mathrm{linear} = D` and :math:`D_\mathrm{resnet} = I + D` with
:math:`D = S W`. Where a printed statement is wrong, both it and its correction are here, so that its failure can be shown.
"""

from deepatoms.theory.skip_dictionaries.activations import (
    ACTIVATIONS,
    activate,
    activation_matrix,
    best_diagonal,
    best_single_matrix,
    expected_slope,
    residual_operator,
    unexplained_share,
)
from deepatoms.theory.skip_dictionaries.coding import (
    deep_coding,
    is_feasible,
    keep_largest,
    printed_sparsity_bound,
    stability_bound,
    stability_recursion,
)
from deepatoms.theory.skip_dictionaries.extremes import Extremes, extreme_singular_values
from deepatoms.theory.skip_dictionaries.propagation import (
    end_to_end_jacobian,
    fixed_bound,
    largest_slope,
    printed_bound,
    residual_bound,
    residual_forward,
    segment_slopes,
    sparse_difference_bound,
)
from deepatoms.theory.skip_dictionaries.properties import (
    babel,
    frame_bounds,
    mean_square_coherence,
    nearest_coherence,
    signal_to_noise,
)
from deepatoms.theory.skip_dictionaries.ranks import (
    characteristic_polynomial,
    exact_rank,
    root_multiplicity,
)
from deepatoms.theory.skip_dictionaries.spectra import (
    condition_bound,
    condition_number,
    effective_rank,
    energy_dimensions,
    energy_shares,
    gaussian,
    hoyer_index,
    isometric_share,
    nonzeros_gained,
    orthogonal,
    printed_lower_bound,
    reflection,
    residual_dictionary,
    singular_values,
    weyl_bounds,
)

__all__ = [
    "ACTIVATIONS", "Extremes", "activate", "activation_matrix", "babel", "best_diagonal", "best_single_matrix",
    "characteristic_polynomial", "condition_bound", "condition_number", "deep_coding", "effective_rank",
    "end_to_end_jacobian", "energy_dimensions", "energy_shares", "exact_rank", "expected_slope", "extreme_singular_values",
    "fixed_bound",
    "frame_bounds", "gaussian", "hoyer_index", "is_feasible", "isometric_share", "keep_largest", "largest_slope",
    "mean_square_coherence", "nearest_coherence", "nonzeros_gained", "orthogonal", "printed_bound",
    "printed_lower_bound", "printed_sparsity_bound", "reflection", "residual_bound", "residual_dictionary",
    "residual_forward", "residual_operator", "root_multiplicity", "segment_slopes", "signal_to_noise",
    "singular_values", "sparse_difference_bound", "stability_bound", "stability_recursion", "unexplained_share",
    "weyl_bounds",
]
