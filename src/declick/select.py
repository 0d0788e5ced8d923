"""Choose clicks of a report, for undo."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from declick.clicks import Kind
from declick.errors import SettingsError
from declick.labels import parse_channel
from declick.report import Entry, Report

_TIME = re.compile(r"(?:(?:(\d{1,9}):)?(\d{1,9}):)?(\d{1,9}(?:\.\d*)?)\s*s?")
_MOST_DIGITS = 19


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which clicks: those that meet every criterion given; within one, any of its values.

    Parameters
    ----------
    numbers : tuple of (first, last)
        Ranges of numbers as the report counts them (from 1), both ends included.
    between : tuple of (from, to)
        Stretches in seconds; a click counts if its core touches one.
    kinds : tuple of Kind
    channels : tuple of int
        Counted from 0.
    methods : tuple of str
    confidence_below : float or None
        Only clicks with less confidence than this.

    Raises
    ------
    SettingsError
        Where no criterion is given.
    """

    numbers: tuple[tuple[int, int], ...] = ()
    between: tuple[tuple[float, float], ...] = ()
    kinds: tuple[Kind, ...] = ()
    channels: tuple[int, ...] = ()
    methods: tuple[str, ...] = ()
    confidence_below: float | None = None

    def __post_init__(self) -> None:
        lists = (self.numbers, self.between, self.kinds, self.channels, self.methods)
        if not any(lists) and self.confidence_below is None:
            raise SettingsError(
                "no clicks are chosen: give their numbers, --between, --kind, --channel, "
                "--by-method or --confidence-below"
            )
        if self.confidence_below is not None and not 0.0 <= self.confidence_below <= 1.0:
            raise SettingsError(
                f"confidence below {self.confidence_below}: it must be between 0 and 1"
            )

    @classmethod
    def parse(
        cls,
        *,
        clicks: str | None = None,
        between: str | Iterable[str] = (),
        kind: str | Iterable[str] = (),
        channel: str | Iterable[str] = (),
        method: str | Iterable[str] = (),
        confidence_below: float | None = None,
    ) -> Selection:
        """Understand what a person types; each may hold several values, with commas between.

        Parameters
        ----------
        clicks : str
            ``12,40-44``; ``40-`` is from 40 to the last.
        between : str or iterable of str
            ``1:32-1:40``, ``92-100.5``, ``1:02:03.5-1:02:04``, ``1:32-`` (to the end).
        kind, method : str or iterable of str
            ``thump``, ``tick,crackle``, ``ar``.
        channel : str or iterable of str
            ``L``, ``right``, ``ch3`` or ``3``, counted from 1.
        confidence_below : float

        Raises
        ------
        SettingsError
            With the words that were not understood.
        """
        return cls(
            numbers=tuple(_numbers(word) for word in _words(clicks or "")),
            between=tuple(_stretch(word) for word in _words(between)),
            kinds=tuple(_kind(word) for word in _words(kind)),
            channels=tuple(_channel(word) for word in _words(channel)),
            methods=tuple(_words(method)),
            confidence_below=confidence_below,
        )


def select(report: Report, selection: Selection) -> list[Entry]:
    """Return the entries that `selection` chooses, ascending, whether repaired or left alone.

    Raises
    ------
    SettingsError
        Where a number, channel, method or time is not in the report.
    """
    _check(report, selection)
    rate = report.source.sample_rate
    chosen = []
    for entry in report.entries:
        click = entry.click
        start_s, stop_s = click.start / rate, max(click.stop, click.start + 1) / rate
        if (
            _any(first <= entry.number <= last for first, last in selection.numbers)
            and _any(start_s <= end and stop_s > begin for begin, end in selection.between)
            and (not selection.kinds or click.kind in selection.kinds)
            and (not selection.channels or click.channel in selection.channels)
            and (not selection.methods or entry.method in selection.methods)
            and (
                selection.confidence_below is None or click.confidence < selection.confidence_below
            )
        ):
            chosen.append(entry)
    return chosen


