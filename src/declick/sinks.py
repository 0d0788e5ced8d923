"""Where samples go: a file that appears only when all is well, a pipe, or an array."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self

import numpy as np
import soundfile

from declick.chunks import WIDTHS, flac_total, scan
from declick.clicks import FloatArray
from declick.errors import WriteError
from declick.grid import left_justified, pack
from declick.headers import Layout, frame_flac

STANDARD_OUTPUT = "standard output"
_SPARE_BYTES = 1 << 16


class Sink(Protocol):
    """Takes samples in order."""

    def write(self, samples: FloatArray) -> None:
        """Take the next frames; they lie on the grid of the output."""

    def finish(self) -> None:
        """Complete what was written."""


class ArraySink:
    """Keeps the samples in memory."""

    def __init__(self, frames: int, channels: int) -> None:
        self.samples: FloatArray = np.empty((frames, channels))
        self._filled = 0

    def write(self, samples: FloatArray) -> None:
        """Take the next frames."""
        self.samples[self._filled : self._filled + len(samples)] = samples
        self._filled += len(samples)

    def finish(self) -> None:
        """Do nothing: the array is complete."""


class PackedSink:
    """Writes uncompressed samples between what comes before and after them."""

    def __init__(
        self, file: BinaryIO, name: str, layout: Layout, subtype: str, frames: int, channels: int
    ) -> None:
        self._file, self._name, self._subtype = file, name, subtype
        self._order = layout.order
        try:
            head, self._foot = layout.frame(frames * channels * WIDTHS[subtype])
        except ValueError as error:
            raise WriteError(f"{name}: {error}; write .w64, .rf64 or .caf") from None
        with writing(name):
            file.write(head)

    def write(self, samples: FloatArray) -> None:
        """Pack and write the next frames."""
        packed = pack(samples, self._subtype, self._order)
        with writing(self._name):
            self._file.write(packed)

    def finish(self) -> None:
        """Write what follows the samples."""
        with writing(self._name):
            self._file.write(self._foot)
            self._file.flush()


class FlacSink:
    """Lets libsndfile compress the samples, then puts the metadata before its frames."""

    def __init__(
        self,
        pending: PendingFile,
        layout: Layout,
        subtype: str,
        sample_rate: int,
        frames: int,
        channels: int,
    ) -> None:
        self._pending, self._layout, self._subtype = pending, layout, subtype
        self._frames = frames
        self._compressed = pending.beside()
        with self._encoding():
            self._encoder = soundfile.SoundFile(
                os.open(self._compressed, os.O_RDWR | getattr(os, "O_BINARY", 0)),
                "w",
                samplerate=sample_rate,
                channels=channels,
                format="FLAC",
                subtype=subtype,
            )

    def write(self, samples: FloatArray) -> None:
        """Compress the next frames."""
        with self._encoding():
            self._encoder.write(left_justified(samples, self._subtype))

    def finish(self) -> None:
        """Close the encoder, check its length, and put the metadata before its frames."""
        with self._encoding():
            self._encoder.close()
        with writing(self._pending.name), self._compressed.open("rb") as source:
            container = scan(source)
            if container is None or flac_total(container, source) != self._frames:
                raise WriteError(self._failed())
            info = container.chunks[0]
            source.seek(info.offset)
            head = frame_flac(source.read(info.size), self._layout.before)
            self._pending.file.write(head)
            source.seek(container.samples_offset)
            shutil.copyfileobj(source, self._pending.file, 1 << 20)

    def _failed(self) -> str:
        free = shutil.disk_usage(self._compressed.parent).free
        if free < _SPARE_BYTES:
            return f"{self._pending.name}: no space left on the disk; free some or write elsewhere"
        return f"{self._pending.name}: libsndfile could not write it; write WAV instead"

    @contextlib.contextmanager
    def _encoding(self) -> Iterator[None]:
        # soundfile asserts that all was written; a full disk ends there.
        try:
            with writing(self._pending.name):
                yield
        except (soundfile.SoundFileError, AssertionError):
            raise WriteError(self._failed()) from None


@contextlib.contextmanager
def writing(name: str) -> Iterator[None]:
    """Turn what the system refuses into one line that says what to do."""
    try:
        yield
    except BrokenPipeError:
        if name == STANDARD_OUTPUT:
            mute_standard_output()
        raise WriteError(
            f"{name}: the reading program closed the pipe before the end; look at its messages"
        ) from None
    except OSError as error:
        if name == STANDARD_OUTPUT:
            mute_standard_output()
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            what = "no space left on the disk; free some or write elsewhere"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            what = "you may not write there; change the permissions or write elsewhere"
        elif error.errno == errno.EFBIG:
            what = "the file system does not take files of this size; write elsewhere"
        else:
            what = f"cannot be written ({error.strerror}); write elsewhere"
        raise WriteError(f"{name}: {what}") from None


def mute_standard_output() -> None:
    """Keep Python from writing the rest to a closed pipe, and complaining, when it ends."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, sys.stdout.fileno())
        os.close(devnull)


