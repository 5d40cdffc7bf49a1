"""The page of a comparison in a real browser: what it draws is what was measured."""

import json
import time

import plait
import pytest
from pages import browser as browser
from pages import tab_of

pytestmark = pytest.mark.once


def spin(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return seconds


@pytest.fixture(scope="module")
def comparison():
    return plait.compare(spin, [0.05] * 6, workers=2, rounds=2, scaling=True)


@pytest.fixture
def shown(browser, comparison, tmp_path):
    """Opens its page, or another, in a browser that reaches nothing."""
    contexts = []

    def show(page=None, **options):
        page = comparison.to_html() if page is None else page
        tab = tab_of(browser, page, tmp_path / f"page{len(contexts)}.html", **options)
        contexts.append(tab.context)
        return tab

    yield show
    for context in contexts:
        context.close()


def card(tab, title):
    return tab.locator("section.card", has=tab.locator("h2", has_text=title)).first


def test_nothing_is_asked_of_the_network_and_nothing_is_refused(shown):
    tab = shown()
    assert [url.partition(":")[0] for url in tab.asked] == ["file"]
    assert tab.said == []


def test_bars_are_as_long_as_the_times(shown, comparison):
    rows = {row["backend"]: row["seconds"] for row in json.loads(comparison.to_json())["rows"]}
    bars = card(shown(), "Time").locator("li")
    drawn = {}
    for bar in bars.all():
        track, fill = (bar.locator(f".{part}").bounding_box()["width"] for part in ("track", "fill"))
        drawn[bar.locator(".name").inner_text()] = fill / track
    assert drawn.keys() == rows.keys()
    longest = max(rows, key=rows.get)
    for backend, seconds in rows.items():
        expected = drawn[longest] * seconds / rows[longest]
        assert drawn[backend] == pytest.approx(expected, abs=0.01), backend


def test_lanes_show_who_ran_and_who_waited(shown):
    lanes = card(shown(), "Who ran when")
    strips = lanes.locator("section.strip")
    assert strips.count() == 3
    # The colours are those of the legend: what is drawn in them can be told.
    legend = {
        word: lanes.locator(f"li .s-{word}").first.evaluate("it => getComputedStyle(it).backgroundColor")
        for word in ("holds-python", "waits")
    }
    threads = strips.nth(1).locator("svg").all()
    assert len(threads) >= 2
    for word, color in legend.items():
        paths = strips.nth(1).locator(f"path.s-{word}").all()
        assert {path.evaluate("it => getComputedStyle(it).fill") for path in paths} == {color}
        # A thread that came late to a busy machine has little of it.
        boxes = [path.bounding_box() for path in paths]
        assert any(box["width"] > 20 and box["height"] > 5 for box in boxes), boxes


def test_more_workers_stay_below_the_ideal_line(shown):
    plot = card(shown(), "More workers")
    assert "ideal" in plot.text_content()
    assert plot.locator("g.series").count() >= 2


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_the_screen_and_can_be_read(shown, width, scheme):
    tab = shown(width=width, color_scheme=scheme)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    for part in tab.locator("section.card").all():
        box = part.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width
    # By the rule for contrast of WCAG 2.2, 1.4.3.
    contrast = tab.evaluate(
        """() => {
            const light = (color) => {
                const parts = color.match(/[\\d.]+/g).slice(0, 3).map((it) => it / 255);
                const curve = (it) => (it <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4);
                const linear = parts.map(curve);
                return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
            };
            const card = document.querySelector("section.card");
            const [a, b] = [
                light(getComputedStyle(card.querySelector("h2")).color),
                light(getComputedStyle(card).backgroundColor),
            ];
            return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        }"""
    )
    assert contrast >= 4.5


def test_names_and_errors_stay_text(shown):
    def hostile(_):
        raise ValueError("</style><script>document.title='owned'</script><img src=x>")

    hostile.__qualname__ = hostile.__name__ = "<script>document.title='owned'</script>"
    tab = shown(plait.compare(hostile, [1, 2], workers=1, rounds=1).to_html())
    assert "owned" not in tab.title().replace("document.title='owned'", "")
    assert tab.locator("img").count() == 0 and tab.locator("script").count() == 0
    assert "<script>" in tab.locator("body").inner_text()


def test_a_notebook_shows_the_page_in_a_frame(shown, comparison):
    tab = shown(f"<!doctype html><title>notebook</title>{comparison._repr_html_()}")
    frame = tab.frame_locator("iframe")
    frame.locator("h1").wait_for()
    assert json.loads(comparison.to_json())["verdict"].startswith(frame.locator("h1").inner_text())
