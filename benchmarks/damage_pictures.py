"""Draw the pictures of docs/damage.md, from synthetic music.

    python benchmarks/damage_pictures.py [--out docs/pictures]

`damage-click.png`: one click from the stylus to the music. `damage-families.png`: each family, as
waveform and spectrogram. `damage-turns.png`: when clicks and scratches arrive.
"""

from __future__ import annotations

import argparse
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from declick.clicks import FloatArray, Kind
from declick.damage.apply import Worn, wear
from declick.damage.draw import Chain, Damage, Family, Ring, Wear, WearSettings, draw_wear
from declick.damage.piece import synthesize_piece
from declick.damage.render import render
from declick.damage.sets import SETS

RATE = 44100
CLEAN, WORN, LEFT, RIGHT = "#8a8a8a", "#c0392b", "#1f77b4", "#e08214"
SHOWN: dict[Family, tuple[float, float]] = {
    Family.TICK: (1.5, 6.0),
    Family.POP: (2.0, 14.0),
    Family.CRACKLE: (5.0, 45.0),
    Family.RING: (4.0, 36.0),
    Family.THUMP: (20.0, 180.0),
    Family.SCRATCH: (3.0, 17.0),
    Family.GOUGE: (4.0, 16.0),
    Family.DROPOUT: (6.0, 24.0),
}


