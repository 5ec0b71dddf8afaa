"""The catalogue of claims, how a check is measured, and the verdict that follows."""
