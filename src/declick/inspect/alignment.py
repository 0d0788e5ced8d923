"""A picture of a time map: the delay, the speed, and how well B fits A."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from declick.align.model import HOLDS, Alignment
from declick.align.summary import deviations, summarize
from declick.clicks import FloatArray
from declick.inspect import figure as look

_GREEN = "#00A878"


def draw_alignment(
    path: str | Path, alignment: Alignment, *, duration_s: float | None = None, title: str = ""
) -> Path:
    """Draw a time map (PNG).

    Parameters
    ----------
    path : str or Path
    alignment : Alignment
    duration_s : float, optional
        Of A; to the end of the map where not given.
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
    figure = look.new_figure(11.0, 8.6)
    grid = figure.add_gridspec(
        4,
        1,
        height_ratios=(1, 1, 1, 0.9),
        hspace=0.62,
        left=0.085,
        right=0.98,
        top=0.9,
        bottom=0.07,
    )
    axes = [figure.add_subplot(grid[row]) for row in range(4)]
    rate_a, rate_b = alignment.sample_rate_a, alignment.sample_rate_b
    duration_s = duration_s or float(alignment.frames_a[-1] / rate_a)
    time_s = alignment.frames_a / rate_a
    holds = alignment.confidence >= HOLDS
    line = alignment.frames_a * alignment.ratio
    shift = (alignment.frames_b - line) / rate_b
    middle = float(np.median(shift[holds])) if holds.any() else 0.0
    summary = summarize(alignment)

    axes[0].plot(time_s, np.where(holds, (shift - middle) * 1e3, np.nan), color=look.AFTER, lw=1.0)
    axes[0].set_ylabel("ms", fontsize=9)
    axes[0].set_title(
        "How much later B has it than even turning would (milliseconds)", loc="left", fontsize=10
    )

    times, deviation, _ = deviations(alignment)
    near = _interesting(times, deviation)
    axes[1].plot(times[near], deviation[near] * 100, color=look.BEFORE, lw=1.1)
    axes[1].set_ylabel("%", fontsize=9)
    turn = "" if np.isnan(summary.turn_hz) else f"; once per turn: ±{100 * summary.wow:.2f} %"
    axes[1].set_title(f"Speed off its mean, 12 seconds of it{turn}", loc="left", fontsize=10)

    axes[2].plot(time_s, alignment.residual_db, color=look.INK, lw=0.8)
    axes[2].set_ylabel("dB", fontsize=9)
    axes[2].set_ylim(min(-50.0, float(np.quantile(alignment.residual_db, 0.02)) - 5), 5)
    axes[2].set_title(
        "What is left of A when B is taken away (lower: they fit better)", loc="left", fontsize=10
    )

    axes[3].fill_between(time_s, 0, alignment.confidence, color=_GREEN, alpha=0.45, lw=0)
    axes[3].axhline(HOLDS, color=look.INK, lw=0.8, ls=":")
    axes[3].set_ylim(0, 1.02)
    axes[3].set_title("Confidence; above the dotted line the map holds", loc="left", fontsize=10)
    for number, one in enumerate(axes):
        look.style(one)
        if number == 1:
            one.set_xlim(times[near][0], times[near][-1])
            look.time_axis(one, times[near][-1] - times[near][0] + 10)
        else:
            one.set_xlim(0, duration_s)
            look.time_axis(one, duration_s)
    axes[3].set_xlabel("time in A", fontsize=9)
    figure.suptitle(title, x=0.085, y=0.965, ha="left", fontsize=13, parse_math=False)
    return look.save_png(figure, path)


def _interesting(times: FloatArray, deviation: FloatArray) -> slice:
    """Return 12 seconds in which the speed is known."""
    count = min(len(times), round(12.0 / (times[1] - times[0])))
    known = np.convolve(np.isfinite(deviation), np.ones(count), "valid")
    start = int(np.argmax(known))
    return slice(start, start + count)
