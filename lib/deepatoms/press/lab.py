"""The chapters in JupyterLab: a reader works on copies, in which the book's own markup has become plain Markdown.

JupyterLab knows neither the site's links nor its numbers of equations, shows a stored figure only of a notebook that is
trusted, and saves by itself. So ``make lab`` opens copies in ``work/``, which git ignores, trusted and rooted at the checkout.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
from nbformat.sign import NotebookNotary

from deepatoms.pages import claim_html
from deepatoms.pages.equations import numbered
from deepatoms.press import checkout, notebooks

WORK = checkout.ROOT / "work"
# This machine only, and by its own name: another that leads here is refused.
HERE = ("--ServerApp.ip=127.0.0.1", "--ServerApp.allow_remote_access=False")
ROLE = re.compile(r"\{(func|class|meth|mod|eq|cite|doc)\}`([^`]+)`")
EQUATION = re.compile(r"\$\$\n(.*?)\n\$\$ \(([\w-]+)\)", re.DOTALL)
STORED = "*This copy is yours. What it shows is stored and stands still until you run it: menu Run, Run All Cells.*"
BLOCK = re.compile(r"^(`{3,}|:{3,})\{(dropdown|admonition)\} *(.*?)\n(.*?)\n\1 *$", re.DOTALL | re.MULTILINE)


def open_lab(arguments=()):
    """Open JupyterLab on the reader's copies of the chapters, on this machine only."""
    for path in checkout.chapters():
        print(working_copy(path))
    os.environ["DEEPATOMS_STATIC"] = "0"
    _without_news()
    command = [Path(sys.executable).with_name("jupyter"), "lab", f"--ServerApp.root_dir={checkout.ROOT}", *HERE,
               f"--LabApp.default_url=/lab/tree/{WORK.name}/{checkout.chapters()[0].name}", *arguments]
    raise SystemExit(subprocess.run(command, cwd=checkout.ROOT, check=False).returncode)


def _without_news():
    """Keep JupyterLab of this environment from asking whether it may fetch news."""
    settings = Path(sys.prefix, "share", "jupyter", "lab", "settings", "overrides.json")
    settings.parent.mkdir(parents=True, exist_ok=True)
    if not settings.exists():
        settings.write_text(json.dumps({"@jupyterlab/apputils-extension:notification": {
            "fetchNews": "false", "checkForUpdates": False}}))


def working_copy(path, folder=WORK):
    """Write the reader's copy of a chapter unless there is one, trust it, and return a sentence that says which."""
    folder.mkdir(exist_ok=True)
    copy = folder / path.name
    if kept := copy.exists():
        said = f"{folder.name}/{path.name} is yours and stays as it is; delete it for a fresh copy"
    else:
        copy.write_text(notebooks.dumps(readable(nbformat.read(path, as_version=4))), encoding="utf-8")
        said = f"{folder.name}/{path.name} is a fresh copy"
    notebook = nbformat.read(copy, as_version=4)
    if not kept or not NotebookNotary().check_signature(notebook):
        NotebookNotary().sign(notebook)
    return said


def readable(notebook):
    """Return a chapter as JupyterLab can show it: plain Markdown, set-up and solutions folded, and a first word on running it."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = markdown(cell.source)
            continue
        _fold(cell, set(cell.metadata.get("tags", ())))
        for output in cell.outputs:
            if "deepatoms-check" in (page := output.get("data", {}).get("text/html", "")) or "deepatoms-line" in page:
                output.data["text/html"] = claim_html.style() + page
    if notebook.cells[0].cell_type == "markdown":  # its question and its answer
        notebook.cells[0].source += f"\n\n{STORED}"
    return notebook


def _fold(cell, tags):
    """Fold what the site folds; the numbers that a reader may set stay in sight."""
    if "solution" in tags:
        cell.metadata["jupyter"] = {"source_hidden": True, "outputs_hidden": True}
    elif "hide-cell" in tags and "parameters" not in tags:
        cell.metadata["jupyter"] = {"source_hidden": True}


def markdown(source):
    r"""Return MyST text as Markdown that every Jupyter shows.

    >>> markdown("As {eq}`dfp-eq-2` says, {func}`~deepatoms.theory.dictionaries.gram` {cite}`dfp`.")
    'As (dfp 2) says, [gram](../lib/deepatoms/theory/dictionaries.py) [dfp].'
    >>> print(markdown("$$\na = b\n$$ (dfp-eq-2)"))
    $$
    a = b \tag{dfp 2}
    $$
    >>> print(markdown("```{dropdown} Solution\nSeven.\n```"))
    <details><summary>Solution</summary>
    <BLANKLINE>
    Seven.
    <BLANKLINE>
    </details>
    """
    source = EQUATION.sub(lambda match: f"$$\n{match[1]} \\tag{{{numbered(match[2])}}}\n$$", source)
    return ROLE.sub(_role, BLOCK.sub(_block, source))


def _block(match):
    if match[2] == "dropdown":
        return f"<details><summary>{match[3]}</summary>\n\n{match[4]}\n\n</details>"
    return "\n".join(f"> {line}".rstrip() for line in [f"**{match[3]}**", "", *match[4].split("\n")])


def _role(match):
    role, target = match.groups()
    if role == "eq":
        return f"({numbered(target)})"
    if role == "cite":
        return f"[{target.replace(',', ', ')}]"
    if role == "doc":
        return f"[{Path(target).name}]({target}.ipynb)" if "notebooks" in target else f"[{Path(target).name}]({target}.md)"
    name = target.lstrip("~")
    # Not as code: JupyterLab shows code in a link as any other, and nobody would click it.
    return f"[{name.rsplit('.', 1)[1] if target != name else name}]({_source(name)})"


def _source(name):
    """Return the file in which a dotted name is defined, as seen from a chapter."""
    parts = name.split(".")
    while parts:
        for ending in (".py", "/__init__.py"):
            if (checkout.ROOT / "lib" / ("/".join(parts) + ending)).exists():
                return "../lib/" + "/".join(parts) + ending
        parts.pop()
    raise SystemExit(f"name = {name!r} is in no file of lib/; write its whole dotted name")
