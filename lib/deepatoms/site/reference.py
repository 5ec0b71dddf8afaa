"""The reference pages' Sphinx extension: functions that measure checks, equations with their functions, modules at a glance."""

import functools
import importlib
import pkgutil
import re
from collections import defaultdict

from docutils import nodes
from docutils.statemachine import StringList
from sphinx import addnodes
from sphinx.util.docutils import SphinxDirective

from deepatoms import studies
from deepatoms.claims import catalogue, checking

EQUATION = re.compile(r"(dfp|rsc|spl|csc|nest)-(.+)")


def setup(app):
    """Register the extension with Sphinx."""
    app.add_directive("check-functions", CheckFunctions)
    app.add_directive("equations", Equations)
    app.add_directive("modules", Modules)
    app.add_node(Placeholder)
    app.connect("autodoc-process-docstring", name_the_check)
    app.connect("env-purge-doc", forget)
    app.connect("doctree-read", note_equations)
    app.connect("env-updated", rewrite)
    app.connect("doctree-resolved", fill)
    return {"version": "1", "env_version": 1, "parallel_read_safe": False, "parallel_write_safe": True}


class Placeholder(nodes.General, nodes.Element):
    """Stands where a list follows that needs all pages to have been read."""


class CheckFunctions(SphinxDirective):
    """Document the functions of every module of checks (inside ``eval-rst``)."""

    def run(self):
        """Return the modules' documentation."""
        found = nodes.container()
        for name in check_modules():
            title = name.removeprefix(studies.__name__ + ".").replace(".checks", "").replace("_", " ").replace(".", ": ")
            lines = [f".. rubric:: {title.capitalize()}", "", f".. automodule:: {name}", "   :members:", ""]
            self.state.nested_parse(StringList(lines), 0, found)
        return found.children


def check_modules():
    """Return the full names of all modules that hold checks."""
    found = pkgutil.walk_packages(studies.__path__, studies.__name__ + ".")
    return sorted(module.name for module in found if measures(module.name))


def measures(name):
    """Tell whether a module, or what it holds, measures checks.

    >>> measures("deepatoms.studies.atoms.checks.prox"), measures("deepatoms.studies.atoms.drawing")
    (True, False)
    """
    return name.startswith(studies.__name__) and "checks" in name.split(".")


def name_the_check(app, what, name, thing, options, lines):
    """Say beneath the docstring of a function which checks it measures; bars and stars in words are mathematics, not marks."""
    lines[:] = [_plain(line, "|*" if measures(name) else "|") for line in lines]
    measured = _measured_by().get(name, [])
    if what == "function" and measured:
        lines += ["", "Measures " + ", ".join(f"``{check.split('/')[0]}`` ({check.split('/')[1]})" for check in measured) + "."]


def _plain(line, marks):
    r"""Take the meaning from marks outside backquotes and examples.

    >>> print(_plain("largest |x|, see :math:`|y|`", "|"))
    largest \|x\|, see :math:`|y|`
    """
    if line.lstrip().startswith((">>>", "...")):
        return line
    parts = re.split(r"(`+[^`]*`+)", line)
    return "".join(part if part.startswith("`") else re.sub(f"([{marks}])", r"\\\1", part) for part in parts)


@functools.lru_cache(maxsize=1)
def _measured_by():
    found = defaultdict(list)
    for chapter in dict.fromkeys(claim.chapter for claim in catalogue.load().claims.values()):
        for entry in checking.registered(chapter):
            found[f"{entry.function.__module__}.{entry.function.__qualname__}"].append(entry.id)
    return found


# ---- lists that need all pages ----

class _Later(SphinxDirective):
    def run(self):
        """Return a placeholder."""
        self.env.metadata[self.env.docname]["deepatoms-list"] = True
        return [Placeholder(kind=type(self).__name__)]


class Equations(_Later):
    """The labelled equations, each with the functions whose documentation names it."""


class Modules(_Later):
    """The documented modules, each with the first sentence of its documentation."""


def _mentions(env):
    if not hasattr(env, "deepatoms_mentions"):
        env.deepatoms_mentions = defaultdict(dict)  # page -> function -> labels
    return env.deepatoms_mentions


def forget(app, env, page):
    """Forget what a page said of equations."""
    _mentions(env).pop(page, None)


def note_equations(app, doctree):
    """Note which equations the documentation of each function names."""
    for described in doctree.findall(addnodes.desc):
        labels = [node["reftarget"] for node in described.findall(addnodes.pending_xref) if node["reftype"] == "eq"]
        signature = next(described.findall(addnodes.desc_signature))
        if labels and described["domain"] == "py" and signature.get("module"):
            _mentions(app.env)[app.env.docname][f"{signature['module']}.{signature['fullname']}"] = labels


def rewrite(app, env):
    """Write the pages with such lists again whenever anything was read."""
    return [page for page, known in env.metadata.items() if "deepatoms-list" in known]


def fill(app, doctree, page):
    """Put the lists in their places."""
    for place in list(doctree.findall(Placeholder)):
        rows = {"Equations": equation_rows, "Modules": module_rows}[place["kind"]](app, page)
        place.replace_self(_table(*rows))


def equation_rows(app, page):
    """Return the head and the rows of the table of equations."""
    functions = defaultdict(list)
    for documented in _mentions(app.env).values():
        for name, labels in documented.items():
            for label in dict.fromkeys(labels):
                functions[label].append(name)
    known = app.env.get_domain("math").equations
    rows = []
    for label in sorted(filter(EQUATION.match, known), key=_natural):
        home, number = known[label]
        rows.append(([_reference(app, page, home, f"equation-{label}", f"({number})")],
                     [_reference(app, page, home, "", app.env.titles[home].astext())],
                     _joined([_function(app, page, name) for name in functions[label]])))
    return ("Equation", "Stated in", "Named by"), rows


def _natural(label):
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", label)]


def module_rows(app, page):
    """Return the head and the rows of the table of modules."""
    rows = []
    for name, found in sorted(app.env.get_domain("py").modules.items()):
        if not measures(name):
            said = (importlib.import_module(name).__doc__ or "").strip().split("\n\n")[0].split("\n")[0]
            rows.append(([_reference(app, page, found.docname, found.node_id, name.removeprefix("deepatoms."), literal=True)],
                         [nodes.Text(_capital(said.split(": ", 1)[-1]))]))
    return ("Module", "What it holds"), rows


def _capital(sentence):
    return sentence[:1].upper() + sentence[1:]


def _function(app, page, name):
    found = app.env.get_domain("py").objects[name]
    return _reference(app, page, found.docname, found.node_id, name.removeprefix("deepatoms.theory."), literal=True)


def _reference(app, page, target, anchor, text, literal=False):
    uri = app.builder.get_relative_uri(page, target) + (f"#{anchor}" if anchor else "")
    said = nodes.literal("", text) if literal else nodes.Text(text)
    return nodes.reference("", "", said, internal=True, refuri=uri)


def _joined(items):
    return [part for item in items for part in (nodes.Text(", "), item)][1:]


def _table(head, rows):
    group = nodes.tgroup("", *(nodes.colspec(colwidth=1) for _ in head), cols=len(head))
    group += nodes.thead("", _row([nodes.Text(title)] for title in head))
    group += nodes.tbody("", *map(_row, rows))
    return nodes.table("", group)


def _row(cells):
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", *cell)) for cell in cells))
