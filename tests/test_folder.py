"""Many recordings at once, and runs that are broken off."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile

from runs import files, read, run, wait_until, worn_sound, write_worn
from worn import RATE

pytestmark = pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs POSIX signals")


@pytest.fixture
def rips(tmp_path: Path) -> Path:
    """Return a folder of three good recordings and a bad one."""
    folder = tmp_path / "my rips"
    (folder / "süd").mkdir(parents=True)
    write_worn(folder / "a.wav", 0.5)
    write_worn(folder / "b.flac", 0.5)
    write_worn(folder / "süd" / "c\nd.wav", 0.5)
    write_worn(folder / ".hidden.wav", 0.5)
    (folder / "bad.wav").write_text("no sound")
    (folder / "cover.txt").write_text("no sound, nor called so")
    return folder


GOOD = ["a.json", "a.wav", "b.flac", "b.json", "süd/c\nd.json", "süd/c\nd.wav"]


def test_a_bad_file_does_not_stop_the_rest(rips: Path) -> None:
    done = run("restore", rips, "--jobs", "2")
    assert done.status == 1
    assert files(rips.with_name("my rips-declicked")) == GOOD
    lines = done.err.splitlines()
    assert lines[-2].startswith("3 restored, 0 passed over, 1 failed in ")
    assert lines[-1].startswith(f"  failed: {rips / 'bad.wav'}: this is not a sound file")
    assert len(lines) == 6
    # The same as one by one.
    assert run("restore", rips / "a.wav", rips / "alone.wav").status == 0
    alone = (rips / "alone.wav").read_bytes()
    assert alone == (rips.with_name("my rips-declicked") / "a.wav").read_bytes()


def test_quiet_says_only_what_failed_and_json_says_all(rips: Path, tmp_path: Path) -> None:
    done = run("restore", rips, "-o", tmp_path / "out", "-q", "--json", "-j", "1")
    assert done.status == 1
    assert len(done.err.splitlines()) == 1
    assert "bad.wav" in done.err
    states = {Path(item["source"]).name: item["status"] for item in done.json["files"]}
    assert states == {"a.wav": "restored", "b.flac": "restored", "bad.wav": "failed",
                      "c\nd.wav": "restored"}  # fmt: skip


def test_skip_existing_goes_on(rips: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (rips / "bad.wav").unlink()
    assert run("restore", rips / "a.wav", "-o", f"{out}/").status == 0
    before = (out / "a.wav").stat().st_mtime_ns
    done = run("restore", rips, "-o", out, "--skip-existing", "-j", "1")
    assert done.status == 0
    assert done.err.splitlines()[-1].startswith("2 restored, 1 passed over, 0 failed")
    assert (out / "a.wav").stat().st_mtime_ns == before
    assert files(out) == GOOD
    # Without it, what exists is a failure each, and stays.
    assert run("restore", rips, "-o", out, "-j", "1").status == 1
    assert (out / "a.wav").stat().st_mtime_ns == before


def test_a_folder_inside_its_own_output_is_not_restored_again(rips: Path) -> None:
    (rips / "bad.wav").unlink()
    inner = rips / "done"
    assert run("restore", rips, "-o", inner, "-j", "1").status == 0
    assert run("restore", rips, "-o", inner, "-j", "1", "--overwrite").status == 0
    assert files(inner) == GOOD
    # ... nor where the next run writes elsewhere.
    other = rips.with_name("other")
    assert run("restore", rips, "-o", other, "-j", "1").status == 0
    assert files(other) == GOOD
    assert "the folder of the sources" in run("restore", rips, "-o", rips).fault


def test_one_that_is_named_twice_is_refused_and_two_that_exist_are_told(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        write_worn(tmp_path / name, 0.5)
    done = run("restore", tmp_path / "a.wav", tmp_path / "a.wav")
    assert done.status == 2
    assert "named twice" in done.err
    assert files(tmp_path) == ["a.wav", "b.wav"]
    done = run("restore", tmp_path / "a.wav", tmp_path / "b.wav", "-j", "1")
    assert f"to replace it give -o {tmp_path / 'b.wav'} --overwrite" in done.err
    assert f"-> {tmp_path / 'a.declicked.wav'}" in done.err


def test_namesakes_go_to_files_of_their_own(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for name in ("rip.aiff", "rip.ogg", "rip.wav"):
        write_worn(folder / name, 0.5)
    assert run("restore", folder, "-o", out, "-j", "1").status == 0
    assert files(out) == ["rip.aiff", "rip.json", "rip.ogg.json", "rip.ogg.wav", "rip.wav",
                          "rip.wav.json"]  # fmt: skip
    (tmp_path / "in2").mkdir()
    write_worn(tmp_path / "in2" / "rip.wav", 0.5)
    done = run("restore", folder, tmp_path / "in2", "-o", out, "--overwrite")
    assert "would be written to" in done.fault


def test_folders_that_cannot_be_used(tmp_path: Path, rips: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no sound in this folder" in run("restore", empty).fault
    assert "is a file" in run("restore", rips, "-o", rips / "a.wav").fault
    assert "names one file" in run("restore", rips, "--removed", tmp_path / "r.wav").fault
    assert "standard input and output" in run("restore", rips, "-o", "-").fault
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "out"
    done = run("restore", rips / "a.wav", rips / "b.flac", "-o", out, "-j", "1")
    assert done.status == 1
    assert "cannot be made" in done.err


def test_sound_of_other_kinds_is_taken_or_told(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    (folder / "a.m4a").touch()
    (folder / "b.WMA").touch()
    done = run("restore", folder, "-o", out)
    assert "no sound in this folder, but 2 files of sound (.m4a, .wma)" in done.fault
    write_worn(folder / "rip.au", 0.5)
    done = run("restore", folder, "-o", out, "-j", "1")
    assert done.status == 0
    assert f"declick: {folder}: 2 files of sound (.m4a, .wma) passed over" in done.err
    assert files(out) == ["rip.json", "rip.wav"]
    assert run("restore", folder / "rip.au").status == 0
    assert (folder / "rip.declicked.wav").exists()
    assert "passed over" not in run("damage", folder, "-o", tmp_path / "pairs", "-q").err


@contextmanager
def started(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Run the program in a group of its own, of which nothing is left behind."""
    process = subprocess.Popen(
        [sys.executable, "-m", "declick", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def is_at_work(process: subprocess.Popen[str]) -> bool:
    """Return whether workers are up, or all is over."""
    return len(group(process.pid)) >= 4 or process.poll() is not None


def group(leader: int) -> list[str]:
    """Return the processes that are left of a group."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == leader and fields[0] != "Z":
            found.append(entry.parent.name)
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("kind", ["SIGINT", "SIGTERM"])
def test_an_interrupted_run_leaves_nothing(tmp_path: Path, kind: str, many: bool) -> None:
    source = tmp_path / "in"
    source.mkdir()
    # One that is detected before anything is written need not be long.
    sound = np.tile(worn_sound(), (4 if many else 30, 1))
    for name in ("1.wav", "2.wav") if many else ("1.wav",):
        soundfile.write(source / name, sound, RATE)
    out = tmp_path / "out"
    out.mkdir()
    (out / "1.wav").write_text("earlier")

    def has_begun() -> bool:
        return any(name.endswith(".part") for name in files(out))

    what = (source, out) if many else (source / "1.wav", out / "1.wav")
    with started("restore", what[0], "-o", what[1], "--overwrite", "--jobs", "2") as process:
        if many:
            wait_until(lambda: has_begun() or process.poll() is not None, "no output")
        else:
            wait_until(lambda: is_at_work(process), "no workers")
        assert process.poll() is None
        if kind == "SIGINT":
            os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it: to all
        else:
            process.terminate()
        _, err = process.communicate(timeout=180)
        assert process.returncode == 130
        assert err.splitlines()[-1:] == ["declick: interrupted; nothing half-written is left"]
        assert "Traceback" not in err
        assert files(out) == ["1.wav"]
        assert (out / "1.wav").read_text() == "earlier"
        wait_until(lambda: not group(process.pid), "worker processes are left behind")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_workers_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.tile(worn_sound(), (30, 1)), RATE)
    with started("restore", tmp_path / "a.wav", "-j", "2") as process:
        wait_until(lambda: is_at_work(process), "no workers")
        time.sleep(1.0)
        process.kill()
        process.communicate()
        wait_until(lambda: not group(process.pid), "worker processes are left behind")


def test_a_bar_on_a_terminal_tells_the_time_left_and_goes(tmp_path: Path) -> None:
    rip = write_worn(tmp_path / "rip.wav")
    shown = on_a_terminal("restore", rip)
    assert "rip.wav" in shown
    assert " left" in shown
    last = shown.replace("\r\n", "\n").rstrip("\n").split("\n")[-3:]
    assert last[0].rpartition("\r")[2].startswith(f"{rip}: 0:03.000 in ")
    assert last[1] == f"  -> {tmp_path / 'rip.declicked.wav'}"
    assert on_a_terminal("restore", rip, "--overwrite", "-q") == ""
    assert read(rip).shape == read(tmp_path / "rip.declicked.wav").shape


def on_a_terminal(*arguments: str | Path) -> str:
    """Return what a terminal gets to see on standard error."""
    leader, follower = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "declick", *map(str, arguments)], stderr=follower
    )
    os.close(follower)
    shown = b""
    while True:
        try:
            piece = os.read(leader, 4096)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(leader)
    assert process.wait(30) == 0
    return shown.decode()


def test_a_folder_behind_a_file_is_not_restored_unasked(rips: Path, tmp_path: Path) -> None:
    rip = write_worn(tmp_path / "rip.wav", 1.0)
    before = files(tmp_path)
    for words in ([rip, rips], [rip, rip, rips], [rip, f"{rips}/"]):
        done = run("restore", *words)
        assert done.status == 2
        assert f"to write into it give -o {rips}" in done.fault
    assert files(tmp_path) == before
    assert run("restore", rip, "-o", rips).status == 0
    assert (rips / "rip.wav").is_file()


def test_several_recordings_make_no_folder_that_is_called_like_a_file(tmp_path: Path) -> None:
    a, b = (write_worn(tmp_path / name, 0.5) for name in ("a.wav", "b.wav"))
    done = run("restore", a, b, "-o", tmp_path / "y.wav")
    assert done.status == 2
    assert "several recordings need a folder" in done.fault
    assert files(tmp_path) == ["a.wav", "b.wav"]
    assert run("restore", a, b, "-o", f"{tmp_path / 'y.wav'}/").status == 0
    assert files(tmp_path / "y.wav") == ["a.json", "a.wav", "b.json", "b.wav"]


def test_a_name_without_an_ending_may_be_a_folder_or_a_file(tmp_path: Path) -> None:
    rip, out = write_worn(tmp_path / "rip.flac", 0.5), tmp_path / "out"
    for words in ([out], ["-o", out]):
        done = run("restore", rip, *words)
        assert done.status == 2
        assert f"give {out}.flac, or {out}/ for a folder" in done.fault
    assert run("restore", rip, f"{out}/").status == 0
    assert files(out) == ["rip.flac", "rip.json"]


def test_an_mp3_that_is_called_flac_is_named_as_what_it_is(tmp_path: Path) -> None:
    rips = tmp_path / "rips"
    rips.mkdir()
    soundfile.write(rips / "a.mp3", worn_sound(1.0), RATE)
    whole = (rips / "a.mp3").read_bytes()
    (rips / "b.flac").write_bytes(whole[: len(whole) // 2])
    (rips / "c.mp3").write_bytes(whole[:300])
    done = run("restore", rips, "-j", "1")
    told = [line for line in done.err.splitlines() if line.startswith("  failed: ")]
    assert len(told) == 2
    assert f"{rips / 'b.flac'}: is no FLAC file but MP3" in told[0]
    assert f"{rips / 'c.mp3'}: cannot be decoded (no frame of it is whole)" in told[1]


def test_a_folder_named_from_here_has_its_files_told_from_here(
    rips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(rips.parent)
    done = run("restore", rips.name, "-j", "1")
    assert f"[1/4] {Path(rips.name, 'a.wav')}: " in done.err
    assert f" -> {Path('my rips-declicked', 'a.wav')}" in done.err
    assert str(rips.parent) not in done.err
    monkeypatch.chdir(rips)
    assert run("restore", ".", "--skip-existing").status == 1
    assert files(rips.with_name("my rips-declicked")) == GOOD
