"""MIDI to sound, by FluidSynth and soundfonts; chords to MIDI, by MMA."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from declick.clicks import FloatArray
from declick.errors import MissingExtraError, ReadError
from declick.train.midi import mute

_LONGEST_WAIT_S = 300.0
_FADE_S = 0.05
_FRAME_BYTES = 8  # two float32
_GROOVE = re.compile(r"^\s*DefGroove\s+(\S+)", re.MULTILINE | re.IGNORECASE)
_NOT_ALONE = re.compile(r"(intro|end|fill)\d*$", re.IGNORECASE)

# Degrees of a major key with the chords' kinds: progressions that every style plays well.
_PROGRESSIONS = (
    ((0, ""), (9, "m"), (5, ""), (7, "7")),
    ((0, "maj7"), (9, "m7"), (2, "m7"), (7, "7")),
    ((0, "7"), (5, "7"), (0, "7"), (7, "7")),
    ((9, "m"), (5, ""), (0, ""), (7, "")),
    ((2, "m7"), (7, "7"), (0, "maj7"), (9, "7")),
    ((0, ""), (5, ""), (7, ""), (5, "")),
    ((9, "m"), (2, "m"), (4, "7"), (9, "m")),
    ((0, ""), (4, "7"), (9, "m"), (2, "7")),
)
_NAMES = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")


def play(data: bytes, font: Path, *, sample_rate: int, longest_s: float, wet: bool) -> FloatArray:
    """Render MIDI with one soundfont.

    Parameters
    ----------
    data : bytes
        A MIDI file.
    font : Path
    sample_rate : int
    longest_s : float
        The rest is not rendered; the end is faded.
    wet : bool
        With the synthesizer's reverberation and chorus.

    Returns
    -------
    ndarray, shape (frames, 2)
        May exceed full scale.

    Raises
    ------
    MissingExtraError
        If FluidSynth is not there.
    """
    program = shutil.which("fluidsynth")
    if program is None:
        raise MissingExtraError("fluidsynth is not installed: apt-get install fluidsynth")
    effects = "1" if wet else "0"
    most = round(longest_s * sample_rate)
    reading, writing = os.pipe()
    with tempfile.NamedTemporaryFile(prefix="declick-", suffix=".mid") as score:
        score.write(data)
        score.flush()
        command = [program, "-q", "-n", "-i", "-g", "0.5", "-R", effects, "-C", effects]
        command += ["-r", str(sample_rate), "-T", "raw", "-O", "float"]
        # A pipe, so that a score without end can be left when it has played long enough; by its
        # name, since the synthesizer has messages of its own for standard output.
        command += ["-F", f"/dev/fd/{writing}", str(font), score.name]
        with os.fdopen(reading, "rb") as pipe:
            process = subprocess.Popen(
                command,
                pass_fds=(writing,),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            os.close(writing)
            watch = threading.Timer(_LONGEST_WAIT_S, process.kill)
            watch.start()
            try:
                raw = pipe.read(most * _FRAME_BYTES)
            finally:
                process.kill()
                process.wait()
                watch.cancel()
    samples = np.frombuffer(raw[: len(raw) // _FRAME_BYTES * _FRAME_BYTES], dtype="<f4")
    result = samples.reshape(-1, 2).astype(np.float64)
    if result.shape[0] == most:
        fade = min(round(_FADE_S * sample_rate), most)
        result[-fade:] *= np.linspace(1.0, 0.0, fade)[:, None]
    return result


def play_parts(
    data: bytes,
    parts: Sequence[tuple[Path, frozenset[int]]],
    *,
    sample_rate: int,
    longest_s: float,
    wet: bool,
) -> FloatArray:
    """Render MIDI with several soundfonts, each for the channels that are not its own to leave out.

    Parameters
    ----------
    data : bytes
    parts : sequence of (Path, frozenset of int)
        Soundfonts with the channels that they leave out.
    sample_rate, longest_s, wet
        As for `play`.

    Raises
    ------
    ReadError
        If they make no sound.
    """
    sounds = [
        play(mute(data, channels), font, sample_rate=sample_rate, longest_s=longest_s, wet=wet)
        for font, channels in parts
    ]
    total = np.zeros((max(sound.shape[0] for sound in sounds), 2))
    for sound in sounds:
        total[: sound.shape[0]] += sound
    if not total.any():
        raise ReadError("FluidSynth made no sound of it")
    return total


def grooves(style: Path) -> list[str]:
    """Return the grooves that an MMA style file defines, without introductions and endings."""
    names = _GROOVE.findall(style.read_text(encoding="latin-1"))
    return [name for name in dict.fromkeys(names) if not _NOT_ALONE.search(name)]


def write_chords(names: Sequence[str], rng: np.random.Generator, bars: int) -> str:
    """Return an MMA score: drawn tempo, key and chords, the groove changing every eight bars."""
    tempo, key = int(rng.integers(80, 181)), int(rng.integers(12))
    lines = [f"RndSeed {int(rng.integers(1, 1 << 30))}", f"Tempo {tempo}"]
    bar = 1
    while bar <= bars:
        lines.append(f"Groove {names[int(rng.integers(len(names)))]}")
        chords = _PROGRESSIONS[int(rng.integers(len(_PROGRESSIONS)))]
        for _ in range(8):
            degree, kind = chords[(bar - 1) % 4]
            lines.append(f"{bar} {_NAMES[(degree + key) % 12]}{kind}")
            bar += 1
    return "\n".join(lines) + "\n"


def accompany(score: str) -> bytes:
    """Return the MIDI file that MMA makes of a score.

    Raises
    ------
    MissingExtraError
        If MMA is not there.
    ReadError
        If it makes nothing of it.
    """
    program = shutil.which("mma")
    if program is None:
        raise MissingExtraError("mma is not installed: apt-get install mma")
    with tempfile.TemporaryDirectory(prefix="declick-") as folder:
        source, result = Path(folder, "score.mma"), Path(folder, "score.mid")
        source.write_text(score, encoding="ascii")
        command = [program, str(source), "-f", str(result)]
        try:
            answer = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=_LONGEST_WAIT_S
            )
        except subprocess.TimeoutExpired:
            raise ReadError("mma: does not come to an end") from None
        if answer.returncode != 0 or not result.is_file():
            lines = (answer.stdout + answer.stderr).strip().splitlines() or ["nothing"]
            raise ReadError(f"mma: {lines[-1][:160]}")
        return result.read_bytes()
