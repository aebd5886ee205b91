"""Forward processes: everything else in the package is derived from alpha(t) and sigma(t).

Every process here is Gaussian given the data,

    x_t = alpha(t) x_0 + sigma(t) noise,          noise ~ N(0, I),

which is the solution of the linear SDE  dx = f(t) x dt + g(t) dw  with

    f = d log alpha / dt,        g^2 = d sigma^2 / dt - 2 f sigma^2

(Song et al. 2021, arXiv:2011.13456, section 3.4; the inverse direction is Karras et al. 2022,
arXiv:2206.00364, appendix B). With the log-signal-to-noise ratio  log_snr = log(alpha^2 / sigma^2)
this also reads  g^2 / sigma^2 = -d log_snr / dt.  Samplers, losses and likelihoods use only these
functions, so a new SDE is one class with an `alpha` and a `sigma`; a closed form is given here
wherever the derived one would lose digits in float32.

Times are arrays of any shape, taken elementwise; `t_min` and `t_max` bound where a process is used.
"""

from typing import Any

from scoresde.registry import make
from scoresde.sdes.base import SDE, expand, learned_fields, with_learned_fields
from scoresde.sdes.cosine import Cosine
from scoresde.sdes.discrete import DiscreteCosine, DiscreteVP
from scoresde.sdes.learned import LearnedVP, learned_vp
from scoresde.sdes.linear_beta import VP, SubVP
from scoresde.sdes.noise_only import EDM, VE
from scoresde.sdes.rectified_flow import RectifiedFlow

SDES = {
    "vp": VP,
    "subvp": SubVP,
    "ve": VE,
    "edm": EDM,
    "cosine": Cosine,
    "rectified_flow": RectifiedFlow,
    "discrete_vp": DiscreteVP,
    "discrete_cosine": DiscreteCosine,
    "learned_vp": learned_vp,
}


def get(name: str, **options: Any) -> SDE:
    """The process called `name`, made with `options`.

    Raises:
        UsageError: unknown name or option, or a value out of range.
    """
    return make("SDE", SDES, name, **options)


__all__ = [
    "EDM",
    "SDE",
    "SDES",
    "VE",
    "VP",
    "Cosine",
    "DiscreteCosine",
    "DiscreteVP",
    "LearnedVP",
    "RectifiedFlow",
    "SubVP",
    "expand",
    "get",
    "learned_fields",
    "learned_vp",
    "with_learned_fields",
]
