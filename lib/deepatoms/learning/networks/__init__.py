"""The papers' networks."""

from deepatoms.learning.networks.convolutional import ResidualNetwork, digits_cnn, large_cnn, residual_cnn, small_cnn
from deepatoms.learning.networks.dense import relu_network

__all__ = ["ResidualNetwork", "digits_cnn", "large_cnn", "relu_network", "residual_cnn", "small_cnn"]