class PendingFile:
    """A file under a temporary name beside its target."""

    def __init__(self, target: Path, name: str) -> None:
        self.name = name
        self.target = target
        self._extra: list[Path] = []
        self._backup: Path | None = None
        self.path, self.file = self._create()

    def _create(self) -> tuple[Path, BinaryIO]:
        stem = self.target.name[:100]
        path = self.target.with_name(f".{stem}.{secrets.token_hex(4)}.part")
        with writing(self.name):
            return path, path.open("xb")

    def beside(self) -> Path:
        """Create one more temporary file, empty and closed."""
        path, file = self._create()
        file.close()
        self._extra.append(path)
        return path

    def check_space(self, needed: int) -> None:
        """Refuse before the work starts what cannot fit in the end."""
        free = shutil.disk_usage(self.target.parent).free
        if needed > free:
            raise WriteError(
                f"{self.name}: no space left on the disk: {needed >> 20} MiB are needed, "
                f"{free >> 20} MiB are free; free some or write elsewhere"
            )

    def seal(self) -> None:
        """Bring all that was written onto the disk."""
        with writing(self.name):
            self.file.flush()
            os.fsync(self.file.fileno())
            self.file.close()
            if self.target.exists():
                shutil.copymode(self.target, self.path)

    def commit(self) -> None:
        """Give the file its name; an earlier one is kept until `forget` or `roll_back`."""
        with writing(self.name):
            if self.target.exists():
                backup = self.target.with_name(self.path.name + ".old")
                with contextlib.suppress(OSError):  # a file system without hard links
                    os.link(self.target, backup)
                    self._backup = backup
            self.path.replace(self.target)

    def roll_back(self) -> None:
        """Undo `commit`."""
        if self._backup is not None:
            self._backup.replace(self.target)
            self._backup = None
        else:
            self.target.unlink(missing_ok=True)

    def forget(self) -> None:
        """Remove the earlier file for good."""
        if self._backup is not None:
            self._backup.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove every temporary file."""
        with contextlib.suppress(OSError):
            self.file.close()
        for path in (self.path, *self._extra):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


class Transaction:
    """Files that appear together or not at all."""

    def __init__(self) -> None:
        self._files: list[PendingFile] = []

    def add(self, target: Path, name: str) -> PendingFile:
        """Begin one more file."""
        pending = PendingFile(target, name)
        self._files.append(pending)
        return pending

    def commit(self, companions: Callable[[], None] | None = None) -> None:
        """Let all files appear, after those that `companions` writes."""
        for pending in self._files:
            pending.seal()
        if companions is not None:
            companions()
        done: list[PendingFile] = []
        try:
            for pending in self._files:
                pending.commit()
                done.append(pending)
        except BaseException:
            for pending in reversed(done):
                pending.roll_back()
            raise
        for pending in done:
            pending.forget()
        for directory in {pending.target.parent for pending in done}:
            _sync_directory(directory)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for pending in self._files:
            pending.discard()


def _sync_directory(directory: Path) -> None:
    with contextlib.suppress(OSError):  # not every system can
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
