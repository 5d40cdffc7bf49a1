"""Which pools plait serves, and why it leaves others to the standard library.

In doubt a pool is left: a program must do what it did. What is looked at, cheapest first: the process that
makes the pool, the multiprocessing context, what a subclass changes, and whether the code that makes the
pool reads parts of it that are private to the standard library and that plait's have not.
"""

import sys
import types
from types import CodeType
from typing import Any

# What only the standard library's own pools have. Names that programs use for things of their own too, such
# as `_pool`, are not among them: those that matter are there in served pools.
PRIVATE = {
    "ThreadPoolExecutor": frozenset(
        {"_work_queue", "_idle_semaphore", "_adjust_thread_count", "_initializer_failed"}
    ),
    "ProcessPoolExecutor": frozenset(
        {
            "_pending_work_items",
            "_call_queue",
            "_result_queue",
            "_work_ids",
            "_queue_count",
            "_executor_manager_thread",
            "_executor_manager_thread_wakeup",
            "_queue_management_thread",
            "_idle_worker_semaphore",
            "_start_executor_manager_thread",
            "_adjust_process_count",
            "_launch_processes",
            "_spawn_process",
            "_terminate_broken",
        }
    ),
    "Pool": frozenset(
        {
            "_taskqueue",
            "_inqueue",
            "_outqueue",
            "_quick_put",
            "_quick_get",
            "_worker_handler",
            "_task_handler",
            "_result_handler",
            "_change_notifier",
            "_repopulate_pool",
            "_repopulate_pool_static",
            "_maintain_pool",
            "_setup_queues",
            "_terminate_pool",
            "_guarded_task_generation",
            "_get_tasks",
            "_get_sentinels",
            "_help_stuff_finish",
            "_join_exited_workers",
            "_wait_for_updates",
        }
    ),
}
PRIVATE["ThreadPool"] = PRIVATE["Pool"]

# Worker ids are a byte in the engine, some of them spare.
MOST_WORKERS = 192

_seen: dict[int, tuple[Any, frozenset[str]]] = {}


def why_left(
    face: str, pool: object, base: type, origin: tuple[dict[str, Any], CodeType] | None
) -> str | None:
    """Why a pool is not served, whatever it runs on; None when nothing stands against it.

    `origin` is where the pool is made: the globals and the code.
    """
    cls = type(pool)
    for part in cls.__mro__[: cls.__mro__.index(base)]:
        reason = _changed_by(part, base, PRIVATE[face])
        if reason is not None:
            return reason
    used = _names_in(*origin) & PRIVATE[face] if origin is not None else None
    if used:
        return f"the module that makes it uses private attributes ({', '.join(sorted(used))})"
    return None


def why_processes_left(context: Any, workers: int) -> str | None:
    """Why a process pool of this context is not served; None when nothing stands against it."""
    from plait import _depth

    if _depth.depth:
        return "it is made inside of a worker"
    if workers > MOST_WORKERS:
        return f"it has more than {MOST_WORKERS} workers"
    if not sys.executable:
        return "the interpreter does not know its own path"
    cls = type(context)
    if cls.__module__ != "multiprocessing.context" or context.Process.__module__ != "multiprocessing.context":
        return f"its context is {cls.__module__}.{cls.__qualname__}, which is not multiprocessing's own"
    from multiprocessing import process

    if process.current_process().daemon:
        return "daemonic processes are not allowed to have children"
    begin = process.BaseProcess._bootstrap  # type: ignore[attr-defined]
    if begin.__module__ != process.__name__:
        # Such as coverage, which measures what workers run.
        return f"{begin.__module__} has changed how multiprocessing's processes begin"
    if context.get_start_method() != "fork":
        from multiprocessing import spawn

        if spawn.get_executable() not in (sys.executable, sys.executable.encode()):
            return "multiprocessing.set_executable has named another interpreter"
    return None


def _changed_by(cls: type, base: type, private: frozenset[str]) -> str | None:
    """What a subclass does to the private parts of its base."""
    name = f"{cls.__module__}.{cls.__qualname__}"
    for attribute, value in vars(cls).items():
        if attribute == "Process" or (
            attribute.startswith("_") and not attribute.startswith("__") and hasattr(base, attribute)
        ):
            return f"its subclass {name} overrides {attribute}"
        used = _codes(value) & private
        if used:
            return f"its subclass {name} uses private attributes ({', '.join(sorted(used))})"
    return None


def _names_in(module: dict[str, Any], code: CodeType) -> frozenset[str]:
    """The names that some code looks up, and the functions and classes around it."""
    known = _seen.get(id(module))
    if known is None or known[0] is not module:
        found: set[str] = set()
        for value in list(module.values()):
            if getattr(value, "__module__", None) == module.get("__name__"):
                found |= _codes(value)
        known = _seen[id(module)] = module, frozenset(found)
    return known[1] | _code_names(code)


def _codes(value: object) -> frozenset[str]:
    if isinstance(value, property):
        return _codes(value.fget) | _codes(value.fset)
    if isinstance(value, (staticmethod, classmethod)):
        value = value.__func__
    if isinstance(value, type):
        return frozenset().union(*map(_codes, [v for v in vars(value).values() if not isinstance(v, type)]))
    if isinstance(value, types.FunctionType):
        return _code_names(value.__code__)
    return frozenset()


def _code_names(code: CodeType) -> frozenset[str]:
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= _code_names(constant)
    return frozenset(found)
