"""More functions that share state: methods, closures, what wraps others. Added to `sharers.SHARERS`."""

import functools
import queue
import threading

from sharers import append, by_helper, count_up, shares

opened = 0


class Slotted:
    __slots__ = ("n",)

    def __init__(self):
        self.n = 0

    def count(self, x):
        self.n += x

    def __call__(self, x):
        self.n += x


class Crawler:
    visited = 0

    def __init__(self):
        self.pages = {}
        self.lock = threading.Lock()
        self.done = 0
        self.inner = Slotted()

    def fetch(self, x):
        self.pages[x] = x

    def guarded(self, x):
        with self.lock:
            return x

    def by_own_method(self, x):
        return self._more(x)

    def _more(self, x):
        self.done += 1

    def by_class(self, x):
        Crawler.visited += 1

    @classmethod
    def by_classmethod(cls, x):
        cls.visited += 1

    def deeper(self, x):
        self.inner.count(x)

    def by_property(self, x):
        return self.next_one

    @property
    def next_one(self):
        global opened
        opened += 1
        return opened


shares("it adds to the dict `self.pages`", 1)(Crawler().fetch)
shares("it uses the lock `self.lock`, which other threads can hold", 1)(Crawler().guarded)
shares("it sets `self.done`", 1)(Crawler().by_own_method)
shares("it assigns `Crawler.visited`", 1)(Crawler().by_class)
shares("it assigns `Crawler.visited`", 1)(Crawler.by_classmethod)
shares("it sets `self.inner.n`", 1)(Crawler().deeper)
shares("`next_one`, which it calls, assigns the global `opened`", 1)(Crawler().by_property)
shares("it sets `self.n`", 1)(Slotted().count)
shares("it sets `self.n`", 1)(Slotted())
shares("it appends to the list `self`", 1)([].append)
shares("it uses the queue `self`, which other threads can read", 1)(queue.Queue().put)


class Registered:
    made = []

    def __init__(self, x):
        self.made.append(x)


shares("it appends to the list `Registered.made`", 1)(Registered)
app = Crawler()


@shares("it adds to the dict `app.pages`", 1)
def by_object(x):
    app.pages[x] = x


@shares("it uses the lock `app.lock`, which other threads can hold", 1)
def by_method_of_object(x):
    return app.guarded(x)


def closures():
    total, found, lock, made = 0, [], threading.Lock(), (n for n in range(9))

    @shares("it assigns `total` of its closure", 1)
    def add(x):
        nonlocal total
        total += x

    @shares("it assigns `total` of its closure", 1)
    def add_inside(x):
        def add():
            nonlocal total
            total += x

        add()

    @shares("it appends to the list `found` of its closure", 1)
    def find(x):
        found.append(x)

    @shares("it appends to the list `found` of its closure", 1)
    def find_in_comprehension(x):
        return [found.append(y) for y in range(x)]

    @shares("it uses the lock `lock` of its closure, which other threads can hold", 1)
    def guarded(x):
        with lock:
            return x

    @shares("it takes from the generator `made` of its closure, which all calls take from", 1)
    def take(x):
        return next(made)


closures()
shares("it appends to the list `args[0]`", 1)(functools.partial(lambda found, x: found.append(x), []))
shares("it adds to the dict `into`", 1)(functools.partial(lambda x, into: into.update({x: x}), into={}))
shares("`append`, which it calls, appends to the list `seen`", 1)(functools.partial(by_helper))


def logged(fn):
    def call(x):
        return fn(x)

    return call


def wrapped(fn):
    @functools.wraps(fn)
    def call(x):
        return fn(x)

    return call


shares("`append`, which it calls, appends to the list `seen`", 1)(logged(append))
shares("`append`, which it calls, appends to the list `seen`", 1)(wrapped(append))
shares("it assigns the global `count`", 1)(functools.lru_cache(count_up))
