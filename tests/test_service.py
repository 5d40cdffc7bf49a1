"""examples/service.py, asked as its users ask it: it answers while all workers are busy, and ends cleanly."""

import http.client
import json
import os
import signal
import socket
from urllib.parse import urlsplit

import pytest
from outside import PATIENCE, TESTS, finish, is_alive, kill_session, run_program, start_program, until

pytestmark = pytest.mark.once

EXAMPLE = TESTS.parent / "examples" / "service.py"
PIECES = 20

# The example, but its pieces wait at gates: one opens each, `die` has them take their worker with them.
GATED = """
import argparse, asyncio, os, sys, time
sys.path.insert(0, os.path.dirname(sys.argv[1]))
import service
folder = sys.argv[2]

def count(begin, end):
    with open(f"{folder}/entered-{begin}-of-{end}", "w") as file:
        file.write(str(os.getpid()))
    while not os.path.exists(f"{folder}/open-{begin}"):
        time.sleep(0.002)
    if os.path.exists(f"{folder}/die"):
        os._exit(3)
    return 1

service.count_primes = count
asyncio.run(service.main(argparse.Namespace(port=0, workers=int(sys.argv[3]), room=2)))
"""


class Served:
    """The service in a program of its own."""

    def __init__(self, folder, *arguments):
        self.folder = folder
        self.program = start_program(*arguments)
        self.pid = self.program.pid
        self.address = urlsplit(self.program.stdout.readline().strip())

    def ask(self, method, path, body=None):
        """Asks; the status, and what was said."""
        connection = http.client.HTTPConnection(self.address.hostname, self.address.port, timeout=PATIENCE)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            assert answer.headers["Content-Type"] == "application/json"
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def begin(self, limit):
        """Begins a job; its path."""
        status, said = self.ask("POST", "/jobs", {"limit": limit})
        assert (status, said["state"], said["done"], said["of"]) == (202, "running", 0, PIECES)
        return f"/jobs/{said['job']}"

    def until(self, path, **looks):
        """Polls until a job looks so."""
        return until(lambda: (said := self.ask("GET", path)[1]).items() >= looks.items() and said, looks)

    def running(self, begin):
        """Waits until the piece that begins there is computed; by which process."""
        found = until(lambda: [*self.folder.glob(f"entered-{begin}-of-*")], f"the start of {begin}")
        return int(until(lambda: found[0].read_text(), f"the process of {begin}"))

    def open(self, begin):
        """Lets the pieces that begin there end."""
        (self.folder / f"open-{begin}").touch()

    def end(self):
        """How the program ended, of which nothing is left."""
        try:
            return finish(self.program)
        finally:
            kill_session(self.pid)


@pytest.fixture
def serve(tmp_path):
    """Starts the service, and ends what a test leaves of it."""
    started = []

    def serve(*arguments, workers=None):
        gated = ["-c", GATED, EXAMPLE, tmp_path, workers]
        started.append(Served(tmp_path, *(gated if workers else [EXAMPLE, *arguments])))
        return started[-1]

    yield serve
    for served in started:
        kill_session(served.pid)
        served.program.communicate()


def test_a_job(serve):
    service = serve("--workers", 2)
    said = service.until(service.begin(20_000), state="done")
    assert (said["result"], said["done"]) == (2262, PIECES)
    said = service.until(service.begin(0), state="done")
    assert said["result"] == 0
    assert service.ask("GET", "/health") == (200, {"ok": True, "jobs": 0, "room": 8})


def test_it_answers_while_all_workers_are_busy(serve):
    service = serve(workers=1)
    job = service.begin(PIECES)
    for piece in range(3):
        service.running(piece)
        # The one worker waits at its gate: nothing but the loop can answer.
        assert service.ask("GET", "/health") == (200, {"ok": True, "jobs": 1, "room": 2})
        said = service.until(job, done=piece)
        assert said["state"] == "running" and "result" not in said
        service.open(piece)
    for piece in range(3, PIECES):
        service.open(piece)
    assert service.until(job, state="done")["result"] == PIECES


def test_there_is_room_for_so_many(serve):
    service = serve(workers=1)
    first, second = service.begin(PIECES), service.begin(PIECES)
    service.running(0)
    status, said = service.ask("POST", "/jobs", {"limit": 1})
    assert (status, said) == (503, {"error": "2 jobs have not ended; try again later"})
    assert service.ask("GET", "/jobs/3")[0] == 404
    assert service.ask("DELETE", second)[0] == 202
    service.until(second, state="cancelled")
    service.begin(PIECES)
    assert service.ask("GET", first)[1]["state"] == "running"


