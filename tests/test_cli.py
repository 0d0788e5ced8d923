"""What each command does with good input."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from declick.cli.lines import one_line
from runs import entries, files, inside, read, run, worn_sound, write_worn
from worn import RATE


@pytest.fixture(scope="module")
def restored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a rip, restored once."""
    folder = tmp_path_factory.mktemp("restored")
    rip = write_worn(folder / "rip.wav")
    done = run(
        "restore", rip, "--removed", folder / "taken.wav", "--labels", folder / "l.txt", "--json"
    )
    assert done.status == 0, done.err
    assert done.json["totals"]["repaired"] > 5
    return folder


def test_restore_names_its_files_and_says_what_it_did(tmp_path: Path) -> None:
    rip = write_worn(tmp_path / "rip.wav", 1.0)
    first, second, third = run("restore", rip).err.splitlines()
    assert first.startswith(f"{rip}: 0:01.000 in ")
    assert "mended" in first
    assert second == f"  -> {tmp_path / 'rip.declicked.wav'}"
    assert third == f"  -> {tmp_path / 'rip.declicked.json'} (report)"
    assert files(tmp_path) == ["rip.declicked.json", "rip.declicked.wav", "rip.wav"]
    assert run("restore", rip, "--overwrite", "-q").err == ""
    taken, labels = tmp_path / "taken.wav", tmp_path / "l.txt"
    done = run("restore", rip, "--overwrite", "--removed", taken, "--labels", labels)
    assert done.err.splitlines()[2:] == [
        f"  -> {taken} (what was removed)", f"  -> {labels} (labels)", third
    ]  # fmt: skip
    # The labels that it reads are not among what it has written.
    done = run("repair", rip, "--overwrite", "--labels", labels)
    assert done.err.splitlines()[1:] == [second, third]


@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        ("a.wav", "PCM_U8"),
        ("a.wav", "PCM_24"),
        ("a.wav", "PCM_32"),
        ("a.flac", "PCM_24"),
        ("a.aiff", "PCM_16"),
        ("a.caf", "FLOAT"),
        ("a.w64", "DOUBLE"),
    ],
)
def test_output_is_bit_identical_outside_repairs_and_adds_up(
    tmp_path: Path, name: str, subtype: str
) -> None:
    rip = write_worn(tmp_path / name, 1.0, subtype)
    taken = tmp_path / "taken.wav"
    assert run("restore", rip, "--removed", taken).status == 0
    output = tmp_path / f"a.declicked{rip.suffix}"
    before, after = read(rip), read(output)
    mended = inside(tmp_path / "a.declicked.json", before.shape)
    assert mended.any()
    assert np.array_equal(before[~mended], after[~mended])
    assert not np.array_equal(before, after)
    whole = after + read(taken)
    if subtype == "DOUBLE":  # their difference may need one bit more than there are
        assert np.max(np.abs(whole - before)) <= 2.0**-53
    else:
        assert np.array_equal(whole, before)
    assert soundfile.info(output).subtype == soundfile.info(rip).subtype


def test_jobs_do_not_change_a_byte(restored: Path, tmp_path: Path) -> None:
    # long enough for other processes to be started
    soundfile.write(tmp_path / "long.flac", np.tile(worn_sound(), (4, 1))[: 10 * RATE], RATE)
    for jobs in ("1", "2"):
        out = tmp_path / f"{jobs}.flac"
        assert run("restore", tmp_path / "long.flac", out, "-j", jobs, "-q").status == 0
    assert (tmp_path / "1.flac").read_bytes() == (tmp_path / "2.flac").read_bytes()
    assert entries(tmp_path / "1.json") == entries(tmp_path / "2.json")


def test_undo_of_everything_is_the_source(restored: Path, tmp_path: Path) -> None:
    done = run("undo", restored / "rip.declicked.wav", "--clicks", "1-", "-o", tmp_path / "u.wav")
    assert done.status == 0, done.err
    assert np.array_equal(read(tmp_path / "u.wav"), read(restored / "rip.wav"))


