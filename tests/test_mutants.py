"""The mutants of `make mutants` still fit the sources that they break, and every model has one."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import mutants  # noqa: E402

pytestmark = pytest.mark.once

SOURCES = ROOT / "crates" / "plait-shm" / "src"
MODEL = re.compile(r"#\[test\]\s+fn (\w+)\(\) \{")
LISTED = mutants.chosen([])


def models():
    """The models by the path of their module, as the test program names them."""
    found = {}
    for path in sorted(SOURCES.rglob("*.rs")):
        text = path.read_text()
        module = "::".join(path.relative_to(SOURCES).with_suffix("").parts).removesuffix("::mod")
        if "loom_tests" not in module:
            # In a module at the end of the file, beside the usual tests.
            _, begins, text = text.partition("mod loom_tests {")
            module += "::loom_tests"
            if not begins:
                continue
        found[module] = {f"{module}::{name}" for name in MODEL.findall(text)}
        assert len(found[module]) == text.count("#[test]"), path
    return found


@pytest.mark.parametrize("mutant", LISTED, ids=lambda mutant: f"{mutant.file} {mutant.what}")
def test_its_text_is_there_once(mutant):
    source = (SOURCES / mutant.file).read_text()
    assert mutant.broken(source) != source


def test_each_model_has_a_mutant():
    there = set().union(*models().values())
    assert there == {mutant.test for mutant in LISTED}


def test_models_that_no_mutant_names_are_told(tmp_path):
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho '{LISTED[0].test}: test\nnew: test\n\n2 tests, 0 benchmarks'\n")
    program.chmod(0o755)
    assert mutants.unnamed(program) == ["new"]


def test_what_does_not_fit_is_said():
    mutant = mutants.Mutant("f.rs", "what", old="a", new="b", test="t")
    assert mutant.broken("xay") == "xby"
    for source, found in (("x", 0), ("aa", 2)):
        with pytest.raises(ValueError, match=f"{found} times"):
            mutant.broken(source)
    with pytest.raises(ValueError, match="changes nothing"):
        mutants.Mutant("f.rs", "what", old="a", new="a", test="t").broken("a")


def test_the_first_panic_is_the_reason():
    said = "running 1 test\nthread 'main' panicked at x.rs:1:2:\ndeadlock; threads = […]\nnote: run\n"
    assert mutants.reason(said) == "deadlock"
    assert mutants.reason("running 1 test\n") == "it was killed"
