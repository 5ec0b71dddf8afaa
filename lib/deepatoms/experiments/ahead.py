"""Long computations begun ahead: two other processes compute them while the first sections of a chapter pass."""

import functools
import itertools
from collections import deque

import joblib

_registered = []


def ahead(chapter, *arguments):
    """Remember what a function of (setting, ...) returns, and begin the calls with these arguments with the chapter.

    >>> @ahead("a chapter", (2,), (3,))
    ... def power(setting, exponent):
    ...     return setting**exponent
    >>> power(10, 3)
    1000
    """
    def decorate(function):
        remembered = Ahead(function)
        _registered.extend((chapter, remembered, each) for each in arguments)
        return remembered

    return decorate


def begin(chapter, setting):
    """Begin all calls of a chapter, in the order in which they are registered; on a GPU nothing is begun."""
    calls = [(function, (setting, *arguments)) for name, function, arguments in _registered
             if name == chapter and (setting, *arguments) not in function.found]
    if setting.device == "cpu" and calls:
        coming = joblib.Parallel(n_jobs=2, return_as="generator")(joblib.delayed(function)(*call) for function, call in calls)
        queue = deque(calls)
        for function, call in calls:
            function.begun[call] = queue, coming


class Ahead:
    """A function that remembers what it returned, and waits for a call that has begun in another process."""

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
            for value in itertools.islice(coming, 1):  # after an error nothing more comes; the rest is computed here
                function.found[first] = value
        if not queue:
            next(coming, None)  # let it end: it is not to be interrupted with the kernel

    def __reduce__(self):
        return self.__qualname__  # another process imports it by name
