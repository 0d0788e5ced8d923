"""Compare synthetic clicks with real ones, both as ``declick harvest`` cuts them from groove noise.

Writes the numbers (JSON), draws them, and puts them in a table of the docs. What an earlier
synthesizer gave stays in the JSON under ``before``: it was measured once, by the same code, with
the synthesizer of version 0.1.

    python benchmarks/compare_clicks.py --groove DIR
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from declick import __version__
from declick.clicks import FloatArray
from declick.damage.apply import wear
from declick.damage.bank import OCTAVES_HZ, BankedClick
from declick.damage.draw import WearSettings, draw_wear
from declick.damage.harvest import harvest
from declick.damage.model import Family
from declick.read import Recording

ROOT = Path(__file__).resolve().parent.parent
RATE = 44100
RECORDS, SECONDS = 12, 20.0
# Weaker ones are half noise; of each record as many at most, so that none outvotes the others.
LEAST_DB, MOST = 15.0, 120
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
WIDTHS_MS = np.geomspace(0.03, 5.0, 23)
COLOURS = {"real": "black", "before": "#d95f02", "synthetic": "#1b9e77"}
LABELS = {"real": "real", "before": "synthetic, before", "synthetic": "synthetic, now"}


def chosen(clicks: Sequence[BankedClick], seed: int) -> list[BankedClick]:
    strong = [click for click in clicks if click.level_db >= LEAST_DB]
    order = np.random.default_rng(seed).permutation(len(strong))[:MOST]
    return [strong[index] for index in np.sort(order)]


def half_waves(click: BankedClick) -> int:
    """Count the half waves of the core that are higher than a fifth of its peak."""
    channel = int(np.argmax(np.max(np.abs(click.samples), axis=0)))
    core = click.samples[max(0, click.core_start - 2) : click.core_stop + 2, channel]
    high = core[np.abs(core) > 0.2 * np.max(np.abs(core))]
    return 1 + int(np.count_nonzero(np.diff(np.sign(high))))


def tail_db(click: BankedClick) -> float:
    """Return the rms from 0.5 to 2 ms behind the core over the peak."""
    start = click.core_stop + round(0.5e-3 * click.sample_rate)
    tail = click.samples[start : start + round(1.5e-3 * click.sample_rate)].astype(np.float64)
    return (
        20.0 * math.log10(max(math.sqrt(float(np.mean(tail**2))) / click.peak, 1e-4))
        if (tail.size)
        else -80.0
    )


def alike(click: BankedClick) -> float:
    """Return the share of the core's energy that the channels have in common."""
    core = click.samples[click.core_start : click.core_stop].astype(np.float64)
    values = np.linalg.eigvalsh(core.T @ core)
    return float(values[-1] / max(float(values.sum()), 1e-30))


def ratio(click: BankedClick) -> float:
    """Return the weaker channel over the stronger, with its sign."""
    return (
        click.right / click.left
        if abs(click.left) >= abs(click.right)
        else (click.left / click.right)
    )


def quantiles(values: Sequence[float]) -> list[float]:
    return [round(float(value), 4) for value in np.quantile(np.asarray(values), QUANTILES)]


