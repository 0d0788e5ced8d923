"""Fill a long gap with sound of the surrounding spectrum.

The least-squares interpolation of a long gap sags towards silence in its middle. A draw from the
same autoregressive model, conditioned on the sound on both sides, keeps the energy: tones continue
in phase as far as they are predictable, and noise of the right spectrum takes over from there
(Rayner & Godsill, "The detection and correction of artifacts in degraded gramophone recordings",
1991; conditioning by interpolating the difference, as in conditional simulation).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from declick.repair.ar import Interpolation, nearby_variance
from declick.repair.solve import Run, solve_missing

FloatArray = NDArray[np.float64]

SEED = 20


def fill_by_spectrum(
    samples: FloatArray, runs: Sequence[Run], run: Run, filled: Interpolation, error_energy: float
) -> FloatArray:
    """Fill one run with sound of the surrounding spectrum.

    Parameters
    ----------
    samples : ndarray of float64, shape (frames,)
        Existing sound only.
    runs : sequence of (start, stop)
        All missing runs, ascending and disjoint.
    run : (start, stop)
        The one to fill.
    filled : Interpolation
        The autoregressive interpolation of the run, with its model.
    error_energy : float
        What that interpolation is expected to be off by: the energy that it lacks.

    Returns
    -------
    ndarray of float64, shape (stop - start,)
        The same draw for the same gap in the same sound.
    """
    coefficients = filled.coefficients
    order = coefficients.size - 1
    start, stop = run
    lo, hi = max(start - order, 0), min(stop + order, samples.size)
    variance = nearby_variance(filled.samples, run, coefficients, otherwise=0.0)
    if variance <= 0.0 or not np.isfinite(error_energy):
        return filled.samples[start:stop].copy()
    generator = np.random.default_rng([SEED, stop - start])
    # On a circle the draw needs no time to settle.
    size = fft.next_fast_len(hi - lo + 2 * order, real=True)
    excitation = fft.rfft(generator.standard_normal(size))
    drawn = fft.irfft(excitation / fft.rfft(coefficients, size), size)[: hi - lo]
    lacking = -drawn
    other = [(max(a, lo) - lo, min(b, hi) - lo) for a, b in runs if b > lo and a < hi]
    for a, b in other:
        lacking[a:b] = 0.0
    # In a window cut out of longer sound the cut is no end: far samples do not reach the gap.
    solve_missing(lacking, [(start - lo, stop - lo)], coefficients, errors_for=())
    residue = (drawn + lacking)[start - lo : stop - lo]
    energy = float(np.dot(residue, residue))
    if energy > 0.0 and error_energy > 0.0:
        residue = residue * np.sqrt(error_energy / energy)
    return np.asarray(filled.samples[start:stop] + residue, dtype=np.float64)
