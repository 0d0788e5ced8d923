"""Clean, damaged and restored sound side by side, for the demonstration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from declick.clicks import Click, FloatArray
from declick.inspect import figure as look
from declick.inspect.spectrogram import (
    common_scale,
    draw_spectrogram,
    envelope,
    spectrogram_db,
)

COLUMNS = 800


def draw_comparison(
    path: str | Path,
    clean: FloatArray | None,
    damaged: FloatArray,
    restored: FloatArray,
    *,
    sample_rate: int,
    clicks: Sequence[Click] = (),
    title: str = "",
) -> Path:
    """Draw the waves over one another, and the spectrograms below (PNG).

    Parameters
    ----------
    path : str or Path
    clean, damaged, restored : ndarray of float64, shape (frames, channels)
        `clean` is None for a real record. The spectrograms show the mean power of the channels,
        the wave its first channel.
    sample_rate : int
    clicks : sequence of Click
        What was found; marked under the wave.
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
    sounds = [("damaged", damaged), ("restored", restored)]
    if clean is not None:
        sounds.insert(0, ("clean", clean))
    figure = look.new_figure(11.5, 8.6)
    grid = figure.add_gridspec(
        1 + len(sounds), 2, width_ratios=[60, 1], wspace=0.03, hspace=0.14,
        left=0.065, right=0.935, top=0.915, bottom=0.055,
    )  # fmt: skip
    duration_s = damaged.shape[0] / sample_rate
    wave = figure.add_subplot(grid[0, 0])
    for sound, colour, name in (
        (damaged, look.BEFORE, "damaged"),
        (restored, look.AFTER, "restored"),
    ):
        least, greatest = envelope(sound[:, 0], COLUMNS)
        at_s = (np.arange(least.size) + 0.5) * duration_s / least.size
        wave.fill_between(at_s, least, greatest, color=colour, linewidth=0.5, label=name)
    peak = max(1e-3, float(np.max(np.abs(damaged[:, 0]))))
    if clicks:
        found_s = np.array([click.start for click in clicks]) / sample_rate
        wave.plot(
            found_s, np.full(found_s.size, -1.22 * peak), "|", color=look.INK,
            markersize=5, markeredgewidth=0.6, label="found",
        )  # fmt: skip
    wave.set_yticks([at for at in wave.get_yticks() if abs(at) <= 1.08 * peak])
    wave.set_ylim(-1.38 * peak, 1.08 * peak)
    wave.legend(
        fontsize=9, ncols=3, frameon=False, loc="lower right",
        bbox_to_anchor=(1.003, 0.985), borderaxespad=0.1, handlelength=1.2,
    )  # fmt: skip
    wave.set_title("wave", fontsize=10, loc="left", pad=4)
    look.style(wave)

    powers = [
        (name, *spectrogram_db(sound, sample_rate, window_ms=23.0, columns=COLUMNS))
        for name, sound in sounds
    ]
    scale_db = common_scale(*(power for _, power, _ in powers))
    for row, (name, power, highest_hz) in enumerate(powers, start=1):
        axes = figure.add_subplot(grid[row, 0], sharex=wave)
        image = draw_spectrogram(axes, power, highest_hz, (0.0, duration_s), scale_db)
        look.name_inside(axes, name)
        axes.tick_params(labelbottom=row == len(powers))
    look.time_axis(wave, duration_s)
    wave.set_xlim(0, duration_s)
    wave.tick_params(labelbottom=False)
    bar = figure.colorbar(image, cax=figure.add_subplot(grid[1:, 1]))
    bar.set_label("dB re full scale", fontsize=9)
    bar.ax.tick_params(labelsize=9)
    figure.suptitle(
        title or ", ".join(name for name, _ in sounds).capitalize(),
        x=0.065,
        y=0.972,
        ha="left",
        fontsize=13,
        parse_math=False,
    )
    return look.save_png(figure, path, look.spectrogram_palette())
