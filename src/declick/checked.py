"""Values of a file that anybody may have edited, checked one by one.

What does not hold is a `ValueError` that names the value: whoever reads the file adds its name and
a remedy.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath
from typing import Any, TypeVar

Value = TypeVar("Value")

# Far above any count of frames, and still a number that arrays can hold.
_MOST = 2**53
# Room for what is computed with it.
_LARGEST = 1e100
_SHOWN = 40


def shown(value: object) -> str:
    """Return a value as it would be written, cut where it is long."""
    try:
        text = ascii(value)
    except ValueError:  # more digits than Python writes
        return "a huge number"
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def table(value: Any, name: str) -> dict[str, Any]:
    """Return what must be an object."""
    return _of_type(dict, value, name, "an object")


def rows(value: Any, name: str) -> list[Any]:
    """Return what must be a list."""
    return _of_type(list, value, name, "a list")


def text(value: Any, name: str) -> str:
    """Return what must be text; JSON can hold halves of characters, which nothing can print."""
    string = _of_type(str, value, name, "text")
    try:
        string.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} is {shown(value)}: it must be text") from None
    return string


def flag(value: Any, name: str) -> bool:
    """Return what must be true or false."""
    return _of_type(bool, value, name, "true or false")


def whole(value: Any, name: str, *, least: int = 0) -> int:
    """Return what must be a whole number from `least` on."""
    if type(value) is not int or not least <= value <= _MOST:
        raise ValueError(f"{name} is {shown(value)}: it must be a whole number from {least} on")
    return value


def number(value: Any, name: str, low: float = -_LARGEST, high: float = _LARGEST) -> float:
    """Return what must be a number in a range, both ends included."""
    if type(value) not in (int, float):
        raise ValueError(f"{name} is {shown(value)}: it must be a number")
    if not low <= value <= high:
        raise ValueError(f"{name} is {shown(value)}: it must be between {low:g} and {high:g}")
    return float(value)


def file_name(value: Any, name: str) -> str:
    """Return what must be the name of a file, without folders."""
    string = text(value, name)
    if not string or "\0" in string or PurePath(string).name != string or string == "..":
        raise ValueError(f"{name} is {shown(value)}: it must be the name of a file")
    return string


def optional(check: Callable[[Any, str], Value], value: Any, name: str) -> Value | None:
    """Return what may be missing and is else as `check` wants it."""
    return None if value is None else check(value, name)


def _of_type(kind: type[Value], value: Any, name: str, wanted: str) -> Value:
    if not isinstance(value, kind):
        raise ValueError(f"{name} is {shown(value)}: it must be {wanted}")
    return value
