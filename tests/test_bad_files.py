"""Bad input and bad targets: each gives one clear line, and nothing is lost."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from declick.clicks import Click, Repair
from declick.errors import ReadError, WriteError
from declick.read import Recording
from declick.write import put_back, write_restored

RATE = 44100
as_root = hasattr(os, "geteuid") and os.geteuid() == 0


def noise(frames: int = 5000, channels: int = 2) -> np.ndarray:
    return np.random.default_rng(1).uniform(-0.5, 0.5, (frames, channels))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "side a.wav"
    soundfile.write(path, noise(), RATE, subtype="PCM_16")
    return path


def read_all(path: Path) -> None:
    with Recording.open(path) as recording:
        for _ in recording.blocks(1000, 0):
            pass


def refused(path: Path, what: str) -> None:
    with pytest.raises(ReadError, match=what) as caught:
        read_all(path)
    check_line(str(caught.value), path)


def check_line(text: str, path: Path) -> None:
    assert text.startswith(f"{path}: ")
    assert ";" in text, "it says what to do"
    assert "\n" not in text


def test_absent(tmp_path: Path) -> None:
    refused(tmp_path / "none.wav", "there is no such file")


def test_directory(tmp_path: Path) -> None:
    refused(tmp_path, "this is a directory")


def test_empty(tmp_path: Path) -> None:
    path = tmp_path / "empty.wav"
    path.touch()
    refused(path, "the file is empty")


@pytest.mark.parametrize("name", ["notes.wav", "notes.flac", "notes.raw", "notes.mp3", "notes"])
def test_text_under_another_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("These are the notes of the session. " * 50)
    refused(path, "this is not a sound file that declick knows")


@pytest.mark.parametrize("form", ["WAV", "WAVEX", "RF64", "W64", "AIFF", "CAF", "FLAC"])
def test_no_frames(tmp_path: Path, form: str) -> None:
    path = tmp_path / "nothing"
    soundfile.write(path, np.zeros((0, 2)), RATE, format=form, subtype="PCM_16")
    refused(path, r"holds no sound \(0 frames\)|the file is empty")


def test_no_frames_but_chunks_after(tmp_path: Path) -> None:
    path = tmp_path / "nothing.wav"
    soundfile.write(path, np.zeros((0, 2)), RATE, subtype="PCM_16")
    chunk = b"LIST" + (12).to_bytes(4, "little") + b"INFOINAM\0\0\0\0"
    content = path.read_bytes() + chunk
    path.write_bytes(content[:4] + (len(content) - 8).to_bytes(4, "little") + content[8:])
    refused(path, r"holds no sound \(0 frames\)")


@pytest.mark.parametrize(
    ("form", "subtype"),
    [
        ("WAV", "PCM_16"),
        ("WAV", "FLOAT"),
        ("WAVEX", "PCM_24"),
        ("RF64", "PCM_16"),
        ("W64", "PCM_24"),
        ("AIFF", "PCM_16"),
        ("CAF", "PCM_16"),
        ("CAF", "ALAC_16"),
        ("FLAC", "PCM_16"),
    ],
)
@pytest.mark.parametrize("kept", [0.25, 0.9, 0.999])
def test_truncated(tmp_path: Path, form: str, subtype: str, kept: float) -> None:
    path = tmp_path / "part"
    soundfile.write(path, noise(50_000), RATE, format=form, subtype=subtype)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    refused(path, "cut short|damaged|header")


@pytest.mark.parametrize("form", ["WAV", "RF64", "W64", "AIFF", "CAF", "FLAC", "MP3", "OGG"])
def test_truncated_header(tmp_path: Path, form: str) -> None:
    path = tmp_path / "part"
    soundfile.write(path, noise(), RATE, format=form)
    content = path.read_bytes()
    for length in (1, 4, 11, 12, 20, 30, 40):
        path.write_bytes(content[:length])
        refused(path, ".")


def test_every_byte_of_a_header_may_be_wrong(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    for form in ("WAV", "RF64", "W64", "AIFF", "CAF", "FLAC"):
        path = tmp_path / form
        soundfile.write(path, noise(400), RATE, format=form, subtype="PCM_16")
        content = bytearray(path.read_bytes())
        for _ in range(60):
            changed = bytearray(content)
            changed[generator.integers(0, 100)] = generator.integers(0, 256)
            path.write_bytes(changed)
            try:
                read_all(path)
            except ReadError as error:
                check_line(str(error), path)


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize(("value", "what"), [(np.nan, "NaN"), (-np.inf, "infinity")])
def test_not_finite(tmp_path: Path, subtype: str, value: float, what: str) -> None:
    samples = noise(90_000)
    samples[[66_150, 70_000], 1] = value
    path = tmp_path / "bad.wav"
    soundfile.write(path, samples, RATE, subtype=subtype)
    refused(path, f"a sample is {what}.* at 0:01.500, channel 2; ")
    with Recording.open(path) as recording, pytest.raises(ReadError, match="channel 2"):
        recording.read(66_000, 66_200)
    with Recording.open(path) as recording, pytest.raises(ReadError, match="channel 2"):
        write_restored(recording, [], tmp_path / "out.wav", removed=tmp_path / "removed.wav")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["bad.wav"]


def test_beyond_all_sound(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "bad.wav", np.array([0.0, -1e200]), RATE, subtype="DOUBLE")
    refused(tmp_path / "bad.wav", "a sample is -1e\\+200 \\(no sound\\) at 0:00.000, channel 1; ")


def test_not_finite_array() -> None:
    recording = Recording.from_array(np.array([0.0, np.nan]), RATE)
    with pytest.raises(ReadError, match="the array: a sample is NaN"):
        recording.read(0, 2)


def test_too_many_channels(tmp_path: Path) -> None:
    path = tmp_path / "nine.wav"
    soundfile.write(path, noise(100, 9), RATE)
    refused(path, "has 9 channels")


@pytest.mark.parametrize("rate", [100, 1_000_000])
def test_senseless_rate(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "rate.wav"
    soundfile.write(path, noise(100), rate)
    refused(path, f"has a sample rate of {rate} Hz")


@pytest.mark.parametrize(
    "array", [np.zeros(0), np.zeros((2, 2, 2)), np.zeros(3, dtype=bool), np.zeros((4, 9))]
)
def test_senseless_array(array: np.ndarray) -> None:
    with pytest.raises(ReadError, match="the array: "):
        Recording.from_array(array, RATE)


def test_alac_32_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "deep.caf"
    soundfile.write(path, noise(), RATE, subtype="ALAC_32")
    refused(path, "32-bit ALAC")


@pytest.mark.skipif(as_root, reason="root may read everything")
def test_no_permission(source: Path) -> None:
    source.chmod(0)
    refused(source, "you may not read this file")


# --- targets ----------------------------------------------------------------------------------


def write(source: Path, output: Path, **options: object) -> None:
    with Recording.open(source) as recording:
        repair = Repair(Click(10, 12, 12, 0), np.zeros(2), "ar")
        write_restored(recording, [repair], output, **options)  # type: ignore[arg-type]


def not_written(source: Path, output: Path, what: str, **options: object) -> None:
    before = {path: path.read_bytes() for path in source.parent.rglob("*") if path.is_file()}
    with pytest.raises(WriteError, match=what) as caught:
        write(source, output, **options)
    assert ";" in str(caught.value)
    assert "\n" not in str(caught.value)
    after = {path: path.read_bytes() for path in source.parent.rglob("*") if path.is_file()}
    assert after == before


@pytest.mark.parametrize("link", [None, "symlink_to", "hardlink_to"])
def test_output_is_the_source(source: Path, link: str | None) -> None:
    output = source
    if link is not None:
        output = source.with_name("other.wav")
        getattr(output, link)(source)
    not_written(source, output, "this is a source", overwrite=True)


def test_removed_is_the_source(source: Path) -> None:
    output = source.with_name("out.wav")
    not_written(source, output, "this is a source", removed=source, overwrite=True)


def test_output_and_removed_are_one(source: Path) -> None:
    output = source.with_name("out.wav")
    not_written(source, output, "asked for twice", removed=output)


def test_output_exists(source: Path) -> None:
    output = source.with_name("out.wav")
    output.write_bytes(b"dear")
    not_written(source, output, "exists already")
    not_written(source, source.with_name("new.wav"), "exists already", removed=output)
    write(source, output, overwrite=True)
    assert soundfile.info(output).frames == 5000


def test_no_directory(source: Path) -> None:
    not_written(source, source.parent / "none" / "out.wav", "there is no directory")


def test_output_is_a_directory(source: Path) -> None:
    (source.parent / "out.wav").mkdir()
    not_written(source, source.parent / "out.wav", "this is a directory", overwrite=True)


def test_output_is_a_device(source: Path) -> None:
    if not Path("/dev/null").exists():
        pytest.skip("no /dev/null")
    link = source.with_name("out.wav")
    link.symlink_to("/dev/null")
    not_written(source, link, "this is not a file", overwrite=True)


@pytest.mark.skipif(as_root, reason="root may write everywhere")
def test_unwritable_directory(source: Path) -> None:
    directory = source.parent / "shut"
    directory.mkdir(mode=0o555)
    not_written(source, directory / "out.wav", "you may not write there")


def test_unknown_extension(source: Path) -> None:
    not_written(source, source.with_name("out.mp3"), "names no format that declick writes")
    not_written(
        source, source.with_name("out.wav"), "needs a file of floats", removed=Path("r.flac")
    )


def test_container_cannot_hold_it(tmp_path: Path) -> None:
    source = tmp_path / "float.wav"
    soundfile.write(source, noise(), RATE, subtype="FLOAT")
    not_written(source, tmp_path / "out.flac", r"FLAC cannot hold FLOAT exactly; use one of \.wav")


def test_repairs_that_make_no_sense(source: Path) -> None:
    def repair(start: int, stop: int, channel: int = 0, value: float = 0.0) -> Repair:
        click = Click(start, stop, stop, channel)
        return Repair(click, np.full(stop - start, value), "ar")

    wrong = {
        "comes after": [repair(100, 110), repair(50, 60)],
        "overlaps": [repair(100, 110), repair(109, 120)],
        "outside": [repair(4999, 5001)],
        "lies outside": [repair(0, 1, channel=2)],
        "NaN": [repair(0, 1, value=float("nan"))],
    }
    for what, repairs in wrong.items():
        with Recording.open(source) as recording, pytest.raises(ValueError, match=what):
            write_restored(recording, repairs, source.with_name("out.wav"))
    assert [path.name for path in source.parent.iterdir()] == [source.name]


def test_files_that_do_not_belong_together(source: Path) -> None:
    other = source.with_name("other.wav")
    soundfile.write(other, noise(4999), RATE)
    with (
        Recording.open(source) as restored,
        Recording.open(other) as removed,
        pytest.raises(WriteError, match="does not belong to"),
    ):
        put_back(restored, removed, [], source.with_name("out.wav"))


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, MemoryError])
@pytest.mark.parametrize("extension", ["wav", "flac"])
def test_interruption_leaves_nothing(
    source: Path, error: type[BaseException], extension: str
) -> None:
    earlier = source.with_name(f"out.{extension}")
    earlier.write_bytes(b"earlier")

    def repairs() -> Iterator[Repair]:
        yield Repair(Click(10, 12, 12, 0), np.zeros(2), "ar")
        raise error

    with Recording.open(source) as recording, pytest.raises(error):
        write_restored(
            recording,
            repairs(),
            earlier,
            removed=source.with_name("removed.wav"),
            overwrite=True,
            block_frames=100,
        )
    assert sorted(path.name for path in source.parent.iterdir()) == [earlier.name, source.name]
    assert earlier.read_bytes() == b"earlier"


def test_both_files_or_none(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output, removed = source.with_name("out.wav"), source.with_name("removed.wav")
    output.write_bytes(b"earlier")
    replace = Path.replace

    def fail_second(self: Path, target: Path) -> Path:
        if target == removed:
            raise OSError(5, "Input/output error")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail_second)
    not_written(source, output, "cannot be written", removed=removed, overwrite=True)
    assert output.read_bytes() == b"earlier"


@pytest.mark.parametrize("output", ["'-'", "sys.stdout.buffer"])
def test_a_reader_that_goes_away(source: Path, output: str) -> None:
    script = (
        "import sys; from declick.read import Recording; from declick.write import write_restored\n"
        "try:\n"
        f"    write_restored(Recording.open(sys.argv[1]), [], {output}, block_frames=64)\n"
        "except Exception as error: sys.stderr.write(f'{type(error).__name__} {error}')\n"
    )
    long = source.with_name("long.wav")
    soundfile.write(long, noise(500_000), RATE)
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(long)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(100)
    process.stdout.close()
    message = process.stderr.read().decode()
    process.stderr.close()
    process.wait()
    assert message.startswith("WriteError standard output: the reading program closed the pipe")
    assert message.endswith("look at its messages"), "and nothing more"
    assert process.returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mount, umount = shutil.which("mount"), shutil.which("umount")
    directory = tmp_path / "disk"
    directory.mkdir()
    if not (as_root and mount and umount):
        pytest.skip("needs root to mount a small disk")
    command = [mount, "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(directory)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("may not mount a small disk")
    yield directory
    subprocess.run([umount, str(directory)], check=True)


@pytest.mark.parametrize("name", ["out.wav", "out.flac", "out.caf"])
def test_full_disk(tmp_path: Path, small_disk: Path, name: str) -> None:
    source = tmp_path / "source.caf"
    soundfile.write(source, noise(100_000), RATE, subtype="PCM_16")
    with Recording.open(source) as recording, pytest.raises(WriteError, match="no space left"):
        write_restored(recording, [], small_disk / name)
    assert not list(small_disk.iterdir())


def test_full_disk_half_way(
    tmp_path: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source.wav"
    soundfile.write(source, noise(100_000), RATE)
    monkeypatch.setattr("declick.sinks.PendingFile.check_space", lambda self, needed: None)
    with Recording.open(source) as recording, pytest.raises(WriteError, match="no space left"):
        write_restored(recording, [], small_disk / "out.wav", removed=tmp_path / "removed.wav")
    assert not list(small_disk.iterdir())
    assert not (tmp_path / "removed.wav").exists()


def test_a_killed_reader_leaves_no_temporary_file(source: Path, tmp_path: Path) -> None:
    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")
    script = (
        "import sys, time; from declick.read import Recording\n"
        "recording = Recording.from_stream(sys.stdin.buffer)\n"
        "print(recording.frames, flush=True); time.sleep(60)\n"
    )
    spool = tmp_path / "spool"
    spool.mkdir()
    with source.open("rb") as stdin:
        process = subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=stdin,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(spool)},
        )
    assert process.stdout is not None
    assert process.stdout.readline() == b"5000\n"
    process.send_signal(signal.SIGKILL)
    process.stdout.close()
    process.wait()
    time.sleep(0.01)
    assert not list(spool.iterdir())
