"""The page of a recording in a real browser: what it draws, and what it does under hands."""

import contextlib
import sys

import pytest
from outside import run_program, until
from pages import COLORS, LETTERS, Made, tab_of
from pages import browser as browser
from recorded import CONTENTION

pytestmark = pytest.mark.once

# What the page says when its lanes are there.
DRAWN = "html[data-drawn]"
# Its letters have their fonts, and two pictures were made of it since.
SETTLED = """document.fonts.ready.then(() => new Promise((settled) =>
    requestAnimationFrame(() => requestAnimationFrame(settled))))"""


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """The page of two threads that take turns."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "turns.py").write_text(CONTENTION.replace("sys.stdin.read()", "time.sleep(3)"))
    done = run_program(
        "-m", "plait", "record", "-o", "page.html", "--", sys.executable, "turns.py", cwd=folder
    )
    assert done.code == 0 and "html: page.html  (opens in any browser)" in done.out, done
    return (folder / "page.html").read_text()


@pytest.fixture
def shown(browser, real, tmp_path):
    """Opens a page, of a made-up recording or as it is, in a browser that reaches nothing."""
    contexts = []

    def show(page=real, **options):
        if isinstance(page, Made):
            page = page.page(real)
        tab = tab_of(browser, page, tmp_path / f"page{len(contexts)}.html", **options)
        contexts.append(tab.context)
        return tab

    yield show
    for context in contexts:
        context.close()


def drawn(tab):
    """The same tab once its lanes are there, and stay where they are."""
    tab.wait_for_selector(DRAWN, state="attached")
    tab.evaluate(SETTLED)
    return tab


@contextlib.contextmanager
def in_view(tab):
    """Waits until the view has changed within the block."""
    before = tab.inner_text("#range")
    yield
    until(lambda: tab.inner_text("#range") != before, "another part of the time")


LABEL = "const name = [...document.querySelectorAll('.names .thread')].find((it) => it.textContent === lane);"


def pixel(tab, lane, share):
    """The colour that a lane has at a share of its length."""
    return tab.evaluate(
        "([lane, share]) => {"
        + LABEL
        + """
            const canvas = document.querySelector(".field canvas");
            const field = canvas.getBoundingClientRect(), box = name.getBoundingClientRect();
            const ratio = canvas.width / field.width;
            const x = Math.min(Math.floor(share * canvas.width), canvas.width - 1);
            const y = Math.round((box.bottom - 12 - field.top) * ratio);
            const [r, g, b] = canvas.getContext("2d").getImageData(x, y, 1, 1).data;
            return "#" + [r, g, b].map((it) => it.toString(16).padStart(2, "0")).join("");
        }""",
        [lane, share],
    )


def place(tab, lane, share):
    """Where in the window a share of a lane's length is, which it is made to be."""
    tab.locator(".field").scroll_into_view_if_needed()
    left, width, y = tab.evaluate(
        "([lane]) => {"
        + LABEL
        + """
            const field = document.querySelector(".field").getBoundingClientRect();
            return [field.left, field.width, name.getBoundingClientRect().bottom - 12];
        }""",
        [lane],
    )
    return left + width * share, y


def point(tab, lane, share):
    """Moves the pointer there, until the page has seen it."""

    def seen():
        at = place(tab, lane, share)
        # From beside it, for who does not move is not seen.
        tab.mouse.move(at[0] + 1, at[1])
        tab.mouse.move(*at)
        return at if tab.locator(".field .cursor").is_visible() else None

    return until(seen, "the pointer over the lanes")


HOLDS, HOGS, WAITS = (COLORS[LETTERS.index(letter)] for letter in "PNw")


def two_lanes():
    made = Made()
    made.thread("main thread", "PPPPPwwwwwPPPPPwwwww")
    made.thread("worker", "wwwwwNNNNNwwwwwPPPPP")
    return made


def test_a_recording_is_drawn_and_nothing_is_asked_of_the_network(shown):
    tab = drawn(shown())
    assert tab.said == []
    assert len(tab.asked) == 1 and tab.asked[0].startswith("file:")
    assert "GIL contention" in tab.inner_text("#said")
    assert tab.locator(".uplot").count() == 2
    colors = {pixel(tab, "main thread", share / 20) for share in range(1, 20)}
    assert tab.locator(".names .thread").count() >= 2 and colors


def test_each_span_has_its_place_and_its_colour(shown):
    tab = drawn(shown(two_lanes()))
    seen = [[pixel(tab, lane, share) for share in (0.1, 0.3, 0.6, 0.9)] for lane in ("main thread", "worker")]
    assert seen == [[HOLDS, WAITS, HOLDS, WAITS], [WAITS, HOGS, WAITS, HOLDS]]


