"""What a person is told, beside failures."""

from __future__ import annotations

import hashlib
import io
import re
import sys
from pathlib import Path

import pytest
import soundfile

from declick.cli.flags import MARKED
from declick.report import read_report
from runs import entries, files, run, worn_sound, write_worn
from worn import RATE


@pytest.fixture(scope="module")
def restored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a restored rip that has clicks which were left alone."""
    folder = tmp_path_factory.mktemp("restored")
    rip, out = write_worn(folder / "rip.wav"), folder / "out.wav"
    assert run("restore", rip, "-o", out, "--removed", folder / "taken.wav").status == 0
    return out


def test_help_of_repair_tells_its_own_default() -> None:
    shown = " ".join(run("repair", "--help").out.split())
    assert MARKED == {"repair": {"keep_weak": False}}
    assert re.search(r"beat leaving it \(default: no\)", shown)
    assert re.search(
        r"beat leaving it \(default: yes\)", " ".join(run("restore", "-h").out.split())
    )


@pytest.mark.parametrize("command", ["restore", "undo", "bench"])
def test_an_unknown_option_points_to_the_help_of_its_command(command: str) -> None:
    words = ["x"] if command != "bench" else []
    done = run(command, *words, "--nonsense")
    assert done.status == 2
    assert done.fault == (
        f"declick {command}: unrecognized arguments: --nonsense; see 'declick {command} --help'"
    )


def test_arguments_that_make_no_sense_are_bad_usage(restored: Path) -> None:
    rip = restored.with_name("rip.wav")
    bad: tuple[list[str | Path], ...] = (
        ["restore", rip, "--sensitivity", "2"],
        ["restore", rip, "--overwrite", "--skip-existing"],
        ["repair", rip],
        ["undo", restored, "--clicks", "five"],
        ["undo", restored],
        ["inspect", restored, "--period", "99"],
    )
    for words in bad:
        assert run(*words).status == 2, words
    assert run("restore", rip.with_name("absent.wav")).status == 1


def test_undo_says_what_there_was_nothing_to_undo_of(restored: Path, tmp_path: Path) -> None:
    made = [entry["number"] for entry in entries(restored.with_suffix(".json")) if entry["made"]]
    once, twice = tmp_path / "once.wav", tmp_path / "twice.wav"
    first = run("undo", restored, "--clicks", str(made[0]), "-o", once)
    assert first.err.splitlines()[0] == f"{restored}: 1 click put back"
    chosen = f"{made[0]},{made[1]}"
    again = run(
        "undo", once, "--clicks", chosen, "-o", twice, "--removed", restored.with_name("taken.wav")
    )
    told = f"{once}: 1 click put back; 1 more of this choice had not been mended"
    assert again.err.splitlines()[0] == told


def test_inspect_says_where_no_click_is_chosen(restored: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    kinds = {entry["kind"] for entry in entries(restored.with_suffix(".json"))}
    absent = next(kind for kind in ("dropout", "scratch", "thump") if kind not in kinds)
    done = run("inspect", restored, "--kind", absent, "-o", tmp_path)
    assert done.status == 0
    assert "no click is drawn" in done.err
    assert len(files(tmp_path)) == 2


def test_notices_in_a_folder_name_their_file(tmp_path: Path) -> None:
    rips = tmp_path / "rips"
    rips.mkdir()
    for name in ("a.ogg", "b.ogg"):
        soundfile.write(rips / name, worn_sound(1.0), RATE)
    done = run("restore", rips, "-j", "1")
    notices = [line for line in done.err.splitlines() if line.startswith("declick: ")]
    assert len(notices) >= 2
    for line in notices:
        assert line.startswith(f"declick: {rips}{'/'}"), line
        assert line.count(str(rips)) == 1


def test_inspect_draws_more_clicks_beside_earlier_pictures(restored: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert run("inspect", restored, "--clicks", "1", "-o", tmp_path).status == 0
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(before) == 3
    more = run("inspect", restored, "--clicks", "2", "-o", tmp_path, "--json")
    assert more.json["pictures"] == [str(tmp_path / "out.click-2.png")]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert "exists already" in run("inspect", restored, "--clicks", "1-2", "-o", tmp_path).fault
    # Without a choice, and for another turn of the disc, they are asked for.
    assert "overview.png: exists already" in run("inspect", restored, "-o", tmp_path).fault
    turned = run("inspect", restored, "--clicks", "3", "--period", "1.8", "-o", tmp_path)
    assert "exists already" in turned.fault


def test_reports_tell_nobody_where_files_lie(tmp_path: Path) -> None:
    folder = tmp_path / "private"
    folder.mkdir()
    rip = write_worn(folder / "rip.ogg", 1.0)
    done = run("restore", rip, "-o", folder / "out.wav")
    assert f"declick: {rip}: VORBIS is a lossy codec" in done.err
    report = (folder / "out.json").read_text()
    assert '"rip.ogg: VORBIS is a lossy codec' in report
    assert "private" not in report
    assert run("detect", rip, "--json").json["source"]["name"] == "rip.ogg"


def test_what_came_through_a_pipe_is_known_by_its_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rip = write_worn(tmp_path / "rip.wav", 1.0)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(rip.read_bytes())))
    assert run("restore", "-", "-o", tmp_path / "out.wav").status == 0
    source = read_report(tmp_path / "out.json").source
    assert source.sha256 == hashlib.sha256(rip.read_bytes()).hexdigest()


def test_help_and_version_need_no_dashes_and_a_slip_is_put_right(tmp_path: Path) -> None:
    for words in ([], ["help"]):
        shown = run(*words)
        assert (shown.status, shown.out) == (0, run("--help").out)
    assert run("help", "undo").out == run("undo", "--help").out
    assert run("version").out == run("--version").out
    for typed, meant in (("resotre", "restore"), ("hlep", "help"), ("bnech", "bench")):
        slip = run(typed, "rip.flac")
        assert slip.status == 2
        assert slip.fault == f"declick: there is no command {typed}; did you mean {meant}?"
    rip = write_worn(tmp_path / "rip.wav", 0.5)
    assert f"did you mean declick restore {rip}?" in run(rip).fault


def test_a_decimal_comma_is_told_of(restored: Path) -> None:
    done = run("restore", restored, "--sensitivity", "0,5")
    assert done.status == 2
    assert "'0,5' has a comma: write 0.5, with a point" in done.fault
    assert "'x' is not a number" in run("restore", restored, "--sensitivity", "x").fault
    assert "'9,5' has a comma" in run("inspect", restored, "--period", "9,5").fault
