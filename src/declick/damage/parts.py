"""One click on one channel: rendered or taken from a bank, ready to be laid."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache

import numpy as np

from declick.clicks import FloatArray
from declick.damage.bank import Bank
from declick.damage.model import Chain, Damage, Family
from declick.damage.render import render
from declick.errors import SettingsError

# Where the damage exceeds this share of the music's local level, the music is lost...
CORE_SHARE = 0.3
# ...and where it falls below this one, it has ended.
TAIL_SHARE = 0.01
_FADE_IN = 8
_FADE_OUT_S = 1e-3


@dataclass(frozen=True, eq=False)
class Part:
    """The sound of a click on one channel.

    Parameters
    ----------
    channel : int
    start : int
        Frame of its first sample, which may lie before the music.
    wave : ndarray of float64, shape (n,)
        Relative to the music's local rms level; faded to nothing at both ends.
    core : tuple of int or None
        ``[first, last)`` within `wave`: from where it first exceeds `CORE_SHARE` to where it last
        does. A long ring or thump is no core, however loud.
    end : int
        Within `wave`; behind it nothing exceeds `TAIL_SHARE`.
    """

    channel: int
    start: int
    wave: FloatArray = field(repr=False)
    core: tuple[int, int] | None
    end: int


def shares(damage: Damage, channels: int) -> list[float]:
    """Return how far each channel is pushed, -1..1.

    Odd channels are like the right one, the others like the left; a single one takes the greater.
    """
    left, right = damage.left, damage.right
    if channels == 1:
        return [left if abs(left) >= abs(right) else right]
    return [left if channel % 2 == 0 else right for channel in range(channels)]


def parts_of(
    damage: Damage, channels: int, sample_rate: float, chain: Chain, bank: Bank | None
) -> Iterator[Part]:
    """Yield what is heard of a click on each channel.

    Raises
    ------
    SettingsError
        If it is a real click, and not in the bank.
    """
    peak = 10 ** (damage.level_db / 20)
    clip = _clip(bank, damage.bank_index, sample_rate) if damage.family is Family.REAL else None
    rendered: dict[float, tuple[int, FloatArray, int]] = {}
    for channel, share in enumerate(shares(damage, channels)):
        gain = peak * share
        if abs(gain) <= TAIL_SHARE:
            continue
        if clip is not None:
            side = clip.louder if channels == 1 else (channel + damage.swap) % 2
            wave = clip.waves[side % len(clip.waves)]
            start, core_end = round(damage.time_s * sample_rate) - clip.onset, clip.core_end
        else:
            later_s = damage.delay_s if channel % 2 else 0.0
            if later_s not in rendered:
                onset = (damage.time_s + later_s) * sample_rate
                first = math.floor(onset)
                # Followed to where it ends on the louder side.
                decay_db = max(0.0, damage.level_db) - 20.0 * math.log10(TAIL_SHARE)
                sound = render(damage, sample_rate, chain, offset=onset - first, decay_db=decay_db)
                rendered[later_s] = (first - sound.lead, sound.samples, sound.core_end)
            start, wave, core_end = rendered[later_s]
        part = _trimmed(channel, start, gain * wave, core_end, sample_rate)
        if part is not None:
            yield part


def _trimmed(
    channel: int, start: int, wave: FloatArray, core_end: int, sample_rate: float
) -> Part | None:
    """Leave out what is too weak to be heard, behind short fades."""
    loudness = np.abs(wave)
    heard = np.flatnonzero(loudness > TAIL_SHARE)
    if not heard.size:
        return None
    first, last = int(heard[0]), int(heard[-1]) + 1
    begin = max(0, first - _FADE_IN)
    end = min(wave.size, last + max(_FADE_IN, round(_FADE_OUT_S * sample_rate)))
    wave = wave[begin:end].copy()
    wave[: first - begin] *= _rising(first - begin)
    wave[last - begin :] *= _rising(end - last)[::-1]
    core = np.flatnonzero(loudness[:core_end] > CORE_SHARE)
    span = (int(core[0]) - begin, int(core[-1]) + 1 - begin) if core.size else None
    return Part(channel, start + begin, wave, span, last - begin)


def _rising(frames: int) -> FloatArray:
    return np.asarray(np.sin(0.5 * np.pi * np.arange(1, frames + 1) / (frames + 1)) ** 2)


@dataclass(frozen=True, eq=False)
class _Clip:
    """A real click at the rate of the music, with its peak at 1."""

    waves: tuple[FloatArray, ...]
    onset: int
    core_end: int
    louder: int


@lru_cache(maxsize=4096)
def _clip(bank: Bank | None, index: int, sample_rate: float) -> _Clip:
    """Bring a click of a bank to a sample rate, once."""
    if bank is None:
        raise SettingsError("this wear holds real clicks; give the bank that they come from")
    if not 0 <= index < len(bank.clicks):
        raise SettingsError(
            f"this wear asks for real click {index} and the bank has {len(bank.clicks)}; "
            "give the bank that it was drawn from"
        )
    click = bank.clicks[index]
    samples = click.samples.astype(np.float64)
    ratio = Fraction(sample_rate / click.sample_rate).limit_denominator(2000)
    if ratio != 1:
        from scipy.signal import resample_poly  # half a second to import, and seldom needed

        samples = np.asarray(resample_poly(samples, ratio.numerator, ratio.denominator, axis=0))
    peaks = np.max(np.abs(samples), axis=0)
    samples = samples / max(float(np.max(peaks)), 1e-12)
    lasts = click.ring_hz > 0.0 or click.thump_hz > 0.0
    return _Clip(
        waves=tuple(np.ascontiguousarray(samples[:, side]) for side in range(click.channels)),
        onset=round(click.onset * ratio),
        core_end=round(click.core_stop * ratio) if lasts else len(samples),
        louder=int(np.argmax(peaks)),
    )
