"""Building and serving the site."""

import functools
import http.server
import pathlib
import shutil
import subprocess
import sys

from deepatoms.press import checkout


def build():
    """Build the site from stored outputs, warnings as errors; print where it is.

    After a build that was broken off all is built anew: Sphinx takes a page that is half written for a whole one.
    """
    root, folder = str(checkout.ROOT), checkout.SITE.parent
    begun = folder / "begun"
    if begun.exists():
        for part in ("html", ".doctrees"):
            shutil.rmtree(folder / part, ignore_errors=True)
    folder.mkdir(exist_ok=True)
    begun.touch()
    command = [pathlib.Path(sys.executable).with_name("jupyter-book"), "build", root,
               "--path-output", root, "-W", "-n", "--keep-going", "-q"]
    status = subprocess.run(command, cwd=checkout.ROOT, check=False).returncode
    if status >= 0:  # it ended by itself, and was not killed
        begun.unlink()
    if status:
        raise SystemExit(status)
    print(f"The book stands at {checkout.SITE / 'index.html'}")


class Pages(http.server.SimpleHTTPRequestHandler):
    """The built site, with its own page for what is not there."""

    @property
    def error_message_format(self):
        """Return the site's page with per cent signs doubled: the server fills in its own words by them."""
        return (checkout.SITE / "404.html").read_text("utf-8").replace("%", "%%")

    def send_head(self):
        """Answer whoever asks for this machine by its own name: another name that leads here is another site's trick."""
        host, port = (self.headers.get("Host") or "").lower(), self.server.server_address[1]
        if host not in (f"127.0.0.1:{port}", f"localhost:{port}"):
            return self.send_error(http.HTTPStatus.MISDIRECTED_REQUEST)
        return super().send_head()


def serve(port):
    """Serve the built site on this machine until interrupted."""
    with server(port) as serving:
        print(f"http://127.0.0.1:{serving.server_address[1]}/  (Ctrl-C stops)")
        serving.serve_forever()


def server(port):
    """Return the server of the built site, for this machine only; port 0 stands for any that is free."""
    return http.server.ThreadingHTTPServer(("127.0.0.1", port), functools.partial(Pages, directory=checkout.SITE))
