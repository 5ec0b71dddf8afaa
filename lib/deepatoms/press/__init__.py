"""The press: stores chapters in normal form, runs them again, builds the site. No chapter imports it."""

from deepatoms import _doors

_doors.demand("deepatoms.press", "book", "nbformat", "papermill")
