"""What a person or a program sees of a run: a bar with the time left, JSON."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from declick.cli.lines import one_line
from declick.sinks import STANDARD_OUTPUT, writing
from declick.stages import STAGES, Progress, ignore_progress, time_done
from declick.wording import count_of

if TYPE_CHECKING:
    from tqdm import tqdm

# What takes so long beside another copy, where `STAGES` take 1.
_COPY_STAGES = {"align": 0.3, "copies": 1.0, "compare": 0.4}
_LAYOUT = "{desc}{percentage:3.0f}%|{bar}| {elapsed}, {remaining} left"
_NAME = 32


def print_json(values: dict[str, Any]) -> None:
    """Print values for a program, on standard output, in one line of ASCII."""
    print_text(json.dumps(values) + "\n")


def print_text(text: str) -> None:
    """Print on standard output, if there is one.

    Raises
    ------
    WriteError
        If it cannot be written to.
    """
    if sys.stdout is not None:
        with writing(STANDARD_OUTPUT):
            sys.stdout.write(text)
            sys.stdout.flush()


@contextmanager
def progress_bar(
    name: str, *, quiet: bool, stages: Sequence[str] = tuple(STAGES)
) -> Iterator[Progress]:
    """Show one bar with the time left over all stages; nothing unless a terminal looks on."""
    short = _shortened(name)
    every = STAGES | _COPY_STAGES
    lengths = {stage: every[stage] for stage in stages}
    with _bar(short, sum(lengths.values()), quiet) as bar:
        if bar is None:
            yield ignore_progress
            return

        def show(stage: str, share: float) -> None:
            if stage not in stages:
                return
            done = time_done(stage, share, lengths)
            bar.set_description(f"{short}: {stage}", refresh=False)
            bar.update(max(0.0, min(bar.total or 0.0, done) - bar.n))

        yield show


@contextmanager
def files_bar(
    sizes: list[int], *, quiet: bool, noun: str = "recording"
) -> Iterator[tqdm[Any] | None]:
    """Show one bar over many files, which counts their bytes."""
    with _bar(count_of(len(sizes), noun), float(max(1, sum(sizes))), quiet) as bar:
        yield bar


@contextmanager
def _bar(name: str, total: float, quiet: bool) -> Iterator[tqdm[Any] | None]:
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm  # slow to import, and not always needed

    # Some terminals say that they are 0 wide; this falls back to 80.
    size = shutil.get_terminal_size()
    with tqdm(
        desc=name,
        total=total,
        bar_format=_LAYOUT,
        smoothing=0.0,
        leave=False,
        ncols=size.columns,
        nrows=max(2, size.lines),
        file=sys.stderr,
    ) as bar:
        yield bar


def _shortened(name: str) -> str:
    """Return the end of a path, short enough to leave room for the bar."""
    line = one_line(name.rpartition("/")[2])
    return line if len(line) <= _NAME else "…" + line[1 - _NAME :]
