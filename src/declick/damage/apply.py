"""Lay drawn wear over clean music, with its truth."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from declick.clicks import Click, FloatArray
from declick.damage.bank import Bank
from declick.damage.draw import draw_faint
from declick.damage.model import Damage, Wear
from declick.damage.parts import CORE_SHARE, TAIL_SHARE, Part, parts_of, shares
from declick.damage.render import loss, render_bed
from declick.errors import SettingsError

__all__ = ["CORE_SHARE", "TAIL_SHARE", "Laid", "Worn", "wear"]

_LEVEL_WINDOW_S = 0.05
# In a rest, the level that damage is laid to falls no further below that of the whole music.
_FLOOR = 1e-3


@dataclass(frozen=True, kw_only=True)
class Laid:
    """What became of one `Damage` on one channel.

    Parameters
    ----------
    damage : int
        Its number in `Wear.damages`.
    channel : int
    start, stop : int
        Nothing of it is heard outside the frames ``[start, stop)``.
    level_db : float
        Its peak over the music's local rms level, on this channel; -inf where it only takes away.
    click : Click, optional
        The truth; None where it is too weak to have a core.
    """

    damage: int
    channel: int
    start: int
    stop: int
    level_db: float
    click: Click | None


@dataclass(frozen=True, eq=False)
class Worn:
    """Music before and after wear.

    Parameters
    ----------
    worn, clean : ndarray of float64, shape (frames, channels)
        `clean` is music and bed: what a perfect repair returns.
    clicks : list of Click
        The truth, ascending; neighbours may overlap (`declick.clicks.disjoint_clicks` parts
        them). Core: from where the damage first exceeds 30 % of the music's local level to where
        it last does (a long ring or thump is no core, however loud); for lost music, all of the
        loss. Tail: to where the damage last exceeds 1 %.
    laid : list of Laid
        Each damage on each channel where it is heard. Outside their frames `worn` equals `clean`.
    """

    worn: FloatArray = field(repr=False)
    clean: FloatArray = field(repr=False)
    clicks: list[Click]
    laid: list[Laid]


def wear(music: FloatArray, sample_rate: float, wear: Wear, *, bank: Bank | None = None) -> Worn:
    """Lay drawn wear over clean music.

    Parameters
    ----------
    music : ndarray of float64, shape (frames, channels)
        Odd channels take the share of the right, the others of the left; a single one takes the
        greater.
    sample_rate : float
        In Hz.
    wear : Wear
    bank : Bank, optional
        Real clicks; needed where the wear holds any.

    Returns
    -------
    Worn
        The same to the bit for the same arguments.

    Raises
    ------
    SettingsError
        If the music is silent, empty or not a table of frames and channels, or a real click is
        not in the bank.
    """
    music = np.asarray(music, dtype=np.float64)
    whole = _check(music, sample_rate)
    frames, channels = music.shape
    clean = music.copy()
    if wear.bed is not None:
        clean += whole * render_bed(wear.bed, wear.chain, wear.seed, frames, channels, sample_rate)
        # Faint ticks belong to the bed: no truth tells of them.
        for damage in draw_faint(wear.bed, wear.chain, wear.seed, frames / sample_rate):
            for part in parts_of(damage, channels, sample_rate, wear.chain, bank):
                _add(clean, part, whole)
    levels = _Levels(clean, sample_rate, _FLOOR * whole)
    worn = clean.copy()
    # What takes music away comes first, so that no other click is taken away with it.
    losses = {
        (number, loss.channel): loss
        for number, damage in enumerate(wear.damages)
        if damage.keep < 1.0
        for loss in _lose(worn, damage, sample_rate)
    }
    laid: list[Laid] = []
    for number, damage in enumerate(wear.damages):
        level = levels.at(damage.time_s * sample_rate)
        parts = {
            part.channel: part
            for part in parts_of(damage, channels, sample_rate, wear.chain, bank)
            if _add(worn, part, level)
        }
        for channel in range(channels):
            item = _settle(
                number, damage, channel, parts.get(channel), losses.get((number, channel)), frames
            )
            if item is not None:
                laid.append(item)
    for item in laid:
        # The music itself is never clipped.
        before = clean[item.start : item.stop, item.channel]
        room = np.maximum(np.abs(before), wear.clip_level)
        after = worn[item.start : item.stop, item.channel]
        np.clip(after, -room, room, out=after)
    return Worn(worn, clean, sorted(item.click for item in laid if item.click is not None), laid)


def _check(music: FloatArray, sample_rate: float) -> float:
    """Return the music's rms level."""
    if music.ndim != 2 or not music.shape[1]:
        raise SettingsError(f"music needs the shape (frames, channels), got {music.shape}")
    if not len(music):
        raise SettingsError("the music is empty; give some to lay damage on")
    if not 1000 <= sample_rate < math.inf:
        raise SettingsError(f"a sample rate of {sample_rate} Hz is none for music")
    whole = math.sqrt(float(np.mean(music**2)))
    if not math.isfinite(whole):
        raise SettingsError("the music has samples that are not finite numbers")
    if whole == 0.0:
        raise SettingsError("the music is silent, and damage is laid relative to its level")
    return whole


