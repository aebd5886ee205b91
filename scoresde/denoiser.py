"""A denoiser: a process, a way to read a network, the network and its parameters.

It is the one thing that samplers, likelihoods and guidance see. The analytic denoisers of
`scoresde.analytic` and every guided one satisfy the same interface.

The rule of conditions: what differs from sample to sample (a class, a text, a mask, an observation)
travels in the condition, whose arrays have a row for each sample; a denoiser's own leaves (the
parameters of a network, an operator, a strength) are shared by all samples. Adaptive solvers run
sample by sample and hand each sample its own rows, so a denoiser that keeps the data of four
samples in itself gives predictions of four where one is asked for, and is refused.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from scoresde.condition import Condition
from scoresde.predictions import Prediction, PredictionKind
from scoresde.registry import UsageError, shown
from scoresde.sdes import SDE, expand


class BaseDenoiser:
    """What every denoiser offers. A subclass has `.sde` and `__call__`, and is a JAX pytree:

        @jax.tree_util.register_dataclass
        @dataclasses.dataclass(frozen=True)
        class Mine(BaseDenoiser):
            sde: SDE
            params: Any

            def __call__(self, x, t, condition=None): ...

    x is [batch, ...]; t is [batch] or a scalar, within [sde.t_min, sde.t_max]. The condition is the
    module's: what differs from sample to sample travels there, and only there.

    Attributes:
        sde: the forward process.
        trained_levels: the number of noise levels that a discretely trained network knows; None for
            one that takes any time.
    """

    sde: SDE
    trained_levels: int | None = None

    def __call__(self, x: Array, t: Array, condition: Condition = None) -> Prediction:
        """The expectations of x_0 and of the noise given x_t = x."""
        raise TypeError(f"{type(self).__name__} must define __call__(x, t, condition).")

    def score(self, x: Array, t: Array, condition: Condition = None) -> Array:
        """The gradient of log p_t at x, [batch, ...]."""
        return -predict(self, x, t, condition).noise / expand(self.sde.sigma(t), x)

    def apart(self, x: Array, t: Array, condition: Condition = None) -> tuple[Prediction, Array]:
        """The prediction without guidance, and the gradient that guidance adds to its score.

        For samplers that add it to something else.

        Raises:
            UsageError: this denoiser is not guided by a gradient.
        """
        raise UsageError(
            f"A {type(self).__name__} is not guided by a gradient that could be kept apart: "
            "guided='mean' of ancestral sampling is for ClassifierGuidance as the outermost."
        )

    def velocity(self, x: Array, t: Array, condition: Condition = None) -> Array:
        """dx/dt of the probability flow, [batch, ...].

        alpha' x_0 + sigma' noise, which equals f x - g^2 score / 2 (arXiv:2011.13456, equation 13)
        and stays finite where f does not.
        """
        prediction = predict(self, x, t, condition)
        alpha_dot, sigma_dot = expand(self.sde.alpha_dot(t), x), expand(self.sde.sigma_dot(t), x)
        return alpha_dot * prediction.x0 + sigma_dot * prediction.noise

    def terminal_log_prob(self, z: Array, condition: Condition = None) -> Array:
        """log density at t_max of z [batch, ...] in nats, [batch]: the prior's, unless known."""
        return self.sde.prior_log_prob(z)

    @property
    def condition_names(self) -> set[str] | None:
        """The names of a condition that it reads; None if it does not say."""
        return None

    @property
    def guided_by(self) -> frozenset[str]:
        """The names that guidance reads by itself, whatever the network is told."""
        return frozenset()

    def check_condition(self, condition: Condition) -> None:
        """Raises UsageError for values in a condition that are known and that it cannot be told."""

    def absent(self, name: str, value: Any) -> Any | None:
        """What stands in a condition in the place of `value` for samples that are told no `name`.

        Like value, a row for each sample; None where no value says so, and the name is left out.
        """
        return None

    def given(self, condition: Condition) -> "Given":
        """This denoiser with the condition of its samples fixed: called as (x, t)."""
        return Given(self, condition)


