"""What a storm leaves behind, seen from outside: words on its stderr, and processes."""

import re
import time

from processes import processes

# What the storm makes workers print: initializers that fail on purpose.
EXPECTED = re.compile(
    r"Exception in initializer:\nTraceback \(most recent call last\):\n(?:  .*\n)+"
    r"ArithmeticError: this initializer fails on purpose\n"
)
END_SECONDS = 10.0


def leftovers() -> list[int]:
    """Processes that outlive the storm, a moment after its end."""
    deadline = time.monotonic() + END_SECONDS
    while (left := processes()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left
