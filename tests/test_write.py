"""Writing: outside repairs bit for bit, output + removed == input, undo to the sample."""

from __future__ import annotations

import io
import itertools
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from declick.chunks import scan
from declick.clicks import Click, Repair
from declick.errors import WriteError
from declick.formats import output_format, removed_format
from declick.grid import snap
from declick.headers import Layout, plain_layout
from declick.read import Recording
from declick.write import put_back, write_restored

RATE = 44100
FRAMES = 300
EXTENSIONS = {
    "WAV": ".wav", "WAVEX": ".wav", "RF64": ".rf64", "W64": ".w64", "AIFF": ".aiff",
    "CAF": ".caf", "FLAC": ".flac",
}  # fmt: skip
SUBTYPES = {
    "PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW", "ALAC_16",
}  # fmt: skip
PAIRS = [
    (form, subtype)
    for form in EXTENSIONS
    for subtype in soundfile.available_subtypes(form)
    if subtype in SUBTYPES
]


def make(path: Path, form: str, subtype: str, channels: int, seed: int = 1) -> Path:
    """Write noise that touches full scale at both ends."""
    samples = np.random.default_rng(seed).uniform(-1, 1, (FRAMES, channels))
    samples[[0, 7, FRAMES - 1]] = 1.0
    samples[[1, 8, FRAMES - 2]] = -1.0
    soundfile.write(path, samples, RATE, format=form, subtype=subtype)
    return path


@st.composite
def repairs_for(draw: st.DrawFn, channels: int) -> list[Repair]:
    """Repairs anywhere, often at the ends, adjacent, or over the whole file."""
    made = []
    for channel in range(channels):
        if draw(st.integers(0, 9)) == 0:
            edges = [0, FRAMES]
        else:
            inside = st.integers(0, FRAMES) | st.sampled_from([0, 1, FRAMES - 1, FRAMES])
            edges = sorted(set(draw(st.lists(inside, max_size=8))))
        for start, tail in itertools.pairwise(edges):
            kind = draw(st.sampled_from(["gap", "made", "made", "left"]))
            if kind == "gap":
                continue
            stop = draw(st.integers(start, tail))
            click = Click(start, stop, tail, channel)
            generator = np.random.default_rng(draw(st.integers(0, 99)))
            samples = generator.normal(0, 0.8, tail - start if kind == "made" else 0)
            made.append(Repair(click, samples, "ar" if kind == "made" else "left"))
    return sorted(made, key=lambda repair: repair.click)


