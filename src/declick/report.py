"""The report of a run: enough to understand it, repeat it or undo it (schema: docs/report.md)."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TextIO

import numpy as np

from declick.clicks import Click, Kind, Repair
from declick.errors import LabelError, WriteError
from declick.labels import renamed_when_done
from declick.totals import Tally, Totals

SCHEMA = "declick-report/1"
# The method of a repair that was put back, in the report beside the file that `undo` writes.
UNDONE = "undone"


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """What was read.

    Parameters
    ----------
    name : str
        File name; folders are cut off.
    sha256 : str or None
        Of the whole file, as it came through a pipe, too; None where it came from an array.
    sample_rate, frames, channels : int
    format, subtype : str
        As libsndfile calls them ("FLAC", "PCM_24").
    """

    name: str
    sha256: str | None
    sample_rate: int
    frames: int
    channels: int
    format: str
    subtype: str

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.frames / self.sample_rate


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One click of a report, and what was done about it.

    Parameters
    ----------
    number : int
        Counted from 1 in ascending time; what ``undo --clicks`` takes.
    click : Click
        Its tail ends where the repair does.
    method : str
        Name of the repair method; "left" where the sound was left alone.
    made : bool
        Whether the sound was changed.
    gain_db, removed_db : float or None
        Expected gain of the repair; energy taken out (`energy_db`); None where not known.
    copies : tuple of int
        The other copies of the record that were used.
    found_tail : int, optional
        Where the tail ends that was found before the repair, if that is not `click.tail`.
    """

    number: int
    click: Click
    method: str
    made: bool
    gain_db: float | None = None
    removed_db: float | None = None
    copies: tuple[int, ...] = ()
    found_tail: int | None = None

    @property
    def found(self) -> Click:
        """The click as it was found, before it was mended."""
        return self.click if self.found_tail is None else replace(self.click, tail=self.found_tail)


@dataclass(frozen=True, kw_only=True)
class Report:
    """A report that was read back; the fields are those of ``docs/report.md``."""

    declick: str
    versions: Mapping[str, str]
    created: str | None
    source: Source
    output: str | None
    removed: str | None
    settings: Mapping[str, Any]
    chain: Mapping[str, Any]
    rotation_s: float | None
    entries: tuple[Entry, ...] = field(repr=False)
    totals: Totals
    notices: tuple[str, ...]
    copies: tuple[Mapping[str, Any], ...] = ()
    command: str | None = None

    @property
    def clicks(self) -> list[Click]:
        """All clicks, made or left, in ascending order."""
        return sorted(entry.click for entry in self.entries)


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that a result depends on."""
    import soundfile

    found = {"libsndfile": str(soundfile.__libsndfile_version__)}
    for name in ("numpy", "onnxruntime", "scipy", "soundfile"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return dict(sorted(found.items()))


def utc_now() -> str:
    """Return the time as a report gives it, ``2026-01-31T12:00:00Z``."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_time(time_s: float) -> str:
    """Return ``m:ss.mmm``, or ``h:mm:ss.mmm`` from an hour on."""
    milliseconds = round(time_s * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    seconds = f"{rest // 1000:02d}.{rest % 1000:03d}"
    if minutes < 60:
        return f"{minutes}:{seconds}"
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds}"


