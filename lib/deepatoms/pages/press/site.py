"""Building and serving the site."""

import functools
import http.server
import pathlib
import subprocess
import sys

from deepatoms.pages.press import house


def build():
    """Build the site from stored outputs, warnings as errors; print where it is."""
    command = [pathlib.Path(sys.executable).with_name("jupyter-book"), "build", str(house.ROOT), "--path-output", str(house.ROOT),
               "-W", "-n", "--keep-going", "-q"]
    if status := subprocess.run(command, cwd=house.ROOT, check=False).returncode:
        raise SystemExit(status)
    print(f"The book stands at {house.SITE / 'index.html'}")


def serve(port):
    """Serve the built site on this machine until interrupted."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=house.SITE)
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        print(f"http://127.0.0.1:{port}/  (Ctrl-C stops)")
        server.serve_forever()
