"""A classifier of noisy images as the rest of the code sees it: init and apply."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from scoresde.networks.call import call
from scoresde.networks.network import Network, Params
from scoresde.registry import UsageError


@dataclasses.dataclass(frozen=True)
class ClassifierNetwork(Network):
    """A network of noisy images and noise conditions that gives logits.

    It is a `Network` in what concerns its parameters, and is told no label: that is what it finds.

    Attributes:
        module: a linen module called as module(x, noise_condition, train=...), with the number of
            its `classes`. If it has an attribute `stochastic`, that says whether training needs
            random numbers.
    """

    def apply(
        self,
        params: Params,
        x: jax.Array,
        noise_condition: jax.Array,
        condition: Mapping[str, Any] | None = None,
        *,
        train: bool = False,
        rng: jax.Array | None = None,
    ) -> jax.Array:
        """The logits, [batch, classes].

        Args:
            params: parameters as returned by `init`.
            x: noisy images, [batch, height, width, channels].
            noise_condition: [batch] or a scalar; what the network calls the noise level.
            condition: not read.
            train: whether dropout is active.
            rng: random key for it.

        Raises:
            UsageError: there are no parameters, or they are of another module, of images of other
                channels or of another size; or training needs rng and there is none.
        """
        del condition
        if params is None:
            raise UsageError("This classifier has no parameters: give it those of init(...).")
        if train and rng is None and getattr(self.module, "stochastic", False):
            raise UsageError("This classifier drops activations in training: pass rng=key.")
        dtype = jnp.promote_types(getattr(self.module, "dtype", jnp.float32), jnp.float32)
        noise_condition = jnp.broadcast_to(jnp.asarray(noise_condition, dtype), x.shape[:1])
        rngs = None if rng is None else {"dropout": rng}
        return call(self.module, params, x, noise_condition, train=train, rngs=rngs)

    __call__ = apply

    @property
    def num_classes(self) -> int:
        """The number of its classes."""
        return self.module.classes

    @property
    def condition_names(self) -> set[str]:
        """Nothing: it is told the noise level alone."""
        return set()

    def check_condition(self, condition: Mapping[str, Any] | None) -> None:
        """It reads no condition, and so refuses none."""
