"""What the objectives at random times share: the times, their weights and what is remembered."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from scoresde.condition import Condition, check_condition
from scoresde.predictions import PredictionKind
from scoresde.registry import UsageError, component
from scoresde.sdes import SDE
from scoresde.times import DISTRIBUTIONS


def network_output(
    sde: SDE,
    prediction: PredictionKind,
    network: Callable[..., Array],
    params: Any,
    key: Array,
    x: Array,
    t: Array,
    condition: Condition = None,
    train: bool = True,
) -> Array:
    """The output of a network in training at x_t = x [batch, ...] and t [batch].

    Args:
        sde: the forward process.
        prediction: how the network is fed and read.
        network: `apply(params, x, noise_condition, condition, *, train, rng) -> output`.
        params: the network's parameters.
        key: of the network's own randomness.
        x: [batch, ...].
        t: [batch].
        condition: what is known of each sample, see `scoresde.denoiser`.
        train: whether the network drops out units.
    """
    network_input, noise_condition = prediction.inputs(sde, x, t)
    output = network(params, network_input, noise_condition, condition, train=train, rng=key)
    return output.astype(x.dtype)


def observes(objective: Any) -> bool:
    """Whether an objective has `observed`, and it is of what is called.

    A class of one's own may define its call and inherit what `observed` says of another.
    """
    has = {
        name: next((kind for kind in type(objective).__mro__ if name in vars(kind)), object)
        for name in ("observed", "__call__", "remembering")
    }
    observed = has.pop("observed")
    return observed is not object and all(issubclass(observed, kind) for kind in has.values())


def check_factor(name: str, factor: Any, t: Array, one_for_all: bool = True) -> None:
    """Raises UsageError unless a factor of a loss is a number for each sample, or one for all."""
    if jnp.shape(factor) not in (t.shape, () if one_for_all else t.shape):  # it would broadcast
        raise UsageError(
            f"The {name} of a loss must give a number a sample, of shape {t.shape}, and "
            f"gives {jnp.shape(factor)}."
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TimedLoss:
    """E_t[ w L(t) ], with t and its weight w of a time distribution; a subclass defines `at`.

    Attributes:
        sde: the forward process.
        prediction: how the network is fed and read.
        network: `apply(params, x, noise_condition, condition, *, train, rng) -> output`; the noise
            condition is `prediction.time_input`, 999 t if nothing is said.
        codec: from images to x and back, see `scoresde.codecs`; None where x itself is given.
        times: `(key, n) -> (t, weight)`, of `scoresde.times.DISTRIBUTIONS`, also by its name or as
            a section.

    Raises:
        UsageError: an unknown name, or none of these.
    """

    trains_schedule: ClassVar[bool] = False
    trains_classifier: ClassVar[bool] = False

    sde: SDE
    prediction: PredictionKind
    network: Callable[..., Array]
    codec: Any = None
    times: Any = "uniform"

    def __post_init__(self):
        times, options = self.times, {}
        if times is None:
            times = next(f.default for f in dataclasses.fields(self) if f.name == "times")
        if isinstance(times, str | Mapping):
            options = {"sde": self.sde}
        times = component("time distribution", DISTRIBUTIONS, times, Callable, **options)
        object.__setattr__(self, "times", times)

    def at(
        self,
        params: Any,
        key: Array,
        x0: Array,
        noise: Array,
        t: Array,
        condition: Condition = None,
        train: bool = True,
    ) -> Array:
        """The loss L of each sample at x_t = alpha x0 + sigma noise, [batch].

        Args:
            params: the network's parameters.
            key: of the network's own randomness.
            x0: data in the range the network works in, [batch, ...].
            noise: like x0.
            t: [batch].
            condition: what is known of each sample, see `scoresde.denoiser`.
            train: whether the network drops out units.
        """
        raise TypeError(f"{type(self).__name__} must define at.")

    def init_memory(self) -> Any:
        """What is remembered from step to step before the first: of the times; None if nothing."""
        init = getattr(self.times, "init_memory", None)
        return init and init()

    def per_sample(
        self, params: Any, key: Array, x0: Array, condition: Condition = None, train: bool = True
    ) -> tuple[Array, Array]:
        """The weighted loss of each sample, and its time; each [batch].

        Args:
            params: the network's parameters.
            key: one key for the batch.
            x0: data in the range the network works in, [batch, ...].
            condition: what is known of each sample, see `scoresde.denoiser`.
            train: whether the network drops out units.
        """
        loss, t, weight = self._drawn(params, key, x0, condition, train)
        return weight * loss, t

    def _drawn(self, params, key, x0, condition, train, *memory):
        """The losses without the weights of the times, the times, and the weights."""
        condition = check_condition(condition, x0.shape[0])
        time_key, noise_key, network_key = jax.random.split(key, 3)
        t, weight = self.times(time_key, x0.shape[0], *memory)
        check_factor("times", weight, t)
        noise = jax.random.normal(noise_key, x0.shape, x0.dtype)
        return self.at(params, network_key, x0, noise, t, condition, train), t, weight

    def _encoded(self, key, images, condition, train):
        """x0 of the data, what is known of it, and a key for the rest."""
        if self.codec is None:
            return images, condition, key
        data_key, key = jax.random.split(key)
        return self.codec.encode(data_key, images), condition, key

    def __call__(
        self,
        params: Any,
        key: Array,
        images: Array,
        condition: Condition = None,
        train: bool = True,
    ) -> Array:
        """The loss, a scalar: `per_sample` of the encoded images, averaged over the batch.

        Args: as of `per_sample`, but for `images`, what the codec encodes, [batch, ...].
        """
        return self.observed(params, key, images, condition, train)[0]

    def remembering(
        self,
        memory: Any,
        params: Any,
        key: Array,
        images: Array,
        condition: Condition = None,
        train: bool = True,
    ) -> tuple[Array, Any]:
        """The loss at times that depend on a memory of the losses before, and the memory after.

        Args: `memory`, as made by `init_memory` or returned; else as of a call.
        """
        return self.observed(params, key, images, condition, train, memory)[:2]

    def observed(
        self,
        params: Any,
        key: Array,
        images: Array,
        condition: Condition = None,
        train: bool = True,
        memory: Any = None,
    ) -> tuple[Array, Any, Array, Array]:
        """The loss, the memory after, and what the loss is made of: for who watches training.

        Args: as of `remembering`; without a memory, as of a call.

        Returns:
            (loss, memory, losses, t): of each sample its loss L(t), [batch], without the weight of
            its time, which says how often such a time is drawn, and without a gradient; and t.
        """
        x0, condition, key = self._encoded(key, images, condition, train)
        remembered = () if memory is None else (memory,)
        losses, t, weight = self._drawn(params, key, x0, condition, train, *remembered)
        seen = jax.lax.stop_gradient(losses)
        after = self.times.remember(memory, t, seen) if remembered else None
        return jnp.mean(weight * losses), after, seen, t
