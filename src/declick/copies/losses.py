"""Where one of two copies has lost its sound, to about a millisecond.

A loss is no damage that is added: what is left between the two is music. What tells it is that one
of them is silent, as it is neither before nor behind, while the other goes on as before.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from declick.clicks import FloatArray
from declick.copies.guide import Run, runs_of
from declick.detect.survey import FLOOR
from declick.dsp.linear_prediction import autocorrelation, prediction_filter

BoolArray = NDArray[np.bool_]

# Order of the model that whitens: one that does not ring on into a short silence.
ORDER: Final = 4
# Levels are those of so much sound, whitened and as it is.
CELL_MS: Final = 0.5
PLAIN_CELL_MS: Final = 3.0
# One is silent where it has this much less than the other ...
GONE_DB: Final = 12.0
# ... and half of the time this much: else it is a swing of the bass that crosses zero ...
DEEP_DB: Final = 20.0
# ... and than it has itself before and behind, where that is less.
DIP_DB: Final = 12.0
# The other one goes on: louder than before and behind by this it is a click.
RISE_DB: Final = 12.0
# Holes of a silence up to this length are clicks in it; a shorter silence is none.
HOLE_MS: Final = 1.5
LEAST_MS: Final = 0.5
# ... and one up to this length must be deeper.
BRIEF_MS: Final = 0.7
BRIEF_DEEP_DB: Final = 26.0
# Sound fades into a loss and out of it within this.
FADE_MS: Final = 1.5
# Surroundings, for the model and for the levels.
BESIDE_MS: Final = 25.0


def split_losses(
    target: FloatArray,
    guide: FloatArray,
    place: Run,
    known: tuple[BoolArray, BoolArray],
    sample_rate: float,
) -> list[tuple[Run, int | None]]:
    """Split a place where two copies differ into losses of either and the rest.

    Parameters
    ----------
    target, guide : ndarray of float64, shape (frames,)
        The recording, and the copy matched to it.
    place : (start, stop)
        Indices of both.
    known : tuple of two ndarrays of bool, shape (frames,)
        What a detector has found in either: there it is not compared.
    sample_rate : float
        In Hz.

    Returns
    -------
    list of ((start, stop), who)
        Ascending, and together the whole place; who has lost its sound: 0 the recording, 1 the
        copy, None neither.
    """
    low, high = place
    beside = round(BESIDE_MS * 1e-3 * sample_rate)
    lo, hi = max(low - 2 * beside, 0), min(high + 2 * beside, target.size)
    pair = np.stack([target[lo:hi], guide[lo:hi]])
    inner = slice(low - lo, high - lo)
    heard = ~(known[0] | known[1])[lo:hi]
    white = _whitened(pair, (inner.start, inner.stop))
    views = [
        _View(_levels_db(sound, round(cell_ms * 1e-3 * sample_rate)), heard, beside)
        for sound, cell_ms in ((white, CELL_MS), (pair, PLAIN_CELL_MS))
    ]
    losses: list[tuple[Run, int | None]] = []
    for who in (0, 1):
        less = np.logical_or.reduce([view.depth(who)[inner] > GONE_DB for view in views])
        gone = np.zeros_like(less)
        for start, stop in _silences(less, sample_rate):
            run = inner.start + start, inner.start + stop
            gone[start:stop] = np.logical_or.reduce([view.gone(who, run) for view in views])
        for start, stop in _silences(gone, sample_rate):
            run = inner.start + start, inner.start + stop
            here = np.arange(*run)
            depth = np.max([np.median(view.depth(who)[here]) for view in views])
            brief = stop - start <= BRIEF_MS * 1e-3 * sample_rate
            if depth < (BRIEF_DEEP_DB if brief else DEEP_DB):
                continue
            free = here[~known[1 - who][lo:hi][here]]
            if free.size > 0.3 * here.size and not views[0].rises(1 - who, free, run):
                losses.append(((low + start, low + stop), who))
    return _with_rest(place, sorted(losses), round(FADE_MS * 1e-3 * sample_rate))


class _View:
    """Levels of both, in dB, and what is usual of them before and behind."""

    def __init__(self, levels: FloatArray, heard: BoolArray, beside: int) -> None:
        self.levels, self._heard, self._beside = levels, heard, beside

    def _usual(self, who: int, run: Run) -> list[float]:
        """Return the level of one before and behind, as far as enough of it is heard."""
        start, stop = run
        sides = slice(max(start - self._beside, 0), start), slice(stop, stop + self._beside)
        known = [self.levels[who, side][self._heard[side]] for side in sides]
        return [float(np.median(level)) for level in known if level.size >= self._beside // 4]

    def depth(self, who: int) -> FloatArray:
        """Return how much less one has than the other."""
        return np.asarray(self.levels[1 - who] - self.levels[who])

    def gone(self, who: int, run: Run) -> BoolArray:
        """Return where in a run one is silent, as it is on neither side, and the other is not."""
        usual = self._usual(who, run)
        here = slice(*run)
        if len(usual) < 2:
            return np.zeros(run[1] - run[0], dtype=bool)
        dip = min(usual) - self.levels[who, here]
        return np.asarray((self.depth(who)[here] > GONE_DB) & (dip > DIP_DB))

    def rises(self, who: int, frames: NDArray[np.int64], run: Run) -> bool:
        """Return whether one is much louder in frames of a run than on either side of that."""
        usual = self._usual(who, run)
        level = float(np.median(self.levels[who, frames]))
        return level > max(usual, default=math.inf) + RISE_DB


def _whitened(pair: FloatArray, inner: Run) -> FloatArray:
    """Whiten both by one model of what is beside."""
    around = pair.copy()
    around[:, slice(*inner)] = 0.0
    taper = np.hanning(pair.shape[1] + 2)[1:-1]
    correlation = sum(autocorrelation(row * taper, ORDER) for row in around)
    taps = prediction_filter(np.asarray(correlation))[0]
    return np.stack([np.convolve(row, taps)[: row.size] for row in pair])


def _levels_db(sounds: FloatArray, cell: int) -> FloatArray:
    """Return the level around every frame."""
    from scipy.ndimage import uniform_filter1d  # slow to import, and seldom needed

    power = uniform_filter1d(sounds**2, cell, axis=1)
    return np.asarray(10.0 * np.log10(np.maximum(power, 0.0) + FLOOR**2))


def _silences(gone: BoolArray, sample_rate: float) -> list[Run]:
    """Return the runs that are long enough, over short holes."""
    hole, least = (round(ms * 1e-3 * sample_rate) for ms in (HOLE_MS, LEAST_MS))
    joined: list[Run] = []
    for start, stop in runs_of(gone):
        if joined and start - joined[-1][1] <= hole:
            joined[-1] = joined[-1][0], stop
        else:
            joined.append((start, stop))
    return [(a, b) for a, b in joined if np.count_nonzero(gone[a:b]) >= max(least, 0.5 * (b - a))]


def _with_rest(
    place: Run, losses: list[tuple[Run, int | None]], fade: int
) -> list[tuple[Run, int | None]]:
    """Widen losses by their fades, and add what lies between them."""
    parts: list[tuple[Run, int | None]] = []
    done = place[0]
    for number, ((start, stop), who) in enumerate(losses):
        behind = losses[number + 1][0][0] if number + 1 < len(losses) else place[1]
        start = done if start - done <= 2 * fade else start - fade
        stop = behind if behind - stop <= 2 * fade else stop + fade
        if start >= stop:
            continue
        if start > done:
            parts.append(((done, start), None))
        parts.append(((start, stop), who))
        done = stop
    if done < place[1]:
        parts.append(((done, place[1]), None))
    return parts
