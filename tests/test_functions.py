"""Functions stay small and take few arguments."""

import ast
import pathlib

LIB = pathlib.Path(__file__).parents[1] / "lib" / "deepatoms"


def functions():
    for path in sorted(LIB.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                yield path, node


def lines(function):
    """Return the length of a function without its docstring."""
    first = function.body[0]
    described = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    return function.end_lineno - function.lineno + 1 - (first.end_lineno - first.lineno + 1 if described else 0)


def parameters(function):
    given = function.args
    names = [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return [name for name in names if name not in ("self", "cls")]


def test_functions_are_short():
    lengths = sorted(lines(node) for _, node in functions())
    assert lengths[len(lengths) // 2] <= 5 and lengths[9 * len(lengths) // 10] <= 12 and lengths[-1] <= 30


def test_no_function_takes_more_than_seven_arguments():
    assert not [f"{path.name}: {node.name}" for path, node in functions() if len(parameters(node)) > 7]
