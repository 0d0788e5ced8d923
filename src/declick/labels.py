"""Audacity label tracks, out and in: the list of clicks that a person can see and edit."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from declick.clicks import Click, Kind, disjoint_clicks
from declick.errors import LabelError, WriteError
from declick.wording import count_of

TICK_LONGEST_MS = 0.6
POP_LONGEST_MS = 10.0

_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")
_CHANNEL = re.compile(r"(?i:ch|channel)(\d{1,9})")
_CONFIDENCE = re.compile(r"[01]([.,]\d+)?")
# What a text begins with that is not UTF-8; the longer first, since they begin alike.
_MARKS = (
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_NAMED_CHANNELS = {"L": 0, "R": 1, "left": 0, "right": 1, "Left": 0, "Right": 1}


@contextmanager
def renamed_when_done(path: str | Path, what: str) -> Iterator[TextIO]:
    """Open a text file that gets its name only once it is whole.

    Parameters
    ----------
    path : str or Path
        The final name; whatever is there stays as it was unless the block succeeds.
    what : str
        What is written, for the error text ("the labels").

    Raises
    ------
    WriteError
        Where the file cannot be written.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.part")
    try:
        try:
            with partial.open("w", encoding="utf-8", newline="\n") as file:
                yield file
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise WriteError(
            f"{path}: cannot write {what} ({reason}); choose a folder with room and permission"
        ) from error


def channel_name(channel: int, channels: int | None) -> str:
    """Return ``L`` or ``R`` for stereo, ``ch3`` (counted from 1) beyond it, nothing for mono.

    `channels` is the number of channels of the recording; None where it is not known.
    """
    if channels == 1:
        return ""
    if channel < 2 and (channels is None or channels == 2):
        return "LR"[channel]
    return f"ch{channel + 1}"


def parse_channel(word: str) -> int | None:
    """Return the channel (from 0) that `word` names (``L``, ``right``, ``ch3``), or None."""
    if word in _NAMED_CHANNELS:
        return _NAMED_CHANNELS[word]
    match = _CHANNEL.fullmatch(word)
    return int(match[1]) - 1 if match and int(match[1]) > 0 else None


def write_labels(
    path: str | Path,
    clicks: Iterable[Click],
    sample_rate: int,
    *,
    channels: int | None = None,
) -> int:
    """Write clicks as an Audacity label track (File > Import > Labels).

    One line a click: start and end of the core in seconds, then the kind, the channel, the
    confidence and, where there is a tail, its length in seconds: ``pop R 0.71 tail=0.045000``.
    Times have six decimals, more where the sample rate needs them, so `read_labels` gets back
    the same frames.

    Parameters
    ----------
    path : str or Path
        Written under a temporary name, then renamed.
    clicks : iterable of Click
    sample_rate : int
        Frames per second.
    channels : int, optional
        Channels of the recording: 1 leaves the channel out of the text, more than 2 number it
        (``ch3``). When it is not known the first two are called L and R.

    Returns
    -------
    int
        How many labels were written.

    Raises
    ------
    WriteError
        Where the file cannot be written.
    """
    # Half a unit of the last decimal must stay well under half a frame.
    decimals = max(6, math.ceil(math.log10(4 * sample_rate)))
    ascending = sorted(clicks)
    with renamed_when_done(path, "the labels") as file:
        for click in ascending:
            words = [click.kind.value, channel_name(click.channel, channels)]
            words.append(f"{click.confidence:.2f}")
            if click.tail > click.stop:
                words.append(f"tail={(click.tail - click.stop) / sample_rate:.{decimals}f}")
            start, stop = click.start / sample_rate, click.stop / sample_rate
            text = " ".join(word for word in words if word)
            file.write(f"{start:.{decimals}f}\t{stop:.{decimals}f}\t{text}\n")
    return len(ascending)


@dataclass(frozen=True)
class _Text:
    """What the text of a label says; None where it says nothing."""

    kind: Kind | None = None
    channel: int | None = None
    confidence: float = 1.0
    tail_s: float = 0.0


