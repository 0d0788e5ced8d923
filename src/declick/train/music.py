"""Where clean music for training comes from: a corpus, or any folder of audio files."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile

from declick.clicks import FloatArray
from declick.errors import ReadError
from declick.train.corpus import Corpus
from declick.train.manifest import NAME as MANIFEST


class Music(Protocol):
    """Where clean music comes from."""

    def draw(
        self, rng: np.random.Generator, split: str, seconds: float
    ) -> tuple[FloatArray, int, str]:
        """Return an excerpt (frames, channels), its sample rate, and the name of its source."""


class FolderMusic:
    """Clean music from any folder of audio files; every fourth is held out as "valid".

    Raises
    ------
    ReadError
        If there is no audio in it.
    """

    def __init__(self, folder: Path) -> None:
        found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".flac", ".wav"))
        if not found:
            raise ReadError(f"{folder}: holds no FLAC or WAV files; give a folder of clean music")
        self._paths = {"valid": found[3::4], "train": [p for i, p in enumerate(found) if i % 4 < 3]}

    def draw(
        self, rng: np.random.Generator, split: str, seconds: float
    ) -> tuple[FloatArray, int, str]:
        """Return an excerpt of one of the files, each as likely as the others."""
        paths = self._paths[split]
        path = paths[int(rng.integers(len(paths)))]
        info = soundfile.info(path)
        frames = min(info.frames, round(seconds * info.samplerate))
        start = int(rng.integers(info.frames - frames + 1))
        sound, rate = soundfile.read(path, start=start, frames=frames, always_2d=True)
        return sound[:, :2], int(rate), path.stem


def open_music(folder: Path) -> Music:
    """Return the music of a folder: of a corpus if it has a manifest, else of its files."""
    if (folder / MANIFEST).exists():
        return CorpusMusic(folder)
    return FolderMusic(folder)


class CorpusMusic:
    """Music of a corpus, with the name of its source.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self._corpus = Corpus(folder)

    def draw(
        self, rng: np.random.Generator, split: str, seconds: float
    ) -> tuple[FloatArray, int, str]:
        """Return an excerpt, its sample rate and the name of its source."""
        samples, rate, entry = self._corpus.draw(rng, split, seconds)
        return samples.astype(np.float64), rate, f"{entry.sound_class}: {entry.source}"
