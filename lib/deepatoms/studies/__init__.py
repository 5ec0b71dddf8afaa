"""One room for each chapter: its experiments, its checks, its drawing. No study imports another."""

from deepatoms import data  # noqa: F401 (its door demands, by name, the packages that studies need as well)
