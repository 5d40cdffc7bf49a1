"""What the compiled part of plait says of itself, for the reference, which else reads sources only.

An extension of griffe, which mkdocs.yml names. The stubs of `plait._core` have types and no words; those are
asked of a Python that has plait, and stand in the reference where a public class inherits them. Without one,
they are missing there.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import griffe

sys.path.insert(0, str(Path(__file__).resolve().parent))

from site_pages import environment, python_with_plait

# Prints the docstrings of functions and methods, by their path in the module.
ASK = """
import inspect, json
from plait import _core

said = {}
for name, value in vars(_core).items():
    parts = vars(value).items() if inspect.isclass(value) else ()
    for path, part in [(name, value), *((f"{name}.{inner}", part) for inner, part in parts)]:
        if "_" != path.rpartition(".")[2][0] and isinstance(getattr(part, "__doc__", None), str):
            said[path] = inspect.getdoc(part)
print(json.dumps(said))
"""


def said(python: str) -> dict[str, str]:
    """Return the docstrings of plait's compiled part, by path."""
    asked = [python, "-c", ASK]
    done = subprocess.run(asked, env=environment(), check=True, capture_output=True, text=True)
    words: dict[str, str] = json.loads(done.stdout)
    return words


class CompiledDocs(griffe.Extension):
    """Gives what was read of the stubs the words that Rust has for it."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Griffe calls it when a package was read."""
        python = python_with_plait()
        if pkg.path != "plait" or python is None:
            return
        core = pkg["_core"]
        for path, words in said(python).items():
            try:
                thing = core[path]
            except KeyError:
                # Not in the stubs: nothing of it is shown.
                continue
            if not thing.is_alias and thing.docstring is None:
                thing.docstring = griffe.Docstring(words, parent=thing)
