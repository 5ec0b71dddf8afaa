"""The mathematics: numpy, scipy and torch only; no files, no plotting.

Every module is an attribute, imported when it is first asked for.
"""

from deepatoms import _doors

__getattr__, __dir__ = _doors.lazy(__name__)
