"""Workloads of Python code that computes: one thread at a time runs it."""

import functools
import io
import random
import re
from dataclasses import dataclass, replace
from typing import Any

from choosing.workload import Job, Site, each, equals, workload

KIND = "Python"


def primes(limit: int) -> int:
    found = 0
    for number in range(2, limit):
        for divisor in range(2, int(number**0.5) + 1):
            if number % divisor == 0:
                break
        else:
            found += 1
    return found


@workload("primes", KIND)
def count_primes(_site: Site) -> Job:
    return Job(primes, [5000] * 450, 450, equals([669] * 450))


def fib(n: int) -> int:
    return n if n < 2 else fib(n - 1) + fib(n - 2)


@workload("recursion", KIND)
def recursion(_site: Site) -> Job:
    items = [16, 17, 18] * 1500
    return Job(fib, items, len(items), equals([987, 1597, 2584] * 1500))


@functools.cache
def sheet(number: int) -> str:
    """Return a table of 1,000 lines as CSV."""
    return "".join(f"{number + k},name {k},{k * 1.5},{'yes' if k % 3 else 'no'}\n" for k in range(1000))


def read_csv(text: str) -> tuple[int, float]:
    import csv

    said, total = 0, 0.0
    for number, _name, price, answer in csv.reader(io.StringIO(text)):
        if answer == "yes":
            said += int(number) % 7
            total += float(price)
    return said, total


@workload("CSV parsed row by row", KIND)
def parsing_csv(_site: Site) -> Job:
    sheets = [sheet(number) for number in range(40)] * 40
    total = sum(k * 1.5 for k in range(1000) if k % 3)
    return Job(read_csv, sheets, len(sheets), each(lambda result: result[1] == total, len(sheets)))


@dataclass(frozen=True)
class Order:
    """An order in a book of them."""

    number: int
    price: int
    amount: int


def trade(seed: int) -> tuple[int, int]:
    drawn, book, done = random.Random(seed), [], 0
    for number in range(400):
        book.append(Order(number, drawn.randrange(100), drawn.randrange(1, 9)))
        best = min(book, key=lambda order: (order.price, order.number))
        if best.amount > 1:
            book[book.index(best)] = replace(best, amount=best.amount - 1)
        else:
            book.remove(best)
        done += best.price
    return done, len(book)


@workload("data classes", KIND)
def data_classes(_site: Site) -> Job:
    return Job(trade, range(60), 60, each(lambda result: 0 < result[1] < 400, 60))


WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]


@functools.cache
def page(number: int) -> str:
    """Return a page of Markdown."""
    drawn = random.Random(number)
    lines = [f"# Page {number}", ""]
    for _ in range(12):
        words = " ".join(drawn.choice(WORDS) for _ in range(30))
        lines += [f"Some *{words}* and `code`.", "", "* one", "* [two](three)", ""]
    return "\n".join(lines)


def to_html(text: str) -> str:
    import markdown

    return markdown.markdown(text)


@workload("Markdown", KIND)
def render_markdown(_site: Site) -> Job:
    import markdown

    assert markdown
    pages = [page(number) for number in range(350)]

    def check(results: list[Any]) -> None:
        assert len(results) == len(pages), f"{len(results)} results"
        for number, result in enumerate(results):
            assert result.startswith(f"<h1>Page {number}</h1>"), (
                f"result {number} starts with {result[:30]!r}"
            )

    return Job(to_html, pages, len(pages), check)


def highlight(code: str) -> str:
    import pygments
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    return pygments.highlight(code, PythonLexer(), HtmlFormatter())


@workload("Pygments", KIND)
def highlighting(_site: Site) -> Job:
    import inspect

    import pygments
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    assert pygments and HtmlFormatter and PythonLexer
    code = inspect.getsource(trade)
    codes = [f"# {number}\n{code}" for number in range(500)]
    return Job(highlight, codes, len(codes), each(lambda html: html.startswith("<div "), len(codes)))


def find_dates(text: str) -> int:
    return len(re.findall(r"(?:\w+\s+){1,3}(\d{4})-(\d{2})-(\d{2})(?=\s|$)", text))


@workload("regular expressions", KIND)
def expressions(_site: Site) -> Job:
    drawn = random.Random(5)
    texts, dates = [], []
    for _ in range(60):
        words = [drawn.choice(WORDS) for _ in range(1500)]
        marks = range(3, 1500, 50)
        for mark in marks:
            words[mark] = "2026-11-21"
        texts.append(" ".join(words))
        dates.append(len(marks))
    return Job(find_dates, texts * 6, 6 * len(texts), equals(dates * 6))
