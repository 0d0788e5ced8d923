"""The disc map: where on the record the clicks are. A scratch shows as a spoke."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from declick.clicks import Click, FloatArray, Kind
from declick.inspect import figure as look
from declick.rotation import PERIODS_S, Rotation
from declick.wording import format_time, plural

OUTER_MM, INNER_MM, EDGE_MM, LABEL_MM, HOLE_MM = 146.0, 60.0, 151.0, 50.0, 3.6
VINYL, GROOVE, PAPER, PRINT = "#101114", "#23252B", "#8C2F23", "#F6EBD8"
BACKGROUND, CHALK = "#2A2C31", "#D8D8D8"


def draw_disc_map(
    path: str | Path,
    clicks: Sequence[Click],
    *,
    sample_rate: int,
    frames: int,
    rotation: Rotation | None = None,
    strengths: ArrayLike | None = None,
    title: str = "",
) -> Path:
    """Draw every click at its place on the disc (PNG).

    The angle is the time modulo one revolution, the way the groove runs under the stylus
    (counter-clockwise); the radius is the time, from the lead-in at the edge to the label. The
    whole sound is spread over the recorded band, however short it is.

    Parameters
    ----------
    path : str or Path
    clicks : sequence of Click
    sample_rate, frames : int
    rotation : Rotation, optional
        From `find_rotation`; without it 33⅓ rpm is assumed, and the picture says so.
    strengths : array-like, shape (clicks,), optional
        0..1, drawn as size; the confidence where not given.
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
    figure = look.new_figure(9.4, 9.4, face=BACKGROUND)
    axes = figure.add_axes((0.03, 0.035, 0.94, 0.90), projection="polar")
    axes.set_theta_zero_location("N")
    axes.set_facecolor(BACKGROUND)
    axes.set_axis_off()
    axes.set_ylim(0, EDGE_MM)
    _disc(axes)

    period_s = rotation.period_s if rotation is not None else PERIODS_S[0]
    times = np.array([click.start for click in clicks], np.float64) / sample_rate
    sizes = (
        np.array([click.confidence for click in clicks], np.float64)
        if strengths is None
        else np.clip(np.asarray(strengths, np.float64), 0.0, 1.0)
    )
    duration_s = frames / sample_rate
    angles = 2 * np.pi * np.mod(times / period_s, 1.0)
    radii = _radius(times, duration_s)
    # Many clicks become small and transparent, so that their density shows.
    crowd = float(np.clip((3000 / max(1, times.size)) ** 0.5, 0.06, 1.0))
    kinds = np.array([list(Kind).index(click.kind) for click in clicks], np.int64)
    present = []
    # The most frequent kind first, so that rarer ones lie on top.
    for index in np.argsort(-np.bincount(kinds, minlength=len(Kind)), kind="stable"):
        chosen = kinds == index
        if not chosen.any():
            continue
        kind = list(Kind)[index]
        present.append((kind, int(chosen.sum())))
        area = (5.0 + 30.0 * sizes[chosen] ** 2) * max(crowd, 0.12)
        axes.scatter(
            angles[chosen], radii[chosen], s=area, c=look.KIND_COLOURS[kind],
            alpha=min(1.0, 0.25 + 0.65 * crowd), linewidths=0, zorder=4,
        )  # fmt: skip
    _time_marks(axes, duration_s)
    _print_label(axes, rotation, len(clicks))
    _legend(figure, present)
    figure.text(
        0.03, 0.965, title or "Disc map", color=CHALK, fontsize=13, va="center", parse_math=False
    )
    note = "angle: time within a revolution · radius: time, from the edge inwards"
    figure.text(0.97, 0.965, note, color=CHALK, fontsize=9, va="center", ha="right")
    palette = [
        *look.blends(VINYL, look.KIND_COLOURS.values(), 14),
        *look.blends(BACKGROUND, [*look.KIND_COLOURS.values(), CHALK], 4),
        *look.blends(VINYL, ["#5A5E68"], 40),
        *look.blends(VINYL, [CHALK], 20),
        *look.blends(PAPER, [PRINT, BACKGROUND, VINYL], 16),
    ]
    return look.save_png(figure, path, palette)


