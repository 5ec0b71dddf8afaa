"""The papers' networks."""

from deepatoms.learning.networks.convolutional import ResidualNetwork, digits_cnn, large_cnn, residual_cnn, small_cnn
from deepatoms.learning.networks.dense import relu_network
from deepatoms.learning.networks.export import as_layers, encoded

__all__ = ["ResidualNetwork", "as_layers", "digits_cnn", "encoded", "large_cnn", "relu_network", "residual_cnn", "small_cnn"]
