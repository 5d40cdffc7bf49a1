"""What this machine allows: in CPU sets and control groups that the tests make, where they may."""

import os
import shutil
from pathlib import Path

import plait
import pytest
from groups import make_group as make_group
from outside import finish, run_program, start_program
from plait import _core

MIB = 1 << 20

CPUS = sorted(os.sched_getaffinity(0))

# What a program sees. It goes into the groups first whose directories are its arguments.
LOOK = """
import os, sys
for group in sys.argv[1:]:
    with open(group + "/cgroup.procs", "w") as procs:
        procs.write("0")
import plait
from plait import _core
def look():
    machine = _core.machine()
    assert machine["cpus"] == plait.cpu_count()
    return machine
"""


def seen(script, *groups, **env):
    """The value that the program prints, which looks from within these groups."""
    unset = {"PLAIT_MAX_WORKERS": ""}
    [line] = run_program("-c", LOOK + script, *groups, env={**unset, **env}).lines
    return eval(line)


# --- this process


def test_figures_fit_together():
    machine = _core.machine()
    assert machine["cpus"] == plait.cpu_count() <= machine["affinity"] <= machine["logical"]
    assert machine["affinity"] == len(CPUS)
    assert 1 <= machine["physical"] <= machine["affinity"]
    assert machine["rule"] in ("affinity", "quota", "variable")
    assert 0 < machine["memory_available"] <= machine["memory_total"]
    limit, rule, file = (machine[f"memory_{name}"] for name in ("limit", "rule", "file"))
    assert (limit is None) == (rule is None) and (file is not None) == (rule == "group")
    for quota in machine["quotas"]:
        assert quota["limit"] > 0 and Path(quota["file"]).exists()


def test_affinity_of_a_program_and_its_change():
    script = f"""
os.sched_setaffinity(0, {{{CPUS[-1]}}})
one = look()
with plait.ProcessPoolExecutor() as pool:
    workers = pool._max_workers, pool.submit(plait.cpu_count).result()
os.sched_setaffinity(0, {set(CPUS)})
print((one["cpus"], one["affinity"], one["physical"], one["rule"], workers, look()["affinity"]))
"""
    assert seen(script) == (1, 1, 1, "affinity", (1, 1), len(CPUS))


def test_a_program_is_sized_to_physical_cores(monkeypatch):
    monkeypatch.delenv("PLAIT_MAX_WORKERS", raising=False)
    fewest = min(_core.cpu_count(), _core.physical_cores())
    with plait.ProcessPoolExecutor() as pool:
        assert pool._max_workers == _core.default_workers() <= fewest
        assert pool.submit(default_size).result() == 1


def default_size():
    """How large a pool is in a worker."""
    with plait.ProcessPoolExecutor() as pool:
        return pool._max_workers


def test_the_variable_lowers_and_is_read_anew(monkeypatch):
    script = """
before = look()
os.environ["PLAIT_MAX_WORKERS"] = "1"
print((before["variable"], look()["cpus"], look()["variable"], plait.ProcessPoolExecutor()._max_workers))
"""
    assert seen(script) == (None, 1, 1, 1)
    many = seen("print((look()['cpus'], look()['variable']))", PLAIT_MAX_WORKERS="1000")
    assert many == (seen("print(look()['cpus'])"), 1000)
    odd = seen("print((look()['cpus'], look()['variable']))", PLAIT_MAX_WORKERS="1.5")
    assert odd == (seen("print(look()['cpus'])"), "1.5")


def test_address_space_is_a_limit():
    most = _core.machine()["memory_total"] // 2
    script = f"""
import resource
resource.setrlimit(resource.RLIMIT_AS, ({most}, resource.RLIM_INFINITY))
print([look()["memory_" + name] for name in ("limit", "rule", "file")] + [_core.default_workers()])
"""
    limit, rule, file, workers = seen(script)
    if limit < most:
        pytest.skip(f"a lower limit is in force here: {limit} bytes, {rule}")
    assert (limit, rule, file) == (most, "address space", None)
    # Each process has its own.
    assert workers == _core.default_workers()


# --- control groups


