"""Find the rings and thumps that follow the cores of clicks, and where they end.

Two looks. A cheap one, over all cores at once: is there a narrow band (a ring), or the lowest
octaves (a thump), louder just after the core than before it and later on? Where there is, a fit
under a model of the music (`declick.dsp.tailfit`) decides. A drum or a note that begins at the
core is louder in many bands and stays so after the fit; it is let alone.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft

from declick.clicks import Kind
from declick.detect.rises import attacks_behind, levels_before, rises_behind, swings_before
from declick.detect.swings import APART_S, LONGEST_S, find_thump, hardest
from declick.detect.tail_thresholds import TailThresholds
from declick.dsp.chain import PLAIN_SPREAD, Chain
from declick.dsp.rings import FittedRing, Ring
from declick.dsp.tailfit import SHORTEST_RING_S, bridge, core_start, fit_tail_rings, is_rival
from declick.dsp.thumps import FittedThump, Swing

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

context_ms = 700.0
"""Sound before and after a core that `TailFinder` looks at; less is enough at a file's ends."""

_LONGEST_RING_S = 0.08
_RING_RISE_S = 0.0015


DEFAULT_THRESHOLDS: Final = TailThresholds()


class FoundTail(NamedTuple):
    """What follows a core.

    Parameters
    ----------
    end : int
        The core's end where nothing does.
    kind : Kind or None
        `Kind.THUMP` for a thump.
    thump : FittedThump or None
        That begins here.
    rise_db : float
        Of the bass, over before and later; -inf where nobody looked.
    """

    end: int
    kind: Kind | None = None
    thump: FittedThump | None = None
    rise_db: float = -math.inf


