"""How stiff a curve is: the price of its third difference, as a banded system (Whittaker 1923)."""

from __future__ import annotations

from typing import Final

import numpy as np

from declick.clicks import FloatArray

_THIRD: Final = np.array([-1.0, 3.0, -3.0, 1.0])


def add_bending(bands: FloatArray, usual: float) -> FloatArray:
    """Add the price of a curve's bending to least-squares equations for it, in place.

    Parameters
    ----------
    bands : ndarray, shape (4, values)
        Upper bands of the equations, for `scipy.linalg.solveh_banded`.
    usual : float
        Third difference that costs 1.

    Returns
    -------
    ndarray, shape (4,)
        The third difference, in units of `usual`.
    """
    stencil = _THIRD / usual
    rows = bands.shape[1] - 3
    for i in range(4):
        for k in range(i, 4):
            bands[3 - (k - i), k : k + rows] += stencil[i] * stencil[k]
    return stencil
