"""Which file goes where, when nobody says so."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Container, Sequence
from pathlib import Path

from declick.errors import LabelError, ReadError, SettingsError, WriteError
from declick.report import read_report
from declick.wording import count_of

_LOSSLESS = (".wav", ".wave", ".bwf", ".rf64", ".w64", ".aif", ".aiff", ".aifc", ".caf", ".flac")
# What is read, and written as WAV.
_READ = (".au", ".snd", ".avr", ".voc", ".svx", ".paf", ".sf", ".nist", ".sph")
_LOSSY = (".mp3", ".ogg", ".oga", ".opus")
# What is looked for in a folder; other files may be named one by one.
SOUND = frozenset((*_LOSSLESS, *_READ, *_LOSSY))
# Sound that is not read: in a folder it is passed over, which somebody may not expect.
_FOREIGN = frozenset(
    (".m4a", ".m4b", ".aac", ".alac", ".wma", ".ape", ".wv", ".tta", ".tak", ".mpc", ".mka",
     ".mp2", ".ac3", ".dts", ".dsf", ".dff", ".amr", ".ra", ".spx", ".weba")
)  # fmt: skip
MARK = ".declicked"
# Of the folder that the recordings of a folder go to.
FOLDER_MARK = "-declicked"


def names_sound(output: str | None) -> bool:
    """Return whether a name is that of a sound file, such as ``rip.wav``; not ``rip.wav/``."""
    if output is None or output.endswith(("/", os.sep)):
        return False
    return Path(output).suffix.lower() in SOUND | _FOREIGN


def default_output(source: Path, folder: Path | None = None) -> Path:
    """Return ``rip.declicked.flac`` for ``rip.flac``, or ``rip.flac`` in another folder.

    What cannot be written as it was (MP3, AU, no extension at all) becomes a WAV.
    """
    suffix = source.suffix if source.suffix.lower() in _LOSSLESS else ".wav"
    stem = source.stem if source.suffix.lower() in SOUND else source.name
    return (folder or source.parent) / (stem + ("" if folder else MARK) + suffix)


def default_report(output: Path) -> Path:
    """Return ``rip.declicked.json`` for ``rip.declicked.flac``."""
    return output.with_name(output.stem + ".json")


def choose_output(options: argparse.Namespace, path: str, output: str | None) -> str:
    """Return where one recording goes: as it was said, into a folder, or beside it.

    Raises
    ------
    SettingsError
        If sound and JSON would meet on standard output, or a name or its ending is wanting.
    """
    if output is None:
        output = "-" if path == "-" else str(default_output(Path(path)))
    elif output != "-" and (output.endswith(("/", os.sep)) or Path(output).is_dir()):
        if path == "-":
            raise SettingsError(f"{output}: is a folder; name a file in it for standard input")
        make_folder(Path(output))
        output = str(default_output(Path(path), Path(output)))
    elif output != "-" and not Path(output).suffix and not os.path.lexists(output):
        # Of several recordings this would be a folder, of one it would be a file: which is meant?
        ending = default_output(Path(path)).suffix
        raise SettingsError(
            f"{output}: has no ending that tells its format; give {output}{ending}, or {output}/ "
            "for a folder"
        )
    if output == "-" and options.json:
        raise SettingsError("--json and the sound cannot both go to standard output; give -o FILE")
    return output


def choose_report(options: argparse.Namespace, output: str) -> Path | None:
    """Return where the report goes: as it was said, beside the output, or nowhere."""
    if options.no_report:
        if options.report is not None:
            raise SettingsError("--report and --no-report contradict each other; give one of them")
        return None
    if options.report is not None or output == "-":
        report: Path | None = options.report
        return report
    return free_report(Path(output))


def free_report(output: Path, taken: Container[Path | None] = ()) -> Path:
    """Return ``rip.json``, or ``rip.flac.json`` where the first belongs to another file.

    Parameters
    ----------
    output : Path
    taken : container of Path
        Reports of other files that are yet to be written.
    """
    report = default_report(output)
    if report in taken or (report.exists() and not _reports_on(report, output)):
        return output.with_name(output.name + ".json")
    return report


def _reports_on(report: Path, output: Path) -> bool:
    try:
        return read_report(report).output == output.name
    except LabelError:
        return False


def report_beside(restored: Path) -> Path:
    """Return where the report of a restored file is looked for."""
    own = restored.with_name(restored.name + ".json")
    return own if own.exists() else default_report(restored)


def find_report(options: argparse.Namespace) -> Path:
    """Return the report of a restored file: as it was said, the file itself, or beside it.

    Raises
    ------
    ReadError
        If there is none.
    """
    path: Path = options.path
    if options.report is not None:
        return Path(options.report)
    if path.suffix.lower() == ".json":
        return path
    if not path.exists():
        raise ReadError(f"{path}: there is no such file; check the name")
    report = report_beside(path)
    if not report.exists():
        raise ReadError(
            f"{path}: there is no report beside it ({report.name}); name it with --report where "
            "the file was renamed, or give the restored file"
        )
    return report


def make_folder(folder: Path) -> None:
    """Make a folder, if it is not there.

    Raises
    ------
    WriteError
        If it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise WriteError(f"{folder}: is a file; give the name of a folder") from None
    except OSError as error:
        raise WriteError(
            f"{folder}: this folder cannot be made ({error.strerror}); write elsewhere"
        ) from None


