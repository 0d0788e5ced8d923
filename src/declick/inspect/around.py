"""One click, close up: the sound before and after, and what was taken out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from declick.clicks import Click, FloatArray
from declick.inspect import figure as look
from declick.inspect.spectrogram import common_scale, draw_spectrogram, spectrogram_db
from declick.labels import channel_name
from declick.report import UNDONE
from declick.wording import format_time

_LONG_TITLE: Final = 85
_HATCHED: Final[dict[str, Any]] = {
    "fill": False,
    "edgecolor": look.CORE,
    "hatch": "////",
    "linewidth": 0.8,
}


def draw_around(
    path: str | Path,
    before: FloatArray,
    after: FloatArray,
    removed: FloatArray | None,
    *,
    sample_rate: int,
    start: int,
    click: Click,
    others: Sequence[Click] = (),
    left: Sequence[Click] = (),
    number: int | None = None,
    method: str | None = None,
    why: str = "",
    channels: Sequence[int] | None = None,
    around_ms: float = 50.0,
) -> Path:
    """Draw a click: close up, in its surroundings, and as spectrograms (PNG).

    Parameters
    ----------
    path : str or Path
    before, after, removed : ndarray of float64, shape (frames, channels)
        The same stretch of source, output and difference; `removed` None: before minus after.
    sample_rate : int
    start : int
        Frame of the recording at which the arrays begin.
    click : Click
        The one in the middle.
    others : sequence of Click
        Neighbours, shaded too.
    left : sequence of Click
        Those that were found and left alone, the one in the middle perhaps among them: hatched.
    number, method, why
        For the title, as the report gives them.
    channels : sequence of int, optional
        Which to draw, side by side; the click's own by default.
    around_ms : float
        How much to show before the core and after it, where the arrays reach as far. A tail is
        shown to its end.

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
    removed = before - after if removed is None else removed
    shown = tuple(channels) if channels is not None else (click.channel,)
    per_ms = sample_rate / 1e3
    frames = before.shape[0]
    reach = round(around_ms * per_ms)
    first = max(0, click.start - start - reach)
    last = min(frames, max(click.stop + reach, click.tail + reach // 4) - start)
    # Milliseconds from the first lost sample.
    at_ms = (np.arange(frames) + start - click.start) / per_ms
    span = (float(at_ms[first]), float(at_ms[first]) + (last - first) / per_ms)

    figure = look.new_figure(10.5 if len(shown) == 1 else 13.0, 9.2)
    sides = {"left": 0.07, "right": 0.93, "wspace": 0.14 if len(shown) == 1 else 0.2}
    widths = [40.0] * len(shown) + [1.0]
    upper = figure.add_gridspec(
        1, len(shown) + 1, width_ratios=widths, top=0.87, bottom=0.685, **sides
    )
    lower = figure.add_gridspec(
        4, len(shown) + 1, width_ratios=widths, top=0.60, bottom=0.06, hspace=0.12,
        height_ratios=[0.8, 1, 1, 1], **sides,
    )  # fmt: skip
    stereo = before.shape[1]
    powers = {
        (name, channel): spectrogram_db(
            part[:, channel], sample_rate, window_ms=5.8, columns=500, span=(first, last)
        )
        for name, part in (("before", before), ("after", after), ("removed", removed))
        for channel in shown
    }
    scale_db = common_scale(
        *(power for (name, _), (power, _) in powers.items() if name == "before")
    )
    tails = hatched = False
    for column, channel in enumerate(shown):
        close = figure.add_subplot(upper[0, column])
        wide = figure.add_subplot(lower[0, column])
        marked = [
            item
            for item in {click, *others, *left}
            if item.channel == channel and item.tail > start + first and item.start < start + last
        ]
        core = max(click.stop - click.start, round(0.2 * per_ms))
        margin = max(round(1.2 * per_ms), 2 * core)
        zoom = (-margin / per_ms, (click.stop - click.start + margin) / per_ms)
        for axes, (low, high) in ((close, zoom), (wide, span)):
            _waves(axes, at_ms, before[:, channel], after[:, channel], low, high)
            for item in marked:
                _shade(axes, item, click.start, per_ms, item in left)
            axes.set_xlim(low, high)
        wide.axvspan(*zoom, fill=False, edgecolor=look.INK, linewidth=0.8, linestyle=":")
        name = channel_name(channel, stereo)
        close.set_title(
            f"close up{', channel ' + name if name else ''}", fontsize=10, loc="left", pad=4
        )
        close.set_xlabel("ms from the start of the core", fontsize=9, labelpad=1)
        spared = [item for item in marked if item in left]
        hatched = hatched or bool(spared)
        tails = tails or any(item.tail > item.stop for item in marked if item not in spared)
        for row, part in enumerate(("before", "after", "removed"), start=1):
            axes = figure.add_subplot(lower[row, column], sharex=wide)
            power, highest_hz = powers[part, channel]
            image = draw_spectrogram(axes, power, highest_hz, span, scale_db)
            look.name_inside(axes, part)
            axes.set_xlim(span)
            axes.tick_params(labelbottom=part == "removed")
            if column:
                axes.set_ylabel("")
        axes.set_xlabel("ms from the start of the core", fontsize=9, labelpad=1)
        wide.tick_params(labelbottom=False)
        wide.set_title("surroundings (dotted: the close up)", fontsize=10, loc="left", pad=4)
    _legend(figure, close, tails, hatched)
    bar = figure.colorbar(image, cax=figure.add_subplot(lower[1:, -1]))
    bar.set_label("dB re full scale", fontsize=9)
    bar.ax.tick_params(labelsize=9)
    title = title_of(click, number, method, sample_rate, stereo, why)
    figure.suptitle(
        title,
        x=0.07,
        y=0.972,
        ha="left",
        fontsize=13 if len(title) < _LONG_TITLE else 10,
        parse_math=False,
    )
    return look.save_png(figure, path, look.spectrogram_palette())


def title_of(
    click: Click,
    number: int | None,
    method: str | None,
    sample_rate: int,
    channels: int,
    why: str = "",
) -> str:
    """Return what is to be said of a click: when, where, how long, how sure, and what was done."""
    parts = [
        f"{'Click' if number is None else f'Click {number}'} at "
        f"{format_time(click.start / sample_rate)}",
        " ".join(filter(None, [click.kind.value, channel_name(click.channel, channels)])),
        f"{(click.stop - click.start) * 1e3 / sample_rate:.2f} ms",
        f"confidence {click.confidence:.2f}",
    ]
    if click.tail > click.stop:
        parts.insert(3, f"tail {(click.tail - click.stop) * 1e3 / sample_rate:.1f} ms")
    if method is not None:
        fate = {"left": ": ".join(filter(None, ["left alone", why])), UNDONE: "put back"}
        parts.append(fate.get(method, f"mended by {method}"))
    return "  ·  ".join(parts)


def _waves(
    axes: Any, at_ms: FloatArray, before: FloatArray, after: FloatArray, low: float, high: float
) -> None:
    """Draw both waves over ``[low, high]`` ms, with a dot for each sample where few are seen."""
    near = slice(int(np.searchsorted(at_ms, low)), int(np.searchsorted(at_ms, high)) + 1)
    seen = at_ms[near].size
    dots = {"marker": ".", "markersize": 4} if seen < 250 else {}
    width = 1.3 if seen < 1500 else 0.8
    axes.plot(at_ms[near], before[near], color=look.BEFORE, linewidth=width, label="before", **dots)
    axes.plot(at_ms[near], after[near], color=look.AFTER, linewidth=width, label="after", **dots)
    look.style(axes)


def _shade(axes: Any, click: Click, origin: int, per_ms: float, left: bool) -> None:
    edges = [(frame - origin - 0.5) / per_ms for frame in (click.start, click.stop, click.tail)]
    if left:
        axes.axvspan(edges[0], edges[1], **_HATCHED, zorder=0)
        return
    axes.axvspan(edges[0], edges[1], color=look.CORE, alpha=0.30, linewidth=0, zorder=0)
    if click.tail > click.stop:
        axes.axvspan(edges[1], edges[2], color=look.TAIL, alpha=0.22, linewidth=0, zorder=0)


def _legend(figure: Any, axes: Any, tails: bool, left: bool) -> None:
    from matplotlib.patches import Patch

    handles, _ = axes.get_legend_handles_labels()
    handles.append(Patch(color=look.CORE, alpha=0.35, label="core: the music is lost"))
    if tails:
        handles.append(Patch(color=look.TAIL, alpha=0.35, label="tail: the music is under it"))
    if left:
        handles.append(Patch(**_HATCHED, label="found, and left alone"))
    figure.legend(
        handles=handles, fontsize=9, ncols=5, frameon=False, loc="upper left",
        bbox_to_anchor=(0.064, 0.945), borderaxespad=0.1, handlelength=1.4, columnspacing=1.4,
    )  # fmt: skip
