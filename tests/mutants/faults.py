"""Single faults in a module's source: a sign turned, a comparison reversed, a constant changed, a guard dropped ...

Each is an edit of a few bytes, so that the rest of the file, docstring examples included, stays as it is.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

OPERATORS = {ast.Add: (b"+", b"-"), ast.Sub: (b"-", b"+"), ast.Mult: (b"*", b"/"), ast.Div: (b"/", b"*"),
             ast.FloorDiv: (b"//", b"/"), ast.Mod: (b"%", b"//"), ast.Pow: (b"**", b"*"), ast.BitAnd: (b"&", b"|"),
             ast.BitOr: (b"|", b"&"), ast.And: (b"and", b"or"), ast.Or: (b"or", b"and")}
COMPARISONS = {ast.Lt: (b"<", b"<=", b">="), ast.LtE: (b"<=", b"<", b">"), ast.Gt: (b">", b">=", b"<="),
               ast.GtE: (b">=", b">", b"<"), ast.Eq: (b"==", b"!="), ast.NotEq: (b"!=", b"=="),
               ast.In: (b"in", b"not in"), ast.NotIn: (b"not in", b"in"),
               ast.Is: (b"is", b"is not"), ast.IsNot: (b"is not", b"is")}
PAIRS = [("min", "max"), ("amin", "amax"), ("argmin", "argmax"), ("minimum", "maximum"), ("clamp_min", "clamp_max"),
         ("sum", "mean"), ("any", "all"), ("zeros", "ones"), ("zeros_like", "ones_like"), ("floor", "ceil"),
         ("cos", "sin"), ("rglob", "glob"), ("startswith", "endswith"), ("logical_and", "logical_or"), ("diff", "cumsum")]
NAMES = {one: other for pair in PAIRS for one, other in (pair, pair[::-1])} | {"cumsum": "diff"}
DROPPED = {"abs", "absolute", "sqrt", "sorted", "escape"}
CHECKED = {"integer", "number", "one_of", "matrix", "dictionary", "real_array"}  # of theory/arguments.py: name, value ...
GUARD = re.compile(r"_?(demand|refuse|check|require|assert)")


@dataclass(frozen=True)
class Fault:
    """An edit of a module: bytes ``start`` to ``end`` become ``text``; ``before`` and ``after`` show the line it changes."""

    module: str
    kind: str
    line: int
    function: str
    start: int
    end: int
    text: bytes
    before: str
    after: str

    @property
    def place(self) -> str:
        """What the fault is, whatever the line's number: an equivalent one is listed under this."""
        return f"{self.module} | {self.function} | {self.before} | {self.after}"

    def applied(self, source: bytes) -> bytes:
        """Return the source with the fault."""
        return source[:self.start] + self.text + source[self.end:]


def faults(module: str, source: bytes) -> list[Fault]:
    """Return every fault of a module, in the order of its source."""
    found = _Finder(source)
    found.visit(ast.parse(source))
    return [_fault(module, source, *edit) for edit in found.edits]


def _fault(module, source, kind, function, start, end, text):
    first, last = source.rfind(b"\n", 0, start) + 1, _line_end(source, end)
    before = source[first:last].decode()
    after = (source[first:start] + text + source[end:last]).decode()
    return Fault(module, kind, source.count(b"\n", 0, start) + 1, function, start, end, text,
                 *(" ".join(each.split()) for each in (before, after)))


def _line_end(source, place):
    end = source.find(b"\n", place)
    return len(source) if end < 0 else end


