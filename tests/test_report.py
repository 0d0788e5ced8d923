from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from declick.clicks import Click, Kind, Repair
from declick.errors import LabelError, WriteError
from declick.report import Source, read_report
from declick.reporting import ReportWriter, library_versions
from declick.settings import Settings
from declick.totals import energy_db
from declick.wording import format_time

SOURCE = Source(
    name="/home/me/rips/Side A.flac", sha256="ab" * 32, sample_rate=44_100, frames=44_100 * 600,
    channels=2, format="FLAC", subtype="PCM_24",
)  # fmt: skip


def repair(start: int, length: int = 30, tail: int = 0, **given: Any) -> Repair:
    method = given.pop("method", "ar")
    gain_db = given.pop("gain_db", float("nan"))
    why = given.pop("why", "")
    click = Click(start, start + length, start + length + tail, given.pop("channel", 0), **given)
    samples = np.zeros(0 if method == "left" else length + tail)
    return Repair(click, samples, method, gain_db, why=why)


def write(path: Path, repairs: list[Repair], **given: Any) -> Path:
    with ReportWriter(path, source=SOURCE, settings=Settings().as_dict(), **given) as writer:
        for item in repairs:
            writer.add(item, removed_db=-20.0 if item.made else None)
    return path


def test_a_report_holds_what_it_promises(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    with ReportWriter(
        path,
        source=SOURCE,
        settings=Settings().as_dict(),
        output="/tmp/out/Side A.flac",
        removed=Path("/tmp/out/gone.flac"),
        created="2026-01-31T12:00:00Z",
    ) as writer:
        writer.add(repair(100, 30, kind=Kind.POP, gain_db=12.3456), removed_db=-20.0)
        writer.add(repair(120, 30, channel=1, tail=44_100, kind=Kind.THUMP), removed_db=-20.0)
        writer.add(repair(44_100 * 92, 20, method="left", confidence=0.25, why="a note begins"))
        writer.chain = {"ring_hz": np.float64(4000.12345678), "taps": np.array([1.0, np.nan])}
        writer.rotation_s = 1.8
        writer.notices.append("MP3 smears clicks")
        writer.frames_changed = 441
    text = path.read_text(encoding="utf-8")
    assert "/tmp" not in text
    assert "/home" not in text
    values = json.loads(text)
    assert values["schema"] == "declick-report/1"
    assert values["source"]["name"] == "Side A.flac"
    assert values["source"]["duration_s"] == 600.0
    assert (values["output"], values["removed"]) == ("Side A.flac", "gone.flac")
    assert values["settings"] == Settings().as_dict()
    assert values["chain"] == {"ring_hz": 4000.12345678, "taps": [1.0, None]}
    assert values["rotation"] == {"period_s": 1.8}
    assert values["clicks"][0] == {
        "number": 1, "time_s": 0.002268, "time": "0:00.002", "channel": 0, "start": 100,
        "stop": 130, "tail": 130, "kind": "pop", "confidence": 1.0, "method": "ar", "made": True,
        "gain_db": 12.35, "removed_db": -20.0,
    }  # fmt: skip
    assert values["clicks"][2]["time"] == "1:32.000"
    assert values["clicks"][2]["gain_db"] is None
    assert values["clicks"][2]["why"] == "a note begins"
    assert [entry.why for entry in read_report(path).entries] == ["", "", "a note begins"]
    assert values["totals"] == {
        "clicks": 3, "repaired": 2, "left": 1,
        "frames_changed": 441, "seconds_changed": 0.01,
        "by_kind": {"pop": 1, "thump": 1, "tick": 1}, "by_method": {"ar": 2, "left": 1},
        "removed_db": -16.99,
    }  # fmt: skip
    # One click a line.
    assert sum(line.startswith('    {"number"') for line in text.splitlines()) == 3
    assert text.endswith("}\n")


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 10**6), st.integers(1, 99), st.integers(0, 99), st.integers(0, 1),
            st.integers(0, 10**4), st.sampled_from(list(Kind)),
            st.sampled_from(["ar", "left", "é"]),
        )
    )
)  # fmt: skip
def test_streamed_report_equals_what_is_read_back(
    tmp_path: Path, drawn: list[tuple[int, int, int, int, int, Kind, str]]
) -> None:
    path = tmp_path / "report.json"
    added = []
    with ReportWriter(path, source=SOURCE, settings={}) as writer:
        for start, length, tail, channel, sure, kind, method in sorted(drawn):
            item = repair(
                start, length, tail, channel=channel, confidence=sure / 1e4, kind=kind,
                method=method, gain_db=sure / 100,
            )  # fmt: skip
            added.append(writer.add(item, removed_db=-sure / 100 if item.made else None))
        totals = writer.totals()
    report = read_report(path)
    assert list(report.entries) == added
    assert report.totals == totals
    assert report.clicks == sorted(entry.click for entry in added)
    assert report.source == replace(SOURCE, name="Side A.flac")
    assert report.created is None
    assert report.rotation_s is None
    assert report.notices == ()


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    one = write(tmp_path / "a.json", [repair(5), repair(90)]).read_bytes()
    assert write(tmp_path / "b.json", [repair(5), repair(90)]).read_bytes() == one


