"""What the doctor makes of limits, packages and addresses that were thought up; and how it shows findings."""

import io
import json
import resource

import pytest
from findings import says
from plait._doctor import extras, limits, show, trial
from plait._doctor.finding import LEVELS, Finding, Section, amount, seconds, size

pytestmark = pytest.mark.once

GIB = 1 << 30
NO_LIMIT = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


# --- limits


def test_open_files():
    says(limits.judge_files((20_000, 20_000), 8), "ok", "20,000")
    says(limits.judge_files(NO_LIMIT, 8), "ok", "no limit")
    says(limits.judge_files((64, 4096), 8), "warn", "64 at a time: few for 8 workers", "ulimit -n", "4,096")
    # What is enough for a small machine is not for a large one.
    assert [limits.judge_files((1024, -1), cpus).level for cpus in (64, 128)] == ["ok", "warn"]


def test_processes():
    says(limits.judge_processes(NO_LIMIT, 5, 1000, 8), "ok", "no limit")
    says(limits.judge_processes((100, 100), 20, 1000, 8), "ok", "100 processes and threads", "20 are there")
    says(limits.judge_processes((100, 100), 60, 1000, 8), "warn", "too few are left", "ulimit -u")
    says(limits.judge_processes((100, 100), 60, 0, 8), "ok", "root is not held to it")


def test_processes_of_control_groups():
    assert limits.judge_pids([], 8) is None
    groups = [
        {"file": name, "max": most, "current": now} for name, most, now in [("/a", 500, 10), ("/b", 900, 880)]
    ]
    says(limits.judge_pids(groups[:1], 8), "ok", "500 processes and threads, 10 are there; set in /a")
    # Not the lower limit is the tighter one, but the one with less room.
    says(limits.judge_pids(groups, 8), "warn", "set in /b: too few are left", "--pids-limit")


def test_limits_of_control_groups_are_read(tmp_path):
    for name, most in [("inner", "max"), ("outer", "64"), ("top", None)]:
        (tmp_path / name).mkdir()
        if most is not None:
            (tmp_path / name / "pids.max").write_text(f"{most}\n")
            (tmp_path / name / "pids.current").write_text("7\n")
    read = limits.read_pids([str(tmp_path / name) for name in ("inner", "outer", "top")])
    assert read == [{"file": str(tmp_path / "outer" / "pids.max"), "max": 64, "current": 7}]


def test_stacks_addresses_time_and_files():
    assert limits.judge_stack((8 << 20, -1)).level == "ok"
    says(limits.judge_stack((256 << 10, -1)), "warn", "256.0 KiB for each thread", "ulimit -s")
    assert limits.judge_stack(NO_LIMIT).level == "ok"
    assert limits.judge_addresses(NO_LIMIT).level == "ok"
    says(limits.judge_addresses((64 * GIB, -1)), "note", "64.0 GiB")
    says(limits.judge_addresses((GIB, -1)), "warn", "1.0 GiB", "ulimit -v unlimited")
    assert limits.judge_cpu_time(NO_LIMIT) is None
    says(limits.judge_cpu_time((60, 60)), "warn", "used 60 seconds is killed")
    assert limits.judge_file_size(NO_LIMIT) is None
    says(limits.judge_file_size((1 << 20, -1)), "warn", "1.0 MiB", "ulimit -f")
    says(limits.judge_core((0, -1)), "ok", "none is written")
    says(limits.judge_core(NO_LIMIT), "ok", "no limit")


def test_dev_shm():
    large = {"size": 8 * GIB, "free": 7 * GIB, "writable": True}
    says(limits.judge_shm(large), "ok", "8.0 GiB, 7.0 GiB free")
    says(
        limits.judge_shm({**large, "size": 64 << 20, "free": 64 << 20}),
        "warn",
        "64.0 MiB",
        "small",
        "--shm-size",
    )
    says(limits.judge_shm({**large, "free": 1 << 20}), "warn", "1.0 MiB free: small")
    says(limits.judge_shm({**large, "writable": False}), "warn", "not to be written")
    says(limits.judge_shm(None), "note", "not there")


