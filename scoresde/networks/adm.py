"""The ADM U-Net (Dhariwal and Nichol 2021, arXiv:2105.05233), in the form that EDM trains.

Against DDPM++: the embedding scales and shifts normalized maps (adaptive group normalization),
attention has several heads and follows every block of its levels, and residual sums are not
rescaled. Karras et al. 2022 (arXiv:2206.00364, Appendix F.2) list the hyper-parameters.
"""

import functools
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from scoresde.networks import embeddings, layers, options, resampling
from scoresde.networks.attention import AttnBlockpp
from scoresde.networks.blocks import rematerialized
from scoresde.networks.initializers import PYTORCH, Normal, ScaledUniform
from scoresde.networks.network import Network
from scoresde.registry import UsageError

EPSILON = 1e-5
"""What normalizations add to the variance."""

NEAR_ZERO = ScaledUniform(0.0)
"""The initializer of last convolutions."""


class ResnetBlockADM(nn.Module):
    """A residual block of BigGAN's form with adaptive group normalization.

    Attributes:
        features: output channels.
        resample: "up" (nearest neighbor), "down" (2x2 mean) or None.
        dropout: rate before the second convolution.
        train: whether dropout is active.
        dtype: computation type.
    """

    features: int
    resample: str | None = None
    dropout: float = 0.0
    train: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, embedding: jax.Array) -> jax.Array:
        """Maps x [batch, height, width, channels] with an activated embedding [batch, features]."""
        conv = functools.partial(layers.Conv, self.features, dtype=self.dtype)
        norm = functools.partial(layers.GroupNorm, epsilon=EPSILON, dtype=self.dtype)
        h = nn.swish(norm()(x))
        if self.resample:
            resample = resampling.upsample if self.resample == "up" else resampling.downsample
            h, x = resample(h, (1, 1)), resample(x, (1, 1))
        h = conv(kernel_init=PYTORCH, random_bias=True)(h)
        modulation = layers.Dense(2 * self.features, kernel_init=PYTORCH, dtype=self.dtype)(
            embedding
        )
        scale, shift = jnp.split(modulation[:, None, None, :], 2, axis=-1)
        h = nn.swish(norm()(h) * (1 + scale) + shift)
        h = nn.Dropout(self.dropout, deterministic=not self.train)(h)
        h = conv(kernel_init=NEAR_ZERO)(h)
        if x.shape[-1] != self.features:
            x = conv(size=1, kernel_init=PYTORCH, random_bias=True)(x)
        return x + h


class ADM(nn.Module):
    """The trunk; see `adm` for the options.

    The order in which submodules are made fixes their names, hence the layout of checkpoints.
    """

    model_channels: int
    channel_mult: tuple[int, ...]
    channel_mult_emb: int
    num_blocks: int
    attn_resolutions: tuple[int, ...]
    channels_per_head: int
    dropout: float
    num_classes: int | None
    label_dropout: float
    augment_dim: int
    outputs_per_channel: int
    dtype: jnp.dtype
    remat: bool
    attention_implementation: str

    @property
    def stochastic(self) -> bool:
        """Whether training needs random numbers."""
        return self.dropout > 0 or self.label_dropout > 0

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        noise_condition: jax.Array,
        labels: jax.Array | None = None,
        *,
        train: bool = False,
        augment_labels: jax.Array | None = None,
    ) -> jax.Array:
        """Maps x [batch, height, width, channels], noise_condition [batch] to the outputs."""
        num_resolutions, outputs = len(self.channel_mult), self.outputs_per_channel * x.shape[-1]
        options.divisible_image("adm", x.shape, num_resolutions)
        options.labels_have_classes("adm", labels, self.num_classes)
        residual_block = functools.partial(
            rematerialized(ResnetBlockADM) if self.remat else ResnetBlockADM,
            dropout=self.dropout,
            train=train,
            dtype=self.dtype,
        )

        embedding = self._embed(noise_condition, labels, augment_labels, train)
        h = layers.Conv(
            self.model_channels * self.channel_mult[0],
            kernel_init=PYTORCH,
            random_bias=True,
            dtype=self.dtype,
        )(x)

        skips = [h]
        for level, multiplier in enumerate(self.channel_mult):
            if level > 0:
                h = residual_block(h.shape[-1], "down")(h, embedding)
                skips.append(h)
            for _ in range(self.num_blocks):
                h = residual_block(self.model_channels * multiplier)(h, embedding)
                if h.shape[1] in self.attn_resolutions:
                    h = self._attend(h, train)
                skips.append(h)

        h = self._attend(residual_block(h.shape[-1])(h, embedding), train)
        h = residual_block(h.shape[-1])(h, embedding)

        for level, multiplier in reversed(list(enumerate(self.channel_mult))):
            for _ in range(self.num_blocks + 1):
                h = jnp.concatenate([h, skips.pop()], axis=-1)
                h = residual_block(self.model_channels * multiplier)(h, embedding)
                if h.shape[1] in self.attn_resolutions:
                    h = self._attend(h, train)
            if level > 0:
                h = residual_block(h.shape[-1], "up")(h, embedding)

        h = nn.swish(layers.GroupNorm(epsilon=EPSILON, dtype=self.dtype)(h))
        return layers.Conv(outputs, kernel_init=NEAR_ZERO)(h)

    def _attend(self, h: jax.Array, train: bool) -> jax.Array:
        channels = h.shape[-1]
        heads = channels // self.channels_per_head
        if heads == 0:
            return h
        if channels % heads:
            raise UsageError(
                f"network 'adm': {channels} channels do not divide into {heads} heads of at least "
                f"{self.channels_per_head}; change model_channels or channels_per_head."
            )
        return AttnBlockpp(
            heads=heads,
            kernel_init=PYTORCH,
            epsilon=EPSILON,
            implementation=self.attention_implementation,
            train=train,
            dtype=self.dtype,
        )(h)

    def _embed(self, noise_condition, labels, augment_labels, train: bool) -> jax.Array:
        """The activated embedding [batch, features] that every residual block receives."""
        features = self.model_channels * self.channel_mult_emb
        embedding = embeddings.positional_embedding(
            noise_condition, self.model_channels, endpoint=False
        )
        if self.augment_dim:
            embedding += embeddings.AugmentEmbedding(
                self.augment_dim,
                embedding.shape[-1],
                kernel_init=NEAR_ZERO,
                name="augment_embedding",
            )(augment_labels, len(embedding))
        embedding = nn.swish(layers.Dense(features, kernel_init=PYTORCH)(embedding))
        embedding = layers.Dense(features, kernel_init=PYTORCH)(embedding)
        if self.num_classes is not None:
            embedding += embeddings.ClassEmbedding(
                self.num_classes,
                features,
                self.label_dropout,
                use_bias=False,
                kernel_init=Normal(),
                name="class_embedding",
            )(labels, len(embedding), train=train)
        return nn.swish(embedding)


