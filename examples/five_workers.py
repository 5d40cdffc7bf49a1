"""Five workers, threads, processes and a coroutine, take ten jobs from one queue and print whole lines.

`join` waits until all jobs are done; when the queue is shut the workers' loops end, so no job has to mean
"stop". A lock around `print` keeps the lines of different processes apart.
"""

import asyncio
import time

import plait

WORKERS, JOBS = 5, 10


def work(name, jobs, printing, start):
    """Take jobs until the queue is shut; give how many these were."""
    start.wait()
    count = 0
    for job in jobs:
        time.sleep(0.05)
        with printing:
            print(f"{name}: the square of {job} is {job * job}", flush=True)
        jobs.task_done()
        count += 1
    return count


async def work_in_loop(name, jobs, printing, start):
    """The same as a coroutine: its loop is free while it waits."""
    await start.wait_async()
    count = 0
    async for job in jobs:
        await asyncio.sleep(0.05)
        async with printing:
            print(f"{name}: the square of {job} is {job * job}", flush=True)
        jobs.task_done()
        count += 1
    return count


jobs, printing, start = plait.Queue(), plait.Lock(), plait.Barrier(WORKERS + 1)
shared = jobs, printing, start
workers = [plait.Thread(target=work, args=(f"thread {n}", *shared)) for n in (1, 2)]
workers += [plait.Process(target=work, args=(f"process {n}", *shared)) for n in (1, 2)]
workers += [plait.Thread(target=lambda: asyncio.run(work_in_loop("coroutine", *shared)))]
for worker in workers:
    worker.start()
start.wait()
for job in range(JOBS):
    jobs.put(job)
jobs.join()
jobs.shutdown()
counts = [worker.join() for worker in workers]
busy = sum(count > 0 for count in counts)
print(f"{sum(counts)} jobs done, {jobs.qsize()} left; {busy} of {WORKERS} workers had some")
