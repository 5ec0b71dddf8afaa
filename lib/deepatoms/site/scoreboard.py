"""The scoreboard: every claim of the five papers with its verdict, computed when the site is built.

Nothing on it is typed. Outcomes come from the outputs stored in the chapters and from the recorded results; the verdict is
``claims.verdicts``. The extension gives five directives: ``{scoreboard}`` lists the claims of one paper,
``{scoreboard-counts}`` counts verdicts, ``{regressions}`` lists runs on other devices, ``{explorer}`` and ``{live}`` show a
chapter's first explorer and first live figure on another page.
"""

import functools
import html
import json
import pathlib
import re
from collections import Counter

import nbformat
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

from deepatoms.claims import catalogue, checking, verdicts
from deepatoms.pages import claim_html
from deepatoms.pages.chapter import stored
from deepatoms.runs import results

PAPERS = {"dfp": "Frame potential", "rsc": "ResNets as sparse coding", "spl": "Splines", "csc": "ML-CSC", "nest": "ResNEsts",
          "lens": "Five lenses"}
DOCUMENT_LINK = re.compile(r'href="[^"]*" data-document="([^"]+)"(?: data-query="([^"]+)")?')
CHECK_LINK = re.compile(r'href="[^"]*" data-check="([^"]+)"')


def setup(app):
    """Register the extension with Sphinx."""
    app.add_directive("scoreboard", Scoreboard)
    app.add_directive("scoreboard-counts", Counts)
    app.add_directive("regressions", Regressions)
    app.add_directive("explorer", FirstExplorer)
    app.add_directive("live", FirstLive)
    app.connect("env-get-outdated", outdated)
    app.connect("doctree-resolved", link)
    return {"version": "1", "env_version": 1, "parallel_read_safe": True, "parallel_write_safe": True}


# ---- what is known ----

def known(source, chapter):
    """Return all outcomes of a chapter's checks by (check, scale): stored in its notebook, else computed from records."""
    return _known(notebook(source, chapter), chapter, _state(source))


def _state(source):
    """Return what the outcomes depend on; a change of it is a change of them."""
    return hash(tuple((str(path), path.stat().st_mtime_ns) for path in inputs(source)))


@functools.lru_cache(maxsize=32)
def _known(path, chapter, _state):
    kept, found = stored(nbformat.read(path, as_version=4)) if path.exists() else {}, {}
    for entry in checking.registered(chapter):
        key = (entry.id, entry.scale)
        # A notebook keeps numbers; what they say is for the catalogue of today, not for a word beside them.
        outcome = checking.read(entry, kept[key]) if key in kept else _from_records(entry)
        found |= {key: outcome} if outcome else {}
    return found


def _from_records(entry):
    return None if entry.records is None else checking.run(entry, checking.Setting())


def judged(source, claim):
    """Return a claim's verdict, and its checks each with its outcomes."""
    outcomes = known(source, claim.chapter)
    found = {check.name: [outcome for (name, _), outcome in sorted(outcomes.items()) if name == check.id]
             for check in claim.checks}
    return verdicts.verdict(claim, found, _untested(source, claim, outcomes)), found


def _untested(source, claim, outcomes):
    if not notebook(source, claim.chapter).exists():
        return "chapter not written"
    return verdicts.untested(claim) if outcomes else "the chapter stores no outcome"


def notebook(source, chapter):
    """Return where a chapter's notebook stands, written or not."""
    return pathlib.Path(source) / "notebooks" / f"{chapter}.ipynb"


# ---- the directives ----

class _Computed(SphinxDirective):
    """A directive whose page is rebuilt when a notebook, a record or the catalogue changes."""

    def run(self):
        """Return the computed part of the page as raw HTML, and note on which files it rests."""
        for path in inputs(self.env.srcdir):
            self.env.note_dependency(str(path))
        self.env.metadata[self.env.docname]["deepatoms-computed"] = True
        return [nodes.raw("", self.page(), format="html")]


class Scoreboard(_Computed):
    """All claims of one paper."""

    option_spec = {"paper": directives.unchanged_required}

    def page(self):
        """Return the claims as HTML."""
        cards = (self._card(claim) for claim in catalogue.load().claims.values() if claim.paper == self.options["paper"])
        return '<div class="deepatoms-scoreboard">\n' + "\n".join(cards) + "\n</div>"

    def _card(self, claim):
        verdict, outcomes = judged(self.env.srcdir, claim)
        lines = [claim_html.check_row(check, outcomes[check.name], "#" if outcomes[check.name] else "")
                 for check in claim.checks]
        return claim_html.claim(claim, verdict, lines, self._chapter(claim.chapter))

    def _chapter(self, chapter):
        title = chapter.replace("-", " ")
        if not notebook(self.env.srcdir, chapter).exists():
            return f"Chapter: {title} (not written)"
        return f'Chapter: <a href="#" data-document="notebooks/{chapter}">{title}</a>'