def test_what_may_be_seen_and_made():
    says(limits.judge_memfd(None), "ok", "memfd_create")
    says(limits.judge_memfd("Function not implemented"), "error", "not implemented", "seccomp")
    assert limits.try_memfd() is None
    says(limits.judge_looking(None), "ok", "who waits for the GIL")
    says(limits.judge_looking("process 7 may not be looked into: run as"), "warn", "process 7", "SYS_PTRACE")
    says(limits.judge_looking("memory of process 7 cannot be read: other error"), "warn", "process 7")
    says(limits.judge_looking("process 7 runs free-threaded CPython 3.14.0"), "note", "free-threaded")
    assert [limits.judge_ptrace(scope).level for scope in (None, 0, 1, 2, 3)] == [
        "ok",
        "ok",
        "ok",
        "note",
        "note",
    ]
    says(limits.judge_ptrace(2), "note", "only root", "sysctl kernel.yama.ptrace_scope=1")
    assert limits.judge_perf(None) is None
    says(limits.judge_perf(4), "ok", "4: plait needs no such events")


@pytest.mark.parametrize(
    ("options", "hidden"),
    [
        ("rw", None),
        ("rw,hidepid=0", None),
        ("rw,hidepid=off", None),
        ("rw,gid=5,hidepid=2", "2"),
        ("rw,hidepid=invisible", "invisible"),
    ],
)
def test_hidden_processes(options, hidden):
    lines = (
        "22 27 0:21 / /sys rw shared:7 - sysfs sysfs rw\n"
        f"23 27 0:22 / /proc rw,nosuid - proc proc {options}\n"
    )
    finding = limits.judge_hidepid(lines)
    assert (finding and finding.value) == hidden


def test_settings_that_a_kernel_does_not_have(tmp_path):
    assert limits.read_number(str(tmp_path / "scope")) is None
    (tmp_path / "scope").write_text("-1\n")
    assert limits.read_number(str(tmp_path / "scope")) == -1


# --- packages and clusters


def test_packages():
    versions = {"cloudpickle": None, "tqdm": "4.0", "numpy": "2.3", "dask": None, "ray": None}
    needed, *there, absent = extras.judge_packages(versions)
    says(needed, "error", "plait needs it", "pip install cloudpickle")
    assert [(finding.name, finding.text) for finding in there] == [("tqdm", "4.0"), ("numpy", "2.3")]
    assert absent.value == ["dask", "ray"]
    assert extras.judge_backend(None) is None
    assert extras.judge_backend(True).level == "ok"
    says(extras.judge_backend(False), "warn", "joblib")


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("tcp://10.0.0.1:8786", ("10.0.0.1", 8786)),
        ("tls://scheduler.example", ("scheduler.example", 1)),
        ("head:6379", ("head", 6379)),
        ("ray://head:10001/path", ("head", 10001)),
        ("[::1]:80", ("::1", 80)),
        ("tcp://[fe80::1]", ("fe80::1", 1)),
        ("ws://user:word@head:9", ("head", 9)),
        ("auto", None),
        ("local", None),
        ("tcp://", ValueError),
        ("head:port", ValueError),
        ("head:70000", ValueError),
    ],
)
def test_addresses(address, place):
    if place is ValueError:
        with pytest.raises(ValueError, match="is no"):
            extras.parse_address(address, 1)
    else:
        assert extras.parse_address(address, 1) == place


def test_clusters_that_answer_or_do_not():
    cluster = {
        "variable": "DASK_SCHEDULER_ADDRESS",
        "address": "tcp://a:1",
        "seconds": None,
        "why": "refused",
    }
    [finding] = extras.judge_clusters([cluster])
    says(finding, "warn", "tcp://a:1 cannot be reached: refused", "dask scheduler")
    says(extras.judge_cluster({**cluster, "variable": "RAY_ADDRESS"}), "warn", "ray start --head")
    says(extras.judge_cluster({**cluster, "seconds": 0.002, "why": None}), "ok", "answers in 2.0 ms")
    says(extras.judge_cluster({**cluster, "address": "auto", "why": None}), "ok", "'auto' names no host")
    assert extras.Clusters({"PATH": "/bin", "RAY_ADDRESS": " "}).result() == []


# --- plait itself


