"""What to do about a callback that blocks: told by what it calls, and by whether it computes or waits."""

from plait._watch_loop.sight import Sight

_THREAD = "await asyncio.to_thread(…)"

# What waits, by the modules that it is in, by what its function is called, and with the way out.
_KINDS: tuple[tuple[frozenset[str], frozenset[str], str], ...] = (
    (frozenset(), frozenset({"time.sleep"}), "use await asyncio.sleep(…)"),
    (
        frozenset({"subprocess"}),
        frozenset({"os.system", "os.popen", "os.wait", "os.waitpid", "posix.system", "posix.waitpid"}),
        f"use asyncio.create_subprocess_exec(…), or {_THREAD}",
    ),
    (
        frozenset({"sqlite3", "sqlalchemy", "psycopg", "psycopg2", "pymysql", "MySQLdb", "pymongo", "redis"}),
        frozenset({".execute", ".executemany", ".fetchall", ".fetchone", ".commit"}),
        f"use an async driver of the database, or {_THREAD}",
    ),
    (
        frozenset(
            {"socket", "ssl", "http", "urllib", "urllib3", "requests", "httpx", "httpcore", "ftplib"}
            | {"smtplib", "imaplib", "poplib", "xmlrpc", "paramiko", "botocore"}
        ),
        frozenset(
            {".recv", ".recv_into", ".recvfrom", ".sendall", ".accept", ".connect", ".makefile"}
            | {"_socket.getaddrinfo", "_socket.gethostbyname"}
        ),
        f"use an async client (httpx, aiohttp, asyncio's streams), or {_THREAD}",
    ),
    (
        frozenset({"threading", "queue", "concurrent", "multiprocessing", "plait"}),
        frozenset({".result", ".acquire", ".join", ".wait"}),
        f"it waits for another thread or process: await its future, or {_THREAD}",
    ),
)

_COMPUTES = (
    "it computes: await the submit(…) of a plait.ProcessPoolExecutor, or do it in pieces with "
    "await asyncio.sleep(0) in between"
)
_KEEPS_GIL = f"{_COMPUTES}; it kept the GIL, so plait.watch_gil() tells which native code it was"

# Where nothing is known but that the loop could not run.
GIL_ELSEWHERE = "something kept the GIL, and nothing else could run; plait.watch_gil() tells what and where"


def remedy(sight: Sight, native: str | None, computes: bool | None, gil: bool) -> str:
    """Say what to do about what was seen, in one line; `native` is a callback that is no Python function."""
    if gil:
        return _KEEPS_GIL
    if computes:
        return _COMPUTES
    called = {native} if native else {sight.own.function(), sight.spots[0].function()}
    # Of the calls within the one that is told: what a library does is told by where it went.
    until = sight.inner.index(sight.own) if sight.inner else 0
    modules = {spot.module.partition(".")[0] for spot in sight.inner[:until]}
    for places, names, advice in _KINDS:
        if modules & places or any(_is_one(function, names, places) for function in called if function):
            return advice
    if computes is None:
        return f"where it waits, {_THREAD}; where it computes, submit it to a plait.ProcessPoolExecutor"
    return _THREAD


def _is_one(function: str, names: frozenset[str], places: frozenset[str]) -> bool:
    module, dot, name = function.rpartition(".")
    return function in names or dot + name in names or module.partition(".")[0] in places
