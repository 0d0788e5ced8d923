"""The stages between reading and writing: detect and repair, as generators over workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from declick.clicks import Click, Estimate, Repair, disjoint_clicks
from declick.detect.ar import ArDetector
from declick.detect.spans import (
    RETURNING,
    Span,
    count_plain,
    find_returning,
    find_spans,
    fuse_spans,
    lowered,
    name_kinds,
    name_scratches,
    threshold,
)
from declick.detect.tails import context_ms as tail_context_ms
from declick.detect.tails import find_tails
from declick.dsp.chain import Chain, estimate_chain
from declick.excerpt import Excerpt
from declick.parallel import Workers
from declick.read import Recording
from declick.repair.choose import repair_passage
from declick.repair.cores import find_companions, settle_cores
from declick.repair.passage import Passage, PassagePlan, plan_passages
from declick.rotation import Rotation, find_rotation
from declick.settings import DetectSettings, RepairSettings
from declick.stretches import Stretch, stretches_of_clicks, stretches_of_plans

if TYPE_CHECKING:
    from declick.detect.neural import Heard, NeuralDetector

# Sound on each side of a core that settling its ends looks at.
SETTLING_CONTEXT_MS: Final = 150.0
# Tiles that tell how worn the record is, before any threshold is set.
PROBES: Final = 20

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
    samples: Excerpt
    sample_rate: float
    least: float
    settings: DetectSettings

    known: Plateaus | None = None

    def probability(self) -> NDArray[np.float32]:
        """Return the probability of damage, shape (frames, channels) of the tile's core."""
        if self.known is not None:
            return self.known.spread()
        return make_detector(self.settings, self.sample_rate)(self.samples.read())

    def hear(self) -> tuple[NDArray[np.float32], Heard | None]:
        """Return the probability of damage, and all that the network says if it is asked."""
        detector = make_detector(self.settings, self.sample_rate)
        if isinstance(detector, ArDetector):
            return detector(self.samples.read()), None
        heard = detector.hear(self.samples.read())
        return heard.probability, heard


@dataclass(frozen=True, eq=False)
class Plateaus:
    """A tile's probability, of which most is zero and the rest the same over whole cores.

    Parameters
    ----------
    shape : tuple of int
        Frames and channels.
    edges : ndarray of int, shape (n,)
        Where a value begins, counted channel after channel.
    values : ndarray of float32, shape (n,)
    """

    shape: tuple[int, int]
    edges: NDArray[np.intp]
    values: NDArray[np.float32]

    @classmethod
    def of(cls, probability: NDArray[np.float32]) -> Plateaus:
        """Return what `spread` makes the same probability of."""
        frames, channels = probability.shape
        row = probability.T.ravel()
        edges = np.flatnonzero(np.diff(row, prepend=np.nan))
        return cls((frames, channels), edges, row[edges])

    def spread(self) -> NDArray[np.float32]:
        """Return the probability, shape (frames, channels)."""
        frames, channels = self.shape
        lengths = np.diff(self.edges, append=frames * channels)
        return np.repeat(self.values, lengths).reshape(channels, frames).T


def make_detector(settings: DetectSettings, sample_rate: float) -> ArDetector | NeuralDetector:
    """Return the detector that the settings ask for.

    "auto" is the network where it hears the sample rate, else the linear model.

    Raises
    ------
    ReadError
        If its weights cannot be read, or are not for this sample rate.
    MissingExtraError
        If it needs onnxruntime, and that is not installed.
    """
    if settings.detector != "ar":
        # slow to import, and not always needed
        from declick.detect.neural import NeuralDetector, hears, shipped_weights

        if settings.detector == "neural" or hears(sample_rate):
            weights = Path(settings.weights) if settings.weights else shipped_weights()
            return NeuralDetector(sample_rate, weights)
    return ArDetector(sample_rate)


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
    spans = _with_returning(_spans(recording, settings, workers, progress), rate)
    fused = fuse_spans(spans, sample_rate=rate, frames=recording.frames)
    clicks = [_click_of(span) for span in fused]
    if not make_detector(settings, rate).finds_whole_cores:
        clicks = disjoint_clicks(_settled(recording, clicks, workers, progress))
    chain = Chain()
    if settings.find_tails and clicks:
        chain = estimate_chain(recording.read, clicks, sample_rate=rate, apply=workers.map)
        clicks = disjoint_clicks(_with_tails(recording, clicks, chain, workers, progress))
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
    stretches = stretches_of_plans(recording, plans, clicks, settings=settings, chain=chain)
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
    confidence = min(1.0, span.confidence)
    return Click(
        span.start, span.stop, span.stop, span.channel, confidence, estimate=span.estimate
    )


def _spans(
    recording: Recording, settings: DetectSettings, workers: Workers, progress: Progress
) -> Iterator[tuple[list[Span], list[Span]]]:
    """Yield what the detector finds above the threshold, and what lies little below it, by tile."""
    detector = make_detector(settings, recording.sample_rate)
    geometry = detector.geometry
    size = geometry.tile + 2 * geometry.context
    samples_at = _sample_places(recording.frames, geometry.tile)

    def tile(start: int, least: float, known: Plateaus | None = None) -> _Tile:
        low = start - geometry.context
        return _Tile(
            start=start,
            samples=Excerpt.cut(recording, low, low + size),
            sample_rate=recording.sample_rate,
            least=least,
            settings=settings,
            known=known,
        )

    probes = workers.map(_probe_tile, (tile(start, 1.0) for start in samples_at))
    probed = dict(zip(samples_at, probes, strict=True))
    plain = sum(count for count, _ in probed.values())
    heard = sum(min(geometry.tile, recording.frames - start) for start in samples_at)
    heard_s = heard * recording.channels / recording.sample_rate
    least = threshold(
        settings.sensitivity, plain_hz=plain / heard_s, most_prior=detector.most_prior
    )

    def tiles() -> Iterator[_Tile]:
        for start in range(0, recording.frames, geometry.tile):
            known = probed.get(start)
            yield tile(start, least, known and known[1])
            progress("detect", min(1.0, (start + geometry.tile) / recording.frames))

    return workers.map(_detect_tile, tiles())


