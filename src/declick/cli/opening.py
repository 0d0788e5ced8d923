"""Open what the command line names."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import BinaryIO

from declick.errors import ReadError, WriteError
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
    if sys.stdin is None:
        raise ReadError("standard input: it is closed; pipe a recording into it, or name a file")
    if sys.stdin.isatty():
        raise ReadError(
            "standard input: it is a terminal; pipe a recording into it, or name a file"
        )
    return Recording.from_stream(sys.stdin.buffer)


def open_target(output: str) -> Path | BinaryIO:
    """Return where the sound goes: a file, or standard output for ``-``.

    Raises
    ------
    WriteError
        If a terminal would get it.
    """
    if output != "-":
        return Path(output)
    if sys.stdout is None:
        raise WriteError("standard output: it is closed; give -o FILE")
    if sys.stdout.isatty():
        raise WriteError("standard output: it is a terminal; pipe it on, or give -o FILE")
    return sys.stdout.buffer


def jobs_for(recording: Recording, jobs: int) -> int:
    """Return how many processes are worth starting: a short piece is done before they are up."""
    return jobs if recording.duration_s >= 10.0 else 1
