"""Take what is lost from another transfer of the record.

The copy comes matched to the recording (`declick.copies.guide`). What is left between the two is
interpolated across the gap, which leads the sound over into the copy and back without a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from declick.clicks import Click, Kind, Repair
from declick.repair.ar import ModelSize, interpolate
from declick.repair.patches import FILLED, LOSS_PATCH_S, LOSS_S, PATCH_S, patch, patches
from declick.repair.solve import Run

if TYPE_CHECKING:
    from declick.repair.passage import Passage

FloatArray = NDArray[np.float64]

SECOND_COPY: Final = "second copy"
OTHER_WALL: Final = "other wall"
"""What a report calls a repair from another digitization, and from the other wall of the groove."""

JOIN_ORDER: Final = 96
JOIN_CONTEXT: Final = 4096
"""Model of what is left between recording and copy, at 44.1 kHz."""

LONG_S: Final = 0.012
"""From this length on, a gap is led over at its ends alone, and is all copy between them ..."""

END_S: Final = 0.004
"""... this long each."""

SAME: Final = 6.0
"""Where the difference has less than this many times its expected energy, both say the same: the
fault is in the pressing, or there is none."""

SHARED: Final = 0.1
"""With less than this share of the energy that a repair would change, the fault is in both."""

SAME_TRANSFER: Final = 1e-6
"""What leaves a smaller share of the recording is the same digitization: it bears nothing out."""

BLOCK_S: Final = 0.0005
"""... in every block of this length."""

FILL_MISSES: Final = 0.1
"""Of the energy, what was interpolated in a copy by itself is expected to miss."""

FADE_SAMPLES: Final = 32
"""How far the copy is faded into a hole of it."""

PLAIN: Final = 10**-2.8
"""A transfer that is expected to miss less than this share of the energy needs no rival."""

WORST: Final = 10**-1.0
"""One that is expected to miss more than this is of no use."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Transfer:
    """Another transfer on the time line of a passage, matched to it.

    Parameters
    ----------
    samples : ndarray of float64, shape (frames, channels)
        What the recording should be by this transfer, once that was mended by itself.
    played : ndarray of float64, as `samples`
        The same as it is played.
    residual : ndarray of float64, shape (frames, channels)
        Power of what is left between the two, relative to that of `samples`.
    sound : ndarray of bool, shape (frames, channels)
        Where it is undamaged, and the same music.
    mended : ndarray of int8, as `samples`
        Where it was mended: `CLEANED` or `FILLED`, else 0.
    number : int
        Which copy it is, counted from 1; 0 is the other wall of a mono groove.
    """

    samples: FloatArray = field(repr=False)
    played: FloatArray = field(repr=False)
    residual: FloatArray = field(repr=False)
    sound: NDArray[np.bool_] = field(repr=False)
    mended: NDArray[np.int8] = field(repr=False)
    number: int

    def cut(self, start: int, stop: int) -> Transfer:
        """Return the same for some of the frames."""
        here = slice(start, stop)
        return replace(
            self,
            samples=self.samples[here],
            played=self.played[here],
            residual=self.residual[here],
            sound=self.sound[here],
            mended=self.mended[here],
        )

    def is_witness(self, here: tuple[slice, int]) -> bool:
        """Return whether what it plays there tells anything of damage.

        The other wall of the same groove is no other copy: one push moves both.
        """
        return bool(self.number) and SAME_TRANSFER < float(self.residual[here].max()) < WORST

    @property
    def method(self) -> str:
        """What a report calls a repair by it."""
        return SECOND_COPY if self.number else OTHER_WALL