class Counts(_Computed):
    """How many claims came out how, for each paper."""

    def page(self):
        """Return the counts as a bar and an HTML table."""
        book = catalogue.load()
        counts = Counter((claim.paper, judged(self.env.srcdir, claim)[0].text) for claim in book.claims.values())
        table = [(verdict, [counts[paper, verdict] for paper in book.papers]) for verdict in verdicts.VERDICTS]
        head = "".join(f'<th scope="col">{PAPERS[paper]}</th>' for paper in book.papers)
        body = "\n".join(_count_row(*row) for row in table)
        totals = "".join(f"<td>{sum(column)}</td>" for column in zip(*(row for _, row in table), strict=True))
        bar = "".join(f'<i data-verdict="{verdict}" style="flex:{sum(row)}"></i>' for verdict, row in table if sum(row))
        return (f'<div class="deepatoms-bar" aria-hidden="true">{bar}</div>\n'
                '<div class="deepatoms-scroll" tabindex="0" role="region" aria-label="Verdicts by paper">'
                f'<table class="deepatoms-counts"><thead><tr><td></td><th scope="col">All</th>{head}</tr></thead>\n'
                f'<tbody>{body}</tbody>\n<tfoot><tr><th scope="row">All claims</th><td>{len(book.claims)}</td>{totals}</tr>'
                "</tfoot></table></div>")


def _count_row(verdict, counts):
    cells = "".join(f"<td>{count or '·'}</td>" for count in counts)
    return (f'<tr><th scope="row"><a href="#" data-document="book/scoreboard" data-query="?verdict={verdict}#the-claims">'
            f"{claim_html.badge(verdict)}</a></th><td>{sum(counts) or '·'}</td>{cells}</tr>")


class FirstExplorer(_Computed):
    """The first explorer that a chapter stores, on another page."""

    required_arguments = 1
    kind = "deepatoms-explorer"

    def page(self):
        """Return the explorer's HTML, as it stands in the chapter's outputs."""
        path = notebook(self.env.srcdir, self.arguments[0])
        pages = [output.get("data", {}).get("text/html", "") for cell in nbformat.read(path, as_version=4).cells
                 for output in cell.get("outputs", [])]
        found = next((page for page in pages if self.kind in page), None)
        if found is None:
            raise self.error(f"{path.name} stores no {self.kind}; run the chapter and store its outputs")
        return found


class FirstLive(FirstExplorer):
    """The first live figure that a chapter stores, on another page."""

    kind = "deepatoms-live"


class Regressions(_Computed):
    """The committed reports of regress on other devices."""

    def page(self):
        """Return the reports as an HTML list, or a sentence when there is none."""
        reports = [json.loads(path.read_text()) for path in sorted((results.folder() / "regress").glob("*.json"))]
        said = "".join(f"<li>{html.escape(_report(report))}</li>" for report in reports)
        return f"<ul>{said}</ul>" if said else "<p>No run on another device has been recorded yet.</p>"


def _report(report):
    checks = sum(chapter["checks"] for chapter in report["chapters"])
    broken = sum(len(chapter["broken"]) for chapter in report["chapters"])
    return (f"{report['device']}, profile {report['profile']}, seed {report['seed']}, {report['date']}: "
            f"{checks} checks measured afresh, {broken} broken")


# ---- keeping it true and linked ----

def inputs(source):
    """Return the files that the computed pages rest on."""
    folder = pathlib.Path(source)
    checks = pathlib.Path(checking.__file__).parent
    return sorted([*folder.glob("notebooks/*.ipynb"), *results.folder().glob("*/*.json"), checks / "claims.yml",
                   checks / "verdicts.py", pathlib.Path(claim_html.__file__), pathlib.Path(__file__)])


def outdated(app, env, added, changed, removed):
    """Read the computed pages again when a notebook or record has come or gone (Sphinx sees those that changed)."""
    now, before = set(map(str, inputs(env.srcdir))), getattr(env, "deepatoms_inputs", None)
    env.deepatoms_inputs = now
    if now == before:
        return []
    return [page for page, known in env.metadata.items() if "deepatoms-computed" in known]


def link(app, doctree, page):
    """Point each check to its function's page, each chapter to its page, and each claim named in prose to the scoreboard."""
    if app.builder.format != "html":
        return
    for raw in list(doctree.findall(nodes.raw)):
        if 'class="math' in raw.astext():  # mathematics that Sphinx does not see: the page needs MathJax
            app.env.get_domain("math").data["has_equations"][page] = True
        if "data-check=" in raw.astext() or "data-document=" in raw.astext():
            raw.replace_self(nodes.raw("", _linked(app, page, raw.astext()), format="html"))
    if page == "book/scoreboard":
        return
    for literal in list(doctree.findall(nodes.literal)):
        if literal.astext() in catalogue.load().claims and not isinstance(literal.parent, nodes.reference):
            uri = app.builder.get_relative_uri(page, "book/scoreboard") + "#" + literal.astext()
            literal.replace_self(nodes.reference("", "", literal.deepcopy(), internal=True, refuri=uri))


def _linked(app, page, text):
    functions = app.env.get_domain("py").objects

    def to_function(match):
        name = measuring(match[1])
        if name not in functions:
            return f'data-check="{match[1]}"'
        found = functions[name]
        uri = app.builder.get_relative_uri(page, found.docname)
        return f'href="{uri}#{found.node_id}" data-check="{match[1]}"'

    def to_document(match):
        uri = app.builder.get_relative_uri(page, match[1])
        return f'href="{html.escape(uri + (match[2] or "").replace(" ", "%20"))}"'

    return DOCUMENT_LINK.sub(to_document, CHECK_LINK.sub(to_function, text))


@functools.lru_cache(maxsize=1024)
def measuring(identifier):
    """Return the full name of the function that measures a check; an empty string when there is none yet."""
    chapter = catalogue.load().claims[identifier.split("/")[0]].chapter
    return next((f"{entry.function.__module__}.{entry.function.__qualname__}" for entry in checking.registered(chapter)
                 if entry.id == identifier), "")
