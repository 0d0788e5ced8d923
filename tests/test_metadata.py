"""What surrounds the samples comes over, and the samples stay the same."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import mutagen
import mutagen.aiff
import mutagen.flac
import mutagen.id3
import mutagen.wave
import numpy as np
import pytest
import soundfile

from declick.chunks import scan
from declick.clicks import Click, Repair
from declick.headers import plain_layout, wave_fmt
from declick.read import Recording
from declick.tags import read_tags
from declick.write import write_restored

# mutagen is only partly typed.
aiff: Any = mutagen.aiff
flac: Any = mutagen.flac
id3: Any = mutagen.id3
wave: Any = mutagen.wave
RATE = 44100
PICTURE = bytes(range(256)) * 5
FIELDS = {"TITLE": "Tangö", "ARTIST": "Somebody", "DATE": "1931", "COMMENT": "worn", "LABEL": "X"}


def restored(source: Path, output: Path, **options: str) -> tuple[str, ...]:
    """Mend one click; check the samples; return the notices."""
    click = Click(5, 8, 8, 0)
    with Recording.open(source) as recording:
        written = write_restored(
            recording,
            [Repair(click, np.zeros(3), "ar")],
            output,
            coding_history=options.get("coding_history"),
        )
        before = recording.read(0, recording.frames)
    with Recording.open(output) as recording:
        after = recording.read(0, recording.frames)
    before[5:8, 0] = 0.0
    assert np.array_equal(before, after)
    return written.notices


def chunks(path: Path) -> list[tuple[bytes, bytes]]:
    content = path.read_bytes()
    container = scan(io.BytesIO(content))
    assert container is not None
    assert not container.truncated
    assert all(chunk.whole for chunk in container.chunks)
    return [(c.id, content[c.offset : c.offset + c.size]) for c in container.chunks]


def without_samples(path: Path, *more: bytes) -> list[tuple[bytes, bytes]]:
    return [chunk for chunk in chunks(path) if chunk[0][:4] not in (b"data", b"SSND", *more)]


BEXT = b"A session".ljust(602, b"\0")
WAVE_BEFORE = [
    (b"JUNK", bytes(28)),
    (b"bext", BEXT + b"A=ANALOGUE,M=stereo,T=turntable\r\n"),
    (b"fmt ", b""),
    (b"LIST", b"INFOINAM" + struct.pack("<I", 3) + b"ab\0\0"),
    (b"odd!", b"12345"),
]
WAVE_AFTER = [
    (b"cue ", struct.pack("<III4sIII", 1, 1, 20, b"data", 0, 0, 20)),
    (b"LIST", b"adtllabl" + struct.pack("<II", 6, 1) + b"a\0"),
    (b"iXML", b"<BWFXML>" + bytes(3)),
    (b"smpl", bytes(36)),
    (b"_PMX", b"<x/>"),
    (b"id3 ", b"not an id3 tag"),
]


def wave_file(
    path: Path,
    kind: str,
    fmt: bytes,
    before: list[tuple[bytes, bytes]],
    after: list[tuple[bytes, bytes]],
    data: bytes,
) -> Path:
    layout = plain_layout("RF64" if kind == "RF64" else "WAV", "PCM_16", RATE, 2, len(data) // 4)
    rows = tuple((name, fmt if name == b"fmt " else contents) for name, contents in before)
    layout = type(layout)(kind, ">" if kind == "RIFX" else "<", rows, tuple(after))
    head, foot = layout.frame(len(data))
    path.write_bytes(head + data + foot)
    return path


@pytest.mark.parametrize("kind", ["RIFF", "RF64", "BW64"])
@pytest.mark.parametrize("extensible", [False, True])
def test_every_wave_chunk_comes_over_in_its_order(
    tmp_path: Path, kind: str, extensible: bool
) -> None:
    fmt = wave_fmt("PCM_16", RATE, 2, extensible=extensible, mask=0x600)
    data = np.random.default_rng(1).integers(-999, 999, 202).astype("<i2").tobytes()
    source = wave_file(tmp_path / "in.wav", kind, fmt, WAVE_BEFORE, WAVE_AFTER, data)
    restored(source, tmp_path / "out.wav")
    assert without_samples(tmp_path / "out.wav") == without_samples(source)
    assert (tmp_path / "out.wav").stat().st_size == source.stat().st_size


def test_chunks_of_a_streamed_file_come_over(tmp_path: Path) -> None:
    fmt = wave_fmt("PCM_16", RATE, 2, extensible=False)
    data = np.arange(400, dtype="<i2").tobytes()
    source = wave_file(tmp_path / "in.wav", "RIFF", fmt, WAVE_BEFORE, [], data)
    content = bytearray(source.read_bytes())
    where = content.index(b"data", 12 + 36 + 8 + 640)
    content[4:8] = content[where + 4 : where + 8] = b"\xff\xff\xff\xff"
    source.write_bytes(content)
    restored(source, tmp_path / "out.wav")
    assert without_samples(tmp_path / "out.wav") == [
        (name, fmt if name == b"fmt " else contents) for name, contents in WAVE_BEFORE
    ]


def test_stale_chunks_are_dropped(tmp_path: Path) -> None:
    source = tmp_path / "in.wav"
    soundfile.write(source, np.zeros((100, 2)), RATE, subtype="FLOAT")  # with a PEAK chunk
    assert b"PEAK" in [name for name, _ in chunks(source)]
    restored(source, tmp_path / "out.wav")
    assert [name for name, _ in chunks(tmp_path / "out.wav")] == [b"fmt ", b"fact", b"data"]


def test_coding_history_grows_by_one_line(tmp_path: Path) -> None:
    fmt = wave_fmt("PCM_16", RATE, 2, extensible=False)
    for history in (b"", b"A=ANALOGUE\r\n", b"A=ANALOGUE", b"A=ANALOGUE\r\n\0\0\0\0"):
        rows = [(b"bext", BEXT + history), (b"fmt ", b"")]
        source = wave_file(tmp_path / "in.wav", "RIFF", fmt, rows, [], bytes(400))
        output = tmp_path / "out.wav"
        output.unlink(missing_ok=True)
        restored(source, output, coding_history="declick 0.1.0; 12 clicks")
        (bext,) = (contents for name, contents in chunks(output) if name == b"bext")
        assert bext[:602] == BEXT
        line = b"A=PCM,F=44100,W=16,M=stereo,T=declick 0.1.0; 12 clicks\r\n"
        assert bext[602:] == (b"A=ANALOGUE\r\n" if history else b"") + line


def test_without_bext_there_is_no_history(tmp_path: Path) -> None:
    source = tmp_path / "in.wav"
    soundfile.write(source, np.zeros((100, 2)), RATE)
    restored(source, tmp_path / "out.wav", coding_history="declick")
    assert b"declick" not in (tmp_path / "out.wav").read_bytes()


def test_places_of_the_channels_stay(tmp_path: Path) -> None:
    mask = 0x3 | 0x600
    fmt = wave_fmt("PCM_16", RATE, 4, extensible=True, mask=mask)
    source = tmp_path / "in.wav"
    wave_file(source, "RIFF", fmt, [(b"fmt ", b"")], [], bytes(400))
    with Recording.open(source) as recording:
        write_restored(recording, [], tmp_path / "o.wav", removed=tmp_path / "removed.wav")
    for name in ("o.wav", "removed.wav"):
        (found,) = (contents for name_, contents in chunks(tmp_path / name) if name_ == b"fmt ")
        assert struct.unpack("<I", found[20:24])[0] == mask


def test_aiff_chunks_come_over(tmp_path: Path) -> None:
    source = tmp_path / "in.aiff"
    samples = np.random.default_rng(1).uniform(-1, 1, (101, 1))
    soundfile.write(source, samples, RATE, subtype="PCM_24")
    more = [
        (b"NAME", b"Side A!"),
        (b"MARK", struct.pack(">HHIB", 1, 1, 20, 1) + b"a"),
        (b"odd!", b"123"),
    ]
    content = source.read_bytes()
    for name, contents in more:
        padding = bytes(len(contents) % 2)
        content += name + struct.pack(">I", len(contents)) + contents + padding
    source.write_bytes(content[:4] + struct.pack(">I", len(content) - 8) + content[8:])
    tags = aiff.AIFF(source)
    tags.add_tags()
    tags.tags.add(id3.TIT2(encoding=3, text="Tangö"))
    tags.save()
    restored(source, tmp_path / "out.aiff")
    assert without_samples(tmp_path / "out.aiff") == without_samples(source)
    assert aiff.AIFF(tmp_path / "out.aiff").tags["TIT2"].text == ["Tangö"]


def test_caf_and_w64_chunks_come_over(tmp_path: Path) -> None:
    info = struct.pack(">I", 1) + b"title\0Tango\0"
    source = tmp_path / "in.caf"
    layout = plain_layout("CAF", "PCM_16", RATE, 1, 100)
    layout = type(layout)("CAF", ">", (*layout.before, (b"info", info)), ((b"mark", b"abc"),))
    head, foot = layout.frame(200)
    source.write_bytes(head + bytes(200) + foot)
    restored(source, tmp_path / "out.caf")
    assert (tmp_path / "out.caf").read_bytes() == source.read_bytes()

    source = tmp_path / "in.w64"
    layout = plain_layout("W64", "PCM_U8", RATE, 1, 101)
    layout = type(layout)("W64", "<", layout.before, ((b"some sixteen ids", b"abc"),))
    head, foot = layout.frame(101)
    source.write_bytes(head + b"\x80" * 101 + foot)
    restored(source, tmp_path / "out.w64")
    assert (tmp_path / "out.w64").read_bytes() == source.read_bytes()


def flac_file(path: Path) -> Path:
    soundfile.write(path, np.random.default_rng(1).uniform(-1, 1, (9000, 2)), RATE)
    tags = flac.FLAC(path)
    for name, value in FIELDS.items():
        tags[name] = value
    tags["ARTIST"] = ["Somebody", "Else"]
    picture = flac.Picture()
    picture.data, picture.type, picture.mime, picture.desc = PICTURE, 3, "image/png", "sleeve"
    tags.add_picture(picture)
    cue = flac.CueSheet(b"\0" * 396)
    cue.tracks.append(flac.CueSheetTrack(1, 0))
    tags.metadata_blocks.append(cue)
    tags.cuesheet = cue
    block = flac.MetadataBlock(b"test1234")
    block.code = 2
    tags.metadata_blocks.append(block)
    tags.save()
    return path


def test_flac_blocks_come_over(tmp_path: Path) -> None:
    source = flac_file(tmp_path / "in.flac")
    restored(source, tmp_path / "out.flac")
    assert chunks(tmp_path / "out.flac")[1:] == [c for c in chunks(source)[1:] if c[0] != b"\3"]
    before, after = flac.FLAC(source), flac.FLAC(tmp_path / "out.flac")
    assert after.tags == before.tags
    assert after.pictures[0].data == PICTURE
    assert after.info.total_samples == 9000
    assert after.info.md5_signature not in (0, before.info.md5_signature)


def test_id3_before_a_flac_stream(tmp_path: Path) -> None:
    source = flac_file(tmp_path / "in.flac")
    tag = b"ID3\4\0\0" + bytes([0, 0, 1, 0]) + bytes(128)
    source.write_bytes(tag + source.read_bytes())
    restored(source, tmp_path / "out.flac")
    assert flac.FLAC(tmp_path / "out.flac")["TITLE"] == ["Tangö"]


@pytest.mark.parametrize("extension", ["wav", "aiff", "caf", "flac"])
def test_tags_and_pictures_go_from_flac_to_others_and_back(tmp_path: Path, extension: str) -> None:
    source = flac_file(tmp_path / "in.flac")
    between, back = tmp_path / f"between.{extension}", tmp_path / "back.flac"
    notices = restored(source, between)
    restored(between, back)
    tags = flac.FLAC(back)
    for name, value in FIELDS.items():
        assert value in tags[name][0]
    if extension == "caf":
        assert any("no place for pictures" in notice for notice in notices)
    else:
        assert notices == ()
        assert tags["ARTIST"] == ["Somebody", "Else"]
        (picture,) = tags.pictures
        assert (picture.data, picture.type, picture.mime) == (PICTURE, 3, "image/png")
    if extension == "wav":
        assert wave.WAVE(between).tags["TIT2"].text == ["Tangö"]
        assert b"INAM" in dict(chunks(between))[b"LIST"]


def test_tags_of_mp3_and_ogg(tmp_path: Path) -> None:
    samples = np.random.default_rng(1).normal(0, 0.1, (9000, 2))
    for name in ("in.mp3", "in.ogg"):
        source = tmp_path / name
        soundfile.write(source, samples, RATE)
        tags: Any = mutagen.File(source)
        if name == "in.mp3":
            tags.add_tags()
            tags.tags.add(id3.TIT2(encoding=3, text="Tangö"))
            tags.tags.add(id3.TRCK(encoding=3, text="3/12"))
            tags.tags.add(id3.APIC(encoding=3, mime="image/png", type=3, data=PICTURE))
        else:
            tags["title"], tags["tracknumber"], tags["tracktotal"] = "Tangö", "3", "12"
        tags.save()
        restored(source, tmp_path / f"{name}.wav")
        found = wave.WAVE(tmp_path / f"{name}.wav").tags
        assert found["TIT2"].text == ["Tangö"]
        assert found["TRCK"].text == ["3/12"]
        if name == "in.mp3":
            assert found.getall("APIC")[0].data == PICTURE


def test_w64_says_that_it_has_no_place_for_tags(tmp_path: Path) -> None:
    notices = restored(flac_file(tmp_path / "in.flac"), tmp_path / "out.w64")
    assert notices == (f"{tmp_path / 'in.flac'}: W64 has no place for tags; they were left out",)


def test_wave_chunks_survive_a_stay_in_flac(tmp_path: Path) -> None:
    fmt = wave_fmt("PCM_16", RATE, 2, extensible=False)
    data = np.random.default_rng(1).integers(-999, 999, 202).astype("<i2").tobytes()
    source = wave_file(tmp_path / "in.wav", "RIFF", fmt, WAVE_BEFORE, WAVE_AFTER, data)
    restored(source, tmp_path / "between.flac", coding_history="declick")
    blocks = [contents[4:] for name, contents in chunks(tmp_path / "between.flac") if name == b"\2"]
    assert blocks[0][:4] == b"RIFF"
    wanted = [name for name, _ in (*WAVE_BEFORE, (b"data", b""), *WAVE_AFTER)]
    assert [block[:4] for block in blocks[1:]] == wanted
    restored(tmp_path / "between.flac", tmp_path / "back.wav")
    found = without_samples(tmp_path / "back.wav", b"fmt ")
    before = without_samples(source, b"fmt ")
    for (name, contents), (name_before, contents_before) in zip(found, before, strict=True):
        assert name == name_before
        assert contents == contents_before or (name == b"bext" and b"T=declick" in contents)


def test_aiff_chunks_survive_a_stay_in_flac(tmp_path: Path) -> None:
    source = tmp_path / "in.aiff"
    soundfile.write(source, np.zeros((100, 2)), RATE, subtype="PCM_16")
    mark = b"MARK" + struct.pack(">IHHIB", 10, 1, 1, 20, 1) + b"a"
    content = source.read_bytes() + mark
    source.write_bytes(content[:4] + struct.pack(">I", len(content) - 8) + content[8:])
    restored(source, tmp_path / "between.flac")
    restored(tmp_path / "between.flac", tmp_path / "back.aiff")
    assert without_samples(tmp_path / "back.aiff") == without_samples(source)


@pytest.mark.parametrize("extension", ["wav", "flac", "aiff"])
def test_broken_metadata_does_not_stop_a_restoration(tmp_path: Path, extension: str) -> None:
    fmt = wave_fmt("PCM_16", RATE, 2, extensible=False)
    rows = [(b"fmt ", b""), (b"bext", b"far too short"), (b"LIST", b"INFOINAM\xff\xff")]
    after = [(b"id3 ", b"ID3\4\0\0\0\0\x7f\x7fTIT2" + bytes(range(40)))]
    source = wave_file(tmp_path / "in.wav", "RIFF", fmt, rows, after, bytes(400))
    content = source.read_bytes() + b"tail" + struct.pack("<I", 999) + b"cut"
    source.write_bytes(content)
    notices = restored(source, tmp_path / f"out.{extension}", coding_history="declick")
    assert notices
    assert all(notice.startswith(f"{source}: the ") and "\n" not in notice for notice in notices)


def test_broken_flac_pictures_do_not_stop_a_restoration(tmp_path: Path) -> None:
    source = flac_file(tmp_path / "in.flac")
    content = bytearray(source.read_bytes())
    where = content.index(PICTURE)
    content[where - 4 : where] = b"\x7f\xff\xff\xff"  # its length
    source.write_bytes(content)
    assert restored(source, tmp_path / "same.flac") == ()
    (notice,) = restored(source, tmp_path / "out.wav")
    assert "the tags are damaged and were left out" in notice


def test_tags_of_a_recording_without_any() -> None:
    assert not read_tags(Recording.from_array(np.zeros(4), RATE))
