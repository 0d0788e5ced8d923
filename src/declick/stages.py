"""The stages between reading and writing: detect and repair, as generators over workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from declick.clicks import Click, FloatArray, Kind, Repair, disjoint_clicks
from declick.detect.ar import ArDetector
from declick.detect.spans import (
    Span,
    count_plain,
    find_spans,
    fuse_spans,
    name_kinds,
    name_scratches,
    threshold,
)
from declick.detect.tails import context_ms as tail_context_ms
from declick.detect.tails import find_tails
from declick.dsp.chain import Chain, estimate_chain
from declick.errors import SettingsError
from declick.parallel import Workers
from declick.read import Recording
from declick.repair.choose import repair_passage
from declick.repair.cores import settle_cores
from declick.repair.passage import Passage, PassagePlan, plan_passages
from declick.rotation import Rotation, find_rotation
from declick.settings import DetectSettings, RepairSettings

# A part of the work that goes to a worker at once, in frames.
STRETCH: Final = 1 << 18
# ... which is cut where nothing happens for this long, if it can be.
QUIET_S: Final = 0.03
# Tiles that tell how worn the record is, before any threshold is set.
PROBES: Final = 32

Progress = Callable[[str, float], None]
"""Called with the stage's name and the share of it that is done, 0..1."""


def ignore_progress(stage: str, share: float) -> None:
    """Report progress to nobody."""


@dataclass(frozen=True, kw_only=True)
class Detection:
    """What was found in a recording.

    Parameters
    ----------
    clicks : list of Click
        Ascending; per channel ``[start, tail)`` are disjoint.
    chain : Chain
        The playback chain's rings.
    rotation : Rotation or None
        The disc's period, where scratches tell it.
    """

    clicks: list[Click]
    chain: Chain
    rotation: Rotation | None


@dataclass(frozen=True, kw_only=True)
class _Tile:
    """One tile's sound for the detector."""

    start: int
    samples: NDArray[np.floating]
    sample_rate: float
    least: float


@dataclass(frozen=True, kw_only=True)
class _Stretch:
    """A stretch of sound with what lies in it, for one worker."""

    start: int
    samples: NDArray[np.floating]
    valid: tuple[int, int]
    sample_rate: int
    clicks: tuple[Click, ...]
    own: tuple[Click, ...] = ()
    plans: tuple[PassagePlan, ...] = ()
    settings: RepairSettings = field(default_factory=RepairSettings)
    chain: Chain = field(default_factory=Chain)
    find_tails: bool = True


def detect(
    recording: Recording,
    settings: DetectSettings = DetectSettings(),
    *,
    workers: Workers | None = None,
    progress: Progress = ignore_progress,
) -> Detection:
    """Find the damage of a recording.

    Parameters
    ----------
    recording : Recording
    settings : DetectSettings
    workers : Workers, optional
        By default the work is done in this process.
    progress : callable, optional

    Returns
    -------
    Detection

    Raises
    ------
    ReadError
        If the recording turns out to be broken, or holds NaN or infinite samples.
    """
    workers = workers or Workers(1)
    rate = recording.sample_rate
    spans = _spans(recording, settings, workers, progress)
    fused = fuse_spans(spans, sample_rate=rate, frames=recording.frames)
    clicks = [_click_of(span) for span in fused]
    chain = Chain()
    clicks = disjoint_clicks(_settled(recording, clicks, settings, workers, progress))
    if settings.find_tails:
        chain = estimate_chain(recording.read, clicks, sample_rate=rate)
    clicks = name_kinds(clicks, sample_rate=rate)
    times = np.array([click.start for click in clicks], dtype=np.float64) / rate
    rotation = find_rotation(times)
    if rotation is not None:
        clicks = name_scratches(clicks, sample_rate=rate, period_s=rotation.period_s)
    return Detection(clicks=clicks, chain=chain, rotation=rotation)


def repair(
    recording: Recording,
    clicks: Sequence[Click],
    settings: RepairSettings = RepairSettings(),
    *,
    chain: Chain = Chain(),
    workers: Workers | None = None,
    progress: Progress = ignore_progress,
) -> Iterator[Repair]:
    """Mend clicks.

    Parameters
    ----------
    recording : Recording
    clicks : sequence of Click
        Ascending; per channel ``[start, tail)`` disjoint and within the recording.
    settings : RepairSettings
    chain : Chain
        From `detect` or `estimate_chain`.
    workers : Workers, optional
    progress : callable, optional

    Yields
    ------
    Repair
        One for each click, ascending.
    """
    workers = workers or Workers(1)
    plans = plan_passages(clicks, sample_rate=recording.sample_rate, settings=settings)
    stretches = _stretches(recording, plans, clicks, settings, chain, progress)
    for repairs in workers.map(_repair_stretch, stretches):
        yield from repairs
    progress("repair", 1.0)


