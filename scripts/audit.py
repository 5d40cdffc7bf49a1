"""Ask what plait is made of for known holes, foreign sources, and licences that do not go with its own.

    make audit                  what cannot be reached is told, and fails nothing
    make audit ARGS=--strict    it fails the command, as it should where a release is made

Rust: cargo-deny by deny.toml, over Cargo.lock; known holes are in a database that it fetches. Python:
pip-audit over what plait depends on, with its extra for Dask, and over what releases are made with; it asks
the package index. A run without an answer is not a clean one, and is not called so.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CLEAN, FOUND, UNASKED = "clean", "FOUND", "NOT ASKED"
DATABASE = "the database of advisories could not be fetched"


@dataclass(frozen=True)
class Answer:
    """What one question came to, and what there is to say of it."""

    question: str
    outcome: str
    words: str = ""

    def __str__(self) -> str:
        """Return it as a line, with the words below."""
        words = "".join(f"\n    {line}" for line in self.words.strip().splitlines())
        return f"{self.outcome:<10} {self.question}{words}"


def run(*command: object) -> subprocess.CompletedProcess[str]:
    """Run a tool of this environment, Rust's own beside it."""
    beside = Path(sys.executable).parent
    env = {**os.environ, "PATH": f"{beside}{os.pathsep}{os.environ['PATH']}"}
    words = [str(beside / str(command[0])), *map(str, command[1:])]
    return subprocess.run(words, env=env, cwd=ROOT, capture_output=True, text=True, check=False)


# --- Rust


def rules() -> list[Answer]:
    """What of Cargo.lock is against deny.toml."""
    answers = []
    for rule in ("licenses", "bans", "sources"):
        done = run("cargo-deny", "--locked", "--all-features", "check", "--hide-inclusion-graph", rule)
        outcome = FOUND if done.returncode else CLEAN
        answers.append(Answer(f"crates: {rule}", outcome, done.stderr if done.returncode else ""))
    return answers


def advisories() -> Answer:
    """Which crates have known holes, were withdrawn, or are kept by nobody."""
    question = "crates: advisories"
    fetched = run("cargo-deny", "--locked", "fetch", "db")
    if fetched.returncode:
        return Answer(question, UNASKED, f"{DATABASE}: {last(fetched.stderr)}")
    done = run("cargo-deny", "--locked", "check", "--disable-fetch", "--hide-inclusion-graph", "advisories")
    return Answer(question, FOUND if done.returncode else CLEAN, done.stderr if done.returncode else "")


# --- Python


def required() -> list[str]:
    """Return what a user's environment gets with plait."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [*project["dependencies"], *project["optional-dependencies"]["dask"]]


def last(text: str) -> str:
    """Return the last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def read(question: str, out: str, err: str) -> Answer:
    """Return what pip-audit's answer means: without a word of each package it is none."""
    try:
        packages = json.loads(out)["dependencies"]
    except (ValueError, KeyError):
        return Answer(question, UNASKED, last(err))
    holes = [
        f"{package['name']} {package['version']}: {hole['id']}, mended in "
        + (", ".join(hole["fix_versions"]) or "none")
        for package in packages
        for hole in package.get("vulns", ())
    ]
    if holes:
        return Answer(question, FOUND, "\n".join(holes))
    skipped = [package for package in packages if "skip_reason" in package]
    if skipped or not packages:
        reason = skipped[0]["skip_reason"] if skipped else "no package was named"
        return Answer(question, UNASKED, f"{len(skipped)} of {len(packages)} packages: {reason}")
    return Answer(f"{question} ({len(packages)} packages)", CLEAN)


def pip_audit(question: str, *requirements: Path) -> Answer:
    """Return which packages have known holes, among these and all that they bring along."""
    files = [word for path in requirements for word in ("-r", path)]
    done = run("pip-audit", "--format", "json", "--progress-spinner", "off", *files)
    return read(question, done.stdout, done.stderr)


def ask() -> list[Answer]:
    """Return the answer to each question."""
    with tempfile.TemporaryDirectory() as folder:
        needed = Path(folder) / "needed.txt"
        needed.write_text("\n".join(required()) + "\n")
        return [
            *rules(),
            advisories(),
            pip_audit("Python: what plait needs", needed),
            pip_audit("Python: what makes releases", ROOT / "requirements" / "release.txt"),
        ]


def code(answers: list[Answer], strict: bool) -> int:
    """Return the exit code: 1 for what was found, and in a strict run for what could not be asked."""
    bad = {FOUND, UNASKED} if strict else {FOUND}
    return int(any(answer.outcome in bad for answer in answers))


def main() -> int:
    """Ask, and tell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--strict", action="store_true", help="fail where something could not be asked")
    strict = parser.parse_args().strict
    answers = ask()
    print(*answers, sep="\n")
    return code(answers, strict)


if __name__ == "__main__":
    sys.exit(main())
