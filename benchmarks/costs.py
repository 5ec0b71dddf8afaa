"""What a computation costs: least CPU seconds of several calls, its child processes included, and peak memory."""

import json
import pathlib
import re
import resource
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parents[1]


def least(*functions, rounds=5):
    """Return the least CPU seconds of each function, called in turn after one call to warm up."""
    for function in functions:
        function()
    return [min(column) for column in zip(*[[seconds(each) for each in functions] for _ in range(rounds)], strict=True)]


def seconds(function):
    """Return the CPU seconds of one call, those of the child processes that it waited for included."""
    return timed(function)[1]


def timed(function):
    """Return the value of one call, and its CPU seconds."""
    started = clock()
    value = function()
    return value, clock() - started


def clock():
    """Return the CPU seconds of this process and of its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def fresh(module, *arguments):
    """Return ``module.main(*arguments)`` of a benchmark from a process of its own, so that peak memory is its own."""
    code = f"import json; from benchmarks import {module} as m; print(json.dumps(m.main(*{list(arguments)!r})))"
    ended = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    return json.loads(ended.stdout.splitlines()[-1])


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
