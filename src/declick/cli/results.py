"""How a run ends: what is said of it, to a person and to a program."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from declick.cli.console import print_json
from declick.cli.lines import say
from declick.outcome import Restoration
from declick.read import Recording
from declick.wording import count_of, format_time


def show_result(
    done: Restoration,
    recording: Recording,
    options: argparse.Namespace,
    *,
    elapsed_s: float,
    labels: Path | None = None,
) -> None:
    """Say what was done, and where it lies; print it as JSON if that is asked for."""
    duration_s = recording.duration_s
    for notice in done.notices:
        say(f"declick: {notice}", quiet=options.quiet)
    text = describe(done, name=recording.name, elapsed_s=elapsed_s, duration_s=duration_s)
    say(text, quiet=options.quiet)
    show_files(
        {"": done.written.output, "what was removed": done.written.removed}
        | {"labels": labels, "report": done.report},
        quiet=options.quiet,
    )
    if options.json:
        print_json(summary(done, elapsed_s=elapsed_s, duration_s=duration_s))


def show_files(files: Mapping[str, Path | None], *, quiet: bool) -> None:
    """Say in a line for each file where it is, and what, unless it is the sound itself."""
    for what, path in files.items():
        if path is not None:
            say(f"  -> {path}{f' ({what})' if what else ''}", quiet=quiet)


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
    """Return what a person wants to know of a run, in a line."""
    totals = done.totals
    rotation = done.detection.rotation
    turned = f"; a scratch shows that it turned at {rotation.rpm:.2f} rpm" if rotation else ""
    parts = [f"{totals.repaired} mended"] if totals.clicks else []
    if totals.left:
        parts.append(f"{totals.left} left alone")
    if totals.clicks:
        share = 100.0 * totals.seconds_changed / max(duration_s, 1e-9)
        parts.append(f"{share:.3g} % of the time touched")
    mended = f": {', '.join(parts)}" if parts else ""
    return (
        f"{name}: {format_time(duration_s)} in {elapsed_s:.1f} s; "
        f"{count_clicks(totals.by_kind)}{mended}{turned}"
    )


def count_clicks(by_kind: Mapping[str, int]) -> str:
    """Return ``no clicks``, ``1 click (1 pop)`` or ``12 clicks (9 ticks, 3 pops)``."""
    total = sum(by_kind.values())
    if not total:
        return "no clicks"
    ordered = sorted(by_kind.items(), key=lambda item: -item[1])
    kinds = ", ".join(count_of(count, kind) for kind, count in ordered)
    return f"{count_of(total, 'click')} ({kinds})"
