"""`plait doctor` as a user runs it: on this machine, and on it with less."""

import contextlib
import os
import platform
import socket
import subprocess
import sys
from pathlib import Path

import plait
import pytest
from doctored import Told, doctor, group
from outside import run_program

pytestmark = pytest.mark.once

SECTIONS = ["processors", "memory", "python", "native threads", "limits", "extras", "plait"]
LEVELS = ["ok", "note", "warn", "error"]


@pytest.fixture(scope="module")
def examined(tmp_path_factory):
    """What it says of a program in such a place, without a trial, and without the time that packages take."""
    empty = tmp_path_factory.mktemp("empty")
    for module in ("numpy/__init__", "scipy/__init__", "scipy/linalg", "joblib/__init__"):
        (empty / module).parent.mkdir(exist_ok=True)
        (empty / f"{module}.py").touch()

    def run(*arguments, env=None, **options):
        env = dict(env or {})
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [env.get("PYTHONPATH"), str(empty)]))
        return Told(doctor("--json", "--no-trial", *arguments, env=env, **options))

    return run


def test_all_of_it():
    told = Told(doctor("--json"))
    assert told.whole.keys() == {"plait", "python", "findings", "summary"}
    assert told.whole["plait"] == plait.__version__
    assert told.whole["python"]["executable"] == sys.executable
    findings = told.whole["findings"]
    for finding in findings:
        assert list(finding) == ["section", "name", "value", "text", "level", "remedy"]
        assert finding["level"] in LEVELS
        assert finding["remedy"] or finding["level"] in ("ok", "note"), finding
        assert "could not be read" not in finding["text"], finding
    assert list(dict.fromkeys(finding["section"] for finding in findings)) == SECTIONS
    counts = {level: sum(finding["level"] == level for finding in findings) for level in LEVELS}
    assert {level: told.whole["summary"][level] for level in LEVELS} == counts
    assert told.code == (1 if counts["error"] else 0)
    # Calls came back, and took some time.
    for backend in ("serial", "threads", "processes"):
        assert told[backend]["level"] == "ok", told[backend]
        assert 0 < told[backend]["value"]["call"] < 60 and told[backend]["value"]["first"] > 0
    assert told["worker start"]["value"]["start"] > 0
    # What it says of this machine is so.
    assert told["plait.cpu_count()"]["value"]["count"] == plait.cpu_count()
    assert told["affinity"]["value"] == sorted(os.sched_getaffinity(0))
    assert told["other pools"]["value"]["os.cpu_count()"] == os.cpu_count()
    assert told["PLAIT_MEMORY_BUDGET"]["value"]["bytes"] > 0


def test_the_text():
    ended = doctor("--no-trial")
    assert ended.code == 0 and ended.err == "", ended
    lines = ended.out.splitlines()
    assert [line for line in lines if line in SECTIONS] == SECTIONS
    assert max(map(len, lines)) <= 80
    assert "\033[" not in ended.out
    assert any(line.startswith("nothing to change") or " to change: " in line for line in lines)
    # The extension was loaded, no pool was made.
    assert f"{plait.__version__}, " in ended.out and "worker start" not in ended.out


@pytest.mark.once
def test_colours_when_they_are_asked_for():
    ended = doctor("--no-trial", "--color", "always", env={"PYTHONIOENCODING": "ascii"})
    assert ended.code == 0 and ended.out.isascii() and ended.out.startswith("\033[1mprocessors\033[0m\n")


