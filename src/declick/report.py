"""The report of a run: enough to understand it, repeat it or undo it (schema: docs/report.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from declick.clicks import Click, Kind
from declick.errors import LabelError
from declick.totals import Totals

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
