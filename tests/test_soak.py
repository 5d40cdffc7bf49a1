"""`make soak`: its verdicts on made-up series, its sampler on a real program, and short runs of all of it."""

import json
import random
import re
import signal
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

import pytest
from outside import finish, run_program, start_program, until

ROOT = Path(__file__).parent.parent
SOAK = ROOT / "soak"

pytestmark = pytest.mark.once


@pytest.fixture
def soak(monkeypatch):
    """Its modules can be imported."""
    monkeypatch.syspath_prepend(str(SOAK))
    monkeypatch.setattr(sys, "path", sys.path[:])
    before = set(sys.modules)
    yield
    # Their names are those of rooms, which others may have, too.
    for name in set(sys.modules) - before:
        del sys.modules[name]


# --- verdicts


def series(figure, seconds=600, noise=2.0):
    """A second after the other, with dice of the same seed."""
    dice = random.Random(1)
    return [(float(at), figure(at) + dice.uniform(-noise, noise)) for at in range(seconds)]


def wild(at):
    return 5000 if at % 50 == 49 else 100


FLAT = {
    "noise": lambda at: 100,
    "wild samples": wild,
    "a saw": lambda at: 100 + at % 40,
    "what shrinks": lambda at: 300 - at / 3,
    "a little, as allowed": lambda at: 100 + at / 100,
}
GROWN = {
    "a leak": lambda at: 100 + at / 20,
    "a leak among wild samples": lambda at: wild(at) + at / 20,
    "a leak within a saw": lambda at: 100 + at % 40 + at / 20,
    "a step near the end": lambda at: 100 if at < 430 else 130,
}


@pytest.mark.parametrize("name", FLAT)
def test_flat_series_are_flat(soak, name):
    from flatness import Bound, judge

    verdict = judge(name, "MB", series(FLAT[name]), Bound(10, 0.1))
    assert not verdict.grew, verdict


@pytest.mark.parametrize("name", GROWN)
def test_growth_is_noticed(soak, name):
    from flatness import Bound, judge

    verdict = judge(name, "MB", series(GROWN[name]), Bound(10, 0.1))
    assert verdict.grew
    assert str(verdict).startswith(f"{name} grew: ")


def test_the_slope_is_the_median_of_all_slopes(soak):
    from flatness import slope

    assert slope([(0, 0), (1, 2), (2, 4), (3, 6), (4, -1000)]) == pytest.approx(2)
    assert slope([(1, 5)]) == 0


def test_too_few_samples_have_no_verdict(soak):
    from flatness import FEWEST, Bound, judge

    points = series(lambda at: 100 * at, FEWEST - 1)
    assert judge("short", "", points, Bound(0)) is None


def times(median_ms, tail_ms, calls=20):
    """The counts of a second in which one call of twenty took long."""
    from collections import Counter

    from latencies import class_of

    taken = [median_ms] * (calls - 1) + [tail_ms]
    return {str(name): count for name, count in Counter(class_of(ms / 1000) for ms in taken).items()}


def test_a_percentile_is_within_its_class(soak):
    from collections import Counter

    from latencies import class_of, percentile

    dice = random.Random(2)
    seconds = sorted(dice.lognormvariate(-7, 1.5) for _ in range(20_000))
    parts = [
        {str(name): count for name, count in Counter(map(class_of, part)).items()}
        for part in (seconds[::2], seconds[1::2])
    ]
    for share in (0.5, 0.99, 0.999):
        assert percentile(parts, share) == pytest.approx(seconds[int(share * 20_000)], rel=0.06)
    assert percentile([], 0.5) == 0


def test_times_grow_when_slope_and_quarters_say_so(soak):
    from flatness import Bound, judge_parts
    from latencies import percentile

    def verdict(tail):
        parts = [(float(at), times(1, tail(at))) for at in range(400)]
        return judge_parts("p99", "ms", parts, lambda many: 1000 * percentile(many, 0.99), 30, Bound(5, 1))

    assert verdict(lambda at: 20 + at / 4).grew
    assert not verdict(lambda at: 20).grew
    # Somebody else used the machine for a while.
    assert not verdict(lambda at: 20 if at < 320 else 80).grew