def test_undo_of_one_click_changes_its_span_alone(restored: Path, tmp_path: Path) -> None:
    click = next(entry for entry in entries(restored / "rip.declicked.json") if entry["made"])
    out = tmp_path / "one.wav"
    number = str(click["number"])
    done = run("undo", restored / "rip.declicked.wav", "--clicks", number, "-o", out, "--json")
    assert done.json["clicks"] == [click["number"]]
    source, before, after = (
        read(path) for path in (restored / "rip.wav", restored / "rip.declicked.wav", out)
    )
    span = np.zeros(before.shape, dtype=bool)
    span[click["start"] : click["tail"], click["channel"]] = True
    assert np.array_equal(after[~span], before[~span])
    assert np.array_equal(after[span], source[span])


def test_what_is_counted_as_changed_is_what_differs_from_the_source(
    restored: Path, tmp_path: Path
) -> None:
    source = read(restored / "rip.wav")

    def counted(sound: Path) -> tuple[int, int]:
        totals = json.loads(sound.with_suffix(".json").read_text())["totals"]
        differs = (read(sound) != source).any(axis=1)
        return totals["frames_changed"], int(np.count_nonzero(differs))

    told, changed = counted(restored / "rip.declicked.wav")
    assert told == changed > 0
    made = [e["number"] for e in entries(restored / "rip.declicked.json") if e["made"]]
    out = tmp_path / "half.wav"
    some = ",".join(map(str, made[::2]))
    assert run("undo", restored / "rip.declicked.wav", "--clicks", some, "-o", out).status == 0
    left, still = counted(out)
    assert changed > left == still > 0


def test_nothing_is_put_back_twice(restored: Path, tmp_path: Path) -> None:
    folder = tmp_path
    made = [e["number"] for e in entries(restored / "rip.declicked.json") if e["made"]]
    one, taken = folder / "one.wav", restored / "taken.wav"
    base: list[str | Path] = ["undo", restored / "rip.declicked.wav", "--removed", taken]
    assert run(*base, "--clicks", str(made[0]), "-o", one).status == 0
    again = run("undo", one, "--removed", taken, "--clicks", str(made[0]), "-o", folder / "x.wav")
    assert again.status == 1
    assert "none of its repairs is chosen" in again.fault
    rest = run("undo", one, "--removed", taken, "--clicks", "1-", "-o", folder / "all.wav")
    assert rest.status == 0
    assert np.array_equal(read(folder / "all.wav"), read(restored / "rip.wav"))


@pytest.mark.parametrize(
    ("criterion", "chosen"),
    [
        (["--kind", "tick"], lambda e: e["kind"] == "tick"),
        (["--channel", "R"], lambda e: e["channel"] == 1),
        (["--by-method", "ar"], lambda e: e["method"] == "ar"),
        (["--between", "0:01-"], lambda e: e["stop"] > RATE),
        (["--confidence-below", "0.9"], lambda e: e["confidence"] < 0.9),
    ],
)
def test_undo_by_every_criterion(
    restored: Path, tmp_path: Path, criterion: list[str], chosen: Callable[[dict[str, Any]], bool]
) -> None:
    clicks = entries(restored / "rip.declicked.json")
    expected = [e["number"] for e in clicks if e["made"] and chosen(e)]
    done = run(
        "undo", restored / "rip.declicked.wav", *criterion, "-o", tmp_path / "u.wav", "--json"
    )
    if not expected:
        assert done.status == 1
    else:
        assert done.json["clicks"] == expected


def test_repair_like_a_report_repeats_the_run(restored: Path, tmp_path: Path) -> None:
    like = restored / "rip.declicked.json"
    assert run("repair", restored / "rip.wav", tmp_path / "again.wav", "--like", like).status == 0
    again = (tmp_path / "again.wav").read_bytes()
    assert again == (restored / "rip.declicked.wav").read_bytes()
    old, new = (json.loads(p.read_text()) for p in (like, tmp_path / "again.json"))
    assert [new[name] for name in ("clicks", "totals", "settings", "chain")] == [
        old[name] for name in ("clicks", "totals", "settings", "chain")
    ]


