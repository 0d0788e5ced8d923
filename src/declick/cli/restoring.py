"""``declick restore``: one recording, several, or folders of them."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from declick.cli.console import describe, print_json, progress_bar, say, summary
from declick.cli.flags import settings_of
from declick.cli.names import default_output, default_report, gather_sources
from declick.cli.opening import open_source, standard_output
from declick.errors import DeclickError, SettingsError, WriteError
from declick.labels import write_labels
from declick.parallel import Workers
from declick.pipeline import restore
from declick.settings import Settings


def run_restore(options: argparse.Namespace) -> int:
    """Restore what was named; 1 if any of it failed."""
    settings = settings_of(options)
    paths, output = _split_output(options)
    several = len(paths) > 1 or (paths[0] != "-" and Path(paths[0]).is_dir())
    if not several:
        source = Path(paths[0])
        if output is None:
            output = "-" if paths[0] == "-" else str(default_output(source))
        elif output != "-" and Path(output).is_dir():
            if paths[0] == "-":
                raise SettingsError(f"{output}: is a folder; name a file for standard input")
            output = str(default_output(source, Path(output)))
        if options.skip_existing and output != "-" and Path(output).exists():
            say(f"{output}: exists, skipped", quiet=options.quiet)
            return 0
        return _restore_one(paths[0], output, settings, options)
    for name in ("removed", "report", "labels"):
        if getattr(options, name) is not None:
            raise SettingsError(f"--{name} names one file; restore the recordings one by one")
    if "-" in paths or output == "-":
        raise SettingsError("standard input and output are for one recording")
    folder = None if output is None else Path(output)
    if folder is not None and folder.exists() and not folder.is_dir():
        raise SettingsError(f"{folder}: several recordings need a folder to go to")
    pairs = gather_sources([Path(path) for path in paths], folder)
    return _restore_several(pairs, settings, options)


def _split_output(options: argparse.Namespace) -> tuple[list[str], str | None]:
    """Understand ``IN OUT`` and ``- -`` beside ``IN... -o OUT``, without risk to a second rip."""
    paths: list[str] = options.paths
    if options.output is not None or len(paths) != 2:
        return paths, options.output
    if paths[1] == "-":
        return paths[:1], "-"
    second = Path(paths[1])
    if not second.exists() and not Path(paths[0]).is_dir():
        return paths[:1], paths[1]
    return paths, None


def _restore_one(path: str, output: str, settings: Settings, options: argparse.Namespace) -> int:
    """Restore one recording, all cores at work on it."""
    started = time.monotonic()
    if output == "-" and options.json:
        raise SettingsError("--json and the sound cannot both go to standard output; give -o FILE")
    report = options.report
    if report is None and output != "-" and not options.no_report:
        report = default_report(Path(output))
    with open_source(path) as recording:
        if recording.notice:
            say(f"declick: {recording.notice}", quiet=options.quiet)
        with progress_bar(recording.name, quiet=options.quiet) as progress:
            done = restore(
                recording,
                standard_output() if output == "-" else Path(output),
                settings=settings,
                removed=options.removed,
                report=report,
                overwrite=options.overwrite,
                jobs=_jobs_for(recording.frames / recording.sample_rate, options.jobs),
                progress=progress,
            )
        if options.labels is not None:
            if options.labels.exists() and not options.overwrite:
                raise WriteError(f"{options.labels}: it exists already; add --overwrite")
            write_labels(
                options.labels,
                done.detection.clicks,
                recording.sample_rate,
                channels=recording.channels,
            )
        elapsed = time.monotonic() - started
        duration = recording.frames / recording.sample_rate
        for notice in done.written.notices:
            say(f"declick: {notice}", quiet=options.quiet)
        text = describe(done, name=recording.name, elapsed_s=elapsed, duration_s=duration)
        say(text, quiet=options.quiet)
        if output != "-":
            say(f"  -> {output}", quiet=options.quiet)
        if options.json:
            print_json(summary(done, elapsed_s=elapsed, duration_s=duration))
    return 0


def _jobs_for(duration_s: float, jobs: int) -> int:
    """Return how many processes are worth starting: a short piece is done before they are up."""
    return 1 if duration_s < 30.0 else jobs


def _restore_several(
    pairs: list[tuple[Path, Path]], settings: Settings, options: argparse.Namespace
) -> int:
    """Restore many recordings, one to a process; a bad one does not stop the rest."""
    started = time.monotonic()
    skipped = [pair for pair in pairs if options.skip_existing and pair[1].exists()]
    work = [
        (source, target, settings, options.overwrite, not options.no_report)
        for source, target in pairs
        if (source, target) not in skipped
    ]
    results: list[dict[str, Any]] = [
        {"source": str(source), "output": str(target), "status": "skipped"}
        for source, target in skipped
    ]
    with Workers(min(options.jobs, max(1, len(work)))) as workers:
        for number, result in enumerate(workers.map(_restore_in_worker, work), start=1):
            results.append(result)
            text = result.get("error") or result["text"]
            say(f"[{number}/{len(work)}] {text}", quiet=options.quiet and "error" not in result)
    failed = [result for result in results if result["status"] == "failed"]
    restored = len(results) - len(failed) - len(skipped)
    elapsed = time.monotonic() - started
    say(
        f"{restored} restored, {len(skipped)} skipped, {len(failed)} failed in {elapsed:.1f} s",
        quiet=options.quiet,
    )
    for result in failed:
        say(f"  failed: {result['error']}", quiet=options.quiet)
    if options.json:
        for result in results:
            result.pop("text", None)
        print_json({"files": results, "elapsed_s": round(elapsed, 3)})
    return 1 if failed else 0


def _restore_in_worker(work: tuple[Path, Path, Settings, bool, bool]) -> dict[str, Any]:
    """Restore one recording of many; what goes wrong is a result like any other."""
    source, target, settings, overwrite, wants_report = work
    started = time.monotonic()
    result: dict[str, Any] = {"source": str(source), "output": str(target)}
    try:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WriteError(f"{target.parent}: cannot be made ({error.strerror})") from None
        with open_source(str(source)) as recording:
            done = restore(
                recording,
                target,
                settings=settings,
                report=default_report(target) if wants_report else None,
                overwrite=overwrite,
            )
            elapsed = time.monotonic() - started
            duration = recording.frames / recording.sample_rate
            text = describe(done, name=recording.name, elapsed_s=elapsed, duration_s=duration)
            values = summary(done, elapsed_s=elapsed, duration_s=duration)
            return result | values | {"status": "restored", "text": text}
    except DeclickError as error:
        return result | {"status": "failed", "error": str(error)}
    except Exception as error:  # a fault of ours in one file must not cost the other thousands
        return result | {
            "status": "failed",
            "error": f"{source}: {type(error).__name__}: {error} (a fault of declick: report it)",
        }
