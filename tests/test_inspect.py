from __future__ import annotations

import builtins
import re
from base64 import b64decode
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from declick.clicks import Click, FloatArray, Kind
from declick.errors import MissingExtraError, WriteError
from declick.inspect import (
    Exhibit,
    draw_around,
    draw_comparison,
    draw_disc_map,
    draw_overview,
    write_page,
)
from declick.inspect.around import title_of
from declick.inspect.overview import _heading, _Side
from declick.inspect.spectrogram import spectrogram_db
from declick.rotation import Rotation

RATE = 44_100


# Matplotlib would take it for a formula, and a broken one.
DOLLARS = "$\\frac$.flac"


def assert_picture(path: Path, least_kb: int = 15) -> None:
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.width >= 900
        assert image.height >= 600
    assert least_kb * 1000 < path.stat().st_size < 500_000
    assert not list(path.parent.glob(".*"))


@pytest.fixture(scope="module")
def worn() -> tuple[FloatArray, FloatArray, list[Click]]:
    rng = np.random.default_rng(0)
    clean = 0.1 * rng.normal(size=(3 * RATE, 2))
    damaged = clean.copy()
    clicks = []
    for index, start in enumerate(range(4000, 3 * RATE - 8000, 9000)):
        kind = list(Kind)[index % len(Kind)]
        tail = 1500 if kind is Kind.THUMP else 0
        damaged[start : start + 40, index % 2] += 0.8 * rng.normal(size=40)
        clicks.append(Click(start, start + 40, start + 40 + tail, index % 2, 0.5, kind))
    return clean, damaged, clicks