def _with_returning(
    tiles: Iterable[tuple[list[Span], list[Span]]], sample_rate: float
) -> list[Span]:
    """Return what was found, and what the rotation of the disc makes likely enough."""
    spans: list[Span] = []
    weaker: list[Span] = []
    for found, less in tiles:
        spans += found
        weaker += less
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


def _probe_tile(tile: _Tile) -> tuple[int, Plateaus]:
    """Return how many plain clicks a tile holds, and its probability for later (in a worker)."""
    probability = tile.probability()
    return count_plain(probability), Plateaus.of(probability)


def _detect_tile(tile: _Tile) -> tuple[list[Span], list[Span]]:
    """Return the spans of a tile, and others that are a little less likely (in a worker)."""
    probability, heard = tile.hear()
    spans = find_spans(probability, least=tile.least, start=tile.start)
    least = lowered(tile.least, RETURNING)
    weaker = find_spans(probability, least=least, start=tile.start, companions=False)
    weaker = [span for span in weaker if span.confidence < tile.least]
    if heard is None:
        return spans, weaker
    return _with_estimates(spans, heard, tile.start), _with_estimates(weaker, heard, tile.start)


def _with_estimates(spans: Iterable[Span], heard: Heard, start: int) -> list[Span]:
    """Return spans of a tile that begins at `start` with what was added to the music in them."""
    return [replace(span, estimate=_estimate(span, heard, start)) for span in spans]


def _estimate(span: Span, heard: Heard, start: int) -> Estimate | None:
    """Return what the network says was added in a span."""
    here = slice(span.start - start, span.stop - start), span.channel
    deviation = heard.deviation[here]
    if not np.isfinite(deviation).any():
        return None
    return Estimate(span.start, heard.damage[here].copy(), deviation.copy())


def _settled(
    recording: Recording, clicks: Sequence[Click], workers: Workers, progress: Progress
) -> Iterator[Click]:
    """Yield the clicks with their cores settled."""
    stretches = stretches_of_clicks(recording, clicks, context_ms=SETTLING_CONTEXT_MS)
    for found in workers.map(_settle_stretch, stretches):
        yield from found
        if found:
            progress("measure", 0.5 * found[-1].start / recording.frames)


def _settle_stretch(stretch: Stretch) -> list[Click]:
    """Return the own clicks of a stretch with settled cores (in a worker)."""
    found: list[Click] = []
    for clicks, sound in stretch.channels():
        given = [(c.start - stretch.start, c.stop - stretch.start) for c in clicks]
        for core in settle_cores(sound, given, sample_rate=stretch.sample_rate):
            members = clicks[core.first : core.last + 1]
            if members[0] in stretch.own_set:
                start = max(core.start + stretch.start, 0)
                stop = min(core.stop + stretch.start, stretch.frames)
                confidence = max(click.confidence for click in members)
                found.append(Click(start, stop, stop, members[0].channel, confidence))
    return sorted([*found, *_companions(stretch, found)])


def _companions(stretch: Stretch, found: list[Click]) -> list[Click]:
    """Return the damage that clicks of one channel have done to the others."""
    companions: list[Click] = []
    for channel in range(stretch.samples.channels):
        others = [click for click in found if click.channel != channel]
        own = [c for c in (*found, *stretch.clicks) if c.channel == channel]
        places = find_companions(
            np.ascontiguousarray(stretch.sound[:, channel]),
            sorted({(c.start - stretch.start, c.stop - stretch.start) for c in own}),
            [(c.start - stretch.start, c.stop - stretch.start) for c in others],
            sample_rate=stretch.sample_rate,
        )
        sure = {click.start: click.confidence for click in others}
        companions += [
            Click(
                a + stretch.start,
                b + stretch.start,
                b + stretch.start,
                channel,
                sure[a + stretch.start],
            )
            for a, b in places
        ]
    return companions


def _with_tails(
    recording: Recording,
    clicks: Sequence[Click],
    chain: Chain,
    workers: Workers,
    progress: Progress,
) -> Iterator[Click]:
    """Yield the clicks with their tails and, for thumps, their kind."""
    stretches = stretches_of_clicks(recording, clicks, context_ms=tail_context_ms, chain=chain)
    for found in workers.map(_find_stretch_tails, stretches):
        yield from found
        progress("measure", 0.5 + 0.5 * found[-1].start / recording.frames)


def _find_stretch_tails(stretch: Stretch) -> list[Click]:
    """Return the own clicks of a stretch with their tails (in a worker)."""
    found: list[Click] = []
    for clicks, sound in stretch.channels():
        channel = clicks[0].channel
        tails = find_tails(
            sound,
            [(c.start - stretch.start, c.stop - stretch.start) for c in clicks],
            sample_rate=stretch.sample_rate,
            chain=stretch.chain,
            channel=channel,
        )
        for click, (tail, kind) in zip(clicks, tails, strict=True):
            if click in stretch.own_set:
                end = max(click.stop, min(tail + stretch.start, stretch.frames))
                found.append(replace(click, tail=end, kind=kind or click.kind))
    return sorted(found)


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
