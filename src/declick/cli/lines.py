"""Lines for a person."""

from __future__ import annotations

import re
import sys


def one_line(text: str) -> str:
    """Return text in which nothing breaks the line or steers the terminal."""
    visible = re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", lambda m: ascii(m[0])[1:-1], text)
    return visible.encode("utf-8", "backslashreplace").decode("utf-8")


def say(text: str, *, quiet: bool = False) -> None:
    """Print a line for a person, on standard error, so that output can be piped."""
    # With standard error closed, print() would take standard output, where the sound may go.
    if not quiet and sys.stderr is not None:
        bars = sys.modules.get("tqdm")  # slow to import, and a bar that is shown has done it
        write = bars.tqdm.write if bars else print
        write(one_line(text), file=sys.stderr)