def adm(
    *,
    label_dim: int = 0,
    augment_dim: int = 0,
    model_channels: int = 192,
    channel_mult: Sequence[int] = (1, 2, 3, 4),
    channel_mult_emb: int = 4,
    num_blocks: int = 3,
    attn_resolutions: Sequence[int] = (32, 16, 8),
    channels_per_head: int = 64,
    dropout: float = 0.1,
    label_dropout: float = 0.0,
    outputs_per_channel: int = 1,
    dtype: str = "float32",
    remat: bool = False,
    attention_implementation: str = "xla",
) -> Network:
    """The ADM network; the defaults are those of ImageNet-64, with label_dim=1000 for its classes.

    The noise condition enters the embedding as it is; in EDM it is c_noise = ln(sigma) / 4.

    Args:
        label_dim: number of classes, 0 for an unconditional network.
        augment_dim: length of the augmentation labels, 0 for none; they are given to
            `Network.apply` as condition["augment_labels"] [batch, augment_dim], or are zero.
        model_channels: channels at full resolution, before the multiplier.
        channel_mult: channel multiplier of each level; each next level has half the size.
        channel_mult_emb: features of the embedding per model channel.
        num_blocks: residual blocks a level on the way down (one more on the way up).
        attn_resolutions: heights of the feature maps that get self-attention.
        channels_per_head: least channels of an attention head; as in EDM, there are as many heads
            as that allows, and no attention where a map has fewer channels.
        dropout: rate in the residual blocks in training.
        label_dropout: probability of training a sample without its class.
        outputs_per_channel: 2 for a network that also predicts a variance.
        dtype: "float32" or "bfloat16".
        remat: whether to recompute residual blocks in the backward pass.
        attention_implementation: "xla", or "cudnn" with bfloat16 on NVIDIA GPUs.

    Raises:
        UsageError: an option out of range, or options that contradict each other.
    """
    for option, value, least in (
        ("label_dim", label_dim, 0),
        ("augment_dim", augment_dim, 0),
        ("model_channels", model_channels, 4),
        ("channel_mult_emb", channel_mult_emb, 1),
        ("num_blocks", num_blocks, 1),
        ("channels_per_head", channels_per_head, 1),
        ("outputs_per_channel", outputs_per_channel, 1),
    ):
        options.in_range("adm", option, value, least, kind=int)
    options.in_range("adm", "dropout", dropout, 0, 1, kind=float)
    options.class_options("adm", label_dim or None, label_dropout)
    return Network(
        ADM(
            model_channels=model_channels,
            channel_mult=options.numbers("adm", "channel_mult", channel_mult, least=1),
            channel_mult_emb=channel_mult_emb,
            num_blocks=num_blocks,
            attn_resolutions=options.numbers("adm", "attn_resolutions", attn_resolutions),
            channels_per_head=channels_per_head,
            dropout=dropout,
            num_classes=label_dim or None,
            label_dropout=label_dropout,
            augment_dim=augment_dim,
            outputs_per_channel=outputs_per_channel,
            dtype=options.compute_options("adm", dtype, attention_implementation),
            remat=remat,
            attention_implementation=attention_implementation,
        )
    )
