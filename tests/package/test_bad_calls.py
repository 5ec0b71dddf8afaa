"""Bad calls of the other rooms, generated as those of the theory are, from the example of each public function."""

import importlib
import inspect
import os
import pkgutil
import warnings

import pytest
from tests.theory.test_bad_calls import calls, fate

import deepatoms

ROOMS = ("runs", "data", "learning", "reports", "claims")
# Lenses get what a report has looked at already.
LEFT = ("deepatoms.reports.lenses.",)


def public(room):
    package = importlib.import_module(f"{deepatoms.__name__}.{room}")
    names = [found.name for found in pkgutil.walk_packages(package.__path__, package.__name__ + ".")
             if not found.name.startswith(LEFT) and not found.name.endswith("__main__")]
    return {f"{name}.{function.__name__}": function for name in (package.__name__, *names)
            for function in vars(importlib.import_module(name)).values()
            if inspect.isfunction(function) and function.__module__ == name and not function.__name__.startswith("_")}


@pytest.fixture(scope="module", params=ROOMS)
def fates(request, tmp_path_factory):
    """What became of the calls of a room, made in an empty folder, which also takes whatever they record."""
    functions = public(request.param)
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.chdir(tmp_path_factory.mktemp("nowhere"))
        patch.setenv("DEEPATOMS_RESULTS", os.getcwd())
        warnings.simplefilter("ignore")
        return [(name, argument, kind, fate(functions[name], bound)) for name, argument, kind, bound in calls(functions)]


def test_no_bad_call_ends_in_an_error_that_names_no_argument_nor_takes_long(fates):
    assert len(fates) > 10
    assert [each for each in fates if each[3] not in ("refused", "returns")] == []
