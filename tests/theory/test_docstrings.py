"""Every public function of the theory is annotated, says what it refuses, names its source and shows an example."""

import ast
import importlib
import inspect
import pkgutil
import re
import textwrap

import pytest

from deepatoms import theory
from deepatoms.theory import arguments

# To be emptied: modules whose functions have still to be written so.
LATER: tuple[str, ...] = ()
SOURCE = re.compile(r":eq:|Equation|Section|Theorem|Definition|Figure|\bpaper|\bchapter|\b(?:1[89]|20)\d\d\b|standard", re.I)
EXAMPLE = re.compile(r">>> |No example:")
REFUSERS = {name for name, value in vars(arguments).items() if inspect.isfunction(value)} - {"summary", "is_real_floating"}


def modules():
    for each in pkgutil.walk_packages(theory.__path__, theory.__name__ + "."):
        short = each.name.removeprefix(theory.__name__ + ".")
        if short.split(".")[0] in LATER:
            continue
        yield importlib.import_module(each.name)


def functions():
    for module in modules():
        for name, value in vars(module).items():
            if inspect.isfunction(inspect.unwrap(value)) and not name.startswith("_") and value.__module__ == module.__name__:
                yield pytest.param(module, inspect.unwrap(value), id=f"{module.__name__}.{name}")


def unannotated(function):
    signature = inspect.signature(function)
    found = [name for name, given in signature.parameters.items() if given.annotation is inspect.Parameter.empty]
    return found + (["return"] if signature.return_annotation is inspect.Signature.empty else [])


def refuses(function, module, depth=1):
    """Tell whether a function, or a function of its module that it calls, raises or calls on ``arguments``."""
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
        if isinstance(node, ast.Raise):
            return True
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        owner = getattr(node.func.value, "id", "") if isinstance(node.func, ast.Attribute) else ""
        if owner == "arguments" and name in REFUSERS or not owner and name == "refuse":
            return True
        called = inspect.unwrap(vars(module)[name]) if not owner and name in vars(module) else None
        if depth and inspect.isfunction(called) and called.__module__ == module.__name__ and refuses(called, module, 0):
            return True
    return False


def omissions(module, function):
    text = inspect.getdoc(function) or ""
    found = [f"no annotation of {name}" for name in unannotated(function)]
    if refuses(function, module) and "Raises:" not in text and module is not arguments:
        found.append("no Raises")
    if not SOURCE.search(text) and module is not arguments:
        found.append('no source and no "standard"')
    return found + ([] if EXAMPLE.search(text) else ["no example and no reason"])


@pytest.mark.parametrize(("module", "function"), list(functions()))
def test_nothing_is_left_out(module, function):
    assert not omissions(module, function)


def test_an_omission_is_seen():
    def bare(x):
        """Return x."""
        raise ValueError(x)
    found = omissions(theory, bare)
    assert found == ["no annotation of x", "no annotation of return", "no Raises", 'no source and no "standard"',
                     "no example and no reason"]
