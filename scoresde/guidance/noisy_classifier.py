"""A network of noisy images that gives logits, as the classifier that guides."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from scoresde.condition import Condition
from scoresde.meshes import is_known
from scoresde.predictions import TIME_INPUTS, ScaledTime
from scoresde.registry import UsageError, component
from scoresde.sdes import SDE


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class NoisyClassifier:
    """log p(label | x_t) of a network of noisy images: (x, t, condition) -> [batch].

    Attributes:
        sde: the process of the noise.
        network: (params, x, noise_condition) -> logits [batch, classes], a hashable pure function.
        params: its parameters, any pytree.
        time_input: how it is told t, as a denoiser's network is, see `predictions.PredictionKind`.
        temperature: the logits are divided by it; > 0. Below 1 the classifier is surer of itself.
        num_classes: to refuse labels that are none of its classes; None if it is not known.

    Raises:
        UsageError: an unknown time input; when called, no label.
    """

    sde: SDE
    network: Callable[[Any, Array, Array], Array] = dataclasses.field(metadata={"static": True})
    params: Any
    time_input: Callable[[SDE, Array], Array] = dataclasses.field(
        default=ScaledTime(), metadata={"static": True}
    )
    temperature: float = 1.0
    num_classes: int | None = dataclasses.field(default=None, metadata={"static": True})

    def __post_init__(self):
        time_input = component("time input", TIME_INPUTS, self.time_input, Callable)
        object.__setattr__(self, "time_input", time_input)

    def log_probs(self, x: Array, t: Array) -> Array:
        """log p(y | x_t) of all classes, [batch, classes]."""
        logits = self.network(self.params, x, self.time_input(self.sde, t))
        return jax.nn.log_softmax(logits.astype(x.dtype) / self.temperature)

    def __call__(self, x: Array, t: Array, condition: Condition = None) -> Array:
        labels, logs = _labels(condition), self.log_probs(x, t)
        return jnp.take_along_axis(logs, jnp.asarray(labels)[:, None], axis=1)[:, 0]

    def check_condition(self, condition: Condition) -> None:
        """Raises UsageError for a missing label, or one that is none of the classes."""
        labels = _labels(condition)
        if self.num_classes is None or not is_known(labels):
            return
        values = np.asarray(labels)
        if values.dtype.kind not in "iu" or not ((values >= 0) & (values < self.num_classes)).all():
            raise UsageError(
                f"The label must be integers 0 .. {self.num_classes - 1}, the classifier's "
                f"classes, but is {values.dtype} from {values.min()} to {values.max()}."
            )


def _labels(condition):
    if not isinstance(condition, Mapping) or condition.get("label") is None:
        raise UsageError("Classifier guidance needs the condition 'label' of each sample.")
    return condition["label"]
