"""The reference's sources: every page is in the table of contents, and every module it documents imports."""

import importlib
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PAGES = sorted((ROOT / "book" / "api").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_module_of_a_reference_page_imports(page):
    for name in re.findall(r"automodule:: ([\w.]+)", page.read_text()):
        importlib.import_module(name)


def test_every_reference_page_is_in_the_table_of_contents():
    listed = set(re.findall(r"file: book/api/(\w+)", (ROOT / "_toc.yml").read_text()))
    assert listed == {page.stem for page in PAGES}
