r"""Memory is refused before it is taken, on every system that says how much there is."""

import ctypes
import math
import os
import sys
from typing import Any

from deepatoms.theory.arguments import refuse
from deepatoms.theory.signatures import named

try:
    import resource
except ImportError:  # Windows sets a process no limits
    resource = None  # type: ignore[assignment]

GIB = 2**30


def memory() -> float:
    """Return how many bytes this process may hold at most: the machine's, or its limit; infinity where the system says none.

    Source:
        Standard.

    >>> memory() > 2**20
    True
    """
    there, limit = _machine(), math.inf
    if resource is not None:
        soft = resource.getrlimit(resource.RLIMIT_AS)[0]
        limit = math.inf if soft == resource.RLIM_INFINITY else soft
    return min(there, limit)


def _machine():
    if sys.platform == "win32":
        return _windows(ctypes.windll.kernel32)
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # a system that does not say: nothing can be refused beforehand
        return math.inf


class _Status(ctypes.Structure):
    """What Windows answers, MEMORYSTATUSEX."""

    _fields_ = [("length", ctypes.c_uint32), ("load", ctypes.c_uint32),
                *((name, ctypes.c_uint64) for name in ("physical", "free", "page_file", "free_page_file", "virtual",
                                                       "free_virtual", "free_extended"))]


def _windows(kernel):
    status = _Status(length=ctypes.sizeof(_Status))
    return status.physical if kernel.GlobalMemoryStatusEx(ctypes.byref(status)) else math.inf


def demand_memory(name: str, value: Any, needed: float, remedy: str) -> None:
    """Refuse what would take more memory than there is, before it is taken.

    Raises:
        MemoryError: If it needs more than :func:`memory`.

    Source:
        Standard.

    >>> demand_memory("chunk", 1, 100.0, "pass fewer")
    """
    if needed > memory():
        refuse(name, value, f"needs about {needed / GIB:,.1f} GiB at once; there are {memory() / GIB:,.1f} GiB", remedy,
               MemoryError)

named(__name__)
