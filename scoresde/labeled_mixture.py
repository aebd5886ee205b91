"""Data of several classes with a known density: what guidance by a class is measured against.

Each class is a Gaussian mixture, and so are all of them together. With the class as the condition
"label" the denoiser is exact for that class, without one for all; the classifier that goes with it
is p(label | x_t) by Bayes.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from scoresde.analytic import GaussianMixture
from scoresde.condition import Condition
from scoresde.denoiser import BaseDenoiser
from scoresde.predictions import Prediction
from scoresde.registry import UsageError
from scoresde.sdes import SDE


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LabeledMixture:
    """Mixtures with a label; `labeled_mixture` makes one.

    Attributes:
        data: all of them as one mixture of K components.
        owners: the class of each component, [K].
        num_classes: their number; as a label it stands for "no class".
    """

    data: GaussianMixture
    owners: Array
    num_classes: int = dataclasses.field(metadata={"static": True})

    def among(self, labels: ArrayLike | None, batch: int) -> Array:
        """Which components samples of these classes may be of, bool [batch, K]."""
        labels = self.num_classes if labels is None else labels
        labels = jnp.broadcast_to(jnp.asarray(labels), (batch,))[:, None]
        return (labels == self.num_classes) | (labels == self.owners)

    def log_prob(
        self,
        x: Array,
        alpha: ArrayLike = 1.0,
        sigma: ArrayLike = 0.0,
        labels: ArrayLike | None = None,
    ) -> Array:
        """log p(x | label) in nats, [batch]; see `GaussianMixture.log_prob`."""
        return self.data.log_prob(x, alpha, sigma, self.among(labels, len(x)))

    def denoiser(self, sde: SDE) -> "LabeledMixtureDenoiser":
        """The exact denoiser of this data under `sde`, given the condition "label" or not."""
        return LabeledMixtureDenoiser(sde, self)

    def classifier(self, sde: SDE) -> "LabeledMixtureClassifier":
        """The exact classifier of x_t under `sde`."""
        return LabeledMixtureClassifier(sde, self)


def labeled_mixture(weights: ArrayLike, mixtures: Sequence[GaussianMixture]) -> LabeledMixture:
    """Class c is `mixtures[c]`, and has the share `weights[c]` of the data (normalized to one).

    Raises:
        UsageError: not a positive weight a mixture, or mixtures of samples of different shapes.
    """
    weights = np.asarray(weights, np.float64)
    if weights.shape != (len(mixtures),) or not (weights > 0).all():
        raise UsageError(f"{len(mixtures)} mixtures need as many positive weights, got {weights}.")
    shapes = {mixture.event_shape for mixture in mixtures}
    if len(shapes) != 1:
        raise UsageError(f"The samples of all classes have one shape, not {sorted(shapes)}.")
    parts = [mixture.tree_flatten()[0] for mixture in mixtures]
    logs = [part[0] + log for part, log in zip(parts, np.log(weights / weights.sum()))]
    arrays = [jnp.concatenate(values) for values in (logs, *list(zip(*parts))[1:])]
    owners = np.repeat(np.arange(len(mixtures)), [len(log) for log in logs])
    data = GaussianMixture.tree_unflatten(mixtures[0].event_shape, arrays)
    return LabeledMixture(data, jnp.asarray(owners), len(mixtures))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LabeledMixtureDenoiser(BaseDenoiser):
    """The exact denoiser of a class, or of all; not a number for a label that is no class."""

    sde: SDE
    data: LabeledMixture

    def _at(self, x, t, condition):
        t = jnp.broadcast_to(jnp.asarray(t, x.dtype), x.shape[:1])
        return self.sde.alpha(t), self.sde.sigma(t), (condition or {}).get("label")

    def __call__(self, x: Array, t: Array, condition: Condition = None) -> Prediction:
        alpha, sigma, labels = self._at(x, t, condition)
        return self.data.data.posterior(x, alpha, sigma, self.data.among(labels, len(x)))

    def log_prob(self, x: Array, t: Array, condition: Condition = None) -> Array:
        """Exact log p_t(x | label) in nats, [batch]."""
        return self.data.log_prob(x, *self._at(x, t, condition))

    def terminal_log_prob(self, z: Array, condition: Condition = None) -> Array:
        return self.log_prob(z, self.sde.t_max, condition)

    @property
    def condition_names(self) -> set[str]:
        return {"label"}

    def absent(self, name: str, value: Any) -> Array | None:
        return jnp.full(jnp.shape(value), self.data.num_classes) if name == "label" else None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LabeledMixtureClassifier:
    """The exact log p(label | x_t) up to the class's share, (x, t, condition) -> [batch]."""

    sde: SDE
    data: LabeledMixture

    def __call__(self, x: Array, t: Array, condition: Condition = None) -> Array:
        denoiser = self.data.denoiser(self.sde)
        return denoiser.log_prob(x, t, condition) - denoiser.log_prob(x, t)
