"""Functions of everyday programs that share nothing with their caller, each with an argument."""

import base64
import collections
import contextlib
import contextvars
import dataclasses
import datetime
import decimal
import enum
import functools
import hashlib
import itertools
import json
import logging
import math
import operator
import os
import pathlib
import queue
import random
import re
import string
import sys
import textwrap
import threading
import urllib.parse
import xml.etree.ElementTree as ET
from sys import stderr

LONERS = []


def loner(*args):
    """Adds a function to the list."""

    def add(fn):
        LONERS.append((fn, args))
        return fn

    return add


WORD = re.compile(r"\w+")
CONFIG = {"factor": 3, "names": ["a", "b"], "deep": {"limit": 5}}
STOP_WORDS = {"the", "a"}
TABLE = [[1, 2], [3, 4]]
logger = logging.getLogger("loners")
user = contextvars.ContextVar("user", default="nobody")
rng = random.Random(3)
template = string.Template("$name")
# Only an attribute of items has these names.
jobs = queue.Queue()
lock = threading.Lock()
found = []


@loner(100)
def squares(n):
    return sum(i * i for i in range(n))


@loner("the words of a text")
def words(text):
    return collections.Counter(word for word in WORD.findall(text) if word not in STOP_WORDS)


@loner('{"a": [1, 2]}')
def parse(text):
    return json.dumps(json.loads(text), sort_keys=True)


@loner(2)
def by_config(x):
    return x * CONFIG["factor"] + CONFIG["deep"]["limit"] + TABLE[0][1]


@dataclasses.dataclass
class Item:
    price: float
    tags: list = dataclasses.field(default_factory=list)

    @property
    def gross(self):
        return self.price * 1.2

    @functools.cached_property
    def label(self):
        return f"{self.price:.2f}"


@loner(Item(2.0, ["a"]))
def gross(item):
    return item.gross, item.label, sorted(item.tags)


@loner(Item(2.0))
def replaced(item):
    return dataclasses.replace(item, price=item.price + 1)


class Shop:
    currency = "EUR"

    def __init__(self):
        self.rate = 1.5
        self.items = [Item(1.0), Item(2.0)]
        self.lock = threading.Lock()

    def price(self, x):
        return self.convert(x) * len(self.items), self.currency, self.header

    @staticmethod
    def convert(x):
        return x * 2

    @functools.cached_property
    def header(self):
        return "=" * 10

    def sell(self, x):
        with self.lock:
            self.items.append(x)

    def __call__(self, x):
        return self.rate * x


loner(3)(Shop().price)
loner(3)(Shop())
loner(3)(Shop.convert)
loner(2.5)(Item)


@loner(20)
@functools.lru_cache
def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


@loner(3)
def draw(n):
    return [random.random() for _ in range(n)], rng.gauss(0, 1), random.choice("abc")


@loner("somebody")
def set_user(name):
    user.set(name)
    return user.get()


@loner("done")
def report(x):
    logger.info("%s", x)
    print(x, file=stderr)
    sys.stdout.write(x)
    return user.get()


def closures():
    config, low, scale = {"a": 1}, 3, [1, 2]

    @loner(4)
    def clip(x):
        return max(x, low) * config["a"] + sum(scale)

    return clip


closures()
loner(3)(functools.partial(pow, 2))
loner(3)(functools.partial(lambda config, x: config["factor"] * x, CONFIG))


@loner([3, 1, 2])
def middle(xs):
    xs = sorted(xs, key=lambda x: -x)
    xs.append(4)
    count = 0

    def step():
        nonlocal count
        count += 1

    step()
    return xs[count]


@loner(5)
def own_locks(n):
    lock, jobs, found = threading.Lock(), queue.Queue(), []
    with lock:
        for i in range(n):
            jobs.put(i)
            found.append(jobs.get())
    return found


class Request:
    def __init__(self):
        self.jobs, self.lock, self.found = "a", "b", "c"


@loner(Request())
def same_names(x):
    return x.jobs + x.lock + x.found


@loner("a b")
def with_imports(text):
    global shlex
    import shlex
    import xml.sax.saxutils as saxutils

    return shlex.split(saxutils.escape(text))


class Colour(enum.Flag):
    RED = 1
    BLUE = 2


Point = collections.namedtuple("Point", "x y")


@loner(1)
def shapes(x):
    return Colour.RED | Colour.BLUE, Colour(x).name, Point(x, 2)._replace(y=3)


@loner("text")
def digests(text):
    data = text.encode()
    return hashlib.sha256(data).hexdigest(), base64.b64encode(data), urllib.parse.urlsplit("http://a/b?c=d")


@loner("a\n  b")
def formats(text):
    return textwrap.dedent(text), template.substitute(name=text), f"{text!r:>20}"


@loner(3)
def numbers(x):
    return decimal.Decimal(x) / 7, math.sqrt(x), datetime.timedelta(days=x), datetime.date(2024, 2, x)


@loner("name")
def paths(name):
    path = pathlib.Path(os.environ.get("TMPDIR", os.sep)) / name
    return path.suffix, path.stem, os.path.join(os.getcwd(), name), path.exists()


@loner("missing")
def reads(name):
    try:
        with open(name) as file:
            return file.read()
    except OSError as error:
        return error.errno


@loner("<a><b c='1'/></a>")
def elements(text):
    return [node.get("c") for node in ET.fromstring(text).iter("b")]


def timed(fn):
    @functools.wraps(fn)
    def call(*args, **kwargs):
        started = datetime.datetime.now()
        return fn(*args, **kwargs), started

    return call


@contextlib.contextmanager
def section(name):
    yield name.upper()


@loner("a")
@timed
def decorated(x):
    with section(x) as name, contextlib.suppress(ValueError):
        return name


@loner(4)
def batches(n):
    return [list(group) for _, group in itertools.groupby(range(n), key=lambda i: i // 2)]


@functools.singledispatch
def shown(x):
    return str(x)


@shown.register
def _(x: int):
    return hex(x)


loner(3)(shown)
loner([1, 2])(len)
loner(2.0)(math.sqrt)
loner("a")(str.upper)
loner([1, 2])(operator.itemgetter(0))
loner("a b")(WORD.findall)
loner("factor")(CONFIG.get)
loner('{"a": 1}')(json.loads)
loner([2, 1])(sorted)
loner("3")(int)
