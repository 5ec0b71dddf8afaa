"""Long computations begun ahead: two other processes compute them while the first sections of a chapter pass."""

import functools
import itertools
import warnings
from collections import deque

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

_planned: dict[str, tuple] = {}  # by chapter


def plan(chapter, *calls):
    """Name the calls to be begun with a chapter, in the order in which it needs them: (remembered function, arguments ...)."""
    _planned[chapter] = calls


def begin(chapter, setting):
    """Begin the calls planned for a chapter, each with the setting before its arguments; on a GPU nothing is begun."""
    calls = [(function, (setting, *arguments)) for function, *arguments in _planned.get(chapter, ())
             if (setting, *arguments) not in function.found]
    if setting.device == "cpu" and calls:
        coming = joblib.Parallel(n_jobs=2, return_as="generator")(joblib.delayed(function)(*call) for function, call in calls)
        queue = deque(calls)
        for function, call in calls:
            function.begun[call] = queue, coming


class Remembered:
    """A function that remembers what it returned, and waits for a call that has begun in another process.

    >>> @Remembered
    ... def power(setting, exponent):
    ...     return setting**exponent
    >>> power(10, 3), power.found
    (1000, {(10, 3): 1000})
    """

    def __init__(self, function):
        functools.update_wrapper(self, function)
        self.function, self.found, self.begun = function, {}, {}

    def __call__(self, *call):
        if call in self.begun:
            self._wait(call)
        if call not in self.found:
            self.found[call] = self.function(*call)
        return self.found[call]

    def _wait(self, call):
        """Take results off the queue, in its order, until this one has come."""
        queue, coming = self.begun[call]
        while call in self.begun:
            function, first = queue.popleft()
            del function.begun[first]
            for value in _next(coming):  # after an error nothing more comes; the rest is computed here
                function.found[first] = value
        if not queue:
            next(coming, None)  # let it end: it is not to be interrupted with the kernel

    def __reduce__(self):
        return self.__qualname__  # another process imports it by name


def _next(coming):
    """Return a list of the next result, empty where nothing more comes; a killed process is told, and not waited for."""
    try:
        return list(itertools.islice(coming, 1))
    except TerminatedWorkerError:
        warnings.warn("a process that computed ahead was killed (is there enough memory?); the rest is computed here",
                      RuntimeWarning, stacklevel=2)
        return []
