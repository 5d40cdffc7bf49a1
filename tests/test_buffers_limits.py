"""Buffers on machines that allow little: small files, few descriptors, little memory, no /dev/shm.

Whatever the limit, a program ends with its work done or with one error that says what was lacking: it does
not hang, is not killed by a signal, and prints nothing else.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from outside import run_program, until
from platforms import any_dev_shm

pytestmark = pytest.mark.once

# Sets a limit, sends arrays up and down, more of them than fit a few descriptors, and keeps what it gets.
# Prints "done", or "error" and what it says.
PROGRAM = """
import sys
import numpy as np
import plait

def double(array):
    array *= 2
    return array

def main(limit):
    try:
        limit()
        with plait.ProcessPoolExecutor({workers}) as pool:
            arrays = [np.full({size}, n, "u1") for n in range({count})]
            results = [pool.submit(double, array) for array in arrays]
            results = [future.result() for future in results] + list(pool.map(double, arrays, chunksize=3))
            arrays = arrays * 2
            for array, result in zip(arrays, results):
                assert result.shape == array.shape and (result == array * 2).all()
        print("done")
    except Exception as error:
        print("error", type(error).__name__, str(error).replace("\\n", " | "))
"""

# What CPython prints by itself where it got no memory for the inside of a bytearray.
NO_BYTEARRAY = "SystemError: deallocated bytearray object has exported buffers\n"


def run(limit, size=300_000, count=100, workers=3, through=()):
    """Runs the program under a limit, set by these lines in it; what it prints."""
    code = PROGRAM.format(size=size, count=count, workers=workers)
    code += f"def limit():\n{limit}\nmain(limit)\n"
    args = ["-c", code]
    if through:
        args = ["-c", "import os, sys; os.execvp(sys.argv[1], sys.argv[1:])", *through, sys.executable, *args]
    # Each thread of a BLAS takes memory of its own, which is not what is looked at here.
    ended = run_program(*args, env={"OPENBLAS_NUM_THREADS": "1"})
    ended.err = ended.err.replace(NO_BYTEARRAY, "")
    [line] = ended.lines
    return line


def rlimit(name, value):
    return f"    import resource; resource.setrlimit(resource.{name}, ({value}, {value}))"


@pytest.mark.parametrize("most", [0, 4096, 2**18, 2**20, 2**22, 2**24, 2**26, 2**30])
@pytest.mark.usefixtures("uncounted")
def test_small_files(most):
    said = run(rlimit("RLIMIT_FSIZE", most))
    assert said == "done" or "`ulimit -f`" in said or "File too large" in said


@pytest.mark.parametrize("most", [2**28, 2**30])
def test_files_that_are_large_enough(most):
    """What is alive at a time takes a tenth of the smaller limit."""
    assert run(rlimit("RLIMIT_FSIZE", most), count=10) == "done"


@pytest.mark.parametrize("most", [8, 12, 16, 24, 32])
def test_few_descriptors(most):
    said = run(rlimit("RLIMIT_NOFILE", most))
    assert said == "done" or "too many open files" in said.lower()


def test_48_descriptors_are_enough_for_any_number_of_results():
    assert run(rlimit("RLIMIT_NOFILE", 48)) == "done"


@pytest.mark.parametrize("most", [2**29, 2**30, 2**31, 2**32, 2**36])
def test_few_addresses(most):
    said = run(rlimit("RLIMIT_AS", most), size=2_000_000, count=40)
    assert said == "done" or ("memory" in said.lower() and most < 2**36)


@pytest.fixture
def little_memory():
    """A control group that allows some memory: lines that join it."""
    top = Path("/sys/fs/cgroup/memory")
    name = "memory.limit_in_bytes"
    if not top.is_dir():
        top, name = Path("/sys/fs/cgroup"), "memory.max"
    group = top / f"plait-memory-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        if not (group / name).exists():
            pytest.skip("the control group has no limit of memory")

        def lines(most):
            (group / name).write_text(str(most))
            return f"    import os; open({str(group / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))"

        yield lines
    finally:
        # What the program left behind, killed with it, is gone a little later.
        until(lambda: not (group / "cgroup.procs").read_text(), "an empty control group")
        group.rmdir()


# A third of what is sent in all, and twice what the interpreters need.
ENOUGH = 512 << 20


def test_more_is_sent_than_there_is_memory(little_memory):
    """A sender that is ahead of its workers waits for them; it is not killed for want of memory."""
    code = f"""
import numpy as np, plait
def total(array):
    return int(array.sum())
def run():
    {little_memory(ENOUGH).strip()}
    with plait.ProcessPoolExecutor(2) as pool:
        # No two alike: what was sent before is not sent again.
        futures = [pool.submit(total, np.full(8 << 20, n, "u1")) for n in range(200)]
        assert [future.result() for future in futures] == [n << 23 for n in range(200)]
        print("done")
run()
"""
    assert run_program("-c", code, env={"OPENBLAS_NUM_THREADS": "1"}).lines == ["done"]


# --- /dev/shm


# A /dev with nothing in it but the devices that an interpreter needs.
WITHOUT_SHM = (
    "mount -t tmpfs tmpfs /mnt && cd /mnt && touch null zero urandom random && "
    "for name in null zero urandom random; do mount --bind /dev/$name $name || exit 1; done && "
    "mount --rbind /mnt /dev && cd / && ! ls /dev/shm 2>/dev/null"
)
SHM = {
    "tiny": "mount -t tmpfs -o size=64k tmpfs /dev/shm",
    "read-only": "mount -t tmpfs -o ro tmpfs /dev/shm",
    "not for us": "mount -t tmpfs -o mode=000 tmpfs /dev/shm",
    "missing": WITHOUT_SHM,
}


@any_dev_shm
@pytest.mark.parametrize("name", SHM)
def test_what_becomes_of_dev_shm_does_not_matter(name):
    for unshare in (["unshare", "-m"], ["unshare", "-Urm"]):
        try:
            tried = subprocess.run([*unshare, "sh", "-c", SHM[name]], capture_output=True, text=True)
        except OSError as error:
            pytest.skip(f"nothing can be mounted here: {error}")
        if tried.returncode == 0:
            break
    else:
        pytest.skip(f"nothing can be mounted here: {tried.stderr}")
    script = f'{{ {SHM[name]}; }} && exec "$@"'
    assert run("    pass", size=2_000_000, count=30, through=[*unshare, "sh", "-c", script, "sh"]) == "done"
