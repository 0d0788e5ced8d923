from __future__ import annotations

import errno
import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from declick.clicks import Click, Kind, disjoint_clicks
from declick.errors import LabelError, WriteError
from declick.labels import read_labels, read_regions, write_labels

RATES = [8000, 11_025, 22_255, 44_100, 48_000, 78_260, 96_000, 176_400, 192_000]
SAME_TMP = [HealthCheck.function_scoped_fixture]


@st.composite
def disjoint(draw: st.DrawFn, channels: int) -> tuple[list[Click], int]:
    """Clicks whose spans are disjoint per channel, anywhere in up to some hours, and the end."""
    clicks = []
    frames = 1
    for channel in range(channels):
        at = 0
        for _ in range(draw(st.integers(0, 6))):
            start = at + draw(st.integers(0, 10**8))
            stop = start + draw(st.integers(0, 2000))
            tail = stop + draw(st.integers(0 if stop > start else 1, 9000))
            kind = draw(st.sampled_from(list(Kind)))
            clicks.append(Click(start, stop, tail, channel, draw(st.integers(0, 100)) / 100, kind))
            at = tail
        frames = max(frames, at)
    return sorted(clicks), frames


@settings(max_examples=60, deadline=None, suppress_health_check=SAME_TMP)
@given(data=st.data(), rate=st.sampled_from(RATES), channels=st.sampled_from([1, 2, 5]))
def test_labels_come_back_to_the_sample(
    tmp_path: Path, data: st.DataObject, rate: int, channels: int
) -> None:
    clicks, frames = data.draw(disjoint(channels))
    path = tmp_path / "labels.txt"
    assert write_labels(path, reversed(clicks), rate, channels=channels) == len(clicks)
    if clicks:
        assert read_labels(path, sample_rate=rate, frames=frames, channels=channels) == clicks


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.builds(
            lambda start, core, tail, channel: Click(
                start, start + core, start + core + tail + (core + tail == 0), channel
            ),
            *(st.integers(0, high) for high in (60, 12, 12, 1)),
        ),
        max_size=12,
    )
)
def test_overlaps_are_resolved_without_losing_a_frame(clicks: list[Click]) -> None:
    done = disjoint_clicks(clicks)
    assert done == sorted(done)
    assert disjoint_clicks(done) == done
    for channel in (0, 1):
        spans = [(c.start, c.tail) for c in done if c.channel == channel]
        assert all(a[1] <= b[0] for a, b in pairwise(spans))
        marked = {f for c in clicks if c.channel == channel for f in range(c.start, c.tail)}
        cores = {f for c in clicks if c.channel == channel for f in range(c.start, c.stop)}
        assert {f for a, b in spans for f in range(a, b)} == marked
        kept = {f for c in done if c.channel == channel for f in range(c.start, c.stop)}
        assert cores <= kept


def read(
    tmp_path: Path, text: str | bytes, *, frames: int = 441_000, channels: int = 2
) -> list[Click]:
    path = tmp_path / "side.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_labels(path, sample_rate=44_100, frames=frames, channels=channels)


def test_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    clicks = [
        Click(44_100, 44_110, 44_110, 0, 0.925, Kind.TICK),
        Click(50_000, 50_100, 52_084, 1, 0.71, Kind.POP),
    ]
    write_labels(path, clicks, 44_100)
    assert path.read_bytes() == (
        b"1.000000\t1.000227\ttick L 0.93\n1.133787\t1.136054\tpop R 0.71 tail=0.044989\n"
    )
    write_labels(path, clicks[:1], 44_100, channels=1)
    assert path.read_text().split("\t")[2] == "tick 0.93\n"
    write_labels(path, clicks[1:], 44_100, channels=6)
    assert path.read_text().split("\t")[2].startswith("pop ch2 ")
    assert list(tmp_path.iterdir()) == [path]


