"""A click bank comes back from its folder as it was; what is none is told in a line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from declick.clicks import Kind
from declick.damage.bank import Bank, BankedClick, Record, Statistics
from declick.damage.bank_folder import read_bank, write_bank
from declick.errors import ReadError, WriteError


def a_bank(name: str = "rip.flac", *, channels: tuple[int, ...] = (2, 1, 2)) -> Bank:
    rng = np.random.default_rng(len(name))
    clicks = tuple(
        BankedClick(
            samples=rng.standard_normal((50 + k, count)).astype(np.float32) * 1e-3,
            sample_rate=(44100, 96000)[k % 2],
            onset=2,
            core_start=3,
            core_stop=20 + k,
            kind=(Kind.TICK, Kind.POP, Kind.THUMP)[k],
            peak=float(rng.uniform()),
            level_db=float(rng.uniform(12.0, 40.0)),
            left=1.0,
            right=-0.3,
            ring_hz=4012.3 * k,
            ring_decay_s=1e-3 / 3,
            spectrum_db=tuple(float(value) for value in rng.uniform(-60.0, 0.0, 9)),
            time_s=float(k) / 7,
        )
        for k, count in enumerate(channels)
    )
    statistics = Statistics(
        groove_s=12.5,
        bed_db=-61.0,
        rates_hz={Kind.POP: 0.1, Kind.TICK: 1 / 3},
        level_db=(1.0, 2.0, 3.0, 4.0, 1 / 3),
        ring_share=0.2,
        ring_hz=4000.0,
        period_s=1.8,
    )
    record = Record(
        name=name, sha256=name * 2, sample_rate=44100, licence="CC0", statistics=statistics
    )
    return Bank(clicks=clicks, records=(record,))


def assert_same(one: Bank, other: Bank) -> None:
    assert one.records == other.records
    assert len(one.clicks) == len(other.clicks)
    for a, b in zip(one.clicks, other.clicks, strict=True):
        assert b.samples.dtype == np.float32
        assert np.array_equal(a.samples, b.samples)
        for name in vars(a).keys() - {"samples"}:
            assert getattr(a, name) == getattr(b, name), name


def test_a_bank_comes_back_exactly(tmp_path: Path) -> None:
    bank = a_bank()
    write_bank(tmp_path / "new" / "bank", bank)
    assert_same(bank, read_bank(tmp_path / "new" / "bank"))


def test_the_same_bank_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_bank(tmp_path / name, a_bank())
    for file in ("bank.json", "clips.wav"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_an_empty_bank_comes_back(tmp_path: Path) -> None:
    write_bank(tmp_path, Bank())
    assert not read_bank(tmp_path).clicks


def test_banks_join_and_a_record_counts_once(tmp_path: Path) -> None:
    both = a_bank("one.wav").joined(a_bank("two.wav"))
    assert [click.record for click in both.clicks] == [0, 0, 0, 1, 1, 1]
    again = both.joined(a_bank("one.wav"))
    assert [record.name for record in again.records] == ["two.wav", "one.wav"]
    assert len(again.clicks) == 6
    write_bank(tmp_path, again)
    assert_same(again, read_bank(tmp_path))


def test_statistics_of_several_records_are_weighted() -> None:
    long = Statistics(groove_s=30.0, rates_hz={Kind.TICK: 1.0}, bed_db=-60.0)
    short = Statistics(
        groove_s=10.0,
        rates_hz={Kind.TICK: 2.0, Kind.POP: 4.0},
        bed_db=-40.0,
        ring_share=0.4,
        ring_hz=3000.0,
        period_s=1.8,
    )
    records = tuple(Record(name="x", sample_rate=1, statistics=part) for part in (long, short))
    pooled = Bank(records=records).statistics
    assert pooled.groove_s == 40.0
    assert pooled.rates_hz == {Kind.TICK: 1.25, Kind.POP: 1.0}
    assert pooled.bed_db == pytest.approx(-55.0)
    assert pooled.ring_share == pytest.approx(0.1)
    assert pooled.ring_hz == 3000.0
    assert pooled.period_s == 1.8
    assert Bank().statistics == Statistics()


def test_a_bank_is_not_written_over_unasked(tmp_path: Path) -> None:
    write_bank(tmp_path, a_bank())
    before = (tmp_path / "bank.json").read_bytes()
    with pytest.raises(WriteError, match="exists"):
        write_bank(tmp_path, Bank())
    assert (tmp_path / "bank.json").read_bytes() == before
    write_bank(tmp_path, Bank(), overwrite=True)
    assert not read_bank(tmp_path).clicks


def test_no_source_is_written_over(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "clips.wav", np.zeros(100), 44100)
    with pytest.raises(WriteError, match="source"):
        write_bank(tmp_path, a_bank(), overwrite=True, sources=[tmp_path / "clips.wav"])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "no click bank"),
        ("{", "not JSON"),
        ("[]", "schema is None"),
        ('{"schema": "declick-bank/2"}', "declick-bank/2"),
        ('{"schema": "declick-bank/1"}', "cannot be understood"),
        ('{"schema": "declick-bank/1", "records": [], "clicks": [{"start": 0}]}', "understood"),
    ],
)
def test_what_is_no_bank_is_told(tmp_path: Path, text: str | None, told: str) -> None:
    write_bank(tmp_path, a_bank())
    if text is None:
        (tmp_path / "bank.json").unlink()
    else:
        (tmp_path / "bank.json").write_text(text)
    with pytest.raises(ReadError, match=told) as caught:
        read_bank(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("start", -1),
        ("start", 10**6),
        ("channels", 3),
        ("record", 7),
        ("kind", "bang"),
        ("core_stop", 0),
        ("peak", float("nan")),
        ("colour", "red"),
    ],
)
def test_a_bad_entry_is_told(tmp_path: Path, name: str, value: object) -> None:
    write_bank(tmp_path, a_bank())
    values = json.loads((tmp_path / "bank.json").read_text())
    values["clicks"][1][name] = value
    (tmp_path / "bank.json").write_text(json.dumps(values))
    with pytest.raises(ReadError, match="an entry cannot be understood"):
        read_bank(tmp_path)


def test_missing_and_broken_clips_are_told(tmp_path: Path) -> None:
    write_bank(tmp_path, a_bank())
    (tmp_path / "clips.wav").write_bytes(b"no sound at all")
    with pytest.raises(ReadError, match=r"clips\.wav: is not a sound file"):
        read_bank(tmp_path)
    (tmp_path / "clips.wav").unlink()
    with pytest.raises(ReadError, match=r"clips\.wav: cannot be read"):
        read_bank(tmp_path)
    soundfile.write(tmp_path / "clips.wav", np.full((999, 2), np.nan), 44100, subtype="FLOAT")
    with pytest.raises(ReadError, match="NaN"):
        read_bank(tmp_path)


def test_a_clip_must_make_sense() -> None:
    click = a_bank().clicks[0]
    values = {name: value for name, value in vars(click).items() if name != "samples"}
    with pytest.raises(ValueError, match="shape"):
        BankedClick(samples=np.zeros(9, np.float32), **values)
    values["core_stop"] = 999
    with pytest.raises(ValueError, match="core_stop"):
        BankedClick(samples=click.samples, **values)
