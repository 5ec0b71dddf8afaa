"""Recorded results, and long computations begun ahead."""