def test_trials():
    says(
        trial.judge_trial("threads", {"failed": None, "first": 0.03, "call": 2e-5}),
        "ok",
        "20 µs, the first in 30 ms",
    )
    says(trial.judge_trial("threads", {"failed": "OSError: no"}), "error", "OSError: no")
    says(trial.judge_start({"failed": None, "start": 1.25}), "ok", "1.2 s until")
    says(trial.judge_start({"failed": "OSError: no"}), "error", "no worker starts")
    version = {"version": None, "file": None, "failed": "no such symbol"}
    says(trial.judge_version(version), "error", "no such symbol", "this very Python")

    def fail():
        raise OSError(11, "no\nmore")

    assert trial.attempt(fail) == {"failed": "BlockingIOError: [Errno 11] no more"}


# --- what is said, and how


def test_what_cannot_be_read_is_a_finding():
    section = Section("here")

    def lacking():
        return open("/nowhere/at/all").read()

    section.look("file", lambda text: None, lacking)
    section.look("sum", lambda a, b: Finding("here", "sum", a + b, "fine"), lambda: 1, lambda: 2)
    section.look("nothing", lambda: None)
    section.look("bug", lambda a: a["key"], dict)
    section.look("silent", lambda: [][0])
    texts = [(finding.name, finding.level, finding.text) for finding in section.findings]
    assert texts[:2] == [
        ("file", "note", "could not be read: No such file or directory: /nowhere/at/all"),
        ("sum", "ok", "fine"),
    ]
    assert [finding.name for finding in section.findings] == ["file", "sum", "bug", "silent"]
    assert all(
        finding.text.startswith("could not be read: ")
        for finding in section.findings
        if finding.name != "sum"
    )


def test_figures():
    assert [size(n) for n in (0, 1023, 1024, 64 << 20, 1 << 50)] == [
        "0 bytes",
        "1023 bytes",
        "1.0 KiB",
        "64.0 MiB",
        "1024.0 TiB",
    ]
    assert [seconds(s) for s in (3.1e-5, 0.0042, 0.042, 1.26)] == ["31 µs", "4.2 ms", "42 ms", "1.3 s"]
    assert [amount(n, "worker") for n in (1, 1.5, 20_000)] == ["1 worker", "1.5 workers", "20,000 workers"]


MANY = [
    Finding("one", "first", 1, "fine"),
    Finding("one", "second", {"a": None}, "a word " * 40, "note", "do this " * 30),
    Finding("two", "a-name-that-is-too-long-for-its-column", [1.5], "/p" * 70, "warn", "go"),
    Finding("two", "last", None, "broken", "error", "mend"),
]


def test_text_fits_into_its_columns():
    for width in (60, 80):
        text = show.as_text(MANY, width)
        assert max(map(len, text.splitlines())) <= width
        # Sections and findings in the order in which they were found, each word of them.
        assert "".join(text.split()).count("word") == 40
        places = [
            text.index(word) for word in ("one", "first", "second", "two", "a-name", "last", "2 things")
        ]
        assert places == sorted(places)
    assert "2 things to change: a-name-that-is-too-long-for-its-column, last" in text
    assert show.as_text(MANY[:2]).endswith("\n\nnothing to change")


def test_colours_and_marks():
    assert "\033[" not in show.as_text(MANY)
    colored = show.as_text(MANY, color=True)
    assert "\033[31m✗\033[0m" in colored and "\033[32m✓\033[0m" in colored
    assert show.as_text(MANY, plain=True).isascii()


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_every_stream_gets_what_it_can_show(encoding):
    findings = [*MANY, Finding("three", "café", 1, "31 µs, naïve → 中")]
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    text = show.for_terminal(findings, stream, "auto")
    assert "\033[" not in text
    text.encode(encoding)
    assert ("✗" in text) == (encoding == "utf-8")


def test_json_has_all_of_it():
    told = json.loads(show.as_json(MANY))
    assert set(told) == {"plait", "python", "findings", "summary"}
    assert told["findings"] == [finding.as_dict() for finding in MANY]
    counts = {level: told["summary"][level] for level in LEVELS}
    assert counts == {"ok": 1, "note": 1, "warn": 1, "error": 1}
    assert told["summary"]["text"].startswith("2 things to change")
