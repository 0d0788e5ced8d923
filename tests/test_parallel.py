"""Work in several processes."""

from __future__ import annotations

from declick.parallel import Workers


def test_more_processes_than_have_started_are_no_trouble() -> None:
    """The first are idle before the last have been asked for."""
    with Workers(24) as workers:
        assert list(workers.map(abs, range(-40, 0))) == list(range(40, 0, -1))
        assert list(workers.map(abs, range(-40, 0))) == list(range(40, 0, -1))
