"""What a person or a program sees of a run: progress, lines, JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from tqdm import tqdm

from declick.pipeline import Restoration
from declick.report import format_time
from declick.stages import Progress, ignore_progress

# Share of the whole time that each stage takes on an ordinary side.
_STAGES = {"detect": 0.35, "measure": 0.25, "repair": 0.4}


@contextmanager
def progress_bar(name: str, *, quiet: bool) -> Iterator[Progress]:
    """Show one bar with the time left over all stages; nothing unless a terminal looks on."""
    if quiet or not sys.stderr.isatty():
        yield ignore_progress
        return
    layout = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
    with tqdm(total=1.0, bar_format=layout, leave=False, file=sys.stderr) as bar:

        def show(stage: str, share: float) -> None:
            before = list(_STAGES).index(stage)
            done = sum(list(_STAGES.values())[:before]) + share * _STAGES[stage]
            bar.set_description_str(f"{name} · {stage}", refresh=False)
            bar.update(max(0.0, min(1.0, done) - bar.n))

        yield show


def say(text: str, *, quiet: bool = False) -> None:
    """Print a line for a person, on standard error, so that output can be piped."""
    if not quiet:
        print(text, file=sys.stderr)


def print_json(values: dict[str, Any] | list[Any]) -> None:
    """Print values for a program, on standard output."""
    print(json.dumps(values, ensure_ascii=False))


def summary(done: Restoration, *, elapsed_s: float, duration_s: float) -> dict[str, Any]:
    """Return what a program wants to know of a run."""
    written, rotation = done.written, done.detection.rotation
    return {
        "output": None if written.output is None else str(written.output),
        "removed": None if written.removed is None else str(written.removed),
        "report": None if done.report is None else str(done.report),
        "format": written.format,
        "subtype": written.subtype,
        "duration_s": round(duration_s, 3),
        "elapsed_s": round(elapsed_s, 3),
        "rotation_s": None if rotation is None else round(rotation.period_s, 6),
        "totals": asdict(done.totals),
        "notices": list(done.notices),
    }


def describe(done: Restoration, *, name: str, elapsed_s: float, duration_s: float) -> str:
    """Return what a person wants to know of a run, in a line or two."""
    totals = done.totals
    kinds = ", ".join(
        f"{count} {_plural(kind, count)}"
        for kind, count in sorted(totals.by_kind.items(), key=lambda item: -item[1])
    )
    rotation = done.detection.rotation
    turned = f"; a scratch shows that it turned at {rotation.rpm:.2f} rpm" if rotation else ""
    left = f", {totals.left} left alone" if totals.left else ""
    changed = 100.0 * totals.seconds_changed / max(duration_s, 1e-9)
    return (
        f"{name}: {format_time(duration_s)} in {elapsed_s:.1f} s; mended {totals.repaired}"
        f"{f' ({kinds})' if kinds else ''}{left}; {changed:.3g} % of the sound changed{turned}"
    )


def _plural(kind: str, count: int) -> str:
    """Return the kind for a number of clicks."""
    if count == 1 or kind == "crackle":
        return kind
    return kind + ("es" if kind.endswith("ch") else "s")
