"""``declick damage``: the folder that it writes, replay, and what it refuses."""

from __future__ import annotations

import csv
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import soundfile

from declick.cli.parser import build_parser
from declick.damage.draw import RANGES
from declick.damage.piece import synthesize_piece
from declick.damage.recipe import load_wear
from declick.damage.sets import SETS
from declick.labels import read_labels
from runs import read, run

RATE = 22050


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    path = tmp_path / "clean" / "piece.wav"
    path.parent.mkdir()
    soundfile.write(path, synthesize_piece(3.0, sample_rate=RATE), RATE, subtype="PCM_24")
    return path


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metadata.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_folder_of_pairs(clean: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs"
    done = run(
        "damage", clean.parent, "-o", out, "--set", "worn,tick", "--licence", "CC0", "--json"
    )
    assert done.status == 0, done.err
    assert "2 pairs of 6 s" in done.err
    listed = rows(out)
    assert [row["set"] for row in listed] == ["worn", "tick"]
    assert [row["file_name"] for row in listed] == [
        pair["file_name"] for pair in done.json["pairs"]
    ]
    music = read(clean)
    for row in listed:
        worn, whole = read(out / row["file_name"]), read(out / row["clean_file_name"])
        assert worn.shape == whole.shape == music.shape
        assert (row["source"], row["licence"], row["seed"]) == ("piece.wav", "CC0", "1")
        clicks = read_labels(out / row["labels"], sample_rate=RATE, frames=len(worn), channels=2)
        hurt = np.abs(worn - whole) > 0.05 * np.sqrt(np.mean(whole**2))
        marked = np.zeros_like(hurt)
        for click in clicks:
            marked[click.start : click.tail, click.channel] = True
        assert np.sum(hurt & marked) > 0.9 * np.sum(hurt) > 0
        assert len(load_wear(out / row["wear"]).damages) == int(row["damages"])
    # The noise bed is in both; it is far below the music.
    bed = whole - music
    assert -70 < 10 * np.log10(np.mean(bed**2) / np.mean(music**2)) < -35
    names = {name.split("/")[0] for name in tree(out)}
    assert names == {"metadata.csv", "damaged", "clean", "labels", "wear"}


def test_replay_gives_the_same_files(clean: Path, tmp_path: Path) -> None:
    first, again = tmp_path / "first", tmp_path / "again"
    assert run("damage", clean, "-o", first, "--seconds", "1.4", "-q").status == 0
    listed = rows(first)
    assert [int(row["start"]) for row in listed] == [0, round(1.4 * RATE)]
    done = run("damage", clean, "-o", again, "--wear", first / listed[1]["wear"], "-q")
    assert done.status == 0, done.err
    (row,) = rows(again)
    for kind in ("file_name", "clean_file_name", "labels", "wear"):
        assert (again / row[kind]).read_bytes() == (first / listed[1][kind]).read_bytes(), kind


def test_the_same_damage_whatever_else_there_is(clean: Path, tmp_path: Path) -> None:
    alone, beside = tmp_path / "alone", tmp_path / "beside"
    assert run("damage", clean, "-o", alone, "-q").status == 0
    soundfile.write(clean.with_name("another.wav"), read(clean)[::-1], RATE)
    assert run("damage", clean.parent, "-o", beside, "-q", "--set", "pop,worn").status == 0
    one, other = tree(alone), tree(beside)
    assert len(other) == 1 + 4 * 4
    assert all(other[name] == one[name] for name in one if name != "metadata.csv")
    assert run("damage", clean, "-o", alone, "-q", "--seed", "2", "--overwrite").status == 0
    assert tree(alone)["damaged/piece-000-worn.flac"] != one["damaged/piece-000-worn.flac"]


def test_options_shape_what_is_laid(clean: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs"
    done = run(
        "damage", clean, "-o", out, "--set", "tick", "--sample-rate", "48000", "--no-bed",
        "--level-db", "6", "--rpm", "78", "-q",
    )  # fmt: skip
    assert done.status == 0, done.err
    (row,) = rows(out)
    assert soundfile.info(out / row["file_name"]).samplerate == int(row["sample_rate"]) == 48000
    drawn = load_wear(out / row["wear"])
    assert drawn.bed is None
    assert drawn.chain.turn_s == pytest.approx(60 / 78, rel=0.005)
    assert min(damage.level_db for damage in drawn.damages) >= 6.0


def test_music_at_full_scale_is_turned_down(tmp_path: Path) -> None:
    sound = synthesize_piece(2.0, sample_rate=RATE)
    loud = 1.05 * sound / np.max(np.abs(sound))
    soundfile.write(tmp_path / "loud.wav", loud, RATE, subtype="FLOAT")
    assert run("damage", tmp_path / "loud.wav", "-o", tmp_path / "out", "-q").status == 0
    (row,) = rows(tmp_path / "out")
    assert float(row["gain_db"]) < 0.0
    assert np.max(np.abs(read(tmp_path / "out" / row["clean_file_name"]))) < 1.0


def test_silent_stretches_are_passed_over(tmp_path: Path) -> None:
    sound = synthesize_piece(3.0, sample_rate=RATE)
    sound[: 2 * RATE] = 0.0
    soundfile.write(tmp_path / "a.wav", sound, RATE)
    done = run("damage", tmp_path / "a.wav", "-o", tmp_path / "out", "--seconds", "1")
    assert done.status == 0
    assert done.err.count("is silent; passed over") == 2
    assert len(rows(tmp_path / "out")) == 1


def test_what_cannot_be_is_refused_in_one_line(clean: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    silent, empty, text = (tmp_path / f"{name}.wav" for name in ("silent", "empty", "text"))
    soundfile.write(silent, np.zeros((RATE, 2)), RATE)
    soundfile.write(empty, np.zeros((0, 2)), RATE)
    text.write_text("no sound")
    for arguments, fault in (
        ((silent, "-q"), "silent"),
        ((empty,), "no sound"),
        ((text,), "text.wav"),
        ((tmp_path / "none.wav",), "no such file"),
        ((clean, "--set", "vinyl"), "no set"),
        ((clean, "--set", "real"), "--bank"),
        ((clean, "--bank", tmp_path), "no click bank"),
        ((clean, "--wear", tmp_path / "none.json"), "none.json"),
        ((clean, "--wear", text), "not JSON"),
        ((clean, "--wear", text, "--set", "pop"), ""),
        ((clean, "--level-db", "loud"), "level"),
        ((clean, "--sample-rate", "99"), "sample-rate"),
        ((clean, "--seconds", "nan"), "seconds"),
    ):
        done = run("damage", *arguments, "-o", out)
        assert done.status != 0
        assert fault in done.fault, arguments
    assert not (out / "metadata.csv").exists()


def test_nothing_is_overwritten_unasked(clean: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run("damage", clean, "-o", out, "-q").status == 0
    before = tree(out)
    assert "exists already" in run("damage", clean, "-o", out).fault
    (out / "metadata.csv").unlink()
    assert "exists already" in run("damage", clean, "-o", out, "--seed", "4").fault
    assert run("damage", clean, "-o", out, "--overwrite", "-q").status == 0
    assert tree(out) == before
    assert "is a file" in run("damage", clean, "-o", clean).fault


# --- the page ---------------------------------------------------------------------------------

PAGE = Path(__file__).resolve().parent.parent / "docs" / "damage.md"


def test_the_page_lists_every_family_with_its_ranges() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for family, ranges in RANGES.items():
        row = next(line for line in text.splitlines() if line.startswith(f"| `{family}` |"))
        for values, scale in ((ranges.width_s, 1e3), (ranges.level_db, 1.0)):
            least, likely, most = (f"{value * scale:g}".replace("-", "−") for value in values)
            assert f"| {least} · **{likely}** · {most} |" in row, row
    for name in SETS:
        assert re.search(rf"^\| .*`{name}`.* \|", text, re.MULTILINE), name


def test_commands_and_python_of_the_page_run(capsys: pytest.CaptureFixture[str]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    shell = "".join(re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    lines = [shlex.split(line, comments=True) for line in shell.splitlines()]
    commands = [words[1:] for words in lines if words[:1] == ["declick"]]
    assert sum(words[0] == "damage" for words in commands) >= 4
    for words in commands:
        build_parser().parse_args(words)
    python = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[0]
    exec(compile(python, "docs/damage.md", "exec"), {"__name__": "example"})
    assert "clicks; (441000, 2)" in capsys.readouterr().out


def test_of_wear_that_is_longer_than_the_music_what_is_laid_is_counted(
    clean: Path, tmp_path: Path
) -> None:
    first, again, short = tmp_path / "first", tmp_path / "again", tmp_path / "short.wav"
    assert run("damage", clean, "-o", first, "--no-bed").status == 0
    wear = first / rows(first)[0]["wear"]
    soundfile.write(short, read(clean)[: round(0.5 * RATE)], RATE)
    done = run("damage", short, "-o", again, "--wear", wear)
    within = [damage for damage in load_wear(wear).damages if damage.time_s < 0.5]
    assert int(rows(again)[0]["damages"]) == len(within) > 0
    assert len(within) < len(load_wear(wear).damages)
    assert f" {len(within)} damages, in" in done.err


def test_the_json_of_the_page_is_wear(tmp_path: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    block = re.findall(r"^```json\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[0]
    (tmp_path / "wear.json").write_text(block, encoding="utf-8")
    assert len(load_wear(tmp_path / "wear.json").damages) == 1