@given(
    pair=st.sampled_from(PAIRS),
    channels=st.sampled_from([1, 2, 2, 3, 8]),
    block_frames=st.sampled_from([1, 7, 64, 100, 299, 300, 301, 65536]),
    data=st.data(),
)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_exact_outside_repairs_and_undone_to_the_sample(
    tmp_path_factory: pytest.TempPathFactory,
    pair: tuple[str, str],
    channels: int,
    block_frames: int,
    data: st.DataObject,
) -> None:
    form, subtype = pair
    repairs = data.draw(repairs_for(channels))
    folder = tmp_path_factory.mktemp("write")
    source = make(folder / f"in{EXTENSIONS[form]}", form, subtype, channels)
    hash_before = source.read_bytes()
    output, removed = folder / f"out{EXTENSIONS[form]}", folder / "removed.wav"
    undone, still = folder / f"undone{EXTENSIONS[form]}", folder / "still.w64"
    with Recording.open(source) as recording:
        frames = recording.frames  # libsndfile counts the padding of 8-bit AIFF as a frame
        written = write_restored(
            recording, repairs, output, removed=removed, block_frames=block_frames
        )
        in_memory = write_restored(recording, repairs, None, block_frames=113)
        before = recording.read(0, frames)
    assert source.read_bytes() == hash_before
    with Recording.open(output) as out, Recording.open(removed) as rest:
        assert (out.format, out.subtype) == (written.format, written.subtype)
        assert (out.format, out.subtype.replace("PCM", "ALAC")) == pair or out.subtype == subtype
        subtype = out.subtype
        after, taken = out.read(0, out.frames), rest.read(0, rest.frames)
        spans = [(r.click.channel, r.click.start, r.click.tail) for r in repairs]
        put_back(out, rest, spans, undone, removed_output=still, block_frames=block_frames)
    repaired = np.zeros((frames, channels), dtype=bool)
    for repair in repairs:
        if repair.made:
            span = slice(repair.click.start, repair.click.tail), repair.click.channel
            repaired[span] = True
            assert np.array_equal(after[span], snap(repair.samples, subtype))
    assert np.array_equal(after[~repaired], before[~repaired])
    assert not taken[~repaired].any()
    if subtype != "DOUBLE":
        assert np.array_equal(after + taken, before)
    else:
        assert np.abs(after + taken - before).max() <= 2.0**-51
    changed = before != after
    assert written.frames_changed == changed.any(axis=1).sum()
    assert written.changed_samples.sum() == changed.sum()
    assert len(written.changed_samples) == len(written.removed_energy) == len(repairs)
    assert written.removed_energy.sum() == pytest.approx(((before - after) ** 2).sum(), abs=1e-9)
    assert in_memory.samples is not None
    assert np.array_equal(in_memory.samples, after)
    assert np.array_equal(in_memory.removed_energy, written.removed_energy)
    with Recording.open(undone) as recording, Recording.open(still) as rest:
        again = recording.read(0, frames)
        assert not rest.read(0, frames).any()
    if subtype == "DOUBLE":
        assert np.abs(again - before).max() <= 2.0**-51
    else:
        assert np.array_equal(again, before)


@pytest.mark.parametrize(("form", "subtype"), PAIRS)
def test_bytes_do_not_depend_on_blocks(tmp_path: Path, form: str, subtype: str) -> None:
    source = make(tmp_path / f"in{EXTENSIONS[form]}", form, subtype, 2)
    repairs = [
        Repair(Click(95, 105, 140, 0), np.linspace(-1.5, 1.5, 45), "ar"),
        Repair(Click(99, 100, 100, 1), np.zeros(1), "ar"),
    ]
    made = set()
    for block_frames in (1, 100, 4096):
        output, removed = tmp_path / f"out{EXTENSIONS[form]}", tmp_path / "removed.wav"
        with Recording.open(source) as recording:
            written = write_restored(
                recording,
                repairs,
                output,
                removed=removed,
                overwrite=True,
                block_frames=block_frames,
            )
        energies = written.removed_energy.tobytes()
        made.add((output.read_bytes(), removed.read_bytes(), energies))
    assert len(made) == 1
    with Recording.open(source) as recording:
        write_restored(recording, [], tmp_path / f"same{EXTENSIONS[form]}")
    if form != "FLAC" and subtype[:4] in ("PCM_", "ULAW", "ALAW"):
        same = tmp_path / f"same{EXTENSIONS[form]}"
        assert same.read_bytes() == source.read_bytes()


def test_clips_and_rounds_to_even() -> None:
    step = 2.0**-15
    given_values = np.array([2.0, -2.0, 0.5 * step, 1.5 * step, 2.5 * step, -0.5 * step])
    expected = np.array([1 - step, -1.0, 0.0, 2 * step, 2 * step, 0.0])
    assert np.array_equal(snap(given_values, "PCM_16"), expected)
    assert np.array_equal(snap(given_values[:2], "FLOAT"), given_values[:2])


@pytest.mark.parametrize("subtype", ["ULAW", "ALAW"])
def test_companded_values_are_the_nearest(subtype: str) -> None:
    raw = {"format": "RAW", "channels": 1, "samplerate": 8000, "subtype": subtype}
    levels, _ = soundfile.read(io.BytesIO(bytes(range(256))), dtype="float64", **raw)
    wanted = np.random.default_rng(1).uniform(-1, 1, 500)
    distance = np.abs(wanted[:, np.newaxis] - levels).min(axis=1)
    assert np.array_equal(np.abs(snap(wanted, subtype) - wanted), distance)


