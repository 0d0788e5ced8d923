"""``declick repair``: exactly the clicks that labels, a report or a drawing mark."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from typing import Any

from declick.checked import number, optional, rows, table
from declick.cli.console import progress_bar
from declick.cli.flags import MARKED, known_settings, settings_of
from declick.cli.lines import say
from declick.cli.names import choose_output, choose_report
from declick.cli.opening import open_source, open_target
from declick.cli.results import show_result
from declick.clicks import Click, disjoint_clicks
from declick.detect.beats import KEEPS_A_BEAT
from declick.dsp.chain import Chain
from declick.dsp.rings import Ring
from declick.dsp.slow_tails import Emphasis
from declick.dsp.thumps import Swing
from declick.errors import LabelError, SettingsError
from declick.labels import read_labels
from declick.outcome import check_outputs
from declick.pipeline import mend
from declick.read import Recording
from declick.repair.draw import find_drawn
from declick.repair.transfer import is_transfer
from declick.report import UNDONE, Report, read_report
from declick.wording import count_of

# Fewer clicks are mended before other processes are up.
_WORTH_WORKERS = 500
_SWING = tuple(item.name for item in fields(Swing))
_EMPHASIS = tuple(item.name for item in fields(Emphasis))


@dataclass(frozen=True, kw_only=True)
class _Marked:
    """What is to be mended, and what the marks say of how."""

    clicks: list[Click]
    beats: Sequence[Click] = ()
    chain: Chain | None = None
    settings: Mapping[str, Any] = field(default_factory=lambda: MARKED)


def run_repair(options: argparse.Namespace) -> int:
    """Mend the marked clicks."""
    started = time.monotonic()
    if options.target and options.output:
        raise SettingsError("the output is named twice; give OUT or -o OUT")
    if not (options.labels or options.like or options.draw):
        raise SettingsError("nothing is marked; give --labels, --like or --draw")
    if options.draw:
        _refuse_settings(options)
    output = choose_output(options, options.path, options.output or options.target)
    report = choose_report(options, output)
    with ExitStack() as stack:
        recording = stack.enter_context(open_source(options.path))
        drawn = None
        if options.draw is not None:
            drawn = stack.enter_context(open_source(str(options.draw)))
        target = open_target(output)
        check_outputs(
            recording,
            target,
            removed=options.removed,
            others=(report,),
            sources=(options.labels, options.like, options.draw, options.settings),
            overwrite=options.overwrite,
        )
        marked = _marked(recording, drawn, options)
        settings = settings_of(options, marked.settings)
        with progress_bar(recording.name, quiet=options.quiet) as progress:
            done = mend(
                recording,
                marked.clicks,
                target,
                drawn=drawn,
                chain=marked.chain,
                beats=marked.beats,
                settings=settings,
                removed=options.removed,
                report=report,
                overwrite=options.overwrite,
                jobs=options.jobs if len(marked.clicks) > _WORTH_WORKERS else 1,
                progress=progress,
            )
        show_result(done, recording, options, elapsed_s=time.monotonic() - started)
    return 0


def _refuse_settings(options: argparse.Namespace) -> None:
    """Refuse flags that say how to mend, where the samples are drawn already."""
    for name, value in vars(options).items():
        _, dot, setting = name.partition(".")
        if dot and value is not None:
            flag = setting.replace("_", "-")
            raise SettingsError(
                f"--draw takes the samples as you have drawn them; leave out --{flag}"
            )


def _marked(recording: Recording, drawn: Recording | None, options: argparse.Namespace) -> _Marked:
    """Return the clicks that the labels, the report or the drawing mark."""
    if options.labels is not None:
        clicks = read_labels(
            options.labels,
            sample_rate=recording.sample_rate,
            frames=recording.frames,
            channels=recording.channels,
        )
        return _Marked(clicks=clicks)
    if options.like is not None:
        report = read_report(options.like)
        known = report.source
        if (known.sample_rate, known.frames, known.channels) != (
            recording.sample_rate,
            recording.frames,
            recording.channels,
        ):
            raise LabelError(
                f"{options.like}: is the report of another recording ({known.name}, "
                f"{known.frames} frames of {count_of(known.channels, 'channel')} at "
                f"{known.sample_rate} Hz); give the report of this one"
            )
        known_entries = [entry for entry in report.entries if entry.method != UNDONE]
        beats = sorted(entry.found for entry in known_entries if entry.why == KEEPS_A_BEAT)
        clicks = sorted(entry.found for entry in known_entries if entry.why != KEEPS_A_BEAT)
        if clicks != disjoint_clicks(clicks):
            raise LabelError(
                f"{options.like}: the report is damaged (its clicks overlap); make it again"
            )
        borrowed = sum(is_transfer(entry.method) for entry in report.entries)
        if borrowed:
            say(
                f"declick: {options.like}: {count_of(borrowed, 'click')} mended from another copy "
                "or groove wall; here without it. To repeat the run, restore again",
                quiet=options.quiet,
            )
        if drawn is not None:
            # What has been drawn there is wanted there.
            clicks, beats = disjoint_clicks([*clicks, *beats]), []
        chain = _chain_of(report, str(options.like))
        settings = _settings_of(report, str(options.like))
        return _Marked(clicks=clicks, beats=beats, chain=chain, settings=settings)
    assert drawn is not None
    clicks = find_drawn(recording, drawn)
    if not clicks:
        raise LabelError(
            f"{drawn.name}: nothing in it differs from {recording.name}; save what you have drawn, "
            "or give the file that you drew in"
        )
    return _Marked(clicks=clicks)


def _settings_of(report: Report, name: str) -> Mapping[str, Any]:
    """Return the settings of an earlier run."""
    try:
        return known_settings(report.settings)
    except SettingsError as error:
        raise LabelError(
            f"{name}: the report is damaged (its settings: {error}); make it again"
        ) from None


def _chain_of(report: Report, name: str) -> Chain:
    """Return the playback chain of an earlier run."""
    known, half = report.chain, report.source.sample_rate / 2
    try:
        swing = optional(table, known.get("swing"), "swing")
        return Chain(
            rings=tuple(
                tuple(_ring(table(ring, "a ring"), half) for ring in rows(ring_rows, "rings"))
                for ring_rows in rows(known.get("rings", []), "rings")
            ),
            swing=None if swing is None else Swing(**{n: _positive(swing, n) for n in _SWING}),
            slow_tails=_emphasis(known.get("slow_tails")),
        )
    except KeyError as error:
        fault = f"it lacks {error.args[0]!r}"
    except ValueError as error:
        fault = str(error)
    raise LabelError(f"{name}: the report is damaged (its chain: {fault}); make it again")


def _emphasis(value: object) -> Emphasis | None:
    """Return the de-emphasis; earlier reports say no more than whether there is one."""
    if value is None or isinstance(value, bool):
        return Emphasis() if value else None
    values = table(value, "slow_tails")
    return Emphasis(**{name: _positive(values, name) for name in _EMPHASIS})


def _ring(values: Mapping[str, Any], highest_hz: float) -> Ring:
    return Ring(
        frequency_hz=_positive(values, "frequency_hz", highest_hz),
        decay_s=_positive(values, "decay_s"),
    )


def _positive(values: Mapping[str, Any], name: str, high: float = 1e6) -> float:
    return number(values[name], name, 1e-6, high)
