"""Which file goes where, when nobody says so."""

from __future__ import annotations

from pathlib import Path

from declick.errors import SettingsError

# What is looked for in a folder; other files may be named one by one.
SOUND = frozenset(
    [
        ".wav",
        ".wave",
        ".bwf",
        ".rf64",
        ".w64",
        ".aif",
        ".aiff",
        ".aifc",
        ".caf",
        ".flac",
        ".mp3",
        ".ogg",
        ".oga",
        ".opus",
    ]
)
_LOSSY = frozenset([".mp3", ".ogg", ".oga", ".opus"])
MARK = ".declicked"


def default_output(source: Path, folder: Path | None = None) -> Path:
    """Return ``rip.declicked.flac`` for ``rip.flac``; a lossy file becomes a WAV."""
    suffix = ".wav" if source.suffix.lower() in _LOSSY else source.suffix
    name = source.stem + MARK + suffix if folder is None else source.stem + suffix
    return (folder or source.parent) / name


def default_report(output: Path) -> Path:
    """Return ``rip.declicked.json`` for ``rip.declicked.flac``."""
    return output.with_name(output.stem + ".json")


def find_report(path: Path) -> Path | None:
    """Return the report that belongs to a restored file, or that `path` itself is."""
    if path.suffix.lower() == ".json":
        return path
    report = default_report(path)
    return report if report.exists() else None


def gather_sources(paths: list[Path], output: Path | None) -> list[tuple[Path, Path]]:
    """Return every source of some files and folders, with the output of each.

    A folder is searched through, in order of names; what this program wrote is passed over. Its
    outputs go to a folder of the same shape: `output`, or beside it with ``-declicked``.

    Parameters
    ----------
    paths : list of Path
    output : Path or None
        A folder.

    Raises
    ------
    SettingsError
        If two sources would be written to one output, or a folder holds no sound.
    """
    pairs: list[tuple[Path, Path]] = []
    for path in paths:
        if not path.is_dir():
            pairs.append((path, default_output(path, output)))
            continue
        target = output or path.resolve().with_name(path.resolve().name + "-declicked")
        found = [
            file
            for file in sorted(path.rglob("*"))
            if file.suffix.lower() in SOUND
            and not file.stem.endswith((MARK, ".removed"))
            and target.resolve() not in file.resolve().parents
        ]
        if not found:
            raise SettingsError(f"{path}: no sound in this folder ({' '.join(sorted(SOUND))})")
        for file in found:
            pairs.append((file, default_output(file, target / file.parent.relative_to(path))))
    outputs: dict[Path, Path] = {}
    for source, target in pairs:
        if target in outputs:
            raise SettingsError(
                f"{source}: would be written to {target}, like {outputs[target]}; "
                "rename one, or restore them one by one with -o"
            )
        outputs[target] = source
    return pairs
