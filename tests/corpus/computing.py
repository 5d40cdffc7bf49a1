"""One thread that computes in Python."""

import dataclasses

from corpus import answer
from corpus.clock import count_up, until_over


@answer("python-cpu-bound")
def counts(seconds):
    until_over(seconds, count_up)


@answer("python-cpu-bound")
def recurses(seconds):
    def fibonacci(n):
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    until_over(seconds, lambda: fibonacci(16))


@answer("python-cpu-bound")
def builds_dictionaries(seconds):
    until_over(seconds, lambda: {str(n): n for n in range(500)})


@answer("python-cpu-bound")
def makes_objects(seconds):
    @dataclasses.dataclass
    class Point:
        x: int
        y: int

        def moved(self, by):
            return Point(self.x + by, self.y - by)

    def work():
        point = Point(0, 0)
        for n in range(500):
            point = point.moved(n)

    until_over(seconds, work)


@answer("python-cpu-bound")
def goes_through_generators(seconds):
    def squares(n):
        for k in range(n):
            yield k * k

    until_over(seconds, lambda: sum(s for s in squares(2000) if s % 3))


@answer("python-cpu-bound")
def raises_and_catches(seconds):
    def work():
        for n in range(300):
            try:
                raise KeyError(n)
            except KeyError:
                pass

    until_over(seconds, work)


@answer("python-cpu-bound")
def splits_text(seconds):
    line = ",".join(map(str, range(40)))
    until_over(seconds, lambda: [part.strip().upper() for part in line.split(",")])


@answer("not-enough-data", "python-cpu-bound", "mixed", "idle", also=("gc-pause",), seconds=0.0)
def ends_at_once(seconds):
    count_up()
