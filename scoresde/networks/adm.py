"""The ADM U-Net (Dhariwal and Nichol 2021, arXiv:2105.05233), in the form that EDM trains.

Against DDPM++: the embedding scales and shifts normalized maps (adaptive group normalization),
attention has several heads and follows every block of its levels, and residual sums are not
rescaled. Karras et al. 2022 (arXiv:2206.00364, Appendix F.2) list the hyper-parameters.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from scoresde.networks import embeddings, layers, options
from scoresde.networks.adm_trunk import NEAR_ZERO, TrunkADM
from scoresde.networks.initializers import Normal
from scoresde.networks.network import Network


class ADM(TrunkADM, kw_only=True):
    """The U-Net; see `adm` and `openai_unet.openai_unet` for the options.

    Attributes:
        image_channels: channels of the image, where others beside it are among x's; None for all.
    """

    num_classes: int | None = None
    label_dropout: float = 0.0
    augment_dim: int = 0
    outputs_per_channel: int = 1
    image_channels: int | None = None

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
        embedding = self.embed(noise_condition, labels, augment_labels, train)
        return self.unet(x, embedding, self.outputs(x), train)

    def outputs(self, x: jax.Array) -> int:
        """The channels of the output, of those of the image alone."""
        return self.outputs_per_channel * (self.image_channels or x.shape[-1])

    def unet(self, x: jax.Array, embedding: jax.Array, outputs: int, train: bool) -> jax.Array:
        """Maps x [batch, height, width, any channels] to so many outputs."""
        options.divisible_image(self.called, x.shape, len(self.channel_mult))
        block = self.residual_blocks(train)
        maps = self.encode(x, embedding, block, train)
        h = self.middle(maps[-1], embedding, block, train)
        for level in reversed(range(len(self.channel_mult))):
            for _ in range(self.num_blocks + 1):
                h = jnp.concatenate([h, maps.pop()], axis=-1)
                h = self.attend_at_its_size(block(self.width(level))(h, embedding), train)
            if level > 0:
                h = self.resample(h, "up", embedding, block)
        h = self.normalize(h)
        return layers.Conv(outputs, kernel_init=NEAR_ZERO, dtype=self.wide)(h)

    def embed(self, noise_condition, labels, augment_labels, train: bool) -> jax.Array:
        """The activated embedding [batch, features] that every residual block receives."""
        options.labels_have_classes(self.called, labels, self.num_classes)

        def augmented(waves):
            if not self.augment_dim:
                return waves
            layer = embeddings.AugmentEmbedding(
                self.augment_dim,
                waves.shape[-1],
                kernel_init=NEAR_ZERO,
                name="augment_embedding",
            )
            return waves + layer(augment_labels, len(waves))

        embedding = self.embed_noise(noise_condition, augmented)
        if self.num_classes is not None:
            embedding += embeddings.ClassEmbedding(
                self.num_classes,
                embedding.shape[-1],
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
