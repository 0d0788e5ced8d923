"""``declick harvest``, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from declick.cli import main
from declick.damage.bank_folder import read_bank
from declick.labels import read_labels
from test_harvest import RATE, groove_noise, plant
from test_pairs import pair


@pytest.fixture
def groove(tmp_path: Path) -> Path:
    sound = groove_noise("hiss", 2.5)
    plant(sound)
    soundfile.write(tmp_path / "groove.wav", sound, RATE, subtype="FLOAT")
    return tmp_path / "groove.wav"


@pytest.fixture
def repaired(tmp_path: Path) -> tuple[Path, Path]:
    rip, repair, _ = pair()
    soundfile.write(tmp_path / "rip.flac", rip, RATE, subtype="PCM_16")
    soundfile.write(tmp_path / "repair.flac", repair, RATE, subtype="PCM_16")
    return tmp_path / "rip.flac", tmp_path / "repair.flac"


def failure(capsys: pytest.CaptureFixture[str], *words: str | Path, status: int = 1) -> str:
    assert main([*map(str, words)]) == status
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("declick: ")
    return error


def test_a_rip_becomes_a_bank(groove: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bank = groove.parent / "bank"
    words = ["harvest", str(groove), "-o", str(bank), "--licence", "CC0", "--origin", "me"]
    assert main([*words, "--json"]) == 0
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert "of silent groove" in captured.err
    read = read_bank(bank)
    assert told["clicks"] == len(read.clicks) > 10
    (record,) = read.records
    assert (record.name, record.licence, record.source) == ("groove.wav", "CC0", "me")
    assert told["records"][0]["sha256"] == record.sha256


def test_a_bank_grows_and_is_not_lost(groove: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bank = groove.parent / "bank"
    short, rate = soundfile.read(groove, stop=round(1.2 * RATE))
    soundfile.write(groove, short, rate, subtype="FLOAT")
    words = ["harvest", str(groove), "-o", str(bank), "--whole", "-q"]
    assert main(words) == 0
    first = read_bank(bank)
    assert "exists already" in failure(capsys, *words)
    other = groove.with_name("other.wav")
    sound = groove_noise("white", 1.5)
    plant(sound, seed=9)
    soundfile.write(other, sound, RATE, subtype="FLOAT")
    assert main(["harvest", str(other), "-o", str(bank), "--whole", "-q", "--append"]) == 0
    both = read_bank(bank)
    assert len(both.records) == 2
    assert len(both.clicks) > len(first.clicks)
    assert main([*words, "--append"]) == 0
    assert len(read_bank(bank).clicks) == len(both.clicks)
    assert main([*words, "--overwrite"]) == 0
    assert len(read_bank(bank).records) == 1


def test_where_the_groove_is_can_be_said(groove: Path) -> None:
    bank = groove.parent / "bank"
    words = ["harvest", str(groove), "-o", str(bank), "--between", "0:01-0:02", "-q"]
    assert main(words) == 0
    read = read_bank(bank)
    assert read.statistics.groove_s == pytest.approx(1.0)
    assert all(1.0 <= click.time_s <= 2.0 for click in read.clicks)


def test_the_difference_of_a_pair_becomes_bank_and_labels(
    repaired: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = repaired
    bank, labels = before.with_name("bank"), before.with_name("labels.txt")
    words = ["harvest", before, "--after", after, "-o", bank, "--labels", labels, "--json"]
    assert main([*map(str, words)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["pair"]["offset"] == 0
    _, _, planted = pair()
    assert len(read_bank(bank).clicks) == len(planted)
    marked = read_labels(labels, sample_rate=RATE, channels=2, frames=len(pair()[0]))
    assert {click.start for click in marked} == {item.start for item in planted}


def test_what_is_no_pair_is_refused_with_the_reason(
    repaired: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = repaired
    bank = before.with_name("bank")
    sound, _ = soundfile.read(after)
    soundfile.write(after.with_suffix(".ogg"), sound, RATE)
    error = failure(capsys, "harvest", before, "--after", after.with_suffix(".ogg"), "-o", bank)
    assert "is not a repair of" in error
    assert "lossy" in error
    error = failure(capsys, "harvest", before, "--after", before, "-o", bank)
    assert "nothing was repaired" in error
    assert not bank.exists()


def test_what_cannot_be_is_told(groove: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bank = groove.parent / "bank"
    time = np.arange(3 * RATE) / RATE
    tone = groove.with_name("tone.wav")
    soundfile.write(tone, 0.3 * np.sin(2 * np.pi * 440 * time), RATE)
    assert "no silent groove" in failure(capsys, "harvest", tone, "-o", bank)
    quiet = groove.with_name("quiet.wav")
    soundfile.write(quiet, groove_noise("hiss", 2.0), RATE, subtype="FLOAT")
    assert "not one click" in failure(capsys, "harvest", quiet, "-o", bank, "--whole")
    words = ("harvest", groove, "-o", bank)
    assert "ends at" in failure(capsys, *words, "--between", "5:00-6:00", status=2)
    assert "needs --after" in failure(
        capsys, *words, "--labels", groove.with_name("x.txt"), status=2
    )
    assert "one rip" in failure(
        capsys, "harvest", groove, quiet, "--after", tone, "-o", bank, status=2
    )
    assert "leave out --whole" in failure(capsys, *words, "--after", tone, "--whole", status=2)
    assert "is a file" in failure(capsys, "harvest", groove, "-o", tone)
    assert "no such file" in failure(capsys, "harvest", groove.with_name("no.wav"), "-o", bank)
    assert not bank.exists()