@pytest.mark.parametrize("form", list(EXTENSIONS))
@pytest.mark.parametrize("channels", [1, 2, 8])
def test_other_programs_read_the_same(tmp_path: Path, form: str, channels: int) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs ffmpeg")
    subtype = "PCM_24"
    source = make(tmp_path / "in", form, subtype, channels)
    repair = Repair(Click(10, 20, 20, 0), np.linspace(-1, 1, 10), "ar")
    output, removed = tmp_path / f"out{EXTENSIONS[form]}", tmp_path / "removed.wav"
    with Recording.open(source) as recording:
        write_restored(recording, [repair], output, removed=removed)

    def decoded(path: Path, codec: str, dtype: str) -> np.ndarray:
        command = ["ffmpeg", "-v", "error", "-i", str(path), "-f", codec, "-"]
        result = subprocess.run(command, capture_output=True, check=True)
        assert not result.stderr
        return np.frombuffer(result.stdout, dtype).reshape(-1, channels).astype(np.float64)

    before, after = decoded(source, "s32le", "<i4"), decoded(output, "s32le", "<i4")
    taken = decoded(removed, "f64le", "<f8") * 2.0**31
    assert np.array_equal(after + taken, before)
    assert np.array_equal(after[20:], before[20:])
    assert not np.array_equal(after, before)


def test_sox_reads_the_same(tmp_path: Path) -> None:
    if shutil.which("sox") is None:
        pytest.skip("needs sox")
    for form in ("WAV", "AIFF", "W64", "CAF", "FLAC", "WAVEX"):
        source = make(tmp_path / "in", form, "PCM_16", 2)
        output = tmp_path / f"out{EXTENSIONS[form]}"
        with Recording.open(source) as recording:
            write_restored(recording, [], output, overwrite=True)
            before = recording.read(0, FRAMES)
        command = ["sox", str(output), "-t", "s16", "-"]
        made = subprocess.run(command, capture_output=True, check=True)
        assert not made.stderr
        assert np.array_equal(np.frombuffer(made.stdout, "<i2").reshape(-1, 2) / 32768, before)


@pytest.mark.parametrize(
    ("form", "subtype", "name", "expected"),
    [
        ("FLAC", "PCM_24", "out.wav", ("WAV", "PCM_24")),
        ("FLAC", "PCM_S8", "out.wav", ("WAV", "PCM_U8")),
        ("WAV", "PCM_U8", "out.flac", ("FLAC", "PCM_S8")),
        ("WAV", "PCM_U8", "OUT.AIF", ("AIFF", "PCM_U8")),
        ("WAVEX", "PCM_24", "out.wav", ("WAVEX", "PCM_24")),
        ("WAVEX", "PCM_24", "-", ("WAVEX", "PCM_24")),
        ("CAF", "ALAC_20", "out.wav", ("WAV", "PCM_24")),
        ("CAF", "ALAC_24", "out.flac", ("FLAC", "PCM_24")),
        ("CAF", "ALAC_16", "out.caf", ("CAF", "PCM_16")),
        ("CAF", "ALAC_16", "-", ("CAF", "PCM_16")),
        ("FLAC", "PCM_16", "-", ("WAV", "PCM_16")),
        ("FLAC", "PCM_16", None, ("FLAC", "PCM_16")),
        ("FLAC", "PCM_16", "out", ("FLAC", "PCM_16")),
        ("AU", "PCM_16", None, ("WAV", "PCM_16")),
        ("AU", "FLOAT", "out.w64", ("W64", "FLOAT")),
        ("OGG", "VORBIS", "-", ("WAV", "FLOAT")),
        ("OGG", "VORBIS", "out", ("WAV", "FLOAT")),
        ("MP3", None, "out.caf", ("CAF", "FLOAT")),
    ],
)
def test_format_of_the_output(
    tmp_path: Path, form: str, subtype: str | None, name: str | None, expected: tuple[str, str]
) -> None:
    path = tmp_path / "in"
    soundfile.write(path, np.zeros((3000, 2)), RATE, format=form, subtype=subtype)
    with Recording.open(path) as recording:
        output = tmp_path / name if name not in (None, "-") else name
        assert output_format(recording, output) == expected
        if name != "-":
            write_restored(recording, [], output)


