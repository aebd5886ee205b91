"""What ADM's U-Net and ADM's classifier share (Dhariwal and Nichol 2021, arXiv:2105.05233).

An embedding of the noise level, the way down to the smallest feature maps, and the middle. The
networks of improved DDPM (arXiv:2102.09672) have the same parts, with other switches.
"""

import functools
from collections.abc import Callable
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from scoresde.networks import embeddings, layers, resampling
from scoresde.networks.attention import AttnBlockpp
from scoresde.networks.blocks import rematerialized
from scoresde.networks.dropout import Dropout
from scoresde.networks.group_norm import GroupNorm
from scoresde.networks.initializers import PYTORCH, ScaledUniform
from scoresde.registry import UsageError
from scoresde.speed.barriers import settle_cotangents

EPSILON = 1e-5
"""What normalizations add to the variance."""

NEAR_ZERO = ScaledUniform(0.0)
"""The initializer of last convolutions."""

RESAMPLE = {"up": resampling.upsample, "down": resampling.downsample}
"""Nearest neighbor and the 2x2 mean, with the filter (1, 1)."""


class ResnetBlockADM(nn.Module):
    """A residual block of BigGAN's form with adaptive group normalization.

    Attributes:
        features: output channels.
        resample: "up" (nearest neighbor), "down" (2x2 mean) or None.
        dropout: rate before the second convolution.
        scale_shift: whether the embedding scales and shifts the second normalization; it is added
            before it if not.
        groups: groups of the normalizations, None for the default of `GroupNorm`.
        train: whether dropout is active.
        dtype: computation type.
    """

    features: int
    resample: str | None = None
    dropout: float = 0.0
    scale_shift: bool = True
    groups: int | None = None
    train: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, embedding: jax.Array) -> jax.Array:
        """Maps x [batch, height, width, channels] with an activated embedding [batch, features]."""
        conv = functools.partial(layers.Conv, self.features, dtype=self.dtype)
        norm = functools.partial(GroupNorm, self.groups, EPSILON, self.dtype, layers.swish)
        (x,) = settle_cotangents(x)
        h = norm()(x)
        upsampled = self.resample == "up"
        if self.resample == "down":
            h = RESAMPLE["down"](h, (1, 1))
        h, bias = conv(upsampled=upsampled, kernel_init=PYTORCH, random_bias=True)(h, apart=True)
        modulation = layers.Dense(
            (1 + self.scale_shift) * self.features, kernel_init=PYTORCH, dtype=self.dtype
        )(embedding)
        if self.scale_shift:
            h = norm()(h, bias, jnp.split(modulation, 2, axis=-1))
        else:
            h = norm()(h, bias + modulation)
        h = Dropout(self.dropout, not self.train)(h)
        h = conv(kernel_init=NEAR_ZERO)(h)
        if self.resample:
            x = RESAMPLE[self.resample](x, (1, 1))
        if x.shape[-1] != self.features:
            x = conv(size=1, kernel_init=PYTORCH, random_bias=True)(x)
        return x + h


