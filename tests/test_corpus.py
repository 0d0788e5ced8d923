"""The corpus of clean music: what enters it, that it is made the same again, what is drawn."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from declick.clicks import FloatArray
from declick.errors import MissingExtraError, ReadError, SettingsError
from declick.train.build import build_corpus, hours
from declick.train.cleanliness import Limits, bandwidth, clipped_runs, isolated_peaks, judge
from declick.train.corpus import Corpus, main, pack
from declick.train.figures import draw_bar, draw_line, draw_rhythm
from declick.train.manifest import Entry, Excluded, read_manifest
from declick.train.midi import DRUM_CHANNEL, Note, move, mute, read_score, write_notes
from declick.train.recipe import read_recipe
from declick.train.render import accompany, grooves, play, play_parts, write_chords

RATE = 44100
SHIPPED = Path(__file__).parents[1] / "recipes" / "surface-3" / "corpus.toml"

RECIPE = """
schema = "declick-corpus/1"
sample_rate = 44100
seed = 5
[weights]
music = 0.6
percussion = 0.25
voice = 0.15
[[source]]
name = "band"
kind = "tracks"
class = "music"
package = "band-music"
licence = "CC0"
files = ["usr/share/band/*.wav"]
drop = ["ticking.wav"]
[[source]]
name = "kits"
kind = "hits"
class = "percussion"
package = "kits-data"
licence = "CC BY 3.0"
files = ["usr/share/kits/*/*.wav"]
known_clean = true
pieces = 2
piece_s = 4
valid_groups = ["tin"]
[[source]]
name = "talk"
kind = "words"
class = "voice"
package = "kits-data"
licence = "CC0"
files = ["usr/share/kits/wood/*.wav"]
known_clean = true
piece_s = 4
split = "train"
[[source]]
name = "other"
kind = "tracks"
class = "music"
package = "other-music"
licence = "GPL-2"
files = ["usr/share/other/*.wav"]
split = "valid"
"""


def murmur(seed: int, seconds: float = 12.0, channels: int = 2, rate: int = RATE) -> FloatArray:
    """Return soft noise with a tone in it: nothing stands alone."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    tone = 0.2 * np.sin(2 * np.pi * (200 + 30 * seed) * time)
    return tone[:, None] + rng.normal(0.0, 0.02, (time.size, channels))