def test_free_text_counts_for_all_channels(tmp_path: Path) -> None:
    found = read(tmp_path, "1\t1.0004\tL is awful here\n2\t2.005\n3\t3.1\t \n")
    assert [(c.channel, c.kind, c.confidence) for c in found] == [
        (0, Kind.TICK, 1.0), (1, Kind.TICK, 1.0), (0, Kind.POP, 1.0), (1, Kind.POP, 1.0),
        (0, Kind.DROPOUT, 1.0), (1, Kind.DROPOUT, 1.0),
    ]  # fmt: skip
    assert (found[0].start, found[0].stop, found[0].tail) == (44_100, 44_118, 44_118)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tick L 0.93", Click(44_100, 44_541, 44_541, 0, 0.93, Kind.TICK)),
        ("POP Right", Click(44_100, 44_541, 44_541, 1, 1.0, Kind.POP)),
        ("R", Click(44_100, 44_541, 44_541, 1, 1.0, Kind.POP)),
        ("thump ch2 0.5 tail=0,1", Click(44_100, 44_541, 48_951, 1, 0.5, Kind.THUMP)),
        ("pop L 0.8 tail=0.01 a good one", Click(44_100, 44_541, 44_982, 0, 0.8, Kind.POP)),
        ("tick L listen again", Click(44_100, 44_541, 44_541, 0, 1.0, Kind.TICK)),
    ],
)
def test_our_text_and_notes_behind_it(tmp_path: Path, text: str, expected: Click) -> None:
    assert read(tmp_path, f"1.0\t1.01\t{text}\n") == [expected]


def test_a_moved_edge_is_taken_and_the_tail_follows(tmp_path: Path) -> None:
    (click,) = read(tmp_path, "1.000000\t1.000454\ttick L 0.93 tail=0.001000\n")
    assert (click.start, click.stop, click.tail) == (44_100, 44_120, 44_164)
    (click,) = read(tmp_path, "9.99\t9.999\tpop L tail=5\n")
    assert click.tail == 441_000


def test_a_tail_without_end_is_cut(tmp_path: Path) -> None:
    assert read(tmp_path, "1.0\t1.5\tpop L 0.5 tail=1e308\n")[0].tail == 441_000


def test_point_labels_get_a_width(tmp_path: Path) -> None:
    path = tmp_path / "points.txt"
    path.write_text("0\t0\n1.0\t1.0\ttick L\n2.0\tspeck\n9.99999\t9.99999\tR\n3\t3\tpop L tail=1\n")
    found = read_labels(path, sample_rate=44_100, frames=441_000, channels=2, point_ms=1.0)
    assert [(c.start, c.stop, c.channel) for c in found] == [
        (0, 44, 0), (0, 44, 1), (44_078, 44_122, 0), (88_178, 88_222, 0), (88_178, 88_222, 1),
        (132_300, 132_300, 0), (440_956, 441_000, 1),
    ]  # fmt: skip
    assert found[5].tail == 176_400
    tiny = read_labels(path, sample_rate=8000, frames=80_000, channels=2, point_ms=0.01)
    assert (tiny[0].start, tiny[0].stop) == (0, 1)


@pytest.mark.parametrize(
    "data",
    [
        "\ufeff1.0\t1.5\tpop L\r\n\r\n\\\t2000.0\t4000.0\r\n2.0\t2.5\tpop R\r\n".encode(),
        b"1.0\t1.5\tpop L\r2.0\t2.5\tpop R",
        b"1,000000\t1,500000\tpop L\n2,0\t2,5\tpop R\n",
        "1.0\t1.5\tpop L\n2.0\t2.5\tpop R\n".encode("utf-16"),
        "1.0\t1.5\tpop L\n2.0\t2.5\tpop R\n".encode("utf-32"),
        "\ufeff1.0\t1.5\tpop L\n2.0\t2.5\tpop R\n".encode("utf-32-be"),
        b"1.0\t1.5\tpop L caf\xe9\n2.0\t2.5\tpop R\n",
        "\n1.0\t1.5\tpop L one\u2028line\n2.0\t2.5\tpop R\n".encode(),
    ],
)
def test_what_editors_make_of_it(tmp_path: Path, data: bytes) -> None:
    found = read(tmp_path, data)
    assert [(c.start, c.stop, c.channel) for c in found] == [
        (44_100, 66_150, 0), (88_200, 110_250, 1),
    ]  # fmt: skip


