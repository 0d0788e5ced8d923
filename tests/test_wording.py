"""Numbers of things, in words."""

from __future__ import annotations

import pytest

from declick.clicks import Kind
from declick.wording import count_of, listed


@pytest.mark.parametrize(
    ("number", "noun", "told"),
    [
        (0, "click", "0 clicks"),
        (1, "click", "1 click"),
        (2, "scratch", "2 scratches"),
        (1, "crackle", "1 crackle"),
        (2, "crackle", "2 crackle"),
        (13, "more stretch", "13 more stretches"),
        (2, "copy", "2 copies"),
    ],
)
def test_one_is_not_many(number: int, noun: str, told: str) -> None:
    assert count_of(number, noun) == told


def test_every_kind_of_click_has_a_plural() -> None:
    assert {count_of(2, kind.value) for kind in Kind} == {
        "2 ticks", "2 pops", "2 crackle", "2 thumps", "2 scratches", "2 dropouts"
    }  # fmt: skip


def test_values_are_told_with_their_names() -> None:
    assert listed({"events": 0.0341, "cores": 12.5}) == "events 0.0341, cores 12.5"
