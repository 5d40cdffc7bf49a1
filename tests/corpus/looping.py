"""Event loops, well and stalled."""

import asyncio
import json
import time

from corpus import answer
from corpus.clock import count_up, until_over
from corpus.servers import slow_server


def _run(seconds, *jobs):
    """Run an event loop with these jobs, each again and again."""

    async def go_on(job):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            await job()

    async def main():
        await asyncio.gather(*map(go_on, jobs))

    asyncio.run(main())


async def rest():
    await asyncio.sleep(0.01)


@answer("idle", "io-bound")
def a_loop_at_rest(seconds):
    _run(seconds, lambda: asyncio.sleep(0.2))


@answer("io-bound", "idle", also=("python-cpu-bound", "mixed"))
def a_loop_with_many_timers(seconds):
    _run(seconds, *[rest] * 50)


@answer("io-bound", "idle")
def a_loop_that_asks(seconds):
    with slow_server(0.01) as (host, port):

        async def job():
            reader, writer = await asyncio.open_connection(host, port)
            for _ in range(10):
                writer.write(b"?")
                await reader.read(1024)
            writer.close()

        _run(seconds, *[job] * 5)


@answer("loop-stalled", also=("io-bound", "idle"))
def a_loop_that_sleeps(seconds):
    async def bad():
        time.sleep(0.25)
        await asyncio.sleep(0.02)

    _run(seconds, bad, rest)


@answer("loop-stalled", also=("python-cpu-bound",))
def a_loop_that_computes(seconds):
    async def bad():
        until_over(0.25, count_up)
        await asyncio.sleep(0.02)

    _run(seconds, bad, rest)


@answer("loop-stalled", also=("python-cpu-bound", "gil-hog", "native-holding", "gc-pause"))
def a_loop_that_parses(seconds):
    text = json.dumps(list(range(3_000_000)))

    async def bad():
        json.loads(text)
        await asyncio.sleep(0.02)

    _run(max(seconds, 2.0), bad, rest)


@answer("python-cpu-bound", also=("loop-stalled",))
def a_loop_of_short_steps(seconds):
    async def step():
        count_up(3000)
        await asyncio.sleep(0)

    _run(seconds, step, step)


@answer("io-bound", "idle", "mixed")
def a_loop_with_threads(seconds):
    async def job():
        await asyncio.to_thread(time.sleep, 0.02)

    _run(seconds, job, job)
