"""What a time map says of the two turntables: offset, speed, wow, flutter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.signal import detrend

from declick.align.model import HOLDS, Alignment
from declick.clicks import FloatArray

# Speeds of turning; wow is looked for at each, and a little beside it.
TURNS_HZ: Final = {"33⅓": 100 / 3 / 60, "45": 0.75, "78": 78.26 / 60}
_BESIDE: Final = 0.1
# A piece of the curve that wow is measured on.
_PIECE_S: Final = 20.0
_FLUTTER_HZ: Final = (4.0, 20.0)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A map in a few numbers.

    Parameters
    ----------
    offset_s : float
        Where in B the start of A is, in seconds of B; before its start if negative.
    speed : float
        How fast A runs, compared with B: 1.02 is 2 % faster.
    wow : float
        Peak deviation of speed at once per turn, both turntables together.
    turn_hz : float
        Turns in a second, by the deviation; NaN where none shows.
    drift : float
        Greatest less least speed over the map, without wow and flutter.
    flutter : float
        Peak deviation of speed from 4 to 20 Hz, taken as 1.4 times its rms value.
    null_db : float
        What is left of A after B is taken away, the median where the map holds.
    held_s : float
        Seconds of A where it holds.
    stretches_s : tuple of (float, float)
        Those, in seconds of A.
    swapped : bool
    gain_db : tuple of float
        B over A, for each channel.
    inverted : tuple of bool
        Whether the polarity is opposite, for each channel.
    """

    offset_s: float
    speed: float
    wow: float
    turn_hz: float
    drift: float
    flutter: float
    null_db: float
    held_s: float
    stretches_s: tuple[tuple[float, float], ...]
    swapped: bool
    gain_db: tuple[float, ...]
    inverted: tuple[bool, ...]


def summarize(alignment: Alignment) -> Summary:
    """Return a map in a few numbers."""
    rate = alignment.sample_rate_a
    holds = alignment.confidence >= HOLDS
    stretches = tuple((start / rate, stop / rate) for start, stop in alignment.stretches())
    # Where sound was cut, the longest stretch tells.
    longest = max(alignment.stretches(), key=lambda pair: pair[1] - pair[0], default=(0, 1))
    first = np.array([float(longest[0])])
    begins = float(alignment.where(first)[0] - first[0] * alignment.ratio)
    _, deviation, step_s = deviations(alignment)
    wow, turn_hz = _wow(deviation, step_s)
    gain = np.median(alignment.gain[holds] if holds.any() else alignment.gain, axis=0)
    null = alignment.residual_db[holds] if holds.any() else alignment.residual_db
    return Summary(
        offset_s=begins / alignment.sample_rate_b,
        speed=alignment.speed,
        wow=wow,
        turn_hz=turn_hz,
        drift=_drift(deviation, step_s),
        flutter=_flutter(deviation, step_s),
        null_db=float(np.median(null)),
        held_s=sum(stop - start for start, stop in stretches),
        stretches_s=stretches,
        swapped=alignment.swapped,
        gain_db=tuple(float(20 * np.log10(abs(g) + 1e-9)) for g in gain),
        inverted=tuple(bool(g < 0) for g in gain),
    )


def deviations(alignment: Alignment, step_s: float = 0.02) -> tuple[FloatArray, FloatArray, float]:
    """Return times of A, how far the speed is off its mean there, and the step between them.

    Returns
    -------
    time_s, deviation : ndarray, shape (n,)
        Deviation NaN where the map does not hold.
    step_s : float
    """
    rate = alignment.sample_rate_a
    frames = np.arange(alignment.frames_a[0], alignment.frames_a[-1], step_s * rate)
    deviation = alignment.speed_at(frames) / alignment.ratio - 1.0
    sure = np.zeros(len(frames), dtype=bool)
    for start, stop in alignment.stretches():
        sure |= (frames >= start) & (frames < stop)
    return frames / rate, np.where(sure, deviation, np.nan), step_s


def _wow(deviation: FloatArray, step_s: float) -> tuple[float, float]:
    """Return the depth of wow and the speed of turning."""
    size = round(_PIECE_S / step_s)
    pieces = _steady(deviation, size)
    if not pieces:
        return float("nan"), float("nan")
    best = (0.0, float("nan"))
    length = len(pieces[0])
    angle = 2j * np.pi * np.arange(length) * step_s
    window = np.hanning(length)
    window /= window.sum() / 2
    for turn_hz in TURNS_HZ.values():
        beside = turn_hz * (1 + _BESIDE * np.linspace(-1, 1, 41))
        waves = np.exp(-np.outer(beside, angle)) * window
        depth = np.abs(waves @ np.stack([detrend(piece) for piece in pieces]).T).mean(axis=1)
        peak = int(np.argmax(depth))
        best = max(best, (float(depth[peak]), float(beside[peak])))
    return best


def _steady(deviation: FloatArray, size: int) -> list[FloatArray]:
    """Return pieces without a gap."""
    size = min(size, max(len(deviation) - 2, 0))
    if size < 200:
        return []
    starts = range(1, len(deviation) - size, size)
    pieces = [deviation[start : start + size] for start in starts]
    return [piece for piece in pieces if np.isfinite(piece).all()]


def _flutter(deviation: FloatArray, step_s: float) -> float:
    depth = []
    for piece in _steady(deviation, round(4.0 / step_s)):
        spectrum = np.abs(np.fft.rfft(detrend(piece) * np.hanning(len(piece)))) ** 2
        rates = np.fft.rfftfreq(len(piece), step_s)
        inside = (rates > _FLUTTER_HZ[0]) & (rates < _FLUTTER_HZ[1])
        # 3/8: the mean square of a Hann window.
        depth.append(2 * spectrum[inside].sum() / (0.375 * len(piece) ** 2))
    return float(np.sqrt(2 * np.median(depth))) if depth else float("nan")


def _drift(deviation: FloatArray, step_s: float) -> float:
    means = [float(piece.mean()) for piece in _steady(deviation, round(9.0 / step_s))]
    return max(means) - min(means) if means else float("nan")
