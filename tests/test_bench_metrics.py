"""Metrics against cases that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from declick.bench import metrics
from declick.bench.metrics import Event
from declick.clicks import Click

RATE = 1000  # one frame is one millisecond: FUSE_S is 1 frame, COLLAR_S is 2


def silence(frames: int = 100, channels: int = 2) -> np.ndarray:
    return np.zeros((frames, channels))


def event(start: int, stop: int, tail: int | None = None) -> Event:
    return Event(start=start, stop=stop, tail=stop if tail is None else tail)


def test_gain_is_the_fall_of_the_error() -> None:
    clean, worn, restored = silence(), silence(), silence()
    worn[10, 0] = 0.5
    restored[10, 0] = 0.05
    assert metrics.snr_gain_db(clean, worn, restored) == pytest.approx(20.0, abs=1e-6)
    # damage that a tool adds counts against it ...
    restored[50, 1] = 0.5
    assert metrics.snr_gain_db(clean, worn, restored) == pytest.approx(
        -10 * np.log10(1.01), abs=1e-6
    )
    # ... but not on samples that were not asked for
    where = metrics.damaged_samples(clean, worn, RATE)
    assert metrics.snr_gain_db(clean, worn, restored, where) == pytest.approx(20.0, abs=1e-6)


def test_gain_of_a_perfect_repair_is_finite_and_without_damage_undefined() -> None:
    clean, worn = silence(), silence()
    assert np.isnan(metrics.snr_gain_db(clean, worn, clean))
    assert np.isnan(metrics.snr_gain_db(clean, worn, clean, np.zeros((100, 2), dtype=bool)))
    worn[10] = 0.5
    assert 100 < metrics.snr_gain_db(clean, worn, clean) < 200


def test_damaged_samples_are_widened_and_closed_by_the_fuse() -> None:
    clean, worn = silence(), silence()
    worn[[10, 12], 0] = 0.1
    worn[50, 1] = metrics.EPSILON / 2
    damaged = metrics.damaged_samples(clean, worn, RATE)
    assert np.flatnonzero(damaged[:, 0]).tolist() == [9, 10, 11, 12, 13]
    assert not damaged[:, 1].any()


def test_touched_frames_count_a_frame_once() -> None:
    worn, restored = silence(600), silence(600)
    restored[5] = 0.1
    restored[7, 1] = -0.1
    restored[9, 1] = metrics.EPSILON
    assert metrics.touched_per_minute(worn, restored, RATE) == pytest.approx(2 / 0.01)


def test_spans_are_half_open_and_fused() -> None:
    mask = np.zeros(12, dtype=bool)
    mask[[0, 1, 3, 6, 11]] = True
    assert metrics.spans_of(mask).tolist() == [[0, 2], [3, 4], [6, 7], [11, 12]]
    assert metrics.spans_of(mask, fuse=1).tolist() == [[0, 4], [6, 7], [11, 12]]
    assert metrics.spans_of(mask[:0]).shape == (0, 2)


def test_events_fuse_over_channels_and_keep_the_longest_tail() -> None:
    clicks = [
        Click(10, 14, 60, 0),
        Click(12, 16, 16, 1),
        Click(17, 18, 18, 0),  # one frame behind: still the same
        Click(20, 21, 21, 0),  # two frames behind: another
    ]
    assert metrics.events_of(clicks, RATE) == [event(10, 18, 60), event(20, 21)]


def test_a_tool_that_touches_everything_finds_no_events() -> None:
    worn, restored = silence(), silence()
    restored[:50] = 0.1
    found = metrics.found_spans(worn, restored, RATE)
    assert found is not None
    assert found.tolist() == [[0, 50]]
    restored[50] = 0.1
    assert metrics.found_spans(worn, restored, RATE) is None


def test_matching_is_one_to_one_and_as_large_as_can_be() -> None:
    true = np.array([[10, 12], [14, 16]])
    # The second found span meets both; to give it to the first true one would lose a pair.
    found = np.array([[9, 10], [12, 14]])
    pairs = metrics.match_spans(true, found, collar=2)
    assert sorted(pairs) == [(0, 0), (1, 1)]
    assert metrics.match_spans(true, np.array([[12, 14]]), collar=2) in ([(0, 0)], [(1, 0)])
    assert metrics.match_spans(true, np.zeros((0, 2), dtype=np.int64), collar=2) == []


@pytest.mark.parametrize(("start", "hits"), [(7, 0), (8, 1), (13, 1), (14, 0)])
def test_the_collar_is_half_open(start: int, hits: int) -> None:
    # true [10, 12), collar 2: a found span must meet [8, 14).
    found = np.array([[start, start + 1]])
    assert len(metrics.match_spans(np.array([[10, 12]]), found, collar=2)) == hits


def test_recall_and_precision() -> None:
    damaged = np.zeros((100, 2), dtype=bool)
    damaged[10:40, 0] = True
    damaged[70:72, 1] = True
    events = [event(10, 12, 40), event(70, 72), event(90, 91)]
    # A hit; a second piece of the same repair; a false alarm.
    found = np.array([[10, 12], [30, 35], [50, 52]])
    counted = metrics.count_detected(events, found, damaged, RATE)
    assert counted == metrics.Detected(true=3, hits=1, false=1)
    assert counted.recall == pytest.approx(1 / 3)
    assert counted.precision == pytest.approx(1 / 2)
    nothing = metrics.count_detected([], np.zeros((0, 2), dtype=np.int64), damaged, RATE)
    assert np.isnan(nothing.recall)
    assert np.isnan(nothing.precision)


def test_event_gains_reach_over_the_tail_and_all_channels() -> None:
    clean, worn, restored = silence(), silence(), silence()
    worn[10:12] = 0.1
    restored[10:12] = 0.01
    worn[20, 0] = restored[20, 0] = 0.1
    gains = metrics.event_gains_db(clean, worn, restored, [event(10, 12), event(10, 12, 30)])
    assert gains[0] == pytest.approx(20.0, abs=1e-4)
    assert gains[1] == pytest.approx(10 * np.log10(0.05 / 0.0104), abs=1e-4)


def test_gap_sdr_is_of_the_own_channel() -> None:
    clean, restored = silence(), silence()
    clean[10:20] = 0.5
    restored[10:20, 0] = 0.45
    clicks = [Click(10, 20, 20, 0), Click(10, 20, 20, 1), Click(30, 30, 40, 0)]
    sdrs = metrics.gap_sdr_db(clean, restored, clicks)
    assert sdrs[:2] == pytest.approx([20.0, 0.0], abs=1e-6)
    assert np.isnan(sdrs[2])


def test_off_target_energy_leaves_damage_out() -> None:
    worn, restored = silence(), silence()
    restored[10] = 0.1
    restored[50, 0] = 0.2
    damaged = np.zeros((100, 2), dtype=bool)
    damaged[10] = True
    assert metrics.off_target_energy(worn, restored, damaged) == pytest.approx(0.04)


def test_log_spectral_distance() -> None:
    clean = np.random.default_rng(1).standard_normal((44100, 2))
    events = [event(20000, 20010)]
    assert metrics.log_spectral_distance_db(clean, clean, events, 44100) == 0.0
    # Ten times the power is 10 dB everywhere, but for the floor.
    louder = clean * np.sqrt(10)
    distance = metrics.log_spectral_distance_db(clean, louder, events, 44100)
    assert distance == pytest.approx(10.0, abs=0.01)
    # What is far from the event does not count.
    elsewhere = clean.copy()
    elsewhere[:10000] *= 3
    assert metrics.log_spectral_distance_db(clean, elsewhere, events, 44100) == 0.0
    assert np.isnan(metrics.log_spectral_distance_db(clean, clean, [], 44100))
    assert np.isnan(metrics.log_spectral_distance_db(clean[:99], clean[:99], events, 44100))


@pytest.mark.slow
def test_visqol_hears_a_click() -> None:
    pytest.importorskip("visqol")
    from declick.bench.quality import mean_opinion

    clean = 0.1 * np.random.default_rng(1).standard_normal((88200, 2))
    worn = clean.copy()
    worn[20000:20030] += 0.9
    events = [event(20000, 20030), event(30000, 30010), event(10000, 10010)]
    assert mean_opinion(clean, worn, events, 44100) < mean_opinion(clean, clean, events, 44100)