class _Levels:
    """The local rms level of the music."""

    def __init__(self, clean: FloatArray, sample_rate: float, floor: float) -> None:
        energy = np.einsum("fc,fc->f", clean, clean) / clean.shape[1]
        self._sums = np.concatenate([[0.0], np.cumsum(energy)])
        self._reach = max(1, round(_LEVEL_WINDOW_S * sample_rate))
        self._floor = floor

    def at(self, frame: float) -> float:
        frames = self._sums.size - 1
        middle = min(max(round(frame), 0), frames - 1)
        start, stop = max(0, middle - self._reach), min(frames, middle + self._reach)
        mean = float(self._sums[stop] - self._sums[start]) / (stop - start)
        return max(math.sqrt(max(mean, 0.0)), self._floor)


def _add(sound: FloatArray, part: Part, level: float) -> bool:
    """Add a click; return whether any of it lies within the sound."""
    low, high = max(0, -part.start), min(part.wave.size, len(sound) - part.start)
    if low >= high:
        return False
    sound[part.start + low : part.start + high, part.channel] += level * part.wave[low:high]
    return True


@dataclass(frozen=True)
class _Loss:
    """Frames ``[start, stop)`` of a channel in which music was taken away."""

    channel: int
    start: int
    stop: int
    core: tuple[int, int] | None


def _lose(worn: FloatArray, damage: Damage, sample_rate: float) -> Iterator[_Loss]:
    """Take music away."""
    first, lost = loss(damage, sample_rate)
    start, stop = max(0, first), min(first + lost.size, len(worn))
    if start >= stop:
        return
    for channel, share in enumerate(shares(damage, worn.shape[1])):
        taken = abs(share) * lost[start - first : stop - first]
        if not np.any(taken):
            continue
        worn[start:stop, channel] *= 1.0 - taken
        gone = np.flatnonzero(taken > CORE_SHARE)
        core = (start + int(gone[0]), start + int(gone[-1]) + 1) if gone.size else None
        yield _Loss(channel, start, stop, core)


def _settle(
    number: int, damage: Damage, channel: int, part: Part | None, lost: _Loss | None, frames: int
) -> Laid | None:
    """Return what became of a damage on a channel; None where nothing is heard of it."""
    starts: list[int] = []
    stops: list[int] = []
    ends: list[int] = []
    cores: list[tuple[int, int]] = []
    level_db = -math.inf
    if lost is not None:
        starts.append(lost.start)
        stops.append(lost.stop)
        ends.append(lost.stop)
        if lost.core is not None:
            cores.append(lost.core)
    if part is not None:
        starts.append(max(0, part.start))
        stops.append(min(frames, part.start + part.wave.size))
        ends.append(min(frames, part.start + part.end))
        level_db = 20.0 * math.log10(float(np.max(np.abs(part.wave))))
        if part.core is not None:
            core = max(0, part.start + part.core[0]), min(frames, part.start + part.core[1])
            if core[0] < core[1]:
                cores.append(core)
    if not starts:
        return None
    click = None
    if cores:
        start, stop = min(core[0] for core in cores), max(core[1] for core in cores)
        click = Click(start, stop, max(stop, *ends), channel, 1.0, damage.kind)
    return Laid(
        damage=number,
        channel=channel,
        start=min(starts),
        stop=max(stops),
        level_db=level_db,
        click=click,
    )
