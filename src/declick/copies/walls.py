"""A mono record played in stereo: the two walls of its groove are two copies of one music."""

from __future__ import annotations

from typing import Final

import numpy as np

from declick.clicks import FloatArray
from declick.copies.guide import HOP_S, Matching
from declick.copies.lay import Copy, outside
from declick.errors import SettingsError
from declick.read import Recording

# Places that are listened to, each so long.
PROBES: Final = 16
PROBE_S: Final = 1.2
# Sound beside it, for the filters.
BESIDE_S: Final = 2 * HOP_S + 0.1
# Taken for mono by itself: one channel matched to the other leaves less than this, in dB ...
MONO_DB: Final = -20.0
# ... at this share of the places where there is music.
MONO_SHARE: Final = 0.85
# Asked for, this much is enough at half of them.
ASKED_DB: Final = -10.0
# Sure to be mono: what is left is the grooves' own noise. It is steady where the music is not: of
# its levels, cell by cell, at most a tenth lie further below the median than this, and above.
STEADY_DB: Final = (2.5, 4.0)
# Less than this is not music, and tells nothing; channels that differ by less are one.
_QUIET: Final = 10**-2.5
_SAME: Final = 1e-4


def find_walls(recording: Recording, *, asked: bool = False) -> Copy | None:
    """Return the other walls as a copy, None where the channels are not two views of one music.

    Parameters
    ----------
    recording : Recording
    asked : bool
        Whether the user says that it is a mono record.

    Raises
    ------
    SettingsError
        Where the user says so, and it cannot be.
    """
    if recording.channels != 2:
        if asked:
            raise SettingsError(
                f"{recording.name}: has {recording.channels} channel(s); --mono-record is for a "
                "mono record that was digitized in stereo"
            )
        return None
    left: list[float] = []
    noise_db: list[FloatArray] = []
    places = _places(recording)
    for place in places:
        probe = _probe(recording, place)
        if probe is not None:
            left.append(probe[0])
            noise_db.append(probe[1])
        # So much of it is left at so many places that what is left at the others decides nothing.
        apart = sum(value > MONO_DB for value in left)
        if not asked and apart > (1.0 - MONO_SHARE) * (len(places) - 1) + 1.0:
            return None
    known = np.array(left)
    if asked and (not known.size or np.median(known) > ASKED_DB):
        how = f"{np.median(known):.0f} dB are left" if known.size else "nothing is left to compare"
        raise SettingsError(
            f"{recording.name}: the channels hold different music ({how} of one without the "
            "other), or the very same; restore it without --mono-record"
        )
    if not asked and (known.size < 3 or np.quantile(known, MONO_SHARE) > MONO_DB):
        return None
    return Copy(
        sound=recording,
        number=0,
        name="the other wall",
        held=((0, recording.frames),),
        crossed=True,
        certain=asked or _is_steady(np.concatenate(noise_db)),
    )


def holds_one_music(recording: Recording) -> bool:
    """Return whether all channels of a recording are views of one music, or the very same."""
    if recording.channels == 1 or find_walls(recording) is not None:
        return True
    length = round(PROBE_S * recording.sample_rate)
    probes = (recording.read(start, start + length) for start in _places(recording))
    return all(
        float(np.ptp(sound, axis=1).max(initial=0.0)) <= _SAME * float(np.abs(sound).max(initial=0))
        for sound in probes
    )


def _places(recording: Recording) -> list[int]:
    length = round(PROBE_S * recording.sample_rate)
    count = max(1, min(PROBES, recording.frames // max(length, 1)))
    step = max(recording.frames - length, 0) / max(count - 1, 1)
    return [round(index * step) for index in range(count)]


def _is_steady(level_db: FloatArray) -> bool:
    low, middle, high = np.quantile(level_db, (0.1, 0.5, 0.9))
    return bool(middle - low < STEADY_DB[0] and high - middle < STEADY_DB[1])


def _probe(recording: Recording, start: int) -> tuple[float, FloatArray] | None:
    """Return what one channel leaves of the other at a place; None where that tells nothing.

    Returns
    -------
    left_db : float
        Relative to the music.
    noise_db : ndarray of float64, shape (cells,)
        Level of what is left, clicks and slow swings not counted.
    """
    rate = recording.sample_rate
    beside = round(BESIDE_S * rate)
    length = min(round(PROBE_S * rate), recording.frames)
    sound = recording.read(start - beside, start + length + beside)
    inner = sound[beside : beside + length]
    level = float(np.sqrt(np.mean(inner**2)))
    apart = float(np.sqrt(np.mean((inner[:, 0] - inner[:, 1]) ** 2)))
    if level < _QUIET or apart < _SAME * level:
        return None
    absent = outside(start - beside, start + length + beside, recording.frames)
    target, other = (np.ascontiguousarray(sound[:, channel]) for channel in (0, 1))
    matching = Matching(target, other, absent, absent, start=start - beside, sample_rate=rate)
    guide = matching.guide((beside, beside + length))
    if not guide.held.any():
        return None
    # The median over short cells: clicks of either wall do not count.
    cell = max(1, round(0.01 * rate))
    count = length // cell
    music = guide.samples[: count * cell].reshape(count, cell)
    rest = (target[beside : beside + length] - guide.samples)[: count * cell]
    left, full = np.sum(rest.reshape(count, cell) ** 2, axis=1), np.sum(music**2, axis=1)
    loud = full > 0.1 * np.mean(full)
    hiss = np.median(np.diff(rest, prepend=0.0).reshape(count, cell) ** 2, axis=1)
    left_db = float(10.0 * np.log10(np.median(left[loud] / full[loud]) + 1e-12))
    return left_db, 10.0 * np.log10(hiss + 1e-14)
