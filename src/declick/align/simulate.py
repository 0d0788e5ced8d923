"""A simulated second copy of a record, with its exact time map: for tests and measurements."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from declick.align.resample import sample_at
from declick.clicks import FloatArray


@dataclass(frozen=True, kw_only=True)
class Turntable:
    """How a second player turns, in time of the first one.

    Parameters
    ----------
    speed : float
        1.02 plays 2 % too fast.
    start_s : float
        Where in the first recording the second one begins.
    wow, wow_hz, wow_phase : float
        Peak deviation of speed (0.002: 0.2 %), once per turn of the disc (33⅓: 0.556 Hz), and the
        phase at the beginning in radians.
    flutter, flutter_hz, flutter_phase : float
        Likewise, from motor and belt.
    drift : float
        Change of speed over a minute.
    """

    speed: float = 1.0
    start_s: float = 0.0
    wow: float = 0.0
    wow_hz: float = 100 / 3 / 60
    wow_phase: float = 0.0
    flutter: float = 0.0
    flutter_hz: float = 7.3
    flutter_phase: float = 1.0
    drift: float = 0.0

    def heard_at(self, time_s: FloatArray) -> FloatArray:
        """Return the time in the first recording of what the second has at `time_s`."""
        turned = time_s + self.drift * time_s**2 / 120.0
        for depth, rate_hz, phase in self._swings():
            angle = 2 * np.pi * rate_hz
            turned = turned + depth / angle * (np.sin(angle * time_s + phase) - np.sin(phase))
        return self.start_s + self.speed * turned

    def speed_at(self, time_s: FloatArray) -> FloatArray:
        """Return the derivative of `heard_at`."""
        speed = 1.0 + self.drift * time_s / 60.0
        for depth, rate_hz, phase in self._swings():
            speed = speed + depth * np.cos(2 * np.pi * rate_hz * time_s + phase)
        return self.speed * speed

    def where(self, time_s: FloatArray) -> FloatArray:
        """Return the time in the second recording of what the first has at `time_s`."""
        found = (np.asarray(time_s, dtype=np.float64) - self.start_s) / self.speed
        for _ in range(30):
            found = found - (self.heard_at(found) - time_s) / self.speed_at(found)
        return found

    def _swings(self) -> tuple[tuple[float, float, float], ...]:
        return (
            (self.wow, self.wow_hz, self.wow_phase),
            (self.flutter, self.flutter_hz, self.flutter_phase),
        )


def second_copy(
    sound: FloatArray,
    sample_rate: float,
    turntable: Turntable,
    duration_s: float,
    second_rate: float | None = None,
) -> FloatArray:
    """Play `sound` on another turntable.

    Parameters
    ----------
    sound : ndarray, shape (frames, channels)
        The first recording; silent outside.
    sample_rate : float
        Of it, in Hz.
    turntable : Turntable
    duration_s : float
        Of the result.
    second_rate : float, optional
        Its sample rate; by default the same.

    Returns
    -------
    ndarray, shape (frames, channels)
    """
    second_rate = second_rate or sample_rate
    time_s = np.arange(round(duration_s * second_rate)) / second_rate
    positions = turntable.heard_at(time_s) * sample_rate
    speed = turntable.speed_at(time_s) * sample_rate / second_rate
    return sample_at(sound, positions, 1.0 / np.maximum(speed, 1.0))
