"""Functions that share state with their caller, each with an argument and with what is to be said of it.

On processes each of them would do its work on a copy, and the caller would see nothing of it.
"""

import argparse
import array
import asyncio
import atexit
import collections
import csv
import dataclasses
import io
import itertools
import multiprocessing
import queue
import sqlite3
import tempfile
import threading
import types

SHARERS = []


def shares(said, *args):
    """Adds a function to the list; a factory's result is added by calling this."""

    def add(fn):
        SHARERS.append((fn, args, said))
        return fn

    return add


seen = []
cache = {}
names = set()
recent = collections.deque(maxlen=100)
tally = collections.Counter()
groups = collections.defaultdict(list)
raw = bytearray(100)
numbers = array.array("d", [0.0] * 10)
nested = {"a": {"b": [1]}}
pair = ([], {})
order = collections.OrderedDict.fromkeys("abc")
space = types.SimpleNamespace(total=0)
arguments = argparse.Namespace(found=[])
count = 0
limit = 10

print_lock = threading.Lock()
locks = {"a": threading.RLock(), "b": threading.RLock()}
ready = threading.Event()
slots = threading.Semaphore(3)
jobs = queue.Queue()
simple = queue.SimpleQueue()
local = threading.local()
ids = itertools.count()
lines = (line for line in itertools.repeat("line"))
log = tempfile.TemporaryFile("w+")  # noqa: SIM115
atexit.register(log.close)
memory_file = io.StringIO()
table_writer = csv.writer(memory_file)
database = sqlite3.connect(":memory:", check_same_thread=False)
atexit.register(database.close)
process_lock = multiprocessing.get_context("spawn").Lock()
gate = asyncio.Lock()


@shares("it appends to the list `seen`", 1)
def append(x):
    seen.append(x)
    return x


@shares("it adds to the dict `cache`", 3)
def memo(x):
    if x not in cache:
        cache[x] = x * x
    return cache[x]


@shares("it adds to the set `names`", "a")
def add_name(x):
    names.add(x)


@shares("it appends to the deque `recent`", 1)
def remember(x):
    recent.append(x)


@shares("it adds to the dict `tally`", "word")
def tally_word(x):
    tally[x] += 1


@shares("it adds to the dict `groups`", 5)
def group(x):
    groups[x % 3].append(x)


@shares("it writes to the bytearray `raw`", 7)
def write_raw(x):
    raw[x] = x


@shares("it writes to the array `numbers`", 2)
def write_number(x):
    numbers[x] += 1.5


@shares("it appends to the list `nested['a']['b']`", 2)
def append_deeply(x):
    nested["a"]["b"].append(x)


@shares("it appends to the list `pair[0]`", 2)
def append_in_tuple(x):
    pair[0].append(x)


@shares("it replaces items of the dict `order`", "a")
def move(x):
    order.move_to_end(x)


@shares("it sets `space.total`", 2)
def total(x):
    space.total += x


@shares("it appends to the list `arguments.found`", 2)
def find(x):
    arguments.found.append(x)


@shares("it assigns the global `count`", 2)
def count_up(x):
    global count
    count += x


@shares("it assigns the global `limit`", 2)
def by_globals(x):
    globals()["limit"] = limit + x


@shares("it assigns the global `count`", -1)
def seldom(x):
    global count
    if x > 1_000_000:
        count = x
    return x


@shares("`append`, which it calls, appends to the list `seen`", 1)
def by_helper(x):
    return append(x)


@shares("`count_up`, which it calls, assigns the global `count`", [1])
def by_helper_of_helper(x):
    return [by_lambda(n) for n in x]


by_lambda = lambda n: count_up(n)


@shares("it uses the lock `print_lock`, which other threads can hold", 1)
def locked(x):
    with print_lock:
        return x


@shares("it uses the lock `locks['a']`, which other threads can hold", "a")
def locked_by_key(x):
    with locks[x]:
        return x


@shares("it uses the event `ready`, which other threads can wait for", 1)
def set_event(x):
    ready.set()


@shares("it uses the semaphore `slots`, which other threads can hold", 1)
def with_slot(x):
    with slots:
        return x


@shares("it uses the queue `jobs`, which other threads can read", 1)
def put(x):
    jobs.put(x)


@shares("it uses the queue `simple`, which other threads can read", 1)
def put_simple(x):
    simple.put(x)


@shares("it uses the thread-local `local`, which belongs to threads of this process", 1)
def keep_for_thread(x):
    local.x = x


@shares("it takes from the iterator `ids`, which all calls take from", 1)
def numbered(x):
    return next(ids), x


@shares("it takes from the generator `lines`, which all calls take from", 1)
def next_line(x):
    return next(lines)


@shares("it uses the open file `log`, whose position all calls share", "a")
def write_log(x):
    log.write(x)


@shares("it uses the open file `memory_file`, whose position all calls share", "a")
def write_memory(x):
    memory_file.write(x)


@shares("it uses the open file `table_writer`, whose position all calls share", "a")
def write_row(x):
    table_writer.writerow([x])


@shares("it uses the connection `database`, which belongs to this process", "a")
def query(x):
    return database.execute("select ?", (x,)).fetchone()


@shares("it uses the multiprocessing lock `process_lock`, which workers cannot be sent", 1)
def locked_for_processes(x):
    with process_lock:
        return x


@shares("it uses the asyncio primitive `gate`, which belongs to this process", 1)
def is_gate_open(x):
    return gate.locked()


@shares("it appends to the list `found`", 1)
def by_default(x, found=[]):  # noqa: B006
    found.append(x)


@shares("it adds to the dict `known`", 1)
def by_keyword_default(x, *, known={}):  # noqa: B006
    known[x] = x


@shares("it assigns `by_own_attribute.calls`", 1)
def by_own_attribute(x):
    by_own_attribute.calls += 1


by_own_attribute.calls = 0


@shares("it changed an argument: it appends to the list `items[0]`", [1])
def change_argument(x):
    x.append(2)
    return sum(x)


@shares("it changed an argument: it adds to the dict `items[0]`", {"a": 1})
def normalise(x):
    x["b"] = x["a"] + 1
    return x


@shares("it changed an argument: it appends to the list `items[0][1]`", 1, [])
def change_second(x, found):
    found.append(x)


@dataclasses.dataclass
class Job:
    number: int
    state: str = "new"
    parts: list = dataclasses.field(default_factory=list)

    def run(self):
        self.state = "done"

    def collect(self):
        seen.append(self.number)


@shares("it changed an argument: it sets `items[0].state`", Job(1))
def run_job(job):
    job.run()


@shares("it changed an argument: it appends to the list `items[0].parts`", Job(1))
def extend_job(job):
    job.parts.append(1)


@shares("`collect`, which it calls, appends to the list `seen`", Job(1))
def collect_job(job):
    job.collect()
