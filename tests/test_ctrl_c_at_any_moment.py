"""Ctrl-C at a moment drawn by lot, from before a program imports plait until after its last word.

What plait imports of the standard library is imported before that: Python itself answers Ctrl-C with a
TypeError in `from module import name` where the name is missing, as `ssl` does with names that may be there.

The moments come from a seed that a failure shows; `PLAIT_SEED=… pytest tests/test_ctrl_c_at_any_moment.py`
draws the same ones again.
"""

import os
import random
import signal
import time

import pytest
from endings import Program, reports

pytestmark = pytest.mark.once

BEGINNING = """
import asyncio, concurrent.futures, logging, multiprocessing, pickle
print("begins", flush=True)
"""

# A little of everything, a few dozen milliseconds each.
PROGRAMS = {
    "executors": """
import concurrent.futures as cf, plait, workloads as w
with plait.ProcessPoolExecutor(2) as pool:
    print(sum(future.result() for future in cf.as_completed([pool.submit(w.add_one, n) for n in range(300)])))
    print(sum(pool.map(w.sleep, [0.01] * 6)) > 0)
other = plait.Executor("processes", 2)
print(other.submit(w.sleep, 0.02).result())
futures = [other.submit(w.sleep, 0.01) for _ in range(6)]
cf.wait(futures)
other.shutdown()
print("done")
""",
    "maps": """
import plait, workloads as w
print(sum(plait.map(w.add_one, range(5000), backend="processes", workers=2)))
print(len([plait.map(w.sleep, [0.01] * 4, backend="processes", workers=2) for _ in range(2)]))
print(sum(plait.map(lambda n: n + 1, range(1000), backend="processes", workers=1)))
print("done")
""",
    "left to the exit": """
import plait, workloads as w
pool = plait.ProcessPoolExecutor(2, initializer=w.set_state, initargs=("a", 1))
for n in range(12):
    pool.submit(w.sleep, 0.01).add_done_callback(lambda future: future.result())
with plait.ProcessPoolExecutor(2, preload=["json"]) as another:
    another.submit(w.add_one, 1)
print("done")
""",
    "asyncio": """
import asyncio, plait, workloads as w
async def main():
    async with plait.ProcessPoolExecutor(2) as pool:
        print(await asyncio.gather(*(pool.submit(w.sleep, 0.01) for _ in range(10))) == [0.01] * 10)
        print(await asyncio.get_running_loop().run_in_executor(pool, w.add_one, 1))
asyncio.run(main())
print("done")
""",
    "coroutines": """
import asyncio, itertools, plait
async def work(n):
    await asyncio.sleep(0.001)
    return n
print(sum(plait.map(work, range(200), concurrency=10)))
results = plait.map(work, itertools.count())
print(next(results))
results.close()
print(sum(plait.map(work, range(50), backend="processes", workers=2, concurrency=5)))
async def main():
    async for n in plait.amap(work, range(100)):
        pass
asyncio.run(main())
with plait.Executor("asyncio", 5) as executor:
    print(sum(executor.map(work, range(20))))
print("done")
""",
}

# So many moments a program; enough together to meet a mistake sooner or later, few enough for every run.
MOMENTS = 10
AT_ONCE = 2


@pytest.fixture
def seed():
    return int(os.environ.get("PLAIT_SEED", random.SystemRandom().randrange(1 << 32)))


def check(ended):
    """How a program may end whose Ctrl-C came at any moment."""
    if ended.code == 0:
        # Too late, or in a place from which nothing can be raised, such as a finalizer: then Python says so.
        assert ended.out.endswith("done\n"), ended
    else:
        # By the signal, as Python does it. Python itself gives 1 where it is not ready to yet, and where
        # code that runs at its end calls `eval`.
        assert ended.code in (-signal.SIGINT, 1), ended
    assert reports(ended.err) <= 1, ended
    assert not ended.err or "KeyboardInterrupt" in ended.err, ended
    for word in (
        "plait:",
        "panicked",
        "leaked",
        "plait._worker",
        "plait._nursery",
        "Exception in",
        "Warning",
    ):
        assert word not in ended.err, ended


@pytest.mark.parametrize("name", PROGRAMS)
def test_ctrl_c_at_any_moment(tmp_path, name, seed):
    lot = random.Random(f"{seed} {name}")
    folders = iter(range(1000))

    def start():
        folder = tmp_path / str(next(folders))
        folder.mkdir()
        program = Program(folder, BEGINNING + PROGRAMS[name])
        program.wait_for("begins")
        return program, time.monotonic()

    program, began = start()
    assert program.finish().lines[-1] == "done"
    whole = time.monotonic() - began
    for _ in range(MOMENTS // AT_ONCE):
        programs = [(*start(), lot.uniform(0, whole * AT_ONCE)) for _ in range(AT_ONCE)]
        for program, began, moment in sorted(programs, key=lambda one: one[1] + one[2]):
            time.sleep(max(0, began + moment - time.monotonic()))
            program.signal(signal.SIGINT)
        wrong = []
        for program, _, moment in programs:
            try:
                check(program.finish())
            except AssertionError as error:
                wrong.append(f"after {moment:.4f} s: {error}")
        assert not wrong, f"seed {seed}: {wrong}"
