"""Run one program: `python -m corpus NAME SECONDS`."""

import sys

from corpus import load

if __name__ == "__main__":
    load()[sys.argv[1]].run(float(sys.argv[2]))
