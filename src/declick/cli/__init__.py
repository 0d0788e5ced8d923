"""The command line: ``declick restore | detect | repair | undo | inspect | demo``."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from declick.cli.parser import build_parser
from declick.errors import DeclickError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Returns
    -------
    int
        0 if all went well, 1 if anything failed, 2 for arguments that make no sense, 130 if the
        run was interrupted.
    """
    options = build_parser().parse_args(arguments)
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        status: int = options.run(options)
        sys.stdout.flush()
        return status
    except DeclickError as error:
        print(f"declick: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader of our output has gone; Python must not complain about it a second time.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("declick: interrupted; nothing half-written is left", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, previous)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """Treat a polite kill like Ctrl-C, so that temporary files are removed."""
    raise KeyboardInterrupt
