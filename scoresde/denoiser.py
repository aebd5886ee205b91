"""A denoiser: a process, a way to read a network, the network and its parameters.

It is the one thing that samplers, likelihoods and guidance see. The analytic denoisers of
`scoresde.analytic` and every guided one satisfy the same interface.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from scoresde.predictions import Prediction, PredictionKind
from scoresde.registry import UsageError
from scoresde.sdes import SDE, expand


class BaseDenoiser:
    """What every denoiser offers. A subclass has `.sde` and `__call__`, and is a JAX pytree:

        @jax.tree_util.register_dataclass
        @dataclasses.dataclass(frozen=True)
        class Mine(BaseDenoiser):
            sde: SDE
            params: Any

            def __call__(self, x, t, labels=None): ...

    x is [batch, ...]; t is [batch] or a scalar, within [sde.t_min, sde.t_max]; labels are None or
    [batch].
    """

    sde: SDE

    def __call__(self, x: Array, t: Array, labels: Array | None = None) -> Prediction:
        """The expectations of x_0 and of the noise given x_t = x."""
        raise TypeError(f"{type(self).__name__} must define __call__(x, t, labels).")

    def score(self, x: Array, t: Array, labels: Array | None = None) -> Array:
        """The gradient of log p_t at x, [batch, ...]."""
        return -self(x, t, labels).noise / expand(self.sde.sigma(t), x)

    def velocity(self, x: Array, t: Array, labels: Array | None = None) -> Array:
        """dx/dt of the probability flow, [batch, ...].

        alpha' x_0 + sigma' noise, which equals f x - g^2 score / 2 (arXiv:2011.13456, equation 13)
        and stays finite where f does not.
        """
        prediction = self(x, t, labels)
        alpha_dot, sigma_dot = expand(self.sde.alpha_dot(t), x), expand(self.sde.sigma_dot(t), x)
        return alpha_dot * prediction.x0 + sigma_dot * prediction.noise

    def terminal_log_prob(self, z: Array) -> Array:
        """log density at t_max of z [batch, ...] in nats, [batch]: the prior's, unless known."""
        return self.sde.prior_log_prob(z)


def check_denoiser(denoiser: BaseDenoiser) -> None:
    """Raises UsageError unless `denoiser` can go into a compiled function."""
    if jax.tree_util.all_leaves([denoiser]):
        raise UsageError(
            f"The denoiser, a {type(denoiser).__name__}, is no JAX pytree: put "
            "@jax.tree_util.register_dataclass above its @dataclasses.dataclass, as "
            "scoresde.denoiser.BaseDenoiser shows."
        )


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["sde", "params"],
    meta_fields=["prediction", "network"],
)
@dataclasses.dataclass(frozen=True)
class Denoiser(BaseDenoiser):
    """A trained network as a denoiser.

    Attributes:
        sde: the forward process.
        prediction: how the network is fed and read.
        network: `apply(params, x, noise_condition, labels) -> output`, a hashable pure function.
        params: the network's parameters, any pytree.
    """

    sde: SDE
    prediction: PredictionKind
    network: Callable[..., Array]
    params: Any

    def __call__(self, x: Array, t: Array, labels: Array | None = None) -> Prediction:
        t = jnp.broadcast_to(jnp.asarray(t, x.dtype), x.shape[:1])
        network_input, noise_condition = self.prediction.inputs(self.sde, x, t)
        output = self.network(self.params, network_input, noise_condition, labels)
        return self.prediction.read(self.sde, x, t, output.astype(x.dtype))


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["denoiser", "labels"], meta_fields=[]
)
@dataclasses.dataclass(frozen=True)
class Labelled(BaseDenoiser):
    """A denoiser whose labels [batch] are fixed: what a sampler runs for conditional samples."""

    denoiser: BaseDenoiser
    labels: Array

    @property
    def sde(self) -> SDE:
        return self.denoiser.sde

    def __call__(self, x: Array, t: Array, labels: Array | None = None) -> Prediction:
        return self.denoiser(x, t, self.labels if labels is None else labels)


def labelled(denoiser: BaseDenoiser, labels: ArrayLike | None, batch: int) -> BaseDenoiser:
    """The denoiser with the labels [batch] of its samples; as it is where they are None.

    Raises:
        UsageError: there is not one label for each sample.
    """
    if labels is None:
        return denoiser
    labels = jnp.asarray(labels)
    if labels.shape != (batch,):
        raise UsageError(f"{batch} samples need labels [{batch}], got {labels.shape}.")
    return Labelled(denoiser, labels)
