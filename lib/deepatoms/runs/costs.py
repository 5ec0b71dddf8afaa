"""What a computation costs: least CPU seconds of several calls, and peak memory."""

import pathlib
import re
import resource
import time


def least(*functions, rounds=5):
    """Return the least CPU seconds of each function, called in turn after one call to warm up."""
    for function in functions:
        function()
    return [min(column) for column in zip(*[[seconds(each) for each in functions] for _ in range(rounds)], strict=True)]


def seconds(function):
    """Return the CPU seconds of one call."""
    started = time.process_time()
    function()
    return time.process_time() - started


def peak():
    """Return the largest resident memory of this process so far, in MiB.

    From the kernel's status file where there is one: on Linux ``getrusage`` of a new process starts at its parent's peak.

    >>> before = peak()
    >>> ones = [1.0] * 10**7
    >>> peak() >= before > 10
    True
    """
    status = pathlib.Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on macOS