def read_labels(
    path: str | Path,
    *,
    sample_rate: int,
    frames: int,
    channels: int,
    point_ms: float = 0.5,
) -> list[Click]:
    """Read the clicks that a label track marks.

    The edges are those of the label, to the frame. Text in the form of `write_labels` sets kind,
    channel, confidence and tail; words after it are a note. Any other text, or none, marks all
    channels, surely (confidence 1), with the kind that its length suggests. A point label is a
    click `point_ms` wide around the point (or, with ``tail=``, a click without a core). The tail
    follows the end of a label that was moved, and is cut at the end of the sound.

    Windows line ends, a byte-order mark, decimal commas, blank lines and the frequency lines of
    spectral labels are all understood.

    Parameters
    ----------
    path : str or Path
    sample_rate : int
        Frames per second of the recording that the labels belong to.
    frames, channels : int
        Its length and channels.
    point_ms : float
        Width of a point label, ms.

    Returns
    -------
    list of Click
        Ascending; on each channel the spans ``[start, tail)`` are disjoint (`disjoint_clicks`).

    Raises
    ------
    LabelError
        With the line, where the labels cannot be understood or lie outside the sound.
    """
    path = Path(path)
    clicks: list[Click] = []
    labels = 0
    for line_number, line in enumerate(_lines_of(path), start=1):
        if not line.strip() or line.startswith("\\"):
            continue
        labels += 1
        where = f"{path}:{line_number}"
        start_s, stop_s, words = _fields(line, where)
        end_s = frames / sample_rate
        _check_order(start_s, stop_s, where)
        # Beyond the end by far, a time may be too large to round.
        if stop_s > end_s + 1.0 or round(stop_s * sample_rate) > frames:
            reached = f"{stop_s:.3f}" if stop_s < 1e9 else f"{stop_s:g}"
            raise LabelError(
                f"{where}: the label reaches {reached} s and the sound ends at {end_s:.3f} s; "
                "take the labels of this recording or move the label"
            )
        start, stop = round(start_s * sample_rate), round(stop_s * sample_rate)
        text = _parse_text(words, where)
        tail = min(stop + round(min(text.tail_s, end_s) * sample_rate), frames)
        if start == stop and tail == stop:
            width = max(1, round(point_ms * 1e-3 * sample_rate))
            start = max(0, min(start - width // 2, frames - width))
            stop = tail = min(start + width, frames)
        kind = text.kind or _kind_of_length((stop - start) * 1e3 / sample_rate)
        if text.channel is not None and text.channel >= channels:
            name = channel_name(text.channel, None)
            raise LabelError(
                f"{where}: the label names channel {name} and the sound has "
                f"{count_of(channels, 'channel')}; "
                "take the labels of this recording or change the text"
            )
        marked = range(channels) if text.channel is None else (text.channel,)
        clicks += [Click(start, stop, tail, c, text.confidence, kind) for c in marked]
    if not labels:
        raise LabelError(f"{path}: there are no labels in it; export the label track again")
    return disjoint_clicks(clicks)


def read_regions(path: str | Path) -> list[tuple[float, float, str]]:
    """Read a label track as it stands: start and end in seconds, and the text of each label.

    Raises
    ------
    LabelError
        With the line, where it cannot be understood, or if it is empty.
    """
    path = Path(path)
    regions = []
    for line_number, line in enumerate(_lines_of(path), start=1):
        if line.strip() and not line.startswith("\\"):
            where = f"{path}:{line_number}"
            start_s, stop_s, words = _fields(line, where)
            _check_order(start_s, stop_s, where)
            regions.append((start_s, stop_s, " ".join(words)))
    if not regions:
        raise LabelError(f"{path}: there are no labels in it; export the label track again")
    return regions


def _check_order(start_s: float, stop_s: float, where: str) -> None:
    """Refuse a label that no sound can have."""
    if start_s < 0 or stop_s < start_s:
        fault = "starts before the sound" if start_s < 0 else "ends before it starts"
        raise LabelError(f"{where}: the label {fault}; move it or delete the line")


def _lines_of(path: Path) -> list[str]:
    """Return the lines of the file, in the encodings and with the line ends that editors save."""
    try:
        with path.open("rb") as file:
            data = file.read(4096)
            encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
            if b"\0" in data and encoding == "utf-8":
                raise LabelError(f"{path}: not a text file; give an Audacity label track (.txt)")
            data += file.read()
    except FileNotFoundError as error:
        raise LabelError(f"{path}: no such file; check the name of the label track") from error
    except OSError as error:
        raise LabelError(
            f"{path}: cannot be read ({error.strerror}); check the name and permissions"
        ) from error
    text = data.decode(encoding, errors="replace").removeprefix("\ufeff")
    # Not splitlines(), which also splits at characters that a remark may hold.
    return re.split(r"\r\n|\r|\n", text)


def _fields(line: str, where: str) -> tuple[float, float, list[str]]:
    """Split a line into start, stop (s) and the words of its text."""
    first, *rest = [part.strip() for part in line.split("\t")]
    start = _number(first)
    # Audacity reads a single time with text behind it as a point label.
    if start is not None and len(rest) < 2 and not re.match(r"[\d+.,-]", "".join(rest)):
        return start, start, "".join(rest).split()
    stop = _number(rest[0]) if rest else None
    if start is None or stop is None:
        bad = first if start is None or not rest else rest[0]
        raise LabelError(
            f"{where}: {bad[:40]!r} is not a time in seconds; "
            "a label is start, tab, end, tab, text (or delete the line)"
        )
    return start, stop, " ".join(rest[1:]).split()


def _number(text: str) -> float | None:
    """Return a finite number, with a decimal point or comma, or None."""
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text.replace(",", "."))
    return value if math.isfinite(value) else None


def _parse_text(words: list[str], where: str) -> _Text:
    """Read kind, channel, confidence and tail, in this order, each of which may be missing."""
    left = list(words)
    kind = channel = None
    confidence, tail_s = 1.0, 0.0
    if left and left[0].lower() in set(Kind):
        kind = Kind(left.pop(0).lower())
    if left and parse_channel(left[0]) is not None:
        channel = parse_channel(left.pop(0))
    if (kind or channel is not None) and left and _CONFIDENCE.fullmatch(left[0]):
        confidence = min(1.0, float(left.pop(0).replace(",", ".")))
    if left and left[0].startswith("tail="):
        value = _number(left[0].removeprefix("tail="))
        if value is None or value < 0:
            raise LabelError(
                f"{where}: {left[0][:40]!r} is not a tail; write its seconds, as in tail=0.045"
            )
        tail_s = value
        left.pop(0)
    # "L is bad" is a person's remark, not a channel: without a kind all words must be ours.
    if left and kind is None:
        return _Text()
    return _Text(kind, channel, confidence, tail_s)


def _kind_of_length(length_ms: float) -> Kind:
    if length_ms <= TICK_LONGEST_MS:
        return Kind.TICK
    return Kind.POP if length_ms <= POP_LONGEST_MS else Kind.DROPOUT
