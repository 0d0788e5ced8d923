"""Pairs to learn from: found in a folder, their truth told by the difference, packed and shared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from declick.cli import main
from declick.damage.dataset import METADATA
from declick.errors import ReadError, WriteError
from declick.train.pair_pieces import cut_excerpt, cut_pieces
from declick.train.pairs import as_excerpt, find_pairs, read_pair, tell_clicks, with_rings
from declick.train.sharing import pack, tell_truth, unpack
from worn import RATE, worn_piece


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("pairs")
    clean, worn, _ = worn_piece()
    soundfile.write(place / "side a-before.flac", worn, RATE, subtype="PCM_24")
    soundfile.write(place / "side a-after.flac", clean, RATE, subtype="PCM_24")
    return place


def test_pairs_are_found_however_they_lie(folder: Path, tmp_path: Path) -> None:
    (pair,) = find_pairs(folder)
    assert (pair.name, pair.before.name) == ("side a", "side a-before.flac")
    for name, side in (("before", "before"), ("after", "after")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.flac").write_bytes((folder / f"side a-{side}.flac").read_bytes())
    (pair,) = find_pairs(tmp_path)
    assert (pair.before.parent.name, pair.after.parent.name) == ("before", "after")


def test_a_folder_without_pairs_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"x-before\.wav"):
        find_pairs(tmp_path)


def test_a_shared_list_may_not_lead_out_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / METADATA).write_text("file_name,clean_file_name\n../a.flac,b.flac\n")
    with pytest.raises(ReadError, match="outside"):
        find_pairs(tmp_path)


def test_the_difference_tells_the_clicks(folder: Path) -> None:
    (pair,) = find_pairs(folder)
    found = read_pair(pair)
    _, _, clicks = worn_piece()
    plain = [click for click in clicks if click.stop - click.start > 3]
    told = [click for click, _ in found.marks]
    hits = sum(
        any(
            own.channel == click.channel and own.start < click.stop and own.stop > click.start
            for own in told
        )
        for click in plain
    )
    assert hits >= 0.9 * len(plain)
    # Where nothing was laid, nothing is told.
    damaged = np.abs(found.damage).max(axis=1) > 0
    assert all(damaged[click.start : click.stop].any() for click in told)


def test_a_long_difference_is_no_click() -> None:
    clean, _, _ = worn_piece()
    changed = clean.copy()
    changed[RATE : 2 * RATE] *= 0.5
    sound, same, clicks = tell_clicks(changed, clean, RATE)
    assert not clicks
    assert np.array_equal(sound, same)


def test_another_recording_is_no_pair(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for side in ("before", "after"):
        noise = 0.1 * rng.standard_normal((4 * RATE, 2))
        soundfile.write(tmp_path / f"x-{side}.wav", noise, RATE)
    (pair,) = find_pairs(tmp_path)
    with pytest.raises(ReadError, match="mended"):
        read_pair(pair)


def test_another_copy_is_told_of_without_alarm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng, told = np.random.default_rng(1), list[str]()
    for name in "ab":
        noise = 0.1 * rng.standard_normal((4 * RATE, 2))
        soundfile.write(tmp_path / f"{name}.wav", noise, RATE)
    monkeypatch.setattr("declick.train.sharing.align", lambda *_: None)
    monkeypatch.setattr("declick.train.sharing._by_copy", lambda *_: None)
    tell_truth(tmp_path / "a.wav", tmp_path / "b.wav", told.append)
    (line,) = told
    assert "it is another digitization or recording" in line
    assert line.endswith("; so it is taken for another copy, and laid along")


def test_pieces_hold_the_whole_pair_once(folder: Path) -> None:
    (pair,) = find_pairs(folder)
    whole = read_pair(pair)
    pieces = cut_pieces(whole, 2.0)
    parts = [piece.excerpt.sound[piece.within[0] : piece.within[1]] for piece in pieces]
    assert np.array_equal(np.concatenate(parts), whole.sound)
    cores = [piece.excerpt.cores[piece.within[0] : piece.within[1]] for piece in pieces]
    assert np.array_equal(np.concatenate(cores), whole.cores)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_ring_is_learned_to_the_sample(channels: int) -> None:
    rng = np.random.default_rng(1)
    clean = 0.1 * rng.standard_normal((RATE, channels))
    worn = clean.copy()
    time = np.arange(900) / RATE
    worn[20_000:20_900, 0] += np.cos(2 * np.pi * 2000 * time) * np.exp(-time / 4e-3)
    sound, clean, clicks = tell_clicks(worn, clean, RATE)
    told = as_excerpt(sound, clean, clicks, RATE, name="x")
    whole = with_rings(told)
    (short, _), (long, _) = told.marks[0], whole.marks[0]
    # The ring falls to 30 % of the music after 4 ms * ln(1 / 0.03) = 14 ms.
    assert short.stop - short.start < 300
    assert (long.start, long.channel, long.tail) == (short.start, 0, short.tail)
    assert long.stop - long.start == pytest.approx(618, abs=25)
    assert np.array_equal(np.flatnonzero(whole.cores[:, 0]), np.arange(long.start, long.stop))
    assert whole.cores[:, 1].any() == (channels == 1)
    assert whole.laid.clicks == told.laid.clicks
    part = cut_excerpt(whole, 10_000, 30_000)
    assert part.laid.clicks[0].start == told.laid.clicks[0].start - 10_000
    assert part.marks[0][0].stop == long.stop - 10_000


def test_packing_and_unpacking_keep_every_sample(folder: Path, tmp_path: Path) -> None:
    before, after = folder / "side a-before.flac", folder / "side a-after.flac"
    shared = tmp_path / "shared"
    assert (
        main(["pairs", str(before), str(after), "-o", str(shared), "--licence", "CC0", "-q"]) == 0
    )
    (pair,) = find_pairs(shared)
    assert "CC0" in (shared / METADATA).read_text()
    worn = read_pair(pair)
    assert np.array_equal(worn.sound, soundfile.read(before)[0])
    assert np.array_equal(worn.laid.clean, soundfile.read(after)[0])
    assert worn.marks
    written = unpack(shared, tmp_path / "flat")
    (again,) = find_pairs(tmp_path / "flat")
    assert again.before in written
    assert np.array_equal(read_pair(again).sound, worn.sound)
    with pytest.raises(WriteError, match="exists"):
        unpack(shared, tmp_path / "flat")


def test_what_cannot_be_trusted_is_not_packed(folder: Path, tmp_path: Path) -> None:
    truth = tell_truth(folder / "side a-before.flac", folder / "side a-after.flac")
    truth.null_db[:] = 5.0
    with pytest.raises(ReadError, match="trusted"):
        pack([("a", truth)], tmp_path, licence="")
