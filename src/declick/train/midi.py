"""Standard MIDI files: what is in them, silencing some of their channels, writing short ones.

Source: Standard MIDI Files 1.0, MIDI Manufacturers Association.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from declick.errors import ReadError

DRUM_CHANNEL = 9
TICKS_PER_BEAT = 480

_NOTE_OFF, _NOTE_ON, _PROGRAM = 0x80, 0x90, 0xC0
_META, _END = 0xFF, 0x2F


@dataclass(frozen=True, kw_only=True)
class Score:
    """What a MIDI file asks for.

    Parameters
    ----------
    programs : dict of int to frozenset of int
        Channel to General MIDI programs (from 0) that it plays notes with; the drum channel is 9.
    notes : int
    hanging : bool
        A note begins that never ends: a synthesizer would hold it forever.
    """

    programs: dict[int, frozenset[int]]
    notes: int
    hanging: bool


def read_score(data: bytes) -> Score:
    """Read what a MIDI file asks for.

    Raises
    ------
    ReadError
        If it is not a MIDI file, or is cut short.
    """
    events = sorted(_channel_events(data))
    program = dict.fromkeys(range(16), 0)
    used: dict[int, set[int]] = {}
    sounding: set[tuple[int, int]] = set()
    notes = 0
    for _, _, position, status, _ in events:
        kind, channel = status & 0xF0, status & 0x0F
        if kind == _PROGRAM:
            program[channel] = data[position]
        elif kind == _NOTE_ON and data[position + 1] > 0:
            used.setdefault(channel, set()).add(program[channel])
            sounding.add((channel, data[position]))
            notes += 1
        elif kind in (_NOTE_OFF, _NOTE_ON):
            sounding.discard((channel, data[position]))
    # Drums die away by themselves.
    hanging = any(channel != DRUM_CHANNEL for channel, _ in sounding)
    programs = {channel: frozenset(values) for channel, values in sorted(used.items())}
    return Score(programs=programs, notes=notes, hanging=hanging)


def mute(data: bytes, channels: Collection[int]) -> bytes:
    """Return the file with the notes of some channels silenced, all else in its place."""
    result = bytearray(data)
    for _, _, position, status, _ in _channel_events(data):
        if status & 0xF0 == _NOTE_ON and status & 0x0F in channels:
            result[position + 1] = 0
    return bytes(result)


def move(data: bytes, channel: int, target: int) -> bytes:
    """Return the file with one channel's events in another, which must be free."""
    result = bytearray(data)
    for _, _, _, status, said_at in _channel_events(data):
        if status & 0x0F == channel and said_at:
            result[said_at] = status & 0xF0 | target
    return bytes(result)


@dataclass(frozen=True, kw_only=True, order=True)
class Note:
    """One note to write.

    Parameters
    ----------
    start_s, stop_s : float
    channel, key, velocity : int
    """

    start_s: float
    stop_s: float
    channel: int
    key: int
    velocity: int


def write_notes(notes: Iterable[Note], programs: dict[int, int]) -> bytes:
    """Return a MIDI file of one track at 120 beats a minute.

    Parameters
    ----------
    notes : iterable of Note
    programs : dict of int to int
        Channel to program, both from 0.
    """
    ticks_per_s = 2 * TICKS_PER_BEAT
    events = [(0, 0, bytes((_PROGRAM | channel, program))) for channel, program in programs.items()]
    for note in notes:
        start, stop = round(note.start_s * ticks_per_s), round(note.stop_s * ticks_per_s)
        on = bytes((_NOTE_ON | note.channel, note.key, note.velocity))
        off = bytes((_NOTE_OFF | note.channel, note.key, 0))
        events += [(start, 2, on), (max(stop, start + 1), 1, off)]
    track = bytearray()
    last = 0
    for tick, _, event in sorted(events):
        track += _variable(tick - last) + event
        last = tick
    track += bytes((0, _META, _END, 0))
    header = (6).to_bytes(4, "big") + (0).to_bytes(2, "big") + (1).to_bytes(2, "big")
    header += TICKS_PER_BEAT.to_bytes(2, "big")
    return b"MThd" + header + b"MTrk" + len(track).to_bytes(4, "big") + bytes(track)


def _variable(value: int) -> bytes:
    """Return a number in groups of seven bits."""
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(0x80 | value & 0x7F)
    return bytes(reversed(groups))


def _channel_events(data: bytes) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield all channel events.

    Each as ``(tick, track, position of the first data byte, status, position of the status)``; the
    last is 0 where the status is that of the event before.
    """
    if data[:4] != b"MThd":
        raise ReadError("not a MIDI file: it does not begin with MThd")
    position, track = 8 + int.from_bytes(data[4:8], "big"), 0
    try:
        while position + 8 <= len(data):
            length = int.from_bytes(data[position + 4 : position + 8], "big")
            if data[position : position + 4] == b"MTrk":
                yield from _track_events(data, position + 8, position + 8 + length, track)
                track += 1
            position += 8 + length
    except IndexError:
        raise ReadError("the MIDI file is cut short") from None


def _track_events(
    data: bytes, position: int, stop: int, track: int
) -> Iterator[tuple[int, int, int, int, int]]:
    tick = status = 0
    while position < stop:
        delta, position = _read_variable(data, position)
        tick += delta
        said_at = 0
        if data[position] & 0x80:
            status, said_at = data[position], position
            position += 1
        if status == _META:
            length, position = _read_variable(data, position + 1)
            position += length
        elif status >= 0xF0:
            length, position = _read_variable(data, position)
            position += length
        else:
            yield tick, track, position, status, said_at
            position += 1 if status & 0xF0 in (_PROGRAM, 0xD0) else 2


def _read_variable(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    while True:
        byte = data[position]
        position += 1
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            return value, position
