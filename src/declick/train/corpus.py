"""Excerpts of clean sound, drawn from a corpus folder; ``python -m`` builds one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from declick.errors import DeclickError, ReadError, SettingsError
from declick.train.build import build_corpus, hours
from declick.train.manifest import Entry, Packing, read_manifest, save_manifest

__all__ = ["Corpus", "build_corpus", "pack", "read_manifest"]

_SHARD_BYTES = 60_000_000
_NPY_HEADER = 128
_INT16 = 2


class _Sounds(Protocol):
    def read(self, place: int, start: int, frames: int) -> NDArray[np.int16]:
        """Return frames ``(frames, channels)`` of an entry, by its place in the manifest."""


class Corpus:
    """Clean sound to draw from.

    A packed folder (`pack`) is read through memory maps, at some 7000 times real time; a plain one
    from its FLAC files, at some 1000 times.

    Parameters
    ----------
    folder : str or Path
        With a `manifest.json`.

    Attributes
    ----------
    manifest : Manifest
    sample_rate : int

    Raises
    ------
    ReadError
        If there is no corpus.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder)
        self.sample_rate = self.manifest.sample_rate
        packing = self.manifest.packing
        self._sounds: _Sounds = (
            _Files(self.folder, self.manifest.entries)
            if packing is None
            else _Shards(self.folder, self.manifest.entries, packing)
        )
        self._tables: dict[tuple[str, str, int], _Table] = {}

    def read(self, place: int, start: int, frames: int) -> NDArray[np.int16]:
        """Return frames ``(frames, channels)`` of an entry, by its place in the manifest."""
        return self._sounds.read(place, start, frames)

    def classes(self, split: str) -> dict[str, float]:
        """Return the classes that a split has, and their shares of the draws (sum 1)."""
        present = {entry.sound_class for entry in self.manifest.entries if entry.split == split}
        weights = self.manifest.weights
        shares = {name: weights[name] for name in weights if name in present and weights[name] > 0}
        if not shares:
            raise ReadError(f"{self.folder}: has nothing to draw for the split {split!r}")
        return {name: share / sum(shares.values()) for name, share in shares.items()}

    def draw(
        self,
        rng: np.random.Generator,
        split: str,
        seconds: float,
        *,
        sound_class: str | None = None,
    ) -> tuple[NDArray[np.float32], int, Entry]:
        """Draw one excerpt.

        Parameters
        ----------
        rng : numpy.random.Generator
        split : {"train", "valid"}
        seconds : float
        sound_class : str, optional
            Drawn by the recipe's weights otherwise.

        Returns
        -------
        samples : ndarray of float32, shape (frames, 2)
            Full scale is 1; mono is given twice.
        sample_rate : int
        entry : Entry
            What it was drawn from.
        """
        if sound_class is None:
            shares = self.classes(split)
            names = list(shares)
            sound_class = names[int(rng.choice(len(names), p=list(shares.values())))]
        frames = round(seconds * self.sample_rate)
        place, start = self._table(split, sound_class, frames).draw(rng)
        samples = self.read(place, start, frames)
        stereo = np.empty((frames, 2), dtype=np.float32)
        # One channel is laid into both.
        np.multiply(samples, np.float32(1 / 32768), out=stereo, casting="unsafe")
        return stereo, self.sample_rate, self.manifest.entries[place]

    def draw_classes(self, rng: np.random.Generator, split: str, count: int) -> list[str]:
        """Draw the classes of a batch: each has its share, to the next whole number, in any order.

        Parameters
        ----------
        rng : numpy.random.Generator
        split : {"train", "valid"}
        count : int
            Excerpts in the batch; from ``1 / share`` on, a class is in every batch.
        """
        shares = self.classes(split)
        names, ends = list(shares), np.cumsum(list(shares.values()))
        steps = (np.arange(count) + rng.random()) / count
        places = np.minimum(np.searchsorted(ends, steps, side="right"), len(names) - 1)
        return [names[int(place)] for place in rng.permutation(places)]

    def _table(self, split: str, sound_class: str, frames: int) -> _Table:
        key = (split, sound_class, frames)
        if key not in self._tables:
            table = _Table(self.manifest.entries, *key, self.manifest.source_weights)
            if not table.places.size:
                raise ReadError(
                    f"{self.folder}: no {sound_class} of the split {split!r} is "
                    f"{frames / self.sample_rate:g} s long"
                )
            self._tables[key] = table
        return self._tables[key]


class _Table:
    """Where excerpts of one length may begin, all beginnings of a class alike but for weights."""

    def __init__(
        self,
        entries: Sequence[Entry],
        split: str,
        sound_class: str,
        frames: int,
        source_weights: dict[str, float],
    ) -> None:
        rows = [
            (place, start, stop - frames + 1 - start, source_weights.get(entry.source, 1.0))
            for place, entry in enumerate(entries)
            if entry.split == split and entry.sound_class == sound_class
            for start, stop in entry.stretches()
            if stop - start >= frames
        ]
        self.places = np.array([row[0] for row in rows], dtype=np.intp)
        self.starts = np.array([row[1] for row in rows], dtype=np.intp)
        self.counts = np.array([row[2] for row in rows], dtype=np.intp)
        lengths = np.array([(row[2] + frames) * row[3] for row in rows], dtype=np.float64)
        self.ends = np.cumsum(lengths / lengths.sum()) if rows else lengths

    def draw(self, rng: np.random.Generator) -> tuple[int, int]:
        """Return the place of an entry and a first frame."""
        row = min(int(np.searchsorted(self.ends, rng.random(), side="right")), self.ends.size - 1)
        return int(self.places[row]), int(self.starts[row] + rng.integers(self.counts[row]))


