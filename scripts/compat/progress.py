"""A program of a user's: files parsed with tqdm's process_map, into results of a class of the script's
own."""

import ast
import sys
from pathlib import Path

from tqdm.contrib.concurrent import process_map


class Summary:
    """What a file has in it."""

    def __init__(self, name, functions, longest):
        """Counted in a worker."""
        self.name, self.functions, self.longest = name, functions, longest


def summarize(path):
    """Parse a file."""
    tree = ast.parse(path.read_bytes())
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    longest = max((node.end_lineno - node.lineno for node in functions), default=0)
    return Summary(path.name, len(functions), longest)


if __name__ == "__main__":
    paths = sorted(Path(sys.argv[1]).rglob("*.py"))
    summaries = process_map(summarize, paths, max_workers=2, chunksize=4, disable=True)
    assert all(type(summary) is Summary for summary in summaries)
    for summary in sorted(summaries, key=lambda summary: (-summary.functions, summary.name))[:20]:
        print(summary.name, summary.functions, summary.longest)
