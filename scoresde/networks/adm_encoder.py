"""ADM's classifier of noisy images: the encoder of its U-Net and a head.

Source: Dhariwal and Nichol 2021 (arXiv:2105.05233, section 4.1 and appendix H); the attention pool
is that of CLIP (Radford et al. 2021, arXiv:2103.00020).
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from scoresde.networks import layers, options
from scoresde.networks.adm_trunk import EPSILON, NEAR_ZERO, TrunkADM
from scoresde.networks.attention import attend
from scoresde.networks.classifier_network import ClassifierNetwork
from scoresde.networks.group_norm import GroupNorm
from scoresde.networks.initializers import PYTORCH, Normal, parameter
from scoresde.networks.openai_unet import trunk_options

HIDDEN = 2048
"""Units between the spatial means and the logits."""


class AttentionPool(nn.Module):
    """A query, the mean of all pixels, attends to itself and to them.

    Attributes:
        features: length of the result.
        heads: number of heads; they share the channels equally.
        implementation: see `attention.attend`.
        train: whether the network is being trained.
        dtype: computation type.
    """

    features: int
    heads: int
    implementation: str = "xla"
    train: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps x [batch, height, width, channels], of one size always, to [batch, features]."""
        batch, height, width, channels = x.shape
        pixels = x.reshape(batch, height * width, channels)
        tokens = jnp.concatenate([pixels.mean(axis=1, keepdims=True), pixels], axis=1)
        shape = (height * width + 1, channels)
        tokens += parameter(self, "positional_embedding", Normal(channels**-0.5), shape)
        mapped = layers.Dense(3 * channels, kernel_init=PYTORCH, dtype=self.dtype)(tokens)
        mapped = mapped.reshape(batch, -1, 3, self.heads, channels // self.heads)
        query, key, value = mapped[:, :1, 0], mapped[:, :, 1], mapped[:, :, 2]
        implementation = "xla" if self.is_initializing() else self.implementation
        pooled = attend(query, key, value, implementation, self.train).reshape(batch, channels)
        dtype = jnp.promote_types(self.dtype, jnp.float32)
        return layers.Dense(self.features, kernel_init=PYTORCH, dtype=dtype)(pooled)


class EncoderADM(TrunkADM, kw_only=True):
    """See `adm_encoder`."""

    called = "adm_encoder"

    classes: int
    pool: str = "attention"

    @property
    def stochastic(self) -> bool:
        """Whether training needs random numbers."""
        return self.dropout > 0

    @nn.compact
    def __call__(
        self, x: jax.Array, noise_condition: jax.Array, *, train: bool = False
    ) -> jax.Array:
        """Maps x [batch, height, width, channels], noise_condition [batch] to the logits."""
        options.divisible_image(self.called, x.shape, len(self.channel_mult))
        block = self.residual_blocks(train)
        embedding = nn.swish(self.embed_noise(noise_condition))
        maps = self.encode(x, embedding, block, train)
        maps.append(self.middle(maps[-1], embedding, block, train))
        return POOLS[self.pool](self, maps, train).astype(self.wide)

    def _adaptive(self, maps: list, train: bool) -> jax.Array:
        means = self.normalize(maps[-1]).astype(self.wide).mean(axis=(1, 2))
        return layers.Dense(self.classes, kernel_init=NEAR_ZERO, dtype=self.wide)(means)

    def _attention(self, maps: list, train: bool) -> jax.Array:
        h = self.normalize(maps[-1])
        heads = self.heads(h.shape[-1])
        pool = AttentionPool(self.classes, heads, self.attention_implementation, train, self.dtype)
        return pool(h)

    def _spatial(self, maps: list, train: bool) -> jax.Array:
        return self._of_means(maps, nn.relu)

    def _spatial_v2(self, maps: list, train: bool) -> jax.Array:
        def activate(hidden):
            normalize = GroupNorm(self.groups, EPSILON, self.wide, layers.swish)
            return normalize(hidden[:, None, None])[:, 0, 0]

        return self._of_means(maps, activate)

    def _of_means(self, maps, activate):
        """The logits of the means of all feature maps, through a hidden layer."""
        means = [h.astype(self.wide).mean(axis=(1, 2)) for h in maps]
        hidden = layers.Dense(HIDDEN, kernel_init=PYTORCH, dtype=self.wide)(
            jnp.concatenate(means, axis=-1)
        )
        hidden = activate(hidden)
        return layers.Dense(self.classes, kernel_init=PYTORCH, dtype=self.wide)(hidden)


POOLS = {
    "adaptive": EncoderADM._adaptive,
    "attention": EncoderADM._attention,
    "spatial": EncoderADM._spatial,
    "spatial_v2": EncoderADM._spatial_v2,
}
"""Heads by their published names."""


def adm_encoder(
    *,
    num_classes: int,
    pool: str = "attention",
    num_channels: int = 128,
    num_res_blocks: int = 2,
    channel_mult: Sequence[float] = (1, 2, 3, 4),
    attention_resolutions: Sequence[int] = (32, 16, 8),
    num_heads: int | None = None,
    num_head_channels: int | None = 64,
    use_scale_shift_norm: bool = True,
    resblock_updown: bool = True,
    conv_resample: bool = True,
    dropout: float = 0.0,
    dtype: str = "float32",
    remat: bool = False,
    attention_implementation: str = "xla",
) -> ClassifierNetwork:
    """ADM's classifier; the noise condition is the level's number, out of a thousand.

    Args:
        num_classes: number of classes.
        pool: the head: "attention" (which fixes the size of the images), "adaptive" (the mean of
            the last maps), "spatial" or "spatial_v2" (the means of all maps, and a hidden layer).
        num_channels: as of `openai_unet.openai_unet`, as are all that follow.

    Raises:
        UsageError: an option out of range, or options that contradict each other.
    """
    trunk = dict(locals())
    options.in_range("adm_encoder", "num_classes", trunk.pop("num_classes"), 1, kind=int)
    options.one_of("adm_encoder", "pool", trunk.pop("pool"), POOLS)
    if num_heads is not None and num_head_channels == 64:  # the default gives way
        trunk["num_head_channels"] = None
    return ClassifierNetwork(
        EncoderADM(classes=num_classes, pool=pool, **trunk_options("adm_encoder", **trunk))
    )
