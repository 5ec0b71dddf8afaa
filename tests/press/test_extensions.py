"""The site's own extensions on a book of one or two pages: what reference pages list, how written pages are mended."""

import importlib
import pkgutil
import re
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

from deepatoms import site
from deepatoms.claims import checking
from deepatoms.site import reference, theme
from deepatoms.theory import pursuit

CHECKS = "deepatoms.studies.atoms.checks"
SETTINGS = {"extensions": ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "deepatoms.site.reference"], "html_theme": "basic"}
LISTS = "Lists\n=====\n\n.. modules::\n\n.. equations::\n\n.. toctree::\n\n   api\n"
STATED = """
Stated
======

.. math:: a = b
   :label: dfp-10

.. math:: a = c
   :label: dfp-9

.. math:: a = d
   :label: other

.. module:: deepatoms.theory.pursuit

.. function:: chosen(x)

   It is Equations :eq:`dfp-10`, :eq:`dfp-10` and :eq:`other`.

.. automodule:: deepatoms.studies.atoms.checks
   :members: two_forms
"""


@pytest.fixture
def book(tmp_path):
    """Return a folder of two pages, and a function that builds what has changed and returns the lists' rows and both pages."""
    (tmp_path / "index.rst").write_text(LISTS)
    (tmp_path / "api.rst").write_text(STATED)

    def pages():
        with docutils_namespace():
            Sphinx(tmp_path, None, tmp_path / "out", tmp_path / "trees", "html", SETTINGS, status=None, warning=None).build()
        listed, api = ((tmp_path / "out" / name).read_text("utf-8") for name in ("index.html", "api.html"))
        rows = [[re.sub("<[^>]+>", "", cell).strip() for cell in re.findall(r"<t[dh].*?</t[dh]>", row, re.DOTALL)]
                for row in re.findall(r"<tr.*?</tr>", listed, re.DOTALL)]
        return rows, listed, api

    return tmp_path, pages


@pytest.mark.slow
def test_modules_and_equations_are_listed_with_what_is_said_of_them_wherever_that_stands(book):
    folder, pages = book
    rows, listed, api = pages()
    first = pursuit.__doc__.split("\n")[0]
    assert rows[1][0] == "theory.pursuit" and rows[1][1].lower() == first.split(": ", 1)[-1].lower()
    assert [row for row in rows if "checks" in row[0]] == [], "modules of checks have a page of their own"
    assert rows[2] == ["Equation", "Stated in", "Named by"]
    assert rows[3:] == [["(2)", "Stated", ""], ["(1)", "Stated", "pursuit.chosen"]], "in their order, those of the papers alone"
    assert 'href="api.html#deepatoms.theory.pursuit.chosen"' in listed
    assert "dfp.eq2" in api and "two_forms" in api, "a function says which check it measures"
    (folder / "api.rst").write_text(STATED.replace("dfp-10`, :eq:`dfp-10` and", "dfp-9` and"))
    assert pages()[0][3:] == [["(2)", "Stated", "pursuit.chosen"], ["(1)", "Stated", ""]], "the lists follow another page"


def test_bars_are_no_marks_anywhere_and_stars_none_where_words_are_of_checks():
    def told(name):
        lines = ["|x| and *y*, `|a*|`", ">>> |x| * 2"]
        reference.name_the_check(None, "module", name, None, None, lines)
        return lines
    assert told("deepatoms.theory.pursuit") == [r"\|x\| and *y*, `|a*|`", ">>> |x| * 2"]
    assert told(CHECKS) == [r"\|x\| and \*y\*, `|a*|`", ">>> |x| * 2"]
    assert reference._plain("|x| in `", "|") == r"\|x\| in `", "a backquote that the next line closes holds nothing before it"


def test_the_modules_of_checks_are_those_that_register_checks():
    found = reference.check_modules()
    for entry in checking.registered("atoms"):
        assert entry.function.__module__ in found
    assert all("checks" in name.split(".") for name in found) and found == sorted(found)


def written(tmp_path, **pages):
    for name, text in pages.items():
        path = tmp_path / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".html").write_text(text)
    return SimpleNamespace(builder=SimpleNamespace(format="html"), outdir=tmp_path)


def test_a_link_back_from_source_leads_to_the_place_that_there_is(tmp_path):
    links = [f'<a class="viewcode-back" href="../api.html#{name}"' for name in ("there", "gone")]
    app = written(tmp_path, api='<p id="there">', _modules__code="".join(links), _static__code="".join(links))
    for _ in range(2):
        theme.mend_pages(app, None)
        assert (tmp_path / "_modules/code.html").read_text() == links[0] + '<a class="viewcode-back" href="../api.html"'
        assert (tmp_path / "_static/code.html").read_text() == "".join(links), "what is not the book's is left alone"


