"""A service that answers at once while worker processes compute: jobs, progress, cancel, a bounded queue.

python examples/service.py [--port PORT] [--workers N] [--room JOBS]

    POST   /jobs {"limit": 200000}   202 and the job's number, or 503 when there is no room for another
    GET    /jobs/1                   200 and its state, progress and result
    DELETE /jobs/1                   202; its calls that run are stopped
    GET    /health                   200, also while all workers are busy

On loopback, and on a free port, which is printed, unless one is named. Ctrl-C and SIGTERM stop it, and all
that it computes.
"""

import argparse
import asyncio
import http
import itertools
import json
import signal

import plait

PIECES = 20
LARGEST = 10**9
LONGEST = 64 * 1024
# Jobs that have ended and can still be asked for.
KEPT = 100
SECONDS = 10


def count_primes(begin, end):
    """Count the primes from `begin` up to `end` by trial division."""
    count = 0
    for n in range(max(begin, 2), end):
        divisor = 2
        while divisor * divisor <= n and n % divisor:
            divisor += 1
        count += divisor * divisor > n
    return count


class Refused(Exception):
    """An answer that is an error: its status and what to say."""


class Job:
    """One count, in pieces."""

    def __init__(self, number, limit):
        """Cut the numbers below `limit` into pieces."""
        self.number, self.done, self.result = number, 0, 0
        edges = [limit * piece // PIECES for piece in range(PIECES + 1)]
        self.pieces = list(itertools.pairwise(edges))
        self.task = None

    async def run(self, executor):
        """Count all pieces; whoever cancels this cancels the calls that it awaits."""
        async with asyncio.TaskGroup() as group:
            for piece in self.pieces:
                group.create_task(self.count(executor, piece))

    async def count(self, executor, piece):
        """Count one piece in a worker process."""
        found = await executor.submit(count_primes, *piece)
        # Not `+= await …`, which would add to what the result was before the wait.
        self.result += found
        self.done += 1

    def shown(self):
        """Return what is said of it."""
        said = {"job": self.number, "state": "running", "done": self.done, "of": PIECES}
        if not self.task.done():
            return said
        if self.task.cancelled():
            return {**said, "state": "cancelled"}
        if error := self.task.exception():
            return {**said, "state": "failed", "error": str(error.exceptions[0])}
        return {**said, "state": "done", "result": self.result}


class Service:
    """The jobs, and who may ask what of them."""

    def __init__(self, executor, room):
        """Take at most `room` jobs that have not ended."""
        self.executor, self.room = executor, room
        self.jobs, self.numbers = {}, itertools.count(1)
        self.asking = {}

    def open(self):
        """Return the jobs that have not ended."""
        return [job for job in self.jobs.values() if not job.task.done()]

    def answer(self, method, path, body):
        """Return the status and what to say; nothing here waits."""
        match method, path.strip("/").split("/"):
            case "GET", ["health"]:
                return 200, {"ok": True, "jobs": len(self.open()), "room": self.room}
            case "POST", ["jobs"]:
                return 202, self.begin(limit_of(body)).shown()
            case "GET", ["jobs", number]:
                return 200, self.job(number).shown()
            case "DELETE", ["jobs", number]:
                job = self.job(number)
                job.task.cancel()
                return 202, job.shown()
        raise Refused(404, f"there is no {method} {path}")

    def job(self, number):
        """Find a job by its number."""
        job = self.jobs.get(number)
        if job is None:
            raise Refused(404, f"there is no job {number}")
        return job

    def begin(self, limit):
        """Begin a job, if there is room, and forget the oldest of those that have ended."""
        if len(self.open()) >= self.room:
            raise Refused(503, f"{self.room} jobs have not ended; try again later")
        ended = [number for number, job in self.jobs.items() if job.task.done()]
        for number in ended[:-KEPT]:
            del self.jobs[number]
        job = Job(next(self.numbers), limit)
        job.task = asyncio.create_task(job.run(self.executor))
        self.jobs[str(job.number)] = job
        return job

    async def serve(self, reader, writer):
        """Answer one request."""
        self.asking[asyncio.current_task()] = writer
        try:
            async with asyncio.timeout(SECONDS):
                try:
                    status, said = self.answer(*await request_of(reader))
                except Refused as refused:
                    status, text = refused.args
                    said = {"error": text}
                body = json.dumps(said).encode() + b"\n"
                head = [f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}", "Connection: close"]
                head += ["Content-Type: application/json", f"Content-Length: {len(body)}", "", ""]
                writer.write("\r\n".join(head).encode() + body)
                await writer.drain()
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            del self.asking[asyncio.current_task()]
            writer.close()

    async def stop(self):
        """Cancel all jobs, and hang up on whoever has not asked yet."""
        tasks = [job.task for job in self.open()]
        for task in tasks:
            task.cancel()
        for writer in self.asking.values():
            writer.close()
        await asyncio.gather(*tasks, *self.asking, return_exceptions=True)


def limit_of(body):
    """Read what a job is to count."""
    try:
        limit = json.loads(body)["limit"]
    except (ValueError, KeyError, TypeError, RecursionError):
        limit = None
    if type(limit) is not int or not 0 <= limit <= LARGEST:
        raise Refused(400, f'send {{"limit": N}}, where N is a whole number up to {LARGEST}')
    return limit


async def request_of(reader):
    """Read a request: method, path and body."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.splitlines()
        method, path, _ = first.split(" ")
        headers = dict(line.lower().split(":", 1) for line in lines if line)
        length = int(headers.get("content-length", "0"))
    except (ValueError, asyncio.LimitOverrunError):
        raise Refused(400, "that is no HTTP request") from None
    if not 0 <= length <= LONGEST:
        raise Refused(413, f"a body has at most {LONGEST} bytes")
    return method, path, await reader.readexactly(length)


async def main(arguments):
    """Serve until a signal says to stop."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with plait.ProcessPoolExecutor(arguments.workers) as executor:
        service = Service(executor, arguments.room)
        try:
            server = await asyncio.start_server(service.serve, "127.0.0.1", arguments.port)
        except (OSError, OverflowError) as error:
            raise SystemExit(f"cannot listen on port {arguments.port}: {error}") from None
        print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        await stopped.wait()
        server.close()
        await service.stop()


def positive(text):
    """Read a number of workers or jobs."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0, help="a free one by default")
    parser.add_argument("--workers", type=positive, help="processes; by default one for each core")
    parser.add_argument("--room", type=positive, default=8, help="jobs that may wait or run at a time")
    asyncio.run(main(parser.parse_args()))
