"""The report of a run: enough to understand it, repeat it or undo it (schema: docs/report.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from declick.checked import file_name, flag, number, optional, rows, table, text, whole
from declick.clicks import Click, Kind
from declick.errors import LabelError
from declick.totals import Totals

SCHEMA = "declick-report/1"
# The method of a repair that was put back, in the report beside the file that `undo` writes.
UNDONE = "undone"
# What a period of the disc and the energy of a repair can be.
PERIODS_S = (0.1, 10.0)
ENERGIES_DB = (-3000.0, 3000.0)


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
    why : str
        Why the sound was left alone, where it was and that is known.
    """

    number: int
    click: Click
    method: str
    made: bool
    gain_db: float | None = None
    removed_db: float | None = None
    copies: tuple[int, ...] = ()
    found_tail: int | None = None
    why: str = ""

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
        content = path.read_text(encoding="utf-8-sig")
        values = json.loads(content, parse_constant=_no_number)
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
    except ValueError as error:  # of a number without end, too
        raise LabelError(f"{path}: the report is damaged ({error}); {remedy}") from error
    schema = values.get("schema") if isinstance(values, dict) else None
    if not isinstance(schema, str) or not schema.startswith("declick-report/"):
        raise LabelError(f"{path}: not a report of declick; {remedy}")
    if schema != SCHEMA:
        raise LabelError(f"{path}: the report is a {schema} and this is {SCHEMA}; update declick")
    try:
        return _report_of(values)
    except KeyError as error:
        raise LabelError(f"{path}: the report lacks {error.args[0]!r}; {remedy}") from error
    except ValueError as error:
        raise LabelError(f"{path}: the report is damaged ({error}); {remedy}") from error


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"it holds {name}, which is no number")


def _report_of(values: dict[str, Any]) -> Report:
    source = _source_of(table(values["source"], "source"))
    entries: list[Entry] = []
    latest = 0
    for value in rows(values["clicks"], "clicks"):
        entry = _entry_of(table(value, "a click"))
        click, count = entry.click, entry.number
        if click.tail > source.frames or click.channel >= source.channels:
            raise ValueError(f"click {count} lies outside the sound")
        if count != len(entries) + 1:
            raise ValueError(f"click {len(entries) + 1} is missing")
        if click.start < latest:
            raise ValueError(f"click {count} starts before click {count - 1}")
        latest = click.start
        entries.append(entry)
    rotation = optional(table, values["rotation"], "rotation")
    return Report(
        declick=text(values["declick"], "declick"),
        versions=table(values["versions"], "versions"),
        created=optional(text, values.get("created"), "created"),
        source=source,
        output=optional(file_name, values["output"], "output"),
        removed=optional(file_name, values["removed"], "removed"),
        settings=_carried(values["settings"], "settings"),
        chain=_carried(values["chain"], "chain"),
        rotation_s=None if rotation is None else _period_of(rotation),
        entries=tuple(entries),
        totals=_totals_of(table(values["totals"], "totals")),
        notices=tuple(text(item, "a notice") for item in rows(values["notices"], "notices")),
        copies=tuple(_copy_of(item) for item in rows(values.get("copies", []), "copies")),
        command=optional(text, values.get("command"), "command"),
    )


def _carried(value: Any, name: str) -> dict[str, Any]:
    """Return what `undo` writes again, whatever it says: it must be text all through."""
    text(json.dumps(value, ensure_ascii=False), name)
    return table(value, name)


def _period_of(rotation: dict[str, Any]) -> float:
    return number(rotation["period_s"], "period_s", *PERIODS_S)


def _source_of(values: dict[str, Any]) -> Source:
    return Source(
        name=file_name(values["name"], "name"),
        sha256=optional(text, values["sha256"], "sha256"),
        sample_rate=whole(values["sample_rate"], "sample_rate", least=1),
        frames=whole(values["frames"], "frames", least=1),
        channels=whole(values["channels"], "channels", least=1),
        format=text(values["format"], "format"),
        subtype=text(values["subtype"], "subtype"),
    )


def _copy_of(value: Any) -> dict[str, Any]:
    facts = table(value, "a copy")
    return {**facts, "number": whole(facts["number"], "number")}


def _totals_of(values: dict[str, Any]) -> Totals:
    def counts(name: str) -> dict[str, int]:
        return {key: whole(count, key) for key, count in table(values[name], name).items()}

    return Totals(
        clicks=whole(values["clicks"], "clicks"),
        repaired=whole(values["repaired"], "repaired"),
        left=whole(values["left"], "left"),
        frames_changed=whole(values["frames_changed"], "frames_changed"),
        seconds_changed=number(values["seconds_changed"], "seconds_changed", 0.0),
        by_kind=counts("by_kind"),
        by_method=counts("by_method"),
        removed_db=optional(number, values["removed_db"], "removed_db"),
    )


def _entry_of(value: dict[str, Any]) -> Entry:
    start, stop, tail, channel = (
        whole(value[name], name) for name in ("start", "stop", "tail", "channel")
    )
    count, found_tail = whole(value["number"], "number"), value.get("found_tail")
    if found_tail is not None and not stop <= whole(found_tail, "found_tail") <= tail:
        raise ValueError(f"click {count}: found_tail lies outside its tail")
    confidence = number(value["confidence"], "confidence", 0.0, 1.0)
    removed_db = value["removed_db"]
    return Entry(
        number=count,
        click=Click(start, stop, tail, channel, confidence, Kind(value["kind"])),
        method=text(value["method"], "method"),
        made=flag(value["made"], "made"),
        gain_db=optional(number, value["gain_db"], "gain_db"),
        removed_db=None if removed_db is None else number(removed_db, "removed_db", *ENERGIES_DB),
        copies=tuple(whole(item, "a copy") for item in rows(value.get("copies", []), "copies")),
        found_tail=found_tail,
        why=text(value.get("why", ""), "why"),
    )
