"""Serves Netron's page and the graph that it shows, on loopback and to nobody without the secret in the address.

The page is Netron's own, out of its package, without the parts that would speak to anybody else: `bridge.js` starts it
without consent page and usage reports, and a content security policy lets it reach nothing but this server.
"""

from __future__ import annotations

import contextlib
import http.server
import importlib.util
import json
import re
import secrets
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from PySide6.QtCore import QObject, QUrl, Signal

from qgui.core.errors import QguiError
from qgui.core.language import say
from qgui.core.resources import resources

LOOPBACK = "127.0.0.1"
_MOST_SAID = 100_000
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".onnx": "application/octet-stream",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class GraphServer(QObject):
    """A server in a thread of its own, from `start` to `stop`.

    Signals:
        said: What the page said, a dictionary with `event`: `shown` with `nodes`, `chosen` with `layer`, `failed` with
            `why`.

    Args:
        parent: Qt parent.
    """

    said = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self._marks = b"{}"

    def start(self) -> None:
        """Begin to serve, where that has not begun.

        Raises:
            QguiError: Netron is not installed.
            OSError: No port is free.
        """
        if self._server is not None:
            return
        self._server = _Server(_netron(), self.said.emit)
        self._server.marks = self._marks
        self._thread = threading.Thread(target=self._server.work, name="graph-server", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Serve no more, and wait for the thread; that takes no more than a moment."""
        if self._server is None or self._thread is None:
            return
        self._server.end()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()
        self._server = self._thread = None

    def show(self, path: Path) -> None:
        """Let the page show an ONNX file."""
        if self._server is not None:
            self._server.graph = path

    def mark(self, marks: dict[str, Any]) -> None:
        """Let the page write mode and SQNR to the layers, as `bridge.js` takes them."""
        self._marks = json.dumps(marks).encode()
        if self._server is not None:
            self._server.marks = self._marks

    def url(self) -> QUrl:
        """Return the address of the page; empty where nothing is served."""
        return QUrl(self._server.address) if self._server is not None else QUrl()


def _netron() -> Path:
    """Return the folder of Netron's page.

    Raises:
        QguiError: It is not installed.
    """
    found = importlib.util.find_spec("netron")
    for folder in (found.submodule_search_locations or ()) if found is not None else ():
        if (Path(folder) / "index.html").is_file():
            return Path(folder)
    raise QguiError(
        say("Could not show the graph"), say("Netron, which draws it, is not installed"), say("Run: pip install netron")
    )


class _Server(http.server.ThreadingHTTPServer):
    """Answers whoever knows the secret."""

    daemon_threads = False

    def __init__(self, netron: Path, hear: Callable[[dict[str, Any]], object]) -> None:
        super().__init__((LOOPBACK, 0), _Handler)
        self.netron = netron
        self.hear = hear
        self.secret = secrets.token_urlsafe(16)
        self.address = f"http://{LOOPBACK}:{self.server_address[1]}/{self.secret}/"
        self.graph: Path | None = None
        self.marks = b"{}"
        self._ending = False
        self._open: set[socket.socket] = set()

    def work(self) -> None:
        """Answer until the end."""
        while not self._ending:
            self.handle_request()

    def end(self) -> None:
        """Let `work` return: it waits for a request, so it gets one."""
        self._ending = True
        with socket.create_connection((LOOPBACK, self.server_address[1])):
            pass

    def hang_up(self) -> None:
        """Close the connections that a browser keeps for later."""
        for connection in tuple(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Take a connection, and remember it."""
        connection, address = super().get_request()
        self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        """Close a connection, and forget it."""
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A page that is closed while it loads is nothing to report."""

    def content(self, name: str) -> bytes | None:
        """Return what a name stands for, None where it stands for nothing."""
        if name == "":
            return self._index()
        if name == "marks.json":
            return self.marks
        if name == "data/graph.onnx":
            return self.graph.read_bytes() if self.graph is not None else None
        if re.fullmatch(r"bridge\.(js|css)", name):
            return (resources() / "graph" / name).read_bytes()
        path = self.netron / name
        if re.fullmatch(r"[\w.-]+\.(js|css|json|png|ico)", name) and path.is_file():
            return path.read_bytes()
        return None

    def _index(self) -> bytes:
        """Return Netron's page, told what to show, with the version of a build that reports nothing."""
        page = (self.netron / "index.html").read_text(encoding="utf-8")
        page = re.sub(r'<meta (name="(version|date)"|http-equiv="Content-Security-Policy")[^>]*>\n?', "", page)
        facts = {"type": "Python", "version": "0.0.0", "file": "data/graph.onnx", "identifier": "graph.onnx"}
        meta = "\n".join(f'<meta name="{name}" content="{value}">' for name, value in facts.items())
        page = page.replace("<head>", f"<head>\n{meta}", 1)
        ours = '<link rel="stylesheet" href="bridge.css">\n<script src="bridge.js"></script>\n</head>'
        return page.replace("</head>", ours, 1).encode()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    timeout = 10

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        start = f"/{self.server.secret}/"
        name = path.removeprefix(start)
        content = self.server.content(name) if path.startswith(start) else None
        if content is None:
            self._answer(404, b"")
        else:
            self._answer(200, content, _KINDS.get(Path(name).suffix or ".html", ""))

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if self.path != f"/{self.server.secret}/said" or not 0 < length <= _MOST_SAID:
            self._answer(404, b"")
            return
        try:
            said = json.loads(self.rfile.read(length))
        except ValueError:
            self._answer(400, b"")
            return
        self._answer(204, b"")
        if isinstance(said, dict):
            self.server.hear(said)

    def _answer(self, status: int, content: bytes, kind: str = "") -> None:
        self.send_response(status)
        if kind:
            self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Security-Policy", _POLICY)
        for name, value in (
            ("Cache-Control", "no-store"),
            ("Referrer-Policy", "no-referrer"),
            ("X-Content-Type-Options", "nosniff"),
            ("X-DNS-Prefetch-Control", "off"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing: the log is for the person."""
