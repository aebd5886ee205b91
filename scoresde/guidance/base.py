"""What the guidance methods share: a scale, when it applies, and how they are compiled."""

import dataclasses
import math
import numbers
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from scoresde import plain
from scoresde.denoiser import BaseDenoiser, WrappedDenoiser, check_denoiser
from scoresde.guidance.interval import Interval
from scoresde.predictions import Prediction
from scoresde.registry import UsageError
from scoresde.sdes import expand
from scoresde.times import is_traced


class Guidance(WrappedDenoiser):
    """A guided denoiser: a frozen dataclass of the denoiser within, `denoiser`, and its options.

    It is a JAX pytree. Numbers are leaves, so that another scale compiles nothing anew, except for
    a scale that is a plain number and changes nothing: then the program is the unguided one's.

    Attributes:
        denoiser: the denoiser within.
        strength: the field that says how much.
        neutral: its value that changes nothing; None for a method without one.
        static: the fields that compile anew.
    """

    denoiser: BaseDenoiser
    strength: ClassVar[str] = "scale"
    neutral: ClassVar[float | None] = None
    static: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        jax.tree_util.register_pytree_node(cls, cls._flatten, cls._unflatten)

    def _flatten(self):
        leaves, static = {}, {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            known = field.name == self.strength and self._strength_is_neutral
            kept = field.name in self.static or known or _is_function(value)
            (static if kept else leaves)[field.name] = value
        return tuple(leaves.values()), (tuple(leaves), tuple(static.items()))

    @classmethod
    def _unflatten(cls, names, leaves):
        guided = object.__new__(cls)  # not through __init__: JAX puts anything in a leaf's place
        for name, value in (*zip(names[0], leaves), *names[1]):
            object.__setattr__(guided, name, value)
        return guided

    def __post_init__(self):
        check_denoiser(self.denoiser)
        if self.neutral is not None:
            value = getattr(self, self.strength)
            check_number(f"The {self.strength} of {type(self).__name__}", value)
        if "interval" in self.static:
            object.__setattr__(self, "interval", Interval.of_value(self.interval))

    @property
    def is_neutral(self) -> bool:
        """Whether it is known to change nothing: by its strength, or by where it applies."""
        interval = getattr(self, "interval", None)
        nowhere = interval is not None and not interval.meets(self.sde)
        return self._strength_is_neutral or nowhere

    @property
    def _strength_is_neutral(self) -> bool:
        """Whether the strength is known, not being traced or on a device, to change nothing."""
        value = getattr(self, self.strength, None)
        return isinstance(value, numbers.Real) and value == self.neutral

    def scale_at(self, t: Array, x: Array) -> Array:
        """The scale at the times t, a scalar or [batch], to be multiplied with x [batch, ...]."""
        scale = jnp.asarray(self.scale, x.dtype)
        interval = getattr(self, "interval", None)
        if interval is not None:
            scale = jnp.where(interval.contains(self.sde, t), scale, self.neutral)
        return expand(scale, x)

    def where_it_applies(
        self, t: Array, guided: Callable[[Array], Any], unguided: Callable[[Array], Any], x: Array
    ) -> Any:
        """guided(x), or where all times t are outside of the interval unguided(x); one is run.

        Samples of several times, some of them inside, are guided together, at the scales of each.
        """
        interval = getattr(self, "interval", None)
        if interval is None:
            return guided(x)
        return jax.lax.cond(jnp.any(interval.contains(self.sde, t)), guided, unguided, x)

    @property
    def condition_names(self) -> set[str] | None:
        return self.denoiser.condition_names

    def absent(self, name: str, value: Any) -> Any | None:
        return self.denoiser.absent(name, value)


def _is_function(value):
    return callable(value) and jax.tree_util.all_leaves([value])


def check_number(what: str, value: Any) -> None:
    """Raises UsageError unless `value` is a finite number, as far as it is known."""
    plain.check(what, value, float)
    if not is_traced(value) and not math.isfinite(value):
        raise UsageError(f"{what} must be a finite number, not {value}.")


def extrapolate(better: Prediction, worse: Prediction, scale: Array) -> Prediction:
    """worse + scale (better - worse), so written that scale 1 is `better` to the bit.

    x0 and noise are both linear in what the network predicts, given x_t, and stay a pair. A learned
    variance is that of `better`: guidance is of the mean alone.

    Args:
        better: what scale 1 is.
        worse: what scale 0 is.
        scale: broadcasts against x0 [batch, ...].
    """
    return better._replace(
        x0=better.x0 + (scale - 1) * (better.x0 - worse.x0),
        noise=better.noise + (scale - 1) * (better.noise - worse.noise),
    )
