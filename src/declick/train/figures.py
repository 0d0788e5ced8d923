"""Lines and rhythms drawn for the instruments whose attacks are most like clicks."""

from __future__ import annotations

import numpy as np

from declick.train.midi import DRUM_CHANNEL, Note

# Keys of the General MIDI percussion map by how they are struck; rolls suit the dry ones.
DRY = (31, 37, 39, 58, 75, 76, 77, 85, 60, 61, 62, 65, 66, 67, 68)
RINGING = (33, 34, 53, 54, 56, 80, 81, 82, 69, 70, 73, 74, 71, 83)
KIT = (35, 36, 38, 40, 42, 44, 46, 49, 51, 41, 45, 48, 50, 57, 59)

# Lowest and highest key of a line, where General MIDI's instrument is not at home everywhere.
_RANGES = {9: (79, 103), 13: (65, 96), 14: (60, 77), 56: (55, 82), 57: (40, 70), 58: (29, 53)}
_SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9), tuple(range(12)))


def draw_line(rng: np.random.Generator, program: int, seconds: float) -> list[Note]:
    """Draw a line in channel 0: steps, leaps, repeated notes, runs, chords, rests.

    Parameters
    ----------
    rng : numpy.random.Generator
    program : int
        General MIDI, from 0; sets the range.
    seconds : float
    """
    low, high = _RANGES.get(program, (36, 60) if 32 <= program < 40 else (48, 84))
    scale, root = _SCALES[int(rng.integers(len(_SCALES)))], int(rng.integers(12))
    keys = [key for key in range(low, high + 1) if (key - root) % 12 in scale]
    beat, staccato = float(rng.uniform(0.25, 0.7)), float(rng.uniform(0.2, 1.1))
    at, place = 0.1, len(keys) // 2
    notes: list[Note] = []
    while at < seconds - 1.0:
        division = (1, 1, 2, 2, 3, 4, 6)[int(rng.integers(7))]
        count = int(rng.integers(1, 4)) * division
        step = beat / division
        manner = int(rng.integers(4))
        direction = int(rng.choice((-1, 1)))
        loudness = int(rng.integers(40, 120))
        for _ in range(count):
            if manner == 0:
                place += int(rng.integers(-2, 3))
            elif manner == 1:
                place += int(rng.integers(-6, 7))
            elif manner == 2:
                place += direction
            place = min(max(place, 0), len(keys) - 1)
            start = max(0.0, at + float(rng.normal(0.0, 0.004)))
            velocity = int(np.clip(loudness + rng.integers(-12, 13), 20, 127))
            heads = 1 + 2 * int(rng.random() < 0.12)
            for head in range(heads):
                key = keys[min(place + 2 * head, len(keys) - 1)]
                notes.append(_note(start, step * staccato, 0, key, velocity))
            at += step
        if rng.random() < 0.15:
            at += beat * int(rng.integers(1, 4))
    return notes


def draw_rhythm(rng: np.random.Generator, seconds: float) -> list[Note]:
    """Draw percussion of General MIDI: a repeated bar of a few instruments, then rolls and solos.

    Parameters
    ----------
    rng : numpy.random.Generator
    seconds : float
    """
    dry = rng.choice(DRY, 3, replace=False)
    others = rng.choice(RINGING + (KIT if rng.random() < 0.5 else DRY), 2, replace=False)
    keys = [int(key) for key in (*dry, *others)]
    step = float(rng.uniform(0.09, 0.2))
    patterns = {key: draw_bar(rng, 16) for key in keys}
    notes: list[Note] = []
    at = 0.1
    while at < seconds - 1.0:
        if rng.random() < 0.3:
            key, loudness = keys[int(rng.integers(3))], int(rng.integers(50, 120))
            apart = float(rng.uniform(0.04, 0.12))
            for _ in range(int(rng.integers(4, 24))):
                velocity = int(np.clip(loudness + rng.integers(-15, 16), 20, 127))
                notes.append(_note(at, 0.1, DRUM_CHANNEL, key, velocity))
                at += apart * float(rng.uniform(0.92, 1.08))
            at += float(rng.uniform(0.1, 0.8))
            continue
        playing = [key for key in keys if rng.random() < 0.7]
        for beat in range(16):
            for key in playing:
                if patterns[key][beat]:
                    late = max(0.0, float(rng.normal(0.004, 0.004)))
                    velocity = int(rng.integers(45, 115))
                    notes.append(_note(at + late, 0.1, DRUM_CHANNEL, key, velocity))
            at += step
    return [note for note in notes if note.start_s < seconds - 0.5]


def draw_bar(rng: np.random.Generator, steps: int) -> list[bool]:
    """Draw a rhythm whose beats lie as evenly as they can (Bjorklund's), turned.

    Parameters
    ----------
    rng : numpy.random.Generator
    steps : int
    """
    beats, turn = int(rng.integers(1, steps * 5 // 8 + 1)), int(rng.integers(steps))
    return [((step + turn) * beats) % steps < beats for step in range(steps)]


def _note(start_s: float, length_s: float, channel: int, key: int, velocity: int) -> Note:
    stop_s = start_s + max(length_s, 0.02)
    return Note(start_s=start_s, stop_s=stop_s, channel=channel, key=key, velocity=velocity)
