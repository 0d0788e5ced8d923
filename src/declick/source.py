"""A sound file as bytes, and the decoders that libsndfile makes of it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import struct
import weakref
from typing import BinaryIO

import numpy as np
import soundfile

from declick.chunks import RIFF_KINDS, W64_TAIL, WIDTHS, Container, flac_total, scan
from declick.errors import ReadError
from declick.headers import Layout, frame_flac

_PIECE = 1 << 16
_DESCRIBING = (  # the chunks that a decoder needs
    b"fmt ", b"fmt " + W64_TAIL[b"wave"], b"FVER", b"COMM", b"desc", b"kuki", b"pakt",
)  # fmt: skip


class SequentialDecoder(soundfile.SoundFile):  # type: ignore[misc]
    """A decoder that is read from the start to the end.

    soundfile seeks after every read of a seekable file, which costs time and, in some codecs,
    changes the sound.
    """

    def seekable(self) -> bool:
        """Say that it is not."""
        return False


class Source:
    """A sound file that is opened again for every pass.

    Parameters
    ----------
    location : str
        What to open.
    name : str
        What error messages call it.

    Raises
    ------
    ReadError
        Where it is empty.

    Attributes
    ----------
    container : Container or None
        Its chunks, where its container has any that are known.
    """

    def __init__(self, location: str, name: str) -> None:
        self.location, self._name = location, name
        self._head: bytes | None = None  # stands in for all that comes before the samples
        with self._file() as file:
            if not file.read(1):
                raise ReadError(f"{name}: the file is empty; make or copy it again")
            self.container = scan(file)
            container = self.container
            if container is not None and (container.streamed or container.kind == "BW64"):
                self._head = _plain_head(container, file)

    def _file(self) -> io.BufferedReader:
        return open(self.location, "rb")  # noqa: PTH123 - may be a descriptor's name

    def stamp(self) -> tuple[int, int]:
        """Return size and time of change: other ones tell of another file."""
        status = os.stat(self.location)  # noqa: PTH116 - may be a descriptor's name
        return status.st_size, status.st_mtime_ns

    def raw_bytes(self, offset: int, size: int) -> bytes:
        """Return bytes of the file as they are stored; a negative `size` takes all that follow."""
        with self._file() as file:
            file.seek(offset)
            return file.read(size)

    def sha256(self) -> str:
        """Return the SHA-256 of all bytes in hexadecimal."""
        with self._file() as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def decoder(self, kind: type[soundfile.SoundFile]) -> soundfile.SoundFile:
        """Open the file once more."""
        if self._head is not None and self.container is not None:
            container = self.container
            return kind(
                _Spliced(
                    self._open(), self._head, container.samples_offset, container.samples_bytes
                )
            )
        # By descriptor: soundfile would ask for the sample rate of a file named ".raw".
        return kind(self._open())

    def _open(self) -> int:
        return os.open(self.location, os.O_RDONLY | getattr(os, "O_BINARY", 0))

    def properties(self) -> tuple[int, int, int, str, str]:
        """Return sample rate, frames, channels, format and subtype.

        Raises
        ------
        ReadError
            Where libsndfile cannot decode it, or not exactly.
        """
        container = self.container
        if container is not None and container.data is not None and not container.samples_bytes:
            raise ReadError(f"{self._name}: holds no sound (0 frames); make or copy it again")
        header = self._header()
        frames, channels, subtype = header.frames, header.channels, header.subtype
        if subtype == "ALAC_32":  # libsndfile 1.2.2 drops its upper 8 bits
            raise ReadError(
                f"{self._name}: 32-bit ALAC cannot be decoded exactly; "
                f"convert it to 32-bit WAV with another program"
            )
        if header.format == "FLAC":
            frames = self._flac_frames(frames)
        elif container is not None and subtype in WIDTHS:
            # In W64, libsndfile takes the padding after the sound for sound.
            frames = min(frames, container.samples_bytes // (channels * WIDTHS[subtype]))
        return header.samplerate, frames, channels, header.format, subtype

    def _header(self) -> soundfile.SoundFile:
        """Open the file and close it again; where its metadata is broken, look past it."""
        try:
            with self.decoder(soundfile.SoundFile) as header:
                return header
        except soundfile.LibsndfileError as error:
            if self.container is None or self.container.truncated or self._head is not None:
                raise ReadError(self._not_sound(error)) from None
            first = error
        try:
            with self._file() as file:
                self._head = _plain_head(self.container, file)
            with self.decoder(soundfile.SoundFile) as header:
                return header
        except (soundfile.LibsndfileError, ValueError, struct.error, IndexError):
            self._head = None
            raise ReadError(self._not_sound(first)) from None

    def cut_short(self, until: str = "") -> str:
        """Say that the file holds less than its header promises."""
        assert self.container is not None
        promised, held = self.container.promised_bytes, self.container.samples_bytes
        return (
            f"{self._name}: the file is cut short: its header promises {promised} bytes of sound, "
            f"{held} are there{until}; copy it again"
        )

    def _not_sound(self, error: soundfile.LibsndfileError) -> str:
        reason = str(error.error_string).strip().rstrip(".")
        if self.container is not None and self.container.truncated:
            return self.cut_short()
        if "not recognised" in reason or "unknown format" in reason.lower():
            return (
                f"{self._name}: this is not a sound file that declick knows; "
                f"give WAV, AIFF, CAF, FLAC, MP3 or Ogg, or convert it (ffmpeg does it)"
            )
        if "does not exist" in reason:  # what libsndfile says where an MP3 breaks off at once
            reason = "no frame of it is whole"
        return (
            f"{self._name}: cannot be decoded ({reason or 'damaged header'}); "
            f"copy it again, or convert it to WAV with another program"
        )

    def _flac_frames(self, stated: int) -> int:
        """Count the frames of a FLAC stream whose header, written to a pipe, leaves them out."""
        if self.container is None:
            return stated
        with self._file() as file:
            if flac_total(self.container, file):
                return stated
            frames = 0
            with self.decoder(SequentialDecoder) as decoder, contextlib.suppress(RuntimeError):
                buffer = np.empty((_PIECE, decoder.channels), dtype=np.int32)
                while count := len(decoder.read(out=buffer)):
                    frames += count
            self._head = _plain_head(self.container, file, frames)
        return frames


class _Spliced(io.RawIOBase):
    """A new head, followed by a stretch of a file; the descriptor is closed with the last user."""

    def __init__(self, descriptor: int, head: bytes, offset: int, size: int) -> None:
        self._descriptor, self._head, self._offset = descriptor, head, offset
        weakref.finalize(self, os.close, descriptor)  # soundfile does not close what it is given
        self._end = len(head) + size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = offset + (0, self._position, self._end)[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        wanted = max(0, min(len(buffer), self._end - self._position))
        piece = self._head[self._position : self._position + wanted]
        if len(piece) < wanted:
            start = self._offset + self._position + len(piece) - len(self._head)
            os.lseek(self._descriptor, start, os.SEEK_SET)
            piece += os.read(self._descriptor, wanted - len(piece))
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)


def _plain_head(container: Container, file: BinaryIO, frames: int | None = None) -> bytes:
    """Make a head that says no more than a decoder needs, and says it truly."""

    def contents(offset: int, size: int) -> bytes:
        file.seek(offset)
        return file.read(size)

    if container.kind == "FLAC":
        info = bytearray(contents(container.chunks[0].offset, container.chunks[0].size))
        if frames is not None:
            info[13:18] = struct.pack(">BI", info[13] & 0xF0 | frames >> 32, frames & 0xFFFFFFFF)
        return frame_flac(bytes(info), ())
    rows = [
        (chunk.id, contents(chunk.offset, chunk.size))
        for chunk in container.chunks
        if chunk.id in _DESCRIBING
    ]
    for index, (name, common) in enumerate(rows):
        if name == b"COMM":
            channels, _, bits = struct.unpack(">HIH", common[:8])
            frames = container.samples_bytes // max(1, channels * ((bits + 7) // 8))
            rows[index] = name, common[:2] + struct.pack(">I", frames) + common[6:]
    kind = container.kind
    if kind in RIFF_KINDS and kind != "RIFX":
        kind = "RF64" if kind in ("RF64", "BW64") else "RIFF"
    order = ">" if kind in ("RIFX", "AIFF", "AIFC", "CAF") else "<"
    return Layout(kind, order, tuple(rows)).frame(container.samples_bytes)[0]  # type: ignore[arg-type]
