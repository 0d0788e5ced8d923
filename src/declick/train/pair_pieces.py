"""Pieces of a pair, each with the sound around it that a network is shown."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from declick.clicks import Click
from declick.damage.apply import Worn
from declick.detect.sight import ViewGeometry
from declick.train.worn import WornExcerpt


@dataclass(frozen=True, kw_only=True, eq=False)
class Piece:
    """A piece of a pair, with sound around it that is only looked at.

    Parameters
    ----------
    excerpt : WornExcerpt
        With the sound around it.
    within : tuple of int
        Its frames that are the piece's own.
    """

    excerpt: WornExcerpt
    within: tuple[int, int]


def cut_pieces(whole: WornExcerpt, seconds: float) -> list[Piece]:
    """Cut a pair into pieces of about so many seconds, each with its context."""
    rate = whole.sample_rate
    geometry = ViewGeometry(rate)
    core = max(1, round(seconds * rate / geometry.hop)) * geometry.hop
    around = geometry.context
    frames = len(whole.sound)
    pieces = []
    for start in range(0, max(1, frames - core // 4), core):
        stop = start + core if frames - start - core > core // 4 else frames
        low = start - around
        high = start + -(-(stop - start) // geometry.hop) * geometry.hop + around
        excerpt = cut_excerpt(whole, low, high)
        pieces.append(Piece(excerpt=excerpt, within=(around, around + stop - start)))
        if stop == frames:
            break
    return pieces


def cut_excerpt(whole: WornExcerpt, low: int, high: int) -> WornExcerpt:
    """Return frames ``[low, high)`` of a pair; silence beyond its ends."""
    frames = len(whole.sound)
    first, last = max(0, low), min(frames, high)
    pad = ((first - low, high - last), (0, 0))

    def part(values: NDArray[np.generic]) -> NDArray[np.generic]:
        return np.pad(values[first:last], pad)

    def moved(click: Click) -> Click | None:
        if click.tail <= low or click.stop <= low or click.start >= high:
            return None
        start = max(0, click.start - low)
        return replace(click, start=start, stop=click.stop - low, tail=click.tail - low)

    marks = tuple((cut, family) for click, family in whole.marks if (cut := moved(click)))
    clicks = [cut for click in whole.laid.clicks if (cut := moved(click))]
    sound, clean = part(whole.sound), part(whole.laid.clean)
    return WornExcerpt(
        sound=sound,  # type: ignore[arg-type]
        damage=part(whole.damage),  # type: ignore[arg-type]
        cores=part(whole.cores),  # type: ignore[arg-type]
        laid=Worn(sound, clean, clicks, []),  # type: ignore[arg-type]
        marks=marks,
        sample_rate=whole.sample_rate,
        source=whole.source,
        mode=whole.mode,
        unclear=None if whole.unclear is None else np.pad(whole.unclear[first:last], pad[0]),
    )
