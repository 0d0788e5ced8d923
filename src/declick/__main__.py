"""Run the command line: ``python -m declick``."""

from declick.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
