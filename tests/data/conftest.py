import http.server
import threading

import pytest

from deepatoms.data import files


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of its own, and no folder of the reader's."""
    monkeypatch.setattr(files, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.delenv("DEEPATOMS_DATA", raising=False)
    return tmp_path / "cache"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        site = self.server.site
        site.requests.append((self.path, self.headers.get("Range")))
        if self.path not in site.content:
            return self.send_error(404)
        content = site.content[self.path]
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1]) if site.ranges else 0
        if start >= len(content):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        cut = site.cuts.pop(0) if site.cuts else None
        self._send(content[start:][:cut], site)
        self.close_connection = True

    def _send(self, content, site):
        for place in range(0, len(content), 1 << 14):
            self.wfile.write(content[place:place + (1 << 14)])
            site.pause.wait(site.delay)

    def log_message(self, *_):
        """Keep the tests' output clean."""


class Site:
    """A server on this machine: its content, how many bytes each answer sends before it is cut, the requests it saw."""

    def __init__(self, address):
        self.address, self.content, self.cuts, self.requests = address, {}, [], []
        self.ranges, self.delay, self.pause = True, 0.0, threading.Event()


@pytest.fixture
def site():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None
    server.site = Site(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server.site
    server.shutdown()
    server.server_close()
    thread.join()
