"""`plait.Choice`: what it holds, and how it looks in a terminal, in a notebook and as JSON."""

import copy
import html.parser
import json
import math
import pickle

import plait
import pytest
from plait._choice import words

TOLD = {
    "backend": "processes",
    "workers": 4,
    "most_workers": 4,
    "chunksize": None,
    "seconds": 1.26,
    "runner_up": "threads",
    "margin": 3.87,
    "left": [],
    "deciding": 0.012,
    "candidates": [
        {"backend": "serial", "workers": 1, "seconds": 4.9, "why_not": None},
        {"backend": "threads", "workers": 1, "seconds": 4.88, "why_not": None},
        {"backend": "processes", "workers": 4, "seconds": 1.26, "why_not": None},
    ],
    "reasons": [
        "a call takes 2.0 ms, and holds the GIL for 97 % of that: threads would take turns",
        "its arguments and result are 312 B pickled: 12 µs to send, 1 % of the call",
    ],
    "figures": {
        "calls": 12,
        "unfinished": False,
        "remaining": 2488,
        "wall": 0.00196,
        "longest": 0.0031,
        "cpu": 0.00195,
        "held": 0.0019,
        "wanted": 0.0,
        "switches": 0.1,
        "native": 0.0,
        "memory": 1_200_000,
        "gil": True,
        "sendable": True,
        "why_not": None,
        "sent_bytes": 312,
        "buffer_bytes": 80e6,
        "pickle": 3e-6,
        "shares_state": None,
        "task": None,
        "threads_tried": {"workers": 8, "rate": 120.0, "cpu_share": 0.9},
    },
    "machine": {
        "cpus": 4,
        "physical": 2,
        "memory": 8_160_000_000,
        "thread_pool": "warm",
        "process_pool": "cold",
    },
}

TEXT = """\
4 processes: 1.3 s predicted for 2,488 calls
runner-up: threads, 3.9 times as long

- a call takes 2.0 ms, and holds the GIL for 97 % of that: threads would take turns
- its arguments and result are 312 B pickled: 12 µs to send, 1 % of the call

  backend    workers  predicted
  serial           1      4.9 s
  threads          1      4.9 s
> processes        4      1.3 s

measured   12 calls; 2,488 to come
a call     2.0 ms, the longest 3.1 ms; on a processor 99 %, holding the GIL 97 %, waiting for it 0 %
meanwhile  waited 0.1 times a call, memory grew by 1.1 MiB
sending    312 B pickled, 76.3 MiB beside that, 3.0 µs to pickle
tried      8 threads: 120 calls a second
machine    4 processors, 2 cores, 7.6 GiB of memory free, thread pool warm, process pool cold
deciding   took 12.0 ms beside the calls"""

KEPT = {
    "backend": "threads",
    "workers": 1,
    "seconds": 0.5,
    "candidates": [
        {"backend": "threads", "workers": 1, "seconds": 0.5, "why_not": None},
        {"backend": "processes", "workers": 2, "seconds": None, "why_not": "it appends to the list `seen`"},
    ],
    "figures": {
        "calls": 0,
        "unfinished": True,
        "wall": 150.0,
        "gil": False,
        "native": 0.7,
        "sendable": False,
        "why_not": "args[0]: cannot pickle '_thread.lock' object",
        "shares_state": "it appends to the list `seen`",
    },
}

KEPT_TEXT = """\
1 thread: 500 ms predicted
no other backend was possible

  backend    workers  predicted
> threads          1     500 ms
  processes        2  not known  not: it appends to the list `seen`

measured      0 calls, and one that still ran
a call        2 min; no GIL in this build
meanwhile     other threads used 0.7 processors
sending       not possible: args[0]: cannot pickle '_thread.lock' object
shares state  it appends to the list `seen`"""

HOSTILE = "<script>alert(1)</script>\n\x1b[2J\u202e&\"'" + "x" * 5000


def told(**changes):
    return {**copy.deepcopy(TOLD), **changes}


@pytest.fixture
def choice():
    return plait.Choice(told())