def _radius(times_s: ArrayLike, duration_s: float) -> FloatArray:
    share = np.asarray(times_s, np.float64) / max(duration_s, 1e-9)
    return np.asarray(OUTER_MM - (OUTER_MM - INNER_MM) * share, np.float64)


def _disc(axes: Any) -> None:
    turn = np.linspace(0, 2 * np.pi, 361)
    axes.fill_between(turn, 0, EDGE_MM, color=VINYL, zorder=0)
    for radius in np.linspace(INNER_MM, OUTER_MM, 44):
        axes.plot(turn, np.full(turn.size, radius), color=GROOVE, linewidth=0.45, zorder=1)
    axes.fill_between(turn, 0, LABEL_MM, color=PAPER, zorder=3)
    axes.plot(turn, np.full(turn.size, LABEL_MM - 2.5), color=PRINT, linewidth=0.7, zorder=3)
    axes.fill_between(turn, 0, HOLE_MM, color=BACKGROUND, zorder=5)


def _time_marks(axes: Any, duration_s: float) -> None:
    """Write the time beside a few rings, on the ray that points up."""
    steps = (1, 2, 5, 10, 20, 30, 60, 120, 180, 300, 600, 1200, 1800, 3600)
    step = next((step for step in steps if duration_s / step <= 5.5), 7200)
    turn = np.linspace(0, 2 * np.pi, 361)
    for time_s in np.arange(0.0, duration_s + 1e-9, step):
        radius = float(_radius(time_s, duration_s))
        axes.plot(turn, np.full(turn.size, radius), color="#4A4E58", linewidth=0.7, zorder=2)
        axes.text(
            0.0, radius, format_time(time_s).split(".")[0], color=CHALK, fontsize=9,
            ha="center", va="center", zorder=6,
            bbox={"boxstyle": "round,pad=0.18", "facecolor": VINYL, "edgecolor": "none"},
        )  # fmt: skip


def _print_label(axes: Any, rotation: Rotation | None, clicks: int) -> None:
    lines: list[tuple[float, str, float, str]] = [
        (32.0, "declick", 15.0, "bold"),
        (15.0, f"{clicks:,} {plural('click', clicks)}", 11.0, "normal"),
    ]
    if rotation is not None:
        lines += [
            (-15.0, f"{rotation.rpm:.2f} rpm", 12.0, "bold"),
            (-28.0, f"one turn {rotation.period_s:.4f} s", 9.0, "normal"),
        ]
    else:
        lines += [
            (-14.0, "no rotation found", 10.0, "bold"),
            (-26.0, "drawn at 33⅓ rpm", 9.0, "normal"),
        ]
    for height, text, size, weight in lines:
        angle = 0.0 if height >= 0 else np.pi
        axes.text(
            angle, abs(height), text, color=PRINT, fontsize=size, fontweight=weight,
            ha="center", va="center", zorder=6,
        )  # fmt: skip


def _legend(figure: Any, present: list[tuple[Kind, int]]) -> None:
    from matplotlib.lines import Line2D

    order = list(Kind)
    handles = [
        Line2D(
            [], [], linestyle="", marker="o", markersize=7, markeredgewidth=0,
            color=look.KIND_COLOURS[kind], label=f"{kind.value} ({count:,})",
        )
        for kind, count in sorted(present, key=lambda item: order.index(item[0]))
    ]  # fmt: skip
    if handles:
        figure.legend(
            handles=handles, loc="lower left", bbox_to_anchor=(0.015, 0.012), frameon=False,
            fontsize=10, labelcolor=CHALK, handletextpad=0.2, borderaxespad=0.2,
        )  # fmt: skip
