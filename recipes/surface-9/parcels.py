"""Cut a corpus into parcels that are small enough to send to a machine with a GPU.

    python recipes/surface-9/parcels.py packed -o parcels --megabytes 54

Every parcel is a sample of the whole: pieces of some seconds in random order, percussion as FLAC of
12 bits, the rest as Ogg Vorbis.
"""

from __future__ import annotations

import argparse
import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from declick.parallel import Workers
from declick.train.corpus import Corpus

_PIECE_S, _SHORTEST_S = 10.0, 6.5
_STEP = 16  # of 12 bits in 16
# libsndfile's scale: quality is 1 less this.
_COMPRESSION = 0.35


def cut(corpus: Corpus) -> list[tuple[int, int, int]]:
    """Return the pieces to train with: place in the manifest, first frame, frames."""
    rate = corpus.sample_rate
    longest, least = round(_PIECE_S * rate), round(_SHORTEST_S * rate)
    pieces = []
    for place, entry in enumerate(corpus.manifest.entries):
        if entry.split != "train":
            continue
        for start, stop in entry.stretches():
            parts = max(1, round((stop - start) / longest))
            edges = np.linspace(start, stop, parts + 1).astype(int)
            pieces += [(place, int(a), int(b - a)) for a, b in pairwise(edges) if b - a >= least]
    return pieces


def write(item: tuple[Path, NDArray[np.int16], int, bool]) -> Path:
    """Write a piece; return where."""
    path, samples, rate, percussion = item
    if samples.shape[1] == 2 and np.array_equal(samples[:, 0], samples[:, 1]):
        samples = samples[:, :1]
    if percussion:
        path = path.with_suffix(".flac")
        coarse = np.clip(np.rint(samples / _STEP) * _STEP, -32768, 32767 // _STEP * _STEP)
        soundfile.write(path, coarse.astype(np.int16), rate, subtype="PCM_16")
        return path
    path = path.with_suffix(".ogg")
    with soundfile.SoundFile(
        path, "w", rate, samples.shape[1], subtype="VORBIS", compression_level=_COMPRESSION
    ) as file:
        for start in range(0, len(samples), rate):
            file.write(samples[start : start + rate])
    return path


def main() -> None:
    """Cut and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--megabytes", type=float, default=54.0, help="of a parcel")
    parser.add_argument("--first", type=float, default=42.0, help="megabytes of the first")
    parser.add_argument("--most", type=int, default=12, help="parcels")
    given = parser.parse_args()
    corpus = Corpus(given.corpus)
    entries, rate = corpus.manifest.entries, corpus.sample_rate
    pieces = cut(corpus)
    order = np.random.default_rng(9).permutation(len(pieces))
    pending = given.output / "pending"
    pending.mkdir(parents=True, exist_ok=True)
    items = (
        (
            pending / f"{turn:05d}",
            corpus.read(*pieces[index]),
            rate,
            entries[pieces[index][0]].sound_class == "percussion",
        )
        for turn, index in enumerate(order)
    )
    number, size = 0, 0
    listed: list[list[object]] = []

    def close() -> None:
        values = {"sample_rate": rate, "weights": corpus.manifest.weights, "pieces": listed}
        path = given.output / f"m{number}" / "list.json"
        path.write_text(json.dumps(values), encoding="utf-8")

    with Workers(2) as pool:
        for index, path in zip(order, pool.map(write, items), strict=False):
            entry = entries[pieces[index][0]]
            folder = given.output / f"m{number}"
            folder.mkdir(exist_ok=True)
            size += path.stat().st_size
            path.replace(folder / path.name)
            weight = corpus.manifest.source_weights.get(entry.source, 1.0)
            label = f"{entry.sound_class}: {entry.source}"
            listed.append([path.name, entry.sound_class, label, weight])
            if size > 1e6 * (given.megabytes if number else given.first):
                close()
                number, size, listed = number + 1, 0, []
                if number == given.most:
                    break
    if listed:
        close()
    shutil.rmtree(pending)


if __name__ == "__main__":
    main()
