"""One room for each chapter: its experiments, its checks, its drawing. No study imports another."""

from deepatoms import _doors

_doors.demand("deepatoms.studies", "data", "sklearn")