def test_labels_go_out_and_exactly_they_come_back_mended(restored: Path, tmp_path: Path) -> None:
    labels = tmp_path / "l.txt"
    assert run("detect", restored / "rip.wav", "-o", labels).status == 0
    lines = labels.read_text().splitlines()
    found = entries(restored / "rip.declicked.json")
    made = [line for line, click in zip(lines, found, strict=True) if click["made"]]
    assert made == (restored / "l.txt").read_text().splitlines()
    assert len(made) < len(lines)
    kept = lines[::2]
    labels.write_text("\n".join(kept))
    assert run("repair", restored / "rip.wav", tmp_path / "o.wav", "--labels", labels).status == 0
    before, after = read(restored / "rip.wav"), read(tmp_path / "o.wav")
    clicks = entries(tmp_path / "o.json")
    assert len(clicks) == len(kept)
    assert all(click["made"] for click in clicks)
    for click in found:
        click["tail"] = click.get("found_tail", click["tail"])  # more is beyond the labels
    keys = ("start", "stop", "tail", "channel", "kind")
    assert [[c[k] for k in keys] for c in clicks] == [[c[k] for k in keys] for c in found[::2]]
    mended = inside(tmp_path / "o.json", before.shape)
    assert np.array_equal(before[~mended], after[~mended])


def test_a_drawing_is_taken_where_it_differs(tmp_path: Path) -> None:
    rip = write_worn(tmp_path / "rip.wav")
    drawn = read(rip)
    drawn[1000:1020, 1] = 0.25
    soundfile.write(tmp_path / "drawn.wav", drawn, RATE)
    assert run("repair", rip, tmp_path / "o.wav", "--draw", tmp_path / "drawn.wav").status == 0
    assert np.array_equal(read(tmp_path / "o.wav"), drawn)
    same = run("repair", rip, tmp_path / "p.wav", "--draw", write_worn(tmp_path / "same.wav"))
    assert f"same.wav: nothing in it differs from {rip}" in same.fault
    how = run("repair", rip, tmp_path / "p.wav", "--draw", tmp_path / "drawn.wav", "--method", "ar")
    assert "as you have drawn them; leave out --method" in how.fault


def test_a_drawing_that_differs_all_over_needs_labels(tmp_path: Path) -> None:
    rip, export = write_worn(tmp_path / "rip.wav"), tmp_path / "export.wav"
    source, labels = read(rip), tmp_path / "drawn.txt"
    dithered = source + np.random.default_rng(0).integers(-1, 2, source.shape) / 2**15
    soundfile.write(export, dithered, RATE)
    words: list[str | Path] = ["repair", rip, tmp_path / "o.wav", "--draw", export]
    done = run(*words)
    assert done.status == 2
    assert "differs from" in done.fault
    assert "mark what you drew with --labels" in done.fault
    labels.write_text("1.0\t1.001\ttick L\n")
    assert run(*words, "--labels", labels).status == 0
    changed = np.flatnonzero((read(tmp_path / "o.wav") != source).any(axis=1)) / RATE
    assert 0 < changed.size <= round(0.001 * RATE) + 1
    assert 1.0 <= changed.min() < changed.max() < 1.0011


def test_settings_come_from_a_file_and_flags_win(restored: Path, tmp_path: Path) -> None:
    settings = tmp_path / "s.toml"
    settings.write_text(
        '[detect]\nsensitivity = 0.2\nfind_tails = false\n[repair]\nmethod = "ar"\n'
    )
    flags: list[str | Path] = ["--settings", settings, "--sensitivity", "0.3", "--no-keep-weak"]
    assert run("restore", restored / "rip.wav", tmp_path / "o.wav", *flags).status == 0
    report = json.loads((tmp_path / "o.json").read_text())
    found = report["settings"]["detect"]
    assert (found["sensitivity"], found["find_tails"]) == (0.3, False)
    assert report["settings"]["repair"]["method"] == "ar"
    assert report["settings"]["repair"]["keep_weak"] is False
    assert {click["method"] for click in report["clicks"]} == {"ar"}


def test_tags_are_carried_over(tmp_path: Path) -> None:
    import mutagen.flac

    rip = write_worn(tmp_path / "rip.flac", 1.0)
    tagged = mutagen.flac.FLAC(rip)  # type: ignore[no-untyped-call]
    tagged["title"] = "Stars and Stripes"
    tagged.save()
    assert run("restore", rip).status == 0
    after = mutagen.flac.FLAC(tmp_path / "rip.declicked.flac")  # type: ignore[no-untyped-call]
    assert after["title"] == ["Stars and Stripes"]


def test_two_formats_of_one_name_have_two_reports(tmp_path: Path) -> None:
    for name in ("rip.wav", "rip.flac"):
        write_worn(tmp_path / name, 1.0)
        assert run("restore", tmp_path / name, "--removed", tmp_path / f"{name}.r.wav").status == 0
    for name in ("rip.wav", "rip.flac"):
        output = tmp_path / name.replace(".", ".declicked.")
        done = run("undo", output, "--clicks", "1-", "-o", tmp_path / f"u-{name}")
        assert done.status == 0, done.err
        assert np.array_equal(read(tmp_path / f"u-{name}"), read(tmp_path / name))


