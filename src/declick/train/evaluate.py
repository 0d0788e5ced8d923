"""Weigh detectors against each other on held-out music: recall at the same rate of false alarms.

A detector here is its probability per sample. On worn excerpts its spans are matched with the true
events; on clean ones everything that it finds is false.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from declick.clicks import FloatArray
from declick.damage.bank import Bank
from declick.detect.ar import ArDetector
from declick.detect.spans import threshold
from declick.detect.survey import Geometry
from declick.settings import DetectSettings
from declick.train.music import Music
from declick.train.worn import ExampleSettings, WornExcerpt, draw_worn

COLLAR_S: Final = 2e-3
CLEAN_FALSE: Final = 0.125
"""False alarms a minute on clean music, most of it hard on purpose, that weights are set to."""
FALSE_PER_MINUTE: Final = (0.5, 2.0, 8.0, 30.0)


class Detector(Protocol):
    """What `declick.detect` has of them."""

    @property
    def geometry(self) -> Geometry:
        """Tile and context."""

    def __call__(self, samples: FloatArray) -> NDArray[np.float32]:
        """Return the probability of damage in a tile."""


MakeDetector = Callable[[float], Detector]


def probability_of(detector: Detector, sound: FloatArray) -> NDArray[np.float32]:
    """Return the probability of damage in a whole excerpt, tile by tile."""
    tile, context = detector.geometry.tile, detector.geometry.context
    tiles = -(-len(sound) // tile)
    padded = np.pad(sound, ((context, context + tiles * tile - len(sound)), (0, 0)))
    parts = [detector(padded[k * tile : (k + 1) * tile + 2 * context]) for k in range(tiles)]
    return np.concatenate(parts)[: len(sound)]


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What a detector made of some excerpts of one mode.

    Parameters
    ----------
    true : list of float
        For each true event the greatest log odds within it; -inf where nothing was found.
    energies : list of float
        Energy of each over the music's.
    false : list of float
        Log odds of each thing found where no damage is.
    seconds : list of float
        Length of each excerpt.
    """

    true: list[float] = field(default_factory=list)
    energies: list[float] = field(default_factory=list)
    false: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def tally(probability: NDArray[np.float32], drawn: WornExcerpt, into: Tally) -> None:
    """Add an excerpt to a tally."""
    rate = drawn.sample_rate
    top = probability.max(axis=1)
    core = np.pad(drawn.cores.any(axis=1), 1)
    collar = round(COLLAR_S * rate)
    edges = np.flatnonzero(core[1:] != core[:-1])
    level = (
        np.sqrt(scipy.ndimage.uniform_filter1d((drawn.laid.clean**2).mean(axis=1), 4410).clip(0))
        + 1e-5
    )
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        into.true.append(_log_odds(float(top[max(0, first - 44) : last + 44].max())))
        energy = np.sum(drawn.damage[first:last] ** 2) / (rate * 1e-3) / level[first] ** 2
        into.energies.append(float(energy))
    damaged = np.abs(drawn.damage).max(axis=1) > 0.01 * level
    near = scipy.ndimage.maximum_filter1d(damaged, 2 * collar + 1)
    found = np.pad(scipy.ndimage.maximum_filter1d(np.where(near, 0.0, top) > 1e-4, 45), 1)
    edges = np.flatnonzero(found[1:] != found[:-1])
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        into.false.append(_log_odds(float(np.where(near, 0.0, top)[first:last].max())))
    into.seconds.append(len(top) / rate)


def _log_odds(probability: float) -> float:
    held = min(max(probability, 1e-12), 1.0 - 1e-7)
    return float(np.log(held / (1.0 - held)))


def compare(
    detectors: Mapping[str, MakeDetector],
    music: Music,
    bank: Bank | None,
    settings: ExampleSettings,
    *,
    modes: Iterable[str],
    excerpts: int,
    split: str = "valid",
) -> dict[str, dict[str, Tally]]:
    """Let detectors hear the same excerpts; return a tally for each detector and mode."""
    tallies: dict[str, dict[str, Tally]] = {name: {} for name in detectors}
    for mode in modes:
        some = replace(settings, modes={mode: 1.0})
        for number in range(excerpts):
            rng = np.random.default_rng([settings.seed, 99, number])
            drawn = draw_worn(rng, music, bank, some, split)
            for name, make in detectors.items():
                probability = probability_of(make(drawn.sample_rate), drawn.sound)
                if probability.shape[1] == 1:
                    probability = np.repeat(probability, 2, axis=1)
                tally(probability, drawn, tallies[name].setdefault(mode, Tally()))
    return tallies


def least_log_odds(tallies: Sequence[Tally], per_minute: float) -> float:
    """Return the log odds at which clean excerpts give so many false alarms a minute."""
    minutes = sum(sum(item.seconds) for item in tallies) / 60.0
    false = np.sort(np.concatenate([[-40.0], *(item.false for item in tallies)]))[::-1]
    return float(false[min(int(per_minute * minutes), len(false) - 1)])


def calibrate(
    make: MakeDetector, music: Music, settings: ExampleSettings, *, excerpts: int = 640
) -> float:
    """Return the offset at which a new network is as sure as the thresholds expect.

    With it, at the default sensitivity on a record without plain clicks, held-out clean music has
    `CLEAN_FALSE` false alarms a minute.

    Parameters
    ----------
    make : callable
        The detector, with an offset of 0.
    music : Music
    settings : ExampleSettings
    excerpts : int
        How many are heard.
    """
    # What machines play is on few records, and would set the threshold for all.
    settings = replace(settings, machines=0.0)
    tallies = compare({"new": make}, music, None, settings, modes=["clean"], excerpts=excerpts)
    return default_log_odds() - least_log_odds([tallies["new"]["clean"]], CLEAN_FALSE)


def default_log_odds() -> float:
    """Return the log odds that the default settings ask for on a clean record."""
    return _log_odds(threshold(DetectSettings().sensitivity))


def recall_table(tallies: Mapping[str, Tally]) -> list[dict[str, float]]:
    """Return recall by mode at several rates of false alarms on clean excerpts."""
    rows = []
    for per_minute in FALSE_PER_MINUTE:
        least = least_log_odds([tallies["clean"]], per_minute)
        row = {"false_per_minute": per_minute, "log_odds": round(least, 2)}
        for mode, item in tallies.items():
            true = np.array(item.true)
            if true.size:
                row[mode] = round(float(np.mean(true > least)), 4)
                false = np.sum(np.array(item.false) > least) / (sum(item.seconds) / 60.0)
                row[f"{mode} false/min"] = round(float(false), 2)
        rows.append(row)
    return rows


def classical(sample_rate: float) -> Detector:
    """Return the classical detector, to compare with."""
    return ArDetector(sample_rate)
