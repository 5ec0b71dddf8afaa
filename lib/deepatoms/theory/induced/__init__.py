r"""The dictionary that a network architecture induces: chains, residual and dense networks, any graph.

A network's forward pass approximates the sparse code of :math:`[x; 0; \dots]` in a block dictionary **B**: columns are
units (one block a layer), rows are the constraints that tie the layers together. An architecture is a small immutable
value, ``Net``; weights are a separate list, in torch layout.
"""

from deepatoms.theory.induced.architecture import Block, Layer, Net, Weight, chain, dense, residual
from deepatoms.theory.induced.convolutional import cifar, densenet, filter_dictionary, toeplitz_order
from deepatoms.theory.induced.graphs import graph
from deepatoms.theory.induced.inference import agreement, constraints, forward, sparse_code

__all__ = ["Block", "Layer", "Net", "Weight", "agreement", "chain", "cifar", "constraints", "dense", "densenet",
           "filter_dictionary", "forward", "graph", "residual", "sparse_code", "toeplitz_order"]
