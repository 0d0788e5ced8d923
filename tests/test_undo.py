"""What is put back where no removed file was kept: the samples of the source."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from runs import Array, entries, read, run, worn_sound, write_worn
from worn import RATE


@pytest.mark.parametrize(
    ("name", "subtype"),
    [("rip.flac", "PCM_24"), ("rip.wav", "FLOAT"), ("rip.wav", "DOUBLE"), ("rip.ogg", "VORBIS")],
)
def test_undo_of_everything_is_the_source(tmp_path: Path, name: str, subtype: str) -> None:
    rip, back = write_worn(tmp_path / name, 1.0, subtype), tmp_path / "back.wav"
    assert run("restore", rip).status == 0
    ending = rip.suffix if name != "rip.ogg" else ".wav"
    restored = tmp_path / f"rip.declicked{ending}"
    assert not np.array_equal(read(restored), read(rip))
    done = run("undo", restored, "--clicks", "1-", "-o", back)
    assert done.status == 0, done.err
    assert np.array_equal(read(back), read(rip))


def test_one_after_another_and_what_is_still_removed_is_counted(tmp_path: Path) -> None:
    rip = write_worn(tmp_path / "rip.wav", 1.0)
    assert run("restore", rip).status == 0
    restored, one, rest = (tmp_path / f"{name}.wav" for name in ("rip.declicked", "one", "rest"))
    click = next(e for e in entries(restored.with_suffix(".json")) if e["made"])
    assert run("undo", restored, "--clicks", str(click["number"]), "-o", one).status == 0
    span = np.zeros(read(rip).shape, dtype=bool)
    span[click["start"] : click["tail"], click["channel"]] = True
    assert np.array_equal(read(one), np.where(span, read(rip), read(restored)))
    report = json.loads(one.with_suffix(".json").read_text())
    assert report["removed"] is None
    changed = np.count_nonzero((read(one) != read(rip)).any(axis=1))
    assert report["totals"]["frames_changed"] == changed > 0
    assert run("undo", one, "--clicks", "1-", "-o", rest).status == 0
    assert np.array_equal(read(rest), read(rip))


@pytest.mark.parametrize("output", [None, "restored"])
def test_the_source_is_found_after_a_run_over_a_folder(tmp_path: Path, output: str | None) -> None:
    rips, where = tmp_path / "rips", ["-o", str(tmp_path / output)] if output else []
    (rips / "deep").mkdir(parents=True)
    for name in ("a.wav", "deep/a.wav"):
        write_worn(rips / name, 1.0)
    deep = 0.5 * worn_sound(1.0)
    soundfile.write(rips / "deep/a.wav", deep, RATE)
    # Of the same name and length, and nearer in the order of names.
    (tmp_path / "a decoy/deep").mkdir(parents=True)
    soundfile.write(tmp_path / "a decoy/deep/a.wav", 0.25 * deep, RATE)
    assert run("restore", rips, *where).status == 0
    for name in ("a.wav", "deep/a.wav"):
        restored = tmp_path / (output or "rips-declicked") / name
        done = run("undo", restored, "--clicks", "1-", "-o", tmp_path / "back.wav", "--overwrite")
        assert done.status == 0, done.err
        assert np.array_equal(read(tmp_path / "back.wav"), read(rips / name))


def test_inspect_does_not_take_the_restored_file_for_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    from declick.cli import viewing

    removed: list[Array] = []

    def draw(_: Path, pieces: Iterator[tuple[Array, Array]], *rest: object, **more: object) -> None:
        removed.extend(taken for _, taken in pieces)

    monkeypatch.setattr(viewing, "draw_overview", draw)
    (tmp_path / "rips").mkdir()
    write_worn(tmp_path / "rips/a.wav", 1.0)
    assert run("restore", tmp_path / "rips").status == 0
    done = run("inspect", tmp_path / "rips-declicked/a.wav", "--most", "1")
    assert done.status == 0, done.err
    assert any(piece.any() for piece in removed)


def test_a_source_that_is_not_there_or_not_the_same_is_told(tmp_path: Path) -> None:
    # Of a length of its own: the same file in the folder of another test would be found.
    rip, away = write_worn(tmp_path / "rip.wav", 1.1), tmp_path / "far/away/from/it.wav"
    assert run("restore", rip).status == 0
    words: list[str | Path] = ["undo", tmp_path / "rip.declicked.wav", "--clicks", "1-"]
    words += ["-o", tmp_path / "u.wav"]
    away.parent.mkdir(parents=True)
    shutil.move(rip, away)
    fault = run(*words).fault
    assert "rip.wav: the source is not beside the report; name it with --source" in fault
    assert "the run kept no removed file" in fault
    soundfile.write(rip, 0.5 * worn_sound(1.1), RATE)
    assert "is not the source, or was changed since" in run(*words).fault
    assert f"{rip}: is not the source of" in run(*words, "--source", rip).fault
    assert "give one" in run(*words, "--source", away, "--removed", away).fault
    assert not (tmp_path / "u.wav").exists()
    assert run(*words, "--source", away).status == 0
    assert np.array_equal(read(tmp_path / "u.wav"), read(away))
