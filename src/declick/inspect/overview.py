"""A whole side at a glance: the wave, the clicks a second, and what was taken out."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from declick.clicks import Click, FloatArray, Kind
from declick.inspect import figure as look
from declick.wording import plural

COLUMNS = 1200
FLOOR_DB = -120.0


def draw_overview(
    path: str | Path,
    blocks: Iterable[tuple[FloatArray, FloatArray | None]],
    clicks: Iterable[Click],
    *,
    sample_rate: int,
    frames: int,
    left: int = 0,
    title: str = "",
) -> Path:
    """Draw a side (PNG); the memory needed does not grow with its length.

    Parameters
    ----------
    path : str or Path
    blocks : iterable of (before, removed)
        The side from its first frame to its last, in consecutive pieces of any length: the
        source, shape (frames, channels), and what was taken out of it (None: nothing).
    clicks : iterable of Click
    sample_rate, frames : int
        Of the whole side.
    left : int
        How many of the clicks were left alone.
    title : str

    Returns
    -------
    Path

    Raises
    ------
    MissingExtraError
        Where matplotlib is not installed.
    WriteError
        Where the picture cannot be written.
    """
    figure = look.new_figure(11.5, 6.6)
    duration_s = frames / sample_rate
    side = _Side(frames)
    for before, removed in blocks:
        side.add(before, removed)

    grid = figure.add_gridspec(
        3, 1, height_ratios=[1.2, 1.2, 0.9], hspace=0.34,
        left=0.075, right=0.97, top=0.895, bottom=0.075,
    )  # fmt: skip
    wave = figure.add_subplot(grid[0])
    edges_s = np.linspace(0.0, duration_s, side.columns + 1)
    middle_s = (edges_s[1:] + edges_s[:-1]) / 2
    wave.fill_between(middle_s, side.least, side.greatest, color=look.AFTER, linewidth=0.4)
    peak = max(1e-3, float(np.max(np.abs([side.least, side.greatest]))))
    wave.set_ylim(-1.08 * peak, 1.08 * peak)
    wave.set_title("source (all channels)", fontsize=10, loc="left", pad=4)

    density = figure.add_subplot(grid[1], sharex=wave)
    width_s = max(1, math.ceil(duration_s / 400))
    counts, total = _counts(clicks, duration_s, width_s, sample_rate)
    rates = {kind: count / width_s for kind, count in counts.items()}
    lefts = np.arange(math.ceil(duration_s / width_s) or 1) * width_s
    if rates:
        density.stackplot(
            np.append(lefts, lefts[-1] + width_s),
            *(np.append(rate, rate[-1]) for rate in rates.values()),
            colors=[look.KIND_COLOURS[kind] for kind in rates],
            labels=[f"{kind.value} ({int(counts[kind].sum()):,})" for kind in rates],
            step="post",
            linewidth=0,
        )
        density.legend(
            fontsize=9, ncols=6, frameon=False, loc="lower right",
            bbox_to_anchor=(1.003, 0.985), borderaxespad=0.1, handlelength=1.0, columnspacing=1.2,
        )  # fmt: skip
    else:
        density.set_ylim(0, 1)
        density.text(0.5, 0.5, "no clicks", transform=density.transAxes, ha="center", fontsize=11)
    density.set_ylim(bottom=0)
    density.set_title("clicks a second", fontsize=10, loc="left", pad=4)

    energy = figure.add_subplot(grid[2], sharex=wave)
    level = 10.0 * np.log10(np.maximum(side.removed / np.maximum(side.counted, 1), 1e-12))
    energy.fill_between(middle_s, FLOOR_DB, level, color=look.BEFORE, step="mid", linewidth=0)
    energy.set_ylim(FLOOR_DB, max(-40.0, 10 * math.ceil(float(level.max()) / 10 + 0.2)))
    energy.set_title("taken out, dB re full scale (mean power)", fontsize=10, loc="left", pad=4)
    for axes in (wave, density, energy):
        look.style(axes)
        axes.set_xlim(0, duration_s)
        look.time_axis(axes, duration_s)
        axes.tick_params(labelbottom=axes is energy)
    text = _heading(total, left, duration_s)
    figure.suptitle(
        f"{title}  ·  {text}" if title else text,
        x=0.075,
        y=0.972,
        ha="left",
        fontsize=13,
        parse_math=False,
    )
    return look.save_png(figure, path)


def _heading(total: int, left: int, duration_s: float) -> str:
    """Return ``120 clicks, 6 a minute, 15 left alone``."""
    parts = [f"{total:,} {plural('click', total)}"]
    if total:
        parts.append(f"{60 * total / duration_s:,.0f} a minute")
    if left:
        parts.append(f"{left:,} left alone")
    return ", ".join(parts)


class _Side:
    """Least and greatest sample, and the energy taken out, of each column of the picture."""

    def __init__(self, frames: int) -> None:
        self.frames = max(1, frames)
        self.columns = min(COLUMNS, self.frames)
        self.least = np.zeros(self.columns)
        self.greatest = np.zeros(self.columns)
        self.removed = np.zeros(self.columns)
        self.counted = np.zeros(self.columns)
        self._at = 0

    def add(self, before: FloatArray, removed: FloatArray | None) -> None:
        """Take in the next block."""
        before = before[: self.frames - self._at]
        count = before.shape[0]
        if not count:
            return
        column = (self._at + np.arange(count)) * self.columns // self.frames
        first = np.flatnonzero(np.diff(column, prepend=-1))
        here = column[first]
        low, high = before.min(axis=1), before.max(axis=1)
        self.least[here] = np.minimum(self.least[here], np.minimum.reduceat(low, first))
        self.greatest[here] = np.maximum(self.greatest[here], np.maximum.reduceat(high, first))
        self.counted[here] += np.diff(first, append=count) * before.shape[1]
        if removed is not None:
            power = np.sum(np.square(removed[:count]), axis=1)
            self.removed[here] += np.add.reduceat(power, first)
        self._at += count


def _counts(
    clicks: Iterable[Click], duration_s: float, width_s: int, sample_rate: int
) -> tuple[dict[Kind, FloatArray], int]:
    """Count the clicks of each kind that occurs, in bins of `width_s` seconds; and all."""
    bins = max(1, math.ceil(duration_s / width_s))
    counts = {kind: np.zeros(bins) for kind in Kind}
    total = 0
    for click in clicks:
        counts[click.kind][min(bins - 1, int(click.start / sample_rate / width_s))] += 1
        total += 1
    return {kind: count for kind, count in counts.items() if count.any()}, total