def redraw(recording: Recording, clicks: Iterable[Click], drawn: Recording) -> Iterator[Repair]:
    """Put samples that somebody has drawn in place of the clicks.

    Parameters
    ----------
    recording, drawn : Recording
        Of the same length, rate and channels; from the second the samples are taken.
    clicks : iterable of Click

    Yields
    ------
    Repair

    Raises
    ------
    SettingsError
        If the two recordings do not fit each other.
    """
    _check_drawn(recording, drawn)
    for click in clicks:
        samples = drawn.read(click.start, click.tail)[:, click.channel]
        yield Repair(click, samples, "draw")


def find_drawn(recording: Recording, drawn: Recording) -> list[Click]:
    """Return where the drawn recording differs; differences 1 ms apart are one click.

    Parameters
    ----------
    recording, drawn : Recording
        Of the same length, rate and channels.

    Raises
    ------
    SettingsError
        If the two recordings do not fit each other.
    """
    _check_drawn(recording, drawn)
    near = max(1, recording.sample_rate // 1000)
    found: dict[int, list[Click]] = {channel: [] for channel in range(recording.channels)}
    for before, after in zip(recording.blocks(STRETCH, 0), drawn.blocks(STRETCH, 0), strict=True):
        differs = before.samples != after.samples
        for channel, clicks in found.items():
            for frame in (np.flatnonzero(differs[:, channel]) + before.start).tolist():
                if clicks and frame - clicks[-1].stop < near:
                    last = clicks.pop()
                    clicks.append(Click(last.start, frame + 1, frame + 1, channel))
                else:
                    clicks.append(Click(frame, frame + 1, frame + 1, channel))
    return sorted(click for clicks in found.values() for click in clicks)


def _check_drawn(recording: Recording, drawn: Recording) -> None:
    shapes = [(r.sample_rate, r.channels, r.frames) for r in (recording, drawn)]
    if shapes[0] != shapes[1]:
        raise SettingsError(
            "{}: {} Hz, {} channels, {} frames, where {} has {}, {} and {}; "
            "draw on a copy of the whole recording".format(
                drawn.name, *shapes[1], recording.name, *shapes[0]
            )
        )


def _click_of(span: Span) -> Click:
    return Click(span.start, span.stop, span.stop, span.channel, min(1.0, span.confidence))


def _compact(samples: FloatArray, recording: Recording) -> NDArray[np.floating]:
    """Return samples in half the bytes where that loses nothing, for the way to a worker."""
    narrow = recording.subtype in ("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "FLOAT")
    return samples.astype(np.float32) if narrow else samples


def _spans(
    recording: Recording, settings: DetectSettings, workers: Workers, progress: Progress
) -> Iterator[Span]:
    """Yield what the detector finds above the threshold, tile by tile."""
    geometry = ArDetector(recording.sample_rate).geometry
    size = geometry.tile + 2 * geometry.context
    samples_at = _sample_places(recording.frames, geometry.tile)
    probes = (
        _Tile(
            start=start,
            samples=_compact(
                recording.read(start - geometry.context, start - geometry.context + size), recording
            ),
            sample_rate=recording.sample_rate,
            least=1.0,
        )
        for start in samples_at
    )
    plain = sum(workers.map(_count_plain, probes))
    heard = sum(min(geometry.tile, recording.frames - start) for start in samples_at)
    heard_s = heard * recording.channels / recording.sample_rate
    least = threshold(settings.sensitivity, plain_hz=plain / heard_s)

    def tiles() -> Iterator[_Tile]:
        for block in recording.blocks(geometry.tile, geometry.context):
            samples = _compact(block.samples, recording)
            if len(samples) < size:  # the last tile is as long as the others
                samples = np.pad(samples, ((0, size - len(samples)), (0, 0)))
            yield _Tile(
                start=block.start,
                samples=samples,
                sample_rate=recording.sample_rate,
                least=least,
            )
            progress("detect", min(1.0, (block.start + block.core) / recording.frames))

    for spans in workers.map(_detect_tile, tiles()):
        yield from spans


def _sample_places(frames: int, tile: int) -> list[int]:
    """Return the starts of up to `PROBES` tiles, spread over the recording."""
    tiles = max(1, -(-frames // tile))
    count = min(PROBES, tiles)
    return [tile * (index * tiles // count) for index in range(count)]


def _count_plain(tile: _Tile) -> int:
    """Return how many plain clicks a tile holds (in a worker)."""
    return count_plain(_detector(tile.sample_rate)(tile.samples.astype(np.float64)))


def _detect_tile(tile: _Tile) -> list[Span]:
    """Return the spans of a tile (in a worker)."""
    probability = _detector(tile.sample_rate)(tile.samples.astype(np.float64))
    return find_spans(probability, least=tile.least, start=tile.start)


def _detector(sample_rate: float) -> ArDetector:
    """Return the detector for a sample rate."""
    return ArDetector(sample_rate)


def _settled(
    recording: Recording,
    clicks: Sequence[Click],
    settings: DetectSettings,
    workers: Workers,
    progress: Progress,
) -> Iterator[Click]:
    """Yield the clicks with settled cores, their tails and, for thumps, their kind."""
    rate = recording.sample_rate
    context = round((tail_context_ms if settings.find_tails else 150.0) * 1e-3 * rate)
    apart = round(QUIET_S * rate)

    def stretches() -> Iterator[_Stretch]:
        first = 0
        while first < len(clicks):
            start, last = clicks[first].start, first + 1
            while last < len(clicks) and clicks[last].start < start + STRETCH:
                gap = clicks[last].start - clicks[last - 1].stop
                if gap > apart and clicks[last].start > start + STRETCH // 2:
                    break
                last += 1
            low, high = start - context, clicks[last - 1].stop + context
            yield _Stretch(
                start=low,
                samples=_compact(recording.read(low, high), recording),
                valid=(0, recording.frames),
                sample_rate=rate,
                clicks=tuple(_between(clicks, first, last, low, high)),
                own=tuple(clicks[first:last]),
                find_tails=settings.find_tails,
            )
            progress("measure", last / len(clicks))
            first = last

    for found in workers.map(_settle_stretch, stretches()):
        yield from found


def _settle_stretch(stretch: _Stretch) -> list[Click]:
    """Return the own clicks of a stretch with settled cores and tails (in a worker)."""
    samples = stretch.samples.astype(np.float64)
    own = set(stretch.own)
    found: list[Click] = []
    for channel in sorted({click.channel for click in stretch.own}):
        clicks = [c for c in stretch.clicks if c.channel == channel and c.start >= stretch.start]
        sound = np.ascontiguousarray(samples[:, channel])
        given = [(c.start - stretch.start, c.stop - stretch.start) for c in clicks]
        settled = settle_cores(sound, given, sample_rate=stretch.sample_rate)
        cores = [(core.start, core.stop) for core in settled]
        tails: list[tuple[int, Kind | None]] = [(core.stop, None) for core in settled]
        if stretch.find_tails:
            tails = find_tails(sound, cores, sample_rate=stretch.sample_rate, channel=channel)
        for core, (tail, kind) in zip(settled, tails, strict=True):
            members = clicks[core.first : core.last + 1]
            if members[0] in own:
                stop = min(core.stop + stretch.start, stretch.valid[1])
                found.append(
                    Click(
                        start=max(core.start + stretch.start, stretch.valid[0]),
                        stop=stop,
                        tail=max(stop, min(tail + stretch.start, stretch.valid[1])),
                        channel=channel,
                        confidence=max(click.confidence for click in members),
                        kind=kind or Kind.TICK,
                    )
                )
    return sorted(found)


def _between(
    clicks: Sequence[Click], first: int, last: int, low: int, high: int
) -> Iterator[Click]:
    """Yield ``clicks[first:last]`` with the neighbours that reach into ``[low, high)``."""
    while first > 0 and clicks[first - 1].start > low - STRETCH:
        first -= 1
    while last < len(clicks) and clicks[last].start < high:
        last += 1
    for click in clicks[first:last]:
        if click.tail > low and click.start < high:
            yield click


def _stretches(
    recording: Recording,
    plans: Iterable[PassagePlan],
    clicks: Sequence[Click],
    settings: RepairSettings,
    chain: Chain,
    progress: Progress,
) -> Iterator[_Stretch]:
    """Gather plans whose sound is read at once."""
    first = done = 0

    def stretch(batch: list[PassagePlan]) -> _Stretch:
        nonlocal first, done
        low, high = min(p.start for p in batch), max(p.stop for p in batch)
        count = sum(len(plan.own) for plan in batch)
        around = tuple(_between(clicks, done, done + count, low, high))
        done += count
        progress("repair", done / len(clicks))
        return _Stretch(
            start=low,
            samples=_compact(recording.read(low, high), recording),
            valid=(0, recording.frames),
            sample_rate=recording.sample_rate,
            clicks=around,
            plans=tuple(batch),
            settings=settings,
            chain=chain,
        )

    batch: list[PassagePlan] = []
    for plan in plans:
        if batch and plan.stop - batch[0].start > STRETCH:
            yield stretch(batch)
            batch = []
        batch.append(plan)
    if batch:
        yield stretch(batch)


def _repair_stretch(stretch: _Stretch) -> list[Repair]:
    """Mend the plans of a stretch (in a worker)."""
    samples = stretch.samples.astype(np.float64)
    repairs: list[Repair] = []
    for plan in stretch.plans:
        passage = Passage(
            start=plan.start,
            sample_rate=stretch.sample_rate,
            samples=samples[plan.start - stretch.start : plan.stop - stretch.start],
            valid=stretch.valid,
            clicks=tuple(
                click
                for click in stretch.clicks
                if click.tail > plan.start and click.start < plan.stop
            ),
            own=plan.own,
        )
        repairs += repair_passage(passage, settings=stretch.settings, chain=stretch.chain)
    return repairs