def gather_sources(
    paths: Sequence[Path], output: Path | None, *, notice: Callable[[str], None] = lambda line: None
) -> list[tuple[Path, Path]]:
    """Return every source of some files and folders, with the output of each.

    A folder is searched through, in order of names; hidden files and what this program wrote are
    passed over. Its outputs go to a folder of the same shape: `output`, or beside it with
    ``-declicked``.

    Parameters
    ----------
    paths : sequence of Path
    output : Path or None
        A folder.
    notice : callable, optional
        Is told, in a line for each folder, of sound in it that is not read.

    Raises
    ------
    ReadError
        If a folder cannot be read or holds no sound.
    SettingsError
        If one is named twice, two would be written to one output, or a folder onto itself.
    """
    pairs: list[tuple[Path, Path]] = []
    named: set[Path] = set()
    for path in paths:
        if path in named:
            raise SettingsError(f"{path}: is named twice; name it once")
        named.add(path)
        if not path.is_dir():
            pairs.append((path, default_output(path, output)))
            continue
        whole = path.resolve()
        target = output or _as_named(whole.with_name(whole.name + FOLDER_MARK), path)
        if target.resolve() == whole:
            raise SettingsError(f"{target}: is the folder of the sources; give another with -o")
        found, foreign = _sounds_in(path, target.resolve())
        if not found:
            some = f", but {_described(foreign)} that declick does not read" if foreign else ""
            raise ReadError(
                f"{path}: no sound in this folder{some}; give one with "
                f"{' '.join(sorted(SOUND))} in it"
            )
        if foreign:
            notice(
                f"{path}: {_described(foreign)} passed over, which declick does not read; "
                "convert what you want restored (ffmpeg does it)"
            )
        pairs += [
            (file, default_output(file, target / file.parent.relative_to(path))) for file in found
        ]
    return _told_apart(pairs)


def _as_named(folder: Path, like: Path) -> Path:
    """Return a folder from here, where another one was named from here, too."""
    if like.is_absolute():
        return folder
    try:
        return Path(os.path.relpath(folder))
    except ValueError:  # on another drive
        return folder


def _described(foreign: Sequence[Path]) -> str:
    """Return ``3 files of sound (.m4a, .wma)``."""
    endings = ", ".join(sorted({file.suffix.lower() for file in foreign}))
    return f"{count_of(len(foreign), 'file')} of sound ({endings})"


def _told_apart(pairs: list[tuple[Path, Path]]) -> list[tuple[Path, Path]]:
    """Let no two sources go to one output: beside ``rip.wav``, ``rip.mp3`` goes to another."""
    sources: dict[Path, Path] = {}
    apart: dict[Path, Path] = {}
    # Those that keep their names come first.
    for source, target in sorted(pairs, key=lambda pair: pair[0].suffix != pair[1].suffix):
        if target.resolve() in sources and source.name != target.name:
            target = target.with_name(source.name + target.suffix)
        other = sources.setdefault(target.resolve(), source)
        if other is not source:
            raise SettingsError(
                f"{source}: would be written to {target}, like {other}; "
                "rename one, or restore them one by one with -o"
            )
        apart[source] = target
    return [(source, apart[source]) for source, _ in pairs]


def is_ours(file: Path) -> bool:
    """Return whether this program has written a file."""
    if file.stem.endswith((MARK, ".undone", ".removed")):
        return True
    reports = (file.with_name(file.name + ".json"), default_report(file))
    return any(report.exists() and _reports_on(report, file) for report in reports)


def _sounds_in(folder: Path, target: Path) -> tuple[list[Path], list[Path]]:
    """Return what is read and what else is sound below a folder, but not below `target`."""
    found: list[Path] = []
    foreign: list[Path] = []

    def refuse(error: OSError) -> None:
        raise ReadError(
            f"{error.filename}: cannot be read ({error.strerror}); change its permissions, or "
            "name the recordings one by one"
        )

    for parent, folders, files in os.walk(folder, onerror=refuse):
        here = Path(parent)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and (here / name).resolve() != target
        )
        for name in sorted(files):
            file = here / name
            if name.startswith("."):
                continue
            if file.suffix.lower() in _FOREIGN:
                foreign.append(file)
            elif file.suffix.lower() in SOUND and not is_ours(file):
                found.append(file)
    return found, foreign