def test_numpy_numbers_are_taken(tmp_path: Path) -> None:
    click = Click(np.int64(5), np.int64(9), np.int64(9), np.int32(1), np.float32(0.5))  # type: ignore[arg-type]
    item = Repair(click, np.zeros(4), "ar", np.float32(2.5))  # type: ignore[arg-type]
    report = read_report(write(tmp_path / "r.json", [item]))
    assert report.clicks == [Click(5, 9, 9, 1, 0.5)]
    assert report.entries[0].gain_db == 2.5


def test_source_may_be_known_at_the_end(tmp_path: Path) -> None:
    with ReportWriter(tmp_path / "r.json", source=SOURCE, settings={}) as writer:
        writer.source = replace(SOURCE, frames=7, sha256=None)
    report = read_report(tmp_path / "r.json")
    assert report.source.frames == 7
    assert report.source.sha256 is None


def test_nothing_appears_where_the_run_fails(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("earlier")

    def fail() -> None:
        with ReportWriter(path, source=SOURCE, settings={}) as writer:
            writer.add(repair(5))
            raise OSError("the source broke")

    with pytest.raises(OSError, match="the source broke"):
        fail()
    assert path.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [path]


def test_an_unwritable_place_is_known_at_once(tmp_path: Path) -> None:
    with (
        pytest.raises(WriteError, match="cannot write the report"),
        ReportWriter(tmp_path / "absent" / "r.json", source=SOURCE, settings={}),
    ):
        pytest.fail("the run must not start")


def test_clicks_must_ascend(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="ascending"):
        write(tmp_path / "r.json", [repair(90), repair(5)])


def test_read_errors(tmp_path: Path) -> None:
    path = write(tmp_path / "good.json", [repair(5), repair(90)])
    good = path.read_text()
    values = json.loads(good)

    def fault(text: str | bytes) -> str:
        bad = tmp_path / "bad.json"
        bad.write_bytes(text.encode() if isinstance(text, str) else text)
        with pytest.raises(LabelError) as caught:
            read_report(bad)
        message = str(caught.value)
        assert message.startswith(str(bad))
        assert "\n" not in message
        assert "; " in message
        return message

    def changed(**given: Any) -> str:
        return json.dumps(values | given)

    first, second = values["clicks"]
    for cut in (5, len(good) // 2, len(good) - 3):
        assert "cut off" in fault(good[:cut])
    assert "not JSON" in fault("tick tock")
    assert "not JSON" in fault("")
    assert "not a text file" in fault(b"fLaC\xff\xfe\x00")
    assert "not a report of declick" in fault("[1, 2]")
    assert "not a report of declick" in fault('{"schema": "other/1"}')
    assert "update declick" in fault(changed(schema="declick-report/2"))
    assert "lacks 'totals'" in fault(json.dumps({k: v for k, v in values.items() if k != "totals"}))
    assert "damaged" in fault(changed(clicks=[first | {"kind": "bang"}]))
    assert "damaged" in fault(changed(clicks=[first | {"start": 99.5}]))
    assert "damaged" in fault(changed(clicks=[first | {"stop": 0}]))
    assert "lies outside the sound" in fault(changed(clicks=[first | {"tail": 10**9}]))
    assert "click 1 is missing" in fault(changed(clicks=[second]))
    assert "damaged" in fault(changed(source=None))
    source = values["source"]
    assert "sample_rate is 0" in fault(changed(source=source | {"sample_rate": 0}))
    assert "name is '../a.wav'" in fault(changed(source=source | {"name": "../a.wav"}))
    assert "frames is 'many'" in fault(changed(source=source | {"frames": "many"}))
    assert "output is '/etc/x'" in fault(changed(output="/etc/x"))
    assert "period_s is 'a'" in fault(changed(rotation={"period_s": "a"}))
    assert "it holds NaN" in fault(changed(rotation={"period_s": float("nan")}))
    assert "settings is [1]" in fault(changed(settings=[1]))
    assert "chain is" in fault(changed(chain={"swing": "\ud800"}))
    assert "click 2 starts before click 1" in fault(
        changed(clicks=[second | {"number": 1}, first | {"number": 2}])
    )
    for name, value in {
        "copies": "12", "made": 1, "method": None, "confidence": "a", "number": True,
        "gain_db": [1], "removed_db": 1e9, "kind": 3, "channel": -1, "found_tail": 0.5,
    }.items():  # fmt: skip
        assert "damaged" in fault(changed(clicks=[first | {name: value}]))
    assert "damaged" in fault(good.replace('"frames": 26460000', '"frames": 1' + 9000 * "0"))
    with pytest.raises(LabelError, match="no such file"):
        read_report(tmp_path / "absent.json")


def test_energy_times_and_versions() -> None:
    assert energy_db(np.array([0.1, 0.0])) == pytest.approx(-20.0)
    assert energy_db(np.zeros(3)) is None
    assert format_time(92.4999) == "1:32.500"
    assert format_time(59.9999) == "1:00.000"
    assert format_time(3723.5) == "1:02:03.500"
    assert set(library_versions()) == {"libsndfile", "numpy", "onnxruntime", "scipy", "soundfile"}
