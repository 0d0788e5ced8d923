"""Of what the network says of samples, only what is heard becomes a core."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from declick.detect.findings import (
    LEAST_CORE,
    LONG_CORE,
    QUIET,
    QUIET_BETWEEN,
    Findings,
    is_loud,
    own_cores,
    paint,
)
from declick.detect.paces import Pace
from declick.detect.sight import ViewGeometry
from declick.detect.views import MIDDLE

Row = NDArray[np.float32]


def damage(*bursts: tuple[int, int, float]) -> Row:
    """Return damage of the given heights over ranges, zero elsewhere; it swings."""
    row = np.zeros(MIDDLE, dtype=np.float32)
    for start, stop, height in bursts:
        row[start:stop] = height * np.cos(np.arange(stop - start))
    return row


def runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def test_silence_is_not_loud() -> None:
    assert not is_loud(damage()).any()
    assert not is_loud(damage((300, 400, 0.9 * QUIET))).any()


def test_a_burst_is_loud_through_its_zero_crossings_and_little_beyond() -> None:
    ((start, stop),) = runs(is_loud(damage((300, 400, 2.0))))
    assert 292 <= start <= 300
    assert 400 <= stop <= 408


def test_a_weak_tail_belongs_to_its_click() -> None:
    weak = 0.5 * (QUIET + QUIET_BETWEEN)
    ((start, stop),) = runs(is_loud(damage((300, 330, 2.0), (330, 500, weak))))
    assert start <= 300
    assert stop >= 495


def test_a_lull_between_two_clicks_is_spared_whatever_is_weakly_there() -> None:
    weak = 0.5 * (QUIET + QUIET_BETWEEN)
    apart = runs(is_loud(damage((300, 330, 2.0), (330, 400, weak), (400, 420, 1.0))))
    assert len(apart) == 2
    assert apart[0][1] <= 345
    assert apart[1][0] >= 385


def test_clicks_close_together_are_one() -> None:
    weak = 0.5 * (QUIET + QUIET_BETWEEN)
    together = runs(is_loud(damage((300, 330, 2.0), (330, 360, weak), (360, 380, 1.0))))
    assert len(together) == 1


def test_rows_do_not_touch_each_other_and_time_has_no_direction() -> None:
    rng = np.random.default_rng(0)
    rows = np.stack([damage((100, 150, 1.0), (220, 300, 0.3)), damage(), damage((0, 30, 2.0))])
    rows = (rows * rng.choice((-1.0, 1.0), rows.shape)).astype(np.float32)
    each = np.stack([is_loud(row) for row in rows])
    assert np.array_equal(is_loud(rows), each)
    assert np.array_equal(is_loud(rows[:, ::-1]), each[:, ::-1])


def test_an_instant_owns_the_core_in_the_middle() -> None:
    log_odds = np.full(MIDDLE, -9.0, dtype=np.float32)
    log_odds[380:390] = 3.0
    log_odds[20:60] = 3.0
    assert own_cores(log_odds, LEAST_CORE) == [(380, 390)]


def test_where_no_sample_is_lost_the_likeliest_are() -> None:
    log_odds = np.full(MIDDLE, -9.0, dtype=np.float32)
    log_odds[384:386] = -6.0
    assert own_cores(log_odds, LEAST_CORE) == [(384, 386)]


def test_where_nothing_is_loud_there_is_no_core() -> None:
    assert own_cores(np.full(MIDDLE, -np.inf, dtype=np.float32), LEAST_CORE) == []


def painted_runs(length: int, doubt: float) -> list[tuple[int, int]]:
    """Return what is painted of a core of which a few samples are plainly lost."""
    first = (MIDDLE - length) // 2
    log_odds, height = (np.full((1, 2, MIDDLE), value, np.float32) for value in (-9.0, 0.0))
    log_odds[0, 0, first : first + length] = -4.0
    log_odds[0, 0, MIDDLE // 2 - 8 : MIDDLE // 2 + 8] = 4.0
    height[0, 0, first : first + length] = 1.0
    found = Findings(
        frames=np.array([4096]),
        log_odds=np.array([[5.0, -20.0]]),
        families=np.zeros((1, 2, 5), np.float32),
        tails_ms=np.zeros((1, 2), np.float32),
        cores=log_odds,
        damage=height,
        deviation=np.full((1, 2, MIDDLE), doubt, np.float32),
    )
    sound = np.random.default_rng(0).standard_normal((8192, 2))
    heard = paint(sound, sound, found, ViewGeometry(44100), Pace(1, 1))
    return runs(heard.probability[:, 0] > 0.5)


def test_a_long_core_that_is_doubted_is_kept_to_what_is_likely_lost() -> None:
    ((start, stop),) = painted_runs(LONG_CORE + 40, doubt=0.3)
    assert stop - start == LONG_CORE + 40
    ((start, stop),) = painted_runs(LONG_CORE + 40, doubt=1.5)
    assert stop - start == 16
    ((start, stop),) = painted_runs(LONG_CORE - 40, doubt=1.5)
    assert stop - start == LONG_CORE - 40
