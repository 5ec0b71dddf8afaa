"""The whole book as one PDF: the built pages, printed by a browser in the order of the table of contents, and joined."""

import contextlib
import functools
import http.server
import io
import itertools
import pathlib
import shutil
import threading

import yaml

from deepatoms import _doors
from deepatoms.pages import address
from deepatoms.press import checkout

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
PATIENCE = 300_000  # milliseconds: the scoreboard sets thousands of formulas, on a busy machine for longer than half a minute
SCALES = 0.8, 0.78, 0.76, 0.74  # a page that ends with a few lines on a sheet of their own is set a little smaller
FEW = 400  # letters
MARGINS = {"top": "16mm", "bottom": "18mm", "left": "14mm", "right": "14mm"}
SETTLED = "() => !window.MathJax?.startup?.promise || MathJax.startup.promise.then(() => true)"
# Proofs and lists that a reader of the page would open; code that the page hides stays hidden.
FOLDS = "details.sd-dropdown, details.deepatoms-held, details.deepatoms-more, .tag_solution > details.hide"
OPEN = f"() => document.querySelectorAll('{FOLDS}').forEach(part => {{ part.open = true; }})"
FOOT = ('<div style="font: 8px sans-serif; width: 100%; text-align: center">'
        '<span class="pageNumber"></span> / <span class="totalPages"></span></div>')
# A link to the live page with its code, at the head of what is printed.
LIVE = """([address, code]) => document.querySelector('main article, main').insertAdjacentHTML('afterbegin',
  `<p class="deepatoms-printed"><a href="${address}">${code}</a> Figures that move: <a href="${address}">${address}</a></p>`)"""


def write(site=checkout.SITE, out=None, config=None):
    """Print the built site into one PDF and return its path.

    Args:
        site: folder of the built site.
        out: file to write; ``deep-atoms.pdf`` beside the site unless given.
        config: its ``_config.yml``, beside a ``_toc.yml``; the book's unless given.

    Raises:
        SystemExit: when the site is not built, or no browser is installed.
    """
    _doors.demand("deepatoms.press.pdf", "pdf", "pypdf", "segno", "playwright")
    config = pathlib.Path(config or checkout.ROOT / "_config.yml")
    pages = documents(config.with_name("_toc.yml"))
    missing = [page for page in pages if not (site / f"{page}.html").exists()]
    if missing:
        raise SystemExit(f"{missing[0]}.html is not in {site}; run make book first")
    out = pathlib.Path(out or site.parent / "deep-atoms.pdf")
    with _served(site) as root, _browser() as browser:
        printed = {page: _printed(browser, root, page, address.read(config)["address"]) for page in pages}
    _joined(printed, root).write(out)
    return out


def documents(toc):
    """Return the documents of a table of contents in reading order."""
    return list(_entries(yaml.safe_load(pathlib.Path(toc).read_text("utf-8"))))


def _entries(entry):
    yield from (entry[key] for key in ("root", "file") if key in entry)
    for group in ("parts", "chapters", "sections"):
        for each in entry.get(group, []):
            yield from _entries(each)


@contextlib.contextmanager
def _served(site):
    """Serve the site on a free port: under it a link of a printed page says which page it means."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Silent, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def _browser():
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise SystemExit(f"no browser: none of {', '.join(BROWSERS)} is installed; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield launched
        launched.close()


def _printed(browser, root, page, address):
    """Return a page's title and its PDF, in light colours, explorers at the frame with which they open."""
    tab = browser.new_page(color_scheme="light", viewport={"width": 900, "height": 1200})
    tab.set_default_timeout(PATIENCE)
    tab.goto(f"{root}{page}.html")
    tab.wait_for_function(SETTLED)
    tab.evaluate(OPEN)
    if address:
        live = f"{address.rstrip('/')}/{page}.html"
        tab.evaluate(LIVE, [live, code(live)])
    title = tab.evaluate("() => document.querySelector('h1')?.firstChild?.textContent?.trim() || document.title")
    for scale in SCALES:
        data = tab.pdf(format="A4", margin=MARGINS, print_background=True, scale=scale)
        if not _ends_in_a_few_lines(data):
            break
    tab.close()
    return title, data


def _ends_in_a_few_lines(data):
    import pypdf

    sheets = pypdf.PdfReader(io.BytesIO(data)).pages
    return len(sheets) > 1 and len(sheets[-1].extract_text()) < FEW


def code(address):
    """Return an address as a QR code (SVG).

    >>> code("https://example.org").startswith("<svg")
    True
    """
    import segno

    return segno.make(address, error="m").svg_inline(scale=2, border=1)


def _joined(printed, root):
    """Return one document with a bookmark for each page; links within the book lead to where those pages begin."""
    import pypdf

    whole, readers = pypdf.PdfWriter(), {page: pypdf.PdfReader(io.BytesIO(data)) for page, (_, data) in printed.items()}
    begins = dict(zip(readers, itertools.accumulate((len(reader.pages) for reader in readers.values()), initial=0), strict=False))
    for reader in readers.values():
        for sheet in reader.pages:
            whole.add_page(sheet)
    for page, reader in readers.items():
        whole.add_outline_item(title=printed[page][0], page_number=begins[page])
        places = {name: begins[page] + reader.get_destination_page_number(place)
                  for name, place in reader.named_destinations.items()}
        for sheet in whole.pages[begins[page]:begins[page] + len(reader.pages)]:
            for link in sheet.get("/Annots") or ():
                _turn_inside(whole, link.get_object(), places | {root + other: at for other, at in begins.items()}, root)
    return whole


def _turn_inside(whole, link, places, root):
    """Point a link at the sheet where its target is; one to a page that was not printed leads nowhere."""
    from pypdf.generic import ArrayObject, NameObject

    action = link["/A"].get_object() if "/A" in link else {}
    target = str(action.get("/URI", "")).partition("#")[0].removesuffix(".html") or str(link.get("/Dest", ""))
    if target in places:
        sheet = whole.pages[places[target]].indirect_reference
        link[NameObject("/Dest")] = ArrayObject([sheet, NameObject("/Fit")])
    if target in places or target.startswith(root):
        link.pop("/A", None)
