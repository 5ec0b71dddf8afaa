"""What chapters show: figures, explorers, claims."""

from deepatoms import _doors

_doors.demand("deepatoms.pages", "book", "matplotlib", "IPython")
