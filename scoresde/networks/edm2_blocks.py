"""The residual blocks of EDM2's U-Net, and its uncertainty (arXiv:2312.02696)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from scoresde.networks.attention import attend
from scoresde.networks.dropout import Dropout
from scoresde.networks.magnitude import (
    LARGEST,
    MPFourier,
    MPLayer,
    mp_silu,
    mp_sum,
    rms_normalized,
    scalar,
)
from scoresde.networks.resampling import downsample, upsample
from scoresde.speed.barriers import settle_cotangents


class MPBlock(nn.Module):
    """A residual block of the encoder or the decoder.

    Attributes:
        features: output channels.
        encoder: whether the main path is normalized pixel by pixel.
        resample: "up", "down" or None.
        heads: of the attention at its end; 0 for none.
        balance: the share t of the residual branch.
        attention_balance: that of the attention.
        dropout: rate before the second convolution.
        train: whether dropout is active.
        implementation: of the attention.
        dtype: computation type.
    """

    features: int
    encoder: bool
    resample: str | None = None
    heads: int = 0
    balance: float = 0.3
    attention_balance: float = 0.3
    dropout: float = 0.0
    train: bool = False
    implementation: str = "xla"
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, embedding: jax.Array) -> jax.Array:
        """Maps x [batch, height, width, channels] with an embedding [batch, features]."""
        (x,) = settle_cotangents(x)
        if self.resample == "down":
            x = downsample(x, (1, 1))
        if self.encoder:
            x = rms_normalized(self._skip(x), -1)
        upsampled = self.resample == "up"
        h = self._conv("conv_res0", 3, upsampled=upsampled)(mp_silu(x))
        modulation = MPLayer(self.features, dtype=self.dtype, name="emb_linear")(
            embedding, scalar(self, "emb_gain")
        )
        h = mp_silu(h, 1 + modulation[:, None, None, :])
        h = Dropout(self.dropout, not self.train)(h)
        h = self._conv("conv_res1", 3)(h)
        if upsampled:
            x = upsample(x, (1, 1))
        if not self.encoder:
            x = self._skip(x)
        x = mp_sum(x, h, self.balance)
        if self.heads:
            x = mp_sum(x, self._attention(x), self.attention_balance)
        return jnp.clip(x, -LARGEST, LARGEST)

    def _conv(self, name: str, size: int, features: int | None = None, **options) -> MPLayer:
        return MPLayer(features or self.features, size, dtype=self.dtype, name=name, **options)

    def _skip(self, x):
        return x if x.shape[-1] == self.features else self._conv("conv_skip", 1)(x)

    def _attention(self, x):
        """Queries, keys and values have unit magnitude per head and pixel: cosine attention."""
        batch, height, width, channels = x.shape
        qkv = self._conv("attn_qkv", 1, 3 * channels)(x)
        qkv = qkv.reshape(batch, height * width, self.heads, -1, 3)
        query, key, value = jnp.moveaxis(rms_normalized(qkv, -2), -1, 0)
        # Parameters may be made where there is no GPU.
        implementation = "xla" if self.is_initializing() else self.implementation
        h = attend(query, key, value, implementation, self.train)
        return self._conv("attn_proj", 1)(h.reshape(x.shape))


class LogVariance(nn.Module):
    """u of a noise level: a linear map of Fourier features.

    Attributes:
        features: how many.
    """

    features: int

    @nn.compact
    def __call__(self, noise_condition: jax.Array) -> jax.Array:
        """u [batch] of noise conditions [batch]."""
        waves = MPFourier(self.features, name="fourier")(noise_condition)
        return MPLayer(1, dtype=waves.dtype, name="linear")(waves)[:, 0]
