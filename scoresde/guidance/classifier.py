"""Classifier guidance (Dhariwal and Nichol 2021, arXiv:2105.05233, section 4).

A classifier of noisy images bends the model, which may be an unconditional one, towards a class:

    score = score(x) + scale grad_x log p(y | x_t, t)

for any process: the noise is less by sigma times as much (their Algorithm 2), and x0 more by
sigma^2 / alpha times.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from scoresde.condition import Condition
from scoresde.denoiser import BaseDenoiser, predict
from scoresde.guidance.base import Guidance
from scoresde.guidance.gradient import with_gradient
from scoresde.guidance.interval import Interval
from scoresde.predictions import Prediction
from scoresde.registry import UsageError, shown


@dataclasses.dataclass(frozen=True)
class ClassifierGuidance(Guidance):
    """The gradient of scale * log p(y | x_t) added to the score.

    The classifier is differentiated at x_t. What the published code does with `clip_denoised` is
    `ClassifierGuidance(ClipX0(denoiser), classifier, scale)`: the noise is that of the clipped x0,
    and the guided x0 is not clipped again. Its rule for ancestral sampling (Algorithm 1) moves the
    mean of a step by the variance times the gradient, x0 staying as it is: an option of the
    sampler, `AncestralSampling(guided="mean")`. The two are the same for small steps.

    Attributes:
        denoiser: a denoiser. It is told what it reads of the condition, an unconditional network
            nothing of the label.
        classifier: (x, t, condition) -> log p(y | x_t), [batch], up to what does not depend on x;
            y is in the condition, such as "label". A function, or a JAX pytree if it holds arrays,
            such as `NoisyClassifier`. Its `check_condition(condition)`, if it has one, refuses what
            it cannot be told.
        scale: 0 is the denoiser itself, 1 Bayes' rule.
        interval: as of `ClassifierFreeGuidance`; outside of it the scale is 0.

    Raises:
        UsageError: a scale that is no number, or no classifier.
    """

    denoiser: BaseDenoiser
    classifier: Callable[[Array, Array, Condition], Array]
    scale: float
    interval: Interval | tuple[float, float] | None = None

    neutral: ClassVar[float] = 0.0
    static: ClassVar[tuple[str, ...]] = ("interval",)

    def __post_init__(self):
        super().__post_init__()
        if not callable(self.classifier) or isinstance(self.classifier, type):
            raise UsageError(
                "A classifier is a function (x, t, condition) -> log p(y | x_t) [batch], not "
                f"{shown(self.classifier)}."
            )

    @property
    def condition_names(self) -> set[str] | None:
        return None  # a function does not say what it reads

    @property
    def guided_by(self) -> frozenset[str]:
        """What the classifier says that it reads, and the class of one that does not say."""
        reads = getattr(self.classifier, "condition_names", None) or {"label"}
        return self.denoiser.guided_by | frozenset(reads)

    def absent(self, name: str, value: Any) -> None:
        return None

    def check_condition(self, condition: Condition) -> None:
        self.denoiser.check_condition(self._read(condition))
        if check := getattr(self.classifier, "check_condition", None):
            check(condition)

    def _read(self, condition):
        """What the denoiser reads of the condition."""
        names = self.denoiser.condition_names
        if names is None or not condition:
            return condition
        return {name: value for name, value in condition.items() if name in names} or None

    def __call__(self, x: Array, t: Array, condition: Condition = None) -> Prediction:
        if self.is_neutral:
            return predict(self.denoiser, x, t, self._read(condition))
        prediction, pull = self.apart(x, t, condition)
        return with_gradient(prediction, self.sde, t, pull)

    def apart(self, x: Array, t: Array, condition: Condition = None) -> tuple[Prediction, Array]:
        prediction = predict(self.denoiser, x, t, self._read(condition))
        if self.is_neutral:
            return prediction, jnp.zeros_like(x)

        def pull(x):
            return self.scale_at(t, x) * self.gradient(x, t, condition)

        return prediction, self.where_it_applies(t, pull, jnp.zeros_like, x)

    def gradient(self, x: Array, t: Array, condition: Condition = None) -> Array:
        """grad_x log p(y | x_t) at x_t = x, [batch, ...].

        Raises:
            UsageError: the classifier gives anything else than a number for each sample.
        """
        t = jnp.broadcast_to(jnp.asarray(t, x.dtype), x.shape[:1])

        def total(x):
            log_prob = self.classifier(x, t, condition)
            if jnp.shape(log_prob) != x.shape[:1]:
                raise UsageError(
                    f"A classifier gives log p(y | x_t) of each sample, [{len(x)}], not of shape "
                    f"{list(jnp.shape(log_prob))}; NoisyClassifier makes one of logits."
                )
            return jnp.sum(log_prob)

        return jax.grad(total)(x)

    def terminal_log_prob(self, z: Array, condition: Condition = None) -> Array:
        return self.denoiser.terminal_log_prob(z, self._read(condition))