class _Finder(ast.NodeVisitor):
    """Walk a module and note edits; annotations, decorators, docstrings, messages and type aliases are left alone."""

    def __init__(self, source):
        self.source, self.edits, self.names = source, [], []
        self.starts = [0]
        for line in source.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))

    def visit_FunctionDef(self, node):
        self.names.append(node.name)
        for default in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.visit(default)
        for statement in node.body:
            self.visit(statement)
        self.names.pop()

    def visit_ClassDef(self, node):
        self.names.append(node.name)
        for statement in node.body:
            self.visit(statement)
        self.names.pop()

    def visit_AnnAssign(self, node):
        if node.value:
            self.visit(node.value)

    def visit_JoinedStr(self, node):
        """Leave texts alone: their parts have no places of their own before Python 3.12."""

    def visit_Raise(self, node):
        """Leave messages alone."""

    def visit_Expr(self, node):
        if isinstance(node.value, ast.Call) and GUARD.match(_name(node.value.func)):
            self._note("guard", node, b"pass")
        if not (isinstance(node.value, ast.Call) and _name(node.value.func) == "refuse"):
            self.generic_visit(node)

    def visit_If(self, node):
        only = node.body[0]
        guards = isinstance(only, ast.Raise) or isinstance(only, ast.Expr) and isinstance(only.value, ast.Call) \
            and _name(only.value.func) == "refuse"
        if guards and not node.orelse:
            self._note("guard", node, b"pass")
            return self.visit(node.test)
        self._note("branch", node.test, b"not (" + self._text(node.test) + b")")
        self.generic_visit(node)

    def visit_IfExp(self, node):
        self._note("branch", node.test, b"not (" + self._text(node.test) + b")")
        self.generic_visit(node)

    def visit_BinOp(self, node):
        if self.names and type(node.op) in OPERATORS and not isinstance(node.left, ast.Constant | ast.JoinedStr) \
                or isinstance(node.left, ast.Constant) and not isinstance(node.left.value, str):
            self._between("operator", node.left, node.right, *OPERATORS.get(type(node.op), ()))
        self.generic_visit(node)

    def visit_BoolOp(self, node):
        for left, right in zip(node.values, node.values[1:], strict=False):
            self._between("logic", left, right, *OPERATORS[type(node.op)])
        self.generic_visit(node)

    def visit_Compare(self, node):
        for left, operator, right in zip([node.left, *node.comparators], node.ops, node.comparators, strict=False):
            self._between("comparison", left, right, *COMPARISONS[type(operator)])
        self.generic_visit(node)

    def visit_UnaryOp(self, node):
        if isinstance(node.op, ast.Not | ast.USub | ast.Invert):
            self._note("sign", node, b" (" + self._text(node.operand) + b")")
        self.generic_visit(node)

    def visit_Constant(self, node):
        if isinstance(node.value, bool):
            self._note("constant", node, str(not node.value).encode())
        elif isinstance(node.value, int):
            self._note("constant", node, str(node.value + 1).encode())
        elif isinstance(node.value, float):
            self._note("constant", node, repr(3 * node.value or 1.0).encode())

    def visit_Call(self, node):
        name = _name(node.func)
        if name in NAMES:
            end = self._end(node.func)
            self._add("name", end - len(name), end, NAMES[name].encode())
        if name in DROPPED and (node.args or isinstance(node.func, ast.Attribute)):
            self._note("name", node, b"(" + self._text(node.args[0] if node.args else node.func.value) + b")")
        if name in CHECKED and len(node.args) > 1:
            self._note("guard", node, b"(" + self._text(node.args[1]) + b")")
        self.generic_visit(node)

    def _between(self, kind, left, right, *operators):
        """Exchange the operator in the gap between two expressions for each of the others."""
        start, end = self._end(left), self._start(right)
        gap = self.source[start:end]
        for other in operators[1:]:
            self._add(kind, start, end, gap.replace(operators[0], other, 1))

    def _note(self, kind, node, text):
        self._add(kind, self._start(node), self._end(node), text)

    def _add(self, kind, start, end, text):
        if text != self.source[start:end]:
            self.edits.append((kind, ".".join(self.names), start, end, text))

    def _start(self, node):
        return self.starts[node.lineno - 1] + node.col_offset

    def _end(self, node):
        return self.starts[node.end_lineno - 1] + node.end_col_offset

    def _text(self, node):
        return self.source[self._start(node):self._end(node)]


def _name(function):
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")



def of_modules(sources: dict[str, bytes]) -> Iterator[Fault]:
    """Yield the faults of all modules, in the order of their names."""
    for module in sorted(sources):
        yield from faults(module, sources[module])
