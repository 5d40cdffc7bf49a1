"""What `make dist` and `make audit` conclude; both themselves take minutes, and are no tests."""

import importlib.util
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.once


def loaded(name):
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    # Data classes look for their module here.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


dist, audit = loaded("dist"), loaded("audit")
WORKFLOW = ROOT / ".github" / "workflows" / "release.yml"


# --- bounds and names


def test_a_figure_within_its_bound_is_told():
    assert dist.within("size", 4.5, 5, "MB") == "size: 4.50 MB, at most 5.00"


def test_a_figure_over_its_bound_ends_the_command():
    with pytest.raises(dist.Refused, match=r"size: 5\.10 MB, at most 5\.00: too much"):
        dist.within("size", 5.1, 5, "MB")


@pytest.mark.parametrize("tag", ["manylinux_2_17_x86_64", "manylinux_2_5_x86_64", "manylinux_2_17_aarch64"])
def test_a_wheel_for_old_systems_is_fit(tag):
    assert dist.complaint({"overall_tag": tag}) is None


@pytest.mark.parametrize(
    "tag, why", [("manylinux_2_34_x86_64", "newer than"), ("linux_x86_64", "only"), (None, "only")]
)
def test_a_wheel_for_new_systems_is_not(tag, why):
    assert why in dist.complaint({"overall_tag": tag})


def test_the_wheel_of_a_tag_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(dist, "DIST", tmp_path)
    names = [
        f"plait-0.1.0-{tag}-manylinux2014_x86_64.manylinux_2_17_x86_64.whl"
        for tag in ("cp311-cp311", "cp313-cp313", "cp313-cp313t")
    ]
    for name in names:
        (tmp_path / name).touch()
    assert [dist.wheel_of(tag).name for tag in ("3.11", "3.13", "3.13t")] == names
    with pytest.raises(dist.Refused, match=r"0 wheels for Python 3\.12: \[\]"):
        dist.wheel_of("3.12")
    (tmp_path / names[0].replace("0.1.0", "0.2.0")).touch()
    with pytest.raises(dist.Refused, match=r"2 wheels for Python 3\.11"):
        dist.wheel_of("3.11")


def test_a_command_that_fails_ends_it_with_what_it_said():
    with pytest.raises(dist.Refused, match=r"(?s)exit code 3\n.*one\n.*two"):
        dist.run(sys.executable, "-c", "import sys; print('one'); print('two', file=sys.stderr); sys.exit(3)")


def test_what_is_tried_knows_nothing_of_this_tree(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", "python")
    monkeypatch.setenv("VIRTUAL_ENV", "somewhere")
    monkeypatch.setenv("CARGO_TARGET_DIR", "target")
    env = dist.outside(tmp_path)
    assert env["PATH"] == str(tmp_path)
    assert not {"PYTHONPATH", "VIRTUAL_ENV", "CARGO_TARGET_DIR"} & env.keys()


def test_the_program_that_is_tried_runs(capsys):
    exec(compile(dist.USED, "used", "exec"), {"__name__": "used"})
    assert capsys.readouterr().out.endswith("__init__.py\n")


def test_what_an_import_costs_is_compared():
    assert dist.import_ratio(Path(sys.executable), None, rounds=1) > 0


def test_the_tests_for_an_sdist_are_there():
    assert all((ROOT / "tests" / name).exists() for name in dist.TESTS)
    named = (ROOT / "requirements" / "test.txt").read_text()
    assert all(re.search(rf"^{name}\b", named, re.MULTILINE) for name in dist.TESTERS)


# --- answers


def answered(*packages):
    return audit.read("q", json.dumps({"dependencies": list(packages)}), "")


GOOD = {"name": "tqdm", "version": "4.70", "vulns": []}
SKIPPED = {"name": "tqdm", "skip_reason": "not on the index"}
HOLE = {"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1", "2"]}]}


def test_packages_without_holes_are_clean():
    assert answered(GOOD, GOOD) == audit.Answer("q (2 packages)", "clean")


def test_a_hole_is_found_whatever_was_skipped():
    assert answered(GOOD, HOLE, SKIPPED) == audit.Answer("q", "FOUND", "a 1: PYSEC-1, mended in 1.1, 2")
    assert "mended in none" in answered({**HOLE, "vulns": [{"id": "X", "fix_versions": []}]}).words


def test_what_was_skipped_is_not_called_clean():
    assert answered(GOOD, SKIPPED) == audit.Answer("q", "NOT ASKED", "1 of 2 packages: not on the index")
    assert answered().outcome == "NOT ASKED"


@pytest.mark.parametrize("out", ["", "no json", "{}"])
def test_no_answer_is_not_called_clean(out):
    said = "Traceback\nConnectionError: no such host\n\n"
    assert audit.read("q", out, said) == audit.Answer("q", "NOT ASKED", "ConnectionError: no such host")


def test_the_exit_code_tells_what_was_found():
    clean, found, unasked = (audit.Answer("q", kind) for kind in ("clean", "FOUND", "NOT ASKED"))
    assert [audit.code(answers, False) for answers in ([clean], [clean, unasked], [found, clean])] == [
        0,
        0,
        1,
    ]
    assert [audit.code(answers, True) for answers in ([clean], [clean, unasked], [found, clean])] == [0, 1, 1]


def test_an_answer_reads_as_a_line_with_words_below():
    assert str(audit.Answer("q", "FOUND", "a\nb\n")) == "FOUND      q\n    a\n    b"


def test_all_that_a_user_gets_is_asked_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(audit.required()) >= set(project["dependencies"]) and len(audit.required()) > 3


def test_a_database_that_is_not_there_is_told(monkeypatch):
    done = audit.subprocess.CompletedProcess([], 1, "", "cloning\nfatal: no such host\n")
    monkeypatch.setattr(audit, "run", lambda *command: done)
    assert audit.advisories() == audit.Answer(
        "crates: advisories", "NOT ASKED", f"{audit.DATABASE}: fatal: no such host"
    )


def test_licences_that_are_allowed_go_with_plaits_own():
    rules = tomllib.loads((ROOT / "deny.toml").read_text())
    own = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license"]
    assert own in rules["licenses"]["allow"]
    assert not any("GPL" in name for name in rules["licenses"]["allow"])
    assert rules["sources"] == {"unknown-registry": "deny", "unknown-git": "deny"}


# --- the workflow


def test_the_workflow_calls_targets_that_there_are():
    called = set(re.findall(r"\bmake ([a-z-]+)", WORKFLOW.read_text()))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"audit", "dist", "lint", "test"} <= called <= targets


def test_the_workflow_has_each_python_that_plait_is_for():
    classified = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text())
    assert set(re.findall(r"^ +(3\.\d+)$", WORKFLOW.read_text(), re.MULTILINE)) == set(classified)
