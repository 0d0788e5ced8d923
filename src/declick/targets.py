"""Whether files may be written where they are asked for: said before the work, not after it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from declick.errors import WriteError


def check_targets(
    targets: Iterable[Path], *, sources: Iterable[Path | None] = (), overwrite: bool = False
) -> list[Path]:
    """Refuse targets that cannot be written, or that would cost the user a file.

    Parameters
    ----------
    targets : iterable of Path
        All files that one run is to write.
    sources : iterable of (Path or None)
        All files that it reads; they are never written to, under whatever name.
    overwrite : bool
        Whether an existing file may be replaced.

    Returns
    -------
    list of Path
        The targets with symbolic links followed.

    Raises
    ------
    WriteError
        For the first that may not be written.
    """
    read = [path for path in sources if path is not None and path.exists()]
    resolved: list[Path] = []
    for target in targets:
        try:
            path = target.resolve()
        except (OSError, RuntimeError):  # a symbolic link to itself
            raise WriteError(f"{target}: this link leads nowhere; give another name") from None
        try:
            _check_target(target, path, read, overwrite)
        except OSError as error:
            reason = error.strerror or error
            raise WriteError(f"{target}: cannot be written ({reason}); give another name") from None
        if path in resolved:
            raise WriteError(f"{target}: is asked for twice; give the two files different names")
        resolved.append(path)
    return resolved


def _check_target(target: Path, path: Path, read: list[Path], overwrite: bool) -> None:
    if path.is_dir():
        raise WriteError(f"{target}: this is a directory; give the name of a file in it")
    if not path.parent.exists():
        raise WriteError(f"{target}: there is no directory {path.parent}; make it first")
    if not path.parent.is_dir():
        raise WriteError(f"{target}: {path.parent} is a file, not a directory; write elsewhere")
    if not os.access(path.parent, os.W_OK):
        raise WriteError(
            f"{target}: you may not write there; change the permissions or write elsewhere"
        )
    if not path.exists():
        return
    if any(path.samefile(source) for source in read):
        raise WriteError(
            f"{target}: this is a source, and sources are never written to; give another name"
        )
    if not path.is_file():
        raise WriteError(f"{target}: this is not a file; give '-' for standard output")
    if not overwrite:
        raise WriteError(f"{target}: exists already; give another name or --overwrite")
