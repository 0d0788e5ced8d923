"""The report of a run, written while the run goes on."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TextIO

import numpy as np

from declick.clicks import Click, Repair
from declick.errors import WriteError
from declick.labels import renamed_when_done
from declick.report import SCHEMA, Entry, Source
from declick.totals import Tally, Totals
from declick.wording import format_time


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
            why=repair.why,
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


@contextmanager
def _write_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise WriteError(
            f"{path}: cannot write the report ({reason}); choose a folder with room and permission"
        ) from error


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
    if entry.why:
        values["why"] = entry.why
    return values


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
