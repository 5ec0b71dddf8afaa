"""A real browser without a way out: every request to another host is blocked and recorded."""

import contextlib
import functools
import http.server
import pathlib
import shutil
import sys
import threading
import urllib.parse

import pytest
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(pathlib.Path(__file__).parent))
ROOT = pathlib.Path(__file__).parents[2]
SITE = ROOT / "_build" / "html"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]
LOOP_TAKES = 14


@pytest.fixture(scope="session")
def browser():
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.fail(f"no browser: none of {', '.join(BROWSERS)} is installed; install one, on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=found, headless=True, args=FLAGS)
        yield launched
        launched.close()


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serve files without a word."""

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="session")
def serve():
    """Return a function that serves a folder on a free local port and returns its address."""
    with contextlib.ExitStack() as stack:
        def served(folder):
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            return f"http://127.0.0.1:{server.server_port}/"

        yield served


@pytest.fixture(scope="session")
def site(serve):
    """The address of the built site."""
    if not (SITE / "index.html").exists():
        pytest.fail("no built site in _build/html; run make book first")
    return serve(SITE)


@pytest.fixture
def open_page(browser):
    """Return a function that opens an address in a fresh context; at the end no request has left and no error was logged.

    ``open_page(address, **context)`` takes Playwright's context options (viewport, color_scheme, has_touch,
    java_script_enabled). The page carries ``outside`` (blocked addresses) and ``errors`` (console errors and exceptions).
    """
    contexts, pages = [], []

    def opened(address, **options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        pages.append(page)
        page.outside, page.errors = [], []
        context.route("**/*", functools.partial(_let_only_local, page))
        page.on("console", lambda message: page.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.goto(address)
        return page

    yield opened
    left, errors = [each for page in pages for each in page.outside], [each for page in pages for each in page.errors]
    for context in contexts:
        context.close()
    assert not left, f"requests to other hosts: {left}"
    assert not errors, f"errors in the console: {errors}"


def _let_only_local(page, route):
    host = urllib.parse.urlsplit(route.request.url).hostname
    if host in ("127.0.0.1", None):  # None: data addresses
        route.continue_()
    else:
        page.outside.append(route.request.url)
        route.abort()


@pytest.fixture(scope="session")
def loop():
    """A fixed piece of work in JavaScript; LOOP_TAKES milliseconds on the machine that the limits were set for."""
    return """() => {
        let sum = 0;
        for (let i = 1; i <= 4e6; i++) sum += Math.sqrt(i) * (i % 7);
        return sum;
    }"""


@pytest.fixture(scope="session")
def took(loop):
    """Return a function: the 95th percentile of a piece of work in milliseconds of that machine.

    ``took(page, work, turns)`` runs ``work(turn)``, JavaScript, and the loop by turns: other processes and a slower
    processor make both dearer, so that the loop's median is the unit. The best of three rounds.
    """
    def measured(page, work, turns=40):
        rounds = [page.evaluate(f"""() => {{
            const clock = run => {{
                const before = performance.now();
                run();
                document.body.getBoundingClientRect();  // forces the layout
                return performance.now() - before;
            }};
            const turns = [...Array({turns}).keys()].map(turn => [clock(() => ({work})(turn)), clock({loop})]);
            const at = (which, share) => turns.map(each => each[which]).sort((a, b) => a - b)[Math.ceil(share * {turns}) - 1];
            return [at(0, 0.95), at(1, 0.5)];
        }}""") for _ in range(3)]
        return min(LOOP_TAKES * work / loop for work, loop in rounds)

    return measured
