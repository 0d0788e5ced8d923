"""Numbers of things, and times, in words for a person."""

from __future__ import annotations

from collections.abc import Mapping


def count_of(number: int, noun: str) -> str:
    """Return ``1 click``, ``3000 clicks``, ``2 scratches`` or ``4 crackle``."""
    return f"{number} {plural(noun, number)}"


def listed(values: Mapping[str, float]) -> str:
    """Return ``events 0.034, cores 0.21``."""
    return ", ".join(f"{name} {value:.3g}" for name, value in values.items())


def plural(noun: str, number: int) -> str:
    """Return a noun as it stands behind a number."""
    if number == 1 or noun == "crackle":
        return noun
    if noun.endswith("y"):
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("ch", "s")) else "s")


def format_time(time_s: float) -> str:
    """Return ``m:ss.mmm``, or ``h:mm:ss.mmm`` from an hour on."""
    milliseconds = round(time_s * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    seconds = f"{rest // 1000:02d}.{rest % 1000:03d}"
    if minutes < 60:
        return f"{minutes}:{seconds}"
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds}"
