"""Fetching 50 pages on 20 threads: whoever waits for an answer lets the others go on, so threads are enough.

python examples/fetch_urls.py                        # fetches them
plait compare examples/fetch_urls.py --workers 20    # shows what threads and processes make of it

The pages come from a server in this program, which takes its time for each page as a far one does.
"""

import http.server
import threading
import time
import urllib.request

import plait

PAGES, THREADS, SECONDS = 50, 20, 0.05


class Page(http.server.BaseHTTPRequestHandler):
    """Answers after a while, with a page of text."""

    def do_GET(self):
        """Send the page that was asked for."""
        time.sleep(SECONDS)
        text = f"This is page {self.path}.\n".encode() * 1000
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        """Keep quiet about each request."""


class Server(http.server.ThreadingHTTPServer):
    """Lets as many as want to ask at once."""

    request_queue_size = 128


SERVER = Server(("127.0.0.1", 0), Page)
threading.Thread(target=SERVER.serve_forever, daemon=True).start()
ITEMS = [f"http://127.0.0.1:{SERVER.server_port}/{number}" for number in range(PAGES)]


def fetch(url):
    """Fetch a page; return its length. No proxy is asked, for the server is here."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=30) as answer:
        return len(answer.read())


if __name__ == "__main__":
    began = time.perf_counter()
    sizes = list(plait.map(fetch, ITEMS, backend="threads", workers=THREADS))
    took = time.perf_counter() - began
    print(f"{len(sizes)} pages, {sum(sizes):,} bytes, on {THREADS} threads in {took:.2f} s")
    print(f"one after the other: {PAGES * SECONDS:.2f} s of waiting alone")
