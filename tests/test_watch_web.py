"""`plait watch --web`: the live view in a real browser, and who is not let in."""

import re
import signal
import urllib.error
import urllib.request

import pytest
from outside import finish, is_alive, until
from pages import browser as browser
from recorded import CONTENTION, refusal

pytestmark = pytest.mark.once


@pytest.fixture
def served(program, cli_started):
    """A program that is watched in a browser: the recorder, the program, and the address."""
    target = program(CONTENTION)
    recorder = cli_started("watch", "--web", target.pid)
    line = recorder.stderr.readline()
    address = re.fullmatch(r"plait: open (http://127\.0\.0\.1:\d+/\?token=[\w-]{32})\n", line)
    assert address, line
    yield recorder, target, address[1]
    if recorder.poll() is None:
        recorder.send_signal(signal.SIGINT)
        finish(recorder)


def status(address, **headers):
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_only_the_whole_address_is_answered(served):
    _, _, address = served
    base, token = address.split("/?")
    assert status(address) == 200
    assert status(f"{base}/lanes?{token}") == 200
    assert [status(base), status(f"{base}/?token="), status(f"{address}x")] == [403] * 3
    assert status(address, Host="evil.example") == 403, "a name that was made to lead here"
    assert status(f"{base}/etc/passwd?{token}") == 404
    with urllib.request.urlopen(address, timeout=20) as answer:
        said = dict(answer.headers)
    assert "Server" not in said and said["Cache-Control"] == "no-store"


def test_it_is_one_view_or_the_other(cli):
    assert "not allowed with argument --plain" in refusal(cli("watch", "--plain", "--web", 1))


def test_ctrl_c_ends_it_with_the_verdict(served):
    recorder, target, address = served
    assert status(address) == 200
    recorder.send_signal(signal.SIGINT)
    done = finish(recorder)
    assert (done.code, done.err) == (0, ""), done
    assert "Seen: " in done.out and is_alive(target.pid)
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(address, timeout=20)


def test_the_lanes_move_and_the_end_is_said(served, browser):
    recorder, _, address = served
    tab = browser.new_page()
    said = []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.goto(address)
    # The page's policy lets nobody poll within it.
    until(lambda: tab.inner_text("#live-state") == "live", "lanes")
    tab.wait_for_selector(".names .thread")
    until(lambda: tab.locator("h1").count() == 1, "a verdict")
    first = tab.inner_text("#range")
    until(lambda: tab.inner_text("#range") != first, "later lanes")
    tab.check("#live-pause")
    assert said == []
    tab.uncheck("#live-pause")
    recorder.send_signal(signal.SIGINT)
    finish(recorder)
    until(lambda: tab.inner_text("#live-state").startswith("ended"), "word of the end")
    tab.close()
