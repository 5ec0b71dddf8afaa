"""The book's Sphinx extensions: the theme's mends, the scoreboard, the links between text and code."""

from deepatoms import _doors

_doors.demand("deepatoms.site", "book", "docutils", "sphinx", "nbformat")