def test_dragging_zooms_and_a_double_click_shows_all(shown):
    tab = drawn(shown(two_lanes()))
    with in_view(tab):
        point(tab, "worker", 0.25)
        tab.mouse.down()
        point(tab, "worker", 0.5)
        tab.mouse.up()
    assert tab.inner_text("#range").startswith("50.0 ms, from 50.0 ms to 100 ms")
    assert {pixel(tab, "worker", share) for share in (0.05, 0.5, 0.95)} == {HOGS}
    with in_view(tab):
        tab.mouse.dblclick(*point(tab, "worker", 0.5))
    assert tab.inner_text("#range") == "all 200 ms"


def test_the_pointer_is_told_what_is_under_it_and_who_had_the_gil(shown):
    made = two_lanes()
    made.threads[1] = (*made.threads[1][:3], [(60_000, ["load", "<module>"])])
    tab = drawn(shown(made))
    point(tab, "main thread", 0.3)
    told = tab.inner_text(".tip")
    assert "label of waits" in told and "for 50.0 ms, from 50.0 ms" in told
    assert "worker, 100 % of the time" in told
    point(tab, "worker", 0.3)
    assert "load" in tab.inner_text(".tip") and "srv/app.py:12" in tab.inner_text(".tip")
    tab.mouse.move(5, 5)
    assert tab.locator(".tip").is_hidden()


def test_curves_and_lanes_share_the_pointer(shown):
    tab = drawn(shown(two_lanes()))
    point(tab, "worker", 0.3)
    lines = tab.locator(".u-cursor-x")
    assert lines.count() == 2
    field = tab.locator(".field").bounding_box()
    left, width = field["x"], field["width"]
    for line in lines.all():
        assert abs(line.bounding_box()["x"] - (left + 0.3 * width)) < 3
    box = tab.locator(".u-over").first.bounding_box()
    tab.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + 20)
    assert abs(tab.locator(".field .cursor").bounding_box()["x"] - (left + 0.75 * width)) < 3


def test_keys_do_what_the_help_says(shown):
    tab = drawn(shown(two_lanes()))
    tab.focus(".field")
    with in_view(tab):
        tab.keyboard.press("+")
    assert tab.inner_text("#range") == "100 ms, from 50.0 ms to 150 ms"
    with in_view(tab):
        tab.keyboard.press("ArrowRight")
    assert tab.inner_text("#range") == "100 ms, from 70.0 ms to 170 ms"
    with in_view(tab):
        tab.keyboard.press("0")
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("ArrowDown")
    assert "main thread" in tab.inner_text(".tip")
    tab.keyboard.press("n")
    assert "label of waits" in tab.inner_text(".tip")
    tab.keyboard.press("Escape")
    assert tab.locator(".tip").is_hidden()
    tab.keyboard.press("?")
    assert tab.locator("#help kbd").first.is_visible()
    tab.keyboard.press("/")
    assert tab.evaluate("document.activeElement.id") == "search"


def test_searching_finds_threads_tasks_and_functions(shown):
    made = two_lanes()
    made.thread("third", "ssssssssssssssssssss", [(20_000, 60_000, "crunch")], [(30_000, ["deep_inside"])])
    tab = drawn(shown(made))
    found = {"WORKER": ["worker"], "crunch": ["third"], "deep_in": ["third"], "no such": []}
    for text, lanes in found.items():
        tab.fill("#search", text)
        assert tab.locator(".names .thread").all_inner_texts() == lanes, text
    tab.fill("#search", "crunch")
    with in_view(tab):
        tab.press("#search", "Enter")
    assert tab.inner_text("#lane-count") == "place 1 of 1"
    tab.press("#search", "Escape")
    assert len(tab.locator(".names .thread").all()) == 3


def test_idle_lanes_can_be_hidden(shown):
    made = two_lanes()
    for number in range(4):
        made.thread(f"idle {number}", "l" * 20)
    tab = drawn(shown(made))
    assert tab.is_checked("#hide-idle"), "many idle threads are hidden from the start"
    assert tab.inner_text("#lane-count") == "2 of 6 lanes"
    tab.uncheck("#hide-idle")
    assert len(tab.locator(".names .thread").all()) == 6


def test_a_verdict_leads_to_its_evidence(shown):
    tab = drawn(shown())
    jump = tab.locator(".jump").first
    start, end = (int(jump.get_attribute(f"data-{name}")) for name in ("from", "to"))
    whole = tab.inner_text("#range")
    jump.click()
    if end - start < 2_000_000:
        until(lambda: tab.inner_text("#range") != whole, "a part of the time")
    assert tab.evaluate("document.activeElement.className") == "field"


