"""A click bank in a folder of two files.

``clips.wav`` (32-bit float) holds all clips end to end, ``bank.json`` (schema ``declick-bank/1``)
says where each begins and what is known of it and of the records that it came from. The format is
described in docs/damage.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from declick.clicks import Kind
from declick.damage.bank import (
    OCTAVES_HZ,
    QUANTILES,
    Bank,
    BankedClick,
    Record,
    Statistics,
    as_quantiles,
)
from declick.errors import ReadError
from declick.headers import plain_layout
from declick.sinks import PackedSink, Transaction, writing
from declick.targets import check_targets

SCHEMA = "declick-bank/1"
JSON_NAME, CLIPS_NAME = "bank.json", "clips.wav"


def write_bank(
    folder: str | Path, bank: Bank, *, overwrite: bool = False, sources: Sequence[Path] = ()
) -> None:
    """Write a bank into a folder, which is made if need be; both files appear together.

    Parameters
    ----------
    folder : path-like
    bank : Bank
    overwrite : bool
        Whether a bank that is there may be replaced.
    sources : sequence of Path
        Files that must not be written to.

    Raises
    ------
    WriteError
        If it cannot be written.
    """
    folder = Path(folder)
    with writing(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
    targets = [folder / CLIPS_NAME, folder / JSON_NAME]
    clips_path, json_path = check_targets(targets, sources=sources, overwrite=overwrite)
    # An empty bank still has a WAV, of one silent frame: players refuse empty ones.
    frames = max(1, sum(len(click.samples) for click in bank.clicks))
    channels = max((click.channels for click in bank.clicks), default=1)
    rates = [click.sample_rate for click in bank.clicks] or [44100]
    rate = max(sorted(set(rates)), key=rates.count)
    with Transaction() as transaction:
        pending = transaction.add(clips_path, str(targets[0]))
        pending.check_space(4 * frames * channels)
        layout = plain_layout("WAV", "FLOAT", rate, channels, frames)
        sink = PackedSink(pending.file, str(targets[0]), layout, "FLOAT", frames, channels)
        for click in bank.clicks:
            padded = np.zeros((len(click.samples), channels))
            padded[:, : click.channels] = click.samples
            sink.write(padded)
        if not bank.clicks:
            sink.write(np.zeros((1, channels)))
        sink.finish()
        pending = transaction.add(json_path, str(targets[1]))
        with writing(str(targets[1])):
            pending.file.write(_to_json(bank).encode())
        transaction.commit()


def _to_json(bank: Bank) -> str:
    entries, start = [], 0
    for click in bank.clicks:
        entry: dict[str, Any] = {"start": start, "frames": len(click.samples)}
        entry["channels"] = click.channels
        entry |= {
            item.name: getattr(click, item.name) for item in fields(click) if item.name != "samples"
        }
        entries.append(entry)
        start += len(click.samples)
    values = {
        "schema": SCHEMA,
        "clips": CLIPS_NAME,
        "octaves_hz": OCTAVES_HZ,
        "quantiles": QUANTILES,
        "records": [asdict(record) for record in bank.records],
        "clicks": entries,
    }
    return json.dumps(values, indent=1, allow_nan=False) + "\n"


def read_bank(folder: str | Path) -> Bank:
    """Read a bank from its folder.

    Raises
    ------
    ReadError
        If it is not there, or is not a bank.
    """
    folder = Path(folder)
    path = folder / JSON_NAME
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ReadError(
            f"{folder}: is no click bank (there is no {JSON_NAME} in it); make one with "
            "'declick harvest'"
        ) from None
    except OSError as error:
        raise ReadError(f"{path}: cannot be read ({error.strerror}); check the disk") from None
    except ValueError:
        raise ReadError(f"{path}: is not JSON; harvest the bank again") from None
    schema = values.get("schema") if isinstance(values, dict) else None
    if schema != SCHEMA:
        raise ReadError(
            f"{path}: its schema is {schema!r}, this program reads {SCHEMA!r}; "
            "harvest the bank again"
        )
    clips = _read_clips(folder / CLIPS_NAME)
    try:
        records = tuple(_record(entry) for entry in values["records"])
        clicks = tuple(_click(entry, clips, len(records)) for entry in values["clicks"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ReadError(
            f"{path}: an entry cannot be understood ({_short(error)}); harvest the bank again"
        ) from None
    return Bank(clicks=clicks, records=records)


def _read_clips(path: Path) -> NDArray[np.float32]:
    try:
        with path.open("rb") as file:
            clips, _ = soundfile.read(file, dtype="float32", always_2d=True)
    except OSError as error:
        raise ReadError(f"{path}: cannot be read ({error.strerror}); harvest it again") from None
    except soundfile.SoundFileError:
        raise ReadError(f"{path}: is not a sound file; harvest the bank again") from None
    if not np.isfinite(clips).all():
        raise ReadError(f"{path}: holds NaN or infinity; harvest the bank again")
    return np.asarray(clips, np.float32)


def _record(entry: Mapping[str, Any]) -> Record:
    numbers = dict(entry["statistics"])
    numbers["rates_hz"] = {Kind(kind): float(rate) for kind, rate in numbers["rates_hz"].items()}
    for name in ("level_db", "width_s", "balance_db"):
        numbers[name] = as_quantiles(numbers[name])
    return Record(**{**entry, "statistics": Statistics(**numbers)})


def _click(entry: Mapping[str, Any], clips: NDArray[np.float32], records: int) -> BankedClick:
    rest = dict(entry)
    start, frames, channels = (int(rest.pop(name)) for name in ("start", "frames", "channels"))
    if not (0 <= start < start + frames <= len(clips) and 1 <= channels <= clips.shape[1]):
        raise ValueError(f"a clip at {start} is not in {CLIPS_NAME}")
    if not 0 <= rest["record"] < records:
        raise ValueError(f"a clip is of record {rest['record']}")
    numbers = [value for value in rest.values() if isinstance(value, float)]
    if not all(math.isfinite(number) for number in numbers):
        raise ValueError("a number is not finite")
    rest["kind"] = Kind(rest["kind"])
    rest["spectrum_db"] = tuple(float(value) for value in rest["spectrum_db"])
    return BankedClick(samples=clips[start : start + frames, :channels].copy(), **rest)


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:100]
