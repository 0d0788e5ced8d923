"""Pairs made of what people have: a rip and its repair, or two digitizations of one recording.

Of a rip and its repair the difference is the damage. Of a rip and another copy (the CD, a second
disc) the copy is laid along the rip and matched to it; where they disagree and the rip is to
blame, the copy tells what should be there, and everywhere else the rip itself is the truth. How
much of the music is left after the match (the null) says how far that can be trusted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from declick.align import Alignment, align, resample_along
from declick.clicks import Click, FloatArray, disjoint_clicks
from declick.copies.compare import Difference, Rendition, compare, tile_context
from declick.copies.guide import Matching
from declick.copies.judge import Side
from declick.damage.dataset import METADATA, Pair, write_flac, write_metadata
from declick.detect.survey import Geometry
from declick.errors import ReadError, WriteError
from declick.labels import write_labels
from declick.read import Recording
from declick.targets import check_targets
from declick.train.pairs import Paired, find_pairs, read_sides, tell_clicks

TRUSTED_DB: Final = 20.0
"""From this null on a copy tells what the music is."""
_TILE_HOPS: Final = 200
# Into the copy and out of it.
_FADE_S: Final = 0.5e-3
# A piece needs this share of trusted sound.
_ENOUGH: Final = 0.5

BoolArray = NDArray[np.bool_]
Notice = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class SharedPair(Pair):
    """A row of ``metadata.csv`` for a pair that was not synthesized.

    Parameters
    ----------
    null_db : float
        How far the music itself vanishes when the two are taken from each other, the median over
        the piece; 120 for a repair that left the rest as it was.
    trusted : float
        Share of the piece of which the truth is known, 0..1.
    """

    null_db: float
    trusted: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    """A recording and what it should be.

    Parameters
    ----------
    sound, clean : ndarray, shape (frames, channels)
        They differ where there is damage, and nowhere else.
    clicks : list of Click
    null_db : ndarray, shape (frames // cell,)
        Of each cell; NaN where nothing is known.
    cell : int
        Frames of a cell.
    sample_rate : int
    origin : str
        "repair" or "copy".
    """

    sound: FloatArray
    clean: FloatArray
    clicks: list[Click]
    null_db: FloatArray
    cell: int
    sample_rate: int
    origin: str


def tell_truth(a: Path, b: Path, notice: Notice = lambda line: None) -> Truth:
    """Find what a recording should be by another one.

    Parameters
    ----------
    a : Path
        The worn recording.
    b : Path
        Its repair or, if it is none, another digitization of the same recording.
    notice : callable
        Is told which.

    Raises
    ------
    ReadError
        If one cannot be read, or they are not the same recording.
    """
    with Recording.open(a) as before, Recording.open(b) as after:
        rate = before.sample_rate
        pair = Paired(name=a.stem, before=a, after=b)
        if before.sample_rate == after.sample_rate and before.channels == after.channels:
            try:
                sound, clean = read_sides(pair, before, after)
            except ReadError as error:
                # No reason to worry: copies of a record never agree sample by sample.
                notice(f"{error}; so it is taken for another copy, and laid along")
            else:
                sound, clean, clicks = tell_clicks(sound, clean, rate)
                cell = Geometry(rate).hop
                null = np.full(len(sound) // cell, 120.0)
                return Truth(
                    sound=sound, clean=clean, clicks=clicks, null_db=null, cell=cell,
                    sample_rate=rate, origin="repair",
                )  # fmt: skip
        else:
            notice(f"{b.name}: is taken for another copy, and laid along {a.name}")
        return _by_copy(before, after, align(before, after))


def _by_copy(a: Recording, b: Recording, alignment: Alignment) -> Truth:
    rate = a.sample_rate
    geometry = Geometry(rate)
    tile, context = _TILE_HOPS * geometry.hop, tile_context(rate)
    length = -(-a.frames // geometry.hop) * geometry.hop
    clean = a.read(0, length)
    sound = clean.copy()
    clicks: list[Click] = []
    nulls = []
    for start in range(0, length, tile):
        stop = min(start + tile, length)
        low, high = start - context, stop + context
        piece, other = a.read(low, high), resample_along(b, alignment, low, high)
        absent = ~_held(alignment, low, high)
        nothing = np.zeros(piece.shape, dtype=bool)
        copy = Rendition(
            samples=other, lost=nothing, absent=absent, cleaned=nothing, clipped=nothing
        )
        # What the first look finds keeps out of the fit of the second.
        found, _ = compare(piece, nothing, [copy], start=low, sample_rate=rate)
        lost = _mask(found, Side.RECORDING, low, piece.shape)
        other_lost = _mask(found, Side.COPY, low, piece.shape)
        copy = replace(copy, lost=other_lost)
        found, residual = compare(piece, lost, [copy], start=low, sample_rate=rate)
        lost = _mask(found, Side.RECORDING, low, piece.shape)
        null = -10.0 * np.log10(np.maximum(residual[0], 1e-12))
        nulls.append(null)
        sure = np.repeat(np.nan_to_num(null) >= TRUSTED_DB, geometry.hop)
        for channel in range(a.channels):
            matching = Matching(
                np.ascontiguousarray(piece[:, channel]),
                np.ascontiguousarray(other[:, channel]),
                lost[:, channel] | absent,
                other_lost[:, channel] | absent,
                start=low,
                sample_rate=rate,
            )
            guide = matching.guide((context, context + stop - start))
            known = sure & guide.held
            for item in found:
                first, last = item.start - start, min(item.stop, stop) - start
                if item.channel != channel or item.side is not Side.RECORDING or first < 0:
                    continue
                if first < last and known[first:last].all():
                    _lay(clean[start:stop, channel], guide.samples, first, last, rate)
                    begin, end = start + first, start + last
                    clicks.append(Click(begin, end, end, channel, 1.0))
    return Truth(
        sound=sound[: a.frames], clean=clean[: a.frames],
        clicks=[c for c in disjoint_clicks(clicks) if c.tail <= a.frames],
        null_db=np.concatenate(nulls), cell=geometry.hop, sample_rate=rate, origin="copy",
    )  # fmt: skip


def _lay(target: FloatArray, guide: FloatArray, first: int, last: int, rate: int) -> None:
    """Lay a stretch of the guide into a channel, faded at its ends."""
    fade = max(1, min(round(_FADE_S * rate), (last - first) // 2))
    weight = np.ones(last - first)
    ramp = (np.arange(fade) + 1.0) / (fade + 1.0)
    weight[:fade], weight[-fade:] = ramp, ramp[::-1]
    target[first:last] += weight * (guide[first:last] - target[first:last])


def _held(alignment: Alignment, low: int, high: int) -> BoolArray:
    held = np.zeros(high - low, dtype=bool)
    for start, stop in alignment.stretches():
        held[max(0, start - low) : max(0, stop - low)] = True
    return held


def _mask(found: Sequence[Difference], side: Side, low: int, shape: tuple[int, ...]) -> BoolArray:
    mask = np.zeros(shape, dtype=bool)
    for item in found:
        if item.side is side:
            mask[max(0, item.start - low) : max(0, item.stop - low), item.channel] = True
    return mask


# --- a folder to share ---------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Trust:
    """How far a stretch can be trusted; times in s, the null in dB."""

    start_s: float
    stop_s: float
    null_db: float


def trust_of(truth: Truth, every_s: float = 10.0) -> list[Trust]:
    """Return the median null of each stretch of about `every_s`; NaN where nothing is known."""
    cells = max(1, round(every_s * truth.sample_rate / truth.cell))
    told = []
    for first in range(0, len(truth.null_db), cells):
        part = truth.null_db[first : first + cells]
        known = part[np.isfinite(part)]
        scale = truth.cell / truth.sample_rate
        told.append(
            Trust(
                start_s=first * scale,
                stop_s=(first + part.size) * scale,
                null_db=float(np.median(known)) if known.size else math.nan,
            )
        )
    return told


def pack(
    truths: Sequence[tuple[str, Truth]],
    folder: Path,
    *,
    licence: str,
    seconds: float = 30.0,
    sources: Sequence[Path] = (),
    overwrite: bool = False,
) -> list[SharedPair]:
    """Write pairs as a folder that can be shared, as ``declick damage`` lays it out.

    Parameters
    ----------
    truths : sequence of (str, Truth)
        With the name of the recording.
    folder : Path
        Gets ``metadata.csv`` and the folders ``damaged``, ``clean`` and ``labels``.
    licence : str
        On what terms the sound may be used.
    seconds : float
        Of a piece. A piece of which less than half is trusted is left out.
    sources : sequence of Path
        That must not be written over.
    overwrite : bool

    Returns
    -------
    list of SharedPair
        The rows of ``metadata.csv``.

    Raises
    ------
    ReadError
        If nothing can be trusted.
    WriteError
        If something cannot be written.
    """
    rows: list[SharedPair] = []
    for name in ("damaged", "clean", "labels"):
        try:
            (folder / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WriteError(f"{folder}: cannot be made ({error.strerror})") from None
    check_targets([folder / METADATA], sources=sources, overwrite=overwrite)
    for stem, truth in truths:
        rate = truth.sample_rate
        step = round(seconds * rate)
        for number, start in enumerate(range(0, len(truth.sound), step)):
            stop = min(start + step, len(truth.sound))
            null = truth.null_db[
                start // truth.cell : max(start // truth.cell + 1, stop // truth.cell)
            ]
            sure = np.nan_to_num(null) >= TRUSTED_DB
            if not null.size or sure.mean() < _ENOUGH or stop - start < rate:
                continue
            clicks = [
                Click(
                    c.start - start,
                    c.stop - start,
                    min(c.tail, stop) - start,
                    c.channel,
                    1.0,
                    c.kind,
                )
                for c in truth.clicks
                if start <= c.start and c.stop <= stop
            ]
            label = f"{stem}-{number:03d}"
            paths = (f"damaged/{label}.flac", f"clean/{label}.flac", f"labels/{label}.txt")
            targets = [folder / path for path in paths]
            check_targets(targets, sources=sources, overwrite=overwrite)
            write_flac(targets[0], truth.sound[start:stop], rate)
            write_flac(targets[1], truth.clean[start:stop], rate)
            write_labels(targets[2], clicks, rate, channels=truth.sound.shape[1])
            rows.append(
                SharedPair(
                    file_name=paths[0], clean_file_name=paths[1], labels=paths[2], wear="",
                    set=truth.origin, seed=0, sample_rate=rate, channels=truth.sound.shape[1],
                    frames=stop - start, start=start, gain_db=0.0, damages=len(clicks),
                    clicks=len(clicks), source=stem, licence=licence, bank_licence="",
                    null_db=round(float(np.median(null[sure])), 1),
                    trusted=round(float(sure.mean()), 3),
                )
            )  # fmt: skip
    if not rows:
        raise ReadError("nothing of it can be trusted: the music itself differs too much")
    write_metadata(folder / METADATA, rows)
    return rows


def unpack(folder: Path, output: Path, *, overwrite: bool = False) -> list[Path]:
    """Write the pairs of a folder as ``x-before.flac`` and ``x-after.flac``, checked.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    ReadError
        If a pair is broken.
    WriteError
        If something exists already, or cannot be written.
    """
    output.mkdir(parents=True, exist_ok=True)
    written = []
    for pair in find_pairs(folder):
        with Recording.open(pair.before) as before, Recording.open(pair.after) as after:
            sound, clean = read_sides(pair, before, after)
            targets = [output / f"{pair.name}-{side}.flac" for side in ("before", "after")]
            check_targets(targets, sources=(pair.before, pair.after), overwrite=overwrite)
            for target, values in zip(targets, (sound, clean), strict=True):
                write_flac(target, values, before.sample_rate)
                written.append(target)
    return written
