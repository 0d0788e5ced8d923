"""``declick restore``: one recording, several, or folders of them."""

from __future__ import annotations

import argparse
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from declick.cli.console import files_bar, print_json, progress_bar
from declick.cli.flags import settings_of
from declick.cli.lines import one_line, say
from declick.cli.names import (
    choose_output,
    choose_report,
    free_report,
    gather_sources,
    make_folder,
    names_sound,
)
from declick.cli.opening import jobs_for, open_source, open_target
from declick.cli.results import describe, show_result, summary
from declick.errors import DeclickError, ReadError, SettingsError, WriteError
from declick.outcome import check_outputs
from declick.parallel import Workers
from declick.pipeline import Second, restore
from declick.settings import Settings

if TYPE_CHECKING:
    from declick.align import Alignment

_MERGING = ("align", "detect", "measure", "copies", "compare", "repair")


def add_copies(parser: argparse.ArgumentParser) -> None:
    """Add the flags for other copies of the record."""
    section = parser.add_argument_group(
        "other copies of the record", "docs/copies.md tells how they are used."
    )
    section.add_argument(
        "--second",
        action="append",
        default=[],
        metavar="B",
        help="another copy of the record, another rip, or its CD: what IN has lost is taken from "
        "there; may be given several times",
    )
    section.add_argument(
        "--map",
        action="append",
        default=[],
        type=Path,
        metavar="JSON",
        help="the map that 'declick align IN B -o JSON' wrote, to save the search; one for each "
        "--second, in the same order",
    )
    section.add_argument(
        "--mono-record",
        action=argparse.BooleanOptionalAction,
        help="IN is a mono record digitized in stereo: the walls of its groove mend each other "
        "(default: found out)",
    )


def run_restore(options: argparse.Namespace) -> int:
    """Restore what was named; 1 if any of it failed."""
    settings = settings_of(options)
    if options.overwrite and options.skip_existing:
        raise SettingsError("--overwrite and --skip-existing contradict each other; give one")
    paths, output = _split_output(options)
    files = [Path(path) for path in paths]
    two = len(files) == len(set(files)) == 2
    if two and output is None and all(file.is_file() for file in files):
        text = f"{paths[1]}: exists, so it is restored, too; to replace it give -o {paths[1]}"
        say(f"declick: {text} --overwrite", quiet=options.quiet)
    if len(paths) > 1 or (paths[0] != "-" and Path(paths[0]).is_dir()):
        return _restore_several(paths, output, settings, options)
    return _restore_one(paths[0], output, settings, options)


def _split_output(options: argparse.Namespace) -> tuple[list[str], str | None]:
    """Understand ``IN OUT`` and ``- -`` beside ``IN... -o OUT``, without risk to a second rip."""
    paths: list[str] = options.paths
    if options.output is None and len(paths) > 1 and Path(paths[-1]).is_dir():
        _refuse_folder_last(paths)
    if options.output is not None or len(paths) != 2:
        return paths, options.output
    if paths[1] == "-":
        return paths[:1], "-"
    if not Path(paths[1]).exists() and not Path(paths[0]).is_dir():
        return paths[:1], paths[1]
    return paths, None


def _refuse_folder_last(paths: list[str]) -> None:
    """Refuse a folder behind files: by the custom of cp it is where they are to go."""
    *files, folder = paths
    if not any(Path(path).is_dir() for path in files):
        raise SettingsError(
            f"{folder}: is a folder; to write into it give -o {folder}, and to restore what it "
            "holds, too, name it first"
        )


def _restore_one(
    path: str, output: str | None, settings: Settings, options: argparse.Namespace
) -> int:
    """Restore one recording, all cores at work on it."""
    started = time.monotonic()
    output = choose_output(options, path, output)
    report = choose_report(options, output)
    if options.skip_existing and output != "-" and Path(output).exists():
        say(f"{output}: exists already, passed over", quiet=options.quiet)
        if options.json:
            print_json({"source": path, "output": output, "status": "skipped"})
        return 0
    _check_seconds(path, options)
    with ExitStack() as stack:
        recording = stack.enter_context(open_source(path))
        seconds = [
            Second(recording=stack.enter_context(open_source(name)), alignment=found)
            for name, found in zip(options.second, _maps(options), strict=True)
        ]
        target = open_target(output)
        check_outputs(
            recording,
            target,
            removed=options.removed,
            others=(report, options.labels),
            sources=(
                options.settings,
                *options.map,
                *(second.recording.path for second in seconds),
            ),
            overwrite=options.overwrite,
        )
        stages = {"stages": _MERGING} if seconds else {}
        with progress_bar(recording.name, quiet=options.quiet, **stages) as progress:
            done = restore(
                recording,
                target,
                settings=settings,
                seconds=seconds,
                mono_record=options.mono_record,
                removed=options.removed,
                report=report,
                labels=options.labels,
                overwrite=options.overwrite,
                jobs=jobs_for(recording, options.jobs),
                progress=progress,
            )
        elapsed_s = time.monotonic() - started
        show_result(done, recording, options, elapsed_s=elapsed_s, labels=options.labels)
    return 0


def _check_seconds(path: str, options: argparse.Namespace) -> None:
    """Say before the work what cannot be meant."""
    if options.second and options.mono_record:
        raise SettingsError("--second and --mono-record are not used together; give one")
    if options.map and len(options.map) != len(options.second):
        raise SettingsError(
            f"{len(options.map)} --map for {len(options.second)} --second; give one for each, in "
            "the same order"
        )
    if [path, *options.second].count("-") > 1:
        raise SettingsError("standard input is one recording; name files for the others")


