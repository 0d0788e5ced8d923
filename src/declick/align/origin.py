"""Which two digitizations a time map is of: it fits no others."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from declick.read import Recording

_BLOCK: Final = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Digitization:
    """What a time map says of one of its two recordings.

    Parameters
    ----------
    name : str
        File name; folders are cut off.
    sample_rate, frames, channels : int
    sha256 : str
        Of its samples: other tags or another lossless container change nothing.
    """

    name: str
    sample_rate: int
    frames: int
    channels: int
    sha256: str

    @classmethod
    def of(cls, recording: Recording) -> Digitization:
        """Describe a recording, which is read once."""
        return cls(
            name=Path(recording.name).name,
            sample_rate=recording.sample_rate,
            frames=recording.frames,
            channels=recording.channels,
            sha256=_hash_samples(recording),
        )

    def is_of(self, recording: Recording) -> bool:
        """Return whether a recording has the same samples, under whatever name."""
        known = (self.sample_rate, self.frames, self.channels)
        shape = (recording.sample_rate, recording.frames, recording.channels)
        return known == shape and self.sha256 == _hash_samples(recording)


def _hash_samples(recording: Recording) -> str:
    digest = hashlib.sha256()
    for block in recording.blocks(_BLOCK, 0):
        digest.update(block.samples.astype("<f8").tobytes())
    return digest.hexdigest()