def summarise(records: Sequence[Sequence[BankedClick]]) -> dict[str, Any]:
    """Return what is compared, of the clicks of several records."""
    picked = [chosen(clicks, seed) for seed, clicks in enumerate(records)]
    clicks = [click for some in picked for click in some]
    stereo = [click for click in clicks if click.channels == 2]
    stereo = [click for click in stereo if abs(click.left - click.right) > 1e-3]
    waves = np.bincount([min(half_waves(click), 8) for click in clicks], minlength=9)[1:]
    widths = [1e3 * click.width_s for click in clicks]
    rings = [click for click in clicks if click.ring_hz]
    return {
        "records": len(records),
        "clicks": len(clicks),
        "width_ms": quantiles(widths),
        "width_histogram": (np.histogram(widths, WIDTHS_MS)[0] / len(clicks)).round(4).tolist(),
        "half_waves": (waves / len(clicks)).round(4).tolist(),
        "octaves_db": [quantiles([click.spectrum_db[k] for click in clicks]) for k in range(9)],
        "tail_db": quantiles([tail_db(click) for click in clicks]),
        "level_over_least_db": quantiles([click.level_db - LEAST_DB for click in clicks]),
        "ratio": quantiles([ratio(click) for click in stereo]),
        "ratio_histogram": (np.histogram([ratio(c) for c in stereo], 20, (-1, 1))[0] / len(stereo))
        .round(4)
        .tolist(),
        "opposite_share": round(float(np.mean([ratio(click) < 0.0 for click in stereo])), 4),
        "one_wall_share": round(float(np.mean([abs(ratio(c)) < 0.18 for c in stereo])), 4),
        "alike": quantiles([alike(click) for click in stereo]),
        "ring_share": round(len(rings) / len(clicks), 4),
        "ring_hz": quantiles([click.ring_hz for click in rings]) if rings else [],
        "ring_decay_ms": quantiles([1e3 * click.ring_decay_s for click in rings]) if rings else [],
    }


def real_records(folder: Path) -> list[tuple[BankedClick, ...]]:
    records = []
    for path in sorted(folder.glob("*.[wf][al]*")):
        with Recording.open(path) as recording:
            # A loop would count its clicks several times.
            frames = round(3.25 * RATE) if "looped" in path.name else recording.frames
            records.append(harvest(recording, [(0, frames)]).clicks)
    return records


def noise_bed(seed: int) -> FloatArray:
    """Return hiss of a record's colour to lay the clicks on."""
    rng = np.random.default_rng(1000 + seed)
    white = rng.standard_normal((round(SECONDS * RATE), 2))
    spectrum = np.fft.rfft(white, axis=0)
    hertz = np.fft.rfftfreq(len(white), 1.0 / RATE)
    colour = (
        1.0 / np.sqrt(1.0 + (300.0 / np.maximum(hertz, 20.0)) ** 2) / (1.0 + (hertz / 9e3) ** 2)
    )
    sound = np.fft.irfft(spectrum * colour[:, None], len(white), axis=0)
    return np.asarray(1e-3 * sound / sound.std())


def synthetic_records() -> list[tuple[BankedClick, ...]]:
    settings = WearSettings(
        rates_hz={Family.TICK: 12.0, Family.POP: 1.0, Family.CRACKLE: 20.0}, level_db=8.0
    )
    records = []
    for seed in range(RECORDS):
        drawn = draw_wear(np.random.default_rng(seed), SECONDS, settings)
        worn = wear(noise_bed(seed), RATE, drawn).worn
        records.append(harvest(Recording.from_array(worn, RATE), [(0, len(worn))]).clicks)
    return records


def table(values: dict[str, Any]) -> str:
    """Return what the docs show of the numbers."""

    def quarters(entry: dict[str, Any], key: str, digits: int) -> str:
        return " · ".join(f"{value:.{digits}f}" for value in entry[key][1:4])

    def percent(share: float) -> str:
        return f"{100 * share:.0f} %"

    least = "level, dB above the least that was taken (median · 95 %)"
    rows: dict[str, list[str]] = {"": [], "---": []}
    for name, label in LABELS.items():
        entry = values[name]
        octaves, levels = entry["octaves_db"], entry["level_over_least_db"]
        cells = {
            "": label,
            "---": "---",
            "width of the core, ms (quartiles)": quarters(entry, "width_ms", 2),
            "4 half waves or more": percent(sum(entry["half_waves"][3:])),
            "octave of 250 Hz, 4 kHz, 16 kHz, dB": " · ".join(
                f"{octaves[index][2]:.0f}" for index in (2, 6, 8)
            ),
            "rms 0.5–2 ms behind the core, dB of the peak (quartiles)": quarters(
                entry, "tail_db", 0
            ),
            least: f"{levels[2]:.1f} · {levels[4]:.1f}",
            "opposite in left and right": percent(entry["opposite_share"]),
            "on one wall": percent(entry["one_wall_share"]),
            "a ring stands out": percent(entry["ring_share"]),
        }
        for title, cell in cells.items():
            # Two cells of the ruler are dashes, not signs.
            told = cell if title == "---" else cell.replace("-", "−")
            rows.setdefault(title, []).append(told)
    lines = [" | ".join([title, *cells]) for title, cells in rows.items()]
    return "\n".join(f"|{'' if line.startswith(' ') else ' '}{line} |" for line in lines)