class TailFinder:
    """The sound of one channel around some cores, where tails are looked for.

    Parameters
    ----------
    samples : ndarray of float64, shape (frames,)
        One channel, with `context_ms` around the cores where there is any.
    cores : sequence of (start, stop)
        Half-open frames of `samples`, ascending: where the music is lost.
    sample_rate : float
        In Hz.
    chain : Chain, optional
        The record's rings: they are found at a lower level. Others are not looked for then; where
        the record has none, only one beyond doubt counts.
    channel : int
        Which channel of the chain this is.
    sure : sequence of bool, optional
        Which cores may have set anything swinging; by default all.
    thresholds : TailThresholds
    """

    def __init__(
        self,
        samples: FloatArray,
        cores: Sequence[tuple[int, int]],
        *,
        sample_rate: float,
        chain: Chain | None = None,
        channel: int = 0,
        sure: Sequence[bool] | None = None,
        thresholds: TailThresholds = DEFAULT_THRESHOLDS,
    ) -> None:
        self._cores, self._rate, self._thresholds = list(cores), sample_rate, thresholds
        self._sure = np.ones(len(cores), dtype=bool) if sure is None else np.array(sure, dtype=bool)
        self._guesses = chain.channel_rings(channel) if chain is not None else ()
        self._lone = chain is not None and not self._guesses
        self._missing: BoolArray = np.zeros(samples.size, dtype=bool)
        for start, stop in cores:
            self._missing[start:stop] = True
        self._samples = samples
        self._sound = sound = bridge(samples, self._missing)
        self._edges = edges = np.array(cores, dtype=np.int64).reshape(-1, 2)
        self._ring_rise, self._thump_rise = (np.full(len(cores), -np.inf) for _ in range(2))
        self._ring_least = thresholds.ring_rise_db * (0.75 if self._guesses else 1.0)
        if not cores:
            return
        # Between the cores the two do not differ, so that a core's peak is that up to the next.
        self._pushes = np.maximum.reduceat(np.abs(samples - sound), edges[:, 0])
        strong = self._pushes >= thresholds.core_level * levels_before(sound, edges, sample_rate)
        strong &= self._sure
        if strong.any():
            hertz = [ring.frequency_hz for ring in self._guesses]
            rises = rises_behind(sound, edges[strong], sample_rate, hertz)
            self._ring_rise[strong], self._thump_rise[strong] = rises
        # Where a tail is likely, the sound is no yardstick for the music beside another core.
        self._thump_dirt = self._mark(
            self._thump_rise >= thresholds.thump_rise_db, 0.6 * LONGEST_S * sample_rate
        )

    def find(self) -> list[FoundTail]:
        """Look for rings and thumps.

        Returns
        -------
        list of FoundTail
            For each core; none ends beyond the start of the next core.
        """
        if not self._cores:
            return []
        result = [
            FoundTail(stop, rise_db=float(rise))
            for (_, stop), rise in zip(self._cores, self._thump_rise, strict=True)
        ]
        known = self._thresholds
        quiet = replace(known, thump_evidence=known.quiet_evidence)
        plain = self._thump_candidates(known.thump_rise_db)
        for index in plain:
            self._look_for_thump(result, index, None, known)
        for index in self._apart(self._thump_candidates(known.quiet_rise_db), plain):
            self._look_for_thump(result, index, None, quiet)
        self._fit_rings(result, np.flatnonzero(self._ring_rise > -np.inf).tolist())
        return result

    def find_hidden(
        self,
        found: Sequence[FoundTail],
        swings: Mapping[int, Swing],
        *,
        together: Container[int] = (),
    ) -> list[FoundTail]:
        """Look again for thumps, where it is known how they would go.

        Parameters
        ----------
        found : sequence of FoundTail
            What is known of each core.
        swings : mapping from int to Swing
            How the arm swings behind a core, by its index.
        together : container of int
            The indices of those that the other channel hears swing so at that moment.
        """
        result, known = list(found), self._thresholds
        likely = replace(
            known, expected_evidence=known.together_evidence, thump_push=known.together_push
        )
        for index in sorted(swings):
            if result[index].kind is not Kind.THUMP:
                both = index in together and self._thump_rise[index] > -np.inf
                self._look_for_thump(result, index, swings[index], likely if both else known)
        return result

    def expected_thumps(self) -> list[int]:
        """Return the indices of the cores behind which a thump like the record's is looked for."""
        known = self._thresholds
        plain = self._thump_candidates(known.expected_rise_db)
        return plain + self._apart(self._thump_candidates(known.hidden_rise_db), plain)

    def _apart(self, indices: Sequence[int], others: Sequence[int]) -> list[int]:
        """Return those of some cores that are far enough from all of some others."""
        starts = self._edges[:, 0]
        apart = [np.abs(starts[others] - starts[index]) > APART_S * self._rate for index in indices]
        return [index for index, far in zip(indices, apart, strict=True) if far.all()]

    def _thump_candidates(self, rise_db: float) -> list[int]:
        """Return the indices of the hardest pushes behind which the bass rises enough."""
        apart = APART_S * self._rate
        return hardest(self._edges, self._thump_rise, rise_db, self._pushes, apart)

    def _look_for_thump(
        self,
        result: list[FoundTail],
        index: int,
        expected: Swing | None,
        thresholds: TailThresholds,
    ) -> None:
        start, stop = self._cores[index]
        core_ms = 1e3 * (stop - start) / self._rate
        if core_ms < thresholds.thump_core_ms:
            return
        if expected is None:
            thresholds = replace(thresholds, thump_evidence=self._evidence(index, thresholds))
        end, thump = find_thump(
            self._sound,
            self._missing,
            self._thump_dirt,
            stop,
            float(self._pushes[index]),
            self._rate,
            thresholds,
            expected,
        )
        if thump is not None:
            result[index] = result[index]._replace(thump=thump)
            self._carry(result, index, end, Kind.THUMP)

    def _evidence(self, index: int, thresholds: TailThresholds) -> float:
        """Return the evidence of a thump behind a core that no other confirms."""
        start, stop = self._cores[index]
        least = thresholds.thump_evidence
        if self._sound.size - stop < thresholds.thump_seen_ms * 1e-3 * self._rate:
            least = max(least, thresholds.thump_cut_evidence)
        if attacks_behind(self._sound, start, stop, self._rate):
            least = max(least, thresholds.thump_attack_evidence)
        if swings_before(self._sound, start, stop, self._rate):
            least = max(least, thresholds.thump_before_evidence)
        hidden = stop - start > thresholds.thump_hidden_ms * 1e-3 * self._rate
        if hidden and not self._begins_with_push(index, thresholds):
            least = max(least, thresholds.thump_hidden_evidence)
        return least

    def _begins_with_push(self, index: int, thresholds: TailThresholds) -> bool:
        """Return whether a thump begins where a long core does, as far as the core lets it through.

        What is lost in the core lies above the bass, most of it.
        """
        start, stop = self._cores[index]
        head = start + round(thresholds.thump_head_ms * 1e-3 * self._rate)
        missing = self._missing.copy()
        missing[head:stop] = False
        _, thump = find_thump(
            bridge(self._samples, missing),
            missing,
            self._thump_dirt,
            head,
            float(self._pushes[index]),
            self._rate,
            thresholds,
        )
        return thump is not None

    def find_rings_together(
        self, found: Sequence[FoundTail], together: Container[int]
    ) -> list[FoundTail]:
        """Look again for the record's rings, behind cores that ring in the other channel.

        Parameters
        ----------
        found : sequence of FoundTail
            What is known of each core.
        together : container of int
            The indices of those cores.
        """
        result = list(found)
        if self._guesses:
            silent = [
                index
                for index, (_, stop) in enumerate(self._cores)
                if index in together and self._sure[index] and found[index].end <= stop
            ]
            self._fit_rings(result, silent, asked=True)
        return result

    def _fit_rings(
        self, result: list[FoundTail], indices: Sequence[int], *, asked: bool = False
    ) -> None:
        """Fit rings behind cores, in place; those `asked` for need not rise over anything."""
        frames = self._sound.size
        dirt = self._mark(self._ring_rise >= self._ring_least, _LONGEST_RING_S * self._rate)
        reached = 0
        for index in indices:
            # Where a ring comes into a click there is no sound before it to rise over.
            weak = self._ring_rise[index] < self._ring_least
            if weak and not asked and self._cores[index][0] > reached:
                continue
            if result[index].kind is Kind.THUMP:
                continue
            stop = self._cores[index][1]
            longest = min(stop + round(_LONGEST_RING_S * self._rate), frames)
            # What rings on under a weaker core does not end there.
            tail = _rival(index, self._edges, self._pushes, longest, self._rate)
            if tail - stop < SHORTEST_RING_S * self._rate:
                continue
            rings = fit_tail_rings(
                self._sound,
                self._missing,
                stop,
                tail,
                sample_rate=self._rate,
                guesses=self._guesses,
                fresh=not self._guesses,
                dirty=dirt,
                passes=1,
            )
            if self._lone:
                rings = [ring for ring in rings if self._is_beyond_doubt(ring, index)]
            ends = [
                _ring_end(
                    self._sound,
                    self._missing,
                    stop,
                    ring,
                    self._rate,
                    self._thresholds,
                    self._guesses,
                )
                for ring in rings
            ]
            reached = max(reached, max(ends, default=stop))
            self._carry(result, index, min(max(ends, default=stop), tail), None)

    def _is_beyond_doubt(self, fitted: FittedRing, index: int) -> bool:
        """Return whether a ring is none of the music's, though the record has no other like it."""
        least = self._thresholds.lone_push * float(self._pushes[index])
        first = fitted.samples(round(_RING_RISE_S * self._rate))
        return (
            fitted.evidence >= self._thresholds.lone_evidence
            and fitted.unrest <= self._thresholds.lone_unrest
            and float(np.abs(first).max()) >= least
        )

    def _carry(self, result: list[FoundTail], index: int, end: int, kind: Kind | None) -> None:
        """Let a tail reach its end, in place: the tails of the clicks that follow carry it."""
        cores = self._cores
        while index < len(cores) and cores[index][1] < end:
            found = result[index]
            limit = cores[index + 1][0] if index + 1 < len(cores) else self._sound.size
            longest = max(found.end, min(end, limit))
            if longest > cores[index][1]:
                result[index] = found._replace(end=longest, kind=kind or found.kind)
            index += 1

    def _mark(self, chosen: BoolArray, frames: float) -> BoolArray:
        """Return the sound behind the chosen cores."""
        marked: BoolArray = np.zeros(self._sound.size, dtype=bool)
        for stop in self._edges[chosen, 1]:
            marked[stop : stop + round(frames)] = True
        return marked


