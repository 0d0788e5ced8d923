"""Peers: fakes on the PATH for what we make of them, the real ones (slow) where installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from declick.bench.peers import PEERS, PeerError, repair_regions
from declick.bench.peers.aligned import check_aligned
from declick.bench.peers.peer import Cost
from declick.bench.peers.running import mortal, run
from declick.bench.peers.screen import screen
from declick.bench.tables import is_ours
from declick.errors import SettingsError
from runs import wait_until

RATE = 44100
CLICKS = (9000, 30011, 52000, 77000, 101000)


def music(seconds: float = 3.0) -> np.ndarray:
    """Two quiet tones under noise, on the grid of 24 bits."""
    rng = np.random.default_rng(5)
    time_s = np.arange(round(seconds * RATE)) / RATE
    tones = 0.02 * np.sin(2 * np.pi * 311 * time_s) + 0.01 * np.sin(2 * np.pi * 1244 * time_s)
    sound = tones[:, None] + 5e-4 * rng.standard_normal((len(time_s), 2))
    return np.asarray(np.round(sound * 2**23) / 2**23)


def save(path: Path, samples: np.ndarray, *, rate: int = RATE, subtype: str = "PCM_24") -> Path:
    soundfile.write(path, samples, rate, subtype=subtype, format="WAV")
    return path


def load(path: Path) -> np.ndarray:
    return np.asarray(soundfile.read(path, always_2d=True)[0])


@pytest.fixture
def worn(tmp_path: Path) -> Path:
    sound = music()
    for number, start in enumerate(CLICKS):
        width = 12 + 4 * number
        sound[start : start + width] += 0.6 * np.hanning(width)[:, None] * (-1) ** number
    return save(tmp_path / "worn.wav", sound)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder the whole PATH, but for the shell's own tools."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "cp", "cat", "sleep", "echo", "env"):
        found = next(p / name for p in map(Path, ("/bin", "/usr/bin")) if (p / name).exists())
        (folder / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("DECLICK_GROOVECLEAN", raising=False)
    return folder


def fake(folder: Path, name: str, script: str) -> Path:
    path = folder / name
    path.write_text(script if script.startswith("#!") else f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def fake_ffmpeg(folder: Path, work: str) -> None:
    """Make an ffmpeg that tells its version, and else does ``work`` with $source and $target."""
    version = 'if [ "$1" = -version ]; then echo "ffmpeg version 9.1-2 Copyright"; exit; fi'
    fake(folder, "ffmpeg", f"{version}\nsource=$5\nfor target; do :; done\n{work}")


# --- what holds for all -------------------------------------------------------------------------


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_describes_itself(name: str) -> None:
    peer = PEERS[name]
    assert peer.name == name
    assert peer.install
    assert peer.default in peer.sweep
    assert 4 <= len(peer.sweep) <= 5
    assert list(peer.sweep) == sorted(peer.sweep, reverse=not peer.higher_is_more)


@pytest.mark.parametrize("name", [name for name in PEERS if not is_ours(name)])
def test_absent_peers_say_how_to_install_them(programs: Path, worn: Path, name: str) -> None:
    assert PEERS[name].version() is None
    with pytest.raises(PeerError, match=r"not installed; .*(apt-get install|make peers)"):
        PEERS[name].clean(worn, worn.with_name("mended.wav"))


@pytest.mark.parametrize(("name", "setting"), [("ffmpeg-s", 0.5), ("grooveclean", float("nan"))])
def test_settings_outside_their_range_are_refused(worn: Path, name: str, setting: float) -> None:
    with pytest.raises(SettingsError, match="is outside"):
        PEERS[name].clean(worn, worn.with_name("mended.wav"), setting=setting)


def test_peers_get_one_format(programs: Path, tmp_path: Path) -> None:
    fake_ffmpeg(programs, 'cp "$source" "$target"')
    source = save(tmp_path / "cd.wav", music(0.1), subtype="PCM_16")
    with pytest.raises(PeerError, match=r"PCM_16.*peers are given WAV PCM_24"):
        PEERS["ffmpeg-s"].clean(source, tmp_path / "mended.wav")


def test_the_result_goes_to_its_place(programs: Path, worn: Path, tmp_path: Path) -> None:
    fake_ffmpeg(programs, 'cp "$source" "$target"; echo "$@" >"$source.said"')
    target = tmp_path / "out" / "mended.wav"
    cost = PEERS["ffmpeg-s"].clean(worn, target, setting=1.5)
    assert target.read_bytes() == worn.read_bytes()
    assert list(target.parent.iterdir()) == [target]
    assert "adeclick=t=1.5:m=s -c:a pcm_s24le" in Path(f"{worn}.said").read_text()
    assert 0 < cost.wall_s < 30
    assert PEERS["ffmpeg-a"].version() == "9.1-2"


def test_a_failure_leaves_an_earlier_result_alone(programs: Path, worn: Path) -> None:
    fake_ffmpeg(programs, 'echo "no room"; cp "$source" "$target"; exit 3')
    target = worn.with_name("mended.wav")
    target.write_text("earlier")
    with pytest.raises(PeerError, match=r"ffmpeg-s: failed with status 3 \(no room\)"):
        PEERS["ffmpeg-s"].clean(worn, target)
    assert target.read_text() == "earlier"


def test_a_peer_that_leaves_nothing_is_found_out(programs: Path, worn: Path) -> None:
    fake_ffmpeg(programs, "exit 0")
    with pytest.raises(PeerError, match="left no sound file behind"):
        PEERS["ffmpeg-s"].clean(worn, worn.with_name("mended.wav"))


# --- alignment ----------------------------------------------------------------------------------


def test_spare_frames_are_trimmed(worn: Path, tmp_path: Path) -> None:
    mended = save(tmp_path / "m.wav", np.vstack([load(worn), np.zeros((7, 2))]))
    check_aligned("peer", worn, mended)
    assert np.array_equal(load(mended), load(worn))


def test_a_short_result_is_refused(worn: Path, tmp_path: Path) -> None:
    mended = save(tmp_path / "m.wav", load(worn)[:-1])
    with pytest.raises(PeerError, match="132299 frames of 132300"):
        check_aligned("peer", worn, mended)


@pytest.mark.parametrize("shift", [-64, -1, 1, 20])
def test_a_shifted_result_is_refused(worn: Path, tmp_path: Path, shift: int) -> None:
    mended = save(tmp_path / "m.wav", np.roll(load(worn), shift, axis=0))
    with pytest.raises(PeerError, match=rf"shifted by \{shift:+d} frames"):
        check_aligned("peer", worn, mended)


def test_clicks_that_are_gone_are_no_shift(worn: Path, tmp_path: Path) -> None:
    check_aligned("peer", worn, save(tmp_path / "m.wav", music()))
    check_aligned("peer", worn, save(tmp_path / "m.wav", np.zeros_like(music())))


def test_another_format_is_refused(worn: Path, tmp_path: Path) -> None:
    with pytest.raises(PeerError, match="another sample format: PCM_16 instead of PCM_24"):
        check_aligned("peer", worn, save(tmp_path / "m.wav", load(worn), subtype="PCM_16"))
    with pytest.raises(PeerError, match="another sample rate: 48000 instead of 44100"):
        check_aligned("peer", worn, save(tmp_path / "m.wav", load(worn), rate=48000))


# --- cost, and programs that hang ---------------------------------------------------------------


def cost_of_child(work: str, parent: str) -> Cost:
    """Return what a program costs that starts a child to do the work."""
    child = [sys.executable, "-c", work]
    program = f"import subprocess, time; child = {child!r}; {parent}"
    return run([sys.executable, "-c", program], name="tree", limit_s=60).cost


def test_cost_counts_the_whole_tree() -> None:
    work = "import time; b = bytearray(150 << 20); t = time.process_time()\n"
    work += "while time.process_time() - t < 0.3: pass"
    cost = cost_of_child(work, "subprocess.run(child, check=True)")
    assert 0.3 <= cost.cpu_s < 3
    assert cost.wall_s >= 0.3
    assert 150 <= cost.peak_mb < 300


def test_cost_counts_children_that_nobody_waits_for() -> None:
    work = "import time; t = time.process_time()\nwhile time.process_time() - t < 0.4: pass"
    work += "\ntime.sleep(60)"
    cost = cost_of_child(work, "subprocess.Popen(child); time.sleep(3)")
    assert 0.3 <= cost.cpu_s < 3


def test_our_own_memory_is_not_the_peers() -> None:
    ballast = bytearray(400 << 20)
    ballast[::4096] = b"x" * len(ballast[::4096])
    assert run(["sleep", "0.1"], name="small", limit_s=60).cost.peak_mb < 100


@pytest.mark.parametrize(
    ("limit_s", "idle_limit_s", "reason"), [(0.4, 60, "not ready after 0 s"), (60, 0.4, "hangs")]
)
def test_a_peer_that_hangs_is_killed_with_its_children(
    tmp_path: Path, limit_s: float, idle_limit_s: float, reason: str
) -> None:
    command = ["sh", "-c", f"sleep 70 & echo $! >{tmp_path}/child; sleep 70"]
    with pytest.raises(PeerError, match=f"slow: {reason}.*killed"):
        run(command, name="slow", limit_s=limit_s, idle_limit_s=idle_limit_s)
    wait_until(lambda: is_gone((tmp_path / "child").read_text().strip()))


def test_a_peer_does_not_outlive_us(tmp_path: Path) -> None:
    if not mortal():
        pytest.skip("no setpriv here")
    command = ["sh", "-c", f"echo $$ >{tmp_path}/child; exec sleep 70"]
    work = "from declick.bench.peers.running import run\n"
    work += f"run({command!r}, name='slow', limit_s=60)"
    ours = subprocess.Popen([sys.executable, "-c", work])
    child = tmp_path / "child"
    wait_until(lambda: child.exists() and child.read_text().strip() != "")
    ours.kill()
    ours.wait()
    wait_until(lambda: is_gone(child.read_text().strip()))


def is_gone(pid: str) -> bool:
    try:
        return " Z " in (Path("/proc") / pid / "stat").read_text()
    except OSError:
        return True


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(PeerError, match="ghost: cannot be started"):
        run(["/nonexistent/ghost"], name="ghost", limit_s=1)


# --- each in its way ----------------------------------------------------------------------------


def test_grooveclean_gets_all_files_in_one_start(
    programs: Path, worn: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = worn.with_name("starts")
    script = 'if [ "$1" = --version ]; then echo "grooveclean, version 1.2.1"; exit; fi\n'
    script += f'echo "$@" >>{log}\ncp -r "$2/." "$4"'
    program = fake(worn.parent, "gc", script)
    monkeypatch.setenv("DECLICK_GROOVECLEAN", str(program))
    half = save(worn.with_name("half.wav"), load(worn)[: RATE * 3 // 2])
    peer = PEERS["grooveclean"]
    assert peer.version() == "1.2.1"
    targets = [worn.with_name(f"mended{number}.wav") for number in range(2)]
    costs = peer.clean_all(list(zip((worn, half), targets, strict=True)), setting=0.7)
    assert [len(load(target)) for target in targets] == [len(load(worn)), len(load(half))]
    (start,) = log.read_text().splitlines()
    assert start.endswith("--device cpu --sensitivity 0.7")
    assert costs[0].wall_s == pytest.approx(2 * costs[1].wall_s)


XVFB = """#!{python}
import os, sys, time
os.write(int(sys.argv[sys.argv.index("-displayfd") + 1]), b"77\\n")
time.sleep(60)
"""


def test_gwc_works_on_a_copy_in_a_home_of_its_own(programs: Path, worn: Path) -> None:
    fake(programs, "Xvfb", XVFB.format(python=sys.executable))
    script = f'echo "$@ on $DISPLAY at home in $HOME" >{worn}.said\n'
    script += 'echo scratch >>"$1"; echo "3 clicks repaired"; [ -d "$HOME/.cache" ]'
    fake(programs, "gtk-wave-cleaner", script)
    before = worn.read_bytes()
    target = worn.with_name("mended.wav")
    PEERS["gwc"].clean(worn, target, setting=5)
    assert worn.read_bytes() == before
    assert np.array_equal(load(target), load(worn))
    said = Path(f"{worn}.said").read_text()
    assert said.startswith("mended.wav batchs declick 5 0 end on :77 at home in ")
    assert os.environ["HOME"] not in said.split(" in ")[1].split("/")


def test_gwc_that_read_nothing_is_found_out(programs: Path, worn: Path) -> None:
    fake(programs, "Xvfb", XVFB.format(python=sys.executable))
    fake(programs, "gtk-wave-cleaner", "echo Failed to open")
    with pytest.raises(PeerError, match=r"gwc: repaired nothing \(Failed to open\)"):
        PEERS["gwc"].clean(worn, worn.with_name("mended.wav"))


def test_a_screen_that_does_not_open(programs: Path) -> None:
    fake(programs, "Xvfb", "exit 1")
    with pytest.raises(PeerError, match="Xvfb: opens no screen"), screen():
        pass


# --- the real ones ------------------------------------------------------------------------------


def installed(name: str) -> None:
    if PEERS[name].version() is None:
        pytest.skip(f"{name} is not installed")


@pytest.mark.slow
@pytest.mark.parametrize("name", PEERS)
def test_the_real_peer_mends(name: str, worn: Path, tmp_path: Path) -> None:
    installed(name)
    clean = save(tmp_path / "clean.wav", music())
    targets = [tmp_path / "out" / f"{number}.wav" for number in range(2)]
    costs = PEERS[name].clean_all(list(zip((worn, clean), targets, strict=True)))
    assert all(cost.wall_s > 0 and cost.cpu_s > 0 and cost.peak_mb > 5 for cost in costs)
    given, got = load(worn), load(targets[0])
    assert got.shape == given.shape
    near = np.zeros(len(given), dtype=bool)
    for start in CLICKS:
        near[start - 2000 : start + 2000] = True
    changed = (got != given).any(axis=1)
    assert changed[near].any()
    if name == "ffmpeg-a":  # what overlap-add does to the rest of the sound
        assert changed[~near].mean() > 0.5
    else:
        assert changed[~near].mean() < 0.1


@pytest.mark.slow
def test_the_real_audacity_repairs_what_it_is_shown(worn: Path, tmp_path: Path) -> None:
    installed("audacity")
    regions = [(start, start + 28) for start in CLICKS]
    repair_regions(worn, tmp_path / "mended.wav", [*regions, (60000, 60129)])
    changed = (load(tmp_path / "mended.wav") != load(worn)).any(axis=1)
    asked = np.zeros(len(changed), dtype=bool)
    for start, stop in regions:
        asked[start:stop] = True
    assert changed[asked].mean() > 0.9
    assert not changed[~asked].any()
