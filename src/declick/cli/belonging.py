"""What belongs to a report: the restored file, its source, and what was removed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

from declick.cli.names import FOLDER_MARK, is_ours
from declick.errors import DeclickError, LabelError, ReadError
from declick.read import Recording
from declick.report import Report
from declick.wording import count_of

# Folders of a folder that was restored; what lies deeper is named with --source.
_DEPTH = 3


def restored_of(report: Report, report_path: Path, named: Path) -> Path:
    """Return the restored file: as it was said, or beside the report that was named instead."""
    if named.suffix.lower() != ".json":
        return named
    if report.output is None:
        raise LabelError(f"{named}: this run went to standard output; name the restored file")
    return report_path.with_name(report.output)


def removed_of(report: Report, report_path: Path) -> Path | None:
    """Return the removed file that a report names, if it is beside it."""
    if report.removed is None:
        return None
    removed = report_path.with_name(report.removed)
    return removed if removed.is_file() else None


def source_of(report: Report, report_path: Path, restored: Path, *, exact: bool) -> Path:
    """Return the source: beside the report, in the folder above, or in one next to it.

    Parameters
    ----------
    report : Report
    report_path, restored : Path
    exact : bool
        Whether only the very file will do, to the byte; otherwise, where it is not found, one of
        the same name and length does, beside the report or in the folder above.

    Raises
    ------
    ReadError
        Where it is not found.
    """
    name, own = report.source.name, restored.resolve()
    usual = (report_path.with_name(name), report_path.parent.parent / name)
    near = [path for path in usual if path.is_file() and path.resolve() != own]
    near = [path for path in near if _fits(path, report)]
    far = (path for path in _around(name, report_path, own) if _fits(path, report))
    for path in chain(near, far):
        if is_source(path, report):
            return path
    # What this program has written is no source, unless the very one.
    alike = [path for path in near if not is_ours(path)]
    if alike and not exact:
        return alike[0]
    what = f"{name}: the source is not beside the report"
    if near:
        what = f"{near[0]}: is not the source, or was changed since (its SHA-256 is another one)"
    raise ReadError(f"{what}; name it with --source")


def is_source(path: Path, report: Report) -> bool:
    """Return whether a file is the very one that a report is on."""
    with Recording.open(path) as recording:
        return recording.source_hash() == report.source.sha256


def check_same(recording: Recording, report: Report, path: Path) -> None:
    """Refuse a recording that cannot be the one that a report is on."""
    known = report.source
    if not _is_same(recording, report):
        raise LabelError(
            f"{path}: is not the report of {recording.name} (it is on {known.frames} frames of "
            f"{count_of(known.channels, 'channel')} at {known.sample_rate} Hz); name the right one "
            "with --report"
        )


def _is_same(recording: Recording, report: Report) -> bool:
    known, heard = report.source, recording
    return (known.sample_rate, known.frames, known.channels) == (
        heard.sample_rate,
        heard.frames,
        heard.channels,
    )


def _fits(path: Path, report: Report) -> bool:
    try:
        with Recording.open(path) as recording:
            return _is_same(recording, report)
    except DeclickError:
        return False


def _around(name: str, report_path: Path, restored: Path) -> Iterator[Path]:
    """Yield files of a name at the same place in a folder next to that of the report.

    A folder of recordings is restored to one of the same shape, which often lies beside it.
    """
    folder = report_path.resolve().parent
    for root in [folder, *folder.parents][:_DEPTH]:
        beside: list[Path] = []
        with suppress(OSError):
            beside = sorted(path for path in root.parent.iterdir() if path != root)
        plain = root.name.removesuffix(FOLDER_MARK)
        within = folder.relative_to(root) / name
        for other in sorted(beside, key=lambda path: path.name != plain):
            with suppress(OSError):
                if (other / within).is_file() and (other / within).resolve() != restored:
                    yield other / within
