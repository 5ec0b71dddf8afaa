"""Bad calls generated from every public function: each argument of the call that its own example makes, exchanged in turn.

What a function refuses names an argument and its value; nothing ends in a traceback that names none, and nothing takes
five seconds.
"""

import contextlib
import doctest
import importlib
import inspect
import io
import math
import pkgutil
import re
import signal
import sys
import warnings

import numpy as np
import pytest

from deepatoms import theory
from deepatoms.theory import signatures

BAD = {"None": None, "nan": math.nan, "inf": math.inf, "text": "x", "negative": -1, "empty list": [], "empty": np.ones((0, 0)),
       "rank 4": np.ones((1, 1, 1, 1)), "nan array": np.full((2, 2), np.nan), "mapping": {}, "object": object(), "half": 2.5,
       "huge": 10**18, "complex": 1j, "complex array": np.full((2, 2), 1j), "minus infinity": -math.inf}
# What checks, names and builds the others, like demand_clear, which refuses: no part of the mathematics.
TOOLS = ("arguments", "signatures", "operations", "keepers", "partition.rules", "partition.guards", "partition.cells",
         "partition.refine", "arrays")
SECONDS = 5
LABELS = {"name", "value", "remedy", "together"}  # words for a message
# None is the answer for whatever is no module; two run the model that they are given later, and one words a message.
ANY = {"partition.codes.fingerprint", "piecewise.beyond_rounding", "piecewise.demand_alone", "piecewise.called",
       "piecewise.told"}


def public():
    modules = [importlib.import_module(found.name) for found in pkgutil.walk_packages(theory.__path__, theory.__name__ + ".")]
    return {f"{module.__name__.removeprefix(theory.__name__ + '.')}.{name}": function for module in modules
            for name, function in vars(module).items() if inspect.isfunction(function)
            and function.__module__ == module.__name__ and not name.startswith("_")
            and name != "demand_clear" and not module.__name__.removeprefix(theory.__name__ + ".").startswith(TOOLS)}


def example(function):
    """Return the arguments of the first call that a function's example makes of it; None where it makes none."""
    kept = []

    def seen(*given, **named):
        kept.append((given, named))
        return function(*given, **named)

    scope = dict(vars(sys.modules[function.__module__]))
    for test in doctest.DocTestFinder(recurse=False).find(function, function.__name__, globs=scope):
        test.globs[function.__name__] = seen
        with contextlib.redirect_stdout(io.StringIO()):
            doctest.DocTestRunner(verbose=False).run(test, out=lambda text: None)
    return kept[0] if kept else None


def calls(functions):
    """Yield every bad call: the function's name, the argument, what is bad, and the arguments."""
    for name, function in functions.items():
        if (found := example(function)) is None:
            continue
        parameters = inspect.signature(function).parameters
        for argument in inspect.signature(function).bind(*found[0], **found[1]).arguments:
            if parameters[argument].kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
                continue
            for kind, value in BAD.items():
                bound = inspect.signature(function).bind(*found[0], **found[1])
                bound.arguments[argument] = value
                yield name, argument, kind, bound


@pytest.fixture(scope="module")
def fates():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [(name, argument, kind, fate(public()[name], bound)) for name, argument, kind, bound in calls(public())]


class _LateError(BaseException):
    """The call took too long."""


def _late(*_):
    raise _LateError


def fate(function, bound):
    """Return what became of a call: "returns", "refused", or what is wrong with it in words."""
    before = signal.signal(signal.SIGALRM, _late)
    signal.alarm(SECONDS)
    try:
        function(*bound.args, **bound.kwargs)
    except _LateError:
        return f"takes more than {SECONDS} seconds"
    except Exception as error:  # noqa: BLE001 (what kind it is, is the question)
        ours = isinstance(error, (ValueError, TypeError)) and re.search(r"\S+ = .*; ", str(error), re.DOTALL)
        return "refused" if ours or type(error).__module__.startswith("deepatoms") else f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return "returns"


def test_enough_calls_were_made(fates):
    assert len({name for name, *_ in fates}) > 150 and sum(fate == "refused" for *_, fate in fates) > 0.7 * len(fates)


def test_no_bad_call_ends_in_an_error_that_names_no_argument_nor_takes_long(fates):
    assert [each for each in fates if each[3] not in ("refused", "returns")] == []


def test_what_is_of_no_type_that_a_signature_names_is_not_answered_with_a_number(fates):
    """Objects, texts and mappings in place of numbers and arrays."""
    answered = [(name, argument, kind) for name, argument, kind, fate in fates
                if fate == "returns" and kind in ("object", "text")
                and not signatures.fits(BAD[kind], signatures._kinds(inspect.unwrap(public()[name])).get(argument))]
    assert [each for each in answered if each[1] not in LABELS and each[0] not in ANY] == []
