"""Group normalization, in the form that each platform computes fastest."""

import functools
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from scoresde.networks.initializers import Constant, parameter
from scoresde.registry import UsageError

# What is jitted here is traced, differentiated and transposed once a shape, not once a layer, and a
# form not twice, as JAX does with the branches of a choice.
_once = functools.partial(jax.jit, static_argnames=("groups", "epsilon", "dtype", "activation"))


def _identity(y: jax.Array) -> jax.Array:
    return y


class GroupNorm(nn.Module):
    """Group normalization (Wu and He 2018), then a scale and a bias for every channel.

    Moments are taken a channel first and a group second, which never regroups the feature map, and
    are float32 at least. The variance is about the mean, or close to it: a difference of moments
    would lose the digits of a map whose mean is large against its spread. A map in 16 bits has no
    such digits, though a spread below its own rounding is told badly, and is read once for both
    moments, but on CPUs.

    Attributes:
        groups: number of groups; None for four channels a group and at most 32 groups.
        epsilon: added to the variance.
        dtype: type of the result.
    """

    groups: int | None = None
    epsilon: float = 1e-6
    dtype: jnp.dtype = jnp.float32
    activation: Callable[[jax.Array], jax.Array] = _identity

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        shift: jax.Array | None = None,
        modulation: Sequence[jax.Array] | None = None,
    ) -> jax.Array:
        """That of x + shift, times 1 + the modulation's first part, plus its second.

        Args:
            x: [batch, height, width, channels].
            shift: [(batch,) channels], added at all pixels.
            modulation: two of [batch, channels]; none if None.
        """
        channels = x.shape[-1]
        groups = min(channels // 4, 32) if self.groups is None else self.groups
        if self.groups is not None and self.groups < 1:
            raise UsageError(f"Channels are normalized in at least one group, not in {groups}.")
        if groups < 1 or channels % groups:
            width = "32, or less than 128 and of 4" if self.groups is None else f"{groups}"
            raise UsageError(
                f"A feature map of {channels} channels cannot be normalized in {groups} groups; "
                f"choose a width that makes every map a multiple of {width}."
            )
        scale = parameter(self, "scale", Constant(1.0), (channels,))
        bias = parameter(self, "bias", Constant(), (channels,))
        if modulation is not None:
            factor, addend = modulation
            scale, bias = scale * (1 + factor), bias * (1 + factor) + addend
        options = {"groups": groups, "epsilon": self.epsilon, "dtype": jnp.dtype(self.dtype)}
        return _group_norm(x, shift, scale, bias, activation=self.activation, **options)


@_once
def _group_norm(x, shift, scale, bias, **options) -> jax.Array:
    steps, channels = (functools.partial(form, **options) for form in (by_steps, by_channels))
    return lax.platform_dependent(x, shift, scale, bias, cpu=steps, default=channels)


@_once
def by_steps(
    x, shift, scale, bias, *, groups: int, epsilon: float, dtype: jnp.dtype, activation=_identity
) -> jax.Array:
    """It as its definition says. What leads to a sum is short, since XLA repeats it on CPUs."""
    y = x.astype(jnp.promote_types(dtype, jnp.float32))
    if shift is not None:
        y += _at_pixels(shift.astype(y.dtype))
    y -= _at_pixels(_at_channels(_group_mean(_pixel_mean(y), groups), x.shape[-1]))
    variance = _group_mean(_pixel_mean(y * y), groups)
    # XLA takes no root for every pixel, but a repetition it would. And it exchanges the two unless
    # the root is of what may differ by the channel: hence a sum with 0, while scales are finite.
    variance = jnp.repeat(variance + epsilon, x.shape[-1] // groups, axis=1)
    variance += 0 * lax.stop_gradient(scale).astype(variance.dtype)

    def finish(y, scale, bias):
        return activation((y * scale + bias).astype(dtype))

    scale = _at_pixels(lax.rsqrt(variance) * scale)
    return jax.checkpoint(finish, prevent_cse=False)(y, scale, _at_pixels(bias))


@_once
def by_channels(
    x, shift, scale, bias, *, groups: int, epsilon: float, dtype: jnp.dtype, activation=_identity
) -> jax.Array:
    """It as an affine function of the map, of which all but two sums is a matter of channels.

    A GPU is waiting for memory here: so the map is read twice, or three times where it has more
    than 16 bits, and by its derivative twice, for sums and for the result.
    """
    y = x.astype(jnp.promote_types(dtype, jnp.float32))
    channels = x.shape[-1]
    shift = jnp.zeros(channels, y.dtype) if shift is None else shift.astype(y.dtype)
    if x.dtype.itemsize > 2:
        # What is taken off a channel, and added to its mean again, has no derivative.
        center = lax.stop_gradient(_pixel_mean(y))
        y, shift = y - _at_pixels(center), shift + center
    first, second = _pixel_mean(y), _pixel_mean(lax.square(y))
    within, first = second - lax.square(first), first + shift
    # Neither has what is taken off a group: here its first channel, which takes no sum to know.
    width = channels // groups
    level = lax.stop_gradient(jnp.repeat(first[:, ::width], width, axis=1))
    first, shift = first - level, shift - level
    mean, square = _group_mean(first, groups), _group_mean(within + lax.square(first), groups)
    variance = jnp.maximum(square - lax.square(mean), 0)
    scale *= jnp.repeat(lax.rsqrt(variance + epsilon), width, axis=1)
    bias += scale * (shift - jnp.repeat(mean, width, axis=1))
    return activation((y * _at_pixels(scale) + _at_pixels(bias)).astype(dtype))


def _pixel_mean(y: jax.Array) -> jax.Array:
    """[batch, height, width, channels] -> [batch, channels]."""
    return y.mean(axis=(1, 2))


def _group_mean(y: jax.Array, groups: int) -> jax.Array:
    """[batch, channels] -> [batch, groups]."""
    return y.reshape(y.shape[0], groups, y.shape[1] // groups).mean(axis=-1)


def _at_pixels(y: jax.Array) -> jax.Array:
    """[(batch,) channels], to be added to images."""
    return y[..., None, None, :]


def _at_channels(moment: jax.Array, channels: int) -> jax.Array:
    """[batch, groups] -> [batch, channels], each group's number at all of its channels.

    By a sum of products with zeros and ones, exactly while all are finite: on CPUs XLA would fuse a
    repetition into the loops over the feature map, which would not be vectorized, and would leave a
    matrix product to a library. A group that is not finite spoils the others of its image.
    """
    groups = moment.shape[1]
    spread = jnp.repeat(jnp.eye(groups, dtype=moment.dtype), channels // groups, axis=1)
    return (moment[:, :, None] * spread).sum(axis=1)