def parse_time(text: str) -> float:
    """Return the seconds of ``92``, ``92.5 s``, ``1:32``, ``1:32.25`` or ``1:02:03``.

    Raises
    ------
    SettingsError
        Where it is none of these.
    """
    match = _TIME.fullmatch(text.strip())
    if match:
        hours, minutes, seconds = match[1], match[2], float(match[3])
        # After a colon, what counts sixty to the next one stays below sixty.
        if (minutes is None or seconds < 60) and (hours is None or int(minutes) < 60):
            return int(hours or 0) * 3600 + int(minutes or 0) * 60 + seconds
    raise SettingsError(f"{text!r} is not a time: write 92.5, 1:32.5 or 1:02:03.5")


def _any(matches: Iterable[bool]) -> bool:
    """Return whether any matches; a criterion without values lets everything through."""
    values = list(matches)
    return not values or any(values)


def _check(report: Report, selection: Selection) -> None:
    last = len(report.entries)
    for low, high in selection.numbers:
        beyond = high if high < _LAST else low
        if beyond > last:
            has = f"clicks 1 to {last}" if last else "no clicks"
            raise SettingsError(f"there is no click {beyond}: the report has {has}")
    for begin, _ in selection.between:
        if begin > report.source.duration_s:
            raise SettingsError(
                f"{begin:g} s is beyond the end: the sound is {report.source.duration_s:.3f} s long"
            )
    for channel in selection.channels:
        if channel >= report.source.channels:
            raise SettingsError(
                f"there is no channel {channel + 1}: the sound has {report.source.channels}"
            )
    if selection.methods:
        known = sorted({entry.method for entry in report.entries})
        for method in selection.methods:
            if method not in known:
                has = ", ".join(known) or "none"
                raise SettingsError(f"no click was mended by {method!r}: the report has {has}")


def _words(given: str | Iterable[str]) -> Sequence[str]:
    parts = [given] if isinstance(given, str) else list(given)
    return [word.strip() for part in parts for word in part.split(",") if word.strip()]


_LAST = 2**63


def _split_range(text: str) -> tuple[str, str | None]:
    """Split ``a-b`` (also with a dash); the end is None where there is no range."""
    first, dash, last = text.replace("–", "-").partition("-")
    return first.strip(), last.strip() if dash else None


def _numbers(text: str) -> tuple[int, int]:
    first, last = _split_range(text)
    ends = [first] if last is None else [first, last or str(_LAST)]
    # isdecimal alone would let other scripts' digits through, which is fine for int().
    numbers = all(end.isdecimal() and len(end) <= _MOST_DIGITS for end in ends)
    if not numbers or int(first) < 1:
        raise SettingsError(f"{text!r} is not a click's number: write 12 or 40-44, from 1 on")
    low, high = int(ends[0]), int(ends[-1])
    if high < low:
        raise SettingsError(f"{text!r} runs backwards: write {high}-{low}")
    return low, high


def _stretch(text: str) -> tuple[float, float]:
    first, last = _split_range(text)
    if last is None:
        raise SettingsError(f"{text!r} is not a stretch of time: write from-to, as in 1:32-1:40")
    begin, end = parse_time(first), parse_time(last) if last else math.inf
    if end < begin:
        raise SettingsError(f"{text!r} runs backwards: the later time comes second")
    return begin, end


def _kind(text: str) -> Kind:
    try:
        return Kind(text.lower())
    except ValueError as error:
        kinds = ", ".join(Kind)
        raise SettingsError(f"{text!r} is not a kind of click: choose one of {kinds}") from error


def _channel(text: str) -> int:
    channel = parse_channel(f"ch{text}" if text.isdecimal() else text)
    if channel is None:
        channel = parse_channel(text.upper())
    if channel is None:
        raise SettingsError(f"{text!r} is not a channel: write L, R or its number, from 1 on")
    return channel
