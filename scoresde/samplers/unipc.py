"""UniPC (Zhao et al. 2023, arXiv:2302.04867).

In the step from t to s, h = lambda_s - lambda_t, with the data predictions m_0 at t, m_k at
lambda_t + r_k h before it, and D_k = m_k - m_0, the predictor UniP and the corrector UniC are

    UniP-p   x_s = sigma_s / sigma_t x - alpha_s (e^(-h) - 1) m_0
                       - alpha_s B(h) sum_k rho_k D_k / r_k
    UniC-p   the same, with one more D in the sum: that of the prediction at UniP's x_s, at r = 1

The rho of R rho = phi / B(h) make a polynomial through the values exact, so that B(h) cancels; of
one D alone rho is 1/2, whatever B(h). For the noise prediction, of which the paper's algorithms 1
and 2 are, alpha and sigma change places, and h its sign.

UniC waits for the evaluation at x_s, which is the next step's first. It is made up for there,
before that step: x changes by the difference of the two sums, and the step's linear part carries
it on.
"""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import jax.numpy as jnp
from jax import Array

from scoresde.registry import UsageError
from scoresde.samplers.exponential import weights
from scoresde.samplers.grid_sampler import GridSampler
from scoresde.samplers.history import History
from scoresde.samplers.log_snr import ddim, from_zero_snr, half_log_snr, step_size

# By the name of the variant: B(h), by which the weight of one value alone is scaled; z = sign h.
_VARIANTS = {
    "bh1": lambda z: z,
    "bh2": jnp.expm1,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class UniPC(GridSampler):
    """UniPC-p: a multistep predictor of order p, corrected to order p + 1, one evaluation a step.

    The first steps have fewer values: started with DDIM and its correction, the whole has order 3
    at most, unless the first steps are shorter than the rest.

    Attributes:
        order: p, from 1 to 3.
        variant: "bh1" is B(h) = h, "bh2" is B(h) = exp(h) - 1, by which one value's weight is
            scaled; where there are more, B(h) cancels.
        prediction: which is interpolated, "data" or "noise".
        lower_order_final: whether p falls to 1 in the last step, and to 2 in the one before it, as
            in the authors' code.
    """

    order: int = 2
    variant: str = "bh2"
    prediction: str = "data"
    lower_order_final: bool = True

    default_grid: ClassVar[str] = "log_snr"

    def __post_init__(self):
        super().__post_init__()
        if self.order not in (1, 2, 3):
            raise UsageError(f"unipc has orders 1, 2 and 3, not {self.order}.")
        if self.variant not in _VARIANTS:
            known = ", ".join(_VARIANTS)
            raise UsageError(f"Unknown variant {self.variant!r} of unipc. Known: {known}.")
        if self.prediction not in ("data", "noise"):
            raise UsageError(f"Unknown prediction {self.prediction!r}. Known: data, noise.")

    def init(self, x, denoiser, steps):
        return jnp.zeros(()), History.empty(x, self.order + 1, steps)

    def step(self, keys, x, t, s, denoiser, carry):
        sde, prediction = denoiser.sde, denoiser(x, t)
        before, history = carry
        value = prediction.x0 if self.prediction == "data" else prediction.noise
        history = history.push(value, half_log_snr(sde, t))
        # The linear part of the step, in the one form and in the other.
        size = sde.sigma if self.prediction == "data" else sde.alpha
        change = size(s) / size(t) * self._corrected(sde, before, t, history)
        ahead = ddim(sde, prediction, s) + jnp.where(history.taken > 1, change, 0.0)
        return ahead + self._predicted(sde, t, s, history), (t, history)

    def _predicted(self, sde, t, s, history):
        """UniP's sum: what the values before the newest add to the step from t to s."""
        h = step_size(sde, t, s)
        theta = list((history.nodes[1:-1] - history.nodes[0]) / h)
        rows = [[0 * h, *self._weights(theta[:n], h)] for n in range(self.order)]
        order = history.order(self.order, self.lower_order_final)
        return self._scaled(sde, t, s, history.combine(0, order, [[], *rows]))

    def _corrected(self, sde, before, t, history):
        """UniC's sum less UniP's, of the step that ended at t: it is now known what is there."""
        h = history.nodes[0] - history.nodes[1]
        new, _, *older = (history.nodes - history.nodes[1]) / h
        rows = []
        for n in range(self.order):
            predictor = self._weights(older[:n], h)
            first, *corrector = self._weights([new, *older[:n]], h)
            rows.append([first, 0 * h, *(c - p for c, p in zip(corrector, predictor))])
        earlier = history._replace(taken=history.taken - 1)
        order = earlier.order(self.order, self.lower_order_final)
        return self._scaled(sde, before, t, history.combine(1, order, [[], *rows]))

    def _weights(self, nodes: Sequence[Array], h: Array) -> list[Array]:
        """Of the values at `nodes`; see `exponential.weights`."""
        sign = -1 if self.prediction == "data" else 1
        if not nodes:
            return []
        if len(nodes) == 1:
            return [sign * _VARIANTS[self.variant](sign * h) / (2 * nodes[0])]
        return weights(nodes, h, sign)

    def _scaled(self, sde, t, s, total):
        """What a sum of weighted values amounts to in the step from t to s."""
        if self.prediction == "data":
            return sde.alpha(s) * total
        return jnp.where(from_zero_snr(sde, t, s), 0.0, -sde.sigma(s) * total)