@pytest.mark.parametrize("form", ["WAV", "AIFF", "FLAC", "CAF"])
def test_three_channels_and_more_find_their_containers(tmp_path: Path, form: str) -> None:
    source = make(tmp_path / "in", form, "PCM_16", 6)
    for name in ("out.wav", "out.aiff", "out.caf", "out.flac", "out.w64", "out.rf64"):
        with Recording.open(source) as recording:
            write_restored(recording, [], tmp_path / name)
            before = recording.read(0, FRAMES)
        with Recording.open(tmp_path / name) as recording:
            assert np.array_equal(recording.read(0, FRAMES), before)


def test_lossy_source_is_kept_as_it_was_decoded(tmp_path: Path) -> None:
    path, output = tmp_path / "a.mp3", tmp_path / "a.wav"
    soundfile.write(path, np.random.default_rng(1).normal(0, 0.5, (20_000, 2)), RATE)
    repair = Repair(Click(10_000, 10_010, 10_010, 0), np.zeros(10), "ar")
    with Recording.open(path) as recording:
        write_restored(recording, [repair], output, removed=tmp_path / "removed.wav")
        before = recording.read(0, recording.frames)
    after, _ = soundfile.read(output)
    taken, _ = soundfile.read(tmp_path / "removed.wav")
    assert np.array_equal(after[:10_000], before[:10_000])
    assert np.array_equal(after + taken, before)
    assert soundfile.info(output).subtype == "FLOAT"
    assert soundfile.info(tmp_path / "removed.wav").subtype == "DOUBLE"


class FakeLength(Recording):
    """A recording that claims a length."""

    def __init__(self, form: str, frames: int) -> None:
        super().__init__()
        self._describe("long", 192_000, frames, 2, form, "PCM_24")


def test_beyond_four_gibibytes() -> None:
    hours = FakeLength("FLAC", 192_000 * 7200)
    assert output_format(hours, "out.wav") == ("RF64", "PCM_24")
    assert removed_format(hours, Path("r.wav")) == ("RF64", "FLOAT")
    assert output_format(FakeLength("WAV", 192_000 * 3600), "out.wav") == ("RF64", "PCM_24") or (
        192_000 * 3600 * 6 < 1 << 32
    )
    data = 192_000 * 7200 * 6
    for form in ("WAV", "RF64", "W64", "CAF"):
        layout = plain_layout(form, "PCM_24", 192_000, 2, data // 6)
        head, _ = layout.frame(data)
        container = scan(io.BytesIO(head))
        assert container is not None
        assert container.promised_bytes == data
        assert container.kind == ("RF64" if form == "WAV" else form)
    with pytest.raises(ValueError, match="4 GiB"):
        plain_layout("AIFF", "PCM_24", 192_000, 2, data // 6).frame(data)
    with pytest.raises(ValueError, match="4 GiB"):
        Layout("RIFX", ">", ()).frame(data)


def test_aiff_beyond_four_gibibytes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match=r"4 GiB; write \.w64"):
        write_restored(FakeLength("FLAC", 1 << 33), [], tmp_path / "out.aiff")
    assert not list(tmp_path.iterdir())


def test_a_pipe_gets_a_header_that_tells_the_truth(tmp_path: Path) -> None:
    source = make(tmp_path / "in.flac", "FLAC", "PCM_16", 2)

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: int) -> int:
            raise io.UnsupportedOperation

    pipe = Pipe()
    with Recording.open(source) as recording:
        written = write_restored(recording, [], pipe)
        before = recording.read(0, FRAMES)
    assert written.output is None
    assert (written.format, written.subtype) == ("WAV", "PCM_16")
    container = scan(io.BytesIO(pipe.getvalue()))
    assert container is not None
    assert container.promised_bytes == FRAMES * 4
    assert np.array_equal(soundfile.read(io.BytesIO(pipe.getvalue()))[0], before)


