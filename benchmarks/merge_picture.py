"""Draw what a second copy gives back: a dropout and a click.

    python benchmarks/merge_picture.py docs/pictures/merge-dropout.png

The music is synthetic; B is played on another turntable (1.3 % faster, wow 0.2 %), with noise and
clicks of its own.
"""

from __future__ import annotations

import sys

import matplotlib
import numpy as np
from matplotlib import pyplot

from declick.align import align, resample_along
from declick.align.simulate import Turntable, second_copy
from declick.clicks import FloatArray
from declick.damage.piece import synthesize_piece
from declick.pipeline import Second, restore
from declick.read import Recording

matplotlib.use("Agg")
RATE, SECONDS = 44100, 12.0
DROPOUT, CLICK = round(5.205 * RATE), round(7.31 * RATE)


def noise(rng: np.random.Generator, sound: FloatArray) -> FloatArray:
    level = np.sqrt((sound**2).mean()) * 10 ** (-45 / 20)
    added: FloatArray = level * rng.standard_normal(sound.shape)
    return added


def main() -> None:
    rng = np.random.default_rng(1)
    clean = synthesize_piece(SECONDS, sample_rate=RATE)
    turntable = Turntable(speed=1.013, start_s=-0.5, wow=0.002, flutter=0.0003)
    b = 0.8 * second_copy(clean, RATE, turntable, (SECONDS + 0.7) / turntable.speed)
    b = b + noise(rng, b)
    a = clean + noise(rng, clean)
    before = a.copy()
    a[DROPOUT : DROPOUT + RATE // 50] = 0.0
    a[CLICK : CLICK + 30] += (0.6 * np.exp(-np.arange(30) / 7) * np.cos(np.arange(30)))[:, None]
    rip, other = Recording.from_array(a, RATE), Recording.from_array(b, RATE)
    found = align(rip, other)
    after = restore(rip, seconds=[Second(recording=other, alignment=found)]).samples
    assert after is not None
    figure, axes = pyplot.subplots(3, 2, figsize=(11, 6.5), sharex="col", sharey="col")
    for column, (at, reach, length, title) in enumerate(
        (
            (DROPOUT, RATE // 50, RATE // 50, "a dropout of 20 ms"),
            (CLICK, RATE // 250, 30, "a click of 0.7 ms"),
        )
    ):
        low, high = at - reach, at + length + reach
        time_ms = (np.arange(low, high) - at) / RATE * 1e3
        theirs = resample_along(other, found, low, high)[:, 0] / found.gain_at(np.array([at]))[0, 0]
        for row, (sound, name, colour) in enumerate(
            (
                (a[low:high, 0], "A, your rip", "#c0392b"),
                (theirs, "B, laid along it", "#2471a3"),
                (after[low:high, 0], "A restored", "#1e8449"),
            )
        ):
            axis = axes[row, column]
            if row == 2:
                truth = before[low:high, 0]
                axis.plot(time_ms, truth, color="#bbbbbb", lw=3.0, label="before the damage")
            axis.plot(time_ms, sound, color=colour, lw=1.0, label=name)
            axis.axvspan(0, 1e3 * length / RATE, color="#f4d03f", alpha=0.25, lw=0)
            axis.legend(loc="upper right", fontsize=8, frameon=False)
            axis.set_yticks([])
        axes[0, column].set_title(title, fontsize=10)
        axes[2, column].set_xlabel("ms")
    figure.tight_layout()
    figure.savefig(sys.argv[1], dpi=90)


if __name__ == "__main__":
    main()
