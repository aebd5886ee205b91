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
        activation: what is made of each number then. It is traced anew for each function object.
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
    """It as its definition says: c r scale + bias, with c = x - its mean, 1 / r its deviation."""
    return _by_steps(x, shift, scale, bias, groups, epsilon, dtype, activation)


@functools.partial(jax.custom_jvp, nondiff_argnums=(4, 5, 6, 7))
def _by_steps(x, shift, scale, bias, groups, epsilon, dtype, activation) -> jax.Array:
    c, _, r = _centered(x, shift, groups, epsilon, dtype)
    return activation(_affine(c, r * scale, bias).astype(dtype))


@_by_steps.defjvp
def _(groups, epsilon, dtype, activation, primals, tangents):
    """With two means over the map's tangent, and its transpose with two over the cotangent."""
    (x, shift, scale, bias), (dx, dshift, dscale, dbias) = primals, tangents
    c, c_mean, r = _centered(x, shift, groups, epsilon, dtype)
    factor, dx = r * scale, dx.astype(c.dtype)
    means = _pixel_mean(dx), _pixel_mean(c * dx)
    dshift = None if shift is None else dshift.astype(c.dtype)
    slope, addend = _along(r, scale, c_mean, *means, dshift, dscale, dbias, groups)
    tangent = dx * _at_pixels(factor) + _affine(c, slope, addend)

    # Of the map c alone is kept: the activation is computed again for its derivative.
    @functools.partial(jax.checkpoint, prevent_cse=False)
    def derivative(c, factor, bias, tangent):
        y = _affine(c, factor, bias).astype(dtype)
        return jax.jvp(activation, (y,), (tangent.astype(dtype),))[1]

    value = activation(_affine(c, factor, bias).astype(dtype))
    return value, derivative(c, factor, bias, tangent)


@functools.partial(jax.jit, static_argnames="groups")
def _along(r, scale, c_mean, mean, product, dshift, dscale, dbias, groups: int):
    """What the tangent c' r scale + c (r scale)' + bias' has of c, and what at all pixels.

    With x' for dx + dshift and G for the mean over a group: c' = x' - G x' and, since G c = 0,
    r' = -r^3 G (c x').
    """
    if dshift is None:
        dshift = 0
    else:
        mean, product = mean + dshift, product + c_mean * dshift
    slope = r * dscale - r**3 * scale * _group_mean(product, groups)
    return slope, r * scale * (dshift - _group_mean(mean, groups)) + dbias


def _centered(x, shift, groups, epsilon, dtype) -> tuple[jax.Array, jax.Array, jax.Array]:
    """c, its means [batch, channels] and r [batch, channels]."""
    y = x.astype(jnp.promote_types(dtype, jnp.float32))
    mean = _pixel_mean(y)
    if shift is not None:
        shift = shift.astype(y.dtype)
        y, mean = y + _at_pixels(shift), mean + shift
    center = _group_mean(mean, groups)
    c = y - _at_pixels(center)
    return c, mean - center, lax.rsqrt(_group_mean(_pixel_mean(c * c), groups) + epsilon)


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
    mean, square = _by_group(first, groups), _by_group(within + lax.square(first), groups)
    variance = jnp.maximum(square - lax.square(mean), 0)
    scale *= jnp.repeat(lax.rsqrt(variance + epsilon), width, axis=1)
    bias += scale * (shift - jnp.repeat(mean, width, axis=1))
    return activation(_affine(y, scale, bias).astype(dtype))


def _pixel_mean(y: jax.Array) -> jax.Array:
    """[batch, height, width, channels] -> [batch, channels]."""
    return y.mean(axis=(1, 2))


def _by_group(y: jax.Array, groups: int) -> jax.Array:
    """[batch, channels] -> [batch, groups], the means."""
    return y.reshape(y.shape[0], groups, y.shape[1] // groups).mean(axis=-1)


@functools.partial(jax.jit, static_argnames="groups")
def _group_mean(y: jax.Array, groups: int) -> jax.Array:
    """[batch, channels] -> [batch, channels], each group's mean at all of its channels.

    A function of its own, since in the loops over a map a repetition would not be vectorized.
    """
    return jnp.repeat(_by_group(y, groups), y.shape[1] // groups, axis=1)


def _at_pixels(y: jax.Array) -> jax.Array:
    """[(batch,) channels], to be added to images."""
    return y[..., None, None, :]


def _affine(y: jax.Array, factor: jax.Array, addend: jax.Array) -> jax.Array:
    """A map times and plus what is the same at all pixels."""
    return y * _at_pixels(factor) + _at_pixels(addend)