def test_a_point_at_the_very_end_marks_what_is_before_it(tmp_path: Path) -> None:
    clicks = read(tmp_path, "10.0\t10.0\n")
    assert {(click.start, click.stop, click.tail) for click in clicks} == {
        (441_000 - 22, 441_000, 441_000)
    }


def test_overlapping_labels_merge(tmp_path: Path) -> None:
    text = "1.0\t1.001\ttick L 0.4\n1.0005\t1.004\tpop L 0.9\n1.0\t1.001\ttick R 0.4\n"
    assert read(tmp_path, text) == [
        Click(44_100, 44_144, 44_144, 1, 0.4, Kind.TICK),
        Click(44_100, 44_276, 44_276, 0, 0.9, Kind.POP),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1.0\t1.1\n9.0\t11.0\tpop\n", ":2: the label reaches 11.000 s and the sound ends at 10.0"),
        ("10.001\t10.001\n", ":1: the label reaches 10.001 s"),
        ("1e300\t1e300\n", ":1: the label reaches 1e+300 s"),
        ("1.0\t1e308\n", ":1: the label reaches 1e+308 s"),
        ("-1.0\t1.0\tpop\n", ":1: the label starts before the sound; move it or delete the line"),
        ("2.0\t1.0\tpop\n", ":1: the label ends before it starts; move it"),
        ("one\t2.0\tpop\n", ":1: 'one' is not a time in seconds"),
        ("1.0\t2.o\tpop\n", ":1: '2.o' is not a time in seconds"),
        ("1.0\t2.o\n", ":1: '2.o' is not a time in seconds"),
        ("1.0\t\n\nnan\t2\n", ":3: 'nan' is not a time"),
        ("inf\tinf\n", ":1: 'inf' is not a time"),
        ("9e999\t9e999\n", ":1: '9e999' is not a time"),
        ("Just prose.\n", ":1: 'Just prose.' is not a time"),
        ("1.0\t1.1\tpop L 0.5 tail=long\n", ":1: 'tail=long' is not a tail"),
        ("1.0\t1.1\tpop L 0.5 tail=-1\n", ":1: 'tail=-1' is not a tail"),
        ("1.0\t1.1\tpop ch3\n", ":1: the label names channel ch3 and the sound has 2 channels"),
        ("", ": there are no labels in it"),
        ("\n \n", ": there are no labels in it"),
        ("RIFF\0\0\0\0WAVE", ": not a text file; give an Audacity label track"),
    ],
)
def test_errors_name_the_line_and_the_remedy(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(LabelError, match=re.escape("side.txt" + message)) as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)
    assert ";" in str(caught.value)
    # What is taught from labels gets the same advice on a line that nothing could be made of.
    if "the sound ends" in message or "reaches" in message or "tail" in message or "ch3" in message:
        return
    with pytest.raises(LabelError, match=re.escape(str(caught.value))):
        read_regions(tmp_path / "side.txt")


def test_absent_file_and_folder(tmp_path: Path) -> None:
    for path, fault in ((tmp_path / "no.txt", "no such file"), (tmp_path, "cannot be read")):
        with pytest.raises(LabelError, match=fault):
            read_labels(path, sample_rate=8000, frames=1, channels=1)


def test_a_failed_write_leaves_the_earlier_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("mine")

    def full(self: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(WriteError, match=r"labels\.txt: cannot write the labels \(No space left"):
        write_labels(path, [Click(0, 1, 1, 0)], 8000)
    assert path.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(WriteError, match="No such file"):
        write_labels(tmp_path / "absent" / "labels.txt", [], 8000)
