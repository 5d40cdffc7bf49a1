"""A web server on this machine that answers as a far one does: late, some pages later, all on one line.

python examples/local_server.py    # until Ctrl-C; fetch_pages.py and browse_pages.py start it themselves

It runs in a process of its own, so that its Python code takes nobody's GIL. How late an answer is depends on
the address alone: mostly about as late as was said, a few of them twice, each time the same.
"""

import contextlib
import http.server
import multiprocessing
import random
import threading
import time

import plait

LATE, SPREAD, LINE_SECONDS = 0.08, 0.4, 0.007
STYLE = "body { font-family: sans-serif; margin: 2em }\n"
PAGE = "<!doctype html><title>Page {0}</title><link rel=stylesheet href={0}.css><h1>Page {0}</h1>\n"


class Page(http.server.BaseHTTPRequestHandler):
    """Answers with a page, or with its style."""

    def do_GET(self):
        """Wait as long as this page takes, then send it through the line."""
        time.sleep(random.Random(self.path).lognormvariate(0, SPREAD) * self.server.seconds)
        style = self.path.endswith(".css")
        text = STYLE if style else PAGE.format(self.path.strip("/")) + "<p>Some text.\n" * 1000
        self.send_response(200)
        self.send_header("Content-Type", "text/css" if style else "text/html")
        self.end_headers()
        with self.server.line, contextlib.suppress(ConnectionError):
            time.sleep(LINE_SECONDS)
            self.wfile.write(text.encode())

    def log_message(self, *_):
        """Keep quiet about each request."""


def serve(seconds, address):
    """Tell the address, and serve."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    server.socket.listen(128)
    server.seconds, server.line = seconds, threading.Lock()
    address.send(f"http://127.0.0.1:{server.server_port}")
    server.serve_forever()


def start(seconds=LATE):
    """Start a server that ends with this program, with answers about so late; return its address."""
    answer, address = multiprocessing.Pipe(duplex=False)
    plait.Process(target=serve, args=(seconds, address), daemon=True).start()
    return answer.recv()


if __name__ == "__main__":
    print(start(), flush=True)
    threading.Event().wait()
