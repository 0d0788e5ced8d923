"""READ: a recording as lazy blocks of float64 samples, from a file, a pipe or an array."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
import soundfile
from numpy.typing import ArrayLike, NDArray

from declick.chunks import Container
from declick.clicks import FloatArray
from declick.errors import ReadError
from declick.soundness import (
    as_frames,
    check_finite,
    check_header,
    check_length,
    decoding,
    opening,
    scale,
    subtype_of,
)
from declick.source import SequentialDecoder, Source
from declick.spool import spool
from declick.wording import format_time

_PIECE = 1 << 16
# What libsndfile decodes so that writing it back gives the same samples. ALAC_32 is not among
# them: libsndfile 1.2.2 drops its upper 8 bits.
_LOSSLESS = (
    "PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE",
    "ALAC_16", "ALAC_20", "ALAC_24", "ULAW", "ALAW",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A stretch of a recording with its context.

    Parameters
    ----------
    start : int
        First frame of the core in the recording.
    core : int
        Frames of the core; the last block's is shorter.
    lead : int
        Frames of context before the core, and as many follow it.
    samples : ndarray of float64, shape (lead + core + lead, channels)
        Frames ``[start - lead, start + core + lead)``; zeros outside the recording.
    """

    start: int
    core: int
    lead: int
    samples: FloatArray = field(repr=False)


