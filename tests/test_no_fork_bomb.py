"""Modules that call plait while they are imported: workers must not do it again, without end."""

import subprocess
import sys
from pathlib import Path

# Each run of a module's body leaves a mark; a body that finds too many ends its process, so that a bomb
# cannot go off.
BODY = """
import os, sys
with open({log!r}, "a") as log:
    log.write("x")
if os.path.getsize({log!r}) > 20:
    os._exit(9)
"""


def run(folder: Path, script: str) -> subprocess.CompletedProcess:
    (folder / "script.py").write_text(script)
    return subprocess.run(
        [sys.executable, "script.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def test_a_module_that_maps_its_own_function_at_import_runs_once(tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    (tmp_path / "job.py").write_text(
        BODY.format(log=log)
        + "import plait\ndef double(x): return 2 * x\n"
        + "print(list(plait.map(double, range(3), backend='processes', workers=2)))\n"
    )
    done = run(tmp_path, "import job")
    assert (done.stdout, done.stderr, done.returncode) == ("[0, 2, 4]\n", "", 0)
    assert Path(log).read_text() == "x"


def test_a_package_that_maps_a_function_of_its_submodule_at_import_runs_once(tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    (tmp_path / "package").mkdir()
    (tmp_path / "package/inner.py").write_text("def double(x): return 2 * x\n")
    (tmp_path / "package/__init__.py").write_text(
        BODY.format(log=log)
        + "import plait\nfrom package.inner import double\n"
        + "print(list(plait.map(double, range(3), backend='processes', workers=2)))\n"
    )
    done = run(tmp_path, "import package")
    assert (done.stdout, done.stderr, done.returncode) == ("[0, 2, 4]\n", "", 0)
    assert Path(log).read_text() == "x"


def test_an_import_in_a_worker_that_calls_plait_is_told_so(tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    (tmp_path / "eager.py").write_text(
        BODY.format(log=log) + "import plait\nlist(plait.map(len, ['a'], backend='processes', workers=2))\n"
    )
    (tmp_path / "library.py").write_text("import eager\ndef double(x): return 2 * x\n")
    done = run(
        tmp_path,
        "import library, plait\n"
        "try:\n    print(list(plait.map(library.double, range(3), backend='processes', workers=1)))\n"
        "except RuntimeError as error:\n    print(error)\n",
    )
    assert "that module calls plait while it is imported" in done.stdout
    assert len(Path(log).read_text()) <= 4


def test_pools_nest_so_deep_and_no_deeper(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        "import plait\n"
        "def nest(depth):\n"
        "    return depth and next(plait.map(nest, [depth - 1], backend='processes', workers=1)) + 1\n"
        "print(nest(5))\n"
        "try:\n    nest(6)\nexcept RuntimeError as error:\n    print(error)\n",
    )
    assert done.stdout.splitlines() == [
        "5",
        "process pools are nested 5 deep; use threads or a plain loop inside workers",
    ]