@dataclass(frozen=True, kw_only=True, eq=False)
class Offer:
    """What a click may be replaced by, ``[start, tail)``, and how far off that is expected to be.

    `plain` where nothing else need be tried. In `holes` of the tail, relative to the start, the
    copy is damaged itself; `filled` where some of it was interpolated from the copy alone.
    """

    samples: FloatArray
    error_energy: float
    gain_db: float
    method: str
    copies: tuple[int, ...]
    plain: bool
    holes: tuple[Run, ...] = ()
    filled: bool = False

    def repair(self, click: Click) -> Repair:
        """Return the repair of `click` by this offer alone."""
        return Repair(click, self.samples, self.method, self.gain_db, self.copies)

    def beside(self, single: Repair, error_energy: float) -> Repair:
        """Return the better of this offer and a repair from the recording alone, or both.

        Two estimates that are off independently are averaged by their inverse variances.
        """
        click = single.click
        if self.holes:
            return replace(self.repair(click), samples=self._over_holes(single.samples))
        rival = error_energy if np.isfinite(error_energy) and error_energy > 0.0 else np.inf
        if not single.made or click.tail > click.stop or rival > 10.0 * self.error_energy:
            return self.repair(click)
        if self.error_energy > 10.0 * rival:
            return single
        weight = rival / (rival + self.error_energy)
        samples = single.samples + weight * (self.samples - single.samples)
        return replace(self.repair(click), samples=samples)

    def _over_holes(self, single: FloatArray) -> FloatArray:
        """Return the offer with the other repair in its holes, cross-faded into them."""
        weight = np.ones(single.size)
        for start, stop in self.holes:
            weight[start:stop] = 0.0
        fade = max(1, min(single.size // 8, FADE_SAMPLES))
        padded = np.pad(weight, fade, mode="edge")
        weight = sliding_window_view(padded, 2 * fade + 1).min(axis=1)
        kernel = np.hanning(2 * fade + 3)[1:-1]
        weight = np.convolve(np.pad(weight, fade, mode="edge"), kernel / kernel.sum(), "valid")
        mixed: FloatArray = single + weight * (self.samples - single)
        return mixed


def is_transfer(method: str) -> bool:
    """Return whether a repair is taken from another transfer, in whole or in part."""
    return method in (SECOND_COPY, OTHER_WALL)


def is_shared(passage: Passage, click: Click, changed: float) -> bool:
    """Return whether another copy plays a click just so, whether it is taken for one there or not.

    Then it differs from the recording by much less than a repair would, whose energy is `changed`.
    """
    here = slice(click.start - passage.start, click.tail - passage.start), click.channel
    return any(
        float(np.sum((passage.samples[here] - transfer.played[here]) ** 2)) < SHARED * changed
        for transfer in passage.transfers
        if transfer.is_witness(here)
    )


def fill_from_transfers(passage: Passage) -> dict[Click, Offer]:
    """Return what the transfers of a passage offer for its own clicks.

    Parameters
    ----------
    passage : Passage

    Returns
    -------
    dict
        Without the clicks for which no transfer is sound, or says anything else than the
        recording.
    """
    offers: dict[Click, Offer] = {}
    for click in passage.own:
        if click.start < passage.start or click.tail > passage.stop:
            continue
        found = [
            offer
            for transfer in passage.transfers
            if (offer := _offer(passage, transfer, click)) is not None
        ]
        if found:
            offers[click] = _average(found)
    return offers


def _offer(passage: Passage, transfer: Transfer, click: Click) -> Offer | None:
    """Fill one click from one transfer."""
    rate, channel = passage.sample_rate, click.channel
    start, tail = click.start - passage.start, click.tail - passage.start
    core = max(click.stop - click.start, 1)
    gone = click.kind is Kind.DROPOUT
    here = slice(start, tail), channel
    lost, mended = ~transfer.sound[here], transfer.mended[here]
    damaged = patches(lost, mended, core, rate, gone=gone)
    if damaged is None:
        return None
    patch_s = LOSS_PATCH_S if core > LOSS_S * rate else PATCH_S
    holes = tuple(run for run in damaged if run[1] - run[0] > patch_s * rate)
    lo, hi = passage.sound
    reach = round(0.5 * JOIN_CONTEXT * rate / 44100) + round(END_S * rate)
    low, high = max(start - reach, lo), min(tail + reach, hi)
    guide = transfer.samples[low:high, channel]
    if damaged:
        runs = [(a + start - low, b + start - low) for a, b in damaged]
        guide = patch(guide, runs, rate)
    difference = passage.samples[low:high, channel] - guide
    usable = transfer.sound[low:high, channel]
    missing = ~usable
    for other in passage.clicks:
        if other.channel == channel:
            first, last = other.start - passage.start, other.tail - passage.start
            missing[max(first - low, 0) : max(last - low, 0)] = True
    gap = (start - low, tail - low)
    observed = difference[slice(*gap)].copy()
    fill, error = _lead_over(difference, missing, gap, rate)
    by_null = float(np.sum((transfer.residual[start:tail, channel]) * guide[slice(*gap)] ** 2))
    error = max(error, by_null) if tail - start > LONG_S * rate else error
    if not np.isfinite(error) or not error > 0.0:
        error = max(by_null, 1e-20)
    changed = observed - fill
    as_played = passage.samples[here] - transfer.played[here]
    if mended.any() and float(np.sum(as_played**2)) < SHARED * float(np.sum(changed**2)):
        # The copy has just that: whoever mended it there may have mended music.
        return None
    if not _is_exceptional(changed, error, round(BLOCK_S * rate)):
        return None
    energy = float(np.sum((guide[slice(*gap)] + fill) ** 2))
    beside = _energy_beside(guide, gap)
    if error > WORST * max(energy, beside):
        return None
    filled = float(np.mean(lost & (mended == FILLED)))
    missed = error + FILL_MISSES * filled * beside
    return Offer(
        samples=guide[slice(*gap)] + fill,
        error_energy=error,
        gain_db=float(10 * np.log10(max(float(np.dot(changed, changed)) / missed - 1.0, 1e-3))),
        method=transfer.method,
        copies=(transfer.number,) if transfer.number else (),
        plain=not holes
        and (error < PLAIN * min(energy, beside) or click.stop - click.start > LONG_S * rate),
        holes=holes,
        filled=filled > 0.0,
    )


def _energy_beside(guide: FloatArray, gap: Run) -> float:
    """Return the energy that the gap would have with the mean power of its surroundings."""
    length = gap[1] - gap[0]
    around = guide[max(gap[0] - 4 * length, 0) : gap[1] + 4 * length]
    return float(np.dot(around, around)) * length / max(around.size, 1)


def _lead_over(
    difference: FloatArray, missing: NDArray[np.bool_], gap: Run, sample_rate: int
) -> tuple[FloatArray, float]:
    """Interpolate what is left between recording and copy across a gap.

    Returns
    -------
    fill : ndarray of float64, shape (gap,)
    error : float
        Its expected squared error, summed over the gap.
    """
    start, stop = gap
    end = round(END_S * sample_rate)
    scale = sample_rate / 44100
    size = ModelSize(
        order=int(min(max(JOIN_ORDER * scale, 32), 256)),
        context=int(min(max(JOIN_CONTEXT * scale, 1024), 16384)),
    )
    missing = missing.copy()
    missing[start:stop] = True
    work = difference.copy()
    wanted = [gap]
    if stop - start > LONG_S * sample_rate:
        # Between the two ends the copy stands by itself.
        work[start + end : stop - end] = 0.0
        missing[start + end : stop - end] = False
        wanted = [(start, start + end), (stop - end, stop)]
    edges = np.flatnonzero(np.diff(missing.astype(np.int8), prepend=0, append=0)).tolist()
    runs = list(zip(edges[::2], edges[1::2], strict=True))
    wanted = [next(run for run in runs if run[0] <= a and b <= run[1]) for a, b in wanted]
    result = interpolate(
        work, runs, sorted(set(wanted)), sizes=[size], sample_rate=sample_rate, rough=True
    )
    whole = sum(b - a for a, b in set(wanted))
    inside = min(stop - start, whole)
    fill = result.samples[start:stop]
    return fill, float(np.sum(result.error_energy)) * inside / whole


def _is_exceptional(changed: FloatArray, error: float, block: int) -> bool:
    """Return whether recording and copy differ by more than they usually do."""
    energy = changed**2
    if float(energy.sum()) > SAME * error:
        return True
    share = error * min(block, energy.size) / energy.size
    blocks = np.add.reduceat(energy, np.arange(0, energy.size, max(block, 1)))
    return bool(blocks.max() > 2.0 * SAME * share)


def _average(offers: Sequence[Offer]) -> Offer:
    """Average what several copies offer, weighted by their inverse variances."""
    whole = [offer for offer in offers if not (offer.holes or offer.filled)]
    if len(whole) < 2:
        return min(whole or offers, key=lambda offer: offer.error_energy)
    offers = whole
    weights = np.array([1.0 / offer.error_energy for offer in offers])
    weights /= weights.sum()
    best = min(offers, key=lambda offer: offer.error_energy)
    return replace(
        best,
        samples=np.asarray(weights @ np.stack([offer.samples for offer in offers])),
        copies=tuple(sorted({number for offer in offers for number in offer.copies})),
        plain=any(offer.plain for offer in offers),
    )
