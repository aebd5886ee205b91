"""Dequantization: from a discrete image to a point with a density, and what it costs.

    dequantizer(key or keys, images [batch, ...], bins, condition) -> Dequantized(unit, log_q)

Level k of `bins` becomes (k + u) / bins in [0, 1) with noise u in [0, 1) that never leaves the bin,
and log_q is the log density of u, in which a bin is one wide. For any density p of real images and
any noise, with w the width of a bin in the units of x,

    log P(images) >= E_u[log p(x) + d log w - log_q],

(Theis et al. 2016, arXiv:1511.01844; Ho et al. 2019, arXiv:1902.00275, section 3.1), with equality
when q(u | images) is p's own distribution within the bin.
"""

from scoresde.dequantization.base import Dequantized, Dequantizer, check_dequantizer
from scoresde.dequantization.choose import DEQUANTIZERS, choose
from scoresde.dequantization.flow import FlowDequantizer
from scoresde.dequantization.truncated_normal import TruncatedNormalDequantizer
from scoresde.dequantization.uniform import UniformDequantizer

__all__ = [
    "DEQUANTIZERS",
    "Dequantized",
    "Dequantizer",
    "FlowDequantizer",
    "TruncatedNormalDequantizer",
    "UniformDequantizer",
    "check_dequantizer",
    "choose",
]
