"""The types that public functions of the theory name in their signatures; shapes stand in the docstrings."""

from typing import Generic, NamedTuple, TypeVar

import numpy as np
import torch

# numpy or torch in, the same kind out.
Array = TypeVar("Array", np.ndarray, torch.Tensor)
# numpy or torch in, something else out.
AnyArray = np.ndarray | torch.Tensor


class Descended(NamedTuple, Generic[Array]):
    """What a descent found: the best iterate, and for each start whether the descent had converged when it ended."""

    best: Array
    converged: bool | np.ndarray
