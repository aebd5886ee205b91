"""What every observation offers: `forward`, its adjoint, and how much noise there is."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from scoresde.condition import Condition
from scoresde.errors import UsageError, shown
from scoresde.keys import normal, sample_keys
from scoresde.meshes import is_known


@dataclasses.dataclass(frozen=True, kw_only=True)
class Observation:
    """An observation y = forward(x0) + noise z. A subclass defines `forward`, and is a JAX pytree:

        @jax.tree_util.register_dataclass
        @dataclasses.dataclass(frozen=True, kw_only=True)
        class Halves(Observation):
            def forward(self, x0, condition=None):
                return x0[:, : x0.shape[1] // 2]

    It is shared by all samples. What differs from one to the next is in the condition: y itself as
    "observation" [batch, ...], and whatever else `reads` names.

    Attributes:
        noise: the standard deviation of the noise of y, >= 0: a number, or an array that
            broadcasts against one sample's y.
    """

    noise: ArrayLike = 0.0

    # Whether forward is linear in x0, so that it has an adjoint.
    linear: ClassVar[bool] = True
    # Whether y are images with values like those of x0, so that a picture file may hold one.
    pictured: ClassVar[bool] = False
    # What it reads of a condition, besides the observed y.
    reads: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self):
        # JAX may put anything in the place of a number while it transforms.
        if isinstance(self.noise, str | type | dict | list | bool):
            raise UsageError(
                f"The noise of an observation is a standard deviation, not {shown(self.noise)}."
            )
        noise = known_noise(self.noise)
        if noise is not None and not (np.isfinite(noise) & (noise >= 0)).all():
            raise UsageError(
                "The noise of an observation is a standard deviation, finite and not negative, "
                f"not {shown(self.noise)}."
            )

    def forward(self, x0: Array, condition: Condition = None) -> Array:
        """What would be observed of x0 [batch, ...] without noise, [batch, ...].

        Raises:
            UsageError: it cannot be observed of what has this shape, or the condition lacks what
                it takes.
        """
        raise TypeError(f"{type(self).__name__} must define forward(x0, condition).")

    def adjoint(self, v: Array, shape: tuple[int, ...], condition: Condition = None) -> Array:
        """A^T v, [*shape], for v [batch, ...] like y and x0 of the given shape [batch, ...].

        Raises:
            UsageError: it is not linear, or v is not of the shape of what is observed.
        """
        if not self.linear:
            raise UsageError(
                f"{type(self).__name__} is not linear, and has an adjoint only where it is "
                "linearized: jax.vjp(observation.forward, x0)."
            )
        zeros = jnp.zeros(shape, v.dtype)
        observed, pull = jax.vjp(lambda x0: self.forward(x0, condition), zeros)
        _like(observed, v, "v")
        return pull(v)[0]

    def residual(self, y: Array, x0: Array, condition: Condition = None) -> Array:
        """y - forward(x0), [batch, ...]: zero where nothing is observed."""
        return y - self.forward(x0, condition)

    def observe(self, key: Array, x0: Array, condition: Condition = None) -> Array:
        """A noisy observation of x0 [batch, ...], [batch, ...].

        Args:
            key: one key, or one for each sample.
            x0: the samples.
            condition: what else it reads.
        """
        y = self.forward(x0, condition)
        return y + self.noise * normal(sample_keys(key, len(x0)), y.shape, y.dtype)

    def check_condition(self, condition: Condition) -> None:
        """Raises UsageError unless what is read is in the condition."""
        for name in ("observation", *self.reads):
            self.read(name, condition)

    def read(self, name: str, condition: Condition) -> Array:
        """The condition's array called `name`.

        Raises:
            UsageError: there is none.
        """
        if name not in (condition or {}):
            known = ", ".join(map(repr, condition or {})) or "nothing"
            raise UsageError(
                f"{type(self).__name__} reads {name!r} of the condition, which holds {known}: give "
                f"condition={{{name!r}: ...}}, an array with a row for each sample."
            )
        return condition[name]

    def observed(self, x0: Array, condition: Condition) -> Array:
        """The y of the samples x0 [batch, ...], out of the condition.

        Raises:
            UsageError: there is none, or it is not of the shape of what is observed of x0.
        """
        self.check_condition(condition)
        expected = jax.eval_shape(lambda x0: self.forward(x0, condition), x0)
        y = jnp.asarray(self.read("observation", condition))
        _like(expected, y, "The condition 'observation'")
        try:
            fits = np.broadcast_shapes(jnp.shape(self.noise), y.shape[1:]) == y.shape[1:]
        except ValueError:
            fits = False
        if not fits:
            raise UsageError(
                f"The noise of a sample's observation of shape {y.shape[1:]} is a number or "
                f"broadcasts against it; its shape is {jnp.shape(self.noise)}."
            )
        return y.astype(x0.dtype)


def known_noise(noise: ArrayLike) -> np.ndarray | None:
    """The noise of an observation as an array; None where JAX has something else in its place."""
    known = isinstance(noise, int | float | np.ndarray | np.generic | jax.Array)
    return np.asarray(noise) if known and is_known(noise) else None


def _like(expected, given, what):
    if jnp.shape(given) != expected.shape:
        raise UsageError(
            f"{what} is of shape {jnp.shape(given)}, what is observed of these samples of shape "
            f"{expected.shape}."
        )


def image_shape(x0: Array, what: str) -> tuple[int, int, int]:
    """(height, width, channels) of images [batch, height, width, channels].

    Raises:
        UsageError: they are none.
    """
    if x0.ndim != 4:
        raise UsageError(
            f"{what} is of images [batch, height, width, channels], not of shape {x0.shape}."
        )
    return x0.shape[1:]


def checked_range(data_range: tuple[float, float]) -> tuple[float, float]:
    """(low, high) as floats.

    Raises:
        UsageError: they are not two numbers, the smaller first.
    """
    try:
        low, high = (float(end) for end in data_range)
    except (TypeError, ValueError):
        low = high = 0.0
    if not -np.inf < low < high < np.inf:
        raise UsageError(f"data_range must be (low, high), low < high, not {shown(data_range)}.")
    return low, high