def save(figure: Figure, path: Path) -> None:
    """Save with few colours, so that the repository stays small."""
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=80, format="png")
    Image.open(drawn).convert("RGB").quantize(128).save(path, optimize=True)
    print(path, path.stat().st_size // 1024, "KiB")


def tidy(axes: Any, title: str) -> None:
    axes.set_title(title, fontsize=9, loc="left")
    axes.tick_params(labelsize=7)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def show_span(axes: Any, done: Worn, start: int, stop: int, channel: int) -> None:
    """Draw one channel before and after, with cores and tails shaded."""
    time_ms = np.arange(stop - start) * 1e3 / RATE
    axes.plot(time_ms, done.worn[start:stop, channel], color=WORN, linewidth=0.9)
    axes.plot(time_ms, done.clean[start:stop, channel], color=CLEAN, linewidth=0.9)
    for click in done.clicks:
        if click.channel == channel and click.tail > start and click.start < stop:
            edges = [(edge - start) * 1e3 / RATE for edge in (click.start, click.stop, click.tail)]
            axes.axvspan(edges[0], edges[1], color=WORN, alpha=0.25, linewidth=0)
            axes.axvspan(edges[1], min(edges[2], time_ms[-1]), color=WORN, alpha=0.08, linewidth=0)
    axes.set_xlim(0.0, time_ms[-1])


def draw_click(path: Path) -> None:
    """From the stylus's velocity through the chain to the music."""
    chain = Chain(low_cut_hz=30.0)
    rings = (
        Ring(frequency_hz=chain.knock_hz, decay_s=chain.knock_decay_s, level_db=-10.0),
        Ring(frequency_hz=chain.hump_hz, decay_s=chain.hump_decay_s, level_db=-16.0),
    )
    damage = Damage(
        time_s=2.12, family=Family.POP, kind=Kind.POP, width_s=0.7e-3, level_db=12.0,
        left=1.0, right=-0.45, shape=(-0.4, 1.0, -0.25), lengths=(0.45, 0.25, 0.3), rings=rings,
    )  # fmt: skip
    flat = replace(chain, bass_s=0.0, treble_s=0.0, low_cut_hz=0.0)
    figure = Figure(figsize=(9.0, 5.2), layout="constrained")
    parts: Any = figure.subfigures(2, 1)
    three = parts[0].subplots(1, 3, sharex=True)
    steps = (
        ("1  the stylus is pushed: its velocity", replace(damage, rings=()), flat),
        ("2  after RIAA de-emphasis: a weak tail", replace(damage, rings=()), chain),
        ("3  cantilever and stylus ring", damage, chain),
    )
    for axes, (title, step, through) in zip(three, steps, strict=True):
        wave = render(step, 4 * RATE, through)
        time_ms = (np.arange(wave.samples.size) - wave.lead) * 1e3 / (4 * RATE)
        axes.plot(time_ms, wave.samples, color=WORN, linewidth=1.0)
        axes.set_xlim(-0.5, 6.0)
        axes.set_xlabel("ms", fontsize=7)
        tidy(axes, title)
    done = wear(
        synthesize_piece(4.0), RATE, Wear(seed=1, duration_s=4.0, chain=chain, damages=(damage,))
    )
    start = round(2.117 * RATE)
    for channel, axes in enumerate(parts[1].subplots(1, 2, sharey=True)):
        show_span(axes, done, start, start + round(0.014 * RATE), channel)
        axes.set_xlabel("ms", fontsize=7)
        tidy(axes, f"4  on music, {('left', 'right')[channel]}: core (dark) and tail (light)")
    save(figure, path)


def chosen(family: Family, clean: FloatArray) -> tuple[Worn, int]:
    """Return worn music and the frame of a typical click of a family."""
    duration_s = len(clean) / RATE
    if family is Family.SCRATCH:
        settings = WearSettings(rates_hz={}, scratches=1.5, level_db=4.0)
    else:
        rate = 60.0 if family is Family.CRACKLE else 1.0
        settings = WearSettings(
            rates_hz={family: rate},
            cluster_share=0.5 if family is Family.CRACKLE else 0.0,
            level_db=2.0,
        )
    done = wear(clean, RATE, draw_wear(np.random.default_rng(15), duration_s, settings))
    left = [
        item
        for item in done.laid
        if item.channel == 0 and item.click is not None and item.start > 0.3 * RATE
    ]
    strong = sorted(left, key=lambda item: item.click.stop - item.click.start)  # type: ignore[union-attr]
    item = strong[len(strong) * 2 // 3]
    assert item.click is not None
    return done, item.click.start


def draw_families(path: Path) -> None:
    """Each family as waveform and spectrogram."""
    clean = synthesize_piece(12.0)
    clean = clean + np.random.default_rng(1).standard_normal(clean.shape) * 1e-4
    figure = Figure(figsize=(9.0, 10.0), layout="constrained")
    grid = figure.subplots(len(SHOWN), 2, gridspec_kw={"width_ratios": [1.4, 1.0]})
    for (wave, spectrum), (family, (before_ms, after_ms)) in zip(grid, SHOWN.items(), strict=True):
        done, frame = chosen(family, clean)
        start = max(0, frame - round(before_ms * RATE / 1e3))
        stop = frame + round(after_ms * RATE / 1e3)
        show_span(wave, done, start, stop, 0)
        tidy(wave, family.value)
        middle = (start + stop) // 2
        reach = max(round(0.06 * RATE), stop - start)
        sound = done.worn[max(0, middle - reach) : middle + reach, 0]
        window = 128 if after_ms < 50 else 512
        spectrum.specgram(
            sound, NFFT=window, Fs=RATE / 1e3, noverlap=window * 7 // 8, vmin=-100, vmax=-30
        )
        tidy(spectrum, f"{family.value}, kHz over ms")
    save(figure, path)


def draw_turns(path: Path) -> None:
    """When clicks arrive: angle on the disc against the turn."""
    figure = Figure(figsize=(9.0, 3.4), layout="constrained")
    clustered, returning = figure.subplots(1, 2, sharey=True)
    for axes, settings, title in (
        (clustered, replace(SETS["tick"], turn_depth=0.8), "ticks: in bursts, thicker on one side"),
        (returning, SETS["scratch"], "scratches: come back with each turn, and slant"),
    ):
        drawn = draw_wear(np.random.default_rng(4), 90.0, settings)
        turn, angle = np.divmod([d.time_s for d in drawn.damages], 1.8)
        levels = np.array([damage.level_db for damage in drawn.damages])
        axes.scatter(angle * 200.0, turn, s=np.clip(levels + 6.0, 1.0, 30.0), color=WORN, alpha=0.6)
        axes.set_xlabel("angle on the disc, degrees", fontsize=8)
        axes.set_xlim(0, 360)
        tidy(axes, title)
    clustered.set_ylabel("turn", fontsize=8)
    save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs/pictures")
    folder = parser.parse_args().out
    draw_click(folder / "damage-click.png")
    draw_families(folder / "damage-families.png")
    draw_turns(folder / "damage-turns.png")


if __name__ == "__main__":
    main()
