"""The live view in a browser: one page on loopback, for whoever has its address.

The address holds a token that nobody can guess; without it, or under another name than that of loopback, the
server says nothing of the program. It listens as long as the view is there.
"""

import http.server
import secrets
import threading
import urllib.parse
from collections.abc import Callable

from plait import _core

_HTML, _TEXT = "text/html; charset=utf-8", "text/plain; charset=utf-8"


class Server:
    """Serves the view of one watcher; `with` it, on a port that was free."""

    def __init__(self, watcher: _core.Watcher, what: str) -> None:
        """Listen, but answer nobody yet."""
        self._token = secrets.token_urlsafe(24)
        answers: dict[str, tuple[str, Callable[[], bytes]]] = {
            "/": (_HTML, lambda: _core.Watcher.web_page(what).encode()),
            "/lanes": ("application/octet-stream", watcher.web_lanes),
            "/verdict": (_HTML, lambda: watcher.web_verdict().encode()),
        }
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(answers, self._token))
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="plait-web", daemon=True
        )

    @property
    def address(self) -> str:
        """Where the view is, token included."""
        return f"http://127.0.0.1:{self._server.server_port}/?token={self._token}"

    def __enter__(self) -> "Server":
        """Begin to answer."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()


def _handler(
    answers: dict[str, tuple[str, Callable[[], bytes]]], token: str
) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Who connects and says nothing keeps no thread for long.
        timeout = 20

        def do_GET(self) -> None:
            address = urllib.parse.urlsplit(self.path)
            given = urllib.parse.parse_qs(address.query).get("token", [""])[0]
            # A page of somebody else's, whose name was made to lead here, has another name and no token.
            port = self.connection.getsockname()[1]
            is_here = self.headers.get("Host") in (f"127.0.0.1:{port}", f"localhost:{port}")
            if not is_here or not secrets.compare_digest(given.encode(), token.encode()):
                self._answer(
                    403,
                    _TEXT,
                    b"this view needs the whole address that plait printed\n",
                )
            elif address.path in answers:
                kind, make = answers[address.path]
                self._answer(200, kind, make())
            else:
                self._answer(404, _TEXT, b"there is nothing here\n")

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response_only(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("Cross-Origin-Resource-Policy", "same-origin")
            self.send_header("Content-Security-Policy", "frame-ancestors 'none'")
            self.send_header("Referrer-Policy", "no-referrer")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing: the terminal is the program's."""

    return Handler
