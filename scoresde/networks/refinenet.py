"""RefineNet's decoder (Lin et al. 2017, arXiv:1611.06612) as NCSN and NCSNv2 use it.

A refine block takes feature maps of one or two resolutions: residual convolution units (RCU) on
each, multi-resolution fusion (MSF), chained residual pooling (CRP), residual convolution units.
NCSN normalizes before every convolution, with parameters of each noise level; NCSNv2 does not.

`level` is the noise level's index [batch], which normalizations of NCSN look their parameters up
with; class names are those of the networks' published weights.
"""

import functools
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from scoresde.networks import layers
from scoresde.networks.initializers import PYTORCH


class RefinePart(nn.Module):
    """The options that all parts of a refine block share.

    Attributes:
        features: output channels.
        activation: the nonlinearity.
        norm: constructor of the normalization before convolutions, None for none.
        dtype: computation type.
    """

    features: int
    activation: Callable[[jax.Array], jax.Array] = nn.elu
    norm: Callable[[], nn.Module] | None = None
    dtype: jnp.dtype = jnp.float32

    def normalize(self, x: jax.Array, level: jax.Array) -> jax.Array:
        """The normalization of x, if there is one."""
        return x if self.norm is None else self.norm()(x, level)

    def convolve(self, x: jax.Array, *, use_bias: bool = False) -> jax.Array:
        """A 3x3 convolution."""
        return layers.Conv(
            self.features,
            use_bias=use_bias,
            kernel_init=PYTORCH,
            random_bias=use_bias,
            dtype=self.dtype,
        )(x)

    def options(self) -> dict:
        """What the parts of this part share with it."""
        return {"activation": self.activation, "norm": self.norm, "dtype": self.dtype}


class RCUBlock(RefinePart):
    """A chain of residual blocks of two activations and convolutions each.

    Attributes:
        blocks: number of residual blocks.
    """

    blocks: int = 2

    @nn.compact
    def __call__(self, x: jax.Array, level: jax.Array) -> jax.Array:
        for _ in range(self.blocks):
            residual = x
            for _ in range(2):
                x = self.convolve(self.activation(self.normalize(x, level)))
            x += residual
        return x


class MSFBlock(RefinePart):
    """The sum of feature maps after a convolution and resizing to the first one's size.

    Attributes:
        interpolation: "bilinear" or "nearest".
    """

    interpolation: str = "bilinear"

    @nn.compact
    def __call__(self, maps: Sequence[jax.Array], level: jax.Array) -> jax.Array:
        shape = (*maps[0].shape[:3], self.features)
        return sum(
            jax.image.resize(
                self.convolve(self.normalize(x, level), use_bias=True), shape, self.interpolation
            )
            for x in maps
        )


class CRPBlock(RefinePart):
    """Two stages of 5x5 pooling and a convolution, the results of which are added up.

    Pooling takes the mean where there is a normalization (NCSN) and the maximum where there is none
    (NCSNv2).
    """

    @nn.compact
    def __call__(self, x: jax.Array, level: jax.Array) -> jax.Array:
        pool = functools.partial(
            nn.max_pool if self.norm is None else nn.avg_pool, window_shape=(5, 5), padding="SAME"
        )
        x = path = self.activation(x)
        for _ in range(2):
            path = self.convolve(pool(self.normalize(path, level)))
            x += path
        return x


class RefineBlock(RefinePart):
    """One stage of the decoder.

    Attributes:
        last: whether it is the last one, which has three final residual blocks instead of one.
        interpolation: "bilinear" or "nearest".
    """

    last: bool = False
    interpolation: str = "bilinear"

    @nn.compact
    def __call__(self, maps: Sequence[jax.Array], level: jax.Array) -> jax.Array:
        """Refines maps [batch, height, width, channels], the finest first, to one of its size."""
        maps = [RCUBlock(x.shape[-1], **self.options())(x, level) for x in maps]
        if len(maps) > 1:
            fuse = MSFBlock(self.features, **self.options(), interpolation=self.interpolation)
            h = fuse(maps, level)
        else:
            h = maps[0]
        h = CRPBlock(self.features, **self.options())(h, level)
        return RCUBlock(self.features, **self.options(), blocks=3 if self.last else 1)(h, level)
