"""Calls in sub-interpreters: threads of this process, each with an interpreter and a GIL of its own.

`executor.py` is the pool, `check.py` says before a call what cannot be loaded there, `inside.py` is what runs
there, `byvalue.py` how functions of the script get there, `chunk.py` several calls that can be taken back
until they begin. Since plait's core cannot be loaded there either, nothing that `inside.py` imports may need
it.
"""

import sys


def check_version() -> None:
    """Raise what says why this Python cannot do it.

    Raises:
        ValueError: it is older than 3.14.

    """
    if sys.version_info < (3, 14):
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        raise ValueError(
            f"backend 'interpreters' needs Python 3.14 or newer, and this is {version}: use 'processes', "
            "which need the same of functions and data"
        )