# --- samples, as a run would take them


def made_up(leak=0.0, slower=1.0, bare=1.0, seconds=400):
    """Samples of a run that leaks so many descriptors a second; its calls and its pipe get so much slower."""
    dice = random.Random(3)
    samples = []
    for at in range(seconds):
        late = at / seconds

        def group(descriptors, at=at):
            return {
                "processes": 10,
                "zombies": 0,
                "rss": 90.0,
                "pss": 60 + dice.random(),
                "anonymous": 40 + dice.random(),
                "threads": 30 + dice.randrange(4),
                "descriptors": descriptors + dice.randrange(20),
                "mappings": 400,
            }

        growth = 1 + (slower - 1) * late
        samples.append(
            {
                "at": float(at),
                "counts": {"verified": 2800 * at, "workers killed": at},
                "latencies": {
                    "a pipe, without plait": times(
                        0.1 * (1 + (bare - 1) * late), 5 * (1 + (bare - 1) * late)
                    ),
                    "threads": times(growth, 10 * growth),
                },
                "program": group(70 + leak * at),
                "lasting": group(30),
                "nurseries": group(25),
                "tree": group(200 + leak * at),
                "shared": {"files": 40, "mb": 20.0, "in_shm": 0},
                "temporary": 0,
                "load": 3.0,
            }
        )
    return samples


def grown(samples):
    import report

    return {row.name for row in report.rows(samples) if row.grew}


def test_a_run_that_leaks_is_told_from_one_that_does_not(soak):
    assert grown(made_up()) == set()
    assert grown(made_up(leak=1.0)) == {"program: descriptors", "all: descriptors"}


def test_slower_calls_are_a_finding_unless_the_machine_is_slower(soak):
    assert grown(made_up(slower=20)) == {"threads: p50", "threads: p99"}
    assert grown(made_up(slower=20, bare=20)) == set()


def test_the_table_has_a_row_for_each_figure(soak):
    import report

    rows = report.rows(made_up(leak=0.5))
    table = report.table(rows).splitlines()
    assert len(table) == 1 + len(rows)
    (line,) = [line for line in table if line.startswith("program: descriptors")]
    assert line.endswith("GREW")
    assert all(line.count("|") == 7 for line in report.markdown(rows, "about").splitlines()[2:])


def test_the_page_has_a_place_for_what_a_run_says(soak, tmp_path, monkeypatch):
    import report

    page = tmp_path / report.PAGE
    (tmp_path / report.PICTURE).parent.mkdir(parents=True)
    page.write_text((ROOT / report.PAGE).read_text())
    monkeypatch.setattr(report, "ROOT", tmp_path)
    for _ in range(2):
        report.keep(report.rows(made_up()), "a run of tests", "<svg/>")
    text = page.read_text()
    assert text.count("a run of tests") == 1 and "| program: descriptors |" in text
    assert (tmp_path / report.PICTURE).read_text() == "<svg/>"
    page.write_text("nothing")
    with pytest.raises(ValueError, match="no place for the table"):
        report.keep([], "", "")


def test_the_picture_is_drawn_of_the_samples(soak):
    import picture

    samples = made_up()
    drawn = picture.draw(samples)
    assert drawn == picture.draw(samples)
    root = xml.fromstring(drawn)
    assert "nan" not in drawn and "inf" not in drawn
    width, height = (float(root.get(name)) for name in ("width", "height"))
    curves = [
        path for path in root.iter("{http://www.w3.org/2000/svg}path") if path.get("class") in picture.COLOURS
    ]
    assert len(curves) == sum(len(panel) for panel in picture.PANELS.values())
    for path in curves:
        numbers = [float(word) for word in re.findall(r"-?[\d.]+", path.get("d"))]
        assert all(0 <= x <= width for x in numbers[::2]) and all(0 <= y <= height for y in numbers[1::2])


