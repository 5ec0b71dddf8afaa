"""One public name means one thing: no two modules of the theory define the same one."""

import collections
import importlib
import inspect
import pkgutil

from deepatoms import theory

# The kit that every module uses: `arguments.matrix(name, value)` refuses, it is no mathematics.
KIT = {"deepatoms.theory.arguments"}
# To be emptied: names of which the second one has still to be renamed.
TOLERATED: set[str] = set()


def defined(modules):
    """Return for each public name the modules that define a function or class of that name."""
    found = collections.defaultdict(set)
    for module in modules:
        for name, value in vars(module).items():
            own = (inspect.isfunction(value) or inspect.isclass(value)) and value.__module__ == module.__name__
            if own and not name.startswith("_") and module.__name__ not in KIT:
                found[name].add(module.__name__)
    return found


def modules():
    return [importlib.import_module(each.name) for each in pkgutil.walk_packages(theory.__path__, theory.__name__ + ".")]


def twice(found):
    return {name for name, places in found.items() if len(places) > 1}


def test_no_public_name_is_defined_in_two_modules():
    assert twice(defined(modules())) <= TOLERATED


def test_a_second_definition_is_seen():
    import types
    one, two = types.ModuleType("one"), types.ModuleType("two")
    for module in (one, two):
        exec("def gram(D):\n    return D", vars(module))
    assert twice(defined([one, two])) == {"gram"}