def _maps(options: argparse.Namespace) -> list[Alignment | None]:
    """Return the maps that were given, or that none were."""
    if not options.map:
        return [None] * len(options.second)
    from declick.align import Alignment

    maps: list[Alignment | None] = []
    for path in options.map:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not a text file"
            raise ReadError(f"{path}: cannot be read ({reason}); check the name") from None
        found = Alignment.from_json(text, str(path))
        if found.origin is None:
            say(
                f"declick: {path}: does not say which files it is of, so that is not checked; "
                "'declick align -o' makes one that does",
                quiet=options.quiet,
            )
        maps.append(found)
    return maps


@dataclass(frozen=True, kw_only=True)
class _Task:
    """One recording of many."""

    source: Path
    target: Path
    settings: Settings
    overwrite: bool
    report: Path | None
    mono_record: bool | None = None
    jobs: int = 1


def _restore_several(
    paths: list[str], output: str | None, settings: Settings, options: argparse.Namespace
) -> int:
    """Restore many recordings, one to a process; a bad one does not stop the rest."""
    started = time.monotonic()
    tasks, results = _plan(paths, output, settings, options)
    skipped = len(results)
    if len(tasks) == 1:
        tasks = [replace(tasks[0], jobs=options.jobs)]
    sizes = [_size(task.source) for task in tasks]
    with (
        Workers(min(options.jobs, max(1, len(tasks)))) as workers,
        files_bar(sizes, quiet=options.quiet) as bar,
    ):
        for number, result in enumerate(workers.map(_restore_in_worker, tasks), start=1):
            results.append(result)
            for notice in result.get("notices", ()):
                name = "" if notice.startswith(result["source"]) else f"{result['source']}: "
                say(f"declick: {name}{notice}", quiet=options.quiet)
            failed = "error" in result
            text = result["error"] if failed else f"{result.pop('text')} -> {result['output']}"
            say(f"[{number}/{len(tasks)}] {text}", quiet=options.quiet and not failed)
            if bar is not None:
                bar.update(sizes[number - 1])
    failures = [result for result in results if result["status"] == "failed"]
    restored = len(results) - len(failures) - skipped
    elapsed = time.monotonic() - started
    say(
        f"{restored} restored, {skipped} passed over, {len(failures)} failed in {elapsed:.1f} s",
        quiet=options.quiet,
    )
    for result in failures:
        say(f"  failed: {result['error']}", quiet=options.quiet)
    if options.json:
        print_json({"files": results, "elapsed_s": round(elapsed, 3)})
    return 1 if failures else 0


def _plan(
    paths: list[str], output: str | None, settings: Settings, options: argparse.Namespace
) -> tuple[list[_Task], list[dict[str, Any]]]:
    """Return what there is to do, and what was done before."""
    for name in ("removed", "report", "labels"):
        if getattr(options, name) is not None:
            raise SettingsError(f"--{name} names one file; restore the recordings one by one")
    if options.second or options.map:
        raise SettingsError("--second is another copy of one recording; restore them one by one")
    if "-" in paths or output == "-":
        raise SettingsError("standard input and output are for one recording; give -o FOLDER")
    folder = None if output is None else Path(output)
    if folder is not None and folder.exists() and not folder.is_dir():
        raise WriteError(f"{folder}: is a file; several recordings need a folder to go to")
    if folder is not None and not folder.exists() and names_sound(output):
        raise SettingsError(
            f"{output}: is the name of a file, and several recordings need a folder to go to; give "
            f"-o {folder.with_suffix('')}, or restore them one by one"
        )
    tasks: list[_Task] = []
    reports: set[Path | None] = set()
    skipped: list[dict[str, Any]] = []
    sources = gather_sources(
        [Path(path) for path in paths],
        folder,
        notice=lambda line: say(f"declick: {line}", quiet=options.quiet),
    )
    for source, target in sources:
        if options.skip_existing and target.exists():
            skipped.append({"source": str(source), "output": str(target), "status": "skipped"})
            continue
        report = None if options.no_report else free_report(target, reports)
        reports.add(report)
        tasks.append(
            _Task(
                source=source,
                target=target,
                settings=settings,
                overwrite=options.overwrite,
                report=report,
                mono_record=options.mono_record,
            )
        )
    return tasks, skipped


def _restore_in_worker(task: _Task) -> dict[str, Any]:
    """Restore one recording of many; a failure is a result like any other."""
    started = time.monotonic()
    result: dict[str, Any] = {"source": str(task.source), "output": str(task.target)}
    try:
        with open_source(str(task.source)) as recording:
            make_folder(task.target.parent)
            done = restore(
                recording,
                task.target,
                settings=task.settings,
                mono_record=task.mono_record,
                report=task.report,
                overwrite=task.overwrite,
                jobs=jobs_for(recording, task.jobs),
            )
            elapsed, duration = time.monotonic() - started, recording.duration_s
            text = describe(done, name=recording.name, elapsed_s=elapsed, duration_s=duration)
            values = summary(done, elapsed_s=elapsed, duration_s=duration)
            return result | values | {"status": "restored", "text": text}
    except DeclickError as error:
        fault = str(error)
    except Exception as error:  # a fault of ours in one file must not cost the other thousands
        fault = f"{task.source}: {type(error).__name__}: {error}; a fault of declick: report it"
    return result | {"status": "failed", "error": one_line(fault)}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