@pytest.mark.parametrize("quota, allowed", [(0.5, 1), (1, 1), (1.5, 2), (64, 64)])
def test_a_quota_is_rounded_up(make_group, quota, allowed):
    group = make_group("cpu")
    group.cpus(quota)
    machine = seen("print(look())", group)
    assert machine["cpus"] == min(allowed, len(CPUS))
    assert machine["quotas"][0]["limit"] == quota
    assert machine["quotas"][0]["file"].startswith(str(group))
    assert machine["rule"] == ("quota" if allowed < len(CPUS) else "affinity")
    assert machine["affinity"] == len(CPUS)


def test_the_quota_of_a_group_above_counts(make_group):
    outer = make_group("cpu")
    inner = make_group("cpu", within=outer)
    outer.cpus(1)
    script = """
with plait.ProcessPoolExecutor() as pool:
    print((look()["cpus"], len(look()["quotas"]), pool._max_workers, pool.submit(plait.cpu_count).result()))
"""
    assert seen(script, inner) == (1, 1, 1, 1)
    inner.cpus(0.5)
    [own, above] = seen("print(look()['quotas'])", inner)[:2]
    assert (own["limit"], above["limit"]) == (0.5, 1)


def test_a_quota_that_changes_is_seen(make_group):
    group = make_group("cpu")
    program = start_program("-c", LOOK + "\nfor _ in sys.stdin:\n    print(plait.cpu_count())", group)
    try:
        for quota in (1, len(CPUS), 0.5):
            group.cpus(quota)
            program.stdin.write("\n")
            program.stdin.flush()
            assert program.stdout.readline() == f"{max(1, int(quota))}\n"
    finally:
        ended = finish(program)
    assert (ended.code, ended.err) == (0, "")


def test_a_namespace_of_control_groups(make_group):
    """What a container sees: its own group as the top of the tree."""
    group = make_group("cpu")
    group.cpus(1)
    if shutil.which("unshare") is None:
        pytest.skip("no unshare command here")
    script = """
import subprocess
code = "from plait import _core; print(_core.machine())"
mount = "mount --bind " + sys.argv[1] + " " + os.path.dirname(sys.argv[1])
command = ["sh", "-c", mount + ' && exec "$@"', "sh", sys.executable, "-c", code]
ended = subprocess.run(["unshare", "--cgroup", "--mount", *command], capture_output=True, text=True)
print(ended.stdout.strip() or repr(ended.stderr))
"""
    machine = seen(script, group)
    if isinstance(machine, str):
        pytest.skip(f"namespaces cannot be made here: {machine}")
    assert (machine["cpus"], machine["quotas"][0]["limit"]) == (1, 1)
    assert str(Path(machine["quotas"][0]["file"]).parent) == str(group.path.parent)


def test_a_cpuset_narrows_the_affinity(make_group):
    group = make_group("cpuset")
    if group.version == 1:
        group.write("cpuset.mems", (group.path.parent / "cpuset.effective_mems").read_text().strip())
    group.write("cpuset.cpus", CPUS[-1])
    machine = seen("print(look())", group)
    assert (machine["cpus"], machine["affinity"], machine["physical"]) == (1, 1, 1)
    assert machine["logical"] >= len(CPUS)


def test_the_memory_of_a_group(make_group):
    group = make_group("memory")
    file = group.memory(256 * MIB)
    machine = seen("print(look())", group)
    assert (machine["memory_limit"], machine["memory_file"]) == (256 * MIB, file)
    assert machine["memory_rule"] == "group"
    assert 0 < machine["memory_available"] < 256 * MIB < machine["memory_total"]


def test_a_small_container_has_few_workers(make_group):
    group = make_group("memory")
    inner = make_group("memory", within=group)
    group.memory(127 * MIB)
    script = """
with plait.ProcessPoolExecutor() as pool:
    print((pool._max_workers, pool.submit(_core.default_workers).result()))
"""
    assert seen(script, inner) == (1, 1)
    machine = seen("print((look()['cpus'], plait.ProcessPoolExecutor(3)._max_workers))", inner)
    assert machine == (plait.cpu_count(), 3), "processors are as many as before, and who says a number has it"