class Recording:
    """A recording: its header, and its samples on demand.

    Make one with `open`, `from_stream` or `from_array`; use it as a context manager or call
    `close`.

    Attributes
    ----------
    path : Path or None
        The file; None for a stream or an array.
    name : str
        What error messages call it.
    sample_rate, frames, channels : int
    format, subtype : str
        As soundfile names them: "WAV", "FLAC", ...; "PCM_16", "FLOAT", ...
    lossless : bool
        Whether the sound can be written back exactly as it was read in `subtype`.
    container : Container or None
        The chunks of the file, where its container has any that are known.
    stamp : tuple of int
        Size and time of change when it was opened; zeros for an array.
    offset : tuple of float or None
        What `read` takes off each channel, empty for nothing; None until `declick.centre` has
        looked for it.
    """

    path: Path | None
    name: str
    sample_rate: int
    frames: int
    channels: int
    format: str
    subtype: str
    lossless: bool
    container: Container | None
    stamp: tuple[int, int]
    offset: tuple[float, ...] | None

    def __init__(self) -> None:
        self.path = None
        self.container = None
        self._source: Source | None = None
        self.stamp = (0, 0)
        self.offset = None
        self._array: NDArray[np.generic] | None = None
        self._random: soundfile.SoundFile | None = None
        self._lock = threading.Lock()
        self._closers: list[Callable[[], object]] = []

    # --- making one -------------------------------------------------------------------------

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, name: str | None = None) -> Recording:
        """Open a sound file.

        Parameters
        ----------
        path : path-like
            A named pipe (``/dev/stdin``, a process substitution) is read to its end first.
        name : str, optional
            What error messages call it; by default its path.

        Raises
        ------
        ReadError
            Where it is absent, empty, truncated, not sound, or cannot be read.
        """
        path = Path(path)
        name = name or os.fspath(path)
        with opening(name):
            status = path.stat()
            if stat.S_ISDIR(status.st_mode):
                raise ReadError(f"{name}: this is a directory; give a sound file")
            with path.open("rb") as file:
                if not stat.S_ISREG(status.st_mode):
                    return cls.from_stream(file, name=name)
        recording = cls()
        recording.path = path
        recording._load(os.fspath(path), name)
        return recording

    @classmethod
    def from_stream(cls, stream: BinaryIO, name: str = "standard input") -> Recording:
        """Read a sound file from a stream to its end, into a temporary file.

        Parameters
        ----------
        stream : binary file
            Need not be seekable.
        name : str
            What error messages call it.

        Raises
        ------
        ReadError
            As `open`; also where the temporary directory is full.
        """
        recording = cls()
        source = recording._spool(name, iter(lambda: stream.read(1 << 20), b""))
        try:
            recording._load(source, name)
        except BaseException:
            recording.close()
            raise
        return recording

    @classmethod
    def from_array(cls, samples: ArrayLike, sample_rate: int) -> Recording:
        """Take samples from memory.

        Parameters
        ----------
        samples : array_like, shape (frames,) or (frames, channels)
            Integers of n bits are divided by 2**(n - 1) (unsigned ones are centred first), floats
            are taken as they are. Not copied: leave it alone while the recording is in use.
        sample_rate : int
            In Hz.

        Raises
        ------
        ReadError
            Where the shape, the type or the rate makes no sense.
        """
        name = "the array"
        array = as_frames(samples, name)
        recording = cls()
        recording._array = array
        subtype = subtype_of(array.dtype)
        recording._describe(name, sample_rate, array.shape[0], array.shape[1], "WAV", subtype)
        return recording

    def _load(self, location: str, name: str) -> None:
        source = Source(location, name)
        self.stamp = source.stamp()
        self.name, self._source, self.container = name, source, source.container
        rate, frames, channels, format, subtype = source.properties()
        self._describe(name, rate, frames, channels, format, subtype)
        if source.container is not None and source.container.truncated:
            raise ReadError(source.cut_short(f" ({format_time(self.duration_s)})"))

    def _describe(
        self, name: str, rate: int, frames: int, channels: int, format: str, subtype: str
    ) -> None:
        self.name, self.sample_rate, self.frames = name, int(rate), int(frames)
        self.channels, self.format, self.subtype = int(channels), format, subtype
        self.lossless = subtype in _LOSSLESS
        check_header(name, rate, frames, channels)

    def _spool(self, name: str, pieces: Iterator[bytes]) -> str:
        """Write pieces to a temporary file that vanishes with the recording; return its name."""
        return spool(self, name, pieces, closers=self._closers, give_up=self.close)

    @property
    def location(self) -> str | None:
        """Where another process can open it and seek in it exactly; None where it cannot."""
        return self._source.location if self._source is not None and self.lossless else None

    # --- reading ----------------------------------------------------------------------------

    @property
    def notice(self) -> str | None:
        """One line that the user should see, or None."""
        if self.lossless:
            return None
        return (
            f"{self.name}: {self.subtype} is a lossy codec, which smears clicks; "
            f"work from a lossless copy where there is one"
        )

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.frames / self.sample_rate

    def read(self, start: int, stop: int) -> FloatArray:
        """Read frames ``[start, stop)``.

        Parameters
        ----------
        start, stop : int
            May lie outside the recording, where it is silent.

        Returns
        -------
        ndarray of float64, shape (stop - start, channels)
            Full scale is 1.

        Raises
        ------
        ReadError
            Where the file turns out to be damaged, or holds NaN or infinity there.
        """
        samples = np.zeros((max(0, stop - start), self.channels))
        low, high = max(0, start), min(stop, self.frames)
        if low >= high:
            return samples
        inside = samples[low - start : high - start]
        if self._array is not None:
            inside[:] = scale(self._array[low:high])
        else:
            with self._lock:
                if self._random is None:
                    self._random = self._seekable_decoder()
                with decoding(self, low):
                    self._random.seek(low)
                    count = len(self._random.read(out=inside))
            check_length(self, low, count, high - low)
        check_finite(self, inside, low)
        if self.offset:
            inside -= self.offset
        return samples

    def blocks(self, core: int, context: int) -> Iterator[Block]:
        """Read the whole recording once, block by block.

        Parameters
        ----------
        core : int
            Frames of a block, at least 1.
        context : int
            Frames before and after it, at least 0.

        Yields
        ------
        Block
            Their cores follow each other without gap or overlap.

        Raises
        ------
        ReadError
            As `read`.
        """
        if core < 1 or context < 0:
            raise ValueError(f"core must be >= 1 and context >= 0, got {core} and {context}")
        with contextlib.ExitStack() as stack:
            pull = self._puller(stack)
            window = np.zeros((core + 2 * context, self.channels))
            done = pull(window[context:], 0)
            for start in range(0, self.frames, core):
                length = min(core, self.frames - start)
                rest = window[core:].copy()  # the caller may change what it is given
                yield Block(start, length, context, window[: length + 2 * context])
                if start + core < self.frames:
                    window = np.zeros((core + 2 * context, self.channels))
                    window[: 2 * context] = rest
                    done += pull(window[2 * context :], done)

    def _puller(self, stack: contextlib.ExitStack) -> Callable[[FloatArray, int], int]:
        """Return ``pull(out, position)``: decode the next frames into `out`."""
        if self._array is not None:

            def pull_array(out: FloatArray, position: int) -> int:
                count = max(0, min(len(out), self.frames - position))
                out[:count] = self.read(position, position + count)
                return count

            return pull_array
        decoder = stack.enter_context(self._decoder(SequentialDecoder))

        def pull(out: FloatArray, position: int) -> int:
            wanted = max(0, min(len(out), self.frames - position))
            if not wanted:
                return 0
            with decoding(self, position):
                count = len(decoder.read(out=out[:wanted]))
            check_length(self, position, count, wanted)
            check_finite(self, out[:wanted], position)
            return wanted

        return pull

    def _decoder(self, kind: type[soundfile.SoundFile]) -> soundfile.SoundFile:
        if self._source is None:
            raise ValueError("the recording is closed")
        return self._source.decoder(kind)

    def _seekable_decoder(self) -> soundfile.SoundFile:
        """Open a decoder whose seeks are exact to the sample."""
        if self.lossless:
            return self._decoder(soundfile.SoundFile)

        # libsndfile's seeks in Vorbis land beside the mark now and then: decode it once.
        def pieces() -> Iterator[bytes]:
            for block in self.blocks(_PIECE, 0):
                yield block.samples.astype("<f4").tobytes()

        return soundfile.SoundFile(
            os.open(self._spool(self.name, pieces()), os.O_RDONLY),
            format="RAW",
            subtype="FLOAT",
            endian="LITTLE",
            samplerate=self.sample_rate,
            channels=self.channels,
        )

    def source_hash(self) -> str | None:
        """Return the SHA-256 of the file's bytes in hexadecimal; None for an array."""
        return None if self._source is None else self._source.sha256()

    def raw_bytes(self, offset: int, size: int) -> bytes:
        """Return bytes of the file as they are stored; a negative `size` takes all that follow."""
        return b"" if self._source is None else self._source.raw_bytes(offset, size)

    # --- ending -----------------------------------------------------------------------------

    def close(self) -> None:
        """Release the file; a stream's temporary copy is gone."""
        if self._random is not None:
            self._random.close()
            self._random = None
        while self._closers:
            self._closers.pop()()
        self._source = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return (
            f"Recording({self.name!r}, {self.sample_rate} Hz, {self.frames} frames, "
            f"{self.channels} channels, {self.format} {self.subtype})"
        )
