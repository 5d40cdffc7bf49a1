"""The parent's log handlers, whatever they do, and those that workers have of their own."""

import logging
import logging.handlers
import os
import queue
import threading

import plait
import pytest
import workloads as w
from heard import LOG, Heard, hearing, log_some
from outside import TESTS, run_program, until
from ways import WAYS, one_worker


@pytest.mark.parametrize("name", WAYS)
def test_a_handler_that_raises_or_logs_harms_nobody(name, capsys):
    def then(record):
        if record.getMessage().startswith("record 1 "):
            raise ValueError("a bad handler")
        if record.process != os.getpid():
            LOG.info("heard %s", record.getMessage())

    with hearing(LOG, logging.INFO, then) as heard, one_worker(name) as way:
        way(log_some, 3)
        there = [record.getMessage() for record in heard.records if record.process != os.getpid()]
        assert there == [f"record {at} of 3" for at in range(3)]
        assert "heard record 2 of 3" in heard.texts
    err = capsys.readouterr().err
    assert err.count("ValueError: a bad handler") == 1 and "Logging error" in err


@pytest.mark.parametrize("waits", [True, False])
def test_a_handler_may_use_the_pool(waits):
    with plait.ProcessPoolExecutor(2) as pool:
        answers = []

        def then(record):
            answers.append(pool.submit(w.add_one, record.at).result())

        with hearing(LOG, logging.INFO, then), plait.ProcessPoolExecutor(2) as other:
            for used in (other, pool) if waits else (other,):
                call = used.submit(log_some, 3)
                if waits:
                    call.result()
            until(lambda: len(answers) >= 3, "the answers")
            assert answers[:3] == [1, 2, 3]


def test_what_stops_a_handler_stops_the_program():
    """Ctrl-C while the main thread is in a handler is raised where it waits."""

    def then(record):
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt

    with plait.ProcessPoolExecutor(1) as warm:
        warm.submit(w.add_one, 1).result()
        with hearing(LOG, logging.INFO, then) as heard, plait.ProcessPoolExecutor(1) as pool:
            for _ in range(2_000):
                heard.records.clear()
                try:
                    pool.submit(log_some, 3).result()
                except KeyboardInterrupt:
                    break
            else:
                pytest.fail("the main thread heard no record in 2000 calls")
            assert len(heard.records) == 3
            heard.then = None
            assert pool.submit(w.add_one, 1).result() == 2


@pytest.mark.parametrize("name", ["submit", "executor.map"])
def test_a_level_that_is_raised_later_holds(name):
    with hearing(LOG, logging.DEBUG) as heard, one_worker(name) as way:
        way(log_some, 1)
        assert heard.texts == ["record 0 of 1", "not this one"]
        LOG.setLevel(logging.INFO)
        way(log_some, 2)
        assert heard.texts[2:] == ["record 0 of 2", "record 1 of 2"]
        heard.addFilter(lambda record: record.at == 1)
        way(log_some, 3)
        assert heard.texts[4:] == ["record 1 of 3"]
        logging.disable(logging.INFO)
        try:
            way(log_some, 4)
        finally:
            logging.disable(logging.NOTSET)
        assert heard.texts[5:] == []


def test_a_level_that_is_lowered_later_holds_for_maps():
    with hearing(LOG, logging.WARNING) as heard, plait.ProcessPoolExecutor(1) as pool:
        list(plait.map(log_some, [1], backend="processes", workers=1))
        pool.submit(log_some, 1).result()
        LOG.setLevel(logging.INFO)
        # Its workers are older than the level.
        pool.submit(log_some, 2).result()
        assert heard.texts == []
        list(plait.map(log_some, [3], backend="processes", workers=1))
        assert heard.texts == [f"record {at} of 3" for at in range(3)]


def fail_and_log(n):
    adapter = logging.LoggerAdapter(LOG, {"at": n, "lock": threading.Lock()})
    try:
        w.fail(f"for {n}")
    except ValueError as error:
        adapter.error("%s and %s", error, threading.Lock(), exc_info=True)


