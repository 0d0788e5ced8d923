"""A temporary file for what comes through a pipe, or cannot be sought in."""

from __future__ import annotations

import contextlib
import os
import tempfile
import weakref
from collections.abc import Callable, Iterator

from declick.errors import ReadError


def spool(
    owner: object,
    name: str,
    pieces: Iterator[bytes],
    *,
    closers: list[Callable[[], object]],
    give_up: Callable[[], None],
) -> str:
    """Write pieces to a temporary file, and return where it can be opened.

    Parameters
    ----------
    owner : object
        The file vanishes with it.
    name : str
        What error messages call the source of the pieces.
    pieces : iterator of bytes
    closers : list of callable
        Gets what makes the file vanish sooner.
    give_up : callable
        Called where there is no room.

    Raises
    ------
    ReadError
        Where there is no room.
    """
    try:
        descriptor, path = tempfile.mkstemp(prefix="declick-")
        with os.fdopen(os.dup(descriptor), "wb") as file:
            closers.append(weakref.finalize(owner, _discard, descriptor, path))
            source = f"/proc/{os.getpid()}/fd/{descriptor}"
            if os.path.exists(source):  # noqa: PTH110
                os.unlink(path)  # noqa: PTH108 - gone even if the process is killed
            else:
                source = path
            for piece in pieces:
                file.write(piece)
    except OSError as error:
        give_up()
        raise ReadError(
            f"{name}: cannot be kept in {tempfile.gettempdir()} while it is worked on "
            f"({error.strerror}); set TMPDIR to a directory with more space"
        ) from None
    return source


def _discard(descriptor: int, path: str) -> None:
    os.close(descriptor)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108
