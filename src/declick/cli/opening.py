"""Open what the command line names."""

from __future__ import annotations

import sys
from typing import BinaryIO

from declick.errors import ReadError, SettingsError
from declick.read import Recording


def open_source(path: str) -> Recording:
    """Open a recording; ``-`` is standard input.

    Raises
    ------
    ReadError
        If it cannot be read.
    """
    if path != "-":
        return Recording.open(path)
    if sys.stdin.isatty():
        raise ReadError("standard input: it is a terminal; pipe a recording into it")
    return Recording.from_stream(sys.stdin.buffer)


def standard_output() -> BinaryIO:
    """Return standard output for sound.

    Raises
    ------
    SettingsError
        If a terminal would get it.
    """
    if sys.stdout.isatty():
        raise SettingsError("standard output is a terminal; pipe it on, or give -o FILE")
    return sys.stdout.buffer