def predict(denoiser: BaseDenoiser, x: Array, t: Array, condition: Condition = None) -> Prediction:
    """`denoiser(x, t, condition)`, which must have the shape of x.

    Raises:
        UsageError: it has not; as of a denoiser that holds the data of several samples itself.
    """
    prediction = denoiser(x, t, condition)
    for name, value in prediction._asdict().items():
        if value is not None:
            _like(x, value, name, denoiser)
    return prediction


def _like(x: Array, value: Array, name: str, denoiser: BaseDenoiser) -> Array:
    """`value`, which must have the shape of x."""
    if value.shape != x.shape:
        raise UsageError(
            f"The denoiser, a {type(denoiser).__name__}, predicts {name} of shape {value.shape} "
            f"for x of shape {x.shape}. What differs from sample to sample belongs in the "
            "condition, which solvers split with the samples, not in the denoiser."
        )
    return value


def velocity_of_one(denoiser: BaseDenoiser, x: Array, t: Array, condition: Condition) -> Array:
    """`denoiser.velocity` of one sample, for solvers that run sample by sample.

    Args:
        denoiser: the denoiser.
        x: the sample, [...].
        t: the time, a scalar.
        condition: its own part, with a leading axis of 1, see `one_by_one`.

    Raises:
        UsageError: the velocity is not of one sample.
    """
    x = x[None]
    return _like(x, denoiser.velocity(x, t[None], condition), "a velocity", denoiser)[0]


def check_denoiser(denoiser: BaseDenoiser) -> None:
    """Raises UsageError unless `denoiser` is one, and can go into a compiled function."""
    if isinstance(denoiser, type):
        raise UsageError(
            f"A denoiser is needed, not the class {denoiser.__name__}; make one of it, as "
            "Denoiser(sde, prediction, network, params) or mixture.denoiser(sde)."
        )
    if not (hasattr(denoiser, "sde") and callable(denoiser)):
        remedy = (
            "its denoiser(...) makes one"
            if callable(getattr(denoiser, "denoiser", None))
            else "Denoiser(sde, prediction, network, params) makes one of a network, and one of "
            "your own is derived from scoresde.denoiser.BaseDenoiser"
        )
        raise UsageError(f"A denoiser is needed, not a {type(denoiser).__name__}: {remedy}.")
    if jax.tree_util.all_leaves([denoiser]):
        raise UsageError(
            f"The denoiser, a {type(denoiser).__name__}, is no JAX pytree: put "
            "@jax.tree_util.register_dataclass above its @dataclasses.dataclass, as "
            "scoresde.denoiser.BaseDenoiser shows."
        )


def require_continuous_time(denoiser: BaseDenoiser, method: str) -> None:
    """Raises UsageError for a network that was trained at discrete noise levels only."""
    if denoiser.trained_levels is not None:
        raise UsageError(
            f"{method} needs a network trained at continuous times, this one knows "
            f"{denoiser.trained_levels} discrete levels; use what steps along them, for instance "
            "ddim or ancestral_sampling, or the bound ddpm."
        )


def require_levels(denoiser: BaseDenoiser, steps: int) -> None:
    """Raises UsageError for more steps than a discretely trained network has noise levels for."""
    levels = denoiser.trained_levels
    if levels is not None and steps >= levels:
        raise UsageError(
            f"{steps} steps visit {steps + 1} times, but the network was trained at {levels} noise "
            f"levels; take at most {levels - 1} steps."
        )


