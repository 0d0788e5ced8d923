"""Find the revolution period of the disc from the times of its clicks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import pdtrc

from declick.clicks import FloatArray

PERIODS_S = (60 * 3 / 100, 60 / 45, 60 / 78)
"""One revolution at 33⅓, 45 and 78 rpm, seconds."""

LEAST_EVIDENCE = 3.0
MERGE_S = 0.005
MOST_PER_S = 6.0
THIN_S = 10.0
FEWEST = 4
SHIFTS = (0.0, 0.5)
BIN_S = 0.003
TURNS = (8, 24)


@dataclass(frozen=True, kw_only=True)
class Rotation:
    """How the disc turned.

    Parameters
    ----------
    period_s : float
        Mean time of one revolution, as the transfer plays it.
    rpm : float
        ``60 / period_s``.
    evidence : float
        Minus the logarithm (base 10) of the probability that clicks which fall at random show a
        period as clearly anywhere on the side; 3 is the least that is reported.
    """

    period_s: float
    rpm: float
    evidence: float


def find_rotation(
    times_s: ArrayLike,
    strengths: ArrayLike | None = None,
    *,
    candidates: Sequence[float] = PERIODS_S,
    tolerance: float = 0.01,
) -> Rotation | None:
    """Find the period at which clicks return.

    A scratch crosses many grooves and clicks once a revolution, for a while. So the side is cut
    into overlapping stretches of 8 and of 24 turns; each is folded at every period near a nominal
    one. Two counts are compared with what clicks at random would give (Poisson), with the number
    of places looked at taken into account: the fullest 3 ms of the fold (one scratch), and the
    clicks that fall where another one did (many small ones, as in a run-out groove). The period
    is then fitted to the clicks of all stretches in which it shows.

    Music that repeats its false clicks in time with the turntable cannot be told from a scratch:
    detections on the drum hits of 133⅓ beats a minute would do it.

    Parameters
    ----------
    times_s : array-like, shape (clicks,)
        Times in seconds, in any order, of all channels.
    strengths : array-like, shape (clicks,), optional
        How strong each click is. Where there are more than six a second, the strongest stay.
    candidates : sequence of float
        Nominal periods, s.
    tolerance : float
        How far the turntable may be off, as a fraction.

    Returns
    -------
    Rotation or None
        None where the clicks show no period.
    """
    times = _events(np.asarray(times_s, np.float64), strengths)
    found: list[list[_Fold]] = []
    for nominal in candidates:
        folds = [fold for turns in TURNS for fold in _folds(times, nominal, tolerance, turns)]
        # Every stretch is one more place to find a period by chance, and so is every candidate.
        penalty = math.log10(max(1, len(folds)) * len(candidates))
        found.append([fold for fold in folds if fold.evidence - penalty >= LEAST_EVIDENCE])
        found[-1].sort(key=lambda fold: -fold.evidence)
        for fold in found[-1]:
            fold.evidence -= penalty
    best = max(found, key=lambda folds: folds[0].evidence if folds else 0.0)
    if not best:
        return None
    slopes, weights = zip(*(_fit(times, fold) for fold in best), strict=True)
    period = float(np.average(slopes, weights=weights))
    return Rotation(period_s=period, rpm=60.0 / period, evidence=round(best[0].evidence, 1))


@dataclass
class _Fold:
    """One stretch, folded at its best period; `phases` (in turns) are where clicks return."""

    evidence: float
    period_s: float
    phases: FloatArray
    start: int
    stop: int


def _events(times: FloatArray, strengths: ArrayLike | None) -> FloatArray:
    """Sort; of clicks closer than `MERGE_S` keep the strongest; thin out dense stretches.

    The channels of one click, and the train of shocks of one scratch, must count once.
    """
    weights = np.ones_like(times) if strengths is None else np.asarray(strengths, np.float64)
    order = np.lexsort((-weights, times))
    times, weights = times[order], weights[order]
    kept = _strongest(times, weights, np.arange(times.size), MERGE_S, 1)
    times, weights = times[kept], weights[kept]
    # Two that lie close on either side of a border are still one.
    close = np.diff(times) < MERGE_S
    later_wins = weights[1:] > weights[:-1]
    keep = np.ones(times.size, bool)
    keep[1:] &= ~(close & ~later_wins)
    keep[:-1] &= ~(close & later_wins)
    times, weights = times[keep], weights[keep]
    # Equals are thinned at random (seeded), since any order in time would favour a phase.
    lot = np.random.default_rng(0).permutation(times.size)
    return times[_strongest(times, weights, lot, THIN_S, math.ceil(THIN_S * MOST_PER_S))]


def _strongest(
    times: FloatArray, weights: FloatArray, ties: NDArray[np.int64], cell_s: float, most: int
) -> NDArray[np.int64]:
    """Return the indices, ascending, of the `most` strongest of every `cell_s` seconds."""
    cells = np.floor(times / cell_s)
    order = np.lexsort((ties, -weights, cells))
    first = np.searchsorted(cells, cells[order])
    return np.sort(order[np.arange(order.size) - first < most])


def _folds(times: FloatArray, nominal: float, tolerance: float, turns: int) -> list[_Fold]:
    """Fold overlapping stretches of `turns` turns at all periods near `nominal`."""
    # Steps at which a click moves by half a bin over the stretch.
    reach = tolerance * nominal
    count = math.ceil(2 * reach * turns / (BIN_S / 2)) + 1
    periods = np.linspace(nominal - reach, nominal + reach, count)
    cells = math.ceil(nominal / BIN_S)
    folds: list[_Fold] = []
    if not times.size:
        return folds
    length = turns * nominal
    starts = np.arange(times[0], max(times[-1] - length / 2, times[0] + 1e-9), length / 2)
    for first, last in zip(
        np.searchsorted(times, starts), np.searchsorted(times, starts + length), strict=True
    ):
        if last - first < FEWEST:
            continue
        inside = times[first:last] - times[first]
        turn = inside / periods[:, None]
        turn -= np.floor(turn)
        turn *= cells
        grids = []
        for shift in SHIFTS:
            grid = (turn + shift).astype(np.int16)
            grid[grid == cells] = 0
            grid.sort(axis=1, kind="stable")
            grids.append(grid)
        evidence, period, phases = max(
            _fullest(grids, cells, periods),
            _returns(grids, cells, periods),
            key=lambda found: found[0],
        )
        # Two counts, and places on either of two grids half a cell apart.
        evidence -= math.log10(4 * count)
        folds.append(_Fold(evidence, period, phases, int(first), int(last)))
    return folds


def _fullest(
    grids: Sequence[NDArray[np.int16]], cells: int, periods: FloatArray
) -> tuple[float, float, FloatArray]:
    """Return evidence, period and phase of the cell that holds most clicks.

    A row of a grid holds, ascending, the cells into which the clicks fall at one period.
    """
    count, row, phase = 1, 0, 0.0
    for grid, shift in zip(grids, SHIFTS, strict=True):
        while count < grid.shape[1]:
            same = grid[:, count:] == grid[:, :-count]
            if not same.any():
                break
            row, column = divmod(int(np.argmax(same)), same.shape[1])
            phase = (float(grid[row, column]) + 0.5 - shift) / cells
            count += 1
    chance = _log_chance(count, grids[0].shape[1] / cells)
    return -chance - math.log10(cells), float(periods[row]), np.array([phase])


def _returns(
    grids: Sequence[NDArray[np.int16]], cells: int, periods: FloatArray
) -> tuple[float, float, FloatArray]:
    """Return evidence, period and phases of the clicks that fall where another one did."""
    returns = [np.count_nonzero(grid[:, 1:] == grid[:, :-1], axis=1) for grid in grids]
    best = int(returns[1].max() > returns[0].max())
    row = int(np.argmax(returns[best]))
    clicks = grids[best].shape[1]
    # The spread of occupancy is below that of a Poisson count: the bound is on the safe side.
    expected = clicks + cells * math.expm1(clicks * math.log1p(-1 / cells))
    chance = _log_chance(int(returns[best][row]), expected)
    found, counts = np.unique(grids[best][row], return_counts=True)
    return -chance, float(periods[row]), (found[counts > 1] + 0.5 - SHIFTS[best]) / cells


def _fit(times: FloatArray, fold: _Fold) -> tuple[float, float]:
    """Fit time against turn over the returning clicks of a fold: (period in s, weight)."""
    inside = times[fold.start : fold.stop] - times[fold.start]
    moment = spread = 0.0
    for phase in fold.phases:
        turn = inside / fold.period_s - phase
        near = np.abs(turn - np.round(turn)) * fold.period_s <= BIN_S
        centred = np.round(turn[near]) - np.round(turn[near]).mean()
        moment += float(np.sum(centred * inside[near]))
        spread += float(np.sum(centred**2))
    return (moment / spread, spread) if spread else (fold.period_s, 1e-9)


def _log_chance(count: int, expected: float) -> float:
    """Return log10 of the probability of at least `count` where `expected` fall on average."""
    return math.log10(max(float(pdtrc(count - 1, expected)), 1e-300))
