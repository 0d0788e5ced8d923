"""The first minute of a new user."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runs import files, read, run


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("declick.cli.demo._DURATION_S", 2.0)


def test_the_demo_gains_and_draws(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    done = run("demo", "-o", folder, "--json")
    assert done.status == 0, done.err
    assert done.json["gain_db"] > 3.0
    assert "dB gained" in done.err
    pytest.importorskip("matplotlib")
    assert files(folder) == ["clean.flac", "removed.wav", "restored.flac", "restored.json",
                             "restored.png", "worn.flac"]  # fmt: skip
    assert (folder / "restored.png").read_bytes().startswith(b"\x89PNG")
    worn, restored, removed = (
        read(folder / name) for name in ("worn.flac", "restored.flac", "removed.wav")
    )
    assert np.array_equal(restored + removed, worn)
    # The rest of the program works on it.
    done = run("undo", folder / "restored.flac", "--clicks", "1-", "-o", folder / "undone.flac")
    assert done.status == 0, done.err
    assert np.array_equal(read(folder / "undone.flac"), worn)


def test_the_demo_overwrites_nothing_unasked(tmp_path: Path) -> None:
    (tmp_path / "worn.flac").write_text("precious")
    assert "exists already" in run("demo", "-o", tmp_path).fault
    assert files(tmp_path) == ["worn.flac"]
    assert "is a file" in run("demo", "-o", tmp_path / "worn.flac").fault
    (tmp_path / "worn.flac").rename(tmp_path / "mine.flac")
    assert run("demo", "-o", tmp_path, "-q").status == 0
    assert (tmp_path / "mine.flac").read_text() == "precious"


def test_another_seed_is_another_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("declick.cli.demo.draw_comparison", lambda *_, **__: None)
    sounds = []
    for seed in ("1", "1", "2"):
        assert run("demo", "-o", tmp_path, "--seed", seed, "--overwrite", "-q").status == 0
        sounds.append((tmp_path / "restored.flac").read_bytes())
    assert sounds[0] == sounds[1] != sounds[2]
