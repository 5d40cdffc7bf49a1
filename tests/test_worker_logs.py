"""What workers log reaches the parent's handlers: once, in order, before the result, whatever it is."""

import logging
import os
import signal
import threading
import warnings

import plait
import pytest
import workloads as w
from heard import LOG, hearing, log_some
from outside import until
from ways import WAYS, one_worker

pytestmark = pytest.mark.once


@pytest.fixture
def heard():
    """A handler of the root logger, which lets everything through from INFO on."""
    with hearing(logging.getLogger(), logging.INFO) as handler:
        yield handler


@pytest.fixture(params=WAYS)
def way(request, heard):
    with one_worker(request.param) as way:
        heard.records.clear()
        yield way


def test_log_records_reach_the_parents_handlers(way, heard):
    for n in (1, 3, 50):
        pid = way(log_some, n)
        # No waiting: they are there when the result is.
        assert heard.texts == [f"record {at} of {n}" for at in range(n)]
        assert [record.at for record in heard.records] == list(range(n))
        for record in heard.records:
            assert (record.processName, record.process) == ("plait-worker-0", pid)
            assert (record.threadName, record.levelname, record.name) == ("MainThread", "INFO", LOG.name)
            assert (record.funcName, record.filename) == ("log_some", "heard.py")
        heard.records.clear()


def log_a_lock(_):
    lock = threading.Lock()
    LOG.info("with %s", lock, extra={"lock": lock, "pair": (1, {"two"}), "died": ValueError("x")})
    LOG.info(lock)
    LOG.info("%s and %(no)s", 1)
    return str(lock)


def test_what_a_record_is_made_of_does_not_matter(way, heard):
    lock = way(log_a_lock, 0)
    first, second = heard.records
    assert (first.getMessage(), first.lock, first.pair) == (f"with {lock}", lock, (1, {"two"}))
    assert repr(first.died) == "ValueError('x')"
    assert second.getMessage() == lock and second.args == ()


def log_an_error(_):
    try:
        w.fail("it was this")
    except ValueError:
        LOG.exception("failed", stack_info=True)


def test_tracebacks_are_shown(way, heard):
    way(log_an_error, 0)
    text = logging.Formatter("%(levelname)s %(message)s").format(heard.records[0])
    assert text.startswith("ERROR failed\nTraceback (most recent call last):\n")
    assert "ValueError: it was this" in text and "w.fail(" in text
    assert "Stack (most recent call last):" in text


def log_much(n):
    for at in range(n):
        LOG.info("%d %s", at, "-" * 200)
    return os.getpid()


@pytest.mark.parametrize("name", ["submit", "map"])
def test_a_storm_arrives_complete_and_in_order(heard, name):
    with plait.ProcessPoolExecutor(2) as pool:
        if name == "submit":
            calls = [pool.submit(log_much, 6_000) for _ in range(4)]
            pids = [call.result() for call in calls]
        else:
            pids = list(pool.map(log_much, [6_000] * 4))
        assert len(heard.records) == 24_000
        for pid in set(pids):
            mine = [
                int(text.split()[0])
                for record, text in zip(heard.records, heard.texts)
                if record.process == pid
            ]
            assert mine == list(range(6_000)) * pids.count(pid)


def log_long(n):
    LOG.info("x" * n)
    LOG.info("after")


def test_records_of_any_length(way, heard):
    for length in (100_000, 524_000, 3_000_000):
        way(log_long, length)
        assert [len(text) for text in heard.texts] == [length, 5]
        heard.records.clear()


def log_and_die(n):
    for at in range(n):
        LOG.info("%d", at)
    w.kill_self()


@pytest.mark.parametrize("name", ["submit", "map"])
def test_a_killed_worker_has_logged_all_before(heard, name):
    with plait.ProcessPoolExecutor(1) as pool:
        with pytest.raises(plait.WorkerDied):
            pool.submit(log_and_die, 300).result() if name == "submit" else list(pool.map(log_and_die, [300]))
        assert heard.texts == [str(at) for at in range(300)]


def log_for_ever(at):
    while True:
        at += 1
        LOG.info("%d", at)


