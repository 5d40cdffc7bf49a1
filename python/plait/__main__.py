"""`python -m plait`, and the entry of the command `plait`: both are `main`."""

import sys

from plait._cli import main

if __name__ == "__main__":
    sys.exit(main())