def test_cancel_stops_what_runs_and_nothing_else(serve):
    service = serve(workers=1)
    first, second = service.begin(PIECES * 10), service.begin(PIECES * 100)
    computing = service.running(0)
    assert service.ask("DELETE", first)[0] == 202
    said = service.until(first, state="cancelled")
    assert said["done"] == 0 and "result" not in said
    until(lambda: not is_alive(computing), "the end of the call that ran")
    # The gate is closed, so the second began because the first was stopped.
    until(lambda: (service.folder / "entered-0-of-100").exists(), "the second job")
    assert not (service.folder / "entered-10-of-20").exists()
    for piece in range(PIECES):
        service.open(100 * piece)
    assert service.until(second, state="done")["result"] == PIECES
    # Too late.
    assert service.ask("DELETE", second)[1]["state"] == "done"


def test_a_job_whose_worker_dies_fails_and_the_service_goes_on(serve):
    service = serve(workers=1)
    (service.folder / "die").touch()
    job = service.begin(PIECES)
    service.running(0)
    service.open(0)
    assert "exited with code 3" in service.until(job, state="failed")["error"]
    (service.folder / "die").unlink()
    for piece in range(PIECES):
        service.open(piece)
    service.until(service.begin(PIECES), state="done")


def test_jobs_that_ended_long_ago_are_forgotten(serve):
    service = serve("--workers", 1)
    jobs = [service.begin(0)]
    while len(jobs) < 102:
        service.until(jobs[-1], state="done")
        jobs.append(service.begin(0))
    assert [service.ask("GET", job)[0] for job in jobs[:3]] == [404, 200, 200]


@pytest.mark.parametrize(
    "method, path, body, status",
    [
        ("GET", "/", None, 404),
        ("GET", "/jobs/7", None, 404),
        ("DELETE", "/jobs/7", None, 404),
        ("PUT", "/jobs", {"limit": 1}, 404),
        ("POST", "/jobs", None, 400),
        ("POST", "/jobs", [], 400),
        ("POST", "/jobs", {"limit": -1}, 400),
        ("POST", "/jobs", {"limit": True}, 400),
        ("POST", "/jobs", {"limit": 10**10}, 400),
        ("POST", "/jobs", {"limit": "x" * 70_000}, 413),
    ],
)
def test_what_makes_no_sense_is_refused(asked_for_nonsense, method, path, body, status):
    found, said = asked_for_nonsense.ask(method, path, body)
    assert found == status and list(said) == ["error"]


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"\r\n\r\n",
        b"GET /health HTTP/1.1\r\nContent-Length: much\r\n\r\n",
        b"x" * 100_000,
    ],
)
def test_what_is_no_request_is_refused(asked_for_nonsense, sent):
    service = asked_for_nonsense
    with socket.create_connection((service.address.hostname, service.address.port), PATIENCE) as connection:
        connection.sendall(sent)
        assert connection.recv(100).startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert service.ask("GET", "/health")[0] == 200


@pytest.fixture(scope="module")
def asked_for_nonsense():
    service = Served(None, EXAMPLE, "--workers", 1)
    yield service
    os.kill(service.pid, signal.SIGTERM)
    ended = service.end()
    assert (ended.code, ended.err) == (0, "")


@pytest.mark.parametrize(
    "number, to", [(signal.SIGTERM, os.kill), (signal.SIGINT, os.kill), (signal.SIGINT, os.killpg)]
)
def test_it_ends_in_the_midst_of_work(serve, number, to):
    service = serve(workers=2)
    service.begin(PIECES)
    computing = [service.running(0), service.running(1)]
    # Somebody has connected, and not asked yet.
    with socket.create_connection((service.address.hostname, service.address.port), PATIENCE):
        assert service.ask("GET", "/health")[0] == 200
        to(service.pid, number)
        ended = service.end()
    assert (ended.code, ended.err) == (0, "")
    assert not any(map(is_alive, computing))


@pytest.mark.parametrize(
    "arguments, code", [(["--workers", "0"], 2), (["--room", "x"], 2), (["--port", "99999"], 1)]
)
def test_arguments_that_make_no_sense_are_refused(arguments, code):
    ended = run_program(EXAMPLE, *arguments)
    assert ended.code == code
    assert arguments[0].strip("-") in ended.err.splitlines()[-1] and "Traceback" not in ended.err