def test_around(tmp_path: Path, worn: tuple[FloatArray, FloatArray, list[Click]]) -> None:
    clean, damaged, clicks = worn
    for name, click in (("first", clicks[0]), ("thump", clicks[3])):
        begin = max(0, click.start - RATE // 5)
        part = slice(begin, click.start + RATE // 5)
        path = draw_around(
            tmp_path / f"{name}.png", damaged[part], clean[part], None, sample_rate=RATE,
            start=begin, click=click, others=clicks[::2], left=clicks[1::2], number=7, method="ar",
            channels=(0, 1),
        )  # fmt: skip
        assert_picture(path)


def test_the_title_says_what_became_of_a_click() -> None:
    def title(method: str) -> str:
        return title_of(Click(0, 44, 44, 0), 1, method, RATE, 2).rpartition("  ·  ")[2]

    assert [title(method) for method in ("ar", "left", "undone")] == [
        "mended by ar",
        "left alone",
        "put back",
    ]
    assert title_of(Click(0, 44, 44, 0), 1, "left", RATE, 2, "a beat").endswith(
        "left alone: a beat"
    )


@pytest.mark.parametrize("rate", [8000, 192_000])
def test_around_at_the_ends_of_silence(tmp_path: Path, rate: int) -> None:
    quiet = np.zeros((rate // 100, 1))
    frames = quiet.shape[0]
    for click in (Click(0, 1, 1, 0), Click(frames - 1, frames, frames, 0)):
        path = draw_around(
            tmp_path / "end.png", quiet, quiet, quiet, sample_rate=rate, start=0, click=click
        )
        assert_picture(path, least_kb=5)
    one = np.zeros((1, 1))
    draw_around(
        tmp_path / "one.png", one, one, one, sample_rate=rate, start=0, click=Click(0, 1, 1, 0)
    )


def test_overview(tmp_path: Path, worn: tuple[FloatArray, FloatArray, list[Click]]) -> None:
    clean, damaged, clicks = worn

    def blocks() -> Iterator[tuple[FloatArray, FloatArray | None]]:
        for start in range(0, damaged.shape[0], 10_007):
            part = slice(start, start + 10_007)
            yield damaged[part], (damaged - clean)[part] if start else None

    frames = damaged.shape[0]
    path = tmp_path / "side.png"
    draw_overview(path, blocks(), iter(clicks), sample_rate=RATE, frames=frames, title=DOLLARS)
    assert_picture(path)
    draw_overview(path, [], [], sample_rate=RATE, frames=frames)
    assert_picture(path, least_kb=5)
    assert _heading(0, 0, 60.0) == "0 clicks"
    assert _heading(1, 0, 60.0) == "1 click, 1 a minute"
    assert _heading(1200, 15, 600.0) == "1,200 clicks, 120 a minute, 15 left alone"
    draw_overview(path, [], [Click(7199 * RATE, 7199 * RATE + 9, 7199 * RATE + 9, 0)],
                  sample_rate=RATE, frames=7200 * RATE)  # fmt: skip
    assert_picture(path, least_kb=5)


def test_overview_is_the_same_for_every_block_size() -> None:
    sound = np.random.default_rng(1).normal(size=(7919, 2))
    whole, pieces = _Side(7919), _Side(7919)
    whole.add(sound, sound)
    for start in range(0, 7919, 13):
        pieces.add(sound[start : start + 13], sound[start : start + 13])
    np.testing.assert_array_equal(whole.least, pieces.least)
    np.testing.assert_array_equal(whole.greatest, pieces.greatest)
    np.testing.assert_array_equal(whole.counted, pieces.counted)
    np.testing.assert_allclose(whole.removed, pieces.removed, rtol=1e-12)
    assert whole.greatest.max() == sound.max()


def test_disc_map(tmp_path: Path, worn: tuple[FloatArray, FloatArray, list[Click]]) -> None:
    clicks = worn[2]
    turn = Rotation(period_s=0.7712, rpm=77.8, evidence=9.0)
    path = tmp_path / "disc.png"
    draw_disc_map(path, clicks, sample_rate=RATE, frames=3 * RATE, rotation=turn, title=DOLLARS)
    assert_picture(path)
    draw_disc_map(path, [], sample_rate=RATE, frames=3 * RATE)
    assert_picture(path)
    rng = np.random.default_rng(2)
    starts = np.sort(rng.integers(0, 1200 * RATE, 20_000)).tolist()
    many = [Click(s, s + 9, s + 9, 0, 0.7, Kind.CRACKLE) for s in starts]
    draw_disc_map(
        path, many, sample_rate=RATE, frames=1200 * RATE, strengths=rng.uniform(size=20_000)
    )
    assert_picture(path)


def test_comparison(tmp_path: Path, worn: tuple[FloatArray, FloatArray, list[Click]]) -> None:
    clean, damaged, clicks = worn
    path = tmp_path / "demo.png"
    draw_comparison(path, clean, damaged, clean, sample_rate=RATE, clicks=clicks, title=DOLLARS)
    assert_picture(path)
    draw_comparison(path, None, damaged, clean, sample_rate=RATE)
    assert_picture(path)
    quiet = np.zeros((500, 1))
    draw_comparison(path, quiet, quiet, quiet, sample_rate=8000)
    assert_picture(path, least_kb=5)


def test_spectrogram_knows_level_frequency_and_anti_phase() -> None:
    at_s = np.arange(RATE) / RATE
    tone = np.sin(2 * np.pi * 5000 * at_s)
    power_db, highest_hz = spectrogram_db(
        np.stack([tone, -tone], axis=1), RATE, window_ms=20, columns=50
    )
    peak = np.unravel_index(np.argmax(power_db[:, 25]), power_db[:, 25].shape)[0]
    assert peak * highest_hz / (power_db.shape[0] - 1) == pytest.approx(5000, abs=30)
    assert power_db[peak, 25] == pytest.approx(0.0, abs=0.3)


def test_without_matplotlib_the_install_line_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"pip install 'declick\[plot\]'"):
        draw_disc_map(tmp_path / "x.png", [], sample_rate=RATE, frames=RATE)


def test_an_unwritable_place_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match=r"x\.png: cannot write the picture"):
        draw_disc_map(tmp_path / "absent" / "x.png", [], sample_rate=RATE, frames=RATE)


def test_a_page_holds_all_that_it_shows(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    before, after = (np.round(8000 * rng.uniform(-1, 1, (2000, 2))) / 32768 for _ in range(2))
    hostile = "</script><b>\"&' $x"
    exhibits = [
        Exhibit(
            number=number,
            title=hostile,
            picture=b"\x89PNG",
            sounds={"Before": before, "After": after, "Loud": 3.0 * np.ones((10, 1))},
            mended=number == 12,
        )
        for number in (3, 12)
    ]
    path = tmp_path / "page.html"
    write_page(path, exhibits, title=hostile, undo=f"undo {hostile} --clicks ", sample_rate=RATE)
    text = path.read_text(encoding="utf-8")
    assert text.count("</script>") == 1
    assert "<b>" not in text
    assert not re.search(r"(src|href)=\"(?!data:)", text)
    # Nothing can be put back of what was left alone.
    assert re.findall(r"checkbox\" value=\"(\d+)\"", text) == ["12"]
    sounds = re.findall(r"data:audio/\w+;base64,([^\"]+)", text)
    heard = [soundfile.read(BytesIO(b64decode(sound)), always_2d=True) for sound in sounds]
    assert [rate for _, rate in heard] == [RATE] * 6
    assert np.allclose(heard[0][0], before / 3.0, atol=1e-4)
    assert np.allclose(heard[1][0], after / 3.0, atol=1e-4)
    # What is louder than a browser plays is softer, and the others with it.
    assert heard[2][0].min() > 0.99
    for rate in (96_001, 655_360):
        write_page(path, exhibits, title="", undo="", sample_rate=rate)
        sound = re.findall(r"data:audio/\w+;base64,([^\"]+)", path.read_text(encoding="utf-8"))[0]
        assert soundfile.info(BytesIO(b64decode(sound))).samplerate == rate
    with pytest.raises(WriteError, match="cannot write the page"):
        write_page(tmp_path / "no" / "p.html", [], title="", undo="", sample_rate=RATE)
