"""Lay a copy along the recording: from then on, a frame of one is the same instant of the other."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import soundfile
from numpy.typing import NDArray

from declick.clicks import Click, FloatArray
from declick.copies.guide import Run, runs_of
from declick.copies.mends import Mends
from declick.copies.treble import treble_end
from declick.errors import ReadError
from declick.excerpt import Excerpt, Handle
from declick.parallel import Workers
from declick.read import Recording

if TYPE_CHECKING:
    from declick.align import Alignment

Span = tuple[int, int, int]

_BLOCK: Final = 1 << 17
# Between two stretches of one map that are nearer, it holds too: a second was lost.
BRIDGE_S: Final = 3.0
# From so near to an end of the recording it goes on to it: anchors are 20 ms apart.
EDGE_S: Final = 0.05
# Recorded, or mastered, too loud: so many times a second at least so many samples stay within a
# step of 16 bits of the loudest one.
FLAT_HZ: Final = 0.2
FLAT_FRAMES: Final = 4
_STEP: Final = 2.0**-15
# What is cut off shows in what is louder than this share of it, and so many frames beside that.
NEARLY_FLAT: Final = 0.97
BESIDE_FLAT: Final = 12


@dataclass(frozen=True, kw_only=True, eq=False)
class Copy:
    """Another copy of a recording, on its time line.

    Parameters
    ----------
    sound : Recording
        As long as the recording, with as many channels.
    number : int
        Counted from 1; 0 is the other wall of a mono groove.
    name : str
    held : tuple of (start, stop)
        Where it is the same music, in frames of the recording.
    unsound : tuple of (start, stop, channel)
        Where it is damaged itself.
    mends : Mends
        By what that was mended.
    refuted : tuple of (start, stop, channel)
        Where it is damaged all the same, by what the recording plays.
    crossed : bool
        Whether each channel stands beside the other one: the two walls of a groove.
    certain : bool
        Whether it is known to be the same music, and not only much like it.
    flat : float
        The level, on the recording's time line, above which it is clipped; infinite where it is
        not.
    top_hz : float
        Above this it lacks what the recording has; infinite where it does not.
    alignment : Alignment or None
        None where it was on the time line before.
    """

    sound: Recording
    number: int
    name: str
    held: tuple[Run, ...]
    unsound: tuple[Span, ...] = field(default=(), repr=False)
    mends: Mends = field(default=Mends(), repr=False)
    refuted: tuple[Span, ...] = field(default=(), repr=False)
    crossed: bool = False
    certain: bool = True
    flat: float = math.inf
    top_hz: float = math.inf
    alignment: Alignment | None = field(default=None, repr=False)

    def cut(self, start: int, stop: int) -> Part:
        """Take frames ``[start, stop)``, on their way to a worker."""
        return Part(
            sound=Excerpt.cut(self.sound, start, stop),
            number=self.number,
            held=tuple((a, b) for a, b in self.held if b > start and a < stop),
            unsound=spans_within(self.unsound, start, stop),
            mends=self.mends.within(start, stop),
            refuted=spans_within(self.refuted, start, stop),
            crossed=self.crossed,
            flat=self.flat,
            top_hz=self.top_hz,
        )

    def marked(self, start: int, stop: int) -> NDArray[np.int8]:
        """Return what was mended of frames ``[start, stop)``; see `Mends.mark`."""
        return _marks(self.mends.within(start, stop), self.refuted, start, stop, self.sound)


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """A part of a copy, for a worker."""

    sound: Excerpt
    number: int
    held: tuple[Run, ...]
    unsound: tuple[Span, ...]
    mends: Mends
    refuted: tuple[Span, ...]
    crossed: bool
    flat: float = math.inf
    top_hz: float = math.inf

    def read(self) -> FloatArray:
        """Return the sound, shape (frames, channels)."""
        samples = self.sound.read()
        return samples[:, ::-1] if self.crossed else samples

    def mended(self, played: FloatArray) -> FloatArray:
        """Return the sound that was read once it is mended."""
        return self.mends.lay_on(played, self.sound.start) if self.mends else played

    def marked(self) -> NDArray[np.int8]:
        """Return what was mended, shape (frames, channels); see `Mends.mark`."""
        return _marks(self.mends, self.refuted, self.sound.start, self.sound.stop, self.sound)

    def absent(self) -> NDArray[np.bool_]:
        """Return where it is not the same music, or not there, shape (frames,)."""
        start, stop = self.sound.start, self.sound.stop
        mask = np.ones(stop - start, dtype=bool)
        for low, high in self.held:
            mask[max(low - start, 0) : max(high - start, 0)] = False
        return mask

    def lost(self) -> NDArray[np.bool_]:
        """Return where it tells nothing: damaged, or not the same music, per channel."""
        return _marked(self.absent(), self.unsound, self.sound) | self.clipped

    @cached_property
    def clipped(self) -> NDArray[np.bool_]:
        """Where its peaks are cut off, per channel."""
        if not math.isfinite(self.flat):
            return np.zeros((self.sound.stop - self.sound.start, self.sound.channels), dtype=bool)
        import scipy.ndimage  # slow to import, and seldom needed

        top = np.abs(self.read()) > NEARLY_FLAT * self.flat
        return np.asarray(scipy.ndimage.maximum_filter1d(top, 2 * BESIDE_FLAT + 1, axis=0))


def _marks(
    mends: Mends, refuted: Iterable[Span], start: int, stop: int, sound: Recording | Excerpt
) -> NDArray[np.int8]:
    """Return what mends have left from `start` on, but for what is refuted."""
    marked = mends.mark(start, stop - start, sound.channels)
    for low, high, channel in refuted:
        if high > start and low < stop:
            marked[max(low - start, 0) : high - start, channel] = 0
    return marked


def spans_of(clicks: Iterable[Click]) -> tuple[Span, ...]:
    """Return what clicks have damaged, in their order."""
    return tuple((click.start, click.tail, click.channel) for click in clicks)


def spans_within(spans: tuple[Span, ...], start: int, stop: int) -> tuple[Span, ...]:
    """Return the spans that reach into ``[start, stop)``."""
    return tuple(span for span in spans if span[1] > start and span[0] < stop)


@contextmanager
def lay_along(
    recording: Recording,
    other: Recording,
    alignment: Alignment,
    *,
    number: int,
    certain: bool = True,
    workers: Workers | None = None,
) -> Iterator[Copy]:
    """Resample a copy along its map, into a temporary file that goes with the context.

    It becomes about as loud as the recording: what hardly differs from silence is measured in the
    steps of a 16-bit file.

    Parameters
    ----------
    recording, other : Recording
    alignment : Alignment
        From the first to the second.
    number : int
        Which copy it is, from 1 on.
    certain : bool
        See `Copy`.
    workers : Workers, optional

    Yields
    ------
    Copy

    Raises
    ------
    ReadError
        Where it cannot be read, or there is no room for it.
    """
    descriptor, name = tempfile.mkstemp(prefix="declick-copy-", suffix=".rf64")
    os.close(descriptor)
    path = Path(name)
    scale = _scale_of(alignment)
    try:
        _render(recording, other, alignment, scale, path, workers or Workers(1))
        with Recording.open(path, name=other.name) as sound:
            held = _held(recording, other, alignment)
            yield Copy(
                sound=sound,
                number=number,
                name=other.name,
                held=held,
                certain=certain,
                flat=scale * _flat_level(other),
                top_hz=treble_end(recording, sound, held),
                alignment=alignment,
            )
    finally:
        with suppress(OSError):
            path.unlink()


def _scale_of(alignment: Alignment) -> float:
    """Return the power of two, which rounds nothing, that makes a copy as loud as the recording."""
    gains = np.abs(alignment.gain)
    gain = float(np.median(gains[gains > 0.0])) if (gains > 0.0).any() else 1.0
    return 2.0 ** -round(math.log2(gain))


def _flat_level(other: Recording) -> float:
    """Return the level at which a recording is clipped; infinite where it is not."""
    peak, runs = 0.0, 0
    for start in range(0, other.frames, _BLOCK):
        loud = np.abs(other.read(start, min(start + _BLOCK, other.frames)))
        highest = float(loud.max(initial=0.0))
        if highest > peak + _STEP:
            runs = 0
        peak = max(peak, highest)
        top = loud > peak - _STEP
        if highest > 0.0 and top.any():
            tops = (run for column in top.T for run in runs_of(column))
            runs += sum(high - low >= FLAT_FRAMES for low, high in tops)
    return peak if runs >= max(3.0, FLAT_HZ * other.frames / other.sample_rate) else math.inf


def _render(
    recording: Recording,
    other: Recording,
    alignment: Alignment,
    scale: float,
    path: Path,
    workers: Workers,
) -> None:
    pieces = (
        _Piece(other, alignment, scale, start, min(start + _BLOCK, recording.frames))
        for start in range(0, recording.frames, _BLOCK)
    )
    # What only this process has cannot be read by another.
    apply: Any = workers.map if other.location is not None else map
    try:
        with soundfile.SoundFile(
            path,
            "w",
            samplerate=recording.sample_rate,
            channels=recording.channels,
            format="RF64",
            subtype="FLOAT",
        ) as file:
            for samples in apply(_resample, pieces):
                file.write(samples)
    except (OSError, soundfile.SoundFileError) as error:
        raise ReadError(
            f"{other.name}: cannot be kept in {tempfile.gettempdir()} while it is worked on "
            f"({error}); set TMPDIR to a directory with more space"
        ) from None


@dataclass(frozen=True, eq=False)
class _Piece:
    """Frames of the recording for which a copy is to be resampled."""

    other: Recording | Handle
    alignment: Alignment
    scale: float
    start: int
    stop: int

    def __getstate__(self) -> dict[str, Any]:
        state = dict(vars(self))
        if isinstance(self.other, Recording):
            state["other"] = Handle.of(self.other)
        return state


def _resample(piece: _Piece) -> NDArray[np.float32]:
    # Loaded here: what most runs do not need would slow their start.
    from declick.align import resample_along

    other = piece.other if isinstance(piece.other, Recording) else piece.other.open()
    samples = resample_along(other, piece.alignment, piece.start, piece.stop)
    return (piece.scale * samples).astype(np.float32)


def _held(recording: Recording, other: Recording, alignment: Alignment) -> tuple[Run, ...]:
    """Return where the map holds, over short holes in which it goes on as before."""
    bridge = round(BRIDGE_S * recording.sample_rate)
    whole = partial(_goes_on, alignment)
    held: list[Run] = []
    for start, stop in alignment.stretches():
        start, stop = max(start, 0), min(stop, recording.frames)
        if start >= stop:
            continue
        if held and start - held[-1][1] <= bridge and whole(held[-1][1] - 1, start):
            held[-1] = held[-1][0], stop
        else:
            held.append((start, stop))
    # The last anchor lies before the last frame; so far the map goes on straight.
    edge = round(EDGE_S * recording.sample_rate)
    if held and held[0][0] <= edge:
        held[0] = 0, held[0][1]
    if held and held[-1][1] >= recording.frames - edge:
        held[-1] = held[-1][0], recording.frames
    return tuple(_inside(held, other, alignment))


def _goes_on(alignment: Alignment, last: int, first: int) -> bool:
    """Return whether the map passes a hole at its usual speed."""
    before, after = (float(x) for x in alignment.where(np.array([float(last), float(first)])))
    length = (first - last) * alignment.ratio
    return abs(after - before - length) < 0.02 * length + 1.0


def _inside(held: list[Run], other: Recording, alignment: Alignment) -> Iterator[Run]:
    """Cut what lies outside the copy off the stretches."""
    for start, stop in held:
        step = max(1, min(256, (stop - start) // 4))
        frames = np.arange(start, stop + step, step, dtype=np.float64)
        place = alignment.where(frames)
        good = frames[(place >= 0) & (place <= other.frames - 1)]
        if good.size >= 2:
            yield int(good[0]), min(int(good[-1]) + 1, stop)


def outside(start: int, stop: int, frames: int) -> NDArray[np.bool_]:
    """Return which of ``[start, stop)`` a recording of so many frames does not have."""
    mask = np.zeros(stop - start, dtype=bool)
    mask[: max(-start, 0)] = True
    mask[max(frames - start, 0) :] = True
    return mask


def lost_frames(sound: Excerpt, spans: Sequence[Span], frames: int) -> NDArray[np.bool_]:
    """Return what is damaged of the recording, and where there is none, per channel."""
    return _marked(outside(sound.start, sound.stop, frames), spans, sound)


def _marked(
    everywhere: NDArray[np.bool_], spans: Iterable[Span], sound: Excerpt
) -> NDArray[np.bool_]:
    """Return frames of all channels, shape (frames,), and spans of single ones, as one mask."""
    mask = np.repeat(everywhere[:, np.newaxis], sound.channels, axis=1)
    for low, high, channel in spans:
        mask[max(low - sound.start, 0) : max(high - sound.start, 0), channel] = True
    return mask
