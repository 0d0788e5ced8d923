"""What makes a tail: the numbers that `declick.detect.tails` goes by."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TailThresholds:
    """What makes a tail.

    Parameters
    ----------
    ring_rise_db, thump_rise_db : float
        The least rise of a band after the core over the same band before and later, to look
        closer.
    ring_evidence, chain_evidence, thump_evidence : float
        The least whitened energy that the fit explains, over the variance of what it leaves; the
        second for a ring at the frequency of the playback chain.
    lone_evidence, lone_push, lone_unrest : float
        What it takes for a ring that no other of the record confirms: evidence, its height over
        the peak of the core (music that goes on under a core has little to do with it), and the
        most unrest.
    unrest : float
        The most that the whitened sound under the fitted tail may exceed the sound before the
        click, as a ratio of variances: more is an attack of the music.
    end_db, thump_end_db : float
        A tail ends where it is this far below the local music in its own band. A thump, which is
        subtracted and lies far below most of the music, is followed further, up to the next click.
    shortest_ms : float
        A tail that ends sooner is not worth a fit.
    core_level : float
        The least peak of a core over the level before it: no more than a strong push sets the arm
        or the cartridge swinging.
    thump_core_ms, thump_push, thump_shortest_ms : float
        The shortest core, its least peak over that of the sound behind it, and the shortest tail
        of a thump: a drum stroke with a speck on it has neither.
    quick_decay_s, quick_evidence : float
        A thump that no other confirms and that is over so soon takes so much evidence: voices begin
        like that.
    high_hz, high_evidence : float
        The same for one that begins higher: an arm sweeps down from about 100 Hz, an electronic
        drum from 150 and more.
    quiet_rise_db, quiet_evidence : float
        The same for one behind which the bass rises less than `thump_rise_db`, but so much.
    plain_evidence, plain_unrest : float
        From so much evidence on, more unrest is allowed.
    together_evidence, together_push : float
        The evidence, and the least peak of the core, of a thump that the other channel hears
        plainly at the same moment.
    expected_rise_db, hidden_rise_db, expected_evidence : float
        The least rise of the bass, the same where no core beside it has that, and the evidence, of
        a thump that swings as the record's others do.
    restless_evidence : float
        From so much evidence on, such a thump counts whatever the music does there; with less, only
        where it leaves no more than `unrest`.
    thump_hidden_ms, thump_hidden_evidence : float
        Behind a core longer than the first nobody has seen the swing begin: where no other confirms
        it, it takes so much evidence. A drum that is struck under such a core has less.
    thump_seen_ms, thump_cut_evidence : float
        What is heard for less than the first, up to the end of the recording, and what no other
        confirms, takes so much evidence: many a note begins like a thump.
    thump_attack_evidence, thump_before_evidence : float
        The same for one with which a note or a drum begins, and for one before which the bass
        swings already: a drum that was struck before the click.
    thump_head_ms : float
        Unless it shows in the bass of the core, this long behind the core's beginning.
    thump_fall : float
        The most that is left of a thump's first frequency when nine tenths of its energy are
        through: an arm sweeps down (0.4 to 0.75), a drum keeps its pitch.
    thump_last_hz : float
        The highest frequency that a thump falls towards: an arm comes to rest at its own resonance
        (8 to 20 Hz), a bass drum at 35 Hz and more.
    thump_decay_s, thump_fall_s, thump_first_hz : float
        The longest decay, the quickest fall and the lowest beginning of a thump that no other
        confirms: plosives of a voice and drums fall at once, last, or begin where they end.
    """

    ring_rise_db: float = 14.0
    thump_rise_db: float = 4.0
    ring_evidence: float = 150.0
    chain_evidence: float = 40.0
    thump_evidence: float = 150.0
    lone_evidence: float = 1000.0
    lone_push: float = 0.1
    lone_unrest: float = 4.0
    unrest: float = 30.0
    end_db: float = -20.0
    thump_end_db: float = -32.0
    shortest_ms: float = 0.5
    core_level: float = 2.0
    thump_core_ms: float = 0.1
    thump_push: float = 0.35
    thump_hidden_ms: float = 10.0
    thump_hidden_evidence: float = 5000.0
    thump_seen_ms: float = 90.0
    thump_cut_evidence: float = 1000.0
    thump_attack_evidence: float = 600.0
    thump_before_evidence: float = 2000.0
    thump_head_ms: float = 2.0
    thump_shortest_ms: float = 30.0
    thump_fall: float = 0.78
    thump_last_hz: float = 23.0
    thump_decay_s: float = 0.09
    thump_fall_s: float = 0.012
    thump_first_hz: float = 45.0
    quick_decay_s: float = 0.025
    quick_evidence: float = 2000.0
    high_hz: float = 120.0
    high_evidence: float = 1000.0
    quiet_rise_db: float = 0.0
    quiet_evidence: float = 1000.0
    plain_evidence: float = 5000.0
    plain_unrest: float = 60.0
    together_evidence: float = 40.0
    together_push: float = 0.1
    expected_rise_db: float = 4.0
    hidden_rise_db: float = -6.0
    expected_evidence: float = 60.0
    restless_evidence: float = 150.0