def _misplaced(what: str, given: Any, example: str) -> str:
    if isinstance(given, type):
        given = f"the class {given.__name__}; make one of it, {given.__name__}(...)"
    else:
        given = shown(given)
    return (
        f"A Denoiser takes (sde, prediction, network, params): {what}, as {example}, not {given}."
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
        network: `apply(params, x, noise_condition, condition) -> output`, a hashable pure function.
            What it is told of the time is `prediction.time_input`: 999 t if nothing is said.
            If it is, or is a method of, an object with `check_condition(condition)`, that refuses
            what the network cannot be told, such as a label that is none of its classes; its
            `absent(name, value)`, if any, is that of `BaseDenoiser`.
        params: the network's parameters, any pytree.

    Raises:
        UsageError: a class, a name or another kind of object in place of one of these.
    """

    sde: SDE
    prediction: PredictionKind
    network: Callable[..., Array]
    params: Any

    def __post_init__(self):
        # Of `sde` and `params`, JAX may put anything in their places while it transforms.
        if isinstance(self.sde, type | str | PredictionKind):
            raise UsageError(_misplaced("a process as its sde", self.sde, "sdes.VP()"))
        if not isinstance(self.prediction, PredictionKind):
            example = "predictions.get('noise')"
            raise UsageError(_misplaced("a way to read its network", self.prediction, example))
        if not callable(self.network) or isinstance(self.network, type):
            example = "what networks.get returns or a function"
            raise UsageError(_misplaced("a network", self.network, example))

    @property
    def trained_levels(self) -> int | None:
        return self.prediction.trained_levels

    def __call__(self, x: Array, t: Array, condition: Condition = None) -> Prediction:
        t = jnp.asarray(t, x.dtype)
        if t.shape not in ((), (1,), x.shape[:1]):
            raise UsageError(
                f"t is one time, or one for each of the {len(x)} samples, not of shape {t.shape}."
            )
        t = jnp.broadcast_to(t, x.shape[:1])
        network_input, noise_condition = self.prediction.inputs(self.sde, x, t)
        output = self.network(self.params, network_input, noise_condition, condition)
        return self.prediction.read(self.sde, x, t, output.astype(x.dtype))

    @property
    def condition_names(self) -> set[str] | None:
        return getattr(self._network_itself(), "condition_names", None)

    def check_condition(self, condition: Condition) -> None:
        if check := getattr(self._network_itself(), "check_condition", None):
            check(condition)

    def absent(self, name: str, value: Any) -> Any | None:
        absent = getattr(self._network_itself(), "absent", None)
        return absent and absent(name, value)

    def _network_itself(self):
        network = self.network
        while isinstance(network, functools.partial):
            network = network.func
        return getattr(network, "__self__", network)  # as of network.apply

    def __repr__(self) -> str:
        count = sum(jnp.size(leaf) for leaf in jax.tree.leaves(self.params))
        return f"Denoiser({self.sde}, {self.prediction}, {count:,} parameters)"


class WrappedDenoiser(BaseDenoiser):
    """A denoiser made of another one, `self.denoiser`, as guidance is: the base of all such.

    It has the process, the trained levels and the density at t_max of the one within, and refuses
    the conditions that it refuses; a subclass defines `__call__`, and what else it changes.
    """

    denoiser: BaseDenoiser

    @property
    def sde(self) -> SDE:
        return self.denoiser.sde

    @property
    def trained_levels(self) -> int | None:
        return self.denoiser.trained_levels

    @property
    def guided_by(self) -> frozenset[str]:
        return self.denoiser.guided_by

    def check_condition(self, condition: Condition) -> None:
        self.denoiser.check_condition(condition)

    def terminal_log_prob(self, z: Array, condition: Condition = None) -> Array:
        return self.denoiser.terminal_log_prob(z, condition)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Given(WrappedDenoiser):
    """A denoiser whose condition is fixed: what the steps of a sampler see, for all their samples.

    Solvers that run sample by sample are given the condition beside the denoiser instead.
    """

    denoiser: BaseDenoiser
    condition: Condition

    def __call__(self, x: Array, t: Array, condition: Condition = None) -> Prediction:
        return predict(self.denoiser, x, t, self.condition if condition is None else condition)

    def score(self, x: Array, t: Array, condition: Condition = None) -> Array:
        condition = self.condition if condition is None else condition
        return _like(x, self.denoiser.score(x, t, condition), "a score", self.denoiser)

    def apart(self, x: Array, t: Array, condition: Condition = None) -> tuple[Prediction, Array]:
        return self.denoiser.apart(x, t, self.condition if condition is None else condition)

    def velocity(self, x: Array, t: Array, condition: Condition = None) -> Array:
        condition = self.condition if condition is None else condition
        return _like(x, self.denoiser.velocity(x, t, condition), "a velocity", self.denoiser)

    def terminal_log_prob(self, z: Array, condition: Condition = None) -> Array:
        condition = self.condition if condition is None else condition
        return self.denoiser.terminal_log_prob(z, condition)
