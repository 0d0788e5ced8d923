"""Numbers become events here: thresholds, fusion, tails, kinds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from declick.clicks import Click, Kind, disjoint_clicks
from declick.detect.spans import (
    PRIOR,
    PRIOR_OF_NETWORK,
    PRIOR_OF_SPECKS,
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

RATE = 44100


def test_threshold_falls_with_sensitivity_and_with_wear() -> None:
    values = [threshold(sensitivity) for sensitivity in (0.0, 0.25, 0.5, 1.0)]
    assert values == sorted(values, reverse=True)
    assert threshold(0.5, plain_hz=10.0) < threshold(0.5, plain_hz=0.0)
    assert threshold(0.5, plain_hz=0.1) == threshold(0.5)


def test_many_likely_specks_make_a_record_worn_to_the_network_alone() -> None:
    """Of a record unlike what it has learned from, the network is sure of none."""
    worn = threshold(0.5, likely_hz=13.0, prior=PRIOR_OF_SPECKS)
    assert worn < 0.5 < threshold(0.5, prior=PRIOR_OF_SPECKS)
    assert threshold(0.5, likely_hz=0.1, prior=PRIOR_OF_SPECKS) >= threshold(0.5)
    for prior in (PRIOR, PRIOR_OF_NETWORK):
        assert threshold(0.5, likely_hz=13.0, prior=prior) == threshold(0.5, prior=prior)


def test_likely_specks_are_short_and_need_not_be_plain() -> None:
    probability = np.zeros((4 * RATE // 100, 1), dtype=np.float32)
    probability[100:120] = 0.95
    probability[300:320] = 0.9995
    probability[600:730] = 0.9995
    probability[1000:1010] = 0.5
    assert count_plain(probability, sample_rate=RATE, plain=0.998) == (2, 1, 2)


def test_spans_are_runs_above_the_threshold() -> None:
    probability = np.zeros((20, 2), dtype=np.float32)
    probability[3:5, 0] = 0.9
    probability[19, 1] = 0.8
    probability[8, 1] = 0.3
    spans = find_spans(probability, least=0.75, start=100)
    assert [(s.start, s.stop, s.channel) for s in spans] == [(103, 105, 0), (119, 120, 1)]


def test_what_is_short_needs_less_on_a_worn_record() -> None:
    worn = threshold(0.5, plain_hz=30.0, prior=PRIOR_OF_SPECKS)
    assert worn < threshold(0.5, plain_hz=30.0, prior=PRIOR_OF_NETWORK)
    probability = np.zeros((400, 1), dtype=np.float32)
    probability[10:20] = probability[100:220] = worn
    specks = find_specks(probability, least=worn, below=1.0, start=1000, sample_rate=RATE)
    assert [(s.start, s.stop) for s in specks] == [(1010, 1020)]


def test_the_network_asks_for_more_where_there_is_hardly_a_click() -> None:
    usual = threshold(0.5, prior=PRIOR)
    for prior in (PRIOR_OF_NETWORK, PRIOR_OF_SPECKS):
        told = [
            threshold(0.5, plain_hz=hz, any_hz=hz, prior=prior) for hz in (0.0, 0.01, 0.25, 0.33)
        ]
        assert sorted(told, reverse=True) == told
        assert told[0] == pytest.approx(lowered(usual, -1.5))
        assert told[-1] == pytest.approx(usual)
    # Ticks bear out no clap, but neither do they speak against it.
    ticks = threshold(0.5, plain_hz=0.0, any_hz=2.0, prior=PRIOR_OF_NETWORK)
    assert ticks == pytest.approx(usual)


def test_a_weak_span_counts_beside_a_click_of_the_other_channel() -> None:
    probability = np.zeros((50, 2), dtype=np.float32)
    probability[10:14, 0] = 0.99
    probability[11:13, 1] = 0.5
    probability[30:32, 1] = 0.5
    spans = find_spans(probability, least=0.9, start=0)
    assert [(s.start, s.channel) for s in spans] == [(10, 0), (11, 1)]


def test_spans_across_a_border_are_one() -> None:
    spans = [Span(90, 100, 0, 0.9), Span(100, 105, 0, 0.95), Span(200, 201, 0, 0.9)]
    fused = list(fuse_spans(spans, sample_rate=RATE, frames=1000))
    assert fused == [Span(90, 105, 0, 0.95), Span(200, 201, 0, 0.9)]


span_lists = st.lists(
    st.tuples(st.integers(0, 5000), st.integers(1, 400), st.integers(0, 1)), max_size=40
).map(lambda items: sorted(Span(a, a + n, c, 0.9) for a, n, c in items))


@given(span_lists)
def test_fused_spans_ascend_and_are_disjoint(spans: list[Span]) -> None:
    fused = list(fuse_spans(spans, sample_rate=RATE, frames=5200))
    assert fused == sorted(fused)
    covered = np.zeros((6000, 2), dtype=int)
    for span in fused:
        covered[span.start : span.stop, span.channel] += 1
    assert covered.max(initial=0) <= 1
    for span in spans:
        assert covered[span.start : min(span.stop, 5200), span.channel].all()


click_lists = st.lists(
    st.tuples(st.integers(0, 5000), st.integers(1, 50), st.integers(0, 800), st.integers(0, 1)),
    max_size=30,
).map(lambda items: sorted(Click(a, a + n, a + n + t, c) for a, n, t, c in items))


@given(click_lists)
def test_disjoint_clicks_are_disjoint_and_lose_nothing(clicks: list[Click]) -> None:
    laid = disjoint_clicks(clicks)
    assert [c.start for c in laid] == sorted(c.start for c in laid)
    covered = np.zeros((7000, 2), dtype=int)
    for click in laid:
        covered[click.start : click.tail, click.channel] += 1
    assert covered.max(initial=0) <= 1
    for click in clicks:
        assert covered[click.start : click.tail, click.channel].all()


def test_kinds_by_length_and_company() -> None:
    tick, pop = Click(0, 10, 10, 0), Click(RATE, RATE + 60, RATE + 60, 0)
    crowd = [Click(n, n + 3, n + 3, 1) for n in range(10 * RATE, 11 * RATE, RATE // 100)]
    named = name_kinds([tick, pop, *crowd], sample_rate=RATE)
    assert [click.kind for click in named[:2]] == [Kind.TICK, Kind.POP]
    assert named[50].kind is Kind.CRACKLE


def test_what_returns_with_the_disc_is_a_scratch() -> None:
    turn = round(1.8 * RATE)
    returning = [Click(5000 + k * turn, 5010 + k * turn, 5010 + k * turn, 0) for k in range(6)]
    alone = Click(30_000, 30_010, 30_010, 0)
    named = name_scratches(sorted([*returning, alone]), sample_rate=RATE, period_s=1.8)
    kinds = {click.start: click.kind for click in named}
    assert kinds[30_000] is Kind.TICK
    assert all(kinds[click.start] is Kind.SCRATCH for click in returning)


@pytest.mark.parametrize("start", [0, 1, 4999])
def test_a_span_is_cut_at_the_end_of_the_recording(start: int) -> None:
    fused = list(fuse_spans([Span(start, start + 10, 0, 1.0)], sample_rate=RATE, frames=5000))
    assert fused[0].stop == min(start + 10, 5000)


def test_what_returns_with_the_disc_needs_less() -> None:
    turn = round(1.8 * RATE)
    sure = [Span(k * turn + 500, k * turn + 504, 0, 0.99) for k in (0, 1, 3, 4)]
    at_the_angle = Span(2 * turn + 520, 2 * turn + 524, 1, 0.5)
    elsewhere = Span(2 * turn + 9000, 2 * turn + 9004, 0, 0.5)
    lonely = Span(9 * turn + 500, 9 * turn + 504, 0, 0.5)
    weaker = [at_the_angle, elsewhere, lonely]
    found = find_returning(weaker, sure, sample_rate=RATE, period_s=1.8)
    assert found == [at_the_angle]


def test_nothing_returns_in_dense_crackle() -> None:
    crackle = [Span(k * 1000, k * 1000 + 4, 0, 0.99) for k in range(800)]
    weaker = [Span(400_500, 400_504, 1, 0.5)]
    assert find_returning(weaker, crackle, sample_rate=RATE, period_s=1.8) == []
    assert find_returning(weaker, [], sample_rate=RATE, period_s=1.8) == []


def test_the_swing_of_the_arm_behind_a_click_is_no_click() -> None:
    def click(start_ms: float, length_ms: float, confidence: float, channel: int = 0) -> Click:
        start, stop = round(start_ms * 44.1), round((start_ms + length_ms) * 44.1)
        return Click(start, stop, stop, channel, confidence)

    push, swing = click(100, 0.5, 1.0), click(120, 8.0, 0.95)
    kept = [
        click(10, 8.0, 0.95),  # before any push
        push,
        click(110, 0.5, 0.95),  # short
        click(121, 8.0, 0.95, channel=1),  # nothing was pushed there
        click(130, 8.0, 1.0),  # plain
        click(200, 8.0, 0.95),  # later
    ]
    clicks = sorted([*kept, swing])
    assert swings_among(clicks, sample_rate=44100) == {swing}
    assert swings_among([], sample_rate=44100) == set()
    thump = replace(push, kind=Kind.THUMP, tail=push.stop + 4410)
    assert is_within_thump(swing, [thump])
    assert not is_within_thump(swing, [replace(thump, tail=push.stop + 100)])
    assert not is_within_thump(swing, [push])
