"""Pairs of recordings to learn from: worn and mended, with the truth about every sample.

A folder of pairs is what ``declick damage`` and ``declick pairs`` write (``metadata.csv`` names
the files), or two folders ``before`` and ``after`` with the same names in both, or files that are
called ``x-before`` and ``x-after``.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from declick.clicks import Click, FloatArray, Kind
from declick.damage.apply import CORE_SHARE, TAIL_SHARE, Worn
from declick.damage.dataset import METADATA
from declick.damage.measure import find_core
from declick.damage.pairs import compare_pair
from declick.detect.sight import is_native
from declick.errors import LabelError, ReadError
from declick.labels import read_labels
from declick.read import Recording
from declick.train.worn import FAMILIES, WornExcerpt, stereo_truth

SOUNDS: Final = (".flac", ".wav", ".aif", ".aiff", ".w64", ".rf64", ".caf")
_SIDES: Final = (("before", "after"), ("damaged", "clean"), ("worn", "clean"))
# Differences this near to each other are of one click.
_JOINED_S: Final = 1e-3
_CORE_JOINED_S: Final = 1e-3
# The level that damage is measured by is that of the music so far to each side.
_LEVEL_S: Final = 0.05
_FLOOR: Final = 1e-3
# What exceeds the music for longer is a ring or a thump behind a core, not all of it lost.
_LONG_CORE_S: Final = 3e-3
# A difference that is longer is no click: an edit, a fade.
_LONGEST_S: Final = 0.5
_TICK_S: Final = 0.6e-3
# Level below which there is no difference: half a step of 16 bits.
_STILL: Final = 2.0**-17
_MOSTLY: Final = 0.5
# Damage above this share of the music's local level is none to learn as music, nor is what lies
# so near to it.
_WEAK: Final = 0.02
_NEAR_S: Final = 2e-3

Notice = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Two files that are a pair.

    Parameters
    ----------
    name : str
    before, after : Path
        The worn recording and the mended one.
    labels : Path, optional
        Where the music is lost, if that is known better than by their difference.
    aligned : bool
        Whether they are known to lie on each other to the frame and at the same level.
    """

    name: str
    before: Path
    after: Path
    labels: Path | None = None
    aligned: bool = False


def find_pairs(folder: Path) -> list[Paired]:
    """Return the pairs of a folder, by name.

    Raises
    ------
    ReadError
        If there are none.
    """
    if (folder / METADATA).exists():
        return _listed(folder)
    if not folder.is_dir():
        raise ReadError(f"{folder}: is not there; give a folder of recordings before and after")
    for names in _SIDES:
        sides = [_sounds(folder / name) for name in names]
        both = sorted(sides[0].keys() & sides[1].keys())
        if both:
            return [Paired(name=k, before=sides[0][k], after=sides[1][k]) for k in both]
    sounds = _sounds(folder)
    found = []
    for stem, path in sounds.items():
        for early, late in _SIDES:
            if not stem.lower().endswith(early):
                continue
            # Whatever stands between: "x-before", "x_before", "x before".
            other = sounds.get(stem[: -len(early)] + late)
            if other is not None:
                name = stem[: -len(early)].rstrip(" -_.") or stem
                found.append(Paired(name=name, before=path, after=other))
    if not found:
        raise ReadError(
            f"{folder}: has no pairs; name them x-before.wav and x-after.wav, or put them into "
            f"the folders before/ and after/ under the same names, or give a folder of "
            "'declick damage' or 'declick pairs'"
        )
    return sorted(found, key=lambda item: item.name)


