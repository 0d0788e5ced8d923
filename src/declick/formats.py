"""Which container and subtype an output gets, and whether it can hold the sound exactly."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from declick.chunks import WIDTHS
from declick.errors import WriteError
from declick.read import Recording

Output = Path | str | BinaryIO | None

_PCM = ("PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")
_HOLDS = {
    "WAV": ("PCM_U8", *_PCM),
    "WAVEX": ("PCM_U8", *_PCM),
    "RF64": ("PCM_U8", *_PCM),
    "W64": ("PCM_U8", *_PCM),
    "AIFF": ("PCM_S8", "PCM_U8", *_PCM),
    "CAF": ("PCM_S8", *_PCM),
    "FLAC": ("PCM_S8", "PCM_16", "PCM_24"),
}
_EXTENSIONS = {
    ".wav": "WAV", ".wave": "WAV", ".bwf": "WAV", ".rf64": "RF64", ".w64": "W64",
    ".aif": "AIFF", ".aiff": "AIFF", ".aifc": "AIFF", ".caf": "CAF", ".flac": "FLAC",
}  # fmt: skip
# The same values under another name. ALAC is never written: libsndfile 1.2.2 encodes noisy stereo
# of 20 and 24 bits wrongly.
_ALSO = {
    "PCM_S8": "PCM_U8", "PCM_U8": "PCM_S8",
    "ALAC_16": "PCM_16", "ALAC_20": "PCM_24", "ALAC_24": "PCM_24",
}  # fmt: skip
_WAV_BYTES = 0xFFFFFFFF - (1 << 24)  # leaves room for metadata below 4 GiB


def as_path(output: Output) -> Path | None:
    """Return the file that an output names; None for a pipe or an array."""
    return Path(output) if isinstance(output, str | Path) and output != "-" else None


def output_format(recording: Recording, output: Output) -> tuple[str, str]:
    """Choose the format and subtype of an output.

    Parameters
    ----------
    recording : Recording
        The source.
    output : Path, str, binary file or None
        The container follows from the extension. Without one, and in memory, it is that of the
        source; on standard output ("-") too, but uncompressed. ALAC becomes PCM.

    Returns
    -------
    format, subtype : str
        As soundfile names them. The subtype is that of the source, or one with the same values;
        a lossy source gives FLOAT, which holds exactly what was decoded.

    Raises
    ------
    WriteError
        Where the container is not known, or cannot hold the samples of the source.
    """
    subtype = recording.subtype if recording.lossless else "FLOAT"
    format, name = recording.format, str(output)
    extension = "" if output == "-" or not isinstance(output, str | Path) else Path(output).suffix
    if extension:
        if extension.lower() not in _EXTENSIONS:
            raise WriteError(
                f"{name}: the extension {extension!r} names no format that declick writes; "
                f"use one of {' '.join(_EXTENSIONS)}"
            )
        format = _EXTENSIONS[extension.lower()]
        if format == "WAV" and recording.format in ("WAVEX", "RF64"):
            format = recording.format
    elif format not in _HOLDS or not recording.lossless:
        format = "WAV"
    elif output == "-" or not isinstance(output, str | Path | None):
        format = "WAV" if format == "FLAC" else format
    if subtype not in _HOLDS[format]:
        other = _ALSO.get(subtype, "")
        if other not in _HOLDS[format]:
            _refuse_misnamed(recording, extension)
            what = f"the decoded sound ({subtype})" if not recording.lossless else subtype
            able = [end for end, kind in _EXTENSIONS.items() if subtype in _HOLDS[kind]]
            raise WriteError(
                f"{name}: {format} cannot hold {what} exactly; use one of {' '.join(able)}"
            )
        subtype = other
    if format == "WAV" and recording.channels > 2 and recording.format != "WAV":
        format = "WAVEX"
    if format in ("WAV", "WAVEX"):
        size = recording.frames * recording.channels * WIDTHS[subtype]
        format = "RF64" if size > _WAV_BYTES else format
    return format, subtype


def _refuse_misnamed(recording: Recording, extension: str) -> None:
    """Refuse an MP3 that is called .flac, and so would be written as FLAC, for its name."""
    own = "" if recording.path is None else recording.path.suffix
    if not recording.lossless and extension and own.lower() == extension.lower():
        raise WriteError(
            f"{recording.name}: is no {extension.lower().lstrip('.').upper()} file but "
            f"{recording.format}, a lossy one, in spite of its name; name it rightly"
        )


def removed_format(recording: Recording, removed: Path) -> tuple[str, str]:
    """Choose the format and subtype of the file of what was removed.

    Returns
    -------
    format, subtype : str
        FLOAT holds every difference of two integers of up to 24 bits exactly; DOUBLE serves all
        others.

    Raises
    ------
    WriteError
        Where the extension names a container that cannot hold it.
    """
    exact = ("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "ALAC_16", "ALAC_20", "ALAC_24")
    single = recording.subtype in (*exact, "ULAW", "ALAW")
    subtype = "FLOAT" if single else "DOUBLE"
    format = _EXTENSIONS.get(removed.suffix.lower(), "")
    if removed.is_dir():
        raise WriteError(f"{removed}: is a folder; name a file for what was removed")
    if subtype not in _HOLDS.get(format, ()):
        able = [end for end, kind in _EXTENSIONS.items() if subtype in _HOLDS[kind]]
        raise WriteError(
            f"{removed}: what was removed needs a file of floats; use one of {' '.join(able)}"
        )
    size = recording.frames * recording.channels * WIDTHS[subtype]
    if format == "WAV" and size > _WAV_BYTES:
        format = "RF64"
    elif format == "WAV" and (recording.channels > 2 or recording.format == "WAVEX"):
        format = "WAVEX"
    return format, subtype