@pytest.mark.parametrize("name", WAYS)
def test_a_queue_between_the_program_and_its_handlers(name):
    """As services have it: the records go on, once and in order, by a thread of their own."""
    waiting = queue.SimpleQueue()
    there = Heard()
    there.setFormatter(logging.Formatter("%(processName)s %(at)d %(message)s"))
    listener = logging.handlers.QueueListener(waiting, there)
    handler = logging.handlers.QueueHandler(waiting)
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    listener.start()
    try:
        with one_worker(name) as way:
            for n in range(20):
                way(fail_and_log, n)
    finally:
        LOG.removeHandler(handler)
        LOG.setLevel(logging.NOTSET)
        # It hands on all that waits.
        listener.stop()
    shown = [there.format(record) for record in there.records]
    assert len(shown) == 20
    for n, text in enumerate(shown):
        assert text.startswith(f"plait-worker-0 {n} for {n} and <unlocked _thread.lock")
        assert text.count("Traceback (most recent call last)") == 1 and f"ValueError: for {n}" in text


FORKING = """
import logging, os, sys, plait
logging.basicConfig(format="%(processName)s %(message)s", stream=sys.stdout)

def call(n):
    pid = os.fork()
    if pid == 0:
        logging.warning("of a child")
        os._exit(0)
    os.waitpid(pid, 0)
    logging.warning("of the worker")

with plait.ProcessPoolExecutor(1) as pool:
    pool.submit(call, 1).result()
"""


def test_a_process_that_a_call_forks_is_not_heard():
    ended = run_program("-W", "ignore::DeprecationWarning", "-c", FORKING)
    assert (ended.out, ended.err) == ("plait-worker-0 of the worker\n", "of a child\n"), ended


UNCONFIGURED = """
import logging, sys, plait

def call(n):
    logging.getLogger("x").info("not shown")
    logging.getLogger("x").warning("shown")
    return "plait._logs" in sys.modules

with plait.ProcessPoolExecutor(1) as pool:
    print(pool.submit(call, 1).result(), *pool.map(call, [1]), *plait.map(call, [1], backend="processes"))
    logging.basicConfig(format="%(processName)s %(levelname)s %(message)s", level="INFO", stream=sys.stdout)
    print(pool.submit(call, 1).result(), *plait.map(call, [1], backend="processes"))
"""


def test_where_nothing_is_configured_all_is_as_ever():
    ended = run_program("-c", UNCONFIGURED)
    assert ended.code == 0 and ended.err == "shown\n" * 4, ended
    records = ["plait-worker-0 INFO not shown", "plait-worker-0 WARNING shown"]
    # The pool is older than the configuration; `map` makes itself a new one.
    assert sorted(ended.out.splitlines()) == sorted(["False False False", "False True", *records]), ended


OWN_HANDLERS = """
import logging, os, sys
log = logging.getLogger(__name__)
log.setLevel("INFO")
log.addHandler(logging.StreamHandler(sys.stdout))
log.addHandler(logging.FileHandler(os.environ["LOG_FILE"]))

def call(n):
    log.info("call %d", n)

def begin():
    logging.getLogger().addHandler(logging.FileHandler(os.environ["LOG_FILE"] + "-workers"))
"""

WITH_OWN_HANDLERS = """
import logging, os, sys, plait, with_handlers
logging.basicConfig(format="root %(message)s", stream=sys.stderr)
with plait.ProcessPoolExecutor(1, initializer=with_handlers.begin) as pool:
    pool.submit(with_handlers.call, 1).result()
    list(pool.map(with_handlers.call, [2]))
"""


def test_what_a_worker_has_written_there_is_not_written_again(tmp_path):
    (tmp_path / "with_handlers.py").write_text(OWN_HANDLERS)
    env = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{TESTS}", "LOG_FILE": str(tmp_path / "log")}
    ended = run_program("-c", WITH_OWN_HANDLERS, env=env)
    assert (ended.code, ended.out) == (0, "call 1\ncall 2\n"), ended
    assert ended.err == "root call 1\nroot call 2\n", ended
    assert (tmp_path / "log").read_text() == "call 1\ncall 2\n"
    assert (tmp_path / "log-workers").read_text() == "call 1\ncall 2\n"