def test_nothing_is_mended_after_a_failure_or_in_another_format(tmp_path):
    fault = '<div class="citation" role="doc-biblioentry">'
    app = written(tmp_path, page=fault)
    theme.mend_pages(app, ValueError())
    theme.mend_pages(SimpleNamespace(builder=SimpleNamespace(format="latex"), outdir=tmp_path), None)
    assert (tmp_path / "page.html").read_text() == fault
    theme.mend_pages(app, None)
    assert (tmp_path / "page.html").read_text() == '<div class="citation">'


def test_every_extension_may_write_in_parallel_and_read_too_but_the_one_whose_notes_are_not_merged():
    modules = [importlib.import_module(found.name) for found in pkgutil.iter_modules(site.__path__, site.__name__ + ".")]
    extensions = [module for module in modules if hasattr(module, "setup")]
    assert len(extensions) > 5
    for module in extensions:
        told = module.setup(MagicMock())
        assert told["parallel_write_safe"] is True and told["parallel_read_safe"] is (module is not reference)


def test_a_page_has_the_scripts_of_the_live_figures_that_it_shows_and_all_others_but_those():
    (shown, scripts), (_, unneeded) = list(theme.SCRIPTS.items())[:2]
    files = ["_static/theme.js", *(SimpleNamespace(filename=f"_static/live/{name}")
                                   for name in dict.fromkeys(["kit.js", *scripts, *unneeded]))]

    def left(body):
        context = {"body": body, "script_files": list(files)}
        theme.leave_scripts(None, "a", "page.html", context, None)
        return [theme._place(script) for script in context["script_files"]]

    assert left("no figure") == ["theme.js"]
    needed = {"theme.js", "live/kit.js", *(f"live/{name}" for name in scripts)}
    assert set(left(f'<div data-live="{shown}">')) == needed and len(left(f'<div data-live="{shown}">')) == len(needed)


def built_app(tmp_path, kind="html", icon="icon.ico"):
    (tmp_path / "out").mkdir(exist_ok=True)
    return SimpleNamespace(builder=SimpleNamespace(format=kind), outdir=tmp_path / "out", srcdir=tmp_path,
                           config=SimpleNamespace(html_favicon=icon))


def test_mathjax_s_files_and_folders_are_copied_once_and_only_into_pages_that_were_built(tmp_path, monkeypatch):
    source = tmp_path / "package" / "static" / "mathjax"
    (source / "output/chtml").mkdir(parents=True)
    (source / "output/chtml/font").write_text("letters")
    (source / "tex-chtml.js").write_text("script")
    monkeypatch.setattr(theme, "MATHJAX", ("tex-chtml.js", "output/chtml"))
    found = SimpleNamespace(origin=str(tmp_path / "package" / "__init__.py"))
    monkeypatch.setattr(theme.importlib.util, "find_spec", lambda name: found)
    target = tmp_path / "out" / "_static" / "mathjax"
    theme.copy_mathjax(built_app(tmp_path), ValueError())
    theme.copy_mathjax(built_app(tmp_path, "latex"), None)
    assert not target.exists()
    theme.copy_mathjax(built_app(tmp_path), None)
    assert (target / "tex-chtml.js").read_text() == "script" and (target / "output/chtml/font").read_text() == "letters"
    (target / "tex-chtml.js").write_text("kept")
    theme.copy_mathjax(built_app(tmp_path), None)
    assert (target / "tex-chtml.js").read_text() == "kept"


def test_the_icon_is_copied_where_there_is_one_into_pages_that_were_built(tmp_path):
    (tmp_path / "icon.ico").write_text("icon")
    for app, failure in ((built_app(tmp_path), ValueError()), (built_app(tmp_path, "latex"), None),
                         (built_app(tmp_path, icon=""), None)):
        theme.copy_icon(app, failure)
        assert not (tmp_path / "out" / "favicon.ico").exists()
    theme.copy_icon(built_app(tmp_path), None)
    assert (tmp_path / "out" / "favicon.ico").read_text() == "icon"


def test_lists_that_listeners_hear_nested_are_mended_in_the_index_of_sources_alone(tmp_path):
    fault = "</li>\n<ul>"
    app = written(tmp_path, _modules__index=fault, _modules__other=fault, index=fault)
    theme.mend_pages(app, None)
    assert [(tmp_path / name).read_text() == fault for name in ("_modules/index.html", "_modules/other.html", "index.html")] \
        == [False, True, True]