def test_a_process_can_be_folded(shown):
    tab = drawn(shown(two_lanes()))
    tab.click(".names .process")
    assert tab.locator(".names .thread").count() == 0
    assert tab.get_attribute(".names .process", "aria-expanded") == "false"
    tab.click(".names .process")
    assert tab.locator(".names .thread").count() == 2


def test_the_chosen_lane_can_be_read_as_a_table(shown):
    tab = drawn(shown(two_lanes()))
    tab.mouse.click(*point(tab, "worker", 0.3))
    tab.click("#spans summary")
    tab.wait_for_selector("#spans tbody tr")
    cells = tab.locator("#spans tbody tr").nth(1).locator("td").all_inner_texts()
    assert cells == ["50.0 ms", "50.0 ms", "label of holds-native"]


def test_the_dark_has_colours_of_its_own(shown):
    tab = drawn(shown(two_lanes(), color_scheme="dark"))
    assert pixel(tab, "worker", 0.3) == "#010000"
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(15, 18, 22)"
    with contextlib.nullcontext(tab.emulate_media(color_scheme="light")):
        until(lambda: pixel(tab, "worker", 0.3) == HOGS, "the colours of the light")


def test_a_narrow_screen_has_all_of_it(shown):
    tab = drawn(shown(two_lanes(), width=360, height=740, has_touch=True, device_scale_factor=2))
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    assert tab.locator(".names .thread").all_inner_texts() == ["main thread", "worker"]
    assert pixel(tab, "worker", 0.3) == HOGS
    tab.touchscreen.tap(*place(tab, "worker", 0.3))
    assert "label of holds-native" in tab.inner_text(".tip")


HOSTILE = {
    "tags": "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">",
    "right to left": "\u05d0\u05d1\u202e\u05d2 reversed",
    "emoji": "🧵🪢 worker 👩‍💻",
    "long": "x" * 10_000,
    "spaces": "  \t ",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_names_stay_text(shown, what):
    name = HOSTILE[what]
    made = Made(command=name, process=name)
    made.thread(name, "PPPPPwwwwwNNNNN", [(0, 100_000, name)], [(50_000, [name])])
    tab = drawn(shown(made))
    # Below the verdicts of the real page, of which there may be more or fewer.
    tab.locator(".field").scroll_into_view_if_needed()
    label = tab.locator(".names .thread").first
    assert label.text_content() == name
    label_box, field = label.bounding_box(), tab.locator(".field").bounding_box()
    assert label_box["x"] + label_box["width"] <= field["x"] + 1, "it takes no more than its column"
    at = field["x"] + field["width"] * 0.5, label_box["y"] + label_box["height"] - 12

    def told():
        tab.mouse.move(at[0] + 1, at[1])
        tab.mouse.move(*at)
        return tab.locator(".tip").is_visible()

    until(told, "what is under the pointer")
    assert "owned" not in tab.title() and tab.locator("img").count() == 0
    assert tab.evaluate("document.documentElement.scrollWidth") <= 1280
    assert tab.said == []


def test_half_a_million_spans_are_drawn_truly(shown):
    made = Made()
    for number in range(20):
        place = LETTERS.index("P"), LETTERS.index("w")
        made.add(f"thread {number}", [(at * 1000, at * 1000 + 1000, place[at % 2]) for at in range(25_000)])
    made.holds = dict(list(made.holds.items())[:25_000])
    tab = drawn(shown(made, height=1200))
    # Each column of pixels is half of one and half of the other.
    colors = tab.evaluate(
        """() => {
            const canvas = document.querySelector(".field canvas"), found = {};
            const { data } = canvas.getContext("2d").getImageData(canvas.width >> 1, 0, 1, canvas.height);
            for (let at = 0; at < data.length; at += 4) {
                const hex = [...data.slice(at, at + 3)].map((it) => it.toString(16).padStart(2, "0"));
                const key = "#" + hex.join("");
                found[key] = (found[key] ?? 0) + 1;
            }
            return found;
        }"""
    )
    assert abs(colors[HOLDS] - colors[WAITS]) < 0.2 * colors[WAITS]


def test_without_a_script_verdict_and_tables_are_there(shown):
    tab = shown(java_script_enabled=False)
    assert "GIL contention" in tab.inner_text("#said")
    assert "main thread" in tab.inner_text("#threads >> xpath=..")
    assert "does not run" in tab.inner_text("#charts")


def test_a_page_that_is_damaged_says_so(shown, real):
    for broken in ("AAAA", "", "no base64 at all!"):
        begin = '<script id="recording" type="text/plain">'
        head, tail = real.split(begin)
        tab = shown(head + begin + broken + tail[tail.index("</script>") :])
        tab.wait_for_selector("#trouble", state="visible")
        assert tab.inner_text("#trouble").startswith("The lanes cannot be drawn")
        assert "GIL contention" in tab.inner_text("#said")
