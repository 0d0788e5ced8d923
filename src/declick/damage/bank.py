"""A click bank: real clicks with what was measured of them, in a folder of two files.

``clips.wav`` (32-bit float) holds all clips end to end, ``bank.json`` (schema ``declick-bank/1``)
says where each begins and what is known of it and of the records that it came from. The format is
described in docs/damage.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from declick.clicks import Kind
from declick.errors import ReadError
from declick.headers import plain_layout
from declick.sinks import PackedSink, Transaction, writing
from declick.targets import check_targets

SCHEMA = "declick-bank/1"
JSON_NAME, CLIPS_NAME = "bank.json", "clips.wav"
OCTAVES_HZ = (63.0, 125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0, 16000.0)
"""Centres of the octaves of `BankedClick.spectrum_db`."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Which quantiles `Statistics` holds."""

Quantiles = tuple[float, float, float, float, float]
_NONE: Quantiles = (0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class BankedClick:
    """One real click, free of the noise around it, its ends faded to zero.

    Parameters
    ----------
    samples : ndarray of float32, shape (frames, channels)
        One or two channels; full scale is 1, at the level that it had on its record.
    sample_rate : int
        In Hz.
    onset : int
        First frame in which it rises out of the noise.
    core_start, core_stop : int
        Frames of the core: where it is above a quarter of its peak, without the ring or thump
        behind it. ``0 <= onset <= core_start < core_stop <= frames``.
    kind : Kind
        tick, pop, crackle or thump.
    peak : float
        Largest magnitude of any sample.
    level_db : float
        The peak over the robust rms of the groove noise; of a pair, over the music around it.
    left, right : float
        How the main part of it is shared between the channels, -1..1; the greater is 1. Opposite
        signs: a vertical push. 1 and 1 for one channel.
    ring_hz, ring_decay_s, ring_level_db : float
        The damped sinusoid behind the core and its amplitude at the end of the core over the
        peak; 0 Hz: none stands out.
    thump_hz, thump_decay_s, thump_level_db : float
        The low-frequency swing behind it, likewise.
    spectrum_db : tuple of float
        Energy in each octave of `OCTAVES_HZ` over the whole, in dB, not below -99.
    record : int
        Index into `Bank.records`.
    time_s : float
        Where on the record.
    """

    samples: NDArray[np.float32] = field(repr=False)
    sample_rate: int
    onset: int
    core_start: int
    core_stop: int
    kind: Kind
    peak: float
    level_db: float
    left: float = 1.0
    right: float = 1.0
    ring_hz: float = 0.0
    ring_decay_s: float = 0.0
    ring_level_db: float = 0.0
    thump_hz: float = 0.0
    thump_decay_s: float = 0.0
    thump_level_db: float = 0.0
    spectrum_db: tuple[float, ...] = ()
    record: int = 0
    time_s: float = 0.0

    def __post_init__(self) -> None:
        frames = len(self.samples)
        if self.samples.ndim != 2 or self.samples.shape[1] not in (1, 2) or not frames:
            raise ValueError(f"a clip needs the shape (frames, 1 or 2), got {self.samples.shape}")
        if not 0 <= self.onset <= self.core_start < self.core_stop <= frames:
            raise ValueError(
                "a clip needs 0 <= onset <= core_start < core_stop <= frames, got "
                f"{self.onset}, {self.core_start}, {self.core_stop}, {frames}"
            )

    @property
    def channels(self) -> int:
        """One or two."""
        return int(self.samples.shape[1])

    @property
    def width_s(self) -> float:
        """Length of the core."""
        return (self.core_stop - self.core_start) / self.sample_rate


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """What a record's silent groove says of its damage.

    Parameters
    ----------
    groove_s : float
        Seconds of silent groove that were searched.
    bed_db : float
        Robust rms of the groove noise, dB of full scale.
    rates_hz : mapping from Kind to float
        Clicks per second of each kind; those too close together to be cut are counted, too.
    level_db : tuple of float
        `QUANTILES` of the peak over the noise.
    width_s : tuple of float
        Of the length of the core.
    opposite_share : float
        Share of the clicks with opposite signs in the channels.
    balance_db : tuple of float
        Of the weaker channel over the stronger.
    ring_share, ring_hz, ring_decay_s : float
        Share of the clicks that ring, and the medians of those that do; 0: none.
    thump_share, thump_hz, thump_decay_s : float
        Likewise.
    clustering : float
        Variance over mean of the number of clicks in a tenth of a second: 1 if they fall at
        random, more if they come in bursts.
    period_s : float
        Of one revolution, where the clicks show it; 0: unknown.
    """

    groove_s: float = 0.0
    bed_db: float = 0.0
    rates_hz: Mapping[Kind, float] = field(default_factory=dict)
    level_db: Quantiles = _NONE
    width_s: Quantiles = _NONE
    opposite_share: float = 0.0
    balance_db: Quantiles = _NONE
    ring_share: float = 0.0
    ring_hz: float = 0.0
    ring_decay_s: float = 0.0
    thump_share: float = 0.0
    thump_hz: float = 0.0
    thump_decay_s: float = 0.0
    clustering: float = 1.0
    period_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Record:
    """Where clicks came from.

    Parameters
    ----------
    name : str
        Of the file, without folders.
    sha256 : str
        Of the file; empty for an array.
    sample_rate : int
        In Hz.
    licence, source : str
        On what terms its clips may be used, and where it was found, as far as the user said so.
    statistics : Statistics
    """

    name: str
    sha256: str = ""
    sample_rate: int
    licence: str = ""
    source: str = ""
    statistics: Statistics = Statistics()


@dataclass(frozen=True, kw_only=True, eq=False)
class Bank:
    """Real clicks of one or several records, in the order in which they were cut."""

    clicks: tuple[BankedClick, ...] = ()
    records: tuple[Record, ...] = ()

    @property
    def statistics(self) -> Statistics:
        """Those of all records as one: means, weighted by the length of their silent groove."""
        return pool([record.statistics for record in self.records])

    def joined(self, other: Bank) -> Bank:
        """Return a bank with the clicks of another behind its own.

        A record that is already here (by its SHA-256) is not taken twice: the other's clips of it
        replace the own ones.
        """
        again = {record.sha256 for record in other.records if record.sha256}
        kept = [k for k, record in enumerate(self.records) if record.sha256 not in again]
        places = {old: new for new, old in enumerate(kept)}
        own = [
            replace(click, record=places[click.record])
            for click in self.clicks
            if click.record in places
        ]
        new = [replace(click, record=click.record + len(kept)) for click in other.clicks]
        return Bank(
            clicks=(*own, *new),
            records=(*(self.records[k] for k in kept), *other.records),
        )


def pool(parts: Sequence[Statistics]) -> Statistics:
    """Return the mean of several records' statistics, weighted by their length.

    Means of ring and thump constants are taken over the records that have any.
    """
    parts = [part for part in parts if part.groove_s > 0.0]
    if not parts:
        return Statistics()
    lengths = np.array([part.groove_s for part in parts])

    def mean(name: str, weights: NDArray[np.float64] = lengths) -> Any:
        values = np.array([getattr(part, name) for part in parts])
        if not weights.any():
            return np.zeros(values.shape[1:])
        return np.average(values, axis=0, weights=weights)

    def of_those(name: str, share: str) -> float:
        weights = lengths * [getattr(part, share) > 0.0 for part in parts]
        return float(mean(name, np.asarray(weights)))

    kinds = sorted({kind for part in parts for kind in part.rates_hz})
    rates = {
        kind: float(np.average([part.rates_hz.get(kind, 0.0) for part in parts], weights=lengths))
        for kind in kinds
    }
    turned = lengths * [part.period_s > 0.0 for part in parts]
    return Statistics(
        groove_s=float(lengths.sum()),
        bed_db=float(mean("bed_db")),
        rates_hz=rates,
        level_db=_quantiles(mean("level_db")),
        width_s=_quantiles(mean("width_s")),
        opposite_share=float(mean("opposite_share")),
        balance_db=_quantiles(mean("balance_db")),
        ring_share=float(mean("ring_share")),
        ring_hz=of_those("ring_hz", "ring_share"),
        ring_decay_s=of_those("ring_decay_s", "ring_share"),
        thump_share=float(mean("thump_share")),
        thump_hz=of_those("thump_hz", "thump_share"),
        thump_decay_s=of_those("thump_decay_s", "thump_share"),
        clustering=float(mean("clustering")),
        period_s=float(mean("period_s", np.asarray(turned))),
    )


def _quantiles(values: Any) -> Quantiles:
    a, b, c, d, e = (float(value) for value in values)
    return a, b, c, d, e


# --- the folder -------------------------------------------------------------------------------


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
        numbers[name] = _quantiles(numbers[name])
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
