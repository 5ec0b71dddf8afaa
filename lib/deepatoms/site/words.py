"""What chapters say in stored words is what their stored numbers say: compared whenever pages are built.

A chapter's page shows the lines that ``make store`` wrote. Each of them is read again here: the result of a check, its
criterion and the verdict on a claim must be those that the numbers beside them and today's catalogue give.
"""

import html
import re

import nbformat
from sphinx.util import logging

from deepatoms.claims import catalogue, verdicts
from deepatoms.pages import claim_html
from deepatoms.site import scoreboard

ROW = re.compile(r'<details class="deepatoms-check" data-result="([^"]*)">(.*?)</details>', re.DOTALL)
CHECK = re.compile(r'data-check="([^"]*)"|<dt>Check</dt><dd><code>([^<]*)</code>')
LINE = re.compile(r'<li class="deepatoms-line"><b class="deepatoms-verdict" data-verdict="([^"]*)">(.*?)</li>', re.DOTALL)
CLAIM = re.compile(r"<code>([^<]*)</code></a>$")


def setup(app):
    """Register the extension with Sphinx."""
    app.connect("env-check-consistency", warn)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def warn(app, env):
    """Warn, which the book's build takes for an error, of every stored word that the numbers do not bear out."""
    for chapter in sorted({claim.chapter for claim in catalogue.load().claims.values()}):
        for fault in faults(env.srcdir, chapter):
            logging.getLogger(__name__).warning("notebooks/%s.ipynb %s; make store CHAPTER=%s", chapter, fault, chapter)


def faults(source, chapter):
    """Return in words what a chapter's stored pages say otherwise than its numbers and the catalogue."""
    path = scoreboard.notebook(source, chapter)
    if not path.exists():
        return []
    pages = [output.get("data", {}).get("text/html", "") for cell in nbformat.read(path, as_version=4).cells
             for output in cell.get("outputs", [])]
    return [fault for page in pages for fault in (*_rows(page, source, chapter), *_lines(page, source))]


def _rows(page, source, chapter):
    known = scoreboard.known(source, chapter)
    for result, row in ROW.findall(page):
        name = html.unescape(next(filter(None, CHECK.search(row).groups())))
        scales = {scale: outcome for (check, scale), outcome in known.items() if check == name}
        said = scales[max(scales, key=verdicts.SCALES.index)].result if scales else "none"
        if result != said:
            yield f"says that {name} {result}, but its numbers and the catalogue say {said}"
        if scales and f"· must be {claim_html.criterion(catalogue.load().check(name))} ·" not in row:
            yield f"shows another criterion for {name} than the catalogue"


def _lines(page, source):
    for verdict, line in LINE.findall(page):
        name = html.unescape(CLAIM.search(line)[1])
        said = scoreboard.judged(source, catalogue.load().claims[name])[0].text
        if html.unescape(verdict) != said:
            yield f"gives the verdict {verdict!r} on {name}, but its numbers and the catalogue give {said!r}"