def test_a_worker_killed_while_it_logs_breaks_no_other(heard):
    with plait.ProcessPoolExecutor(2) as pool:
        for _ in range(5):
            heard.records.clear()
            call = pool.submit(log_for_ever, -1)
            first = until(lambda: heard.records and heard.records[0], "the first record")
            os.kill(first.process, signal.SIGKILL)
            assert isinstance(call.exception(), plait.WorkerDied)
            assert heard.texts == [str(at) for at in range(len(heard.texts))]
            assert pool.submit(log_some, 1).result() == heard.records[-1].process


def log_from_threads(n):
    def run():
        for at in range(n):
            LOG.info("%d", at)

    threads = [threading.Thread(target=run, name=f"mine-{t}") for t in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_threads_of_a_worker(way, heard):
    way(log_from_threads, 200)
    assert len(heard.records) == 800
    for t in range(4):
        mine = [record.getMessage() for record in heard.records if record.threadName == f"mine-{t}"]
        assert mine == [str(at) for at in range(200)]


def log_at_the_end():
    import atexit

    LOG.info("beginning")
    atexit.register(LOG.info, "end")


def log_later(gate):
    def run():
        LOG.info("thread began")
        w.pass_gate(gate, "thread")
        LOG.info("thread ended")

    threading.Thread(target=run).start()


def test_initializer_threads_and_the_end_of_a_worker(heard, gate):
    with gate, plait.ProcessPoolExecutor(1, initializer=log_at_the_end) as pool:
        pool.submit(log_later, gate.folder).result()
        gate.wait_for("thread")
        # Nobody waits for a result.
        until(lambda: heard.texts == ["beginning", "thread began"], lambda: f"two records, not {heard.texts}")
        gate.open()
        pool.shutdown(wait=True)
        assert heard.texts == ["beginning", "thread began", "thread ended", "end"]


def quiet(_):
    LOG.debug("now heard")
    LOG.getChild("deeper").debug("and this")
    logging.getLogger("plait_tests.other").debug("not this")
    logging.getLogger("plait_tests.off").error("nor this")
    return logging.getLogger("plait_tests.off").disabled


def log_to(name):
    logging.getLogger(name).info("hello")


@pytest.mark.parametrize("name", WAYS)
def test_levels_filters_and_propagation_are_the_parents(heard, name):
    off = logging.getLogger("plait_tests.off")
    own = logging.getLogger("plait_tests.own")

    def mark(record):
        record.marked = True
        return "deeper" not in record.getMessage()

    try:
        off.disabled = True
        own.propagate = False
        heard.addFilter(mark)
        with (
            hearing(LOG, logging.DEBUG) as named,
            hearing(own, logging.INFO) as alone,
            one_worker(name) as way,
        ):
            assert way(quiet, 0) is True
            assert heard.texts == ["now heard", "and this"] and heard.records[0].marked
            assert named.texts == ["now heard", "and this"]
            way(log_to, own.name)
            assert alone.texts == ["hello"] and "hello" not in heard.texts
    finally:
        off.disabled = False
        own.propagate = True


@pytest.mark.parametrize("name", WAYS)
def test_what_is_disabled_is_not_sent(heard, name):
    logging.disable(logging.INFO)
    try:
        with one_worker(name) as way:
            way(log_some, 3)
            way(log_an_error, 0)
    finally:
        logging.disable(logging.NOTSET)
    assert heard.texts == ["failed"]


def log_nested(_):
    with plait.ProcessPoolExecutor(1) as pool:
        return pool.submit(log_some, 2).result()


def test_workers_of_workers(way, heard):
    pid = way(log_nested, 0)
    assert [record.process for record in heard.records] == [pid, pid]
    assert pid != way(w.pid, None) and heard.records[0].processName == "plait-worker-0"


def warn_and_log(_):
    warnings.warn("a warning of a call", stacklevel=1)
    logging.log(25, "at a level of my own")


def test_captured_warnings_and_levels_with_names(heard):
    logging.captureWarnings(True)
    names = logging._levelToName.copy(), logging._nameToLevel.copy()
    logging.addLevelName(25, "NOTICE")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            with plait.ProcessPoolExecutor(1) as pool:
                pool.submit(warn_and_log, 0).result()
    finally:
        logging.captureWarnings(False)
        logging._levelToName, logging._nameToLevel = names
    assert [record.levelname for record in heard.records] == ["WARNING", "NOTICE"]
    assert heard.records[0].name == "py.warnings" and "a warning of a call" in heard.texts[0]
