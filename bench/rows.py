"""What is measured and what must come out: the rows of the design's table of goals, as data.

A row sets plait's side against one or more peers. A goal is a ratio, the peer's figure over plait's, of
wall time per task (throughput), of CPU time per task or of memory; a bound is for plait's own figure. Peers
that need a second for what plait does in a millisecond make fewer calls; all figures are per task.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Side:
    """One contender's part in a row: how many calls in a full run, and in a quick one."""

    contender: str
    count: int
    quick: int
    parameters: dict[str, Any] = field(default_factory=dict)
    # The name in the table where the contender's own does not say enough.
    label: str = ""

    @property
    def name(self) -> str:
        return self.label or self.contender


@dataclass(frozen=True)
class Goal:
    """plait's figure is to be at least `at_least` times smaller; without a bound the ratio is only shown."""

    metric: str
    at_least: float | None
    # The peers it speaks of; of several, the best one counts.
    peers: tuple[str, ...]


@dataclass(frozen=True)
class Bound:
    """plait's own figure is to be so much at least, or at most."""

    metric: str
    at_least: float | None = None
    at_most: float | None = None


@dataclass(frozen=True)
class Row:
    number: int
    title: str
    workload: str
    plait: Side
    peers: tuple[Side, ...]
    goals: tuple[Goal, ...]
    bounds: tuple[Bound, ...] = ()
    # Each measurement is the first work of a new contender, which keeps nothing from the one before.
    anew: bool = False


WALL, CPU, MEMORY, RATE = "wall_us", "cpu_us", "memory", "gib_per_s"
PPE = "ProcessPoolExecutor"
TPE = "ThreadPoolExecutor"
BY_HAND = "SharedMemory by hand"
JOBLIB = "joblib, memory-mapped"
CHUNKS = (500, 2_000, 8_000, 32_000)
# Bytes of an array, and how far apart the numbers in it are that the receiver reads: one in each page, so
# that all of it must be there, or some hundred in all.
MB, MIB, PAGE = 1_000_000, 1 << 20, 4096