@pytest.mark.once
def test_a_reader_that_goes_away():
    command = [sys.executable, "-m", "plait", "doctor", "--no-trial"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    running.stdout.close()
    with running.stderr:
        assert running.stderr.read() == ""
    assert running.wait(90) == 1


# --- variables


@pytest.mark.once
def test_variables_that_cannot_be_meant(examined):
    # The port is taken, and nobody listens there.
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{deaf.getsockname()[1]}"
        env = {
            "PLAIT_MAX_WORKERS": "many",
            "OMP_NUM_THREADS": "4096",
            "MKL_NUM_THREADS": "none",
            "DASK_SCHEDULER_ADDRESS": address,
            "RAY_ADDRESS": "head:none",
        }
        told = examined(env=env)
    for name, said in env.items():
        assert told[name]["level"] == "warn" and told[name]["remedy"], told[name]
        assert said in told[name]["text"], told[name]
        assert name in told.whole["summary"]["text"]
    assert "refused" in told["DASK_SCHEDULER_ADDRESS"]["text"]
    assert told.code == 0


@pytest.mark.once
def test_a_budget_that_is_no_size_keeps_processes_from_working():
    told = Told(doctor("--json", env={"PLAIT_MEMORY_BUDGET": "lots"}))
    assert told.code == 1
    assert told["PLAIT_MEMORY_BUDGET"]["level"] == "error"
    assert '"lots"' in told["processes"]["text"] and told["processes"]["level"] == "error"
    assert told["threads"]["level"] == "ok"


@pytest.mark.once
def test_limits_that_are_set_and_a_scheduler_that_answers(examined):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        env = {"DASK_SCHEDULER_ADDRESS": f"tcp://127.0.0.1:{port}", "RAY_ADDRESS": "auto"}
        told = examined(env={**env, "PLAIT_MAX_WORKERS": "1", "PLAIT_MEMORY_BUDGET": "1GiB"})
        # It was called, and told nothing.
        server.settimeout(10)
        caller, _ = server.accept()
        with caller:
            assert caller.recv(1) == b""
    assert told["DASK_SCHEDULER_ADDRESS"]["level"] == "ok"
    assert told["DASK_SCHEDULER_ADDRESS"]["value"]["seconds"] > 0
    assert "'auto' names no host" in told["RAY_ADDRESS"]["text"]
    assert told["plait.cpu_count()"]["value"]["count"] == 1
    if len(os.sched_getaffinity(0)) > 1:
        assert told["plait.cpu_count()"]["value"]["rule"] == "variable"
    assert told["PLAIT_MEMORY_BUDGET"]["value"] == {"bytes": 1 << 30, "set": True}


# --- native threads and imports


def test_libraries_with_more_threads_than_processors():
    pytest.importorskip("numpy")
    pytest.importorskip("threadpoolctl")
    affinity = "import os; os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])"
    told = Told(
        doctor(
            "--json", "--no-trial", before=affinity, env={"OPENBLAS_NUM_THREADS": "3", "OMP_NUM_THREADS": "3"}
        )
    )
    assert told["plait.cpu_count()"]["value"]["count"] == 1
    threads = [finding for finding in told.whole["findings"] if finding["section"] == "native threads"]
    libraries = [finding for finding in threads if finding["name"].startswith("OpenBLAS")]
    if not libraries:
        pytest.skip("numpy has another BLAS here")
    for library in libraries:
        # OpenBLAS may take no more than the processors of its mask, whatever it is told.
        assert library["level"] == ("warn" if library["value"]["threads"] > 1 else "ok"), library
        assert library["value"]["of"] in ("numpy", "scipy", None)
    assert told["OMP_NUM_THREADS"]["level"] == "warn"


@pytest.mark.once
def test_modules_of_ones_own(examined, tmp_path):
    (tmp_path / "fine.py").write_text("print('hello'); import sys; print('hello', file=sys.stderr)")
    (tmp_path / "broken.py").write_text("raise ValueError('no\\nluck')")
    asked = [word for name in ("fine", "broken", "absent") for word in ("--import", name)]
    told = examined(*asked, env={"PYTHONPATH": str(tmp_path)})
    assert told["fine"] == []
    assert told["broken"]["level"] == "warn" and "ValueError: no" in told["broken"]["text"]
    assert "No module named 'absent'" in told["absent"]["text"]


@pytest.mark.once
def test_a_module_that_ends_the_process(examined, tmp_path):
    (tmp_path / "deadly.py").write_text("import os, sys; print('farewell', file=sys.stderr); os.abort()")
    told = examined("--import", "deadly", env={"PYTHONPATH": str(tmp_path)})
    assert told["libraries"]["text"] == (
        "could not be read: the process that imports packages ended by signal 6: farewell"
    )
    # The rest was looked at all the same.
    assert told["open files"]["value"] and told["cloudpickle"]["value"]
    assert told.code == 0


@pytest.mark.once
def test_a_module_that_switches_the_gil_on(examined, tmp_path):
    # As a free-threaded build does it, of which there may be none here.
    (tmp_path / "sitecustomize.py").write_text("import sys; on = False; sys._is_gil_enabled = lambda: on")
    warning = "The global interpreter lock (GIL) has been enabled to load module 'old._fast', which has not"
    code = f'import sitecustomize as s, warnings; warnings.warn("{warning}", RuntimeWarning); s.on = True'
    (tmp_path / "old.py").write_text(code)
    told = examined("--import", "json", "--import", "old", env={"PYTHONPATH": str(tmp_path)})
    [found] = [finding for finding in told["GIL"] if finding["section"] == "native threads"]
    assert found["value"] == ["old._fast"] and found["level"] == "warn"
    assert "update old" in found["remedy"]


@pytest.mark.once
def test_an_extension_that_does_not_load(examined):
    told = examined(before="import sys; sys.modules['plait._core'] = None")
    assert told.code == 1
    assert told["version"][1]["level"] == "error" and "plait._core" in told["version"][1]["text"]
    assert told.whole["plait"] is None
    assert [finding["section"] for finding in told.whole["findings"]].count("processors") == 1
    assert told["start method"]["value"]["method"]


# --- a machine with less


@pytest.mark.once
def test_less_of_everything(examined):
    limits = {"NOFILE": 100, "STACK": 256 << 10, "AS": 3 << 30, "CPU": 300, "FSIZE": 1 << 30, "CORE": 0}
    lines = [
        "import os, resource, sys",
        "os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-1:])",
        *(f"resource.setrlimit(resource.RLIMIT_{name}, ({most}, {most}))" for name, most in limits.items()),
        "sys.setswitchinterval(1e-5)",
        "import multiprocessing; multiprocessing.set_start_method('spawn')",
    ]
    told = examined(before="\n".join(lines), env={"PYTHONMALLOC": "pymalloc_debug", "PYTHONDEVMODE": "1"})
    names = ["open files", "stack", "address space", "CPU time", "file size", "switch interval", "allocator"]
    assert {name: told[name]["level"] for name in names} == dict.fromkeys(names, "warn")
    assert told["open files"]["value"] == {"soft": 100, "hard": 100}
    assert told["core files"]["value"]["soft"] == 0
    assert told["limit"]["value"] == {"bytes": 3 << 30, "rule": "address space", "file": None}
    assert told["affinity"]["value"] == sorted(os.sched_getaffinity(0))[-1:]
    assert told["start method"]["value"]["method"] == "spawn" and told["start method"]["value"]["set"]
    assert told["build"]["value"]["dev_mode"]
    assert told.code == 0
    if os.cpu_count() > 1:
        assert told["affinity"]["level"] == "note"
        assert told["other pools"]["level"] == ("ok" if sys.version_info >= (3, 13) else "warn")


# A filter of system calls, as container engines have one: those of these numbers fail with EPERM.
FORBID = """
import ctypes, struct
numbers = {numbers}
code = [(0x20, 0, 0, 0)]
code += [(0x15, len(numbers) - at, 0, number) for at, number in enumerate(numbers)]
code += [(0x06, 0, 0, 0x7FFF0000), (0x06, 0, 0, 0x00050001)]
text = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
filter = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code), ctypes.addressof(text)))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(filter), 0, 0) == 0, ctypes.get_errno()
"""


@pytest.mark.once
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers of system calls are those of x86-64")
def test_shared_memory_that_is_forbidden(examined):
    memfd_create = 319
    told = examined(before=FORBID.format(numbers=[memfd_create]))
    found = told["shared memory"]
    assert found["level"] == "error" and "Operation not permitted" in found["text"]
    assert "seccomp" in found["remedy"]
    assert told.code == 1


# No right to look into whomever, not even for root, nor for those it starts.
DROP = """
import ctypes
libc, head, data = ctypes.CDLL(None), (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
assert libc.capget(head, data) == 0
for which in (0, 1, 2):
    data[which] &= ~(1 << 19)
libc.prctl(24, 19, 0, 0, 0)
assert libc.capset(head, data) == 0
"""


@pytest.mark.once
def test_processes_that_may_not_be_looked_into(examined, tmp_path):
    # The process that imports packages hides itself; the doctor leads the session.
    hide = "import ctypes, os; os.getpid() == os.getsid(0) or ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)"
    (tmp_path / "sitecustomize.py").write_text(hide)
    told = examined(before=DROP, env={"PYTHONPATH": str(tmp_path)})
    found = told["process memory"]
    assert found["level"] == "warn" and "may not be looked into" in found["text"], found
    assert "ptrace_scope" in found["remedy"] and found["value"] is False


@pytest.mark.once
def test_a_quota(examined):
    version1 = Path("/sys/fs/cgroup/cpu").is_dir()
    files = {"cpu_cfs_quota_us": "50000"} if version1 else {"cpu_max": "50000 100000"}
    with group("cpu", **files) as (join, directory):
        # Periods of 100 ms are counted from the first one on in which it runs.
        spin = "import time\nend = time.monotonic() + 0.3\nwhile time.monotonic() < end: pass"
        told = examined(before=f"{join}\n{spin}")
        assert told["plait.cpu_count()"]["value"]["count"] == 1
        found = told["quota"] if isinstance(told["quota"], list) else [told["quota"]]
        mine = next(quota for quota in found if str(directory) in quota["text"])
        assert mine["value"]["limit"] == 0.5 and mine["level"] == "note"
        throttling = told["throttling"]["value"]
        assert throttling["periods"] > 0 and str(directory) in throttling["file"]
        if os.cpu_count() > 1:
            assert told["plait.cpu_count()"]["value"]["rule"] == "quota"
            assert told["other pools"]["level"] == "warn"


@pytest.mark.once
def test_few_processes_and_little_memory(examined):
    version1 = Path("/sys/fs/cgroup/memory").is_dir()
    processes, memory = (
        {"pids_max": "20"},
        {"memory_limit_in_bytes" if version1 else "memory_max": str(1 << 30)},
    )
    with contextlib.ExitStack() as stack:
        if version1:
            groups = [
                stack.enter_context(group("pids", **processes)),
                stack.enter_context(group("memory", **memory)),
            ]
        else:
            groups = [stack.enter_context(group("", **processes, **memory))]
        told = examined(before="\n".join(join for join, _ in groups))
    of_processes, of_memory = groups[0][1], groups[-1][1]
    assert told["pids.max"]["value"]["max"] == 20 and told["pids.max"]["level"] == "warn"
    assert told["pids.max"]["value"]["file"] == str(of_processes / "pids.max")
    assert told["pids.max"]["value"]["current"] > 0
    assert told["limit"]["value"]["bytes"] == 1 << 30
    assert told["limit"]["value"]["file"].startswith(str(of_memory))
    assert told["PLAIT_MEMORY_BUDGET"]["value"]["bytes"] == 1 << 28


@pytest.mark.once
def test_a_small_dev_shm():
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", "/dev/shm"]
    try:
        subprocess.run(["unshare", "-m", *mount], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"nothing can be mounted here: {getattr(error, 'stderr', None) or error}")
    script = " ".join(mount) + f" && exec {sys.executable} -m plait doctor --json --no-trial"
    through = "import os, sys; os.execvp(sys.argv[1], sys.argv[1:])"
    told = Told(run_program("-c", through, "unshare", "-m", "sh", "-c", script))
    assert told["/dev/shm"]["level"] == "warn" and told["/dev/shm"]["value"]["size"] == 64 << 20
