from __future__ import annotations

from typing import Any

import pytest

from declick.clicks import Click, Kind
from declick.errors import SettingsError
from declick.report import Entry, Report, Source
from declick.select import Selection, parse_time, select
from declick.totals import Totals

KINDS = list(Kind)


def report(clicks: int = 60) -> Report:
    """One click every two seconds, from 1 s on; 0.1 s long; all else by turns."""
    entries = tuple(
        Entry(
            number=index + 1,
            click=Click(
                1000 + 2000 * index, 1100 + 2000 * index, 1100 + 2000 * index, index % 2,
                (index % 10) / 10, KINDS[index % 6],
            ),
            method=("ar", "copy", "left")[index % 3],
            made=index % 3 != 2,
        )
        for index in range(clicks)
    )  # fmt: skip
    source = Source(
        name="x.wav", sha256=None, sample_rate=1000, frames=120_000, channels=2, format="WAV",
        subtype="PCM_16",
    )  # fmt: skip
    totals = Totals(
        clicks=clicks, repaired=0, left=0, frames_changed=0, seconds_changed=0.0, by_kind={},
        by_method={}, removed_db=None,
    )  # fmt: skip
    return Report(
        declick="0", versions={}, created=None, source=source, output=None, removed=None,
        settings={}, chain={}, rotation_s=None, entries=entries, totals=totals, notices=(),
    )  # fmt: skip


def numbers(**given: Any) -> list[int]:
    return [entry.number for entry in select(report(), Selection.parse(**given))]


def test_numbers() -> None:
    assert numbers(clicks="12,40-44") == [12, 40, 41, 42, 43, 44]
    assert numbers(clicks=" 3 - 4 , 3, 58- ") == [3, 4, 58, 59, 60]
    assert numbers(clicks="1–2") == [1, 2]


def test_times() -> None:
    # Click n runs from 2n-1 s to 2n-0.9 s.
    assert numbers(between="1:32-1:40") == [47, 48, 49, 50]
    assert numbers(between=["0-3.05", "119.09-"]) == [1, 2, 60]
    assert numbers(between="0:05.05s-5.06s, 0:00:07-0:00:07") == [3, 4]
    assert numbers(between="3.1-4.9") == []


def test_and_across_or_inside() -> None:
    assert numbers(kind="thump", between="0-30") == [4, 10]
    assert numbers(kind=["thump", "TICK"], clicks="1-7") == [1, 4, 7]
    assert numbers(clicks="1-6", channel="L") == [1, 3, 5]
    assert numbers(clicks="1-6", channel="r") == numbers(clicks="1-6", channel="2") == [2, 4, 6]
    assert numbers(clicks="1-6", channel="ch1,right") == [1, 2, 3, 4, 5, 6]
    assert numbers(clicks="1-6", method="ar,copy") == [1, 2, 4, 5]
    assert numbers(clicks="1-12", confidence_below=0.2) == [1, 2, 11, 12]
    assert numbers(clicks="1-12", confidence_below=0.2, channel="L", method="ar") == [1]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "no clicks are chosen: give their numbers"),
        ({"clicks": " , "}, "no clicks are chosen"),
        ({"clicks": "61"}, "there is no click 61: the report has clicks 1 to 60"),
        ({"clicks": "5-99"}, "there is no click 99"),
        ({"clicks": "70-"}, "there is no click 70"),
        ({"clicks": "0"}, "'0' is not a click's number"),
        ({"clicks": "7-3"}, "'7-3' runs backwards: write 3-7"),
        ({"clicks": "-3"}, "'-3' is not a click's number"),
        ({"clicks": "1.5"}, "'1.5' is not a click's number"),
        ({"between": "1:32"}, "'1:32' is not a stretch of time"),
        ({"between": "1:40-1:32"}, "'1:40-1:32' runs backwards"),
        ({"between": "1:75-2:00"}, "'1:75' is not a time"),
        ({"between": "2:01-3:00"}, "121 s is beyond the end: the sound is 120.000 s long"),
        ({"kind": "bang"}, "'bang' is not a kind of click: choose one of tick, pop, crackle"),
        ({"channel": "M"}, "'M' is not a channel: write L, R or its number"),
        ({"channel": "0"}, "'0' is not a channel"),
        ({"channel": "3"}, "there is no channel 3: the sound has 2"),
        ({"method": "magic"}, "no click was mended by 'magic': the report has ar, copy, left"),
        ({"confidence_below": 1.5}, "confidence below 1.5: it must be between 0 and 1"),
    ],
)
def test_errors(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        numbers(**given)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_report_says_so() -> None:
    with pytest.raises(SettingsError, match="the report has no clicks"):
        select(report(0), Selection.parse(clicks="1"))


def test_parse_time() -> None:
    assert [parse_time(text) for text in ("92", "92.5 s", "1:32.25", "1:02:03.5", "90:00")] == [
        92.0, 92.5, 92.25, 3723.5, 5400.0,
    ]  # fmt: skip
    for bad in ("", "1:60", "1:60:00", "a", "1:2:3:4", "-1", "nan", "1,5"):
        with pytest.raises(SettingsError, match="is not a time"):
            parse_time(bad)
