"""`plait report` as a user runs it: verdicts, other forms, and files that are no recordings."""

import json
import sys
from xml.etree import ElementTree

import pytest
from outside import run_program
from recorded import CONTENTION, refusal


@pytest.fixture(scope="module")
def bytes_of_a_trace(tmp_path_factory):
    """A recording of two threads that take turns."""
    folder = tmp_path_factory.mktemp("trace")
    (folder / "turns.py").write_text(CONTENTION.replace("sys.stdin.read()", "time.sleep(3)"))
    done = run_program(
        "-m", "plait", "record", "-o", "it.plait", "--", sys.executable, "turns.py", cwd=folder
    )
    assert done.code == 0, done
    return (folder / "it.plait").read_bytes()


@pytest.fixture
def trace(bytes_of_a_trace, out):
    """The same as a file of the folder that commands run in."""
    path = out / "it.plait"
    path.write_bytes(bytes_of_a_trace)
    return path


def test_the_verdict_is_printed(trace, cli):
    told = "\n".join(cli("report", "it.plait").lines)
    assert "GIL contention" in told


def test_the_verdict_as_json(trace, cli):
    told = json.loads("\n".join(cli("report", "it.plait", "--json").lines))
    assert "gil-contention" in [verdict["word"] for verdict in told["verdicts"]]
    assert told["what"].endswith("turns.py")


FORMS = {
    "a.json": ("perfetto", lambda told: told["traceEvents"]),
    "a.firefox.json": ("firefox", lambda told: told["threads"]),
    "a.speedscope.json": ("speedscope", lambda told: told["profiles"]),
    "a.plait.json": ("json", lambda told: told["threads"]),
}


@pytest.mark.parametrize("name", FORMS)
def test_forms_by_the_end_of_the_name(name, trace, cli, out):
    form, of = FORMS[name]
    [line] = cli("report", "it.plait", "-o", name).lines
    assert line.startswith(f"{form}: {name}")
    assert of(json.loads((out / name).read_text()))


def test_a_picture(trace, cli, out):
    [line] = cli("report", "it.plait", "-o", "lanes.svg").lines
    assert line.startswith("svg: lanes.svg")
    picture = ElementTree.parse(out / "lanes.svg").getroot()
    words = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert words[0] == "GIL contention" and "waits for the GIL" in words
    # Since Python 3.14 the system knows what Python calls a thread, here by its function.
    assert {"thread 1", "thread 2"} <= set(words) or {"spin", "spin_too"} <= set(words)


@pytest.mark.parametrize("form", [form for form, _ in FORMS.values()])
def test_forms_by_their_names(form, trace, cli, out):
    cli("report", "it.plait", "--format", form, "-o", "anything").lines  # noqa: B018
    [of] = [of for name, of in FORMS.values() if name == form]
    assert of(json.loads((out / "anything").read_text()))


def test_a_file_and_the_verdict_as_json_at_once(trace, cli, out):
    told = "\n".join(cli("report", "it.plait", "--json", "-o", "a.json").lines)
    assert json.loads(told)["verdicts"] and json.loads((out / "a.json").read_text())


# --- what is refused

pytestmark = pytest.mark.once


def damaged(whole):
    at = len(whole) // 2
    return whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]


BROKEN = {
    "no trace": (lambda whole: b"#!/bin/sh\n", "it is no trace of plait's"),
    "empty": (lambda whole: b"", "it is no trace of plait's"),
    "newer": (lambda whole: whole[:12] + b"\xff\x00" + whole[14:], "it was written by a newer plait"),
    "damaged": (damaged, "it is damaged after "),
}


@pytest.mark.parametrize("how", BROKEN)
def test_what_is_no_recording_is_refused(how, bytes_of_a_trace, cli, out):
    make, said = BROKEN[how]
    (out / "bad.plait").write_bytes(make(bytes_of_a_trace))
    told = refusal(cli("report", "bad.plait"))
    assert told.startswith(f"plait: cannot read 'bad.plait': {said}")


def test_a_file_that_was_cut_off_is_read_as_far_as_it_goes(bytes_of_a_trace, cli, out):
    (out / "cut.plait").write_bytes(bytes_of_a_trace[: len(bytes_of_a_trace) * 2 // 3])
    done = cli("report", "cut.plait")
    assert done.code == 0 and done.out, done
    assert done.err.startswith("plait: 'cut.plait' was cut off") and len(done.err.splitlines()) == 1


REFUSED = {
    "nothing": ([], "the following arguments are required: TRACE"),
    "missing": (["no.plait"], "cannot read 'no.plait': No such file or directory"),
    "folder": (["."], "cannot read '.': Is a directory"),
    "no form": (["it.plait", "-o", "a.txt"], "let its name end in .plait"),
    "same form": (["it.plait", "-o", "b.plait"], "'it.plait' is a .plait file already; copy it"),
    "itself": (["it.plait", "--format", "json", "-o", "it.plait"], "'it.plait' is the recording itself"),
    "no folder": (["it.plait", "-o", "no/a.json"], "there is no folder 'no'"),
    "no file": (["it.plait", "--format", "json"], "--format is for a file: give it with -o OUT"),
    "no such form": (["it.plait", "--format", "pdf", "-o", "a"], "invalid choice: 'pdf'"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_one_line_says_what_is_wrong(what, trace, cli, out):
    arguments, said = REFUSED[what]
    assert said in refusal(cli("report", *arguments))
    assert [path.name for path in out.iterdir()] == ["it.plait"]


@pytest.mark.usefixtures("uncounted")
def test_a_full_disk_leaves_no_half_of_a_file(trace, cli, out):
    (out / "full.json").symlink_to("/dev/full")
    assert "cannot write 'full.json': No space left on device" in refusal(
        cli("report", "it.plait", "-o", "full.json"), 1
    )
    done = run_program("-c", LIMITED, cwd=out)
    assert "cannot write 'a.json': File too large" in refusal(done, 1)
    assert not (out / "a.json").exists()


LIMITED = """
import resource, sys
from plait.__main__ import main
resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))
sys.argv = ["plait", "report", "it.plait", "-o", "a.json"]
sys.exit(main())
"""