def test_what_was_decided(choice):
    assert (choice.backend, choice.workers, choice.chunksize, choice.seconds) == ("processes", 4, None, 1.26)
    assert (choice.runner_up, choice.margin, choice.deciding) == ("threads", 3.87, 0.012)
    assert choice.reasons == tuple(TOLD["reasons"])
    assert [each.backend for each in choice.candidates] == ["serial", "threads", "processes"]
    assert choice.candidates[0].seconds == 4.9
    assert choice.figures["threads_tried"]["rate"] == 120.0
    assert choice.machine["cpus"] == 4


@pytest.mark.once
@pytest.mark.parametrize("data, text", [(TOLD, TEXT), (KEPT, KEPT_TEXT)])
def test_text(data, text):
    assert str(plait.Choice(data)) == text


@pytest.mark.once
def test_repr_is_one_line(choice):
    assert repr(choice) == "<plait.Choice processes, workers=4; runner-up: threads, margin=3.87>"
    plain = plait.Choice({"backend": "serial", "workers": 1, "chunksize": 3})
    assert repr(plain) == "<plait.Choice serial, workers=1, chunksize=3; runner-up: None>"


@pytest.mark.once
def test_the_least_that_there_is_can_be_shown():
    choice = plait.Choice({"backend": "serial", "workers": 1})
    assert str(choice) == "serial\nno other backend was possible"
    assert "serial" in choice._repr_html_()
    assert (choice.reasons, choice.candidates, dict(choice.figures)) == ((), (), {})


@pytest.mark.once
@pytest.mark.parametrize(
    "changes, line",
    [
        ({"chunksize": 100}, "4 processes, chunks of 100 items: 1.3 s predicted for 2,488 calls"),
        ({"chunksize": 1}, "4 processes, chunks of 1 item: 1.3 s predicted for 2,488 calls"),
        ({"seconds": math.inf}, "4 processes"),
        ({"margin": 1.04}, "runner-up: threads, about as quick (1.04 times as long)"),
        ({"margin": 0.96}, "runner-up: threads, predicted to take 96 % of the time"),
        ({"margin": None}, "runner-up: threads, how close is not known"),
        ({"runner_up": None, "margin": None}, "no other backend was possible"),
        ({"figures": {"remaining": 0}}, "4 processes: all calls were made while they were measured"),
        ({"figures": {"remaining": 0}}, "runner-up: threads"),
        ({"figures": {"switches": 2, "native": None}}, "meanwhile  waited 2.0 times a call"),
        ({"figures": {"switches": 0.01, "memory": 2048}}, "meanwhile  memory grew by 2.0 KiB"),
        ({"figures": {"task": True}}, "shares state  plait.task says yes"),
        ({"figures": {"task": False}}, "shares state  plait.task says no"),
    ],
)
def test_lines(changes, line):
    assert line in str(plait.Choice(told(**changes))).splitlines()


@pytest.mark.once
def test_no_line_is_wider_than_asked_for(choice):
    for width in (40, 60, 100, 200):
        lines = choice.text(width).splitlines()
        assert max(map(len, lines)) <= max(width, 60)
        assert " ".join(choice.text(width).split()) == " ".join(str(choice).split())


@pytest.mark.once
def test_colours_come_where_they_are_asked_for(choice):
    assert "\x1b" not in str(choice)
    coloured = choice.text(color=True)
    assert "\x1b[1m> processes" in coloured
    assert coloured.replace("\x1b[1m", "").replace("\x1b[2m", "").replace("\x1b[0m", "") == str(choice)