class TrunkADM(nn.Module, kw_only=True):
    """The parts, as methods for a network's `__call__`; see its factory for the options.

    The order in which submodules are made fixes their names, hence the layout of checkpoints.

    Attributes:
        called: the network's public name, for messages.
        channels_per_head: least channels of an attention head, where `num_heads` is None.
        num_heads: heads of every attention; None to follow `channels_per_head`.
        resample_in_blocks: whether maps are resampled by residual blocks; if not, by strided
            convolutions and by convolutions after nearest-neighbor upsampling.
        conv_resample: whether there are such convolutions.
        groups: of the normalizations, None for the default of `GroupNorm`.
    """

    called: ClassVar[str] = "adm"

    model_channels: int
    channel_mult: tuple[float, ...]
    num_blocks: int
    attn_resolutions: tuple[int, ...]
    channels_per_head: int = 64
    num_heads: int | None = None
    channel_mult_emb: int = 4
    dropout: float = 0.0
    scale_shift: bool = True
    resample_in_blocks: bool = True
    conv_resample: bool = True
    groups: int | None = None
    dtype: jnp.dtype = jnp.float32
    remat: bool = False
    attention_implementation: str = "xla"

    @property
    def wide(self) -> jnp.dtype:
        """The type of the embedding and of the output: at least float32."""
        return jnp.promote_types(self.dtype, jnp.float32)

    def width(self, level: int) -> int:
        """The channels of a level."""
        return int(self.model_channels * self.channel_mult[level])

    def heads(self, channels: int) -> int:
        """The attention heads of a feature map of so many channels; 0 for no attention.

        Raises:
            UsageError: the channels cannot be shared.
        """
        heads = self.num_heads or channels // self.channels_per_head
        if heads and channels % heads:
            least = "" if self.num_heads else f" of at least {self.channels_per_head}"
            raise UsageError(
                f"network {self.called!r}: {channels} channels do not divide into {heads} heads"
                f"{least}; change the number of channels or of heads."
            )
        return heads

    def residual_blocks(self, train: bool) -> Callable[..., ResnetBlockADM]:
        """(features, resample) -> a residual block."""
        return functools.partial(
            rematerialized(ResnetBlockADM) if self.remat else ResnetBlockADM,
            dropout=self.dropout,
            scale_shift=self.scale_shift,
            groups=self.groups,
            train=train,
            dtype=self.dtype,
        )

    def normalize(self, h: jax.Array) -> jax.Array:
        """The activation of the group normalization of h."""
        return GroupNorm(self.groups, EPSILON, self.dtype, layers.swish)(h)

    def embed_noise(
        self,
        noise_condition: jax.Array,
        among_waves: Callable[[jax.Array], jax.Array] = lambda waves: waves,
    ) -> jax.Array:
        """The embedding of noise conditions [batch], before its activation: [batch, features]."""
        features = self.model_channels * self.channel_mult_emb
        waves = embeddings.positional_embedding(
            noise_condition, self.model_channels, endpoint=False
        )
        dense = functools.partial(layers.Dense, features, kernel_init=PYTORCH, dtype=self.wide)
        embedding = nn.swish(dense()(among_waves(waves)))
        return dense()(embedding)

    def attend(self, h: jax.Array, train: bool) -> jax.Array:
        """Self-attention over the pixels of h."""
        heads = self.heads(h.shape[-1])
        if heads == 0:
            return h
        return AttnBlockpp(
            heads=heads,
            kernel_init=PYTORCH,
            groups=self.groups,
            epsilon=EPSILON,
            implementation=self.attention_implementation,
            train=train,
            dtype=self.dtype,
        )(h)

    def attend_at_its_size(self, h: jax.Array, train: bool) -> jax.Array:
        """The same at the sizes that have attention."""
        return self.attend(h, train) if h.shape[1] in self.attn_resolutions else h

    def resample(
        self, h: jax.Array, direction: str, embedding: jax.Array, block: Callable
    ) -> jax.Array:
        """h at half ("down") or twice ("up") the size."""
        if self.resample_in_blocks:
            return block(h.shape[-1], direction)(h, embedding)
        if not self.conv_resample:
            return RESAMPLE[direction](h, (1, 1))
        halved = {"stride": 2, "padding": ((1, 1), (1, 1))}
        size = halved if direction == "down" else {"upsampled": True}
        conv = functools.partial(layers.Conv, h.shape[-1], dtype=self.dtype, **size)
        return conv(kernel_init=PYTORCH, random_bias=True)(h)

    def encode(self, x: jax.Array, embedding: jax.Array, block: Callable, train: bool) -> list:
        """The feature maps on the way down: those of the stem, of blocks and of resamplings."""
        stem = functools.partial(layers.Conv, self.width(0), dtype=self.dtype)
        maps = [stem(kernel_init=PYTORCH, random_bias=True)(x)]
        for level in range(len(self.channel_mult)):
            if level > 0:
                maps.append(self.resample(maps[-1], "down", embedding, block))
            for _ in range(self.num_blocks):
                h = block(self.width(level))(maps[-1], embedding)
                maps.append(self.attend_at_its_size(h, train))
        return maps

    def middle(self, h: jax.Array, embedding: jax.Array, block: Callable, train: bool) -> jax.Array:
        """What is done at the smallest size."""
        h = self.attend(block(h.shape[-1])(h, embedding), train)
        return block(h.shape[-1])(h, embedding)
