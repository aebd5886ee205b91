"""What a classifier of noisy images is trained on (Dhariwal and Nichol 2021, arXiv:2105.05233).

    E_t,x_0,noise [ -log p(y | x_t) ],   x_t = alpha x_0 + sigma noise,

whose minimum is the classifier whose gradient, added to the score, is the score given the class.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from scoresde.losses.timed import TimedLoss
from scoresde.registry import UsageError


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassificationLoss(TimedLoss):
    """Cross-entropy of the classes of noisy images, in nats.

    The network is fed x_t as it is, and told the time by the prediction's `time_input`; what it
    gives are logits [batch, classes]. The condition "label" is what it is to find.

    Further attributes: of `TimedLoss`.

    Raises:
        UsageError: when called, no labels, or a network that gives no logits.
    """

    trains_classifier: ClassVar[bool] = True

    def at(self, params, key, x0, noise, t, condition=None, train=True):
        if not condition or condition.get("label") is None:
            raise UsageError("A classifier is trained on labels: set config.data.labels=True.")
        x, told = self.sde.perturb(x0, noise, t), self.prediction.time_input(self.sde, t)
        logits = self.network(params, x, told, None, train=train, rng=key)
        labels = jnp.asarray(condition["label"])
        if jnp.ndim(logits) != 2 or labels.shape != t.shape:
            raise UsageError(
                "A classifier gives logits [batch, classes] for labels [batch], and here are "
                f"{list(jnp.shape(logits))} and {list(labels.shape)}."
            )
        log_probs = jax.nn.log_softmax(logits)
        return -jnp.take_along_axis(log_probs, labels[:, None], axis=1)[:, 0]
