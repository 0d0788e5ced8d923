"""Samples that somebody has drawn by hand, in place of damage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np

from declick.clicks import Click, Repair
from declick.errors import SettingsError
from declick.read import Recording

_BLOCK: Final = 1 << 18
# Of all frames: nobody draws more by hand.
_MOST_DRAWN: Final = 0.1


def redraw(recording: Recording, clicks: Iterable[Click], drawn: Recording) -> Iterator[Repair]:
    """Put samples that somebody has drawn in place of the clicks.

    Parameters
    ----------
    recording, drawn : Recording
        Of the same length, rate and channels; from the second the samples are taken.
    clicks : iterable of Click

    Yields
    ------
    Repair

    Raises
    ------
    SettingsError
        If the two recordings do not fit each other.
    """
    _check_drawn(recording, drawn)
    for click in clicks:
        samples = drawn.read(click.start, click.tail)[:, click.channel]
        yield Repair(click, samples, "draw")


def find_drawn(recording: Recording, drawn: Recording) -> list[Click]:
    """Return where the drawn recording differs; differences 1 ms apart are one click.

    Parameters
    ----------
    recording, drawn : Recording
        Of the same length, rate and channels.

    Raises
    ------
    SettingsError
        If the two recordings do not fit each other, or differ in more than a tenth of the frames.
    """
    _check_drawn(recording, drawn)
    frames = 0
    near = max(1, recording.sample_rate // 1000)
    found: dict[int, list[Click]] = {channel: [] for channel in range(recording.channels)}
    for before, after in zip(recording.blocks(_BLOCK, 0), drawn.blocks(_BLOCK, 0), strict=True):
        differs = before.samples != after.samples
        frames += int(np.count_nonzero(differs.any(axis=1)))
        if frames > _MOST_DRAWN * recording.frames:
            raise SettingsError(
                f"{drawn.name}: differs from {recording.name} in more than a tenth of all frames, "
                "as an export does that was dithered or turned up; mark what you drew with --labels"
            )
        for channel, clicks in found.items():
            for frame in (np.flatnonzero(differs[:, channel]) + before.start).tolist():
                if clicks and frame - clicks[-1].stop < near:
                    last = clicks.pop()
                    clicks.append(Click(last.start, frame + 1, frame + 1, channel))
                else:
                    clicks.append(Click(frame, frame + 1, frame + 1, channel))
    return sorted(click for clicks in found.values() for click in clicks)


def _check_drawn(recording: Recording, drawn: Recording) -> None:
    shapes = [(r.sample_rate, r.channels, r.frames) for r in (recording, drawn)]
    if shapes[0] != shapes[1]:
        raise SettingsError(
            "{}: {} Hz, {} channels, {} frames, where {} has {}, {} and {}; "
            "draw on a copy of the whole recording".format(
                drawn.name, *shapes[1], recording.name, *shapes[0]
            )
        )
