"""The tests of the stdlib's that plait does not pass, each with its reason.

What is not a matter of CPython's internals stands in the table of `docs/concurrent-futures.md` as well. A
test that stands here and would pass is an error, like one that fails and does not stand here.
"""

import re
from typing import NamedTuple


class Difference(NamedTuple):
    """Tests by a regular expression for `Class.test_method`, and why they do not pass."""

    tests: str
    reason: str
    # False where the test would take long to find out that it cannot pass, or would disturb others.
    run: bool = True
    # True where it depends on who comes first, or on the version of Python.
    sometimes: bool = False
    # The first version of Python that has these tests.
    since: tuple[int, int] = (3, 11)


def known(name):
    """The difference that a test stands under, or None."""
    return next((difference for difference in DIFFERENCES if re.fullmatch(difference.tests, name)), None)


def is_not_run(name):
    """Whether the test is not even begun."""
    difference = known(name)
    return difference is not None and not difference.run


_PROCESSES = r"ProcessPool(Fork|Forkserver|Spawn)\w*\."

DIFFERENCES = [
    # Internals of CPython's.
    Difference(
        r"FutureTests\.test_exception_with_success",
        "ends a future by assigning to its private attributes; plait's are read-only",
        run=False,
    ),
    Difference(
        _PROCESSES
        + "(test_del_shutdown|test_shutdown_no_wait|test_shutdown_deadlock_pickle|test_shutdown_gh_132969.*|"
        # Since Python 3.14.
        + r"test_force_shutdown_(workers|workers_invalid_op|during\w*)|test_(kill|terminate)_workers|"
        + r"test_(shutdown_no_wait|gc_during)_max_tasks\w*|test_failed_worker_replacement\w*)",
        "looks at `_executor_manager_thread`, `_call_queue`, `_force_shutdown`; plait has none of them",
    ),
    Difference(
        _PROCESSES + "test_traceback_when_child_process_terminates_abruptly",
        "looks for the exit code in the error's private cause; plait's error says it itself",
        since=(3, 15),
    ),
    Difference(
        _PROCESSES + "test_gh105829_should_not_deadlock_if_wakeup_pipe_full",
        "replaces `_ExecutorManagerThread.run`, which plait has not; what it guards against cannot happen",
        run=False,
    ),
    Difference(
        _PROCESSES + "test_python_finalization_error",
        "has the start of a thread fail that plait does not need, and expects the pool to break",
    ),
    Difference(
        _PROCESSES + "(test_saturation|test_processes_terminate)",
        "counts the processes started for calls that cannot be pickled; plait starts none for those",
    ),
    Difference(
        r"FailingInitializerResourcesTest\.test_(forkserver|spawn)",
        "asks multiprocessing's resource tracker for an exit code that older versions do not note",
        sometimes=True,
    ),
    # In the table of the documentation.
    Difference(
        "ProcessPoolForkFailingInitializerTest.test_initializer",
        "gives the initializer a queue of the fork context, which exists in children of the program alone",
    ),
    Difference(
        _PROCESSES + "test_killed_child",
        "kills a worker before it has begun the call, which another runs then: the pool heals",
    ),
    Difference(
        _PROCESSES + "test_broken_process_pool_traceback",
        "waits for the end of calls that go on when another's worker has died: the pool heals",
        run=False,
    ),
    Difference(
        _PROCESSES + "test_(error|exit)_at_task_unpickle",
        "what cannot be unpickled fails its own future with NotPicklable; the pool goes on",
    ),
    Difference(
        _PROCESSES + "test_(error|exit)_during_result_unpickle_in_result_handler",
        "the same for results",
    ),
    Difference(
        _PROCESSES + "test_exit_during_result_pickle_on_worker",
        "whatever is raised while a result is pickled, the future fails with NotPicklable",
    ),
    Difference(
        _PROCESSES + "test_cancel_futures",
        "expects that some of the calls were begun at once; plait cancels all that no worker has begun",
    ),
    Difference(
        "ProcessPoolForkProcessPoolExecutorTest.test_max_tasks_per_child",
        "expects that a fork context is refused; plait's workers are never forked from the program",
    ),
    Difference(
        _PROCESSES + "test_max_tasks_per_child",
        "counts the processes; a replacement is ready before the worker that it replaces has gone",
        sometimes=True,
    ),
    Difference(
        r"ThreadPoolExecutorTest\.test_idle_thread_reuse",
        "counts the threads; one that has just told its result may not be idle yet, and another is started",
        sometimes=True,
    ),
]
