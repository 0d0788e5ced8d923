"""The command line: ``declick restore | detect | repair | undo | inspect | demo``."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import NoReturn

from declick.cli.lines import say
from declick.errors import DeclickError, SettingsError

# Set it to see where a fault of the program lies.
_TRACEBACK = "DECLICK_TRACEBACK"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Returns
    -------
    int
        0 if all went well, 1 if anything failed, 2 for arguments that make no sense, 130 if the
        run was interrupted.
    """
    try:
        with _polite_kill():
            # Imported here, since it takes a second, in which one may press Ctrl-C.
            from declick.cli.parser import as_flags, build_parser
            from declick.parallel import keep_memory

            keep_memory()
            words = as_flags(sys.argv[1:] if arguments is None else arguments)
            options = build_parser(words).parse_args(words)
            status: int = options.run(options)
            return status
    except DeclickError as error:
        say(f"declick: {error}")
        return 2 if isinstance(error, SettingsError) else 1
    except KeyboardInterrupt:
        say("declick: interrupted; nothing half-written is left")
        return 130
    except MemoryError:
        say("declick: the memory is used up; try --jobs 1, or free some")
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        say(f"declick: {where}{error.strerror or error}; free space, or check the permissions")
    except Exception as error:
        if os.environ.get(_TRACEBACK):
            raise
        say(
            f"declick: {type(error).__name__}: {error}; this is a fault of declick: please report "
            f"it, with what {_TRACEBACK}=1 shows"
        )
    return 1


@contextlib.contextmanager
def _polite_kill() -> Iterator[None]:
    """Treat a polite kill, or the end of the terminal, like Ctrl-C: clean up, then go."""
    previous = {}
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # What nohup has told to ignore stays ignored; only the main thread may ask.
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            with contextlib.suppress(ValueError):
                previous[number] = signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
