"""Data sets, networks, training, results, and the checks that measure each claim."""
