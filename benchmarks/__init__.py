"""Ours beside its peers, measured in one run: ``python -m benchmarks`` lists the subjects."""
