"""`python -m plait`, and the entry of the command `plait`: both are `main`."""

import sys


def main() -> int:
    """Run the command; `plait run` without loading what the other commands need."""
    if sys.argv[1:2] == ["run"]:
        from plait._run import main as run

        return run(sys.argv[2:])
    from plait._cli import main as command

    return command()


if __name__ == "__main__":
    sys.exit(main())