def _sounds(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    return {p.stem: p for p in sorted(folder.iterdir()) if p.suffix.lower() in SOUNDS}


def _listed(folder: Path) -> list[Paired]:
    """Return the pairs of ``metadata.csv``."""
    path = folder / METADATA
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        pairs = [
            Paired(
                name=Path(row["file_name"]).stem,
                before=_inside(folder, row["file_name"]),
                after=_inside(folder, row["clean_file_name"]),
                labels=_inside(folder, row["labels"]) if row.get("labels") else None,
                aligned=True,
            )
            for row in rows
        ]
    except (OSError, KeyError, ValueError, csv.Error) as error:
        raise ReadError(
            f"{path}: is no list of pairs ({error!r}); it needs file_name and clean_file_name"
        ) from None
    if not pairs:
        raise ReadError(f"{path}: lists no pairs")
    return pairs


def _inside(folder: Path, name: str) -> Path:
    """Return a file of the folder, which a shared list may not lead out of."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ValueError(f"{name} lies outside")
    return folder / name


def read_pair(pair: Paired) -> WornExcerpt:
    """Read a pair with the truth that its difference tells.

    Raises
    ------
    ReadError
        If it cannot be read, or the second is not the first one mended.
    """
    with Recording.open(pair.before) as before, Recording.open(pair.after) as after:
        rate = before.sample_rate
        if not is_native(rate):
            raise ReadError(
                f"{pair.before}: is of {rate} Hz, and the network hears 40 to 54 kHz; resample both"
            )
        sound, clean = read_sides(pair, before, after)
        sound, clean = sound[:, :2], clean[:, :2]
        clicks = None
        if pair.labels is not None:
            try:
                clicks = read_labels(
                    pair.labels, sample_rate=rate, frames=len(sound), channels=sound.shape[1]
                )
            except LabelError:
                # No clicks in it, so no labels: the difference tells the rest.
                clicks = None
    if clicks is None:
        sound, clean, clicks = tell_clicks(sound, clean, rate)
    return as_excerpt(sound, clean, clicks, rate, name=pair.name)


def read_sides(pair: Paired, before: Recording, after: Recording) -> tuple[FloatArray, FloatArray]:
    """Return the frames that both sides of a pair hold, at the level of the first.

    Raises
    ------
    ReadError
        If the second is not the first one mended.
    """
    if pair.aligned:
        if (before.frames, before.channels) != (after.frames, after.channels):
            raise ReadError(
                f"{pair.after}: is not as long as {pair.before}, or not of its channels"
            )
        return before.read(0, before.frames), after.read(0, after.frames)
    if (before.frames, before.channels) == (after.frames, after.channels):
        sound, clean = before.read(0, before.frames), after.read(0, after.frames)
        # Where this much is the same sample for sample, nothing else needs to be found out.
        if np.mean(np.abs(sound - clean) <= _STILL) >= _MOSTLY:
            return sound, clean
    pairing = compare_pair(before, after)
    if not pairing.usable:
        raise ReadError(f"{pair.after}: is not {before.name} mended: {pairing.faults[0]}")
    start = max(0, pairing.offset)
    stop = min(before.frames, after.frames + pairing.offset)
    sound = before.read(start, stop)
    clean = after.read(start - pairing.offset, stop - pairing.offset) / np.array(pairing.gains)
    # Rounding is no damage.
    floor = max(pairing.floor, _STILL)
    return sound, np.where(np.abs(sound - clean) > floor, clean, sound)


def as_excerpt(
    sound: FloatArray, clean: FloatArray, clicks: Sequence[Click], rate: int, *, name: str
) -> WornExcerpt:
    """Return a pair as what examples are taken of."""
    damage = sound - clean
    # A person mends weak clicks, too, and a repair changes more than it must.
    moved = np.abs(damage).max(axis=1) > _WEAK * _local_level(clean, rate)
    near = scipy.ndimage.maximum_filter1d(moved, 2 * round(_NEAR_S * rate) + 1)
    damage, cores = stereo_truth(damage, clicks)
    return WornExcerpt(
        sound=sound,
        damage=damage,
        cores=cores,
        laid=Worn(sound, clean, list(clicks), []),
        marks=tuple((click, _family(click, rate)) for click in clicks),
        sample_rate=rate,
        source=name,
        mode="pairs",
        unclear=np.asarray(near),
    )


def with_rings(drawn: WornExcerpt) -> WornExcerpt:
    """Return the same with all that is plainly damaged as cores, rings and knocks, too.

    Music under a ring is not lost, so it is no core elsewhere. But its shape is peculiar to the
    player, and here it is known to the sample: what can be told of it can be mended.
    """
    rate = drawn.sample_rate
    level = CORE_SHARE * _local_level(drawn.laid.clean, rate)
    cores = drawn.cores.copy()
    marks: list[tuple[Click, int]] = []
    for channel in range(drawn.laid.worn.shape[1]):
        own = [mark for mark in drawn.marks if mark[0].channel == channel]
        plain = np.abs(drawn.damage[:, channel]) > level
        for click, _ in own:
            plain[click.start : click.stop] = True
        spans = runs(plain, round(_CORE_JOINED_S * rate))
        starts = np.array([start for start, _ in spans], dtype=np.intp)
        for click, family in own:
            at = int(np.searchsorted(starts, click.start, side="right")) - 1
            start, stop = spans[at] if click.start < click.stop else (click.start, click.stop)
            cores[start:stop, channel] = True
            whole = replace(click, start=start, stop=stop, tail=max(stop, click.tail))
            marks.append((whole, family))
    if drawn.laid.worn.shape[1] == 1:
        cores[:, 1:] = cores[:, :1]
    return replace(drawn, cores=cores, marks=tuple(sorted(marks)))


def _family(click: Click, rate: int) -> int:
    """Return the family that the kind tells; a pop with a tail may be several."""
    name = click.kind.value
    if name == "pop" and click.tail - click.stop > 5e-3 * rate:
        return -1
    return FAMILIES.index(name) if name in FAMILIES else -1


# --- the truth of a difference -------------------------------------------------------------------


def tell_clicks(
    sound: FloatArray, clean: FloatArray, rate: int
) -> tuple[FloatArray, FloatArray, list[Click]]:
    """Find the clicks by which a recording differs from itself mended.

    Core: from where the difference first exceeds 30 % of the music's local level to where it last
    does, as `declick.damage.apply` has it; tail: to where it last exceeds 1 %. What differs for
    longer than half a second is no click, and counts as music.

    Parameters
    ----------
    sound, clean : ndarray, shape (frames, channels)
    rate : int
        In Hz.

    Returns
    -------
    sound, clean : ndarray
        The same but for what is no click, which is taken out of both.
    clicks : list of Click
        Ascending.
    """
    difference = sound - clean
    level = _local_level(clean, rate)
    clicks: list[Click] = []
    clean = clean.copy()
    for channel in range(sound.shape[1]):
        own = np.abs(difference[:, channel])
        for first, last in runs(own > _STILL, round(_JOINED_S * rate)):
            if last - first > _LONGEST_S * rate:
                clean[first:last, channel] = sound[first:last, channel]
                continue
            clicks += _clicks_of(difference[:, channel], level, first, last, channel, rate)
    return sound, clean, sorted(clicks)


def _local_level(clean: FloatArray, rate: int) -> FloatArray:
    """Return the rms level of the music around each frame, shape (frames,)."""
    energy = np.mean(clean**2, axis=1)
    reach = max(1, round(_LEVEL_S * rate))
    sums = np.concatenate([[0.0], np.cumsum(energy)])
    place = np.arange(energy.size)
    low, high = np.maximum(place - reach, 0), np.minimum(place + reach, energy.size)
    level = np.sqrt(np.maximum(sums[high] - sums[low], 0.0) / (high - low))
    return np.asarray(np.maximum(level, _FLOOR * math.sqrt(float(energy.mean())) + 1e-7))


def _clicks_of(
    difference: FloatArray, level: FloatArray, first: int, last: int, channel: int, rate: int
) -> Iterator[Click]:
    """Yield the clicks of one difference."""
    height = np.abs(difference[first:last])
    local = level[first:last]
    cores = runs(height > CORE_SHARE * local, round(_CORE_JOINED_S * rate))
    heard = np.flatnonzero(height > TAIL_SHARE * local)
    end = int(heard[-1]) + 1 if heard.size else last - first
    for number, (start, stop) in enumerate(cores):
        if stop - start > _LONG_CORE_S * rate:
            piece = height[start:stop, None]
            start, stop = (start + edge for edge in find_core(piece, np.zeros(1), rate))
        until = cores[number + 1][0] if number + 1 < len(cores) else end
        kind = Kind.TICK if stop - start <= _TICK_S * rate else Kind.POP
        yield Click(first + start, first + stop, first + max(stop, until), channel, 1.0, kind)


def runs(mask: NDArray[np.bool_], joined: int) -> list[tuple[int, int]]:
    """Return the runs of a mask, half-open; those no more than `joined` apart are one."""
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0))
    found: list[tuple[int, int]] = []
    for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if found and first - found[-1][1] <= joined:
            found[-1] = (found[-1][0], last)
        else:
            found.append((first, last))
    return found