def make_packages(root: Path) -> None:
    band = root / "band-music/usr/share/band"
    other = root / "other-music/usr/share/other"
    for folder in (band, other):
        folder.mkdir(parents=True)
    doc = root / "band-music/usr/share/doc/band-music"
    doc.mkdir(parents=True)
    (doc / "changelog.Debian").write_text("band-music (1:2.0-1) unstable; urgency=low\n")
    soundfile.write(band / "one.wav", murmur(1), RATE)
    soundfile.write(band / "two.wav", murmur(2, channels=1, rate=48000), 48000)
    clicked = murmur(3)
    clicked[7 * RATE] += 0.7  # in the second window of 5 s
    soundfile.write(band / "clicked.wav", clicked, RATE)
    soundfile.write(band / "clipped.wav", np.clip(5 * murmur(4), -1, 32767 / 32768), RATE)
    soundfile.write(band / "ticking.wav", murmur(6), RATE)
    soundfile.write(other / "else.wav", murmur(7), RATE)
    rng = np.random.default_rng(8)
    for kit in ("wood", "tin"):
        folder = root / "kits-data/usr/share/kits" / kit
        folder.mkdir(parents=True)
        for name in ("clap", "drum"):
            decay = np.exp(-np.arange(RATE // 4) / 1500)
            soundfile.write(
                folder / f"{name}.wav", 0.5 * decay * rng.normal(0, 0.3, RATE // 4), RATE
            )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packages, a recipe and the corpus that is made of them: to be read only."""
    folder = tmp_path_factory.mktemp("corpus")
    make_packages(folder / "packages")
    (folder / "corpus.toml").write_text(RECIPE)
    build_corpus(folder / "corpus.toml", folder / "corpus", packages=folder / "packages")
    return folder


@pytest.fixture
def packages(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made / "packages", tmp_path / "packages")
    return tmp_path / "packages"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture
def corpus(made: Path) -> Path:
    return made / "corpus"


@pytest.fixture
def own_corpus(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made / "corpus", tmp_path / "corpus")
    return tmp_path / "corpus"


def named(folder: Path, name: str) -> Entry:
    return next(e for e in read_manifest(folder).entries if Path(e.path).stem == name)


def test_manifest_tells_origin_and_split(corpus: Path) -> None:
    manifest = read_manifest(corpus)
    one = named(corpus, "band-one")
    assert (one.package, one.version, one.licence) == ("band-music", "1:2.0-1", "CC0")
    assert one.origin == ("usr/share/band/one.wav",)
    assert (one.frames, one.channels, one.excluded) == (12 * RATE, 2, ())
    two = named(corpus, "band-two")
    assert (two.frames, two.channels) == (12 * RATE, 1)
    names = {Path(entry.path).stem for entry in manifest.entries}
    assert "band-ticking" not in names
    splits = {entry.group: set[str]() for entry in manifest.entries}
    for entry in manifest.entries:
        splits[entry.group].add(entry.split)
    assert all(len(found) == 1 for found in splits.values())
    assert splits["kits-data/tin"] == {"valid"}
    assert splits["kits-data/wood"] == {"train"}
    for entry in manifest.entries:
        info = soundfile.info(corpus / entry.path)
        assert (info.frames, info.subtype, info.samplerate) == (entry.frames, "PCM_16", RATE)


def test_damage_in_the_source_is_not_drawn(corpus: Path) -> None:
    clicked = named(corpus, "band-clicked")
    assert [(e.start, e.stop) for e in clicked.excluded] == [(5 * RATE, 10 * RATE)]
    assert "isolated" in clicked.excluded[0].reason
    assert clicked.stretches() == [(0, 5 * RATE), (10 * RATE, 12 * RATE)]
    rejected = read_manifest(corpus).rejected
    assert [item.name for item in rejected] == ["band-clipped"]
    assert "clipped runs" in rejected[0].reason


def test_the_same_again_to_the_bit(
    tmp_path: Path, recipe: Path, packages: Path, corpus: Path
) -> None:
    first = read_manifest(corpus)
    assert build_corpus(recipe, tmp_path / "second", packages=packages) == first
    for entry in first.entries:
        sound = (tmp_path / "second" / entry.path).read_bytes()
        assert sound == (corpus / entry.path).read_bytes()


def test_goes_on_where_it_was_left(own_corpus: Path, recipe: Path, packages: Path) -> None:
    before = read_manifest(own_corpus)
    paths = [own_corpus / entry.path for entry in before.entries]
    times = {path: path.stat().st_mtime_ns for path in paths}
    paths[0].unlink()
    paths[1].write_bytes(b"cut short")
    assert build_corpus(recipe, own_corpus, packages=packages) == before
    changed = {path for path in paths if path.stat().st_mtime_ns != times[path]}
    assert changed == {paths[0], paths[1]}


def test_changed_settings_make_their_sounds_anew(
    own_corpus: Path, recipe: Path, packages: Path
) -> None:
    before = {entry.path: entry for entry in read_manifest(own_corpus).entries}
    recipe.write_text(RECIPE.replace("piece_s = 4\nvalid", "piece_s = 3\nvalid"))
    after = {e.path: e for e in build_corpus(recipe, own_corpus, packages=packages).entries}
    differs = {path for path in before if before[path].sha256 != after[path].sha256}
    assert differs == {path for path in before if "kits-" in path}


def test_what_the_recipe_no_longer_names_goes(
    own_corpus: Path, recipe: Path, packages: Path
) -> None:
    recipe.write_text(RECIPE.replace('drop = ["ticking.wav"]', 'drop = ["one.wav"]'))
    stems = {Path(e.path).stem for e in build_corpus(recipe, own_corpus, packages=packages).entries}
    assert {path.stem for path in (own_corpus / "sounds").iterdir()} == stems
    assert "band-ticking" in stems
    assert "band-one" not in stems


def test_missing_packages_are_told_with_the_remedy(
    tmp_path: Path, recipe: Path, packages: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(packages / "other-music")
    shutil.rmtree(packages / "band-music")
    out = tmp_path / "corpus"
    arguments = [str(recipe), "-o", str(out), "--packages", str(packages)]
    assert main(arguments) == 1
    assert "apt-get install band-music other-music" in capsys.readouterr().err
    assert main([*arguments, "--partial", "--pack", str(tmp_path / "packed")]) == 0
    assert "train percussion" in capsys.readouterr().out
    assert read_manifest(out).missing == ("band-music", "other-music")
    assert {entry.source for entry in read_manifest(out).entries} == {"kits", "talk"}
    assert Corpus(tmp_path / "packed").manifest.packing is not None


def test_a_group_is_never_in_both_splits(tmp_path: Path, recipe: Path, packages: Path) -> None:
    recipe.write_text(RECIPE.replace('split = "train"', 'split = "valid"'))
    with pytest.raises(ReadError, match="kits-data/wood: is in both splits"):
        build_corpus(recipe, tmp_path / "corpus", packages=packages)


def test_a_file_that_the_recipe_names_must_be_there(
    tmp_path: Path, recipe: Path, packages: Path
) -> None:
    (packages / "other-music/usr/share/other/else.wav").unlink()
    with pytest.raises(ReadError, match="package other-music: has no file"):
        build_corpus(recipe, tmp_path / "corpus", packages=packages)


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ('kind = "hits"', 'kind = "hit"', "'hit' is none of"),
        ('licence = "CC0"', 'license = "CC0"', "unknown: license"),
        ("known_clean = true", 'known_clean = "yes"', "must be a bool"),
        ("music = 0.6", "musik = 0.6", "weights are for"),
        ('name = "talk"', 'name = "kits"', "same name"),
        ('schema = "declick-corpus/1"', "", "schema"),
        ("seed = 5", "", "'seed' is missing"),
        ("seed = 5", "seed = 5\nnoise = 2", "unknown: noise"),
        ("piece_s = 4", 'piece_s = 4\nfonts = ["x"]', "no font 'x'"),
    ],
)
def test_recipe_faults_are_told(recipe: Path, old: str, new: str, match: str) -> None:
    recipe.write_text(RECIPE.replace(old, new))
    with pytest.raises(ReadError, match=match):
        read_recipe(recipe)


def test_the_shipped_recipe_leaves_the_benchmark_out() -> None:
    recipe = read_recipe(SHIPPED)
    assert not {
        "fretsonfire-songs-muldjord",
        "hyperrogue-music",
        "musescore-general-soundfont",
        "musescore-general-soundfont-lossless",
    } & set(recipe.packages())
    shared = {6, 9, 13, *range(40, 44), 47, 56, 57, 58, *range(68, 74)}
    assert shared <= set(recipe.fonts["fluid"].avoid)
    patterns = [pattern for source in recipe.sources for pattern in source.files]
    assert not any("Forzee" in pattern or "drumkits/*" in pattern for pattern in patterns)
    loops = next(source for source in recipe.sources if source.name == "sonicpi-loops")
    assert {"loop_tabla.flac", "guit_em9.flac"} <= set(loops.drop)
    assert not any("vinyl" in pattern for pattern in patterns)


@pytest.mark.parametrize("packed", [False, True])
def test_drawn_excerpts(corpus: Path, tmp_path: Path, packed: bool) -> None:
    folder = corpus
    if packed:
        folder = tmp_path / "packed"
        pack(corpus, folder, shard_bytes=1_000_000)
        sizes = [path.stat().st_size for path in folder.glob("*.npy")]
        assert len(sizes) > 3
        assert max(sizes) <= 1_000_000
    source = Corpus(folder)
    rng, again = np.random.default_rng(1), np.random.default_rng(1)
    drawn: Counter[str] = Counter()
    sounds = {
        entry.path: soundfile.read(corpus / entry.path, dtype="float32", always_2d=True)[0]
        for entry in source.manifest.entries
    }
    for _ in range(25):
        samples, rate, entry = source.draw(rng, "train", 1.5)
        same, _, _ = source.draw(again, "train", 1.5)
        assert samples.shape == (round(1.5 * RATE), 2)
        assert samples.dtype == np.float32
        assert rate == RATE
        assert np.array_equal(samples, same)
        assert entry.split == "train"
        drawn[entry.sound_class] += 1
        # It is what the file holds, and of nothing that is left out.
        whole = sounds[entry.path]
        starts = range(len(whole) - len(samples) + 1)
        for place in (0, 5, 700, 40000, 55555):  # enough to know the place by
            left = np.asarray(starts)
            starts = left[whole[left + place, 0] == samples[place, 0]]
        clean = entry.stretches()
        assert any(a <= n and n + len(samples) <= b for n in starts for a, b in clean)
        if entry.channels == 1:
            assert np.array_equal(samples[:, 0], samples[:, 1])
    assert drawn["music"] > drawn["percussion"] > 0
    assert {source.draw(rng, "valid", 1.0)[2].group for _ in range(20)} == {
        "kits-data/tin",
        "other-music",
    }
    assert source.draw(rng, "train", 1.0, sound_class="voice")[2].source == "talk"
    with pytest.raises(ReadError, match="is 60 s long"):
        source.draw(rng, "train", 60.0)


def test_packed_and_plain_draw_the_same(corpus: Path, tmp_path: Path) -> None:
    pack(corpus, tmp_path / "packed", shard_bytes=300_000)
    for seed in range(20):
        plain = Corpus(corpus).draw(np.random.default_rng(seed), "train", 2.0)
        packed = Corpus(tmp_path / "packed").draw(np.random.default_rng(seed), "train", 2.0)
        assert np.array_equal(plain[0], packed[0])
    with pytest.raises(SettingsError, match="packed already"):
        pack(tmp_path / "packed", tmp_path / "twice")


def test_a_short_pack_keeps_what_is_left_out_out(corpus: Path, tmp_path: Path) -> None:
    pack(corpus, tmp_path / "packed", most_s=6.0)
    clicked = named(tmp_path / "packed", "band-clicked")
    assert clicked.frames == 6 * RATE
    assert clicked.stretches() == [(0, 5 * RATE)]


def test_hard_negatives_are_in_every_batch(corpus: Path) -> None:
    source = Corpus(corpus)
    rng = np.random.default_rng(3)
    for _ in range(50):
        counts = Counter(source.draw_classes(rng, "train", 8))
        assert sum(counts.values()) == 8
        assert counts["percussion"] == 2
        assert counts["music"] in (4, 5)
        assert counts["voice"] in (1, 2)


def test_manifest_faults_are_told(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="build the corpus first"):
        Corpus(tmp_path)
    path = tmp_path / "manifest.json"
    for text in ("{", "[]", '{"schema": "other"}', json.dumps({"schema": "declick-corpus/1"})):
        path.write_text(text)
        with pytest.raises(ReadError, match="build the corpus again"):
            read_manifest(tmp_path)


def test_hours_count_what_can_be_drawn(corpus: Path) -> None:
    totals = hours(read_manifest(corpus).entries, RATE)
    assert totals["train", "music"] == pytest.approx((12 + 12 + 7) / 3600)


def test_clipping_is_runs_at_full_scale() -> None:
    sound = murmur(1, 1.0)
    sound[100:102, 0] = 1.0
    sound[200:203, 1] = -1.0
    sound[300:302, 0] = 1.0
    sound[302, 0] = -1.0
    assert clipped_runs(sound, 3).tolist() == [200]


def test_isolated_peaks_are_found_wherever_they_are() -> None:
    rng = np.random.default_rng(2)
    sound = rng.normal(0.0, 0.01, (35 * RATE, 2))
    tile = round(30.0 * RATE) // 1024 * 1024
    places = [RATE // 2, tile - 1, tile + 2000, 34 * RATE]
    sound[places, 1] += 0.4
    sound[9 * RATE : 9 * RATE + 400, 0] *= 40.0  # a burst is not alone
    left, right = isolated_peaks(sound, RATE, 15.0)
    assert left.tolist() == []
    assert right.tolist() == places


def test_natural_peaks_stay_where_the_source_is_known() -> None:
    sound = murmur(1, 6.0)
    sound[RATE] += 0.7
    sound[3 * RATE : 5 * RATE] = 0.0
    silence = Excluded(start=3 * RATE, stop=5 * RATE, reason="digital silence")
    assert judge(sound, RATE, Limits(), known_clean=True) == (silence,)
    assert len(judge(sound, RATE, Limits(), known_clean=False)) == 2


def test_bandwidth_of_dull_sound() -> None:
    tone = np.sin(2 * np.pi * 3000 * np.arange(RATE) / RATE)[:, None]
    assert bandwidth(tone, RATE) == pytest.approx(3000, abs=100)
    assert bandwidth(murmur(1, 1.0), RATE) > 21000


def test_scores_are_read_and_muted() -> None:
    notes = [
        Note(start_s=0.0, stop_s=0.5, channel=0, key=60, velocity=90),
        Note(start_s=0.5, stop_s=200.0, channel=3, key=64, velocity=80),
        Note(start_s=0.2, stop_s=0.3, channel=DRUM_CHANNEL, key=37, velocity=70),
    ]
    data = write_notes(notes, {0: 12, 3: 56})
    score = read_score(data)
    assert score.programs == {0: {12}, 3: {56}, DRUM_CHANNEL: {0}}
    assert (score.notes, score.hanging) == (3, False)
    assert read_score(mute(data, {3})).programs == {0: {12}, DRUM_CHANNEL: {0}}
    assert read_score(move(data, 3, 5)).programs == {0: {12}, 5: {56}, DRUM_CHANNEL: {0}}
    endless = data.replace(bytes((0x83, 64, 0)), bytes((0x93, 63, 1)))
    assert endless == data or read_score(endless).hanging
    for broken in (b"RIFF", data[:-6]):
        with pytest.raises(ReadError, match="MIDI"):
            read_score(broken)


def test_a_note_without_end_is_seen() -> None:
    # Running status, as most files have it.
    track = bytes((0, 0x90, 60, 90, 10, 62, 90, 10, 60, 0, 0, 0xFF, 0x2F, 0))
    data = b"MThd" + bytes((0, 0, 0, 6, 0, 0, 0, 1, 1, 0xE0)) + b"MTrk"
    score = read_score(data + len(track).to_bytes(4, "big") + track)
    assert (score.notes, score.hanging) == (2, True)


def test_figures_are_playable() -> None:
    rng = np.random.default_rng(4)
    for program in (0, 9, 33, 56):
        notes = draw_line(rng, program, 10.0)
        assert len(notes) > 5
        assert all(0 <= n.start_s < 12.0 and n.stop_s > n.start_s and n.key < 128 for n in notes)
    assert {note.channel for note in draw_rhythm(rng, 10.0)} == {DRUM_CHANNEL}
    assert all(1 <= sum(draw_bar(rng, 16)) <= 10 for _ in range(50))


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """Put a program in the synthesizer's place; its arguments are in `words`."""
    folder.mkdir()
    program = folder / "fluidsynth"
    program.write_text(f"#!{sys.executable}\nimport struct, sys\nwords = sys.argv\n{body}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


ENDLESS = """
sound = struct.pack("<f", 0.25) * 8192
with open(words[words.index("-F") + 1], "wb") as file:
    while True:
        file.write(sound)
"""
# As loud as the score has sounding notes.
COUNTING = """
notes = open(words[-1], "rb").read()
loud = sum(notes[i] in (0x90, 0x93) and notes[i + 2] > 0 for i in range(22, len(notes) - 4))
with open(words[words.index("-F") + 1], "wb") as file:
    file.write(struct.pack("<f", loud / 8) * 2000)
"""


def test_a_score_without_end_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path / "bin", monkeypatch, ENDLESS)
    sound = play(b"", tmp_path / "x.sf2", sample_rate=8000, longest_s=2.0, wet=False)
    assert sound.shape == (16000, 2)
    assert np.all(sound[:15000] == 0.25)
    assert np.all(sound[-1] == 0.0)


def test_channels_go_to_the_font_that_may_play_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path / "bin", monkeypatch, COUNTING)
    keys = [(0, 60), (0, 62), (3, 64)]
    notes = [Note(start_s=0, stop_s=1, channel=c, key=k, velocity=90) for c, k in keys]
    parts = [(tmp_path / "a.sf2", frozenset({3})), (tmp_path / "b.sf2", frozenset({0}))]
    sound = play_parts(write_notes(notes, {}), parts, sample_rate=8000, longest_s=2.0, wet=False)
    assert sound.shape == (1000, 2)
    assert np.all(sound == 3 / 8)


def test_a_failing_synthesizer_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path / "bin", monkeypatch, "sys.exit(1)")
    parts = [(tmp_path / "a.sf2", frozenset[int]())]
    with pytest.raises(ReadError, match="no sound"):
        play_parts(write_notes([], {}), parts, sample_rate=8000, longest_s=2.0, wet=False)
    (tmp_path / "bin/fluidsynth").unlink()
    with pytest.raises(MissingExtraError, match="apt-get install fluidsynth"):
        play_parts(write_notes([], {}), parts, sample_rate=8000, longest_s=2.0, wet=False)
    with pytest.raises(MissingExtraError, match="apt-get install mma"):
        accompany("Groove Waltz\n1 C\n")


def test_sources_that_cannot_be_rendered_wait(
    tmp_path: Path, packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "corpus.toml"
    font = '[fonts.f]\npackage = "kits-data"\nfile = "f.sf2"\nlicence = "CC0"\n'
    lines = 'name = "lines"\nkind = "figures"\nclass = "music"\nlicence = "CC0"\nfonts = ["f"]\n'
    text = RECIPE.replace("seed = 5", 'seed = 5\nprograms = ["fluidsynth"]')
    path.write_text(text.replace("[[source]]", f"{font}[[source]]\n{lines}[[source]]", 1))
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    out = tmp_path / "corpus"
    with pytest.raises(ReadError, match="apt-get install fluidsynth"):
        build_corpus(path, out, packages=packages, only=["lines"])
    manifest = build_corpus(path, out, packages=packages, only=["lines"], partial=True)
    assert (manifest.missing, manifest.rejected) == (("fluidsynth",), ())


def test_chords_name_grooves_and_change_them(tmp_path: Path) -> None:
    style = tmp_path / "style.mma"
    style.write_text("DefGroove Ska  Plain.\n  DefGroove SkaPlus\nDefGroove SkaEnd\n")
    assert grooves(style) == ["Ska", "SkaPlus"]
    text = write_chords(["Ska", "SkaPlus"], np.random.default_rng(1), 16)
    assert text == write_chords(["Ska", "SkaPlus"], np.random.default_rng(1), 16)
    assert text.count("Groove Ska") == 2
    assert "\n16 " in text
    assert "RndSeed" in text
