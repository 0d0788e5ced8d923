"""The stages between reading and writing: detect and repair, as generators over workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np

from declick.centre import centred
from declick.clicks import Click, Kind, Repair, disjoint_clicks
from declick.detect.beats import find_beats
from declick.detect.spans import (
    LARGEST_SHARE,
    RETURNING,
    PlainCounts,
    Span,
    count_plain,
    find_returning,
    find_spans,
    find_specks,
    fuse_spans,
    is_within_thump,
    lowered,
    name_kinds,
    name_scratches,
    swings_among,
    threshold,
)
from declick.detection import Detection
from declick.dsp.chain import Chain, estimate_chain
from declick.parallel import Workers
from declick.read import Recording
from declick.repair.choose import repair_passage
from declick.repair.passage import Passage, PassagePlan
from declick.rotation import find_rotation
from declick.settings import DetectSettings, RepairSettings
from declick.settle_stage import settled
from declick.stretches import Stretch, stretches_to_mend
from declick.tail_stage import with_tails
from declick.tiles import Patch, Tile, Told, make_detector, with_patches

# Tiles that tell how worn the record is, before any threshold is set.
PROBES: Final = 20

Progress = Callable[[str, float], None]
"""Called with the stage's name and the share of it that is done, 0..1."""


STAGES: Final = {"detect": 0.35, "measure": 0.25, "repair": 0.4}
"""Share of the whole time that each stage takes on an ordinary side. Writing goes on while repairs
are made.
"""


def ignore_progress(stage: str, share: float) -> None:
    """Report progress to nobody."""


def time_done(stage: str, share: float, lengths: Mapping[str, float]) -> float:
    """Return the time that is over where so much of a stage is done.

    Parameters
    ----------
    stage : str
        One of `lengths`.
    share : float
        0..1.
    lengths : mapping of str to float
        How long each stage takes, in their order.
    """
    names = list(lengths)
    before = names[: names.index(stage)]
    return sum(lengths[name] for name in before) + share * lengths[stage]


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
    recording = centred(recording)
    rate = recording.sample_rate
    patches: list[Patch] = []
    spans = _with_returning(_spans(recording, settings, workers, progress), patches, rate)
    fused = fuse_spans(spans, sample_rate=rate, frames=recording.frames)
    most = LARGEST_SHARE * recording.frames
    found = [_click_of(span) for span in fused if span.stop - span.start <= most]
    clicks = with_patches(found, patches)
    if not make_detector(settings, rate).finds_whole_cores:
        clicks = disjoint_clicks(settled(recording, clicks, workers, progress))
    beats = find_beats(recording.read, clicks, sample_rate=rate) if settings.spare_beats else set()
    clicks = [click for click in clicks if click not in beats]
    chain = Chain()
    if settings.find_tails and clicks:
        swings = swings_among(clicks, sample_rate=rate)
        clicks = [click for click in clicks if click not in swings]
        chain = estimate_chain(recording.read, clicks, sample_rate=rate, apply=workers.map)
        clicks, chain = with_tails(
            recording, clicks, chain, workers, lambda done: progress("measure", 0.5 + 0.5 * done)
        )
        thumps = [click for click in clicks if click.kind is Kind.THUMP]
        others = [click for click in swings if not is_within_thump(click, thumps)]
        clicks = disjoint_clicks(sorted([*clicks, *others]))
    clicks = name_kinds(clicks, sample_rate=rate)
    times = np.array([click.start for click in clicks], dtype=np.float64) / rate
    rotation = find_rotation(times)
    if rotation is not None:
        clicks = name_scratches(clicks, sample_rate=rate, period_s=rotation.period_s)
    spared = [replace(beat, estimate=None) for beat in name_kinds(sorted(beats), sample_rate=rate)]
    return Detection(clicks=clicks, chain=chain, rotation=rotation, beats=tuple(spared))


