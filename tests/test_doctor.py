"""What the doctor makes of figures: its judges, on machines that were thought up."""

import resource

import pytest
from findings import says
from plait._doctor import memory, native, processors, python

pytestmark = pytest.mark.once

GIB = 1 << 30
NO_LIMIT = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


def machine(**figures):
    """A machine with 8 processors and 16 GiB, or what the figures say."""
    plain = {
        "cpus": 8,
        "rule": "affinity",
        "affinity": 8,
        "quotas": [],
        "variable": None,
        "physical": 8,
        "logical": 8,
        "memory_total": 16 * GIB,
        "memory_available": 8 * GIB,
        "memory_limit": None,
        "memory_rule": None,
        "memory_file": None,
    }
    assert figures.keys() <= plain.keys()
    return {**plain, **figures}


def quota(*limits):
    groups = [{"file": f"/sys/fs/cgroup/{'a/' * n}cpu.max", "limit": limit} for n, limit in enumerate(limits)]
    return machine(quotas=groups, cpus=-int(-min(limits) // 1), rule="quota")


# --- processors


def test_where_the_count_comes_from():
    says(processors.judge_count(machine()), "ok", "8: all there are")
    says(processors.judge_count(machine(affinity=3, cpus=3)), "ok", "3: what the affinity mask allows")
    says(
        processors.judge_count(machine(cpus=2, rule="variable", variable=2)),
        "ok",
        "2: what PLAIT_MAX_WORKERS says",
    )
    finding = processors.judge_count(quota(3, 1.5))
    says(finding, "ok", "2: the quota of 1.5 in /sys/fs/cgroup/a/cpu.max, rounded up")
    assert finding.value == {"count": 2, "rule": "quota"}


def test_default_workers():
    says(processors.judge_workers(machine(), 8), "ok", "8 workers")
    says(processors.judge_workers(machine(physical=4), 4), "ok", "one for each physical core")
    says(processors.judge_workers(machine(), 1), "note", "1 worker in", "no memory", "PLAIT_MAX_WORKERS")


def test_cores_that_are_shared():
    says(processors.judge_cores(machine()), "ok", "8 logical processors, on 8 physical cores")
    says(processors.judge_cores(machine(physical=4)), "note", "on 4 physical cores; ")
    # Of the two processors that may be used, each is on a core of its own.
    narrow = machine(physical=2, affinity=2)
    says(processors.judge_cores(narrow), "ok", "of which 2 may be used, on 2 physical cores")


def test_affinity():
    says(processors.judge_affinity(machine(), list(range(8))), "ok", "all 8")
    says(processors.judge_affinity(machine(), [0, 1, 2, 5, 7]), "note", "5 of 8: 0-2,5,7", "taskset")


def test_quotas():
    [finding] = processors.judge_quotas(machine())
    says(finding, "ok", "none")
    loose, tight = processors.judge_quotas(quota(16, 1.5))
    says(loose, "ok", "16 of 8 processors", "limits nothing")
    says(tight, "note", "1.5 of 8 processors, set in /sys/fs/cgroup/a/cpu.max", "CPUQuota=")
    assert tight.value == {"file": "/sys/fs/cgroup/a/cpu.max", "limit": 1.5}


@pytest.mark.parametrize(
    ("text", "level", "said"),
    [
        ("nr_periods 0\nnr_throttled 0\nthrottled_time 0\n", None, ""),
        ("usage_usec 5\nuser_usec 3\n", None, ""),
        ("nr_periods 1000\nnr_throttled 0\nthrottled_usec 0\n", "ok", "in none of 1,000 periods"),
        (
            "nr_periods 1000\nnr_throttled 20\nthrottled_usec 340000\n",
            "note",
            "in 20 of 1,000 periods (2%), for 340 ms",
        ),
        ("nr_periods 1000\nnr_throttled 400\nthrottled_time 5000000000\n", "warn", "(40%), for 5.0 s"),
    ],
)
def test_throttling(tmp_path, text, level, said):
    (tmp_path / "cpu.stat").write_text(text)
    # A group that counts nothing is left out.
    stats = processors.read_throttling([str(tmp_path / "gone"), str(tmp_path)])
    finding = processors.judge_throttling(stats)
    if level is None:
        assert finding is None
    else:
        says(finding, level, said)


def test_the_group_that_was_throttled_most_is_told():
    stats = [
        {"file": name, "periods": 100, "throttled": count, "seconds": 1.0}
        for name, count in [("a", 3), ("b", 9)]
    ]
    assert processors.judge_throttling(stats).value["file"] == "b"


def test_the_variable():
    says(processors.judge_variable(machine()), "ok", "not set")
    says(
        processors.judge_variable(machine(variable=2, cpus=2, rule="variable")), "ok", "2, which is the limit"
    )
    says(processors.judge_variable(machine(variable=64)), "note", "changes nothing", "8 processors at most")
    says(processors.judge_variable(machine(variable="many")), "warn", "'many' is not followed", "unset it")


def test_pools_that_would_start_too_many():
    says(processors.judge_others(machine(), {"os.cpu_count()": 8}), "ok", "os.cpu_count() is 8")
    finding = processors.judge_others(quota(1.5), {"os.cpu_count()": 8})
    says(finding, "warn", "start 8 workers on 2 processors", "plait.cpu_count()")
    assert "PYTHON_CPU_COUNT" not in finding.remedy
    newer = {"os.cpu_count()": 64, "os.process_cpu_count()": 8}
    says(processors.judge_others(quota(0.5), newer), "warn", "8 workers on 1 processor", "PYTHON_CPU_COUNT=1")
    # These ask for the mask, and there is no quota.
    assert processors.judge_others(machine(), newer).level == "ok"
    # plait's own variable is nobody else's business.
    lowered = machine(cpus=1, rule="variable", variable=1)
    assert processors.judge_others(lowered, {"os.cpu_count()": 8}).level == "ok"


def test_load():
    says(processors.judge_load(8, (7.9, 1.0, 0.5)), "ok", "7.9 in the last minute")
    says(processors.judge_load(8, (9.0, 1.0, 0.5)), "note", "on 8 processors")


# --- memory


def test_memory():
    says(memory.judge_available(machine()), "ok", "8.0 GiB can be taken now, of 16.0 GiB")
    says(memory.judge_available(machine(memory_available=GIB)), "warn", "it is short", "memory_limit=")
    small = machine(
        memory_available=GIB, memory_limit=2 * GIB, memory_rule="group", memory_file="/g/memory.max"
    )
    assert memory.judge_available(small).level == "ok"
    says(memory.judge_available(machine(memory_available=None)), "note", "not known")
    says(memory.judge_limit(small), "note", "2.0 GiB, set in /g/memory.max", "the kernel kills")
    says(memory.judge_limit(machine()), "ok", "none")
    addresses = machine(memory_limit=GIB, memory_rule="address space")
    says(memory.judge_limit(addresses), "note", "1.0 GiB of addresses", "ulimit -v unlimited")
    says(memory.judge_limit(machine(memory_limit=GIB, memory_rule="promise")), "note", "vm.overcommit_memory")


def test_swap_and_overcommit():
    read = memory.parse_meminfo
    says(memory.judge_swap(read("SwapTotal: 0 kB\nSwapFree: 0 kB\nHugePages_Total: 3\n")), "ok", "none")
    says(memory.judge_swap(read("SwapTotal: 1048576 kB\nSwapFree: 1048576 kB\n")), "ok", "0 bytes of 1.0 GiB")
    says(memory.judge_swap(read("SwapTotal: 1048576 kB\nSwapFree: 1024 kB\n")), "note", "not enough memory")
    strict = read("CommitLimit: 1000 kB\nCommitted_AS: 700 kB\n")
    says(memory.judge_overcommit(0, strict), "ok", "0: ")
    says(memory.judge_overcommit(1, strict), "ok", "1: ")
    says(memory.judge_overcommit(2, strict), "note", "700.0 KiB of 1000.0 KiB")
    says(
        memory.judge_overcommit(2, {**strict, "Committed_AS": 1000 << 10}),
        "warn",
        "forks and allocations fail",
    )


def test_budget():
    says(memory.judge_budget(machine(), (4 * GIB, False)), "ok", "a quarter", "4.0 GiB")
    says(memory.judge_budget(machine(), (GIB, True)), "ok", "1.0 GiB may be on its way")
    says(memory.judge_budget(machine(), (64 * GIB, True)), "warn", "more than the 16.0 GiB", "lower")
    wrong = ValueError("PLAIT_MEMORY_BUDGET must be a size")
    says(memory.judge_budget(machine(), wrong), "error", "must be a size", "unset it")


# --- Python


def test_version_and_build():
    version = {"implementation": "PyPy", "version": "3.11.13", "executable": "/usr/bin/pypy"}
    says(python.judge_version(version), "warn", "PyPy", "use CPython")
    assert python.judge_version({**version, "implementation": "CPython"}).level == "ok"
    build = {"debug": False, "dev_mode": False, "traced": None, "optimized": True}
    assert python.judge_build(build).level == "ok"
    # What is not known is no finding.
    assert python.judge_build({**build, "optimized": None}).level == "ok"
    says(python.judge_build({**build, "optimized": False}), "note", "--enable-optimizations")
    says(python.judge_build({**build, "debug": True}), "warn", "a debug build")
    says(python.judge_build({**build, "dev_mode": True}), "note", "PYTHONDEVMODE")
    says(python.judge_build({**build, "traced": "coverage"}), "note", "coverage traces it")


def test_gil():
    gil = {"free_threaded": False, "enabled": True, "asked": None, "loaded": []}
    says(python.judge_gil(gil), "ok", "threads take turns")
    free = {**gil, "free_threaded": True}
    says(python.judge_gil({**free, "enabled": False}), "ok", "side by side")
    says(python.judge_gil({**free, "enabled": False, "asked": "PYTHON_GIL=0"}), "ok", "as PYTHON_GIL=0 says")
    says(python.judge_gil({**free, "asked": "-X gil=1"}), "warn", "as -X gil=1 says", "leave out -X gil=1")
    says(python.judge_gil(free), "warn", "an extension module", "PYTHON_GIL=0")
    says(python.judge_gil({**free, "loaded": ["a._b", "c"]}), "warn", "one of a._b, c")
    says(
        native.judge_switched(["a._b", "a._c", "d"]), "warn", "of a._b, a._c, d switches it on", "update a, d"
    )


def test_switch_interval_and_start_method():
    says(python.judge_switch_interval(0.005), "ok", "5.0 ms")
    says(python.judge_switch_interval(1e-5), "warn", "10 µs", "sys.setswitchinterval(0.005)")
    says(python.judge_switch_interval(1.0), "warn", "have to wait long")
    start = {"method": "fork", "set": False, "threads": 1}
    says(python.judge_start_method(start), "note", "fork, the default", "set_start_method")
    says(python.judge_start_method({**start, "threads": 9}), "note", "9 threads are running already")
    says(python.judge_start_method({**start, "method": "spawn", "set": True}), "ok", "chosen by the program")


def test_bytecode():
    bytecode = {"written": True, "missing": None, "writable": None, "folder": None}
    assert python.judge_bytecode(bytecode).level == "ok"
    assert python.judge_bytecode({**bytecode, "written": False}).level == "ok"
    missing = {**bytecode, "missing": "/srv/a.py", "folder": "/srv/__pycache__", "writable": True}
    says(python.judge_bytecode(missing), "ok", "will be written")
    locked = {**missing, "writable": False}
    says(python.judge_bytecode(locked), "warn", "/srv/__pycache__ cannot be written", "PYTHONPYCACHEPREFIX")
    forbidden = {**missing, "written": False}
    says(python.judge_bytecode(forbidden), "warn", "told to write none", "unset PYTHONDONTWRITEBYTECODE")


def test_allocator():
    assert python.judge_allocator({"PATH": "/bin"}).level == "ok"
    says(python.judge_allocator({"PYTHONMALLOC": "malloc_debug"}), "warn", "PYTHONMALLOC=malloc_debug")
    says(python.judge_allocator({"PYTHONMALLOC": "malloc"}), "note", "slower")
    says(python.judge_allocator({"MALLOC_ARENA_MAX": "2"}), "ok", "MALLOC_ARENA_MAX=2")


# --- native threads


def pool(threads, **more):
    path = "/v/lib/python3.11/site-packages/numpy.libs/libscipy_openblas64_.so"
    return {"internal_api": "openblas", "num_threads": threads, "version": "0.3.30", "filepath": path, **more}


def test_libraries_with_more_threads_than_processors():
    says(native.judge_pool(pool(2), 2), "ok", "2 threads (OpenBLAS 0.3.30)")
    finding = native.judge_pool(pool(64), 2)
    says(finding, "warn", "64 threads", "on 2 processors", "OPENBLAS_NUM_THREADS=2")
    assert finding.name == "OpenBLAS of numpy"
    assert finding.value["threads"] == 64 and finding.value["of"] == "numpy"
    other = pool(3, internal_api="openmp", version=None, filepath="/usr/lib/libgomp.so.1")
    says(native.judge_pool(other, 2), "warn", "3 threads (OpenMP)", "OMP_NUM_THREADS=2")
    assert native.judge_pool(other, 2).name == "OpenMP"
    new = pool(3, internal_api="newblas", filepath="/v/site-packages/torch/lib/libnew.so")
    assert native.judge_pool(new, 4).name == "newblas of torch"


def test_what_the_probe_tells():
    told = {"imported": ["numpy"], "failed": {}, "switched": [], "pools": [pool(1), pool(9)], "libraries": []}
    assert [finding.level for finding in native.judge_probe(told, 2)] == ["ok", "warn"]
    [finding] = native.judge_probe({**told, "pools": []}, 2)
    says(finding, "ok", "none (numpy)")
    [finding] = native.judge_probe({**told, "pools": None, "libraries": ["/usr/lib/libgomp.so.1"]}, 2)
    says(finding, "note", "libgomp.so.1", "pip install threadpoolctl")
    found = native.judge_probe({**told, "switched": ["x.y"], "failed": {"z": "ImportError: no"}}, 2)
    says(found[0], "warn", "x.y")
    says(found[1], "warn", "cannot be imported: ImportError: no", "import z")


def test_variables_of_native_threads():
    [finding] = native.judge_variables({"PATH": "/bin"}, 2)
    says(finding, "ok", "none set")
    fine, large, wrong = native.judge_variables(
        {"OMP_NUM_THREADS": "2,1", "MKL_NUM_THREADS": "64", "OPENBLAS_NUM_THREADS": "all"}, 2
    )
    assert (fine.name, fine.level) == ("OMP_NUM_THREADS", "ok")
    by_name = {finding.name: finding for finding in (large, wrong)}
    says(by_name["MKL_NUM_THREADS"], "warn", "64 threads on 2 processors", "lower MKL_NUM_THREADS to 2")
    says(by_name["OPENBLAS_NUM_THREADS"], "warn", "'all' is no number", "unset it")
