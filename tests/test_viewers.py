"""Recordings in another program's own viewer: speedscope's, which reads its own format and Chrome's."""

import base64
import json
import os
from pathlib import Path

import pytest
from pages import browser as browser
from recorded import CONTENTION

pytestmark = pytest.mark.once

VIEWER = Path(__file__).parents[1] / "web" / "node_modules" / "speedscope" / "dist" / "release" / "index.html"


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
