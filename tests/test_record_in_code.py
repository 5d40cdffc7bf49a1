"""`plait.record`: a program that records itself and its workers."""

import json
import os
import signal
import sys
import threading
import time
import warnings

import plait
import pytest
from outside import run_program
from recorded import words_of

pytestmark = pytest.mark.once


def spin(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def contend(seconds=3.0):
    threads = [threading.Thread(target=spin, args=(seconds,), name=f"spin {n}") for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_the_verdict_and_the_files(tmp_path):
    path = tmp_path / "it.plait"
    with plait.record(path) as recording:
        contend()
    assert recording.path == path and recording.failure is None
    assert recording.seconds >= 3.0
    assert "GIL contention" in recording.verdict and str(recording) == recording.verdict
    assert "gil-contention" in [verdict["word"] for verdict in json.loads(recording.to_json())["verdicts"]]
    assert "gil-contention" in words_of(path)
    recording.save(tmp_path / "copy.plait")
    assert (tmp_path / "copy.plait").read_bytes() == path.read_bytes()
    recording.save(tmp_path / "lanes.json")
    assert json.loads((tmp_path / "lanes.json").read_text())["traceEvents"]
    recording.save(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text() == recording.to_html()
    with pytest.raises(ValueError, match="cannot tell"):
        recording.save(tmp_path / "a.txt")


def test_without_a_path_it_is_in_memory(tmp_path):
    with plait.record() as recording:
        spin(0.3)
    assert recording.path is None and recording.seconds >= 0.3
    recording.save(tmp_path / "it.plait")
    assert words_of(tmp_path / "it.plait")


def test_a_path_of_another_form(tmp_path):
    path = tmp_path / "it.json"
    with plait.record(str(path)) as recording:
        spin(0.3)
    assert json.loads(path.read_text())["traceEvents"]
    assert recording.verdict


def test_workers_are_in_it():
    with plait.record() as recording, plait.ProcessPoolExecutor(2) as pool:
        list(pool.map(spin, [0.5, 0.5]))
    processes = json.loads(recording.to_json())["figures"]["processes"]
    assert len(processes) >= 3, "this program, and two workers"
    with plait.record(children=False) as recording, plait.ProcessPoolExecutor(2) as pool:
        list(pool.map(spin, [0.5, 0.5]))
    [process] = json.loads(recording.to_json())["figures"]["processes"]
    assert process["pid"] == os.getpid()


def test_what_is_raised_inside_goes_on_and_the_file_is_written(tmp_path):
    path = tmp_path / "it.plait"
    with pytest.raises(KeyError, match="mine"), plait.record(path) as recording:
        spin(0.2)
        raise KeyError("mine")
    assert recording.verdict and words_of(path)


def test_one_at_a_time(tmp_path):
    with plait.record(tmp_path / "one.plait") as one:
        other = plait.record()
        with pytest.raises(plait.PlaitError, match=r"recorded already to .*one\.plait.*: one at a time"):
            other.__enter__()
        with pytest.raises(plait.PlaitError, match="recorded already"), plait.record():
            pass
    with other:
        pass
    with pytest.raises(plait.PlaitError, match="begun before"):
        one.__enter__()


def test_questions_at_the_wrong_time():
    recording = plait.record()
    assert "not begun" in repr(recording) and recording._repr_html_() is None
    with pytest.raises(plait.PlaitError, match="has not begun"):
        recording.verdict  # noqa: B018
    with recording:
        assert "goes on" in repr(recording)
        with pytest.raises(plait.PlaitError, match="still goes on"):
            recording.to_json()
    assert repr(recording).endswith(" s>")
    assert recording._repr_html_().startswith("<iframe srcdoc=")


def test_wrong_arguments():
    for rate in (0, 9, 5001, 1.5, "fast"):
        with pytest.raises(ValueError, match="rate must be a whole number from 10 to 5000"):
            plait.record(rate=rate)
    with pytest.raises(ValueError, match="cannot tell what 'a' is to be"):
        plait.record("a")


def test_a_file_that_cannot_be_made_is_told_at_once(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no/it\.plait"), plait.record(tmp_path / "no" / "it.plait"):
        pytest.fail("it began")
    full = tmp_path / "full.plait"
    full.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device"), plait.record(full):
        pytest.fail("it began")
    with plait.record():
        pass


FULL = """
import resource, signal, sys, time, warnings
import plait
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
warnings.simplefilter("always")
with plait.record("it.plait") as recording:
    end = time.monotonic() + 40
    while time.monotonic() < end and not recording._recorder.is_over:
        time.sleep(0.001)
print("went on", recording.failure, recording.seconds > 0)
"""


def test_a_full_disk_is_a_warning_and_the_program_goes_on(tmp_path):
    done = run_program("-c", FULL, cwd=tmp_path)
    assert (done.code, done.out) == (0, "went on File too large True\n"), done
    assert "RuntimeWarning: the recording could not be written to 'it.plait': File too large" in done.err
    assert 14 < (tmp_path / "it.plait").stat().st_size <= 3000


LEFT = """
import os, sys, time
import plait
recording = plait.record("it.plait")
recording.__enter__()
time.sleep(0.3)
{end}
"""


@pytest.mark.parametrize("end", ["", "sys.exit(0)", "raise SystemExit(0)"])
def test_the_end_of_the_program_ends_it(end, tmp_path):
    done = run_program("-c", LEFT.format(end=end), cwd=tmp_path)
    assert (done.code, done.err) == (0, ""), done
    assert words_of(tmp_path / "it.plait")
    assert run_program("-m", "plait", "report", tmp_path / "it.plait").err == "", "it is whole"


def test_a_program_that_is_killed_leaves_what_was_recorded(tmp_path):
    done = run_program("-c", LEFT.format(end="time.sleep(0.5); os.kill(os.getpid(), 9)"), cwd=tmp_path)
    assert done.code == -signal.SIGKILL
    assert words_of(tmp_path / "it.plait")


FORKED = """
import os, sys, time
import plait
with plait.record("it.plait") as recording:
    time.sleep(0.2)
    pid = os.fork()
    if pid == 0:
        with plait.record() as own:
            time.sleep(0.2)
        assert own.verdict
    else:
        assert os.waitpid(pid, 0)[1] == 0
        time.sleep(0.2)
if pid == 0:
    sys.exit(0)
print(recording.failure, recording.seconds > 0.5)
"""


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_does_not_end_its_parents_recording(tmp_path):
    done = run_program("-W", "ignore", "-c", FORKED, cwd=tmp_path)
    assert (done.code, done.out, done.err) == (0, "None True\n", ""), done
    assert words_of(tmp_path / "it.plait")


def test_again_and_again():
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(10):
        with warnings.catch_warnings(), plait.record(rate=5000) as recording:
            pass
        assert recording.seconds < 60
    assert len(set(os.listdir("/proc/self/fd")) - before) <= 1


def test_a_notebook_shows_the_page(tmp_path):
    import nbformat
    from nbclient import NotebookClient

    cells = [
        "import plait\nwith plait.record('it.plait') as recording:\n    sum(range(10**6))",
        "recording",
    ]
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in cells]
    resources = {"metadata": {"path": str(tmp_path)}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        NotebookClient(notebook, timeout=60, kernel_name="python3", resources=resources).execute()
    [shown] = notebook.cells[1].outputs
    assert shown["data"]["text/html"].startswith("<iframe srcdoc=")
    assert words_of(tmp_path / "it.plait")


def test_the_package_does_not_load_it():
    text = "import sys, plait; print([name for name in sys.modules if '_recording' in name])"
    assert run_program("-c", text).lines == ["[]"]
    assert sys.modules["plait._recording"].Recording is plait.Recording
