"""Recordings in other programs' own viewers.

speedscope's page reads its own format and Chrome's. Firefox Profiler's code, which its command line has, too,
reads Firefox's.
"""

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from pages import browser as browser
from recorded import CONTENTION

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]
PACKAGES = ROOT / "web" / "node_modules"
VIEWER = PACKAGES / "speedscope" / "dist" / "release" / "index.html"
PROFILER = PACKAGES / "@firefox-devtools" / "profiler-cli" / "dist" / "profiler-cli.js"


@pytest.fixture
def opened(browser, tmp_path):
    """Opens a file in the viewer, as its own command does; gives its title, once it has read the file."""
    if not VIEWER.exists() and "CI" not in os.environ:
        pytest.skip("the viewer is not there: `make check-web` installs it")
    tab = browser.new_page()

    def open_file(path):
        loader = tmp_path / "load.js"
        content = base64.b64encode(path.read_bytes()).decode()
        loader.write_text(f"speedscope.loadFileFromBase64({json.dumps(path.name)}, {json.dumps(content)})")
        failures = []
        tab.on("pageerror", lambda error: failures.append(str(error)))
        tab.on("dialog", lambda dialog: (failures.append(dialog.message), dialog.dismiss()))
        tab.goto(f"{VIEWER.as_uri()}#localProfilePath={loader}")
        tab.wait_for_function(
            "document.title !== 'speedscope' || document.body.innerText.includes('went wrong')"
        )
        assert failures == [] and tab.locator("canvas").count() > 0, (failures, tab.inner_text("body"))
        return tab.title()

    yield open_file
    tab.close()


@pytest.mark.parametrize("name", ["it.speedscope.json", "it.json"])
def test_a_viewer_reads_what_was_written(name, program, cli, out, opened):
    target = program(CONTENTION)
    assert cli("record", "--duration", "2", "--quiet", "-o", "it.plait", target.pid).code == 0
    assert cli("report", "it.plait", "-o", name).code == 0
    title = opened(out / name)
    assert "it" in title or str(target.pid) in title, title


@pytest.fixture
def profiler(tmp_path):
    """Asks Firefox Profiler about a file; it runs in the background until the test is over."""
    node = shutil.which("node", path=f"{ROOT / '.build' / 'venv-tools' / 'bin'}:{os.environ['PATH']}")
    if (node is None or not PROFILER.exists()) and "CI" not in os.environ:
        pytest.skip("the profiler is not there: `make check-web` installs it")

    def ask(*words):
        # Where it keeps its session.
        env = {**os.environ, "HOME": str(tmp_path)}
        done = subprocess.run([node, PROFILER, *words], env=env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done
        return done.stdout

    yield ask
    ask("stop", "--all")


def test_firefox_profiler_reads_what_was_written(program, cli, out, profiler):
    target = program(CONTENTION)
    assert cli("record", "--duration", "2", "--quiet", "-o", "it.plait", target.pid).code == 0
    assert cli("report", "it.plait", "-o", "it.firefox.json").code == 0
    profiler("load", str(out / "it.firefox.json"))
    threads = json.loads(profiler("thread", "list", "--json"))["threads"]
    busy = sorted(threads, key=lambda thread: -thread["cpuMs"])[:2]
    for thread in busy:
        assert thread["cpuMs"] > 100, threads
        handle = thread["threadHandle"]
        functions = profiler("thread", "functions", "--thread", handle, "--json")
        assert "spin" in functions
        assert thread["markerCount"] > 10
    # States, and who had the GIL, are markers.
    gil = next(thread for thread in threads if thread["name"] == "GIL")
    told = profiler("thread", "markers", "--thread", gil["threadHandle"])
    assert "GIL held and waited for" in told
