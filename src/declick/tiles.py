"""Tiles of a recording, each listened to by the detector on its own."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from declick.clicks import Click, Estimate, FloatArray, join_estimates
from declick.detect.ar import ArDetector
from declick.detect.ends import continued
from declick.detect.survey import Geometry
from declick.excerpt import Excerpt
from declick.read import Recording
from declick.settings import DetectSettings

if TYPE_CHECKING:
    from declick.detect.findings import Heard
    from declick.detect.neural import NeuralDetector

# Floats may be anything: what is louder than this is heard in a unit near the music's level, and as
# if no sample were louder; beside such a one single precision would lose the music.
LOUDEST: Final = 1e5
# In the cores that the detector tells, damage is overstated where it is hardly more than it may be
# off: by this share where next to nothing, and by 1/e of that where it is so many times its
# deviation. On tuning music of all kinds .6, .76, .92 and 1 of it is true at .5, 1.5, 3 and more.
BOAST: Final = 0.5
PROVEN: Final = 1.7


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
        from declick.detect.neural import NeuralDetector, shipped_weights
        from declick.detect.paces import hears

        if settings.detector == "neural" or hears(sample_rate):
            weights = Path(settings.weights) if settings.weights else shipped_weights()
            return NeuralDetector(sample_rate, weights)
    return ArDetector(sample_rate)


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
        edges = np.flatnonzero(np.concatenate(([True], row[1:] != row[:-1])))
        return cls((frames, channels), edges, row[edges])

    def spread(self) -> NDArray[np.float32]:
        """Return the probability, shape (frames, channels)."""
        frames, channels = self.shape
        lengths = np.diff(self.edges, append=frames * channels)
        return np.repeat(self.values, lengths).reshape(channels, frames).T


class Patch(NamedTuple):
    """What was added to the music in some frames of a channel."""

    channel: int
    estimate: Estimate


class Told(NamedTuple):
    """What the detector says of a tile: how likely each sample is lost, and what was added.

    `live` counts the channels on which there is sound.
    """

    probability: Plateaus
    patches: tuple[Patch, ...]
    live: int


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One tile's sound, with its context, for the detector.

    Parameters
    ----------
    start : int
        Frame of the recording that the tile begins at.
    samples : Excerpt
    frames : int
        Of the whole recording.
    sample_rate : float
    settings : DetectSettings
    """

    start: int
    samples: Excerpt
    frames: int
    sample_rate: float
    settings: DetectSettings

    @classmethod
    def cut(
        cls, recording: Recording, start: int, settings: DetectSettings, geometry: Geometry
    ) -> Tile:
        """Return the tile of a recording that begins at `start`, a multiple of its length."""
        low = start - geometry.context
        return cls(
            start=start,
            samples=Excerpt.cut(recording, low, low + geometry.tile + 2 * geometry.context),
            frames=recording.frames,
            sample_rate=recording.sample_rate,
            settings=settings,
        )

    def listen(self) -> Told:
        """Ask the detector."""
        detector = make_detector(self.settings, self.sample_rate)
        geometry = detector.geometry
        samples = self.samples.read()
        live = int(np.count_nonzero(samples.any(axis=0)))
        samples, unit = _tamed(samples)
        samples = continued(samples, self.start - geometry.context, self.frames, geometry)
        inside = self.frames - self.start
        if isinstance(detector, ArDetector):
            return Told(Plateaus.of(detector(samples)[:inside]), (), live)
        ends = geometry.context - self.start, geometry.context + inside
        heard = detector.hear(samples, ends).until(inside)
        if unit > 1.0:
            heard = heard.louder(unit)
        return Told(Plateaus.of(heard.probability), _patches(heard, self.start), live)


def _tamed(samples: FloatArray) -> tuple[FloatArray, float]:
    """Return samples as they are heard, and the unit, a power of 2, that they are heard in."""
    if max(samples.max(), -samples.min()) <= LOUDEST:
        return samples, 1.0
    level = float(np.median(np.abs(samples[samples != 0.0])))
    unit = 2.0 ** max(0, math.frexp(level)[1])
    return np.clip(samples / unit, -LOUDEST, LOUDEST), unit


def _patches(heard: Heard, start: int) -> tuple[Patch, ...]:
    """Return the runs in which something is known of the damage; the tile begins at `start`."""
    patches: list[Patch] = []
    for channel in range(heard.deviation.shape[1]):
        known = np.pad(np.isfinite(heard.deviation[:, channel]), 1)
        edges = np.flatnonzero(known[1:] != known[:-1])
        for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            estimate = Estimate(
                start + first,
                heard.damage[first:last, channel].copy(),
                heard.deviation[first:last, channel].copy(),
            )
            patches.append(Patch(channel, estimate))
    return tuple(patches)


def believed(estimate: Estimate) -> Estimate:
    """Return how much damage is likely in a core that the detector has told itself.

    Such a core reaches out into the music, where the estimate is hardly more than it may be off.
    """
    known = np.abs(estimate.damage) / np.maximum(estimate.deviation, np.finfo(np.float32).tiny)
    share = 1.0 - BOAST * np.exp(-known / PROVEN)
    return replace(estimate, damage=(estimate.damage * share).astype(np.float32))


def with_patches(
    clicks: Sequence[Click], patches: Sequence[Patch], *, own: bool = True
) -> list[Click]:
    """Return clicks with what was added to the music in their cores.

    Parameters
    ----------
    clicks : sequence of Click
    patches : sequence of Patch
        Those of a channel are disjoint.
    own : bool
        Whether the detector has told the cores; see `believed`.
    """
    ordered = sorted(patches, key=lambda patch: (patch.channel, patch.estimate.start))
    stops = [(patch.channel, patch.estimate.stop) for patch in ordered]
    found: list[Click] = []
    for click in clicks:
        known: Estimate | None = None
        at = bisect_left(stops, (click.channel, click.start + 1))
        while at < len(ordered):
            channel, estimate = ordered[at]
            if channel != click.channel or estimate.start >= click.stop:
                break
            known = join_estimates(known, estimate)
            at += 1
        cut = None if known is None else known.cut(click.start, click.stop)
        if cut is not None and own:
            cut = believed(cut)
        found.append(replace(click, estimate=cut))
    return found
