"""Networks, one training loop, optimizers."""
