"""Blind listening packs: blind, level, complete, and rightly weighed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from declick.bench.abx import AbxItem, p_value, score_abx, write_abx
from declick.errors import DeclickError, ReadError, SettingsError, WriteError

RATE = 22050


def item(name: str = "piano at 1.5 s", seconds: float = 4.0) -> AbxItem:
    rng = np.random.default_rng(3)
    clean = 0.05 * rng.standard_normal((round(seconds * RATE), 2))
    start = len(clean) // 2
    half = clean.copy()
    half[start : start + 40] *= 2
    sounds = {"clean": clean, "half": half, "louder": 1.1 * clean}
    return AbxItem(name=name, sample_rate=RATE, start=start, stop=start + 40, sounds=sounds)


def answers_to(key: Path, path: Path, *, right: int, better: str | None = "clean") -> Path:
    """Write answers of which the first ``right`` of each pair are right."""
    values = json.loads(key.read_text())
    seen: dict[str, int] = {}
    given = {}
    for row in values["trials"]:
        pair = "".join(sorted((row["A"], row["B"])))
        seen[pair] = seen.get(pair, 0) + 1
        told = row["X"] if seen[pair] <= right else "AB".replace(row["X"], "")
        given[str(row["trial"])] = {"X": told}
        if better is not None:
            liked = next((letter for letter in "AB" if row[letter] == better), "same")
            given[str(row["trial"])]["better"] = liked
    answers = {"schema": "declick-abx-answers/1", "pack": values["pack"], "answers": given}
    path.write_text(json.dumps(answers))
    return path


def test_the_pack_is_complete_and_blind(tmp_path: Path) -> None:
    key = write_abx(tmp_path / "pack", [item("one"), item("two")], 11)
    values = json.loads(key.read_text())
    assert key.parent == tmp_path
    assert sorted((row["item"], *sorted((row["A"], row["B"]))) for row in values["trials"]) == [
        (name, "clean", tool) for name in ("one", "two") for tool in ("half", "louder")
    ]
    files = {path.name for path in (tmp_path / "pack").iterdir()}
    page = (tmp_path / "pack" / "index.html").read_text()
    assert set(re.findall(r"\d{3}[abx]\.flac", page)) == files - {"index.html"}
    assert len(files) == 1 + 3 * 4
    assert not re.search("half|louder|one|two", " ".join(files))
    assert not re.search("louder|https?:|src=", page)
    for row in values["trials"]:
        a, b, x = (
            soundfile.read(tmp_path / "pack" / f"{row['trial']:03d}{letter}.flac")[0]
            for letter in "abx"
        )
        assert np.array_equal(x, a if row["X"] == "A" else b)
        assert len(a) == len(b) == 2 * round(1.5 * RATE) + 40
        same = {row["A"], row["B"]} == {"clean", "louder"}
        assert np.allclose(a, b, atol=2**-22) == same  # louder alone is no difference
        assert 20 * np.log10(np.std(a)) == pytest.approx(-20, abs=0.5)


def test_order_and_letters_come_from_the_seed(tmp_path: Path) -> None:
    items = [item(str(number), 0.2) for number in range(12)]
    first, again, other = (
        json.loads(write_abx(tmp_path / name, items, seed).read_text())["trials"]
        for name, seed in (("first", 1), ("again", 1), ("other", 2))
    )
    assert first == again != other
    for letter, choices in (("X", 2), ("A", 3)):
        assert len({row[letter] for row in first}) == choices


def test_excerpts_at_the_edge_and_in_silence(tmp_path: Path) -> None:
    silent = np.zeros((300, 1))
    edge = AbxItem(
        name="edge", sample_rate=RATE, start=0, stop=5, sounds={"clean": silent, "tool": silent}
    )
    write_abx(tmp_path / "pack", [edge], 0)
    assert soundfile.info(tmp_path / "pack" / "001a.flac").frames == 300


def test_loud_sounds_do_not_clip(tmp_path: Path) -> None:
    sound = 1e-3 * np.ones((4000, 2))
    sound[100] = 3.0
    one = AbxItem(
        name="peak", sample_rate=RATE, start=90, stop=110, sounds={"clean": sound, "t": -sound}
    )
    write_abx(tmp_path / "pack", [one], 0)
    heard = soundfile.read(tmp_path / "pack" / "001a.flac")[0]
    assert np.max(np.abs(heard)) <= 10 ** (-1 / 20) + 1e-6


def test_chosen_pairs(tmp_path: Path) -> None:
    key = write_abx(tmp_path / "pack", [item()], 5, pairs=[("half", "louder")])
    (row,) = json.loads(key.read_text())["trials"]
    assert {row["A"], row["B"]} == {"half", "louder"}
    with pytest.raises(SettingsError, match="no sound 'gwc'"):
        write_abx(tmp_path / "other", [item()], 5, pairs=[("half", "gwc")])


def test_what_is_there_stays(tmp_path: Path) -> None:
    write_abx(tmp_path / "pack", [item(seconds=0.1)], 5)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    with pytest.raises(WriteError, match="exists already"):
        write_abx(tmp_path / "pack", [item(seconds=0.1)], 6)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before
    with pytest.raises(SettingsError, match="nothing to listen to"):
        write_abx(tmp_path / "none", [], 1)


@pytest.mark.parametrize(
    ("correct", "trials", "expected"),
    [(0, 0, 1.0), (0, 5, 1.0), (5, 5, 1 / 32), (4, 5, 6 / 32), (12, 16, 2517 / 65536)],
)
def test_p_value_by_hand(correct: int, trials: int, expected: float) -> None:
    assert p_value(correct, trials) == expected


def test_score(tmp_path: Path) -> None:
    key = write_abx(tmp_path / "pack", [item(str(n), 0.1) for n in range(5)], 3)
    first = answers_to(key, tmp_path / "first.json", right=5)
    second = answers_to(key, tmp_path / "second.json", right=4, better=None)
    half, louder = score_abx(key, [first, second])
    assert half.pair == ("half", "clean")
    assert louder.pair == ("louder", "clean")
    assert (half.trials, half.correct) == (10, 9)
    assert half.p_value == 11 / 1024
    assert half.preferred == {"half": 0, "clean": 5, "same": 0}


def test_answers_that_cannot_be_scored(tmp_path: Path) -> None:
    key = write_abx(tmp_path / "pack", [item(seconds=0.1)], 3)
    other = write_abx(tmp_path / "other", [item(seconds=0.1)], 4)
    answers = answers_to(other, tmp_path / "answers.json", right=1)
    broken = tmp_path / "broken.json"
    broken.write_text(answers_to(key, broken, right=1).read_text().replace('"X": "', '"X": "Z'))
    (tmp_path / "no.json").write_text("no")
    cases: list[tuple[Path, str]] = [
        (answers, "of another pack"),
        (broken, "no such trial or answer"),
        (tmp_path / "no.json", "is not JSON"),
        (tmp_path / "absent.json", "cannot be read"),
        (key, "is not a file of the schema"),
    ]
    for path, reason in cases:
        with pytest.raises(ReadError, match=reason) as caught:
            score_abx(key, [path])
        assert isinstance(caught.value, DeclickError)
