"""Seeded damage with its truth: parameters are drawn first, then laid over clean music.

A particle in the groove gives the stylus a short push; the pick-up and the RIAA de-emphasis make
it longer. Widths, rings and thumps follow Godsill & Rayner, "Digital Audio Restoration" (1998), and
Esquef, Biscainho & Välimäki, "An efficient algorithm for the restoration of audio signals corrupted
with low-frequency pulses" (2003), with the ranges listed in docs/how-it-works.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from declick.clicks import Click, FloatArray, Kind

# Where the drawn damage falls below this share of the music's local level, the core has ended.
CORE_SHARE = 0.3
_LEVEL_WINDOW_S = 0.05


@dataclass(frozen=True, kw_only=True)
class Damage:
    """Everything that is needed to draw one click again.

    Parameters
    ----------
    time_s : float
        Onset.
    kind : Kind
    width_s : float
        Length of the push itself.
    level_db : float
        Its peak over the music's local rms level.
    left, right : float
        Share in each channel, -1..1: equal for a lateral push, opposite for a vertical one.
    shape : tuple of float
        Heights of the push's successive half-waves.
    ring_hz, ring_decay_s, ring_level_db : float
        A damped sinusoid behind the push; its level is relative to the push. ``ring_hz`` 0: none.
    thump_hz, thump_decay_s, thump_level_db : float
        A falling low-frequency swing behind the push, likewise.
    """

    time_s: float
    kind: Kind
    width_s: float
    level_db: float
    left: float = 1.0
    right: float = 1.0
    shape: tuple[float, ...] = (1.0,)
    ring_hz: float = 0.0
    ring_decay_s: float = 0.0
    ring_level_db: float = 0.0
    thump_hz: float = 0.0
    thump_decay_s: float = 0.0
    thump_level_db: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Chain:
    """What one turntable adds to each of its clicks."""

    ring_hz: float
    ring_decay_s: float
    thump_hz: float
    thump_decay_s: float
    hump_hz: float
    hump_decay_s: float


def draw_chain(rng: np.random.Generator) -> Chain:
    """Draw the constants of one playback chain."""
    return Chain(
        ring_hz=float(rng.uniform(2500.0, 5500.0)),
        ring_decay_s=float(rng.uniform(0.008, 0.014)),
        thump_hz=float(rng.uniform(60.0, 110.0)),
        thump_decay_s=float(rng.uniform(0.025, 0.05)),
        hump_hz=float(rng.uniform(12e3, 15e3)),
        hump_decay_s=float(rng.uniform(0.15e-3, 0.3e-3)),
    )


def draw_wear(
    rng: np.random.Generator,
    duration_s: float,
    *,
    chain: Chain | None = None,
    rates_hz: dict[Kind, float] | None = None,
    ring_share: float = 0.15,
    turn_s: float = 1.8,
) -> list[Damage]:
    """Draw the clicks of a worn record, in ascending time.

    Parameters
    ----------
    rng : numpy.random.Generator
    duration_s : float
        Length of the record in s.
    chain : Chain, optional
        Constants of the playback chain; drawn if not given.
    rates_hz : dict, optional
        Clicks per second for each kind; a scratch counts once a turn.
    ring_share : float
        Share of the pops that ring.
    turn_s : float
        Time of one revolution, for scratches.
    """
    chain = chain or draw_chain(rng)
    if rates_hz is None:
        rates_hz = {Kind.TICK: 3.0, Kind.POP: 0.6, Kind.CRACKLE: 6.0, Kind.THUMP: 0.1}
    drawn: list[Damage] = []
    for kind, rate in rates_hz.items():
        if kind is Kind.SCRATCH:
            angle_s = float(rng.uniform(0.0, turn_s))
            times = angle_s + np.arange(int(max(0.0, duration_s - angle_s) / turn_s) + 1) * turn_s
            times = times + np.cumsum(rng.normal(0.0, 4e-4, times.size))
        else:
            times = rng.uniform(0.0, duration_s, rng.poisson(rate * duration_s))
        times = times[(times > 0.0) & (times < duration_s - 0.2)]
        drawn += [_draw_one(rng, kind, float(time), chain, ring_share) for time in times]
    return sorted(drawn, key=lambda damage: damage.time_s)


def _draw_one(
    rng: np.random.Generator, kind: Kind, time_s: float, chain: Chain, ring_share: float
) -> Damage:
    """Draw one click of a kind at a time."""
    widths_s = {
        Kind.TICK: (0.06e-3, 0.6e-3),
        Kind.CRACKLE: (0.05e-3, 0.2e-3),
        Kind.POP: (0.6e-3, 4e-3),
        Kind.THUMP: (1e-3, 4e-3),
        Kind.SCRATCH: (0.2e-3, 1.5e-3),
    }
    levels_db = {
        Kind.TICK: (0.0, 20.0),
        Kind.CRACKLE: (-10.0, 5.0),
        Kind.POP: (5.0, 20.0),
        Kind.THUMP: (8.0, 20.0),
        Kind.SCRATCH: (0.0, 15.0),
    }
    low, high = np.log(widths_s[kind])
    width_s = float(np.exp(rng.uniform(low, high)))
    side = rng.uniform()
    # Most particles push the stylus up and down (opposite in L and R); a wall's own fault is
    # heard in one channel.
    left, right = (1.0, -float(rng.uniform(0.4, 1.0))) if side < 0.5 else (1.0, 0.0)
    if side > 0.8:
        right = float(rng.uniform(0.3, 1.0))
    if rng.uniform() < 0.5:
        left, right = right, left
    sign = -1.0 if rng.uniform() < 0.5 else 1.0
    halves = 1 + int(rng.integers(0, 3))
    heights = sign * rng.uniform(0.4, 1.0, halves) * (-1.0) ** np.arange(halves)
    rings = kind is Kind.POP and rng.uniform() < ring_share
    return Damage(
        time_s=time_s,
        kind=kind,
        width_s=width_s,
        level_db=float(rng.uniform(*levels_db[kind])),
        left=left,
        right=right,
        shape=tuple(float(height) for height in heights),
        ring_hz=chain.ring_hz if rings else chain.hump_hz,
        ring_decay_s=chain.ring_decay_s if rings else chain.hump_decay_s,
        ring_level_db=float(rng.uniform(-14.0, -6.0)),
        thump_hz=chain.thump_hz if kind is Kind.THUMP else 0.0,
        thump_decay_s=chain.thump_decay_s if kind is Kind.THUMP else 0.0,
        thump_level_db=float(rng.uniform(-6.0, 0.0)),
    )


def render(damage: Damage, sample_rate: float) -> tuple[FloatArray, FloatArray]:
    """Return the push and its tail (ring and thump), both with a peak relative to 1.

    Returns
    -------
    push, tail : ndarray, shape (n,)
        Of equal length; their sum is the damage before its level and stereo shares.
    """
    width = damage.width_s * sample_rate
    tail_s = max(6.0 * damage.ring_decay_s, 5.0 * damage.thump_decay_s)
    length = int(np.ceil(width + tail_s * sample_rate)) + 4
    time = np.arange(length, dtype=np.float64)
    push = np.zeros(length)
    halves = len(damage.shape)
    inside = time < width
    index = np.minimum((time[inside] * halves / width).astype(int), halves - 1)
    push[inside] = np.asarray(damage.shape)[index] * np.abs(
        np.sin(np.pi * (time[inside] + 0.5) * halves / width)
    )
    peak = float(np.max(np.abs(push)))
    if peak > 0.0:
        push /= peak
    seconds = np.maximum(time - width, 0.0) / sample_rate
    started = time >= width
    tail = np.zeros(length)
    if damage.ring_hz:
        ring = np.exp(-seconds / damage.ring_decay_s)
        ring *= np.sin(2 * np.pi * damage.ring_hz * seconds + 0.5)
        tail += 10 ** (damage.ring_level_db / 20) * ring * started
    if damage.thump_hz:
        # The frequency falls towards the arm's resonance while the swing dies.
        phase = 2 * np.pi * damage.thump_hz * 0.06 * (1 - np.exp(-seconds / 0.06))
        swing = np.exp(-seconds / damage.thump_decay_s) * np.sin(phase)
        tail += 10 ** (damage.thump_level_db / 20) * swing * started
    return push, tail


def wear(
    clean: FloatArray, sample_rate: float, damages: Sequence[Damage]
) -> tuple[FloatArray, list[Click]]:
    """Lay drawn damage over clean music.

    Parameters
    ----------
    clean : ndarray of float64, shape (frames, channels)
        One or two channels.
    sample_rate : float
        In Hz.
    damages : sequence of Damage

    Returns
    -------
    worn : ndarray, shape (frames, channels)
        Clipped to -1..1.
    clicks : list of Click
        The truth: cores where the damage exceeds 30 % of the music's local level, tails to where
        it sinks below 1 %. Not fused: neighbours may overlap.
    """
    frames, channels = clean.shape
    window = max(1, round(_LEVEL_WINDOW_S * sample_rate))
    worn = clean.copy()
    clicks: list[Click] = []
    for damage in damages:
        start = round(damage.time_s * sample_rate)
        push, tail = render(damage, sample_rate)
        stop = min(start + push.size, frames)
        if start >= stop:
            continue
        near = clean[max(0, start - window) : min(frames, start + window)]
        level = max(float(np.sqrt(np.mean(near**2))), 1e-4)
        for channel, share in zip(range(channels), (damage.left, damage.right), strict=False):
            gain = level * share * 10 ** (damage.level_db / 20)
            sound = gain * (push + tail)[: stop - start]
            worn[start:stop, channel] += sound
            width = int(np.ceil(damage.width_s * sample_rate))
            truth = _truth(sound, level, start, width, channel, damage)
            if truth is not None:
                clicks.append(truth)
    return np.clip(worn, -1.0, 1.0), sorted(clicks)


def _truth(
    sound: FloatArray, level: float, start: int, width: int, channel: int, damage: Damage
) -> Click | None:
    """Return what of the damage is core and what is tail, None where it is inaudible."""
    loud = np.flatnonzero(np.abs(sound) > CORE_SHARE * level)
    if not loud.size:
        return None
    first, last = int(loud[0]), int(loud[-1]) + 1
    tail = last
    if damage.thump_hz or damage.ring_decay_s > 1e-3:
        # A long tail is no core, however loud: the push ends where its tail begins.
        last = min(last, max(first + 1, width))
        tail = max(last, int(np.flatnonzero(np.abs(sound) > 0.01 * level)[-1]) + 1)
    return Click(start + first, start + last, start + tail, channel, 1.0, damage.kind)
