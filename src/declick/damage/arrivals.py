"""When damage arrives: in clusters, thicker at some angles of the disc, or once a turn."""

from __future__ import annotations

import numpy as np

from declick.clicks import FloatArray


def draw_times(
    rng: np.random.Generator,
    rate_hz: float,
    duration_s: float,
    *,
    cluster_share: float = 0.0,
    cluster_size: float = 6.0,
    cluster_spread_s: float = 0.02,
    turn_s: float = 1.8,
    turn_depth: float = 0.0,
) -> FloatArray:
    """Draw the times of clicks from a Neyman-Scott process.

    Some clicks come alone (Poisson), the others in clusters: dirt that was smeared along the
    groove. Clusters and lone clicks are thicker on one side of the disc. The mean rate is
    `rate_hz` whatever the clustering.

    Parameters
    ----------
    rng : numpy.random.Generator
    rate_hz : float
        Clicks a second, on average.
    duration_s : float
    cluster_share : float
        Share of the clicks that come in clusters, 0..1.
    cluster_size : float
        Mean number of clicks in a cluster (geometric), from 1 on.
    cluster_spread_s : float
        Mean distance of a click from its cluster's beginning (exponential).
    turn_s : float
        Time of one revolution.
    turn_depth : float
        By how much the rate swings once a turn, 0..1.

    Returns
    -------
    ndarray of float64
        Ascending, in ``[0, duration_s)``.

    Notes
    -----
    J. Neyman, E. L. Scott: "Statistical approach to problems of cosmology", J. R. Stat. Soc. B 20
    (1958), for the process. That clicks of records come in bursts: Godsill & Rayner, "Digital
    Audio Restoration" (1998), ch. 5.
    """
    phase = float(rng.uniform(0.0, 2 * np.pi))

    def seeds(rate: float) -> FloatArray:
        """Poisson points, thinned by angle."""
        times = rng.uniform(0.0, duration_s, rng.poisson(max(rate, 0.0) * duration_s * 2.0))
        swing = 1.0 + turn_depth * np.cos(2 * np.pi * times / turn_s + phase)
        return np.asarray(times[2.0 * rng.uniform(size=times.size) < swing])

    alone = seeds(rate_hz * (1.0 - cluster_share))
    begins = seeds(rate_hz * cluster_share / cluster_size)
    sizes = rng.geometric(1.0 / cluster_size, begins.size)
    members = np.repeat(begins, sizes)
    # Wrapped at the end, so that no click is lost and the rate holds.
    members = (members + rng.exponential(cluster_spread_s, members.size)) % max(duration_s, 1e-9)
    return np.sort(np.concatenate([alone, members]))


def draw_turns(
    rng: np.random.Generator,
    start_s: float,
    turns: int,
    *,
    turn_s: float,
    slant_s: float,
    jitter_s: float,
) -> FloatArray:
    """Return when a scratch passes under the needle, turn by turn.

    Parameters
    ----------
    rng : numpy.random.Generator
    start_s : float
        First passage.
    turns : int
    turn_s : float
        Time of one revolution.
    slant_s : float
        How much later the scratch comes with each turn, as it does not run along a radius.
    jitter_s : float
        Deviation by which it wanders from one turn to the next, as the wall's edge is ragged.
    """
    steps = turn_s + slant_s + rng.normal(0.0, jitter_s, turns)
    steps[:1] = 0.0
    return np.asarray(start_s + np.cumsum(steps))