def test_inspect_draws(restored: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    base: list[str | Path] = [
        "inspect",
        restored / "rip.declicked.wav",
        "-o",
        tmp_path / "p",
        "--clicks",
        "2",
    ]
    done = run(*base, "--json")
    assert done.status == 0, done.err
    names = [f"rip.declicked.{name}.png" for name in ("overview", "disc", "click-2")]
    assert done.json["pictures"] == [str(tmp_path / "p" / name) for name in names]
    assert all(Path(p).read_bytes().startswith(b"\x89PNG") for p in done.json["pictures"])
    assert "exists already" in run(*base).fault
    assert run(*base, "--overwrite").status == 0


def test_inspect_makes_a_page_of_the_least_sure_clicks(restored: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    rip = restored / "rip.declicked.wav"
    done = run("inspect", rip, "-o", tmp_path, "--page", "--most", "2", "--json")
    assert done.status == 0, done.err
    page = tmp_path / "rip.declicked.html"
    assert done.json["page"] == str(page)
    assert files(tmp_path) == [
        *(f"rip.declicked.{n}" for n in ("disc.png", "html", "overview.png"))
    ]
    text = page.read_text(encoding="utf-8")
    shown = [int(number) for number in re.findall(r'checkbox" value="(\d+)"', text)]
    made = [click for click in entries(restored / "rip.declicked.json") if click["made"]]
    least = min(made, key=lambda click: click["confidence"])
    assert len(shown) == 2
    assert least["number"] in shown
    # The command that it offers puts back what is chosen.
    told = re.search(r'const undo = "(declick undo .* --clicks )";', text)
    assert told is not None
    command = shlex.split(told[1] + str(shown[0]))[1:]
    assert run(*command, "-o", tmp_path / "u.wav", "--json").json["clicks"] == [shown[0]]
    assert "exists already" in run("inspect", rip, "-o", tmp_path, "--page").fault


def test_the_line_of_a_page_names_the_report_and_no_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    write_worn(tmp_path / "-a.wav", 1.0)
    assert run("restore", "./-a.wav", "--report", "./-r.json").status == 0
    assert run("inspect", "./-r.json", "--page", "--most", "1", "--source", "./-a.wav").status == 0
    text = (tmp_path / "-r.html").read_text(encoding="utf-8")
    told = re.search(r'const undo = "declick (.*) --clicks "', text)
    assert told is not None
    assert told[1] == "undo ./-a.declicked.wav --report ./-r.json --source ./-a.wav"
    number = re.findall(r'checkbox" value="(\d+)"', text)[0]
    assert run(*shlex.split(told[1]), "--clicks", number).status == 0


def test_pipes(restored: Path) -> None:
    def piped(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-W", "error", "-m", "declick", *arguments],
            input=(restored / "rip.wav").read_bytes(),
            capture_output=True,
            check=True,
        )

    sound = piped("restore", "-", "-")
    assert sound.stdout == (restored / "rip.declicked.wav").read_bytes()
    assert sound.stderr.startswith(b"standard input: 0:03.000 in ")
    found = piped("detect", "-", "-q").stdout.decode().splitlines()
    assert set((restored / "l.txt").read_text().splitlines()) < set(found)


def test_help_names_every_flag_and_says_what_it_does() -> None:
    text = run("restore", "--help").out
    for flag in ("--removed", "--labels", "--skip-existing", "--sensitivity", "--no-keep-weak"):
        assert flag in text
    assert "declick restore rip.flac" in run("--help").out
    assert run("--version").out.startswith("declick ")


def test_a_line_stays_a_line() -> None:
    assert one_line("a\nb\x1b[2J\udc80 ü") == "a\\nb\\x1b[2J\\udc80 ü"


def test_what_is_found_is_told_to_programs(tmp_path: Path) -> None:
    rip = tmp_path / "worn.wav"
    soundfile.write(rip, worn_sound(), RATE)
    done = run("detect", rip, "--json", "--quiet")
    assert done.status == 0, done.err
    assert done.json["clicks"]
    told = {"start", "stop", "tail", "channel", "confidence", "kind"}
    assert all(set(click) == told for click in done.json["clicks"])