def show(text: str, page: Path) -> None:
    """Put the table in the place of the old one."""
    lines = page.read_text(encoding="utf-8").split("\n")
    start = next(k for k, line in enumerate(lines) if line.startswith("| | real | "))
    stop = next(k for k in range(start, len(lines)) if not lines[k].startswith("|"))
    page.write_text("\n".join([*lines[:start], text, *lines[stop:]]), encoding="utf-8")


def draw(values: dict[str, Any], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 3, figsize=(11.0, 6.2), dpi=90, layout="constrained")
    width, octave, wave, stereo, level, tail = axes.flat
    shown = [name for name in COLOURS if name in values]
    for number, name in enumerate(shown):
        entry, style = values[name], {"color": COLOURS[name], "label": LABELS[name]}
        width.stairs(entry["width_histogram"], WIDTHS_MS, linewidth=1.6, **style)
        bands = np.array(entry["octaves_db"])
        octave.plot(OCTAVES_HZ, bands[:, 2], marker="o", markersize=3, **style)
        if name == "real":
            octave.fill_between(
                OCTAVES_HZ, bands[:, 1], bands[:, 3], color="black", alpha=0.12, linewidth=0
            )
        places = np.arange(1, 9) + 0.27 * (number - 1)
        wave.bar(places, entry["half_waves"], 0.25, **style)
        edges = np.linspace(-1, 1, 21)
        stereo.stairs(entry["ratio_histogram"], edges, linewidth=1.6, **style)
        level.plot(entry["level_over_least_db"], QUANTILES, marker="o", markersize=3, **style)
        tail.plot(entry["tail_db"], QUANTILES, marker="o", markersize=3, **style)
    width.set(xscale="log", title="Width of the core", xlabel="ms", ylabel="share of the clicks")
    octave.set(xscale="log", title="Spectrum (median)", xlabel="Hz", ylabel="energy in octave, dB")
    octave.set_ylim(bottom=-50)
    wave.set(title="Half waves in the core", xlabel="number (8: or more)", ylabel="share")
    stereo.set(title="Weaker channel over stronger", xlabel="ratio (< 0: opposite)", ylabel="share")
    level.set(
        title="Level", xlabel=f"dB above {LEAST_DB:.0f} dB over the noise", ylabel="share below"
    )
    tail.set(title="0.5–2 ms behind the core", xlabel="rms over peak, dB", ylabel="share below")
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    width.legend(frameon=False, fontsize=8)
    figure.savefig(path, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--groove", type=Path, help="folder of groove noise; else only draw")
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "real_clicks.json")
    parser.add_argument(
        "--picture", type=Path, default=ROOT / "docs" / "pictures" / "real-clicks.png"
    )
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "damage.md")
    options = parser.parse_args()
    values = json.loads(options.output.read_text()) if options.output.exists() else {}
    if options.groove is not None:
        values |= {
            "schema": "declick-real-clicks/1",
            "declick": __version__,
            "quantiles": QUANTILES,
            "octaves_hz": OCTAVES_HZ,
            "real": summarise(real_records(options.groove)),
            "synthetic": summarise(synthetic_records()),
        }
        options.output.write_text(json.dumps(values, indent=1) + "\n")
    draw(values, options.picture)
    show(table(values), options.page)


if __name__ == "__main__":
    main()
