"""Deep Atoms: five theories of deep networks, reproduced and runnable."""

__version__ = "0.1.0"
