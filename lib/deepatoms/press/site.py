"""Building and serving the site."""

import functools
import http.server
import pathlib
import subprocess
import sys

from deepatoms.press import checkout


def build():
    """Build the site from stored outputs, warnings as errors; print where it is."""
    root = str(checkout.ROOT)
    command = [pathlib.Path(sys.executable).with_name("jupyter-book"), "build", root,
               "--path-output", root, "-W", "-n", "--keep-going", "-q"]
    if status := subprocess.run(command, cwd=checkout.ROOT, check=False).returncode:
        raise SystemExit(status)
    print(f"The book stands at {checkout.SITE / 'index.html'}")


class Pages(http.server.SimpleHTTPRequestHandler):
    """The built site, with its own page for what is not there."""

    @property
    def error_message_format(self):
        """Return the site's page with per cent signs doubled: the server fills in its own words by them."""
        return (checkout.SITE / "404.html").read_text("utf-8").replace("%", "%%")


def serve(port):
    """Serve the built site on this machine until interrupted."""
    handler = functools.partial(Pages, directory=checkout.SITE)
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        print(f"http://127.0.0.1:{port}/  (Ctrl-C stops)")
        server.serve_forever()
