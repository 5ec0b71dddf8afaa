"""The mathematics: numpy, scipy and torch only; no files, no plotting."""
