"""Damage that is drawn and laid on: exact when replayed, true to its truth, spread as stated."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from declick.clicks import FloatArray, Kind
from declick.damage.apply import CORE_SHARE, TAIL_SHARE, Worn, wear
from declick.damage.arrivals import draw_times, draw_turns
from declick.damage.bank import Bank, BankedClick
from declick.damage.draw import (
    RANGES,
    Bed,
    Chain,
    Damage,
    Family,
    Ring,
    Thump,
    Wear,
    WearSettings,
    draw_chain,
    draw_wear,
)
from declick.damage.recipe import Origin, load_wear, read_recipe, save_wear
from declick.damage.render import de_emphasis, render
from declick.damage.sets import SETS, find_set
from declick.errors import ReadError, SettingsError
from worn import piece

RATE = 44100
SYNTHETIC = [name for name in SETS if name != "real"]


@cache
def music(duration_s: float = 8.0, rate: int = RATE, channels: int = 2) -> FloatArray:
    return np.ascontiguousarray(piece(duration_s, sample_rate=rate)[:, np.arange(channels) % 2])


def drawn(name: str, seed: int = 1, duration_s: float = 8.0) -> Wear:
    return draw_wear(np.random.default_rng(seed), duration_s, SETS[name], bank=bank())


@cache
def laid(name: str) -> Worn:
    return wear(music(), RATE, drawn(name), bank=bank())


@cache
def bank() -> Bank:
    """Two clicks, as if they had been cut: one of a stereo record, one of a mono one."""
    rng = np.random.default_rng(3)
    clicks = []
    for rate, channels, frames in ((RATE, 2, 300), (96000, 1, 500)):
        fade = np.exp(-np.arange(frames) / 25.0) * np.minimum(1.0, np.arange(frames) / 4)
        samples = (0.3 * rng.standard_normal((frames, channels)) * fade[:, None]).astype(np.float32)
        peak = float(np.max(np.abs(samples)))
        clicks.append(
            BankedClick(
                samples=samples,
                sample_rate=rate,
                onset=2,
                core_start=2,
                core_stop=40,
                kind=Kind.TICK,
                peak=peak,
                level_db=20.0,
            )
        )
    return Bank(clicks=tuple(clicks))


def one(family: Family = Family.TICK, **values: object) -> Wear:
    """Return wear of a single click."""
    kind = RANGES[family].kind if family in RANGES else Kind.TICK
    fields = {
        "time_s": 4.0, "family": family, "kind": kind, "width_s": 3e-4,
        "level_db": 20.0, "shape": (1.0, -0.8), "lengths": (0.4, 0.6),
    }  # fmt: skip
    damage = Damage(**{**fields, **values})  # type: ignore[arg-type]
    return Wear(seed=1, duration_s=8.0, chain=Chain(), damages=(damage,))


def local_level(clean: FloatArray, frame: int, rate: int = RATE) -> float:
    reach = round(0.05 * rate)
    return float(np.sqrt(np.mean(clean[max(0, frame - reach) : frame + reach] ** 2)))


# --- replay -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETS)
def test_replay_from_json_is_exact_to_the_bit(name: str, tmp_path: Path) -> None:
    first = drawn(name)
    save_wear(tmp_path / "wear.json", first, origin=Origin(name="a.flac", sample_rate=RATE))
    again, origin = read_recipe(tmp_path / "wear.json")
    assert again == first
    assert origin == Origin(name="a.flac", sample_rate=RATE)
    replayed = wear(music(), RATE, again, bank=bank())
    assert np.array_equal(replayed.worn, laid(name).worn)
    assert np.array_equal(replayed.clean, laid(name).clean)
    assert replayed.clicks == laid(name).clicks


def test_the_same_seed_draws_the_same() -> None:
    assert drawn("worn") == drawn("worn") != drawn("worn", seed=2)


def test_wear_can_be_changed_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "wear.json"
    save_wear(path, drawn("tick"))
    values = json.loads(path.read_text())
    assert values["schema"] == "declick-wear/1"
    values["damages"] = values["damages"][:1]
    values["damages"][0]["level_db"] = 12
    path.write_text(json.dumps(values))
    changed = load_wear(path)
    assert len(changed.damages) == 1
    assert changed.damages[0].level_db == 12.0


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda v: v.update(schema="other/1"), "schema"),
        (lambda v: v.update(tempo=3), "'tempo'"),
        (lambda v: v.pop("seed"), "no 'seed'"),
        (lambda v: v.update(seed=-1), "seed"),
        (lambda v: v.update(seed="1"), "not a int"),
        (lambda v: v.update(damages=3), "no list"),
        (lambda v: v.update(chain=[]), "no object"),
        (lambda v: v["damages"][0].update(kind="bang"), "not one of"),
        (lambda v: v["damages"][0].update(width_s=1e9), "width_s"),
        (lambda v: v["damages"][0].update(keep=-1), "keep"),
        (lambda v: v["damages"][0].update(lengths=[]), "length"),
        (lambda v: v["damages"][0].update(level_db=True), "level_db"),
        (lambda v: v["damages"][0]["rings"][0].update(decay_s=0), "decay_s"),
        (lambda v: v["chain"].update(turn_s=1e999), "turn_s"),
    ],
)
def test_json_that_is_no_wear_is_refused(change: object, fault: str, tmp_path: Path) -> None:
    path = tmp_path / "wear.json"
    save_wear(path, drawn("tick"))
    values = json.loads(path.read_text())
    change(values)  # type: ignore[operator]
    path.write_text(json.dumps(values))
    with pytest.raises(ReadError, match=fault) as caught:
        load_wear(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\x00", b"[]", b"null", b"{" * 100_000])
def test_what_is_not_json_is_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "wear.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ReadError, match=r"wear\.json: "):
        load_wear(path)


# --- truth ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETS)
def test_nothing_changes_outside_the_reach_of_the_damage(name: str) -> None:
    done = laid(name)
    outside = np.ones(done.worn.shape, dtype=bool)
    for item in done.laid:
        outside[item.start : item.stop, item.channel] = False
    assert np.array_equal(done.worn[outside], done.clean[outside])
    for item in done.laid:
        if item.click is not None:
            assert item.start <= item.click.start
            assert item.click.tail <= item.stop
    assert done.clicks == sorted(item.click for item in done.laid if item.click is not None)


@pytest.mark.parametrize("name", SETS)
def test_what_the_truth_leaves_out_is_small(name: str) -> None:
    done = laid(name)
    damage = done.worn - done.clean
    outside = np.ones(damage.shape, dtype=bool)
    for click in done.clicks:
        outside[click.start : click.tail, click.channel] = False
    before = 0.0 if name == "control" else np.sum(damage**2)
    assert np.sum(damage[outside] ** 2) <= 0.02 * before


@pytest.mark.parametrize("family", [Family.TICK, Family.POP, Family.CRACKLE])
def test_core_and_tail_are_where_the_damage_is(family: Family) -> None:
    done = wear(music(), RATE, one(family, right=-0.5, level_db=14.0))
    assert len(done.clicks) == 2
    level = local_level(done.clean, 4 * RATE)
    for click in done.clicks:
        damage = np.abs(done.worn - done.clean)[:, click.channel] / level
        assert damage[click.start] > CORE_SHARE
        assert damage[click.stop - 1] > CORE_SHARE
        assert np.all(damage[: click.start] <= CORE_SHARE)
        assert np.all(damage[click.stop :] <= CORE_SHARE)
        assert damage[click.tail - 1] > TAIL_SHARE
        assert np.all(damage[click.tail :] <= TAIL_SHARE)
        assert click.kind is RANGES[family].kind
    assert done.clicks[0].start == pytest.approx(4 * RATE, abs=3)
    peak = np.max(np.abs(done.worn - done.clean)[:, 0])
    assert 20 * np.log10(peak / level) == pytest.approx(14.0, abs=0.1)
    assert done.laid[0].level_db == pytest.approx(14.0, abs=0.1)
    assert done.laid[1].level_db == pytest.approx(8.0, abs=0.1)


def test_a_long_ring_and_a_thump_are_tails() -> None:
    ring = Ring(frequency_hz=4000.0, decay_s=0.012, level_db=-6.0)
    thump = Thump(start_hz=90.0, end_hz=10.0, fall_s=0.06, decay_s=0.04, level_db=0.0)
    for values in ({"rings": (ring,)}, {"thump": thump}):
        click = wear(music(), RATE, one(**values)).clicks[0]
        assert click.stop - click.start < 0.003 * RATE
        assert 0.03 * RATE < click.tail - click.stop < 0.4 * RATE


@pytest.mark.parametrize("keep", [0.0, 0.3])
def test_lost_music_is_gone(keep: float) -> None:
    lost = one(Family.DROPOUT, width_s=0.01, shape=(), keep=keep, fade_s=1e-3, right=0.0)
    done = wear(music(), RATE, lost)
    (click,) = done.clicks
    assert click.kind is Kind.DROPOUT
    assert click.channel == 0
    assert click.stop - click.start == pytest.approx(0.01 * RATE, abs=50)
    inside = slice(click.start + 60, click.stop - 60)
    np.testing.assert_allclose(done.worn[inside, 0], keep * done.clean[inside, 0], atol=1e-12)
    assert np.array_equal(done.worn[:, 1], done.clean[:, 1])


def test_loud_damage_clips_and_music_does_not() -> None:
    sound = 1.5 * music()
    done = wear(sound, RATE, replace(one(level_db=40.0), clip_level=0.9))
    click = done.clicks[0]
    assert np.max(np.abs(done.worn[click.start : click.stop, 0])) == 0.9
    outside = np.ones(len(sound), dtype=bool)
    outside[done.laid[0].start : done.laid[0].stop] = False
    assert np.array_equal(done.worn[outside], sound[outside])


def test_damage_at_the_edges_is_cut() -> None:
    for time_s in (-1e-4, 0.0, 8.0 - 1e-4, 8.0 + 1.0):
        done = wear(music(), RATE, one(time_s=time_s))
        assert all(0 <= c.start < c.tail <= len(done.worn) for c in done.clicks)
        assert (len(done.clicks) == 2) == (time_s < 8.0)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 48000, 96000, 192000])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_any_rate_and_number_of_channels(rate: int, channels: int) -> None:
    sound = music(2.0, rate, channels)
    recipe = draw_wear(
        np.random.default_rng(2), 2.0, SETS["worn"], chain=draw_chain(np.random.default_rng(1))
    )
    done = wear(sound, rate, recipe)
    assert done.worn.shape == sound.shape
    assert np.all(np.isfinite(done.worn))
    assert {click.channel for click in done.clicks} == set(range(channels))
    if channels == 5:
        hurt = [[c.start for c in done.clicks if c.channel == k] for k in range(4)]
        assert len(hurt[0]) == pytest.approx(len(hurt[2]), rel=0.2, abs=2)


def test_a_click_is_the_same_at_every_rate() -> None:
    damage = one(width_s=8e-4).damages[0]
    low, high = (render(damage, rate, Chain()) for rate in (48000, 96000))
    n = min(low.samples.size, high.samples[high.lead - 2 * low.lead :].size // 2, 600)
    start = high.lead - 2 * low.lead if high.lead >= 2 * low.lead else 0
    fine = np.concatenate([np.zeros(2 * low.lead - high.lead + start), high.samples[start:]])
    np.testing.assert_allclose(low.samples[:n], fine[: 2 * n : 2], atol=0.02)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    name=st.sampled_from(SYNTHETIC),
    gain=st.floats(1e-4, 10.0),
    channels=st.integers(1, 3),
)
def test_damage_goes_with_the_music(seed: int, name: str, gain: float, channels: int) -> None:
    sound = music(1.0, 16000, channels)
    recipe = replace(draw_wear(np.random.default_rng(seed), 1.0, SETS[name]), clip_level=1e5)
    soft, loud = wear(sound, 16000, recipe), wear(gain * sound, 16000, recipe)
    np.testing.assert_allclose(loud.worn, gain * soft.worn, atol=1e-9 * gain)
    assert [c.start for c in soft.clicks] == [c.start for c in loud.clicks]
    for click in soft.clicks:
        assert 0 <= click.start < click.tail <= len(sound)


# --- what is drawn ----------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_rate_holds_whatever_the_clustering(share: float) -> None:
    rng = np.random.default_rng(4)
    counts = [
        len(draw_times(rng, 10.0, 60.0, cluster_share=share, cluster_size=5.0, turn_depth=0.5))
        for _ in range(60)
    ]
    spread = np.sqrt(600.0 * (1 + 9.0 * share) / 60)
    assert np.mean(counts) == pytest.approx(600.0, abs=4 * spread)


def test_clustered_clicks_come_in_bursts() -> None:
    def unrest(share: float) -> float:
        """Variance over mean of the number of clicks in 50 ms; 1 for a Poisson process."""
        rng = np.random.default_rng(5)
        times = draw_times(rng, 10.0, 2000.0, cluster_share=share, cluster_size=5.0)
        counts = np.histogram(times, bins=40000, range=(0, 2000))[0]
        return float(np.var(counts) / np.mean(counts))

    assert unrest(0.0) == pytest.approx(1.0, abs=0.05)
    assert unrest(0.5) > 3.0


def test_one_side_of_the_disc_is_dirtier() -> None:
    rng = np.random.default_rng(6)
    times = draw_times(rng, 20.0, 900.0, turn_s=1.8, turn_depth=0.8)
    around = np.abs(np.mean(np.exp(2j * np.pi * times / 1.8)))
    assert around == pytest.approx(0.4, abs=0.05)


@pytest.mark.parametrize("turn_s", [1.8, 60 / 45, 60 / 78])
def test_scratches_return_with_the_disc(turn_s: float) -> None:
    chosen = WearSettings(rates_hz={}, scratches=12.0, turn_s=turn_s)
    recipe = draw_wear(np.random.default_rng(7), 120.0, chosen)
    assert abs(recipe.chain.turn_s / turn_s - 1.0) <= 0.005
    numbers = {damage.scratch for damage in recipe.damages}
    assert len(numbers) >= 2
    for number in numbers:
        own = [damage for damage in recipe.damages if damage.scratch == number]
        times = np.array([damage.time_s for damage in own])
        # The first shock of each turn.
        first = times[np.concatenate([[True], np.diff(times) > 0.2 * turn_s])]
        if len(first) > 2:
            np.testing.assert_allclose(np.diff(first), recipe.chain.turn_s, atol=0.01)
        assert len({damage.left for damage in own}) <= len(own) / max(1, len(first) - 1) + 1
        widths = np.log([damage.width_s for damage in own[:: max(1, len(own) // len(first))]])
        assert np.max(np.abs(np.diff(widths)), initial=0.0) < 2.8


def test_turns_drift_slowly() -> None:
    times = draw_turns(np.random.default_rng(1), 3.0, 50, turn_s=1.8, slant_s=1e-3, jitter_s=1e-4)
    assert times[0] == 3.0
    np.testing.assert_allclose(np.diff(times), 1.801, atol=5e-4)


@pytest.mark.parametrize("family", RANGES)
def test_families_keep_to_their_ranges(family: Family) -> None:
    if family is Family.SCRATCH:
        chosen = WearSettings(rates_hz={}, scratches=20.0)
    else:
        chosen = WearSettings(rates_hz={family: 5.0})
    recipe = draw_wear(np.random.default_rng(8), 60.0, chosen)
    ranges = RANGES[family]
    assert len(recipe.damages) > 100
    for damage in recipe.damages:
        assert damage.family is family
        assert damage.kind is ranges.kind
        assert ranges.width_s[0] <= damage.width_s <= ranges.width_s[2] * 1.0001
        assert max(abs(damage.left), abs(damage.right)) == 1.0
        assert (damage.keep < 1.0) == (family in (Family.GOUGE, Family.DROPOUT))
        assert (damage.thump is not None) == (family is Family.THUMP)
        long = [ring for ring in damage.rings if ring.decay_s > 1e-3]
        assert len(long) == (family is Family.RING)
        assert all(ring.frequency_hz == recipe.chain.ring_hz for ring in long)
    if family is not Family.SCRATCH:
        levels = [damage.level_db for damage in recipe.damages]
        assert ranges.level_db[0] <= min(levels) <= max(levels) <= ranges.level_db[2]


def test_pushes_go_up_down_and_to_one_wall() -> None:
    left, right = np.array(
        [
            (damage.left, damage.right)
            for seed in range(40)
            for damage in draw_wear(np.random.default_rng(seed), 10.0, SETS["tick"]).damages
        ]
    ).T
    balance = np.minimum(abs(left), abs(right))
    opposite, alone = left * right < -0.2, balance < 0.2
    assert 0.1 < np.mean(opposite) < 0.5
    assert 0.2 < np.mean(alone) < 0.6
    assert np.mean(left * right > 0.2) > 0.3


def test_the_bed_is_as_loud_as_asked_and_rumbles_up_and_down() -> None:
    bed = Bed(hiss_db=-40.0, rumble_db=-30.0, likeness=0.0)
    recipe = Wear(seed=1, duration_s=8.0, chain=Chain(), damages=(), bed=bed)
    sound = music()
    done = wear(sound, RATE, recipe)
    assert np.array_equal(done.worn, done.clean)
    noise = done.clean - sound
    power = np.abs(np.fft.rfft(noise, axis=0)) ** 2 / len(noise) ** 2 * 2
    hz = np.fft.rfftfreq(len(noise), 1 / RATE)
    whole = np.sqrt(np.mean(sound**2))
    hiss = np.sqrt(power[(hz > 500) & (hz < 15000)].sum(axis=0))
    np.testing.assert_allclose(20 * np.log10(hiss / whole), -40.0, atol=0.5)
    vertical, lateral = noise[:, 0] - noise[:, 1], noise[:, 0] + noise[:, 1]
    assert np.var(vertical) > 5 * np.var(lateral)
    # Coloured by the de-emphasis: 1 kHz over 10 kHz as the curve has it.
    bands = [power[(hz > f / 1.2) & (hz < f * 1.2)].mean() for f in (1000.0, 10000.0)]
    curve = np.abs(de_emphasis(np.array([1000.0, 10000.0]), Chain())) ** 2
    assert 10 * np.log10(bands[0] / bands[1] / (curve[0] / curve[1])) == pytest.approx(0, abs=1.0)


def test_the_de_emphasis_is_riaa() -> None:
    # Standard values, dB against 1 kHz.
    hz = np.array([50.0, 100.0, 500.0, 1000.0, 2122.0, 10000.0, 20000.0])
    response = 20 * np.log10(np.abs(de_emphasis(hz, replace(Chain(), low_cut_hz=0.0))))
    wanted = [16.95, 13.09, 2.65, 0.0, -2.87, -13.73, -19.62]
    np.testing.assert_allclose(response - response[3], wanted, atol=0.05)


def test_faint_ticks_belong_to_the_bed() -> None:
    quiet = Wear(seed=1, duration_s=8.0, chain=Chain(), damages=(), bed=Bed(hiss_db=-120.0))
    faint = replace(quiet, bed=Bed(hiss_db=-120.0, crackle_hz=20.0, crackle_db=-30.0))
    one_bed, other = wear(music(), RATE, quiet), wear(music(), RATE, faint)
    assert other.clicks == []
    ticks = np.abs(other.clean - one_bed.clean)
    assert 0.01 < np.max(ticks) / np.sqrt(np.mean(music() ** 2)) < 0.2


# --- real clicks ------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [22050, RATE, 96000])
def test_real_clicks_are_brought_to_the_rate(rate: int) -> None:
    sound = music(4.0, rate)
    recipe = draw_wear(np.random.default_rng(2), 4.0, SETS["real"], bank=bank())
    assert {damage.bank_index for damage in recipe.damages} == {0, 1}
    done = wear(sound, rate, recipe, bank=bank())
    assert len(done.clicks) >= len(recipe.damages) / 2
    assert all(0 < (c.tail - c.start) / rate < 0.01 for c in done.clicks)


def test_a_real_click_is_laid_as_it_was_cut() -> None:
    recipe = one(Family.REAL, bank_index=0, shape=(), time_s=4.0)
    done = wear(music(), RATE, recipe, bank=bank())
    samples = bank().clicks[0].samples.astype(float)
    damage = (done.worn - done.clean)[4 * RATE - 2 : 4 * RATE - 2 + len(samples)]
    scale = 10 * local_level(done.clean, 4 * RATE) / np.max(np.abs(samples))
    np.testing.assert_allclose(damage[20:40], scale * samples[20:40], rtol=1e-9)
    swapped = wear(
        music(), RATE, replace(recipe, damages=(replace(recipe.damages[0], swap=True),)),
        bank=bank(),
    )  # fmt: skip
    np.testing.assert_array_equal(
        (swapped.worn - swapped.clean)[4 * RATE : 4 * RATE + 40] != 0,
        (done.worn - done.clean)[4 * RATE : 4 * RATE + 40, ::-1] != 0,
    )


def test_real_clicks_need_their_bank() -> None:
    with pytest.raises(SettingsError, match="bank"):
        draw_wear(np.random.default_rng(1), 2.0, SETS["real"])
    recipe = one(Family.REAL, bank_index=7)
    with pytest.raises(SettingsError, match="bank"):
        wear(music(), RATE, recipe)
    with pytest.raises(SettingsError, match="the bank has 2"):
        wear(music(), RATE, recipe, bank=bank())


# --- bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sound", "fault"),
    [
        (np.zeros((100, 2)), "silent"),
        (np.zeros((0, 2)), "empty"),
        (np.zeros(100), "shape"),
        (np.zeros((100, 0)), "shape"),
        (np.full((100, 2), np.nan), "finite"),
    ],
)
def test_music_that_is_none_is_refused(sound: FloatArray, fault: str) -> None:
    with pytest.raises(SettingsError, match=fault):
        wear(sound, RATE, one())


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(SettingsError, match="no set"):
        find_set("vinyl")
    for values in (
        {"rates_hz": {Family.TICK: -1.0}},
        {"rates_hz": {Family.TICK: float("nan")}},
        {"rates_hz": {Family.SCRATCH: 1.0}},
        {"cluster_share": 2.0},
        {"cluster_size": 0.0},
        {"turn_s": 0.0},
        {"equalisation": "loud"},
        {"hiss_db": (-40.0, -60.0)},
    ):
        with pytest.raises(SettingsError):
            WearSettings(**values)
    for duration_s in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(SettingsError, match="duration"):
            draw_wear(np.random.default_rng(1), duration_s)