# --- the sampler

PROGRAM = """
import os, subprocess, sys, tempfile, threading, time
kept = [os.open(os.devnull, os.O_RDONLY) for _ in range(50)]
memory = os.memfd_create("plait-test")
os.ftruncate(memory, 1 << 20)
os.pwrite(memory, bytes(1 << 20), 0)
open(os.path.join(sys.argv[1], "left"), "w").close()
for _ in range(5):
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
command = [sys.executable, "-c", "print(flush=True); input()"]
child = subprocess.Popen(command, stdin=-1, stdout=-1, pass_fds=[memory])
child.stdout.readline()
print("ready", flush=True)
sys.stdin.readline()
"""


def test_a_sample_has_all_that_a_program_and_its_child_use(soak, tmp_path):
    from sampler import Sampler

    word = f"PLAIT_SOAK_TEST={tmp_path.name}"
    name, _, value = word.partition("=")
    program = start_program("-c", PROGRAM, tmp_path, env={name: value})
    try:
        assert program.stdout.readline() == "ready\n"
        sample = Sampler(word, program.pid, str(tmp_path)).sample([])
    finally:
        program.stdin.write("\n")
        finish(program)
    assert sample["program"]["processes"] == 1 and sample["tree"]["processes"] == 2
    assert sample["program"]["threads"] == 6 and sample["tree"]["threads"] == 7
    assert 51 < sample["program"]["descriptors"] < 70 < 71 + sample["tree"]["descriptors"]
    assert 0 < sample["program"]["anonymous"] <= sample["program"]["rss"]
    assert 0 < sample["program"]["pss"] < sample["tree"]["pss"]
    # Both have it open.
    assert (sample["shared"]["files"], sample["shared"]["mb"]) == (1, 1.0)
    assert sample["temporary"] == 1
    # What has ended is not there.
    assert Sampler(word, program.pid, str(tmp_path)).sample([])["tree"]["processes"] == 0


# --- real runs


def test_a_short_soak_finds_nothing(tmp_path):
    settings = ["--seconds", "3", "--tasks", "1000", "--seed", "20000", "--out", tmp_path / "out"]
    ran = run_program(SOAK / "run.py", *settings, patience=100)
    assert ran.code == 0, ran
    assert "nothing lost, nothing wrong, nothing left" in ran.out
    assert "nothing lost, nothing hung" in ran.out and "grew:" not in ran.out
    (verified,) = re.findall(r"^([\d,]+) calls verified in", ran.out, re.MULTILINE)
    assert int(verified.replace(",", "")) >= 1000
    assert xml.parse(tmp_path / "out" / "soak.svg")


@pytest.mark.usefixtures("soak")
def test_a_leak_is_seen_and_ctrl_c_ends_it_with_what_was_seen(tmp_path):
    import report

    settings = ["--seconds", "3000", "--tasks", "2000", "--leak", "descriptors", "--out", tmp_path / "out"]
    program = start_program(SOAK / "run.py", *settings)

    def samples():
        path = tmp_path / "out" / "samples.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines(True) if line.endswith("\n")]

    def leaked():
        """By twice what is allowed: a busy machine leaks slowly, and a short run is allowed more."""
        rows = report.rows(samples())
        return any(row.rise > 2 * row.allowed for row in rows if row.name == "program: descriptors")

    until((tmp_path / "out" / "samples.jsonl").exists, "the beginning")
    until(samples, "the end of the warm-up")
    until(leaked, "a leak of descriptors")
    program.send_signal(signal.SIGINT)
    ran = finish(program)
    assert ran.code == 130, ran
    assert "FAILED: program: descriptors grew" in ran.out
    assert ran.out.endswith("interrupted: this is what was seen till then\n") and ran.err == ""
