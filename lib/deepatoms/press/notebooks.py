"""One runner for chapters, and the normal form in which their outputs are stored."""

import hashlib
import json
import logging
import os
import pathlib
import re
import sys
import tempfile
from collections import Counter

import nbformat
import papermill
from papermill.exceptions import PapermillExecutionError

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
KERNEL = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
          "language_info": {"name": "python"}}


def store(path):
    """Run a chapter and write its outputs in normal form; leave the file as it is when a cell fails or it was edited."""
    before = path.read_bytes()
    _demand_whole(path, before)
    try:
        done = run(path)
    except PapermillExecutionError as error:
        raise SystemExit(f"{path.name} was not stored: {error}") from None
    except OSError as error:
        raise SystemExit(f"{path.name} was not stored, and is as it was: {error}; make room, then run it again") from None
    text = dumps(normal(done))
    if path.read_bytes() != before:
        raise SystemExit(f"{path.name} was edited while its cells ran, and stays so; run make store CHAPTER={path.stem} again")
    part = path.with_suffix(".part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)  # whole or not at all
    except OSError as error:
        part.unlink(missing_ok=True)
        raise SystemExit(f"{path.name} was not stored, and is as it was: {error}; make room, then run it again") from None


def _demand_whole(path, content):
    """A notebook that was cut off is refused by its name, not by a hundred lines of what its reader says."""
    try:
        nbformat.reads(content.decode(), as_version=4)
    except (ValueError, AttributeError) as error:  # no JSON, no text, no notebook
        raise SystemExit(f"{path} is no whole notebook ({str(error).splitlines()[0][:80]}); git checkout restores it") from None


def run(path, **parameters):
    """Return the notebook run from top to bottom with papermill parameters; refuse one that it does not declare."""
    logging.getLogger("papermill").setLevel(logging.ERROR)
    os.environ["DEEPATOMS_STATIC"] = "1"  # explorers as plain HTML, without the widget that a person would move
    os.environ.pop("MPLBACKEND", None)  # the kernel's own shows figures of pyplot, any other hides them
    with tempfile.TemporaryDirectory() as scratch:
        copy = pathlib.Path(scratch) / path.name
        copy.write_text(dumps(normal(_unrun(nbformat.read(path, as_version=4)))), encoding="utf-8")
        _refuse_unknown(copy, parameters)
        papermill.execute_notebook(copy, copy, parameters, progress_bar=False, cwd=path.parent)
        return nbformat.read(copy, as_version=4)


def _unrun(notebook):
    """Return the notebook without outputs: what an earlier run left there, an error say, is not ours to read."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def _refuse_unknown(path, parameters):
    """Refuse what the notebook's ``parameters`` cell does not declare (papermill would only print a note)."""
    declared = papermill.inspect_notebook(str(path))
    unknown = sorted(set(parameters) - set(declared))
    if unknown:
        raise SystemExit(f"parameter = {unknown[0]!r} is not declared by {path.name}; it takes {', '.join(declared)}")


def normal(notebook):
    """Return the notebook with nothing in it that changes from run to run."""
    seen = Counter()
    cells = [_cell(cell, seen) for cell in notebook.cells if cell.source.strip()]
    return nbformat.from_dict({"cells": cells, "metadata": KERNEL, "nbformat": 4, "nbformat_minor": 5})


def _cell(cell, seen):
    if pasted := sorted(cell.get("attachments", {})):
        raise SystemExit(f"attachment = {pasted[0]!r} in the cell that begins {cell.source[:40]!r} is a pasted picture, which "
                         f"the site cannot show; save it in notebooks/ and write ![what it shows]({pasted[0]}) in its place")
    digest = hashlib.sha256(cell.source.encode()).hexdigest()[:8]
    seen[digest] += 1
    tags = {"tags": cell.metadata["tags"]} if cell.metadata.get("tags") else {}
    kept = {"cell_type": cell.cell_type, "id": f"{digest}-{seen[digest]}", "metadata": tags, "source": cell.source}
    if cell.cell_type == "code":
        kept |= {"execution_count": cell.execution_count, "outputs": _outputs(cell)}
    return kept


def _outputs(cell):
    for output in cell.outputs:
        if output.output_type == "stream" and output.name == "stderr":
            print(output.text, file=sys.stderr)  # an author should see a warning; the page should not
    return [_output(output) for output in _joined(cell.outputs)]


def _joined(outputs):
    """Join neighbouring pieces of standard output: where they are cut depends on the machine's speed."""
    joined = []
    for output in outputs:
        if output.output_type == "stream" and output.name == "stderr":
            continue
        if output.output_type == "stream" and joined and joined[-1].output_type == "stream":
            joined[-1] = nbformat.from_dict({**joined[-1], "text": joined[-1].text + output.text})
        else:
            joined.append(output)
    return joined


def _output(output):
    if output.output_type == "error":
        return output
    if output.output_type == "stream":
        return {"output_type": "stream", "name": output.name, "text": _without_addresses(output.text)}
    data = {kind: _without_addresses(value) for kind, value in sorted(output.data.items()) if kind != WIDGET_VIEW}
    kept = {"output_type": output.output_type, "data": data, "metadata": output.metadata}
    if output.output_type == "execute_result":
        kept["execution_count"] = output.execution_count
    return kept


def _without_addresses(value):
    return re.sub(r" at 0x[0-9a-f]+", "", value) if isinstance(value, str) else value


def dumps(notebook):
    """Return the text of a notebook file: sorted keys, one-space indent, lines as they are read."""
    lined = nbformat.v4.rwbase.split_lines(nbformat.from_dict(json.loads(json.dumps(notebook))))
    return json.dumps(lined, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def faults(path):
    """Return what keeps a stored notebook from being in normal form, as sentences; an empty list when nothing does."""
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    found = []
    if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
        found.append("its cells were not run once each from top to bottom")
    if any(output.output_type == "error" for cell in code for output in cell.outputs):
        found.append("a stored output is an error")
    if extra := sorted(set(notebook.metadata) - set(KERNEL)):
        found.append(f"its metadata holds {', '.join(extra)}")
    if extra := sorted({key for cell in notebook.cells for key in cell.metadata} - {"tags"}):
        found.append(f"its cells' metadata holds {', '.join(extra)}")
    if not found and path.read_text("utf-8") != dumps(normal(notebook)):
        found.append("its text is not in normal form")
    return found