ROWS = (
    Row(
        1,
        "small calls, one submit each, pickled (a set in, a set out)",
        "submit_pickled",
        Side("plait", 100_000, 100_000),
        (Side(PPE, 100_000, 10_000),),
        (Goal(WALL, 35, (PPE,)), Goal(CPU, 30, (PPE,))),
    ),
    Row(
        1,
        "the same with a dataclass in and out: pickle's own time is in both",
        "submit_objects",
        Side("plait", 100_000, 50_000),
        (Side(PPE, 30_000, 5_000),),
        (Goal(WALL, None, (PPE,)), Goal(CPU, None, (PPE,))),
    ),
    Row(
        2,
        "the same with plain numbers and strings",
        "submit_plain",
        Side("plait", 100_000, 100_000),
        (Side(PPE, 100_000, 10_000),),
        (Goal(WALL, 60, (PPE,)), Goal(CPU, None, (PPE,))),
    ),
    Row(
        3,
        "the same against loky, Ray and Dask",
        "submit_plain",
        Side("plait", 100_000, 100_000),
        (Side("loky", 10_000, 4_000), Side("Ray", 5_000, 1_500), Side("Dask", 2_000, 500)),
        (
            Goal(WALL, 60, ("loky",)),
            Goal(CPU, None, ("loky",)),
            Goal(WALL, 250, ("Ray",)),
            Goal(CPU, None, ("Ray",)),
            Goal(WALL, 800, ("Dask",)),
            Goal(CPU, None, ("Dask",)),
        ),
    ),
    Row(
        4,
        "one call, round trip, warm pool (wall: median call)",
        "round_trip",
        Side("plait", 10_000, 3_000),
        (Side(PPE, 5_000, 1_500),),
        (Goal(WALL, 25, (PPE,)), Goal(CPU, 15, (PPE,))),
    ),
    Row(
        5,
        "map item by item",
        "map_each",
        Side("plait", 100_000, 100_000),
        (Side("Pool", 100_000, 20_000, label="Pool.imap"),),
        (Goal(WALL, 10, ("Pool.imap",)), Goal(CPU, None, ("Pool.imap",))),
    ),
    Row(
        6,
        "a million tiny items through map, chunk chosen by plait",
        "map_all",
        Side("plait", 1_000_000, 1_000_000),
        tuple(
            Side("Pool", 1_000_000, 1_000_000, {"chunksize": chunk}, label=f"Pool.map, chunks of {chunk:,}")
            for chunk in CHUNKS
        ),
        (
            Goal(WALL, 1.4, tuple(f"Pool.map, chunks of {chunk:,}" for chunk in CHUNKS)),
            Goal(CPU, None, tuple(f"Pool.map, chunks of {chunk:,}" for chunk in CHUNKS)),
        ),
    ),
    Row(
        7,
        "small calls on threads",
        "submit_plain",
        Side("plait threads", 100_000, 100_000),
        (Side(TPE, 100_000, 30_000),),
        (Goal(CPU, 10, (TPE,)), Goal(WALL, None, (TPE,))),
    ),
    Row(
        8,
        "an 80 MB array as argument; the worker reads a number of each page",
        "send_array",
        Side("plait", 15, 5, {"size": 80 * MB, "apart": PAGE}),
        (Side(PPE, 5, 3, {"size": 80 * MB, "apart": PAGE}),),
        (Goal(WALL, 12, (PPE,)), Goal(CPU, None, (PPE,))),
    ),
    Row(
        9,
        "an 80 MB array of ones as result, made by the worker; the parent reads a number of each page",
        "receive_array",
        Side("plait", 15, 5, {"size": 80 * MB, "apart": PAGE}),
        (Side(PPE, 5, 3, {"size": 80 * MB, "apart": PAGE}),),
        (Goal(WALL, 4, (PPE,)), Goal(CPU, None, (PPE,))),
    ),
    Row(
        10,
        "a 1 MB array as argument",
        "send_array",
        Side("plait", 500, 200, {"size": MB, "apart": PAGE}),
        (Side(PPE, 150, 50, {"size": MB, "apart": PAGE}),),
        (Goal(WALL, 11, (PPE,)), Goal(CPU, None, (PPE,))),
    ),
    Row(
        11,
        "an 80 MB array that is shared already; the worker reads a number of each MB",
        "send_array",
        Side("plait", 1_000, 500, {"size": 80 * MB, "apart": MB, "shared": True}, label="plait.share"),
        (Side(PPE, 5, 3, {"size": 80 * MB, "apart": MB}),),
        (Goal(WALL, 3_000, (PPE,)), Goal(CPU, None, (PPE,))),
    ),
    Row(
        11,
        "the same, a number of each page: what the worker's own reading takes is in both",
        "send_array",
        Side("plait", 200, 100, {"size": 80 * MB, "apart": PAGE, "shared": True}, label="plait.share"),
        (Side(PPE, 5, 3, {"size": 80 * MB, "apart": PAGE}),),
        (Goal(WALL, None, (PPE,)), Goal(CPU, None, (PPE,))),
    ),
    Row(
        12,
        "a 256 MiB array as argument; the worker adds all of it up",
        "send_array",
        Side("plait", 5, 3, {"size": 256 * MIB}),
        (
            Side(BY_HAND, 5, 3, {"size": 256 * MIB}),
            Side(JOBLIB, 4, 2, {"size": 256 * MIB}),
            Side("Ray", 4, 2, {"size": 256 * MIB}, label="Ray, as argument"),
            Side("Ray", 4, 2, {"size": 256 * MIB, "put": True}, label="Ray, put and get"),
        ),
        (
            Goal(WALL, 1.0, (BY_HAND,)),
            Goal(CPU, None, (BY_HAND,)),
            Goal(WALL, None, (JOBLIB,)),
            Goal(WALL, None, ("Ray, as argument",)),
            Goal(WALL, None, ("Ray, put and get",)),
        ),
    ),
    Row(
        12,
        "the same; the worker reads a number of each page",
        "send_array",
        Side("plait", 5, 3, {"size": 256 * MIB, "apart": PAGE}),
        (Side(BY_HAND, 5, 3, {"size": 256 * MIB, "apart": PAGE}),),
        (Goal(WALL, 1.0, (BY_HAND,)),),
        (Bound(RATE, at_least=3),),
    ),
    Row(
        13,
        "memory that sending one 256 MiB array takes at its peak, beside the array, in sizes of it",
        "send_memory",
        Side("plait", 1, 1, {"size": 256 * MIB}),
        tuple(Side(peer, 1, 1, {"size": 256 * MIB}) for peer in (PPE, BY_HAND, JOBLIB)),
        tuple(Goal(MEMORY, None, (peer,)) for peer in (PPE, BY_HAND, JOBLIB)),
        (Bound(MEMORY, at_most=1.1),),
        anew=True,
    ),
    Row(
        14,
        "a dict of a million entries: submit alone, beside pickle.dumps",
        "hand_over_dict",
        Side("plait", 5, 3),
        (Side("pickle.dumps", 5, 3),),
        (Goal(WALL, 0.91, ("pickle.dumps",)),),
    ),
    Row(
        14,
        "the same: the whole call, which gives the dict's length",
        "send_dict",
        Side("plait", 5, 3),
        (Side(PPE, 3, 2),),
        (Goal(WALL, None, (PPE,)), Goal(CPU, None, (PPE,))),
    ),
    Row(
        15,
        "10,000 coroutines, at most 1,000 at a time, that give way once",
        "coroutines",
        Side("plait.map, asyncio", 10_000, 10_000, {"limit": 1_000}),
        (
            Side("TaskGroup", 10_000, 10_000, {"limit": 1_000}, label="TaskGroup and Semaphore"),
            Side("plait.amap", 10_000, 10_000, {"limit": 1_000}),
        ),
        (Goal(WALL, 1.0, ("TaskGroup and Semaphore",)), Goal(WALL, None, ("plait.amap",))),
    ),
    Row(
        15,
        "the same, each waits for 10 ms",
        "coroutines",
        Side("plait.map, asyncio", 10_000, 10_000, {"limit": 1_000, "seconds": 0.01}),
        (
            Side(
                "TaskGroup",
                10_000,
                10_000,
                {"limit": 1_000, "seconds": 0.01},
                label="TaskGroup and Semaphore",
            ),
            Side("plait.amap", 10_000, 10_000, {"limit": 1_000, "seconds": 0.01}),
        ),
        (Goal(WALL, 1.0, ("TaskGroup and Semaphore",)), Goal(WALL, None, ("plait.amap",))),
    ),
    Row(
        16,
        "one call at a time on warm worker processes, awaited, beside waited for by a thread",
        "one_by_one",
        Side("plait", 5_000, 2_000, {"awaited": True}, label="awaited"),
        (Side("plait", 5_000, 2_000, {"awaited": False}, label="waited for"),),
        (Goal(WALL, 0.77, ("waited for",)),),
    ),
    Row(
        17,
        "a lock acquired and released, alone",
        "uncontended",
        Side("plait.Lock", 300_000, 50_000),
        (
            Side("multiprocessing.Lock", 300_000, 50_000),
            Side("threading.Lock", 300_000, 50_000),
            Side("two empty calls", 300_000, 50_000),
        ),
        (
            Goal(CPU, None, ("multiprocessing.Lock",)),
            Goal(CPU, None, ("threading.Lock",)),
            Goal(CPU, None, ("two empty calls",)),
        ),
    ),
    Row(
        17,
        "the turn handed to another process by a lock, and back",
        "hand_over",
        Side("plait.Lock", 20_000, 3_000),
        (Side("multiprocessing.Lock", 20_000, 3_000),),
        (Goal(WALL, 1.0, ("multiprocessing.Lock",)), Goal(CPU, None, ("multiprocessing.Lock",))),
    ),
    Row(
        17,
        "a lock that two processes want all the time",
        "contended",
        Side("plait.Lock", 100_000, 10_000),
        (Side("multiprocessing.Lock", 100_000, 10_000),),
        (Goal(WALL, 1.0, ("multiprocessing.Lock",)),),
    ),
    Row(
        17,
        "the holder of a lock is killed: until the next one is told",
        "death",
        Side("plait.Lock", 30, 5),
        (),
        (),
        (Bound(WALL, at_most=1_000),),
    ),
    Row(
        18,
        "small items from one process to another through a queue",
        "items",
        Side("plait.Queue", 500_000, 200_000),
        (Side("multiprocessing.Queue", 100_000, 20_000), Side("SimpleQueue", 100_000, 20_000)),
        (Goal(WALL, 10.0, ("multiprocessing.Queue",)), Goal(CPU, None, ("SimpleQueue",))),
    ),
    Row(
        18,
        "arrays of 1 MB from one process to another through a queue",
        "frames",
        Side("plait.Queue", 2_000, 500),
        (Side("multiprocessing.Queue", 500, 100), Side("SimpleQueue", 500, 100)),
        (Goal(WALL, 8.0, ("multiprocessing.Queue",)), Goal(CPU, None, ("SimpleQueue",))),
    ),
    Row(
        18,
        "an item to another process through a queue, and the answer back",
        "there_and_back",
        Side("plait.Queue", 20_000, 3_000),
        (Side("multiprocessing.Queue", 10_000, 2_000), Side("SimpleQueue", 10_000, 2_000)),
        (Goal(WALL, 4.0, ("multiprocessing.Queue",)), Goal(CPU, None, ("SimpleQueue",))),
    ),
)
