"""The bed of a silent groove: how loud it is, how well it is known, and clicks without it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfiltfilt

from declick.clicks import FloatArray
from declick.damage.cutting import bed_under
from declick.damage.shocks import Shocks

LEAD_S = 1.0e-3
# How far behind a shock its tail is looked for: only as far as the rumble can be told from it.
TAILS_S = (0.7e-3, 1.5e-3, 3e-3, 6e-3, 12e-3, 24e-3)
BED_TRIALS, OVER_BED = 16, 4.0
BED_HZ = 200.0


def bed_level(sound: FloatArray, rate: float) -> FloatArray:
    """Return the robust rms of each channel above the rumble (200 Hz)."""
    high = sosfiltfilt(butter(2, BED_HZ, "highpass", fs=rate, output="sos"), sound, axis=0)
    level: FloatArray = np.maximum(1.4826 * np.median(np.abs(high), axis=0), 1e-9)
    return level


def bed_errors(sound: FloatArray, shocks: Shocks, rate: int) -> FloatArray:
    """Return how well the rumble is known under a click and tails of `TAILS_S`.

    Returns
    -------
    ndarray, shape (tails, channels)
        Rms error of the slow part, tried where nothing happens.
    """
    errors = np.zeros((len(TAILS_S), sound.shape[1]))
    busy = np.concatenate(([0], np.cumsum(_marked(shocks, len(sound)))))
    step = max(1, round(1e-3 * rate))
    for number, tail_s in enumerate(TAILS_S):
        length = round(tail_s * rate)
        places = np.arange(0, len(sound) - length, step)
        clashes = busy[places + length] - busy[places]
        # The quietest places, spread over the stretch.
        parts = np.array_split(np.arange(places.size), BED_TRIALS)
        chosen = [int(places[part[np.argmin(clashes[part])]]) for part in parts if part.size]
        squares = []
        for place in chosen:
            error = [
                _slow(
                    sound[place : place + length, k]
                    - bed_under(sound[:, k], place, place + length, rate),
                    rate,
                )
                for k in range(sound.shape[1])
            ]
            squares.append([float(np.mean(wave**2)) for wave in error])
        errors[number] = np.sqrt(np.median(squares, axis=0)) if squares else np.inf
    return errors


def without_bed(
    sound: FloatArray, start: int, stop: int, after: int, beds: FloatArray, rate: int
) -> tuple[FloatArray, FloatArray]:
    """Return a click with its lead and tail without the rumble, and the rms of the error.

    The tail is as long as it stands out of what is not known of the rumble.
    """
    lead = round(LEAD_S * rate)
    gap = start - lead // 4
    latest = min(after - round(0.3e-3 * rate), len(sound))
    chosen: tuple[FloatArray, FloatArray] | None = None
    for number, tail_s in enumerate(TAILS_S):
        high = max(stop + 1, min(stop + round(tail_s * rate), latest))
        clip = np.stack(
            [
                sound[start - lead : high, k]
                - bed_under(sound[:, k], gap, high, rate, lead=lead - lead // 4)
                for k in range(sound.shape[1])
            ],
            axis=1,
        )
        if chosen is not None:
            early = max(0, stop - (start - lead)) + round(TAILS_S[number - 1] * 0.7 * rate)
            late = clip[early:]
            stands = [
                np.sqrt(np.mean(_slow(late[:, k], rate) ** 2)) > OVER_BED * beds[number, k]
                for k in range(clip.shape[1])
            ]
            if len(late) < 8 or not any(stands):
                break
        chosen = clip, beds[number]
        if high >= latest:
            break
    assert chosen is not None
    return chosen


def _marked(shocks: Shocks, frames: int) -> NDArray[np.int64]:
    steps = np.zeros(frames + 1, dtype=np.int64)
    np.add.at(steps, shocks.starts, 1)
    np.add.at(steps, shocks.stops, -1)
    return np.cumsum(steps)[:-1]


def _slow(wave: FloatArray, rate: int) -> FloatArray:
    """Return the medians of milliseconds."""
    step = max(1, round(1e-3 * rate))
    whole = wave[: wave.size // step * step]
    return np.median(whole.reshape(-1, step), axis=1) if whole.size else wave[:1]
