"""The papers' networks."""

from deepatoms.learning.networks.convolutional import ResidualNetwork, digits_cnn, large_cnn, residual_cnn, small_cnn

__all__ = ["ResidualNetwork", "digits_cnn", "large_cnn", "residual_cnn", "small_cnn"]