class Tags(html.parser.HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.text, self.attributes = [], [], [], []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.mark.once
def test_a_notebook_gets_tables(choice):
    page = Tags(choice._repr_html_())
    assert page.tags.count("table") == 2
    assert page.text[0] == "4 processes: 1.3 s predicted for 2,488 calls"
    for cell in (
        "serial",
        "4.9 s",
        "chosen",
        "sending",
        "312 B pickled, 76.3 MiB beside that, 3.0 µs to pickle",
    ):
        assert cell in page.text
    # Nothing from elsewhere, and no colour but that of the page around, so it is seen on light and on dark.
    assert {name for name, _ in page.attributes} <= {"style", "scope"}
    styles = " ".join(value for name, value in page.attributes if name == "style")
    assert "url(" not in styles and "#" not in styles and "background:transparent" in styles


def hostile():
    data = told(reasons=[HOSTILE], backend=HOSTILE, runner_up=HOSTILE)
    data["candidates"][1] |= {"backend": HOSTILE, "why_not": HOSTILE}
    data["figures"] |= {"sendable": False, "why_not": HOSTILE, "shares_state": HOSTILE}
    data["machine"]["process_pool"] = HOSTILE
    return plait.Choice(data)


@pytest.mark.once
def test_hostile_words_do_nothing_in_a_page():
    page = Tags(hostile()._repr_html_())
    assert "script" not in page.tags
    assert {name for name, _ in page.attributes} <= {"style", "scope"}
    assert any("<script>alert(1)</script>" in text for text in page.text)
    assert len(hostile()._repr_html_()) < 20_000


@pytest.mark.once
def test_hostile_words_do_nothing_in_a_terminal():
    text = str(hostile())
    assert "\x1b" not in text and "\u202e" not in text
    assert "\\x1b" in text
    assert len(text) < 20_000
    assert len(repr(hostile()).splitlines()) == 1
    assert "\x1b" not in repr(hostile())


@pytest.mark.once
def test_json_is_all_of_it(choice):
    assert json.loads(choice.to_json()) == TOLD == choice.to_dict()
    choice.to_dict()["figures"]["calls"] = 5
    assert choice.figures["calls"] == 12


@pytest.mark.once
def test_what_is_no_number_is_null_in_json():
    choice = plait.Choice(told(seconds=math.nan, figures={"wall": math.inf, "cpu": 1.0}))
    assert json.loads(choice.to_json())["figures"] == {"wall": None, "cpu": 1.0}
    assert choice.seconds is None
    assert choice == plait.Choice(told(seconds=math.nan, figures={"wall": math.inf, "cpu": 1.0}))


def test_equality(choice):
    assert choice == plait.Choice(told())
    assert hash(choice) == hash(plait.Choice(told()))
    assert choice != plait.Choice(told(workers=3))
    figures = {**TOLD["figures"], "calls": 13}
    assert choice != plait.Choice(told(figures=figures))
    assert choice != TOLD
    assert len({choice, plait.Choice(told())}) == 1


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
def test_copies_are_equal(choice, copied):
    assert copied(choice) == choice
    assert str(copied(choice)) == str(choice)


def test_it_cannot_be_changed(choice):
    with pytest.raises(AttributeError, match="cannot be changed, so 'workers' cannot be set"):
        choice.workers = 8
    with pytest.raises(AttributeError, match="cannot be deleted"):
        del choice.backend
    with pytest.raises(TypeError):
        choice.figures["calls"] = 5
    with pytest.raises(TypeError):
        choice.figures["threads_tried"]["rate"] = 5
    with pytest.raises(AttributeError):
        choice.candidates[0].seconds = 0


def test_it_does_not_see_what_it_was_made_of_change():
    data = told()
    choice = plait.Choice(data)
    data["figures"]["calls"] = 99
    data["reasons"].append("another")
    assert choice == plait.Choice(told())


@pytest.mark.once
@pytest.mark.parametrize("missing", ["backend", "workers"])
def test_without_a_decision_there_is_none(missing):
    with pytest.raises(KeyError, match=missing):
        plait.Choice({name: value for name, value in TOLD.items() if name != missing})


@pytest.mark.once
@pytest.mark.parametrize(
    "value, said",
    [
        (0.0, "0 ns"),
        (3e-9, "3 ns"),
        (9.996e-7, "1.0 µs"),
        (2e-6, "2.0 µs"),
        (0.0121, "12.1 ms"),
        (0.5, "500 ms"),
        (1.0, "1.0 s"),
        (119.0, "119 s"),
        (180.0, "3 min"),
        (None, "not known"),
    ],
)
def test_seconds(value, said):
    assert words.seconds(value) == said


@pytest.mark.once
@pytest.mark.parametrize(
    "value, said",
    [
        (0, "0 B"),
        (312, "312 B"),
        (1023.9, "1.0 KiB"),
        (80e6, "76.3 MiB"),
        (-3 << 20, "-3.0 MiB"),
        (2**31, "2.0 GiB"),
    ],
)
def test_sizes(value, said):
    assert words.size(value) == said


@pytest.mark.once
@pytest.mark.parametrize(
    "value, said", [(0, "0 %"), (0.001, "less than 1 %"), (0.97, "97 %"), (1.2, "120 %")]
)
def test_shares(value, said):
    assert words.share(value) == said
