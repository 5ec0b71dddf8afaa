r"""What is refused beforehand: memory, on every system that says how much there is, and units that rounding may have made."""

import ctypes
import math
import os
import sys
from typing import Any, NoReturn

from deepatoms.theory.arguments import refuse
from deepatoms.theory.piecewise import Model, called
from deepatoms.theory.signatures import named

try:
    import resource
except ImportError:  # Windows sets a process no limits
    resource = None  # type: ignore[assignment]

GIB = 2**30
DOUBT = 1e-12  # a unit that is less than this, of the most in its layer, may be the rounding of one that is constant


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


def refuse_doubtful(model: Model, layer: int, unit: int, what: str) -> NoReturn:
    """Refuse a network of which one unit counts, and is so small that it may be the rounding of one that is constant.

    Raises:
        ValueError: Always.

    Source:
        Standard.

    >>> refuse_doubtful(abs, 0, 3, "cuts the slice")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: model = 'the function' has a unit 3 of nonlinearity 0 that cuts the slice, and ...; prune it, or scale its weights
    """
    refuse("model", called(model), f"has a unit {unit} of nonlinearity {layer} that {what}, and changes so little beside the "
           f"others ({DOUBT:g} of the most) that it may be the rounding of 0", "prune it, or scale its weights")

named(__name__)