class _Files:
    """Sounds of a plain corpus."""

    def __init__(self, folder: Path, entries: Sequence[Entry]) -> None:
        self._paths = [folder / entry.path for entry in entries]
        # Opening costs more than seeking.
        self._open = lru_cache(maxsize=256)(soundfile.SoundFile)

    def read(self, place: int, start: int, frames: int) -> NDArray[np.int16]:
        file = self._open(self._paths[place])
        file.seek(start)
        samples: NDArray[np.int16] = file.read(frames, dtype="int16", always_2d=True)
        return samples


class _Shards:
    """Sounds of a packed corpus."""

    def __init__(self, folder: Path, entries: Sequence[Entry], packing: Packing) -> None:
        self._starts = packing.starts
        self._channels = [entry.channels for entry in entries]
        self._size = packing.shard_samples
        try:
            self._shards = [np.load(folder / name, mmap_mode="r") for name in packing.shards]
        except (OSError, ValueError) as error:
            raise ReadError(f"{folder}: {error}; pack the corpus again") from None

    def read(self, place: int, start: int, frames: int) -> NDArray[np.int16]:
        channels = self._channels[place]
        first = self._starts[place] + start * channels
        last = first + frames * channels
        parts = [
            self._shards[shard][
                max(first - shard * self._size, 0) : min(last - shard * self._size, self._size)
            ]
            for shard in range(first // self._size, (last - 1) // self._size + 1)
        ]
        samples: NDArray[np.int16] = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return samples.reshape(frames, channels)


def pack(
    folder: str | Path,
    out: str | Path,
    *,
    shard_bytes: int = _SHARD_BYTES,
    most_s: float | None = None,
) -> None:
    """Copy a corpus into shards of int16 samples: fast to draw from, and small enough to send.

    Parameters
    ----------
    folder : str or Path
        A plain corpus.
    out : str or Path
        Gets the shards and a manifest; must not be `folder`.
    shard_bytes : int
        Largest file.
    most_s : float, optional
        At most that much of every sound, from its first stretch that may be drawn on.
    """
    folder, out = Path(folder), Path(out)
    manifest = read_manifest(folder)
    if manifest.packing is not None:
        raise SettingsError(f"{folder}: is packed already")
    out.mkdir(parents=True, exist_ok=True)
    size = (shard_bytes - _NPY_HEADER) // _INT16
    writer = _ShardWriter(out, size)
    entries, starts = [], []
    for entry in manifest.entries:
        samples, _ = soundfile.read(folder / entry.path, dtype="int16", always_2d=True)
        if most_s is not None:
            entry, samples = _shorten(entry, samples, round(most_s * manifest.sample_rate))
        entries.append(entry)
        starts.append(writer.written)
        writer.write(samples.reshape(-1))
    packing = Packing(shards=writer.close(), shard_samples=size, starts=tuple(starts))
    save_manifest(out, replace(manifest, entries=tuple(entries), packing=packing))


def _shorten(
    entry: Entry, samples: NDArray[np.int16], most: int
) -> tuple[Entry, NDArray[np.int16]]:
    start = entry.stretches()[0][0]
    start = max(0, min(start, entry.frames - most))
    stop = min(entry.frames, start + most)
    excluded = tuple(
        replace(item, start=max(item.start, start) - start, stop=min(item.stop, stop) - start)
        for item in entry.excluded
        if item.start < stop and item.stop > start
    )
    return replace(entry, frames=stop - start, excluded=excluded), samples[start:stop]


class _ShardWriter:
    """Cuts a stream of samples into files of the same size."""

    def __init__(self, folder: Path, size: int) -> None:
        self.written = 0
        self._folder, self._size = folder, size
        self._names: list[str] = []
        self._buffer = np.empty(size, dtype=np.int16)
        self._filled = 0

    def write(self, samples: NDArray[np.int16]) -> None:
        self.written += samples.size
        while samples.size:
            part = samples[: self._size - self._filled]
            self._buffer[self._filled : self._filled + part.size] = part
            self._filled += part.size
            samples = samples[part.size :]
            if self._filled == self._size:
                self._flush()

    def close(self) -> tuple[str, ...]:
        if self._filled:
            self._flush()
        return tuple(self._names)

    def _flush(self) -> None:
        name = f"shard-{len(self._names):03d}.npy"
        np.save(self._folder / name, self._buffer[: self._filled])
        self._names.append(name)
        self._filled = 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Build a corpus from the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m declick.train.corpus", description=__doc__)
    parser.add_argument("recipe", type=Path, help="a TOML file: recipes/surface-3/corpus.toml")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the corpus")
    parser.add_argument(
        "--packages", type=Path, help="packages unpacked with dpkg -x, a folder for each"
    )
    parser.add_argument(
        "--folder",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="where the scores are that the recipe calls NAME",
    )
    parser.add_argument("--only", action="append", default=[], help="make this source alone")
    parser.add_argument("--partial", action="store_true", help="do without what is missing")
    parser.add_argument("--pack", type=Path, help="then pack it into this folder")
    given = parser.parse_args(arguments)
    folders = dict(item.split("=", 1) for item in given.folder if "=" in item)
    try:
        manifest = build_corpus(
            given.recipe,
            given.output,
            packages=given.packages,
            folders={name: Path(path) for name, path in folders.items()},
            partial=given.partial,
            only=given.only,
            progress=sys.stderr.isatty(),
        )
        if given.pack is not None:
            pack(given.output, given.pack)
    except DeclickError as error:
        print(f"declick: {error}", file=sys.stderr)
        return 1
    for (split, name), amount in hours(manifest.entries, manifest.sample_rate).items():
        print(f"{split} {name}: {amount:.2f} h")
    print(f"{len(manifest.entries)} sounds, {len(manifest.rejected)} left out")
    return 0


if __name__ == "__main__":
    sys.exit(main())