def _rival(
    index: int, edges: NDArray[np.int64], pushes: FloatArray, end: int, sample_rate: float
) -> int:
    """Return where the next core before `end` begins that was pushed hard enough, or `end`."""
    first, stop = pushes[index], edges[index, 1]
    for other in range(index + 1, len(edges)):
        start = int(edges[other, 0])
        if start >= end:
            break
        if is_rival(pushes[other], first, (start - stop) / sample_rate):
            return start
    return end


def _ring_end(
    sound: FloatArray,
    missing: BoolArray,
    stop: int,
    fitted: FittedRing,
    sample_rate: float,
    thresholds: TailThresholds,
    expected: Sequence[Ring],
) -> int:
    """Return where a ring sinks below the music of its band; `stop` where it is not credible."""
    least = thresholds.chain_evidence if expected else thresholds.ring_evidence
    if fitted.evidence < least:
        return stop
    # Music that begins at a click does not have the chain's frequency, nearly to the Hertz.
    plain = fitted.evidence >= thresholds.ring_evidence and any(
        abs(fitted.ring.frequency_hz / ring.frequency_hz - 1.0) < PLAIN_SPREAD for ring in expected
    )
    if fitted.unrest > thresholds.unrest and not plain:
        return stop
    start = core_start(missing, stop, round(0.025 * sample_rate))
    size = round(0.1 * sample_rate)
    before = sound[max(0, start - size) : start]
    if before.size < 64:
        return stop
    power = rfft(before * np.hanning(before.size))
    hertz = np.arange(power.size) * (sample_rate / before.size)
    near = np.abs(np.log2(np.maximum(hertz, 1.0) / fitted.ring.frequency_hz)) < 0.5
    level = math.sqrt(2.0 * float(np.sum(np.abs(power[near]) ** 2)) / (0.375 * before.size**2))
    target = level * 10.0 ** (thresholds.end_db / 20.0) + 1e-12
    ratio = abs(fitted.amplitude) / (math.sqrt(2.0) * target)
    seconds = fitted.ring.decay_s * min(math.log(max(ratio, 1.0)), 7.0)
    frames = round(seconds * sample_rate)
    return stop + frames if seconds * 1e3 >= thresholds.shortest_ms else stop
