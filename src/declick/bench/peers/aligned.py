"""Whether what a peer gives back can be laid beside what it was given, sample by sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import scipy.fft
import soundfile

from declick.bench.peers.peer import PeerError

_EXCERPT = 1 << 17  # frames to compare: 3 s


def check_aligned(name: str, source: Path, mended: Path) -> None:
    """Check format, length and alignment of a result; trim silent or spare frames at its end.

    Raises
    ------
    PeerError
        If there is none, or it has another format, is shorter, or is shifted.
    """
    try:
        given, got = soundfile.info(source), soundfile.info(mended)
    except (OSError, soundfile.LibsndfileError):
        raise PeerError(f"{name}: left no sound file behind") from None
    for what, here, there in (
        ("sample rate", given.samplerate, got.samplerate),
        ("number of channels", given.channels, got.channels),
        ("sample format", given.subtype, got.subtype),
    ):
        if here != there:
            raise PeerError(f"{name}: gave back another {what}: {there} instead of {here}")
    if got.frames < given.frames:
        raise PeerError(f"{name}: gave back {got.frames} frames of {given.frames}")
    shift = _shift(source, mended)
    if shift:
        raise PeerError(f"{name}: gave back a sound shifted by {shift:+d} frames")
    if got.frames > given.frames:
        samples, rate = soundfile.read(mended, frames=given.frames, always_2d=True)
        soundfile.write(mended, samples, rate, subtype=got.subtype, format="WAV")


def _shift(source: Path, mended: Path) -> int:
    """Return by how many frames the loudest excerpt comes later."""
    start = _loudest(source)
    before, after = (
        soundfile.read(path, start=start, frames=_EXCERPT, always_2d=True)[0].mean(axis=1)
        for path in (source, mended)
    )
    count = min(len(before), len(after))
    if np.array_equal(before[:count], after[:count]):
        return 0
    spectra = [scipy.fft.rfft(_texture(sound[:count]), 2 * count) for sound in (before, after)]
    correlation = scipy.fft.irfft(np.conj(spectra[0]) * spectra[1], 2 * count)
    peak = int(np.argmax(correlation))
    if correlation[peak] <= 2 * max(correlation[0], 0.0):
        return 0
    return peak - 2 * count if peak > count else peak


def _texture(sound: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return what tells one frame from the next: steep differences, but not those of clicks."""
    steps = np.diff(sound, n=2, append=[0.0, 0.0])
    usual = 2.0 * float(np.median(np.abs(steps)))
    clipped: npt.NDArray[np.float64] = np.clip(steps, -usual, usual)
    return clipped


def _loudest(path: Path) -> int:
    energies = [float(np.sum(np.square(block, dtype=np.float64))) for block in _blocks(path)]
    return int(np.argmax(energies)) * _EXCERPT if energies else 0


def _blocks(path: Path) -> list[npt.NDArray[np.float32]]:
    return list(soundfile.blocks(path, blocksize=_EXCERPT, dtype="float32", always_2d=True))
