"""``declick demo``: a worn record with a known truth, restored before your eyes."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import soundfile

from declick.cli.console import print_json, progress_bar
from declick.cli.lines import say
from declick.cli.names import make_folder
from declick.cli.results import describe, summary
from declick.clicks import FloatArray
from declick.damage.apply import wear
from declick.damage.draw import Family, WearSettings, draw_wear
from declick.damage.piece import synthesize_piece
from declick.errors import MissingExtraError, WriteError
from declick.inspect import draw_comparison
from declick.pipeline import restore
from declick.read import Recording
from declick.targets import check_targets
from declick.wording import count_of

_RATE = 44100
_DURATION_S = 20.0
_FILES = (
    "clean.flac",
    "worn.flac",
    "restored.flac",
    "removed.wav",
    "restored.json",
    "restored.png",
)
_WEAR = WearSettings(
    rates_hz={
        Family.TICK: 3.0,
        Family.POP: 0.5,
        Family.CRACKLE: 5.0,
        Family.RING: 0.1,
        Family.THUMP: 0.15,
    },
    scratches=1.0,
    level_db=6.0,
)


def run_demo(options: argparse.Namespace) -> int:
    """Synthesize a piece and a worn record of it; restore it; print the gain; draw it."""
    started = time.monotonic()
    folder: Path = options.output
    make_folder(folder)
    check_targets([folder / name for name in _FILES], overwrite=options.overwrite)
    clean = synthesize_piece(_DURATION_S, sample_rate=_RATE, seed=options.seed)
    drawn = draw_wear(np.random.default_rng(options.seed), _DURATION_S, _WEAR)
    laid = wear(clean, _RATE, drawn)
    worn = laid.worn
    for name, sound in (("clean", clean), ("worn", worn)):
        try:
            soundfile.write(folder / f"{name}.flac", sound, _RATE, subtype="PCM_24")
        except (OSError, soundfile.LibsndfileError) as error:
            raise WriteError(
                f"{folder}: cannot be written to ({error}); give another with -o"
            ) from None
    say(
        f"{_DURATION_S:.0f} s of music; {count_of(len(drawn.damages), 'click')} laid on it "
        f"({len(laid.clicks)}, counted on each channel)",
        quiet=options.quiet,
    )
    with Recording.open(folder / "worn.flac") as recording:
        with progress_bar("worn.flac", quiet=options.quiet) as progress:
            done = restore(
                recording,
                folder / "restored.flac",
                removed=folder / "removed.wav",
                report=folder / "restored.json",
                overwrite=options.overwrite,
                progress=progress,
            )
        elapsed = time.monotonic() - started
        text = describe(done, name=recording.name, elapsed_s=elapsed, duration_s=_DURATION_S)
        say(text, quiet=options.quiet)
    restored, _ = soundfile.read(folder / "restored.flac", always_2d=True)
    gain = snr_db(clean, restored) - snr_db(clean, worn)
    print_line = f"SNR {snr_db(clean, worn):.1f} dB worn, {snr_db(clean, restored):.1f} dB restored"
    say(f"{print_line}: {gain:.1f} dB gained", quiet=options.quiet)
    picture: Path | None = folder / "restored.png"
    try:
        draw_comparison(
            folder / "restored.png",
            clean,
            worn,
            restored,
            sample_rate=_RATE,
            clicks=done.detection.clicks,
            title="declick demo",
        )
    except MissingExtraError as error:
        picture = None
        say(f"declick: no picture: {error}", quiet=options.quiet)
    say(f"  -> {folder}{'' if picture is None else f', picture in {picture}'}", quiet=options.quiet)
    if options.json:
        values = summary(done, elapsed_s=elapsed, duration_s=_DURATION_S)
        values |= {"gain_db": round(gain, 2), "picture": None if picture is None else str(picture)}
        print_json(values)
    return 0


def snr_db(clean: FloatArray, sound: FloatArray) -> float:
    """Return the energy of the clean sound over that of the error, in dB."""
    return float(10 * np.log10(np.sum(clean**2) / max(float(np.sum((sound - clean) ** 2)), 1e-30)))