def test_standard_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make(tmp_path / "in.wav", "WAV", "PCM_16", 2)

    class Stdout:
        buffer = io.BytesIO()

    monkeypatch.setattr(sys, "stdout", Stdout)
    with Recording.open(source) as recording:
        write_restored(recording, [], "-", removed=tmp_path / "removed.wav")
    assert Stdout.buffer.getvalue() == source.read_bytes()
    assert not soundfile.read(tmp_path / "removed.wav")[0].any()


def test_output_through_a_link_and_its_permissions(tmp_path: Path) -> None:
    source = make(tmp_path / "in.wav", "WAV", "PCM_16", 2)
    target, link = tmp_path / "target.wav", tmp_path / "link.wav"
    target.write_bytes(b"")
    target.chmod(0o640)
    link.symlink_to(target)
    with Recording.open(source) as recording:
        write_restored(recording, [], link, overwrite=True)
        write_restored(recording, [], tmp_path / "new.wav")
    assert link.is_symlink()
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "new.wav").stat().st_mode == source.stat().st_mode


def test_repairs_are_drawn_as_the_writing_goes_on(tmp_path: Path) -> None:
    source = make(tmp_path / "in.wav", "WAV", "PCM_16", 1)
    done: list[tuple[int, int]] = []

    def repairs() -> object:
        for start in range(0, FRAMES, 10):
            position = done[-1][0] if done else 0
            assert start <= position + 110, "not drawn before it is needed"
            yield Repair(Click(start, start + 1, start + 1, 0), np.zeros(1), "ar")

    with Recording.open(source) as recording:
        write_restored(
            recording,
            repairs(),  # type: ignore[arg-type]
            None,
            block_frames=100,
            progress=lambda at, of: done.append((at, of)),
        )
    assert done == [(100, 300), (200, 300), (300, 300)]


def test_spans_that_overlap_are_put_back_once(tmp_path: Path) -> None:
    source = make(tmp_path / "in.wav", "WAV", "PCM_16", 2)
    output, removed = tmp_path / "out.wav", tmp_path / "removed.wav"
    repairs = [
        Repair(Click(10, 50, 50, 0), np.zeros(40), "ar"),
        Repair(Click(20, 30, 30, 1), np.zeros(10), "ar"),
        Repair(Click(100, 110, 110, 0), np.zeros(10), "ar"),
    ]
    with Recording.open(source) as recording:
        write_restored(recording, repairs, output, removed=removed)
        before = recording.read(0, FRAMES)
    with Recording.open(output) as out, Recording.open(removed) as rest:
        written = put_back(out, rest, [(0, 30, 60), (0, 10, 40), (1, 25, 25)], None)
        after = out.read(0, FRAMES)
        with pytest.raises(ValueError, match="lies outside"):
            put_back(out, rest, [(0, 0, FRAMES + 1)], None)
    assert written.samples is not None
    assert np.array_equal(written.samples[10:60, 0], before[10:60, 0])
    assert np.array_equal(written.samples[:, 1], after[:, 1])
    assert np.array_equal(written.samples[60:], after[60:])
    assert written.changed_samples.tolist() == [np.count_nonzero(before[10:50, 0])]
    assert written.frames_changed == np.count_nonzero(before[10:50, 0])
