"""Every work that a docstring of the theory names by its year stands in the book's list of references."""

import ast
import re
from pathlib import Path

import pytest

from deepatoms import theory

REFERENCES = Path(__file__).parents[2] / "book" / "references.bib"
FILES = sorted(Path(theory.__path__[0]).rglob("*.py"))
YEAR = re.compile(r"\b(?:1[89]|20)\d\d\b")


def works():
    """Return (surname of the first author, year) of every entry."""
    if not REFERENCES.exists():
        pytest.skip("the list of references is not in this installation")
    for entry in REFERENCES.read_text("utf-8").split("\n@")[1:]:
        author, year = (re.search(rf"^  {name} = {{(.*?)}},?$", entry, re.M) for name in ("author", "year"))
        yield re.sub(r"[{}\\`]|\\'", "", author[1].split(",")[0]), year[1]


def unknown(docstring, known):
    """Return what a docstring says around each year after its "Source:" that belongs to no known first author."""
    text = " ".join(docstring.partition("Source:")[2].split())
    said = [(text[max(0, found.start() - 100):found.end()], found[0]) for found in YEAR.finditer(text)]
    return [before for before, year in said if not any(name in before for name, own in known if own == year)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: "/".join(path.parts[-2:]))
def test_named_works_are_referenced(path):
    known = list(works())
    nodes = (ast.FunctionDef, ast.ClassDef, ast.Module)
    texts = [ast.get_docstring(node) or "" for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, nodes)]
    assert not [said for text in texts for said in unknown(text, known)]


def test_a_work_from_memory_is_seen():
    known = [("Welch", "1974")]
    assert unknown("Bound. Source: Welch (1974), and Sidelnikov (1974).", known) == []
    assert unknown("Bound.\n\nSource: Levenshtein (1983).", known) == ["Levenshtein (1983"]
    assert unknown("Source: Welch (1973).", known)