class ReportWriter:
    """Write a report click by click, in memory that does not grow with their number.

    A context manager: the report appears under its name when the block ends well, and not at
    all when it fails. Everything but the clicks may still be set inside the block.

    Parameters
    ----------
    path : str or Path
    source : Source
    settings : mapping
        Nested plain values (``Settings.as_dict()``).
    output, removed : str, Path or None
        The files written; only their names are kept.
    created : str or None
        When, in UTC (`utc_now`); None leaves it out, for a report that is the same to the byte.

    Attributes
    ----------
    source : Source
    command : str or None
        What made it: "restore" or "repair".
    chain : dict
        What was estimated of the playback chain (ring frequency, decay, ...).
    rotation_s : float or None
        Revolution period, seconds.
    notices : list of str
    copies : list of dict
        What is to be said of other copies of the record; left out where there are none.
    frames_changed : int
        As in `Totals`.

    Raises
    ------
    WriteError
        Where the file cannot be written.

    Examples
    --------
    >>> with ReportWriter("rip.json", source=source, settings={}) as writer:  # doctest: +SKIP
    ...     for repair in repairs:
    ...         writer.add(repair, removed_db=-31.2)
    """

    def __init__(
        self,
        path: str | Path,
        *,
        source: Source,
        settings: Mapping[str, Any],
        output: str | Path | None = None,
        removed: str | Path | None = None,
        created: str | None = None,
    ) -> None:
        self.source = source
        self.command: str | None = None
        self.chain: dict[str, Any] = {}
        self.rotation_s: float | None = None
        self.notices: list[str] = []
        self.copies: list[dict[str, Any]] = []
        self.frames_changed = 0
        self._path = Path(path)
        self._settings = settings
        self._output, self._removed, self._created = output, removed, created
        self._tally = Tally(source.sample_rate)
        self._last_start = 0

    def __enter__(self) -> Self:
        # The header can only be written at the end (a pipe's length is not known before), so the
        # clicks wait in a nameless file, on the disk that the report goes to: it fails early.
        with _write_errors(self._path):
            self._lines: IO[str] = tempfile.TemporaryFile(
                "w+", encoding="utf-8", newline="\n", dir=self._path.parent
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                with renamed_when_done(self._path, "the report") as file:
                    self._write_all(file)
        finally:
            with suppress(OSError):
                self._lines.close()

    def add(self, repair: Repair, *, removed_db: float | None = None) -> Entry:
        """Write the next click; they come in ascending order of their start.

        Parameters
        ----------
        repair : Repair
        removed_db : float, optional
            `energy_db` of what this repair took out.

        Returns
        -------
        Entry
            As it stands in the report.
        """
        given = repair.click
        # Rounded as it is written, in Python's numbers: JSON knows no NumPy.
        sure = round(float(given.confidence), 4)
        start, stop, tail = int(given.start), int(given.stop), int(repair.end)
        click = Click(start, stop, tail, int(given.channel), sure, given.kind)
        if click.start < self._last_start:
            raise ValueError(f"a report needs ascending clicks: {click} comes after a later one")
        self._last_start = click.start
        self._tally.add(repair, removed_db=removed_db)
        entry = Entry(
            number=self._tally.clicks,
            click=click,
            method=repair.method,
            made=repair.made,
            gain_db=_rounded(repair.gain_db, 2),
            removed_db=_rounded(removed_db, 2),
            copies=repair.copies,
            found_tail=int(given.tail) if given.tail < tail else None,
        )
        comma = ",\n" if self._tally.clicks > 1 else ""
        line = _one_line(_entry_values(entry, self.source.sample_rate))
        with _write_errors(self._path):
            self._lines.write(comma + line)
        return entry

    def totals(self) -> Totals:
        """Return the sums so far."""
        return self._tally.totals(frames_changed=self.frames_changed)

    def _write_all(self, file: TextIO) -> None:
        from declick import __version__

        source = asdict(self.source) | {"duration_s": round(self.source.duration_s, 6)}
        header = {
            "schema": SCHEMA,
            "declick": __version__,
            "command": self.command,
            "versions": library_versions(),
            "created": self._created,
            "source": source | {"name": _file_name(self.source.name)},
            "output": _file_name(self._output),
            "removed": _file_name(self._removed),
            "settings": _plain(self._settings),
            "chain": _plain(self.chain),
            "rotation": self.rotation_s and {"period_s": round(self.rotation_s, 7)},
        }
        header = {
            key: value
            for key, value in header.items()
            if value is not None or key not in ("command", "created")
        }
        if self.copies:
            header["copies"] = _plain(self.copies)
        footer = {"totals": asdict(self.totals()), "notices": list(self.notices)}
        file.write(_many_lines(header).removesuffix("\n}") + ',\n  "clicks": [\n')
        self._lines.seek(0)
        shutil.copyfileobj(self._lines, file)
        end = "\n  ],\n" if self._tally.clicks else "  ],\n"
        file.write(end + _many_lines(footer).removeprefix("{\n") + "\n")


def read_report(path: str | Path) -> Report:
    """Read a report back.

    Raises
    ------
    LabelError
        Where the file is absent, cut off, not JSON, or not a report of this schema.
    """
    path = Path(path)
    remedy = "give the .json that declick wrote beside its output"
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise LabelError(f"{path}: no such file; {remedy}") from error
    except OSError as error:
        raise LabelError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
    except json.JSONDecodeError as error:
        text = error.doc.strip()
        cut = text.startswith("{") and not text.endswith("}")
        fault = "the report is cut off" if cut else "not JSON"
        raise LabelError(f"{path}:{error.lineno}: {fault}; {remedy}") from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise LabelError(f"{path}: not a text file; {remedy}") from error
    schema = values.get("schema") if isinstance(values, dict) else None
    if not isinstance(schema, str) or not schema.startswith("declick-report/"):
        raise LabelError(f"{path}: not a report of declick; {remedy}")
    if schema != SCHEMA:
        raise LabelError(f"{path}: the report is a {schema} and this is {SCHEMA}; update declick")
    try:
        return _report_of(values)
    except KeyError as error:
        raise LabelError(f"{path}: the report lacks {error.args[0]!r}; {remedy}") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise LabelError(f"{path}: the report is damaged ({error}); {remedy}") from error


@contextmanager
def _write_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise WriteError(
            f"{path}: cannot write the report ({reason}); choose a folder with room and permission"
        ) from error


def _report_of(values: dict[str, Any]) -> Report:
    given = values["source"]
    source = Source(**{name: given[name] for name in Source.__dataclass_fields__})
    totals = values["totals"]
    entries: list[Entry] = []
    for value in values["clicks"]:
        entry = _entry_of(value)
        if entry.click.tail > source.frames or entry.click.channel >= source.channels:
            raise ValueError(f"click {entry.number} lies outside the sound")
        if entry.number != len(entries) + 1:
            raise ValueError(f"click {len(entries) + 1} is missing")
        entries.append(entry)
    return Report(
        declick=values["declick"],
        versions=values["versions"],
        created=values.get("created"),
        source=source,
        output=values["output"],
        removed=values["removed"],
        settings=values["settings"],
        chain=values["chain"],
        rotation_s=values["rotation"]["period_s"] if values["rotation"] else None,
        entries=tuple(entries),
        totals=Totals(**{name: totals[name] for name in Totals.__dataclass_fields__}),
        notices=tuple(values["notices"]),
        copies=tuple(values.get("copies", ())),
        command=values.get("command"),
    )


def _entry_values(entry: Entry, sample_rate: int) -> dict[str, Any]:
    click = entry.click
    time_s = click.start / sample_rate
    values = {
        "number": entry.number,
        "time_s": round(time_s, 6),
        "time": format_time(time_s),
        "channel": click.channel,
        "start": click.start,
        "stop": click.stop,
        "tail": click.tail,
        "kind": click.kind.value,
        "confidence": click.confidence,
        "method": entry.method,
        "made": entry.made,
        "gain_db": entry.gain_db,
        "removed_db": entry.removed_db,
    }
    if entry.copies:
        values["copies"] = list(entry.copies)
    if entry.found_tail is not None:
        values["found_tail"] = entry.found_tail
    return values


def _entry_of(value: dict[str, Any]) -> Entry:
    start, stop, tail, channel = (value[name] for name in ("start", "stop", "tail", "channel"))
    number, found_tail = value["number"], value.get("found_tail")
    frames = (start, stop, tail, stop if found_tail is None else found_tail)
    if not all(type(item) is int for item in (*frames, channel, number)):
        raise ValueError("a click's frames, channel and number are whole numbers")
    if not stop <= frames[-1] <= tail:
        raise ValueError(f"click {number}: found_tail lies outside its tail")
    return Entry(
        number=number,
        click=Click(start, stop, tail, channel, value["confidence"], Kind(value["kind"])),
        method=value["method"],
        made=value["made"],
        gain_db=value["gain_db"],
        removed_db=value["removed_db"],
        copies=tuple(value.get("copies", ())),
        found_tail=found_tail,
    )


def _file_name(path: str | Path | None) -> str | None:
    """Return the name without its folders, in characters that JSON can hold."""
    if path is None:
        return None
    return Path(path).name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _rounded(value: float | None, digits: int) -> float | None:
    """Round; what is not a number becomes None, since JSON has no NaN."""
    if value is None or not math.isfinite(value):
        return None
    return round(float(value), digits) + 0.0  # no "-0.0"


def _plain(value: Any) -> Any:
    """Return settings and estimates as JSON values, exact, without NumPy types."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return _file_name(value) if isinstance(value, Path) else value


def _one_line(values: dict[str, Any]) -> str:
    return "    " + json.dumps(values, ensure_ascii=False, allow_nan=False)


def _many_lines(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, allow_nan=False, indent=2)