def estimate_damage(
    recording: Recording,
    clicks: Sequence[Click],
    settings: DetectSettings = DetectSettings(),
    *,
    own: bool = True,
    workers: Workers | None = None,
) -> list[Click]:
    """Return clicks with what was added to the music there, as `detect` would tell it.

    Parameters
    ----------
    recording : Recording
    clicks : sequence of Click
        Ascending.
    settings : DetectSettings
        Of them, the detector and its weights.
    own : bool
        Whether it has told the cores, too; else they are taken at their word.
    workers : Workers, optional
    """
    detector = make_detector(settings, recording.sample_rate)
    if not detector.finds_whole_cores:
        return list(clicks)
    length = detector.geometry.tile
    numbers = {
        number
        for click in clicks
        for number in range(click.start // length, (click.stop - 1) // length + 1)
    }
    tiles = (
        Tile.cut(recording, number * length, settings, detector.geometry)
        for number in sorted(numbers)
    )
    patches: list[Patch] = []
    for told in (workers or Workers(1)).map(_tell_patches, tiles):
        patches += told
    return with_patches(clicks, patches, own=own)


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
    stretches = stretches_to_mend(recording, clicks, settings=settings, chain=chain)
    yield from counted(workers.map(_repair_stretch, stretches), len(clicks), progress)


def counted(mended: Iterable[list[Repair]], count: int, progress: Progress) -> Iterator[Repair]:
    """Yield repairs, and tell what share of `count` is done."""
    done = 0
    for repairs in mended:
        yield from repairs
        done += len(repairs)
        progress("repair", done / count)
    progress("repair", 1.0)


def _click_of(span: Span) -> Click:
    return Click(span.start, span.stop, span.stop, span.channel, min(1.0, span.confidence))


@dataclass(frozen=True, kw_only=True)
class _Search:
    """A tile to be searched.

    Parameters
    ----------
    tile : Tile
    least, least_of_specks : float
        Probability from which on a sample counts; the same for what is short.
    told : Told, optional
        What is known of it already.
    """

    tile: Tile
    least: float
    least_of_specks: float
    told: Told | None = None


class _Found(NamedTuple):
    """What was found in a tile: above the threshold, little below it, and what was added there."""

    spans: list[Span]
    weaker: list[Span]
    patches: tuple[Patch, ...]


def _spans(
    recording: Recording, settings: DetectSettings, workers: Workers, progress: Progress
) -> Iterator[_Found]:
    """Yield what is found in each tile."""
    detector = make_detector(settings, recording.sample_rate)
    geometry = detector.geometry
    samples_at = _sample_places(recording.frames, geometry.tile)

    def tile(start: int) -> Tile:
        return Tile.cut(recording, start, settings, geometry)

    probes = workers.map(_probe_tile, map(tile, samples_at))
    probed = dict(zip(samples_at, probes, strict=True))
    counts = [count for count, _ in probed.values()]
    heard = sum(
        told.live * min(geometry.tile, recording.frames - start)
        for start, (_, told) in probed.items()
    )
    longer = [c.longer if detector.finds_whole_cores else c.all for c in counts]

    def a_second(found: Iterable[int]) -> float:
        return sum(found) * recording.sample_rate / max(heard, 1)

    plain_hz = a_second(c.all for c in counts)
    likely_hz = a_second(c.likely for c in counts)
    any_hz = a_second(max(c.all, c.likely) for c in counts)
    least, least_of_specks = (
        threshold(
            settings.sensitivity, plain_hz=own_hz, likely_hz=likely_hz, any_hz=any_hz, prior=prior
        )
        for prior, own_hz in (
            (detector.prior, a_second(longer)),
            (detector.prior_of_specks, plain_hz),
        )
    )

    def searches() -> Iterator[_Search]:
        for start in range(0, recording.frames, geometry.tile):
            known = probed.get(start)
            yield _Search(
                tile=tile(start),
                least=least,
                least_of_specks=least_of_specks,
                told=known and known[1],
            )
            progress("detect", min(1.0, (start + geometry.tile) / recording.frames))

    return workers.map(_search_tile, searches())


def _with_returning(
    tiles: Iterable[_Found], patches: list[Patch], sample_rate: float
) -> list[Span]:
    """Return what was found, and what the rotation of the disc makes likely enough.

    What was added to the music there goes into `patches`.
    """
    spans: list[Span] = []
    weaker: list[Span] = []
    for found in tiles:
        spans += found.spans
        weaker += found.weaker
        patches += found.patches
    rotation = find_rotation(np.array([span.start for span in spans]) / sample_rate)
    if rotation is not None:
        spans += find_returning(weaker, spans, sample_rate=sample_rate, period_s=rotation.period_s)
        spans.sort()
    return spans


def _sample_places(frames: int, tile: int) -> list[int]:
    """Return the starts of up to `PROBES` tiles, spread over the recording."""
    tiles = max(1, -(-frames // tile))
    count = min(PROBES, tiles)
    return [tile * (index * tiles // count) for index in range(count)]


def _probe_tile(tile: Tile) -> tuple[PlainCounts, Told]:
    """Return how many plain clicks a tile holds, and what is told of it (in a worker)."""
    told, rate = tile.listen(), tile.sample_rate
    plain = make_detector(tile.settings, rate).plain
    return count_plain(told.probability.spread(), sample_rate=rate, plain=plain), told


def _search_tile(search: _Search) -> _Found:
    """Return the spans of a tile, and others that are a little less likely (in a worker)."""
    told, start = search.told or search.tile.listen(), search.tile.start
    probability = told.probability.spread()
    spans = find_spans(probability, least=search.least, start=start)
    if search.least_of_specks < search.least:
        spans += find_specks(
            probability,
            least=search.least_of_specks,
            below=search.least,
            start=start,
            sample_rate=search.tile.sample_rate,
        )
        spans.sort()
    least = lowered(search.least, RETURNING)
    weaker = find_spans(probability, least=least, start=start, companions=False)
    weaker = [span for span in weaker if span.confidence < search.least]
    return _Found(spans, weaker, told.patches)


def _tell_patches(tile: Tile) -> tuple[Patch, ...]:
    """Return what was added to the music of a tile (in a worker)."""
    return tile.listen().patches


def passage_of(stretch: Stretch, plan: PassagePlan) -> Passage:
    """Return the passage that a plan of a stretch speaks of."""
    return Passage(
        start=plan.start,
        sample_rate=stretch.sample_rate,
        samples=stretch.sound[plan.start - stretch.start : plan.stop - stretch.start],
        valid=(0, stretch.frames),
        clicks=tuple(
            click for click in stretch.clicks if click.tail > plan.start and click.start < plan.stop
        ),
        own=plan.own,
    )


def _repair_stretch(stretch: Stretch) -> list[Repair]:
    """Mend the plans of a stretch (in a worker)."""
    repairs: list[Repair] = []
    for plan in stretch.plans:
        passage = passage_of(stretch, plan)
        repairs += repair_passage(passage, settings=stretch.settings, chain=stretch.chain)
    return repairs
