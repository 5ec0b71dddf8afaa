"""Which code made a record, and whether it has changed since: a digest of every module that its experiment rests on."""

from __future__ import annotations

import ast
import functools
import hashlib
import pathlib
import sys
from collections.abc import Callable
from typing import Any

PACKAGE = pathlib.Path(__file__).parents[1]
DESCRIBED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
HOUSE = ("pages", "press", "site", "runs", "claims")  # what shows, stores and judges results does not make them


def code(function: Callable[..., Any]) -> dict[str, str]:
    """Return the digest of a function's module and of every module of the package that it imports, itself or through others.

    A digest is of what the module does: comments, docstrings and the way that lines are broken are not in it. Of a function
    from outside the package only its own module is read.
    """
    name = getattr(function, "__module__", None) or "__main__"
    path = _file(name)
    if path is None or name == "__main__":  # typed at a prompt, or another program's in a worker
        return {}
    return {_name(each): digest(each) for each in sorted(_reached(path))} if _path(name) else {name: digest(path)}


def changed(recorded: dict[str, str]) -> list[str]:
    """Return the modules of a record's ``code`` that are gone or do something else today."""
    return [name for name, before in recorded.items() if before != _today(name)]


def _today(name):
    path = _file(name)
    return None if path is None else digest(path)


def _file(name):
    path = _path(name) or pathlib.Path(getattr(sys.modules.get(name), "__file__", None) or "")
    return path if path.is_file() else None


@functools.cache
def digest(path: pathlib.Path) -> str:
    """Return twelve hex digits for a source as it would be written without comments and docstrings."""
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, DESCRIBED) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()[:12]


def _reached(path):
    seen, todo = set(), [path]
    while todo:
        seen.add(one := todo.pop())
        todo += [each for each in _imports(one) if each not in seen]
    return seen


@functools.cache
def _imports(path):
    """Return the files of the package that a module imports, at its head or later."""
    names = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(found for name in names if name.startswith("deepatoms.") and name.split(".")[1] not in HOUSE
                 and (found := _path(name)) is not None)


def _path(name):
    base = PACKAGE.joinpath(*name.split(".")[1:]) if name.split(".")[0] == "deepatoms" else PACKAGE / "nowhere"
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


def _name(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
