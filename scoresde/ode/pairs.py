"""Explicit Runge-Kutta pairs.

Which one suits a network is not its order alone. Embeddings of t make a network's output ripple,
with waves shorter than any step. What is left of ripples in a step is a sum of them with the
solution's weights b, as of noise: per evaluation, the variance of n stages is n sum b_i^2 times
that of equal weights, 1.1 for bosh3, 1.8 for bs5, 4.5 for dopri5, 110 for tsit5.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import ClassVar

import diffrax
import numpy as np

_BS5 = [587 / 8064, 0, 4440339 / 15491840, 24353 / 124800, 387 / 44800, 2152 / 5985, 7267 / 94080]
_BS4 = [2479 / 34992, 0, 123 / 416, 612941 / 3411720, 43 / 1440, 2272 / 6561, 79937 / 1113912]
_STAGES = """
    1/6
    2/27 4/27
    183/1372 -162/343 1053/1372
    68/297 -4/11 42/143 1960/3861
    597/22528 81/352 63099/585728 58653/366080 4617/20480
    174197/959244 -30942/79937 8152137/19744439 666106/1039181 -29421/29068 482048/414219
"""
_ROWS = [[float(Fraction(a)) for a in row.split()] for row in _STAGES.strip().splitlines()]


class BogackiShampine5(diffrax.AbstractERK):
    """The pair of orders 5 and 4 of Bogacki and Shampine (1996, Computers Math. Applic. 32(6)).

    Seven evaluations a step, the last of eight stages being the next step's first; the error of the
    solution is small for its order, and so are its weights.
    """

    tableau: ClassVar[diffrax.ButcherTableau] = diffrax.ButcherTableau(
        c=np.array([1 / 6, 2 / 9, 3 / 7, 2 / 3, 3 / 4, 1, 1]),
        a_lower=tuple(map(np.array, [*_ROWS, _BS5])),
        b_sol=np.array([*_BS5, 0]),
        b_error=np.array([*_BS5, 0]) - np.array([*_BS4, 3293 / 556956]),
    )
    interpolation_cls: ClassVar[Callable] = diffrax.ThirdOrderHermitePolynomialInterpolation.from_k

    def order(self, terms):
        return 5


# By name; the order is that of the solution that is carried on.
METHODS = {
    "bosh3": diffrax.Bosh3,  # order 3
    "bs5": BogackiShampine5,  # order 5
    "dopri5": diffrax.Dopri5,  # order 5, the RK45 of SciPy and score_sde
    "tsit5": diffrax.Tsit5,  # order 5
    "dopri8": diffrax.Dopri8,  # order 8
}
