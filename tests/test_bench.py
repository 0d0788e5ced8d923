"""The benchmark's run: corpus, tools, resuming, results, tables."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from declick.bench import corpus
from declick.bench.figures import draw_figures, sweep_of
from declick.bench.given import regions_of, repair_ourselves
from declick.bench.journal import Journal
from declick.bench.listening import strongest
from declick.bench.metrics import Event
from declick.bench.peers import PEERS, Cost, Peer, PeerError
from declick.bench.results import assemble, command_line, read_results, write_results
from declick.bench.rows import summarize
from declick.bench.run import Measured, Plan, measure
from declick.bench.score import Task, gap_class, read_sound, score
from declick.bench.tables import TABLES, Results, all_tables, fill, fill_pages
from declick.cli import main
from declick.damage.piece import synthesize_piece
from declick.damage.sets import SETS
from declick.errors import ReadError, SettingsError

ROOT = Path(__file__).resolve().parent.parent
RATE = 44100
# One on each side of the split; the first is of the percussive kind.
MUSIC = ("drums_muldjordkit", "piano_joplin-mutopia")


@dataclass(kw_only=True)
class FakePeer:
    """A tool that gives back what it is told to: the worn sound, or the truth beside it."""

    name: str
    perfect: bool = False
    present: bool = True
    stumbles_over: str = ""
    install: str = "make fake"
    setting: str = "strength"
    default: float = 1.0
    sweep: tuple[float, ...] = (0.5, 1.0)
    higher_is_more: bool = True
    calls: list[tuple[float | None, tuple[str, ...]]] = field(default_factory=list)

    def version(self) -> str | None:
        return "1.0" if self.present else None

    def clean(self, source: Path, target: Path, *, setting: float | None = None) -> Cost:
        if self.stumbles_over and self.stumbles_over in source.name:
            raise PeerError(f"{self.name}: stumbled over {source.name}")
        truth = source.with_name(source.name.replace(".worn.", ".clean."))
        shutil.copy(truth if self.perfect else source, target)
        return Cost(wall_s=0.5, cpu_s=0.25, peak_mb=10.0)

    def clean_all(
        self, pairs: Sequence[tuple[Path, Path]], *, setting: float | None = None
    ) -> list[Cost]:
        self.calls.append((setting, tuple(source.name for source, _ in pairs)))
        return [self.clean(source, target, setting=setting) for source, target in pairs]


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("music")
    for seed, name in enumerate(MUSIC):
        sound = synthesize_piece(3.0, sample_rate=RATE, seed=seed)
        soundfile.write(folder / f"{name}.wav", sound, RATE, subtype="PCM_16")
    return folder


def plan_for(music: Path, **changes: Any) -> Plan:
    plan = Plan(
        clean=music,
        tools=("lazy", "perfect"),
        sets=("control", "pop"),
        split="all",
        seconds=2.0,
        side_minutes=0.1,
        quality=False,
    )
    return replace(plan, **changes)


def fakes() -> dict[str, FakePeer]:
    return {"lazy": FakePeer(name="lazy"), "perfect": FakePeer(name="perfect", perfect=True)}


def measured(plan: Plan, peers: dict[str, FakePeer], tmp_path: Path, **options: Any) -> Measured:
    sounds = tmp_path / "sounds"
    sounds.mkdir(exist_ok=True)
    journal = tmp_path / "cells.jsonl"
    return measure(plan, dict(peers), journal=journal, folder=sounds, say=lambda _: None, **options)


# --- corpus -----------------------------------------------------------------------------------


def test_no_music_is_on_both_sides_of_the_split() -> None:
    listed = [stem for stems in corpus._LISTED.values() for stem in stems]
    assert len(listed) == len(set(listed))
    assert set(corpus._LISTED) == set(corpus.SPLITS)
    for split in corpus.SPLITS:
        assert sum(map(corpus.is_percussive, corpus._LISTED[split])) >= 2
    assert corpus.split_of("drums_muldjordkit") == "report"
    # By name alone, so that it holds on every machine.
    assert {corpus.split_of(f"a record {n}") for n in range(20)} == set(corpus.SPLITS)


def test_names_that_clash_in_the_other_half_are_no_matter(music: Path, tmp_path: Path) -> None:
    for path in music.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    other = tmp_path / f"{MUSIC[1]}.aif"
    other.write_bytes(b"")
    assert other in corpus.list_recordings(tmp_path)
    assert MUSIC[1] not in [p.stem for p in corpus.find_music(tmp_path, "report")]
    with pytest.raises(ReadError, match="two recordings named"):
        corpus.find_music(tmp_path, "all")


def test_find_music(music: Path, tmp_path: Path) -> None:
    assert [p.stem for p in corpus.find_music(music, "all")] == sorted(MUSIC)
    assert [p.stem for p in corpus.find_music(music, "tune")] == [MUSIC[1]]
    with pytest.raises(ReadError, match="--clean"):
        corpus.find_music(tmp_path / "absent", "all")
    with pytest.raises(ReadError, match="no clean recordings"):
        corpus.find_music(tmp_path, "all")


def test_the_same_damage_whatever_else_is_made(music: Path, tmp_path: Path) -> None:
    paths = corpus.find_music(music, "all")
    few = corpus.list_items(paths[1:], ["pop"], seconds=2.0, side_s=6.0)
    many = corpus.list_items(paths, [*SETS, corpus.SIDE], seconds=2.0, side_s=6.0)
    assert [item.source for item in many if item.set == "percussive"] == [MUSIC[0]]
    assert [item.music for item in many if item.set == corpus.SIDE] == [tuple(paths)]
    again = next(item for item in many if item.name == few[0].name)
    first = corpus.make(few[0], tmp_path / "few", None)
    second = corpus.make(again, tmp_path / "many", None)
    assert first.worn.read_bytes() == second.worn.read_bytes()
    assert first.clicks == second.clicks
    assert first.worn.read_bytes() != first.clean.read_bytes()
    side = corpus.make(many[-1], tmp_path, None)
    assert soundfile.info(side.worn).frames == 6 * RATE


def test_given_places_are_short_and_all_that_is_hurt(music: Path, tmp_path: Path) -> None:
    paths = corpus.find_music(music, "tune")
    (item,) = corpus.list_items(paths, [corpus.GIVEN], seconds=3.0, side_s=6.0)
    made = corpus.make(item, tmp_path, None)
    regions = regions_of(made)
    assert 0 < len(regions) <= 12
    clean, worn = read_sound(made.clean), read_sound(made.worn)
    for start, stop in regions:
        assert stop - start <= corpus.LONGEST_GIVEN
        assert np.any(worn[start:stop] != clean[start:stop])
        worn[start:stop] = clean[start:stop]
    assert np.array_equal(worn, clean)


def test_we_mend_given_places_and_nothing_else(music: Path, tmp_path: Path) -> None:
    paths = corpus.find_music(music, "tune")
    (item,) = corpus.list_items(paths, [corpus.GIVEN], seconds=3.0, side_s=6.0)
    made = corpus.make(item, tmp_path, None)
    regions = regions_of(made)
    cost = repair_ourselves(made.worn, tmp_path / "out.wav", regions)
    assert cost.wall_s > 0
    worn, restored = read_sound(made.worn), read_sound(tmp_path / "out.wav")
    assert not np.array_equal(restored, worn)
    for start, stop in regions:
        restored[start:stop] = worn[start:stop]
    assert np.array_equal(restored, worn)


def test_music_of_other_kinds_is_brought_to_one(tmp_path: Path) -> None:
    time = np.arange(48000) / 48000
    soundfile.write(tmp_path / "mono.wav", np.sin(2 * np.pi * 440 * time) * 0.1, 48000)
    sound = corpus.read_music(tmp_path / "mono.wav")
    assert sound.shape == (RATE, 2)
    assert np.max(np.abs(sound)) == pytest.approx(0.5, rel=0.02)
    soundfile.write(tmp_path / "still.wav", np.zeros(1000), RATE)
    with pytest.raises(ReadError, match="silent"):
        corpus.read_music(tmp_path / "still.wav")


def test_pieces_are_joined_without_steps() -> None:
    side = corpus.join([np.full((RATE, 2), 0.5), np.full((RATE, 2), -0.5)], 5.0)
    assert side.shape == (5 * RATE, 2)
    assert np.max(np.abs(np.diff(side, axis=0))) < 0.01


# --- scores -----------------------------------------------------------------------------------


def test_scores_of_perfection_and_of_idleness(music: Path, tmp_path: Path) -> None:
    (item,) = corpus.list_items(corpus.find_music(music, "tune"), ["pop"], seconds=2.0, side_s=6.0)
    made = corpus.make(item, tmp_path, None)
    perfect = score(Task(made=made, restored=made.clean))
    assert perfect["events"] == perfect["improved"] == perfect["hits"] > 0
    assert perfect["false"] == 0
    assert perfect["off_target"] == 0.0
    assert perfect["gain_db"] > 60
    assert perfect["lsd_db"] == 0.0
    assert sum(map(len, perfect["gaps"].values())) == len(made.clicks)
    idle = score(Task(made=made, restored=made.worn))
    assert idle["gain_db"] == idle["whole_gain_db"] == idle["improved"] == idle["hits"] == 0
    assert idle["touched_per_min"] == 0
    assert idle["lsd_db"] == idle["lsd_worn_db"] > 0
    soundfile.write(tmp_path / "short.wav", np.zeros((100, 2)), RATE)
    with pytest.raises(ReadError, match="shape"):
        score(Task(made=made, restored=tmp_path / "short.wav"))


def test_gap_classes() -> None:
    assert gap_class(0.35) == "0-0.35"
    assert gap_class(0.36) == "0.35-0.75"
    assert gap_class(99.0) == "over 14"


def test_rows_pool_events_and_take_medians_over_music() -> None:
    base = {
        "gain_db": 10.0, "whole_gain_db": 9.0, "events": 10, "improved": 5, "event_gain_db": 8.0,
        "hits": 8, "false": 2, "touched_per_min": 100.0, "off_target": 1.0, "music": 100.0,
        "lsd_db": 1.0, "lsd_worn_db": 2.0, "mos": None, "mos_worn": None,
        "gaps": {"0-0.35": [10.0, 20.0]}, "seconds": 8.0,
        "cost": {"wall_s": 2.0, "cpu_s": 4.0, "peak_mb": 50.0}, "item": "pop/a",
    }  # fmt: skip
    other = {
        **base, "gain_db": 20.0, "events": 30, "improved": 25, "hits": 12, "false": 0,
        "off_target": 0.0, "music": 900.0, "gaps": {"over 14": [1.0], "0-0.35": [30.0]},
        "cost": {"wall_s": 2.0, "cpu_s": 0.0, "peak_mb": 70.0}, "item": "pop/b",
    }  # fmt: skip
    clean = {**base, "gain_db": None, "events": 0, "improved": 0, "hits": 0, "item": "pop/c"}
    row = summarize([base, other, {**clean, "false": 0, "off_target": 0.0, "music": 0.0}])
    assert (row["items"], row["events"]) == (3, 40)
    assert (row["gain_db"], row["gain_worst_db"]) == (15.0, 10.0)
    assert row["improved"] == 0.75
    assert row["recall"] == 0.5
    assert row["precision"] == round(20 / 22, 4)
    assert row["off_target_db"] == -30.0
    assert row["times_real_time"] == 4.0
    assert row["peak_mb"] == 70
    assert list(row["gaps"]) == ["0-0.35", "over 14"]
    assert row["gaps"]["0-0.35"] == {"median_db": 20.0, "gaps": 5}
    # A tool that modulates everything has no events, and no row invents them.
    assert summarize([base, {**other, "hits": None, "false": None}])["recall"] is None


# --- runs -------------------------------------------------------------------------------------


def test_a_run_measures_every_tool_in_turn(music: Path, tmp_path: Path) -> None:
    peers = {**fakes(), "absent": FakePeer(name="absent", present=False)}
    plan = plan_for(music, tools=tuple(peers))
    done = measured(plan, peers, tmp_path)
    assert [(c["tool"], c["set"]) for c in done.cells] == [
        ("lazy", "control"), ("lazy", "control"), ("perfect", "control"), ("perfect", "control"),
        ("perfect", "pop"), ("perfect", "pop"), ("lazy", "pop"), ("lazy", "pop"),
    ]  # fmt: skip
    assert not peers["absent"].calls
    assert not list((tmp_path / "sounds").rglob("*.wav"))
    values = assemble(done, dict(peers), command="declick bench", elapsed_s=60.0)
    results = Results(values)
    assert results.measured == ["lazy", "perfect"]
    row = results.row("perfect", "pop")
    assert row is not None
    assert row["improved"] == row["recall"] == 1.0
    text = all_tables(results)
    assert "| absent | not installed: `make fake` |" in text
    assert "NaN" not in text


def test_sounds_are_kept_on_request_and_settings_swept(music: Path, tmp_path: Path) -> None:
    peers = fakes()
    plan = plan_for(music, sets=("worn",), split="tune", sweep=True)
    done = measured(plan, peers, tmp_path, keep=True)
    assert {c["setting"] for c in done.cells} == {0.5, 1.0}
    kept = sorted(p.name for p in (tmp_path / "sounds/worn").iterdir())
    ends = ("clean", "lazy", "lazy@0.5", "perfect", "perfect@0.5", "worn")
    assert kept == [f"{MUSIC[1]}.{end}.wav" for end in ends]


def test_a_broken_run_goes_on(music: Path, tmp_path: Path) -> None:
    first = measured(plan_for(music), fakes(), tmp_path)
    journal = tmp_path / "cells.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    assert len(lines) == 1 + len(first.cells) == 9
    # Broken off in the middle of the last cell.
    journal.write_text("".join(lines[:-1]) + lines[-1][:20])
    peers = fakes()
    again = measured(plan_for(music), peers, tmp_path, resume=True)
    assert peers["perfect"].calls == []
    assert peers["lazy"].calls == [(1.0, (f"{MUSIC[1]}.worn.wav",))]
    assert again.cells == first.cells
    # Nothing is left to do; a tool is measured anew only if that is asked for.
    peers = fakes()
    measured(plan_for(music, again=("perfect",)), peers, tmp_path, resume=True)
    assert len(peers["perfect"].calls) == 2
    assert peers["lazy"].calls == []
    with pytest.raises(SettingsError, match="another corpus"):
        measured(plan_for(music, seconds=3.0), fakes(), tmp_path, resume=True)
    peers = fakes()
    measured(plan_for(music), peers, tmp_path)
    assert len(peers["lazy"].calls) == 2


def test_a_tool_that_stumbles_costs_only_that_file(music: Path, tmp_path: Path) -> None:
    peers = {"lazy": FakePeer(name="lazy", stumbles_over="drums")}
    done = measured(plan_for(music, tools=("lazy",), sets=("pop",)), peers, tmp_path)
    assert ["error" in cell for cell in done.cells] == [True, False]
    values = assemble(done, dict(peers), command="declick bench", elapsed_s=60.0)
    assert "stumbled over drums" in values["failures"][0]["error"]
    assert "\\*" in TABLES["gain"](Results(values))


def test_sets_without_what_they_need_say_so(music: Path, tmp_path: Path) -> None:
    plan = plan_for(music, sets=("real", "percussive", "pop"), split="tune", groove=tmp_path / "no")
    done = measured(plan, fakes(), tmp_path)
    assert done.missing == {"real": "no bank", "percussive": "no percussive music"}
    assert {cell["set"] for cell in done.cells} == {"pop"}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"tools": ("nobody",)}, "there is no tool 'nobody'; choose from lazy, perfect"),
        ({"sets": ("pop", "plop")}, "there is no set 'plop'"),
        ({"seconds": 0.5}, "--seconds 0.5"),
        ({"side_minutes": 0.01}, "--side-minutes 0.01"),
    ],
)
def test_plans_that_cannot_be(
    changes: dict[str, Any], told: str, music: Path, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=told):
        measured(plan_for(music, **changes), fakes(), tmp_path)


def test_a_journal_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "cells.jsonl"
    path.write_text("something else\n")
    with pytest.raises(ReadError, match="not a journal"):
        Journal(path, {}, resume=True)


# --- results and tables -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def values(music: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    peers = fakes()
    peers["declick"] = FakePeer(name="declick")
    plan = plan_for(
        music, tools=tuple(peers), sets=("control", "gouge", "worn", "side"), sweep=True
    )
    done = measured(plan, peers, tmp_path_factory.mktemp("run"))
    return assemble(done, dict(peers), command="declick bench --sweep", elapsed_s=90.0)


def test_results_round_trip(values: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    write_results(path, values)
    assert read_results(path) == json.loads(json.dumps(values))
    assert len(path.read_text().splitlines()) > len(values["rows"])
    path.write_text('{"schema": "declick-bench/2"}')
    with pytest.raises(ReadError, match="schema"):
        read_results(path)
    with pytest.raises(ReadError, match="declick bench"):
        read_results(tmp_path / "absent.json")


def test_tables_say_what_the_results_say(values: dict[str, Any]) -> None:
    results = Results(values)
    row = results.row("perfect", "worn")
    assert row is not None
    gain = TABLES["gain"](results)
    assert f"**{row['gain_db']:.1f}**" in gain
    assert "| lazy | 0.0 | 0.0 | 0.0 |" in gain
    assert "worn**: perfect gains" in TABLES["losses"](results)
    assert "| perfect | 1.0 | 0 | none |" in TABLES["harm"](results)
    assert "gouge, " in TABLES["gaps"](results)
    assert "`declick bench --sweep`, 2 minutes" in TABLES["about"](results)
    assert [point[0] for point in sweep_of(results, "lazy")] == [0.5, 1.0]


def test_pages_are_filled_and_only_their_blocks(values: dict[str, Any], tmp_path: Path) -> None:
    results = Results(values)
    page = tmp_path / "page.md"
    page.write_text("Before\n<!-- bench:gain -->\nold\n<!-- /bench -->\nafter\n")
    fill_pages([page], results)
    expected = f"Before\n<!-- bench:gain -->\n{TABLES['gain'](results)}\n<!-- /bench -->\nafter\n"
    assert page.read_text() == expected
    assert fill(expected, results) == expected
    with pytest.raises(ReadError, match="bench:nothing: is no table"):
        fill("<!-- bench:nothing -->\n<!-- /bench -->", results)
    page.write_text("no blocks")
    with pytest.raises(ReadError, match="to fill"):
        fill_pages([page], results)


def test_figures_are_drawn(values: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    drawn = draw_figures(tmp_path, Results(values))
    assert [path.name for path in drawn] == ["bench-sweep.png", "bench-gain.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)


def test_the_pages_show_the_committed_results() -> None:
    path = ROOT / "results/bench.json"
    if not path.exists():
        pytest.skip("no results yet")
    results = Results(read_results(path))
    for page in (ROOT / "README.md", ROOT / "docs/benchmark.md"):
        text = page.read_text(encoding="utf-8")
        assert "<!-- bench:" in text
        assert text == fill(text, results), (
            f"declick bench --tables results/bench.json --into {page}"
        )


def test_the_command_is_the_one_that_makes_all(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["declick", "bench", "--sweep", "--resume", "--again", "gwc", "--clean", "my music"]
    monkeypatch.setattr("sys.argv", words)
    assert command_line() == "declick bench --sweep --clean 'my music'"


# --- command line -----------------------------------------------------------------------------


def test_the_command(
    music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    peers: dict[str, Peer] = dict(fakes())
    monkeypatch.setattr("declick.cli.benching.PEERS", peers)
    out = tmp_path / "results" / "bench.json"
    words = ["bench", "--clean", str(music), "--groove", str(tmp_path), "--split", "tune"]
    words += ["--seconds", "2", "--sets", "pop,control", "--jobs", "1", "-o", str(out)]
    assert main(words) == 0
    assert read_results(out)["corpus"]["music"].keys() == {MUSIC[1]}
    assert "| perfect | **" in capsys.readouterr().out
    assert main(words) == 1
    assert "--resume or --overwrite" in capsys.readouterr().err
    assert main([*words, "--resume", "--again", "lazy"]) == 0
    page = tmp_path / "page.md"
    page.write_text("<!-- bench:harm -->\n<!-- /bench -->\n")
    assert main(["bench", "--tables", str(out), "--into", str(page)]) == 0
    assert "| perfect | 1.0 |" in page.read_text()
    assert main(["bench", "--tables", str(out)]) == 0
    assert "## gain" in capsys.readouterr().out


def test_a_listening_test(
    music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    peers: dict[str, Peer] = dict(fakes())
    monkeypatch.setattr("declick.cli.benching.PEERS", peers)
    pack = tmp_path / "listening"
    words = [
        "bench",
        "--clean",
        str(music),
        "--split",
        "tune",
        "--seconds",
        "2",
        "--abx",
        str(pack),
    ]
    assert main([*words, "--sets", "control,pop,side"]) == 0
    key = json.loads((tmp_path / "listening-key.json").read_text())
    # Worn, lazy and perfect, each against the clean sound of one place.
    pairs = [{t["A"], t["B"]} for t in key["trials"]]
    assert all(pair in pairs for pair in ({"clean", n} for n in ("worn", "lazy", "perfect")))
    assert len(list(pack.glob("*.flac"))) == 9
    answers = {str(t["trial"]): {"X": t["X"], "better": None} for t in key["trials"]}
    saved = tmp_path / "answers.json"
    saved.write_text(
        json.dumps({"schema": "declick-abx-answers/1", "pack": key["pack"], "answers": answers})
    )
    assert main(["bench", "--abx", str(pack), "--answers", str(saved)]) == 0
    assert "perfect / clean: 1 of 1 right, p = 0.5" in capsys.readouterr().out


def test_the_strongest_damage_is_chosen() -> None:
    clean, worn = np.full((RATE, 2), 0.1), np.full((RATE, 2), 0.1)
    worn[1000:1010] += 0.2
    worn[30000:30010] += 0.3
    events = [Event(start=1000, stop=1010, tail=1010), Event(start=30000, stop=30010, tail=30010)]
    assert strongest(clean, worn, events) == events[1]
    clean[29000:31000] *= 10
    worn[29000:31000] += 0.9
    assert strongest(clean, worn, events) == events[0]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--clean", "absent"], "absent: cannot be read"),
        ([], "clean music with --clean"),
        (["--abx", "pack"], "clean music with --clean"),
        (["--clean", ".", "--groove", "nowhere"], "nowhere: is no folder"),
        (["--clean", ".", "--peers", "nobody"], "there is no tool 'nobody'"),
        (["--into", "README.md"], "--tables"),
        (["--again", "declick"], "--resume"),
        (["--answers", "a.json"], "--abx"),
        (["--tables", "absent.json"], "absent.json: cannot be read"),
    ],
)
def test_the_command_refuses_in_one_line(
    words: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["bench", *words]) == (1 if "absent" in told else 2)
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_declick_is_among_its_peers() -> None:
    assert next(iter(PEERS)) == "declick"
