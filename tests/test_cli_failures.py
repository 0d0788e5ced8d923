"""Bad input: one clear line, exit status 1, and nothing lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from declick.cli import main
from runs import files, run, worn_sound, write_worn
from worn import RATE


@pytest.fixture
def rip(tmp_path: Path) -> Path:
    return write_worn(tmp_path / "rip.wav", 0.5)


def broken(folder: Path, name: str) -> Path:
    path = folder / f"{name}.wav"
    sound = worn_sound(1.0)
    if name == "empty":
        path.touch()
    elif name == "text":
        path.write_text("this is no sound\n" * 100)
    elif name == "truncated":
        write_worn(path, 1.0)
        os.truncate(path, path.stat().st_size // 3)
    elif name == "truncated_flac":
        path = write_worn(path.with_suffix(".flac"), 1.0)
        os.truncate(path, path.stat().st_size // 2)
    elif name == "silent":
        soundfile.write(path, sound[:0], RATE)
    elif name in ("nan", "infinite"):
        sound = sound.copy()
        sound[20000, 1] = {"nan": np.nan, "infinite": np.inf}[name]
        soundfile.write(path, sound, RATE, subtype="FLOAT")
    elif name == "folder":
        path = folder / "in.wav"
        path.mkdir()
    return path


@pytest.mark.parametrize("command", ["restore", "detect"])
@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("absent", "there is no such file; check the name"),
        ("empty", "the file is empty"),
        ("text", "or convert it (ffmpeg does it)"),
        ("truncated", "cut short"),
        ("truncated_flac", ""),
        ("silent", "0 frames"),
        ("nan", "NaN"),
        ("infinite", "infinity"),
        ("folder", "no sound in this folder"),
    ],
)
def test_bad_sources(tmp_path: Path, command: str, name: str, fault: str) -> None:
    path = broken(tmp_path, name)
    before = files(tmp_path)
    if (command, name) == ("detect", "folder"):
        fault = "directory"
    done = run(command, path)
    assert done.status == 1
    assert str(path) in done.fault
    assert fault in done.fault
    assert ";" in done.fault  # ... and what to do
    assert files(tmp_path) == before


@pytest.mark.parametrize("option", ["-o", "--removed", "--report", "--labels"])
@pytest.mark.parametrize("link", ["same", "symbolic", "hard"])
def test_the_source_is_never_written_to(rip: Path, option: str, link: str) -> None:
    target = rip if link == "same" else rip.with_name("link.wav")
    if link == "symbolic":
        target.symlink_to(rip)
    elif link == "hard":
        target.hardlink_to(rip)
    before, there = rip.read_bytes(), files(rip.parent)
    done = run("restore", rip, option, target, "--overwrite")
    assert done.status == 1
    assert "never written to" in done.fault
    assert rip.read_bytes() == before
    assert files(rip.parent) == there


@pytest.mark.parametrize("first", ["-o", "--removed", "--report"])
@pytest.mark.parametrize("second", ["--removed", "--report", "--labels"])
def test_no_file_is_written_twice(rip: Path, first: str, second: str) -> None:
    if first == second:
        return
    done = run("restore", rip, first, rip.with_name("x.wav"), second, rip.with_name("x.wav"))
    assert done.status == 1
    assert "asked for twice" in done.fault
    assert files(rip.parent) == ["rip.wav"]


@pytest.mark.parametrize("option", ["-o", "--removed", "--report", "--labels"])
def test_what_exists_needs_overwrite(rip: Path, option: str) -> None:
    there = rip.with_name("there.wav")
    there.write_text("precious")
    done = run("restore", rip, option, there)
    assert done.status == 1
    assert "exists already" in done.fault
    assert "--overwrite" in done.fault
    assert there.read_text() == "precious"
    assert files(rip.parent) == ["rip.wav", "there.wav"]


def test_detect_and_repair_keep_their_inputs(rip: Path) -> None:
    assert "never written to" in run("detect", rip, "-o", rip, "--overwrite").fault
    labels = rip.with_name("l.txt")
    labels.write_text("0.1\t0.1\n")
    done = run("repair", rip, "--labels", labels, "--report", labels, "--overwrite")
    assert "never written to" in done.fault
    assert labels.read_text() == "0.1\t0.1\n"


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["-o", "no/where/o.wav"], "there is no directory"),
        (["-o", "o.xyz"], "names no format"),
        (["--removed", "o.flac"], "floats"),
        (["-o", "rip.wav/o.wav"], "rip.wav"),
        (["--report", "no/r.json"], "there is no directory"),
        (["--sensitivity", "1.5"], "sensitivity is 1.5: it must be between 0 and 1"),
        (["--sensitivity", "nan"], "give a number"),
        (["--settings", "absent.toml"], "absent.toml: cannot be read"),
        (["--settings", "typo.toml"], "typo.toml: [detect] has no 'sensitivty'"),
        (["--settings", "text.toml"], "text.toml: not TOML"),
        (["--settings", "type.toml"], "type.toml: find_tails is 'no'"),
        (["--settings", "range.toml"], "range.toml: sensitivity is 2"),
        (["--settings", "number.toml"], "number.toml: weights is 3: it must be text"),
        (["--settings", "huge.toml"], "huge.toml: sensitivity is 1000"),
        (["--settings", "digits.toml"], "digits.toml: not TOML"),
        (["--settings", "group.toml"], "group.toml: 'detekt' is unknown"),
        (["--json", "-o", "-"], "standard output"),
        (["--report", "r.json", "--no-report"], "contradict"),
    ],
)
def test_what_cannot_be_done_is_said_before_the_work(
    rip: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], fault: str
) -> None:
    monkeypatch.chdir(rip.parent)
    for name, text in {
        "typo": "[detect]\nsensitivty = 1",
        "text": "loud",
        "type": '[detect]\nfind_tails = "no"',
        "range": "[detect]\nsensitivity = 2",
        "number": "[detect]\nweights = 3",
        "huge": "[detect]\nsensitivity = 1" + 400 * "0",
        "digits": "[detect]\nsensitivity = 1" + 9000 * "0",
        "group": "[detekt]\nsensitivity = 1",
    }.items():
        Path(f"{name}.toml").write_text(text)
    before = files(rip.parent)
    monkeypatch.setattr("declick.pipeline.detect", None)  # it must not come to that
    done = run("restore", "rip.wav", *arguments)
    targets = arguments[0] in ("-o", "--removed", "--report") and "--no-report" not in arguments
    assert done.status == (1 if targets else 2)
    assert fault in done.fault
    assert files(rip.parent) == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may do all")
def test_a_folder_that_may_not_be_written_to(rip: Path) -> None:
    folder = rip.with_name("locked")
    folder.mkdir(mode=0o500)
    assert "may not write" in run("restore", rip, "-o", folder / "o.wav").fault


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can make a small disk")
    # Long enough for a report that is larger than a page.
    rip = write_worn(tmp_path / "rip.wav", 1.0)
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=120k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no small disk can be made here")
    try:
        (disk / "o.wav").write_text("earlier")
        for name in ("o.wav", "o.flac"):
            done = run("restore", rip, "-o", disk / name, "--overwrite")
            assert done.status == 1
            assert "no space left" in done.fault
            assert files(disk) == ["o.wav"]
        assert (disk / "o.wav").read_text() == "earlier"
        # Where only the report does not fit, no sound appears either.
        (disk / "fill").write_bytes(bytes((shutil.disk_usage(disk).free - 4096) // 4096 * 4096))
        before = files(disk)
        done = run("restore", rip, "-o", tmp_path / "o.wav", "--report", disk / "r.json")
        assert done.status == 1
        assert "r.json" in done.fault
        assert files(disk) == before
        assert not (tmp_path / "o.wav").exists()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_bad_labels_and_reports(rip: Path, tmp_path: Path) -> None:
    cases = {
        "beyond.txt": ("0.5\t99\ttick\n", "beyond.txt:1: the label reaches 99.000 s"),
        "odd.txt": ("one\ttwo\n", "odd.txt:1: 'one' is not a time"),
        "none.txt": ("", "there are no labels"),
        "absent.txt": (None, "no such file"),
    }
    for name, (text, fault) in cases.items():
        if text is not None:
            (tmp_path / name).write_text(text)
        assert fault in run("repair", rip, "--labels", tmp_path / name).fault
    (tmp_path / "odd.json").write_text("{}")
    assert "not a report of declick" in run("repair", rip, "--like", tmp_path / "odd.json").fault
    other = write_worn(tmp_path / "other.wav", 1.5)
    assert run("restore", other).status == 0
    report = tmp_path / "other.declicked.json"
    assert "another recording" in run("repair", rip, "--like", report).fault
    assert "nothing is marked" in run("repair", rip).fault
    values = json.loads(report.read_text())
    ring = {"frequency_hz": 5000.0, "decay_s": 0.001}
    emphasis = {"bass_s": 0.00318, "turnover_s": 0.000318, "low_cut_hz": 20.0}
    for part, value, fault in [
        ("chain", {"rings": [[{"pitch": 3}]]}, "its chain: it lacks 'frequency_hz'"),
        ("chain", {"rings": [[ring | {"frequency_hz": -1}]]}, "its chain: frequency_hz is -1"),
        ("chain", {"rings": [[ring | {"decay_s": 0}]]}, "its chain: decay_s is 0"),
        ("chain", {"rings": "many"}, "its chain: rings is 'many'"),
        ("chain", {"swing": [1, 2]}, "its chain: swing is [1, 2]"),
        ("chain", {"slow_tails": "no"}, "its chain: slow_tails is 'no'"),
        ("chain", {"slow_tails": {}}, "its chain: it lacks 'bass_s'"),
        ("chain", {"slow_tails": emphasis | {"turnover_s": -1}}, "its chain: turnover_s is -1"),
        ("settings", {"repair": {"method": 5}}, "its settings: method is 5"),
        ("settings", {"repair": 5}, "its settings: repair is 5"),
        ("clicks", 2 * values["clicks"][:1], "click 2 is missing"),
        ("clicks", [values["clicks"][0], values["clicks"][0] | {"number": 2}], "overlap"),
    ]:
        bad = tmp_path / "bad.json"
        bad.write_text(json.dumps(values | {part: value}))
        done = run("repair", other, tmp_path / "o.wav", "--like", bad)
        assert done.status == 1
        assert f"{bad}: the report is damaged" in done.fault
        assert fault in done.fault
        assert not (tmp_path / "o.wav").exists()


def write_silence(folder: Path) -> Path:
    """Return what a run that mended nothing has removed."""
    taken = folder / "silence.wav"
    soundfile.write(taken, np.zeros((RATE, 2)), RATE, subtype="FLOAT")
    return taken


def test_undo_and_inspect_refuse_what_does_not_belong(tmp_path: Path) -> None:
    rip = write_worn(tmp_path / "rip.wav", 1.0)
    assert run("restore", rip).status == 0
    output = tmp_path / "rip.declicked.wav"
    assert "there is no report beside it" in run("undo", rip, "--clicks", "1").fault
    assert "no such file" in run("undo", tmp_path / "no.wav", "--clicks", "1").fault
    assert run("restore", rip, "--overwrite", "--removed", tmp_path / "r.wav").status == 0
    assert "no clicks are chosen" in run("undo", output).fault
    assert "there is no click 999" in run("undo", output, "--clicks", "999").fault
    report = output.with_suffix(".json")
    done = run("undo", rip, "--report", report, "--clicks", "1-", "-o", tmp_path / "u.wav")
    assert "this is the source itself" in done.fault
    other = write_worn(tmp_path / "other.wav", 1.5)
    assert "is not the report of" in run("undo", other, "--report", report, "--clicks", "1-").fault
    assert "is not the report of" in run("inspect", output, "--source", other).fault
    for taken in (output, tmp_path / "r.wav", report):
        done = run("undo", output, "--clicks", "1-", "-o", taken, "--overwrite")
        assert done.status == 1
    for foreign in (rip, write_silence(tmp_path)):
        done = run("undo", output, "--clicks", "1-", "--removed", foreign, "-o", tmp_path / "u.wav")
        assert f"{foreign}: is not the removed file of the run of {report}" in done.fault
    assert not (tmp_path / "u.wav").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--quiet"],
        ["mend"],
        ["restore"],
        ["restore", "x", "--sensitivity", "high"],
        ["restore", "x", "-j", "0"],
        ["restore", "x", "--method", "magic"],
        ["restore", "x", "--remov", "y"],
        ["demo", "--seed", "-1"],
    ],
)
def test_words_that_are_not_understood(arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.status == 2
    assert "--help" in done.fault


def test_a_name_that_begins_with_a_dash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_worn(Path("-x.wav"), 1.0)
    assert "write ./-x.wav" in run("restore", "-x.wav").fault
    assert run("restore", "./-x.wav").status == 0
    assert run("restore", "--overwrite", "--", "-x.wav").status == 0


def test_a_name_with_a_line_break_and_worse(tmp_path: Path) -> None:
    name = tmp_path / "side\n\x1b[31m one ü.wav"
    assert "side\\n\\x1b[31m one ü.wav: there is no such file" in run("restore", name).fault
    write_worn(name, 1.0)
    done = run("restore", name, "--json")
    assert len(done.err.splitlines()) == 3
    assert Path(done.json["output"]).exists()


def test_names_without_a_usual_ending(tmp_path: Path) -> None:
    shutil.copy(write_worn(tmp_path / "rip.wav", 1.0), tmp_path / "rip no.1")
    assert run("restore", tmp_path / "rip no.1").status == 0
    assert (tmp_path / "rip no.1.declicked.wav").exists()


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command.replace("declick", f"{sys.executable} -m declick")],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=180,
    )


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs a shell")
@pytest.mark.parametrize(
    ("command", "fault"),
    [
        ("declick restore rip.wav - >&-", "standard output: it is closed"),
        ("declick restore - - <&-", "standard input: it is closed"),
        ("declick restore rip.wav - > /dev/full", "standard output: no space left"),
        ("declick restore rip.wav --json -q > /dev/full", "standard output: no space left"),
        ("set -o pipefail; declick restore rip.wav - -q | true", "closed the pipe"),
        ("declick restore - - < /dev/null", "standard input: the file is empty"),
    ],
)
def test_streams_that_fail(rip: Path, command: str, fault: str) -> None:
    done = shell(command, rip.parent)
    assert done.returncode == 1, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert fault in done.stderr


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs a shell")
def test_closed_streams_do_no_harm(rip: Path) -> None:
    # With standard error closed nothing is said, least of all into the sound.
    assert shell("declick restore rip.wav - 2>&- > o.wav", rip.parent).returncode == 0
    assert soundfile.info(rip.with_name("o.wav")).frames == RATE // 2
    assert shell("declick restore rip.wav --json >&-", rip.parent).returncode == 0


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal")
def test_a_terminal_gives_no_sound_and_gets_none(
    rip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leader, follower = os.openpty()
    with os.fdopen(leader, "rb"), os.fdopen(follower, "w") as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        assert (
            "standard input: it is a terminal" in run("restore", "-", rip.with_name("o.wav")).fault
        )
        monkeypatch.setattr(sys, "stdout", terminal)
        assert main(["restore", str(rip), "-"]) == 1
    assert files(rip.parent) == ["rip.wav"]


def test_a_fault_of_ours_is_one_line_too(rip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("no\nway")

    monkeypatch.setattr("declick.cli.restoring.restore", fail)
    done = run("restore", rip)
    assert done.status == 1
    assert "ZeroDivisionError: no\\nway; this is a fault of declick" in done.fault
    monkeypatch.setenv("DECLICK_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        run("restore", rip)
