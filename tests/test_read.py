"""Reading: every format to the sample, block by block, from pipes and arrays."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import struct
import subprocess
import threading
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from declick.errors import ReadError
from declick.read import Recording

RATE = 44100
FORMATS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "CAF", "FLAC")
BITS = {
    "PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32,
    "ALAC_16": 16, "ALAC_20": 20, "ALAC_24": 24,
}  # fmt: skip


def values(bits: int) -> np.ndarray:
    """Every value of up to 16 bits; the ends and 20 000 others of more, as 64-bit integers."""
    half = 1 << (bits - 1)
    if bits <= 16:
        return np.arange(-half, half)
    drawn = np.random.default_rng(bits).integers(-half, half, 20_000)
    return np.concatenate([[-half, -half + 1, -1, 0, 1, half - 2, half - 1, 0], drawn])


def all_of(recording: Recording, core: int = 10_007) -> np.ndarray:
    return np.concatenate([block.samples for block in recording.blocks(core, 0)])


@pytest.mark.parametrize("form", FORMATS)
def test_every_integer_value(tmp_path: Path, form: str) -> None:
    for subtype in soundfile.available_subtypes(form):
        if subtype not in BITS:
            continue
        bits, path = BITS[subtype], tmp_path / subtype
        integers = values(bits)
        left = (integers << (32 - bits)).astype(np.int32)
        soundfile.write(path, left, RATE, format=form, subtype=subtype)
        with Recording.open(path) as recording:
            assert (recording.format, recording.subtype) == (form, subtype)
            assert recording.lossless
            assert recording.notice is None
            expected = integers[:, np.newaxis] / 2.0 ** (bits - 1)
            assert np.array_equal(all_of(recording), expected)
            assert np.array_equal(recording.read(3, 250), expected[3:250])


def test_sixteen_bits_against_the_standard_library(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    integers = np.random.default_rng(1).integers(-32768, 32768, (5000, 2)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 2, RATE, 0, "NONE", ""))
        file.writeframes(integers.tobytes())
    with Recording.open(path) as recording:
        assert np.array_equal(all_of(recording) * 32768, integers)


@pytest.mark.parametrize("rate", [8000, 11127, 22255, 48000, 96000, 176400, 192000])
@pytest.mark.parametrize("channels", [1, 3, 8])
def test_rates_and_channels(tmp_path: Path, rate: int, channels: int) -> None:
    samples = np.random.default_rng(1).integers(-(2**23), 2**23, (3000, channels)) / 2.0**23
    for form in FORMATS:
        path = tmp_path / form
        soundfile.write(path, samples, rate, format=form, subtype="PCM_24")
        with Recording.open(path) as recording:
            shape = (recording.sample_rate, recording.frames, recording.channels)
            assert shape == (rate, 3000, channels)
            assert np.array_equal(all_of(recording), samples)


@given(
    frames=st.integers(1, 400),
    channels=st.integers(1, 3),
    core=st.integers(1, 500),
    context=st.integers(0, 600),
    span=st.tuples(st.integers(-500, 900), st.integers(-500, 900)),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_blocks_hold_what_read_gives(
    frames: int, channels: int, core: int, context: int, span: tuple[int, int]
) -> None:
    samples = np.random.default_rng(frames).uniform(-1, 1, (frames, channels)).astype(np.float32)
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format="WAV", subtype="FLOAT")
    file.seek(0)
    padded = np.zeros((frames + 2400, channels))
    padded[1200 : 1200 + frames] = samples
    array, stream = Recording.from_array(samples, RATE), Recording.from_stream(file)
    with stream:
        for recording in (array, stream):
            position = 0
            for block in recording.blocks(core, context):
                assert (block.start, block.lead) == (position, context)
                low, high = block.start - context, block.start + block.core + context
                assert np.array_equal(block.samples, padded[1200 + low : 1200 + high])
                block.samples[:] = np.nan  # what the caller does stays with the caller
                position += block.core
            assert position == frames
            start, stop = span
            wanted = padded[1200 + start : max(1200 + stop, 1200 + start)]
            assert np.array_equal(recording.read(start, stop), wanted)


@pytest.mark.parametrize("form", ["FLAC", "CAF"])
def test_two_passes_and_random_reads_at_once(tmp_path: Path, form: str) -> None:
    path = tmp_path / "a"
    samples = np.random.default_rng(1).integers(-32768, 32768, (60_000, 2)) / 32768
    subtype = "PCM_16" if form == "FLAC" else "ALAC_16"
    soundfile.write(path, samples, RATE, format=form, subtype=subtype)
    wrong: list[int] = []

    def check(recording: Recording, start: int) -> None:
        for _ in range(10):
            if not np.array_equal(recording.read(start, start + 999), samples[start : start + 999]):
                wrong.append(start)

    with path.open("rb") as file, Recording.from_stream(file) as recording:
        threads = [
            threading.Thread(target=check, args=(recording, start))
            for start in (0, 17_123, 40_001, 59_001)
        ]
        for thread in threads:
            thread.start()
        passes = zip(recording.blocks(1000, 10), recording.blocks(1000, 0), strict=True)
        for one, other in passes:
            assert np.array_equal(one.samples[10:-10], other.samples)
        for thread in threads:
            thread.join()
    assert not wrong


@pytest.mark.parametrize(("form", "subtype"), [("MP3", None), ("OGG", "VORBIS"), ("OGG", "OPUS")])
def test_lossy_sources_are_the_same_however_they_are_read(
    tmp_path: Path, form: str, subtype: str | None
) -> None:
    path = tmp_path / "a"
    samples = np.random.default_rng(1).normal(0, 0.1, (200_000, 2))
    soundfile.write(path, samples, 48000, format=form, subtype=subtype)
    with Recording.open(path) as recording:
        assert not recording.lossless
        assert "lossy codec" in str(recording.notice)
        whole = all_of(recording)
        assert len(whole) == recording.frames
        assert np.array_equal(all_of(recording, 1237), whole)
        for start in (0, 44_100, 5, 199_000, 100_000):
            assert np.array_equal(recording.read(start, start + 500), whole[start : start + 500])


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (np.int8, [-1, 0, 127 / 128]),
        (np.uint8, [-1, 0, 127 / 128]),
        (np.int16, [-1, 0, 32767 / 32768]),
        (np.uint16, [-1, 0, 32767 / 32768]),
        (np.int32, [-1, 0, 1 - 2.0**-31]),
        (np.float32, [-1.5, 0, 0.25]),
        (np.float64, [-1.5, 0, 0.1]),
    ],
)
def test_arrays(dtype: type[np.generic], expected: list[float]) -> None:
    if np.issubdtype(dtype, np.integer):
        info = np.iinfo(dtype)  # type: ignore[type-var]
        given_values: list[float] = [info.min, (info.max + info.min + 1) // 2, info.max]
    else:
        given_values = expected
    recording = Recording.from_array(np.array(given_values, dtype=dtype), RATE)
    assert (recording.frames, recording.channels, recording.path) == (3, 1, None)
    assert recording.source_hash() is None
    assert np.array_equal(recording.read(0, 3)[:, 0], expected)
    assert np.array_equal(recording.read(-2, 5)[:, 0], [0, 0, *expected, 0, 0])


def test_hash_and_pipe_by_name(tmp_path: Path) -> None:
    path, pipe = tmp_path / "a.flac", tmp_path / "pipe"
    soundfile.write(path, np.random.default_rng(1).uniform(-1, 1, (9000, 2)), RATE)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    os.mkfifo(pipe)
    feeder = threading.Thread(target=lambda: pipe.write_bytes(path.read_bytes()))
    feeder.start()
    with Recording.open(path) as file, Recording.open(pipe) as stream:
        assert file.source_hash() == stream.source_hash() == digest
        assert (file.path, stream.path) == (path, None)
        assert stream.name == str(pipe)
        assert np.array_equal(all_of(file), all_of(stream))
    feeder.join()


def streamed_wav(riff: int, data: int, extra: bytes = b"") -> bytes:
    """A WAV file as it is written to a pipe: sizes unknown."""
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 2, RATE, RATE * 4, 4, 16)
    head = struct.pack("<4sI4s", b"RIFF", riff, b"WAVE") + fmt + extra
    return head + struct.pack("<4sI", b"data", data)


@pytest.mark.parametrize(
    ("riff", "data"),
    [
        (0xFFFFFFFF, 0xFFFFFFFF),  # ffmpeg
        (0x7FFFF024, 0x7FFFF000),  # sox
        (0x7FFFFFFF, 0x7FFFFFFF - 36),
        (0x80000024, 0x80000000),  # arecord
        (0, 0),
        (36, 0),
        (0xFFFFFFFF - 8, 0xFFFFFFFF - 44),
    ],
)
def test_streamed_headers_of_every_writer(tmp_path: Path, riff: int, data: int) -> None:
    integers = np.random.default_rng(1).integers(-32768, 32768, (5000, 2)).astype("<i2")
    note = b"LIST" + struct.pack("<I", 14) + b"INFOISFT" + struct.pack("<I", 2) + b"x\0"
    for extra in (b"", note):
        for odd_end in (b"", b"\1", b"\1\2\3"):  # a last frame that is not whole
            path = tmp_path / "a.wav"
            path.write_bytes(streamed_wav(riff, data, extra) + integers.tobytes() + odd_end)
            with Recording.open(path) as recording:
                assert recording.frames == 5000
                assert np.array_equal(all_of(recording) * 32768, integers)
                assert np.array_equal(recording.read(4000, 4100) * 32768, integers[4000:4100])


def test_a_size_that_is_merely_large_is_a_truncated_file(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(streamed_wav(2_900_000_036, 2_900_000_000) + bytes(4000))
    with pytest.raises(ReadError, match="promises 2900000000 bytes of sound, 4000 are there"):
        Recording.open(path)


@pytest.mark.parametrize("form", ["wav", "w64", "aiff", "caf", "flac", "rf64"])
def test_ffmpeg_through_a_pipe(tmp_path: Path, form: str) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs ffmpeg")
    integers = np.random.default_rng(1).integers(-32768, 32768, (50_000, 2)).astype("<i2")
    options = ["-f", form] if form != "rf64" else ["-rf64", "always", "-f", "wav"]
    command = ["ffmpeg", "-v", "error", "-f", "s16le", "-ar", str(RATE), "-ac", "2", "-i", "-"]
    made = subprocess.run(
        [*command, *options, "-"], input=integers.tobytes(), capture_output=True, check=True
    ).stdout
    path = tmp_path / "saved"
    path.write_bytes(made)
    with Recording.from_stream(io.BytesIO(made)) as stream, Recording.open(path) as file:
        for recording in (stream, file):
            assert recording.frames == 50_000
            assert np.array_equal(all_of(recording) * 32768, integers)
            assert np.array_equal(recording.read(49_000, 50_000) * 32768, integers[49_000:])


@pytest.mark.parametrize("form", ["wav", "aiff", "flac"])
def test_sox_through_a_pipe(form: str) -> None:
    if shutil.which("sox") is None:
        pytest.skip("needs sox")
    integers = np.random.default_rng(1).integers(-32768, 32768, (50_000, 2)).astype("<i2")
    raw = ["-t", "raw", "-r", str(RATE), "-e", "signed", "-b", "16", "-c", "2", "-"]
    with subprocess.Popen(
        ["sox", "-V1", *raw, "-t", form, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        made = process.communicate(integers.tobytes())[0]
    with Recording.from_stream(io.BytesIO(made)) as recording:
        assert recording.frames == 50_000
        assert np.array_equal(all_of(recording) * 32768, integers)


def test_bw64(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    samples = np.random.default_rng(1).integers(-32768, 32768, (500, 2)) / 32768
    soundfile.write(path, samples, RATE, format="RF64", subtype="PCM_16")
    path.write_bytes(b"BW64" + path.read_bytes()[4:])
    with Recording.open(path) as recording:
        assert np.array_equal(all_of(recording), samples)


def test_big_endian_wav_and_little_endian_aiff(tmp_path: Path) -> None:
    samples = np.random.default_rng(1).integers(-32768, 32768, (500, 2)) / 32768
    for form, endian in (("WAV", "BIG"), ("AIFF", "LITTLE"), ("CAF", "LITTLE")):
        path = tmp_path / form
        soundfile.write(path, samples, RATE, format=form, subtype="PCM_16", endian=endian)
        with Recording.open(path) as recording:
            assert np.array_equal(all_of(recording), samples)


def test_odd_padding_is_not_sound(tmp_path: Path) -> None:
    data = bytes(range(128, 139))
    tail = bytes.fromhex("f3acd3118cd100c04f8edb8a")
    fmt = struct.pack("<HHIIHH", 1, 1, 8000, 8000, 1, 8)
    body = b"wave" + tail + b"fmt " + tail + struct.pack("<Q", 40) + fmt
    body += b"data" + tail + struct.pack("<Q", 24 + len(data)) + data + bytes(5)
    path = tmp_path / "a.w64"
    riff = b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000")
    path.write_bytes(riff + struct.pack("<Q", 24 + len(body)) + body)
    with Recording.open(path) as recording:
        assert recording.frames == 11
        assert np.array_equal(all_of(recording)[:, 0] * 128, np.arange(11))
