"""Lay drawn wear over clean music, with its truth."""

from __future__ import annotations

from dataclasses import dataclass, field

from declick.clicks import Click, FloatArray
from declick.damage.bank import Bank
from declick.damage.model import Wear


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
        Its peak over the music's local rms level, on this channel.
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
        them). Core: where the damage exceeds 30 % of the music's local level. Tail: to where it
        sinks below 1 %.
    laid : list of Laid
        Each damage and channel, in the order of `Wear.damages`.
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
    sample_rate : float
        In Hz.
    wear : Wear
    bank : Bank, optional
        Real clicks; needed where the wear holds any.
    """
    raise NotImplementedError
