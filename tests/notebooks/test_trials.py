"""What the chapters tell the reader to try: the change that the text names is made, and what it foretells is measured."""

import ast
import contextlib
import io
import re

import nbformat
import pytest

from deepatoms.press import checkout

# For each "Try this" of a chapter, in order: what must be so before and after the change, from the cell's own names.
TRIALS = {
    "atoms": (lambda before, after: after["certified"] == before["certified"] and before["found"] > 0.8 and after["found"] < 0.2,
              lambda before, after: after["coherence"] > 1.8 * before["coherence"] and after["found"] > before["found"] - 0.1
              and abs(after["potential"] - before["potential"]) < 0.01 * before["potential"]),
    "ml-csc": (lambda before, after: before["lost"] == [0, 0] and after["lost"][0] <= 0.1 * len(after["signals"])
               and after["lost"][1] > 0.5 * len(after["signals"]),
               lambda before, after: before["low"] < before["high"]
               and after["low"] - after["noise"] > after["high"] + after["noise"] + 0.05),
    "deep-frame-potential": (lambda before, after: before["least"]["residual"] < before["least"]["chain"]
                             and after["least"]["residual"] > after["least"]["chain"],
                             lambda before, after: after["least"] == 0 < before["least"] and after["start"] > 0.1),
    "skip-dictionaries": (lambda before, after: before["largest"] < 3 and before["smallest"] > 0.3
                          and after["largest"] > 50 and after["smallest"] < 0.01,
                          lambda before, after: after["alone"] == pytest.approx(before["alone"])
                          and before["with_identity"] < 0.05 * before["alone"] and after["with_identity"] > 0.5 * after["alone"]),
    "resnests": (lambda before, after: before["risks"] == sorted(before["risks"], reverse=True)
                 and after["risks"] != sorted(after["risks"], reverse=True),
                 lambda before, after: before["reached"] == pytest.approx(before["least"])
                 and after["reached"] > 2 * after["least"]),
    "spline-templates": (lambda before, after: before["error"] < 1e-12 and after["error"] > 1e-6,
                         lambda before, after: min(before["products"]) < 0 < min(after["products"]) and after["moved"] < 1e-12),
    "five-lenses": (lambda before, after: after["F"] < 0.1 * before["F"] and after["mu"] == pytest.approx(before["mu"]),
                    lambda before, after: after["seen_from"] < 0.15 < 0.4 < before["seen_from"]),
    "spline-partitions": (lambda before, after: before["regions"] <= before["most"] < after["regions"],
                          lambda before, after: after["regions"] == 2 * after["units"] < before["regions"]),
}
CHANGE = re.compile(r"\*\*Try this\.\*\* Set `(\w+) = (-?[\d.]+)`")


def cells(chapter):
    return nbformat.read(checkout.NOTEBOOKS / f"{chapter}.ipynb", as_version=4).cells


def trials(chapter):
    """Return the text before each cell with the tag ``try``, and the cell's code."""
    found = cells(chapter)
    return [(text.source, cell.source) for text, cell in zip(found, found[1:], strict=False)
            if "try" in cell.metadata.get("tags", [])]


def imports(chapter):
    """Return the import statements of a chapter's set-up: all that a trial may lean on beside ``seed``."""
    source = next(cell.source for cell in cells(chapter) if "chapter.begin(" in cell.source)
    return "\n".join(ast.unparse(line) for line in ast.parse(source).body if isinstance(line, (ast.Import, ast.ImportFrom)))


def changed(code, name, value):
    """Return a cell's code with one of the numbers of its first line changed."""
    first, _, rest = code.partition("\n")
    names, values = (part.strip().split(", ") for part in first.partition("#")[0].split(" = "))
    values[names.index(name)] = value
    return f"{', '.join(names)} = {', '.join(values)}\n{rest}"


def run(chapter, code, seed):
    names = {"seed": seed}
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(f"{imports(chapter)}\n{code}", names)
    assert said.getvalue().count("\n") in (1, 2), "a trial prints a line or two"
    return names


@pytest.mark.parametrize("chapter", sorted(path.stem for path in checkout.NOTEBOOKS.glob("*.ipynb")))
def test_what_a_chapter_says_would_move_does(chapter):
    found = trials(chapter)
    assert len(found) == len(TRIALS[chapter]) >= 2
    for (text, code), foretold in zip(found, TRIALS[chapter], strict=True):
        name, value = CHANGE.match(text).groups()
        for seed in (0, 1):
            before, after = run(chapter, code, seed), run(chapter, changed(code, name, value), seed)
            assert foretold(before, after), f"{name} = {value}, seed {seed}"
            assert not foretold(before, before) and not foretold(after, after), "what is foretold must need the change"


def test_a_change_is_made_where_the_text_says():
    assert changed("a, b = 1, 2.5  # units\nprint(b)", "b", "7") == "a, b = 1, 7\nprint(b)"
    with pytest.raises(ValueError):
        changed("a, b = 1, 2\nprint(b)", "c", "7")
