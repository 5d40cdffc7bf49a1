"""The storm's process: `run.py` starts it, and looks at what it leaves behind.

Exits 0 only if every call ended once, with a value or an error that the storm explains, and nothing was left.
"""

import argparse
import faulthandler
import json
import resource
import sys
import tempfile

from ledger import Ledger


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("settings", help="as JSON; see run.py")
    settings = argparse.Namespace(**json.loads(parser.parse_args().settings))
    # Workers crash on purpose.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.enable()
    with tempfile.TemporaryDirectory(prefix="plait-chaos-") as folder:
        ledger = Ledger(folder)
        # Only now: tasks open the ledger where they are imported.
        import life

        return life.run(settings, ledger)


if __name__ == "__main__":
    sys.exit(main())
