"""The planner: every click once, in order, bounded, and by the clicks alone."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from declick.clicks import Click
from declick.repair.ar import model_sizes
from declick.repair.passage import (
    GROUP_CLICKS,
    GROUP_JOIN_S,
    GROUP_SPAN_S,
    Passage,
    plan_passages,
)
from declick.settings import RepairSettings

AUTO = RepairSettings()


@st.composite
def click_streams(draw: st.DrawFn) -> list[Click]:
    found = []
    for channel in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, 50))
        for _ in range(draw(st.integers(0, 30))):
            core, tail = draw(st.integers(0, 700)), draw(st.sampled_from([0, 0, 0, 5, 4000]))
            found.append(Click(at, at + core, at + core + max(tail, core == 0), channel))
            at = found[-1].tail + draw(st.sampled_from([0, 1, 30, 400, 2000, 40_000]))
    return sorted(found)


@limits(deadline=None, max_examples=150)
@given(clicks=click_streams(), rate=st.sampled_from([8000, 44100, 96000]))
def test_every_click_is_in_one_plan_that_holds_its_surroundings(
    clicks: list[Click], rate: int
) -> None:
    plans = list(plan_passages(iter(clicks), sample_rate=rate, settings=AUTO))
    assert [click for plan in plans for click in plan.own] == clicks
    for plan in plans:
        assert len(plan.own) <= GROUP_CLICKS
        longest = max(click.stop - click.start for click in plan.own)
        reach = max(size.context for size in model_sizes(longest, rate)) // 2
        assert plan.start <= plan.own[0].start - reach
        assert plan.stop >= max(click.tail for click in plan.own) + reach
        if len(plan.own) > 1:
            last = max(click.stop for click in plan.own)
            assert last - plan.own[0].start <= max(round(GROUP_SPAN_S * rate), longest)
    for before, behind in pairwise(plans):
        assert before.own[-1] < behind.own[0]


@limits(deadline=None, max_examples=30)
@given(clicks=click_streams(), cut=st.integers(0, 90))
def test_a_click_far_away_changes_no_plan(clicks: list[Click], cut: int) -> None:
    join = round(GROUP_JOIN_S * 44100)
    cut = min(cut, len(clicks))
    before = clicks[:cut]
    while before and cut < len(clicks):
        if clicks[cut].start - max(click.stop for click in before) > join:
            break
        cut += 1
        before = clicks[:cut]
    alone = list(plan_passages(before, sample_rate=44100, settings=AUTO))
    together = list(plan_passages(clicks, sample_rate=44100, settings=AUTO))
    assert together[: len(alone)] == alone


def test_an_endless_chain_of_crackle_is_cut_and_read_no_further_than_needed() -> None:
    taken = 0

    def chain() -> Iterator[Click]:
        nonlocal taken
        while True:
            taken += 1
            yield Click(taken * 100, taken * 100 + 11, taken * 100 + 11, taken % 2)

    plans = list(islice(plan_passages(chain(), sample_rate=44100, settings=AUTO), 50))
    assert all(plan.stop - plan.start < 44100 // 4 for plan in plans)
    assert taken == sum(len(plan.own) for plan in plans) + 1


def test_clicks_that_descend_are_refused() -> None:
    clicks = [Click(100, 110, 110, 0), Click(90, 95, 95, 0)]
    with pytest.raises(ValueError, match="ascend"):
        list(plan_passages(clicks, sample_rate=44100, settings=AUTO))


def test_cores_are_merged_and_cut_to_the_sound() -> None:
    clicks = (Click(0, 6, 9, 0), Click(6, 10, 10, 1), Click(9, 12, 12, 0), Click(12, 40, 40, 0))
    passage = Passage(
        start=-5, sample_rate=8000, samples=np.zeros((30, 2)), valid=(0, 20), clicks=clicks, own=()
    )
    assert passage.sound == (5, 25)
    assert passage.cores(0) == [(5, 11), (14, 25)]
    assert passage.cores(1) == [(11, 15)]
    assert passage.stop == 25


def test_samples_need_channels() -> None:
    with pytest.raises(ValueError, match="frames, channels"):
        Passage(start=0, sample_rate=8000, samples=np.zeros(3), valid=(0, 3), clicks=(), own=())
