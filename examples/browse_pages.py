"""100 pages opened in headless Chromium, driven by selenium: one by one, in 10 threads, in 10 processes.

python examples/browse_pages.py [PAGES]                              # each way, and what a page takes in it
plait compare examples/browse_pages.py --workers 10 --html out.html  # a plot, with the starts of browsers

Drawing takes processors, so the gain is less than that of fetch_pages.py. A page takes longer than alone.
"""

import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
import weakref

import plait
from local_server import start
from selenium import webdriver

if not (CHROMIUM := shutil.which("chromium")) or not (DRIVER := shutil.which("chromedriver")):
    sys.exit("there is no Chromium with its driver: apt-get install chromium chromium-driver")
FOLDER = tempfile.TemporaryDirectory()
SERVICE = webdriver.ChromeService(DRIVER, env={**os.environ, "TMPDIR": FOLDER.name})
SERVICE.start()
weakref.finalize(SERVICE, SERVICE.stop)
ADDRESS, SITE = SERVICE.service_url, start(0.25)
ITEMS = [f"{SITE}/{number}" for number in range(100)]


def open_page(url):
    """Open a page with its style; return the seconds that took, and the page's heading."""
    worker = threading.current_thread()  # Its browser starts with its first page, and ends with it.
    if not hasattr(worker, "browser"):
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for word in ("headless=new", "no-sandbox", "no-proxy-server", "disable-dev-shm-usage"):
            options.add_argument(f"--{word}")
        worker.browser = webdriver.Remote(ADDRESS, options=options)
        weakref.finalize(worker, worker.browser.quit)
    began = time.perf_counter()
    worker.browser.get(url)
    return time.perf_counter() - began, worker.browser.find_element("tag name", "h1").text


if __name__ == "__main__":
    items = ITEMS[: int(sys.argv[1])] if sys.argv[1:] else ITEMS
    at_once, took = min(10, len(items)), {}
    print(f"{len(items):>3} pages         time  speed-up     a page  the last one")
    for backend, workers in (("serial", 1), ("threads", at_once), ("processes", at_once)):
        with plait.Executor(backend, workers) as executor:
            list(executor.map(open_page, ITEMS[-workers:]))
            began = time.perf_counter()
            seconds, titles = zip(*executor.map(open_page, items))
            took[backend] = time.perf_counter() - began
        figures = took[backend], took["serial"] / took[backend], statistics.median(seconds) * 1000
        print("{:>2} {:<12} {:6.2f} s {:8.1f}x {:7.0f} ms ".format(workers, backend, *figures), titles[-1])
