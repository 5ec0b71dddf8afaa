"""The types that public functions of the theory name in their signatures; shapes stand in the docstrings."""

from typing import TypeVar

import numpy as np
import torch

# numpy or torch in, the same kind out.
Array = TypeVar("Array", np.ndarray, torch.Tensor)
# numpy or torch in, something else out.
AnyArray = np.ndarray | torch.Tensor
